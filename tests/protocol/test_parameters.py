"""Parameters of MAIL and RCPT, each by its RFC's grammar and the server's offer."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmtp_async.protocol import (
    DeliverBy,
    Ehlo,
    Envelope,
    MailData,
    Opening,
    Parameter,
    Plain,
    Recipient,
    Session,
    StartTLS,
    Transaction,
)
from esmtp_async.protocol import _parameters as parameters
from esmtp_async.protocol._exceptions import InvalidInput, NotSupported
from esmtp_async.testing._arguments import MAIL_PARAMETERS, RCPT_PARAMETERS
from tests.protocol.dialogue import EHLO, GREETING, Turn, accounts, converse, ready

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
IN_KOLKATA = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))

MAIL = "MAIL FROM:<s@x.test>"
RCPT = "RCPT TO:<a@x.test>"
REFUSED = "250 ok|550 no|503 nobody"
OFFER_OF_TLS = Turn(EHLO, "250-mail.example.test|250-PIPELINING|250 REQUIRETLS")


def transaction(
    *asked_for: Parameter, recipient: Recipient | str = "a@x.test", prefer: str = ""
) -> Transaction:
    preferred = frozenset(prefer.split())
    envelope = Envelope.of("s@x.test", [recipient], asked_for, preferred=preferred)
    return Transaction(envelope, MailData(b"Hi\r\n"))


def unserved(session: Session, parameter: Parameter) -> str:
    """Check that a parameter ends the attempt before MAIL; give what is told."""
    made = transaction(parameter)
    with pytest.raises(NotSupported) as caught:
        converse(session, made)
    assert caught.value.extension == parameter.extension
    assert accounts(session, made) == ["a REFUSED - LOCAL"]
    return str(caught.value)


@pytest.mark.parametrize(
    ("parameter", "offer", "value"),
    [
        (parameters.ret("full"), "DSN", "RET=FULL"),
        (parameters.envid("a =+b"), "DSN", "ENVID=a+20+3D+2Bb"),
        (parameters.deliver_by(DeliverBy(120)), "DELIVERBY", "BY=120;R"),
        (parameters.deliver_by(120), "DELIVERBY", "BY=120;R"),
        (parameters.deliver_by(timedelta(minutes=2)), "DELIVERBY", "BY=120;R"),
        (parameters.deliver_by(DeliverBy(120)), "DELIVERBY 120", "BY=120;R"),
        (parameters.deliver_by(DeliverBy(1)), "DELIVERBY soon", "BY=1;R"),
        (
            parameters.deliver_by(DeliverBy(-5, "n", by_trace=True)),
            "DELIVERBY 240",
            "BY=-5;NT",
        ),
        (
            parameters.deliver_by(DeliverBy(timedelta(minutes=2, milliseconds=1))),
            "DELIVERBY",
            "BY=121;R",
        ),
        (
            parameters.hold_for(3600),
            "FUTURERELEASE 3600 2026-12-01T00:00:00Z",
            "HOLDFOR=3600",
        ),
        (parameters.hold_for(timedelta(days=1)), "FUTURERELEASE", "HOLDFOR=86400"),
        (
            parameters.hold_until(IN_KOLKATA),
            "FUTURERELEASE 5 2026-11-26T12:00:00Z",
            "HOLDUNTIL=2026-11-26T12:00:00Z",
        ),
        (
            parameters.hold_until(NOON),
            "FUTURERELEASE 5 tomorrow",
            "HOLDUNTIL=2026-11-26T12:00:00Z",
        ),
        (
            parameters.hold_until(datetime(987, 6, 5, 4, 3, 2, 1, tzinfo=UTC)),
            "FUTURERELEASE 5 2026-11-26T12:00:00",
            "HOLDUNTIL=0987-06-05T04:03:02Z",
        ),
        (parameters.priority(-9), "MT-PRIORITY", "MT-PRIORITY=-9"),
        (parameters.priority(0), "MT-PRIORITY MIXER", "MT-PRIORITY=0"),
    ],
)
def test_a_parameter_of_mail_is_said(
    parameter: Parameter, offer: str, value: str
) -> None:
    session = ready(offer)
    converse(
        session, transaction(parameter), Turn(f"{MAIL} {value}|{RCPT}|DATA", REFUSED)
    )
    known = MAIL_PARAMETERS[parameter.keyword]
    assert known.value is not None
    assert known.value.fullmatch(value.partition("=")[2])


@pytest.mark.parametrize(
    ("recipient", "offer", "value"),
    [
        (
            Recipient("a@x.test", orcpt="jürgen+a=b@x.test"),
            "DSN",
            r"ORCPT=utf-8;j\x{FC}rgen\x{2B}a\x{3D}b@x.test",
        ),
        (
            Recipient("a@x.test", orcpt="UTF-8;bob\\@x.test"),
            "DSN",
            r"ORCPT=UTF-8;bob\x{5C}@x.test",
        ),
        (
            Recipient("a@x.test", rrvs=IN_KOLKATA),
            "RRVS",
            "RRVS=2026-11-26T12:00:00Z",
        ),
        (
            Recipient("a@x.test", rrvs=NOON, rrvs_action="c"),
            "RRVS",
            "RRVS=2026-11-26T12:00:00Z;C",
        ),
    ],
)
def test_a_parameter_of_rcpt_is_said(
    recipient: Recipient, offer: str, value: str
) -> None:
    made = transaction(recipient=recipient)
    converse(ready(offer), made, Turn(f"{MAIL}|{RCPT} {value}|DATA", REFUSED))
    pattern = RCPT_PARAMETERS[value.partition("=")[0]].value
    assert pattern is not None
    assert pattern.fullmatch(value.partition("=")[2])


@pytest.mark.parametrize(
    ("parameter", "offer", "told"),
    [
        (parameters.priority(1), "DSN", "MT-PRIORITY needs MT-PRIORITY, which the"),
        (
            parameters.deliver_by(DeliverBy(239)),
            "DELIVERBY 240",
            "BY=239 is less than the 240 seconds in which",
        ),
        (
            parameters.hold_for(86401),
            "FUTURERELEASE 86400 2026-12-01T00:00:00Z",
            "HOLDFOR=86401 exceeds the 86400 seconds for which",
        ),
        (
            parameters.hold_until(NOON + timedelta(seconds=1)),
            "FUTURERELEASE 5 2026-11-26T12:00:00Z",
            "is later than 2026-11-26 12:00:00",
        ),
    ],
)
def test_T15_what_the_offer_does_not_allow_is_refused_before_mail(
    parameter: Parameter, offer: str, told: str
) -> None:
    assert told in unserved(ready(offer), parameter)


def test_requiretls_needs_tls() -> None:
    needed = parameters.require_tls()
    session = ready("REQUIRETLS")
    assert "REQUIRETLS needs TLS" in unserved(session, needed)
    session = Session(tls=True)
    converse(session, Opening("client.test"), GREETING, OFFER_OF_TLS)
    converse(
        session, transaction(needed), Turn(f"{MAIL} REQUIRETLS|{RCPT}|DATA", REFUSED)
    )


def test_requiretls_may_follow_starttls() -> None:
    session = ready("STARTTLS", "REQUIRETLS")
    assert not session.tls
    session.send(StartTLS())
    session.receive_data(b"220 go\r\n")
    session.next_event()
    session.secured()
    assert session.tls
    needed = parameters.require_tls()
    assert needed.unmet(session) is not None, "what was offered before is forgotten"
    session.send(Ehlo("client.test"))
    session.receive_data(b"250-x\r\n250 REQUIRETLS\r\n")
    session.next_event()
    assert needed.unmet(session) is None


@pytest.mark.parametrize(
    ("mailbox", "value"),
    [("", "AUTH=<>"), ("e+mc2=@x.test", "AUTH=e+2Bmc2+3D@x.test")],
)
def test_the_submitter_is_told_by_who_is_authenticated(
    mailbox: str, value: str
) -> None:
    parameter = parameters.submitter(mailbox)
    session = ready("AUTH PLAIN")
    assert "for those who are authenticated" in unserved(session, parameter)
    session = Session()
    opening = Opening("client.test", mechanisms=[Plain("a", "b")], secure=True)
    hello = Turn(EHLO, "250-mail.example.test|250-PIPELINING|250 AUTH PLAIN")
    converse(session, opening, GREETING, hello, Turn("AUTH PLAIN AGEAYg==", "235 ok"))
    converse(
        session, transaction(parameter), Turn(f"{MAIL} {value}|{RCPT}|DATA", REFUSED)
    )


def test_what_is_preferred_is_left_out_where_it_is_not_offered() -> None:
    recipient = Recipient("a@x.test", notify="NEVER", rrvs=NOON)
    asked_for = (parameters.ret("HDRS"), parameters.priority(3))
    made = transaction(*asked_for, recipient=recipient, prefer="DSN RRVS MT-PRIORITY")
    converse(
        ready("MT-PRIORITY"), made, Turn(f"{MAIL} MT-PRIORITY=3|{RCPT}|DATA", REFUSED)
    )
    assert made.left_out == {"DSN", "RRVS"}
    made = transaction(*asked_for, recipient=recipient, prefer="DSN RRVS")
    with pytest.raises(NotSupported, match="MT-PRIORITY"):
        converse(ready("DSN", "RRVS"), made)
    made = transaction(*asked_for, recipient=recipient, prefer="MT-PRIORITY")
    with pytest.raises(NotSupported, match="NOTIFY needs DSN"):
        converse(ready("RRVS"), made)


def test_nothing_is_left_out_that_is_served() -> None:
    made = transaction(parameters.ret("HDRS"), prefer="DSN")
    converse(ready("DSN"), made, Turn(f"{MAIL} RET=HDRS|{RCPT}|DATA", REFUSED))
    assert made.left_out == frozenset()


@pytest.mark.parametrize(
    ("make", "value", "told"),
    [
        (parameters.ret, "ALL", "ret 'ALL' is neither FULL nor HDRS"),
        (parameters.envid, "", "envid '' is not 1 to 100"),
        (parameters.envid, "a\nb", "envid"),
        (parameters.deliver_by, "120", "deliver_by is of type str, not DeliverBy"),
        (parameters.deliver_by, 0, "by_time 0 is not 1 to 999999999"),
        (parameters.deliver_by, True, "by_time True"),
        (parameters.hold_for, 0, "hold_for 0 is not 1 to 999999999"),
        (parameters.hold_for, 10**9, "hold_for 1000000000"),
        (parameters.hold_for, True, "hold_for True"),
        (parameters.hold_for, 1.5, "hold_for is of type float"),
        (parameters.hold_for, timedelta(0), "hold_for"),
        (parameters.hold_until, "2026-11-26", "hold_until is of type str"),
        (parameters.hold_until, NOON.replace(tzinfo=None), "has no time zone"),
        (
            parameters.hold_until,
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))),
            "beyond what UTC can tell",
        ),
        (parameters.priority, 10, "priority 10 is not -9 to 9"),
        (parameters.priority, -10, "priority -10"),
        (parameters.priority, True, "priority True"),
        (parameters.priority, "3", "priority is of type str"),
        (parameters.submitter, "nobody", "auth 'nobody' is not a mailbox"),
        (parameters.submitter, "jürgen@x.test", "auth"),
        (parameters.submitter, "a@x\r\n.test", "auth"),
        (parameters.submitter, f"{'+' * 164}@x.te", "exceeds 494"),
        (parameters.rrvs, NOON.replace(tzinfo=None), "rrvs .* has no time zone"),
        (parameters.orcpt, "utf-8;a\x00b", "orcpt"),
        (
            parameters.orcpt,
            "x" * 2000,
            r"^orcpt 'x{200,300} \.\.\. x{150,300}' exceeds 500",
        ),
    ],
)
def test_I7_what_the_grammar_does_not_allow_is_refused(
    make: Any,  # noqa: ANN401  # one of many
    value: object,
    told: str,
) -> None:
    with pytest.raises(InvalidInput, match=told):
        make(value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"by_time": 0}, "by_time 0 is not 1 to"),
        ({"by_time": -5, "by_mode": "R"}, "by_time -5"),
        ({"by_time": -(10**9), "by_mode": "N"}, "by_time"),
        ({"by_time": 5, "by_mode": "X"}, "by_mode 'X' is neither N nor R"),
        ({"by_time": 5, "by_mode": 5}, "by_mode is of type int"),
        ({"by_time": 5, "by_trace": 1}, "by_trace is of type int"),
        ({"by_time": "5"}, "by_time is of type str"),
    ],
)
def test_I7_deliver_by_is_checked(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        DeliverBy(**options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"rrvs": "2026"}, "rrvs is of type str"),
        ({"rrvs": NOON, "rrvs_action": "D"}, "rrvs_action 'D' is neither C nor R"),
        ({"rrvs_action": "C"}, "rrvs_action is for a recipient with rrvs"),
    ],
)
def test_I7_rrvs_is_checked(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        Recipient("a@x.test", **options)


@given(st.text(min_size=1, max_size=60))
def test_an_original_recipient_comes_back(address: str) -> None:
    """It is ASCII, within its grammar, and nothing of it is lost (RFC 6533 §3)."""
    try:
        value = parameters.orcpt(f"utf-8;{address}").value
    except InvalidInput:
        return
    assert value is not None
    pattern = RCPT_PARAMETERS["ORCPT"].value
    assert pattern is not None
    assert pattern.fullmatch(value)
    assert value.isascii()
    encoded = value.partition(";")[2]
    pieces = encoded.split("\\x{")
    decoded = pieces[0] + "".join(
        chr(int(piece.partition("}")[0], 16)) + piece.partition("}")[2]
        for piece in pieces[1:]
    )
    assert decoded == address


@pytest.mark.parametrize(
    "parameter",
    [
        parameters.deliver_by(DeliverBy(5)),
        parameters.hold_for(5),
        parameters.hold_until(NOON),
        parameters.require_tls(),
        parameters.submitter(""),
    ],
)
def test_parameters_are_values(parameter: Parameter) -> None:
    copied = pickle.loads(pickle.dumps(parameter))  # noqa: S301  # its own
    assert copied[:3] == parameter[:3]
    assert parameter.unmet(Session()) == copied.unmet(Session())
