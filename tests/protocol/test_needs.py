"""What a message needs of the server, found out before MAIL (RFC 1870, 6152, 6531)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from esmtp_async.protocol import (
    Envelope,
    MailData,
    Opening,
    Parameter,
    Recipient,
    Session,
    Stage,
    State,
    Transaction,
)
from esmtp_async.protocol._exceptions import NotSupported
from tests.protocol.dialogue import (
    EHLO,
    GREETING,
    Turn,
    accounts,
    converse,
    ready,
)

ASCII = b"Hi\r\n"
BODY_8BIT = "\r\nü\r\n".encode()
HEADER_UTF8 = "Subject: ü\r\n\r\nü\r\n".encode()
HEADER_LATIN1 = b"Subject: \xfc\r\n\r\n\r\n"

LOCAL = "REFUSED - LOCAL"


async def stream() -> AsyncIterator[bytes]:
    yield b"Hi\r\n"


def transaction(
    octets: bytes = ASCII,
    *,
    sender: str = "s@x.test",
    recipients: tuple[str | Recipient, ...] = ("a@x.test", "b@x.test"),
    parameters: tuple[Parameter, ...] = (),
    all_or_nothing: bool = False,
) -> Transaction:
    envelope = Envelope.of(sender, recipients)._replace(parameters=parameters)
    return Transaction(envelope, MailData(octets), all_or_nothing=all_or_nothing)


def asks(session: Session, made: Transaction, *lines: str) -> list[str]:
    """Check the envelope as it is said; give what became of it, for it is refused."""
    said = "|".join([*lines, "DATA"])
    refusals = "|".join(["250 ok", *["550 no"] * (len(lines) - 1), "503 nobody"])
    converse(session, made, Turn(said, refusals))
    return accounts(session, made)


def lacks(session: Session, made: Transaction, extension: str) -> NotSupported:
    """Check that nothing is said, for want of an extension; give the error."""
    with pytest.raises(NotSupported) as caught:
        converse(session, made)
    assert caught.value.extension == extension
    assert caught.value.stage is Stage.LOCAL
    assert not caught.value.temporary
    assert accounts(session, made) == [
        f"{recipient.address.partition('@')[0]} {LOCAL}"
        for recipient in made.envelope.recipients
    ]
    assert session.state is State.READY
    assert session.reusable
    assert not made.content_begun
    return caught.value


OFFERS_AND_PARAMETERS = [
    ((), ASCII, ""),
    (("SIZE",), ASCII, " SIZE=4"),
    (("SIZE 0",), ASCII, " SIZE=4"),
    (("SIZE 4",), ASCII, " SIZE=4"),
    (("SIZE",), b".\n.", " SIZE=6"),
    (("8BITMIME",), ASCII, ""),
    (("8BITMIME",), BODY_8BIT, " BODY=8BITMIME"),
    (("8BITMIME",), HEADER_LATIN1, " BODY=8BITMIME"),
    (("SMTPUTF8",), ASCII, ""),
    (("8BITMIME", "SMTPUTF8"), BODY_8BIT, " BODY=8BITMIME"),
    (("8BITMIME", "SMTPUTF8"), HEADER_UTF8, " BODY=8BITMIME SMTPUTF8"),
    (
        ("SIZE 100", "8BITMIME", "SMTPUTF8"),
        HEADER_UTF8,
        " SIZE=19 BODY=8BITMIME SMTPUTF8",
    ),
]


@pytest.mark.parametrize(("offers", "octets", "parameters"), OFFERS_AND_PARAMETERS)
def test_mail_tells_what_the_content_is(
    offers: tuple[str, ...], octets: bytes, parameters: str
) -> None:
    results = asks(
        ready(*offers),
        transaction(octets),
        f"MAIL FROM:<s@x.test>{parameters}",
        "RCPT TO:<a@x.test>",
        "RCPT TO:<b@x.test>",
    )
    assert results == ["a REFUSED 550 RCPT", "b REFUSED 550 RCPT"]


def test_a_stream_is_declared_8bit_where_that_can_be() -> None:
    for offer, parameters in (("8BITMIME", " BODY=8BITMIME"), ("SIZE 1", "")):
        envelope = Envelope.of("s@x.test", ["a@x.test"])
        made = Transaction(envelope, MailData(blocks=stream()))
        line = f"MAIL FROM:<s@x.test>{parameters}"
        asks(ready(offer), made, line, "RCPT TO:<a@x.test>")


def test_B8_8bit_content_needs_8bitmime() -> None:
    for octets in (BODY_8BIT, HEADER_LATIN1, HEADER_UTF8):
        error = lacks(ready("SMTPUTF8"), transaction(octets), "8BITMIME")
        assert "an octet above 127 needs 8BITMIME" in str(error)


def test_B9_a_header_beyond_ascii_needs_smtputf8() -> None:
    error = lacks(ready("8BITMIME"), transaction(HEADER_UTF8), "SMTPUTF8")
    assert "SMTPUTF8, which the server does not offer" in str(error)


def test_B9_an_international_domain_needs_nothing() -> None:
    made = transaction(sender="s@münchen.test", recipients=("a@münchen.test",))
    domain = "xn--mnchen-3ya.test"
    asks(ready(), made, f"MAIL FROM:<s@{domain}>", f"RCPT TO:<a@{domain}>")


def test_B9_a_reverse_path_beyond_ascii_needs_smtputf8() -> None:
    made = transaction(sender="ü@x.test")
    lacks(ready("8BITMIME"), made, "SMTPUTF8")
    made = transaction(sender="ü@x.test", recipients=("a@x.test",))
    asks(ready("SMTPUTF8"), made, "MAIL FROM:<ü@x.test> SMTPUTF8", "RCPT TO:<a@x.test>")


def test_B9_a_recipient_beyond_ascii_is_refused_alone() -> None:
    made = transaction(recipients=("a@x.test", "ü@x.test", "b@x.test"))
    results = asks(
        ready(),
        made,
        "MAIL FROM:<s@x.test>",
        "RCPT TO:<a@x.test>",
        "RCPT TO:<b@x.test>",
    )
    assert results == ["a REFUSED 550 RCPT", f"ü {LOCAL}", "b REFUSED 550 RCPT"]


def test_B9_a_recipient_beyond_ascii_has_mail_say_so() -> None:
    made = transaction(recipients=("a@x.test", "ü@x.test"))
    asks(
        ready("SMTPUTF8"),
        made,
        "MAIL FROM:<s@x.test> SMTPUTF8",
        "RCPT TO:<a@x.test>",
        "RCPT TO:<ü@x.test>",
    )


@pytest.mark.parametrize("all_or_nothing", [False, True])
def test_B9_if_nobody_is_left_nothing_is_said(*, all_or_nothing: bool) -> None:
    made = transaction(recipients=("ü@x.test",), all_or_nothing=all_or_nothing)
    error = lacks(ready(), made, "SMTPUTF8")
    assert "the recipient ü@x.test needs SMTPUTF8" in str(error)


@pytest.mark.parametrize(
    "recipients", [("a@x.test", "ü@x.test"), ("ü@x.test", "a@x.test")]
)
def test_E1_all_or_nothing_says_nothing_if_one_is_lacking(
    recipients: tuple[str, str],
) -> None:
    session = ready()
    made = transaction(recipients=recipients, all_or_nothing=True)
    with pytest.raises(NotSupported, match="SMTPUTF8"):
        converse(session, made)
    assert sorted(accounts(session, made, stage=Stage.HELLO)) == [
        "a NOT_SENT - HELLO temporary",
        f"ü {LOCAL}",
    ]
    assert session.reusable


def test_replies_are_counted_past_those_who_were_not_asked_for() -> None:
    made = transaction(recipients=("ü@x.test", "a@x.test", "é@x.test", "b@x.test"))
    session = ready(lmtp=True)
    envelope = Turn(
        "MAIL FROM:<s@x.test>|RCPT TO:<a@x.test>|RCPT TO:<b@x.test>|DATA",
        "250 ok|250 ok|251 ok|354 go",
    )
    converse(session, made, envelope, Turn("Hi|.", "452 a|250 b"))
    assert accounts(session, made) == [
        f"ü {LOCAL}",
        "a REFUSED 452 FINAL temporary",
        f"é {LOCAL}",
        "b ACCEPTED 250 FINAL",
    ]


@pytest.mark.parametrize(
    ("limit", "octets"), [(3, ASCII), (999, b"x" * 998), (1, b"\n"), (7, b".\n.\n.")]
)
def test_B10_what_is_too_big_is_not_announced(limit: int, octets: bytes) -> None:
    error = lacks(ready(f"SIZE {limit}"), transaction(octets), "SIZE")
    assert f"exceeds the {limit} that the server takes (SIZE)" in str(error)


DSN_RECIPIENT = Recipient("b@x.test", notify=["SUCCESS"], orcpt="b+1@x.test")


def test_a_recipient_brings_its_parameters() -> None:
    made = transaction(recipients=("a@x.test", DSN_RECIPIENT))
    asks(
        ready("DSN"),
        made,
        "MAIL FROM:<s@x.test>",
        "RCPT TO:<a@x.test>",
        "RCPT TO:<b@x.test> NOTIFY=SUCCESS ORCPT=rfc822;b+2B1@x.test",
    )


def test_a_recipient_with_parameters_needs_dsn() -> None:
    made = transaction(recipients=("a@x.test", DSN_RECIPIENT))
    results = asks(ready(), made, "MAIL FROM:<s@x.test>", "RCPT TO:<a@x.test>")
    assert results == ["a REFUSED 550 RCPT", f"b {LOCAL}"]
    lacks(ready(), transaction(recipients=(DSN_RECIPIENT,)), "DSN")


PARAMETERS = (
    Parameter("DSN", "RET", "HDRS"),
    Parameter("DSN", "ENVID", "QQ314159"),
    Parameter("REQUIRETLS", "REQUIRETLS"),
)


def test_the_envelope_brings_parameters() -> None:
    made = transaction(recipients=("a@x.test",), parameters=PARAMETERS)
    asks(
        ready("DSN", "REQUIRETLS", "SIZE"),
        made,
        "MAIL FROM:<s@x.test> SIZE=4 RET=HDRS ENVID=QQ314159 REQUIRETLS",
        "RCPT TO:<a@x.test>",
    )


@pytest.mark.parametrize(
    ("offer", "missing", "keyword"),
    [("DSN", "REQUIRETLS", "REQUIRETLS"), ("REQUIRETLS", "DSN", "RET")],
)
def test_T15_every_parameter_needs_its_extension(
    offer: str, missing: str, keyword: str
) -> None:
    error = lacks(ready(offer), transaction(parameters=PARAMETERS), missing)
    assert f"{keyword} needs {missing}" in str(error)


def test_after_helo_nothing_is_offered() -> None:
    session = Session()
    helo = Turn("HELO client.test", "250-mail.example.test|250 8BITMIME")
    opening = Opening("client.test")
    converse(session, opening, GREETING, Turn(EHLO, "500 ?"), helo)
    lacks(session, transaction(BODY_8BIT), "8BITMIME")
