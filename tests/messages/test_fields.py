"""Header fields as they are sent: as they were, in ASCII, or in UTF-8 if need be."""

from __future__ import annotations

from collections.abc import Callable
from email import message_from_bytes, message_from_string, policy
from email.header import Header
from email.headerregistry import Address, Group
from email.message import EmailMessage, Message
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from typing import Final

import pytest

from esmtp_async._messages import Outgoing

from .prepared import (
    ALICE,
    BOB,
    DATE,
    EIGHT_BIT,
    MESSAGE_ID,
    compose,
    octets,
    prepared,
)

COMPLETE: Final = f"Date: {DATE}\r\nMessage-ID: {MESSAGE_ID}\r\n"


def sent(message: Message, name: str) -> bytes:
    """Give a field of a message as it is sent, folds included."""
    header, _, _ = octets(message).partition(b"\r\n\r\n")
    start = header.index(f"{name}: ".encode())
    lines = header[start:].split(b"\r\n")
    folds = next(
        (n for n, line in enumerate(lines) if n and line[:1] not in b" \t"), None
    )
    return b"\r\n".join(lines[:folds])[len(name) + 2 :]


def needs_smtputf8(outgoing: Outgoing) -> bool:
    """Tell whether the transaction will ask for SMTPUTF8."""
    paths = [recipient.path for recipient in outgoing.envelope.recipients]
    return (
        outgoing.mail_data(EIGHT_BIT).has_8bit_header
        or outgoing.envelope.reverse_path.needs_smtputf8
        or any(path.needs_smtputf8 for path in paths)
    )


def assigned(kind: type[Message], **fields: str) -> Message:
    message = kind()
    for name, value in ({"From": ALICE, "To": BOB} | fields).items():
        message[name.replace("_", "-")] = value
    message.set_payload("text\n")
    return message


# As they were


@pytest.mark.parametrize("own", [policy.compat32, policy.default, policy.SMTP])
def test_ascii_fields_of_a_parsed_message_are_sent_as_they_were(
    own: policy.Policy,
) -> None:
    """A signature over them would break (RFC 6376 §3.4)."""
    source = (
        b"Received: by x.test;\r\n\tMon, 23 Nov 2026 10:00:00 +0000\r\n"
        b"DKIM-Signature: v=1; a=rsa-sha256;\r\n  b=abc\r\n\t def\r\n"
        b"FROM: =?UTF-8?q?J=C3=BCrg?=  <alice@example.test>\r\n"
        b'to: bob@example.test ,\r\n  "Carol"   <carol@example.test> (c)\r\n'
        b"subject: odd   spaces\r\n   and =?utf-8?b?w7w=?=\r\n"
        b"X-Empty: \r\n" + COMPLETE.encode() + b"\r\ntext\r\n"
    )
    assert octets(message_from_bytes(source, policy=own)) == source


@pytest.mark.parametrize(
    "own",
    [
        *(policy.default, policy.SMTP, policy.strict),
        policy.default.clone(max_line_length=40),
        policy.default.clone(refold_source="all", max_line_length=50),
        policy.default.clone(refold_source="none"),
    ],
)
def test_fields_are_folded_by_the_messages_own_policy(own: policy.EmailPolicy) -> None:
    message = EmailMessage(own)
    message["From"] = "Jürg Example <alice@example.test>"
    message["To"] = ", ".join(f"Number {n} <r{n}@example.test>" for n in range(9))
    message["Subject"] = "Grüße and other words " * 9
    message["Date"] = DATE
    message["Message-ID"] = MESSAGE_ID
    message.set_content("text\n")
    message.add_attachment("text\n", filename="größe and other words.txt")
    message.set_boundary("border")
    assert octets(message) == message.as_bytes(policy=own.clone(linesep="\r\n"))
    parsed = message_from_bytes(bytes(message), policy=own)
    assert octets(parsed) == parsed.as_bytes(policy=own.clone(linesep="\r\n"))


def test_fields_of_signed_parts_are_not_folded() -> None:
    """As the signer has not folded them either (RFC 1847 §2.1)."""
    message = compose()
    message.make_mixed(boundary="border")
    message.add_attachment("text\n", filename="a file with a very long name " * 9)
    message.replace_header("Content-Type", "multipart/signed; boundary=border")
    sent = octets(message)
    assert max(map(len, sent.split(b"\r\n"))) > 200
    assert sent == message.as_bytes(policy=policy.SMTP)


def test_nonsense_in_a_message_that_is_forwarded_stays_as_it_is() -> None:
    """The standard library cannot even parse some of it."""
    inner = (
        b'To: ": @[,\r\nFrom: J\xfcrg <@>\r\nSubject: \xc3\xbc\xff \xe4\xbd\r\n'
        b"Content-Type: ;;\x01=\r\nX-Long: " + b"x y " * 200 + b"\r\n\r\ntext\r\n"
    )
    forwarded = message_from_bytes(inner)
    message = MIMEMultipart()
    message.attach(MIMEMessage(forwarded))
    assert b"\r\n\r\n" + inner + b"\r\n--" in octets(message)
    modern = compose()
    modern.add_attachment(message_from_bytes(inner, policy=policy.default))
    assert b"\r\n\r\n" + inner + b"\r\n--" in octets(modern)


# In ASCII

VALUES: Final = {
    "Jürg <alice@example.test>": [("Jürg", "alice@example.test")],
    '"Grüße, An" <a@x.test>, b@x.test': [("Grüße, An", "a@x.test"), ("", "b@x.test")],
    "Grüppe: Ünï <a@x.test>, b@x.test;, c@x.test": [
        ("Ünï", "a@x.test"),
        ("", "b@x.test"),
        ("", "c@x.test"),
    ],
    "u@münchen.test": [("", "u@xn--mnchen-3ya.test")],
    "Ü <u@MÜNCHEN.test>, v@BÜCHER.test, w@x.test": [
        ("Ü", "u@xn--mnchen-3ya.test"),
        ("", "v@xn--bcher-kva.test"),
        ("", "w@x.test"),
    ],
    'G: "q, r" <z@bücher.test>;': [("q, r", "z@xn--bcher-kva.test")],
    '"john smith"@bücher.test': [("", '"john smith"@xn--bcher-kva.test')],
}


def parsed(value: str, name: str, own: policy.Policy) -> Message:
    source = f"From: {ALICE}\r\nTo: {BOB}\r\n{name}: {value}\r\n\r\ntext\r\n"
    return message_from_bytes(source.encode(), policy=own)


def parsed_from_str(value: str, name: str) -> Message:
    return message_from_string(f"{name}: {value}\n\ntext\n", policy=policy.default)


def of_the_old_policy(value: str, name: str) -> Message:
    message = assigned(Message)
    message[name] = Header(value, "utf-8")  # type: ignore[assignment]  # it takes them
    return message


SOURCES: Final[list[Callable[[str, str], Message]]] = [
    lambda value, name: assigned(EmailMessage, **{name.replace("-", "_"): value}),
    lambda value, name: assigned(Message, **{name.replace("-", "_"): value}),
    lambda value, name: parsed(value, name, policy.compat32),
    lambda value, name: parsed(value, name, policy.default),
    lambda value, name: parsed(value, name, policy.SMTPUTF8),
    parsed_from_str,
    of_the_old_policy,
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("make", SOURCES)
@pytest.mark.parametrize("name", ["Cc", "Reply-To", "Resent-To"])
def test_addresses_are_sent_in_ascii(
    make: Callable[[str, str], Message], name: str, value: str
) -> None:
    """Encoded words are for display names; a domain becomes A-labels (RFC 5891)."""
    outgoing = prepared(make(value, name), ALICE, BOB)
    assert not needs_smtputf8(outgoing)
    reread = message_from_bytes(
        outgoing.mail_data(EIGHT_BIT).octets, policy=policy.default
    )
    found = [(a.display_name, a.addr_spec) for a in reread[name].addresses]
    assert found == VALUES[value]


def test_a_local_part_keeps_its_quotes() -> None:
    value = 'Jürg <"two..dots"@x.test>'
    expected = b'=?utf-8?q?J=C3=BCrg?= <"two..dots"@x.test>'
    assert sent(assigned(EmailMessage, Cc=value), "Cc") == expected
    assert sent(assigned(Message, Cc=value), "Cc") == expected


@pytest.mark.parametrize("make", SOURCES)
@pytest.mark.parametrize("name", ["Subject", "X-Other", "Comments"])
def test_text_is_sent_in_ascii(make: Callable[[str, str], Message], name: str) -> None:
    outgoing = prepared(make("Grüße <an> alle, 漢字", name), ALICE, BOB)
    assert not needs_smtputf8(outgoing)
    reread = message_from_bytes(
        outgoing.mail_data(EIGHT_BIT).octets, policy=policy.default
    )
    assert reread[name].strip() == "Grüße <an> alle, 漢字"


def test_smtputf8_policy_alone_needs_no_smtputf8() -> None:
    message = EmailMessage(policy.SMTPUTF8)
    message["From"] = "Jürg <alice@example.test>"
    message["To"] = "Bärbel <bob@münchen.test>"
    message["Subject"] = "Grüße"
    message.set_content("text\n")
    assert message.as_bytes().count("ü".encode()) == 3
    outgoing = prepared(message)
    assert not needs_smtputf8(outgoing)
    assert outgoing.mail_data(EIGHT_BIT).octets.isascii()


@pytest.mark.parametrize("own", [policy.compat32, policy.default])
def test_octets_that_are_no_utf8_are_marked_as_unknown(own: policy.Policy) -> None:
    fields = f"From: Jürg <{ALICE}>\nTo: {BOB}\nSubject: ü\n\n".encode("latin-1")
    message = message_from_bytes(fields, policy=own)
    assert sent(message, "From") == b"=?unknown-8bit?q?J=FCrg?= <alice@example.test>"
    assert sent(message, "Subject") == b"=?unknown-8bit?q?=FC?="


def test_octets_of_the_callers_own_stay_as_they_are() -> None:
    for source in (
        "From: Jürg <ü@x.test>\r\nBcc: b@x.test\r\n\r\nx\r\n".encode(),
        b"Subject: \xfc\r\nno field\r\n\r\nx\r\n",
    ):
        outgoing = prepared(source, ALICE, BOB)
        assert outgoing.mail_data(EIGHT_BIT).octets == source


def test_an_old_message_with_header_objects() -> None:
    """The old policy makes one encoded word of a whole address."""
    message = of_the_old_policy("Jürg <j@münchen.test>", "Cc")
    message["Subject"] = Header("Grüße", "iso-8859-1")  # type: ignore[assignment]  # it takes them
    message["X-Plain"] = Header("plain")  # type: ignore[assignment]
    assert message.as_bytes().count(b"@") == 2
    assert sent(message, "Cc") == b"=?utf-8?q?J=C3=BCrg?= <j@xn--mnchen-3ya.test>"
    assert sent(message, "Subject") == b"=?utf-8?q?Gr=C3=BC=C3=9Fe?="
    assert sent(message, "X-Plain") == b"plain"


def test_header_objects_under_the_old_policy() -> None:
    message = compose(Cc=[Group("Grüppe", [Address("Jürg", "j", "münchen.test")])])  # type: ignore[arg-type]  # EmailMessage takes it
    message.policy = policy.compat32
    expected = (
        b"=?utf-8?q?Gr=C3=BCppe?=: =?utf-8?q?J=C3=BCrg?= <j@xn--mnchen-3ya.test>;"
    )
    assert sent(message, "Cc") == expected


def test_a_domain_that_cannot_be_a_label_is_nobodys() -> None:
    message = compose(Reply_To="x@\u00ad--.test")
    message.set_payload("text\n")
    assert octets(message).partition(b"\r\n\r\n")[0].isascii()


# In UTF-8


@pytest.mark.parametrize("make", SOURCES)
@pytest.mark.parametrize("name", ["Cc", "Reply-To", "Resent-Cc"])
def test_an_address_that_needs_smtputf8(
    make: Callable[[str, str], Message], name: str
) -> None:
    """Encoded words cannot stand in it (RFC 2047 §5), so all fields are UTF-8."""
    message = make("Jürg <jürg@münchen.test>", name)
    message["Subject"] = "Grüße"
    assert needs_smtputf8(prepared(message, ALICE, BOB))
    assert sent(message, name) == "Jürg <jürg@münchen.test>".encode()
    assert sent(message, "Subject") == "Grüße".encode()


def test_headers_of_parts_can_do_with_ascii() -> None:
    message = compose(Cc="jürg@example.test")
    message.add_attachment("text\n", filename="größe")
    _, _, parts = octets(message).partition(b"\r\n\r\n")
    assert b"filename*=utf-8''gr%C3%B6%C3%9Fe" in parts


def test_a_blind_address_needs_it_in_the_envelope_only() -> None:
    message = assigned(EmailMessage, Bcc="jürg@example.test", Subject="Grüße")
    outgoing = prepared(message)
    assert outgoing.envelope.recipients[1].path.needs_smtputf8
    assert outgoing.mail_data(EIGHT_BIT).octets.isascii()
    assert not needs_smtputf8(prepared(message, ALICE, BOB))


def test_a_name_that_was_meant_as_an_address_needs_no_smtputf8() -> None:
    message = assigned(Message, Cc="Grüße, Jürg <j@example.test>")
    assert not needs_smtputf8(prepared(message, ALICE, BOB))
