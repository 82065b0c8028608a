"""A Message as octets: what is changed on the way, and what never is."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from email.mime.text import MIMEText
from email.utils import parsedate_to_datetime
from typing import Final

import pytest

from .prepared import (
    ALICE,
    BOB,
    EIGHT_BIT,
    SEVEN_BIT,
    compose,
    octets,
    prepared,
    refusal,
)

HEADER: Final = (
    b"From: alice@example.test\r\n"
    b"To: bob@example.test\r\n"
    b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@example.test>\r\n"
)


# What is added, and what is taken away


def test_nothing_is_added_to_a_complete_message() -> None:
    message = compose()
    message.set_content("text\n")
    assert octets(message) == (
        HEADER + b'Content-Type: text/plain; charset="utf-8"\r\n'
        b"Content-Transfer-Encoding: 7bit\r\nMIME-Version: 1.0\r\n\r\ntext\r\n"
    )


@pytest.mark.parametrize("kind", [EmailMessage, Message])
def test_date_and_message_id_are_added(kind: type[Message]) -> None:
    message = kind()
    message["From"] = "Alice <alice@example.test>"
    message["To"] = BOB
    message.set_payload("text\n")
    outgoing = prepared(message)
    header, _, body = outgoing.mail_data(EIGHT_BIT).octets.partition(b"\r\n\r\n")
    match = re.fullmatch(
        rb"From: Alice <alice@example\.test>\r\nTo: bob@example\.test\r\n"
        rb"Date: (.*)\r\nMessage-ID: (<[0-9.]+@example\.test>)",
        header,
    )
    assert match is not None
    assert body == b"text\r\n"
    assert outgoing.message_id == match[2].decode()
    age = datetime.now(UTC) - parsedate_to_datetime(match[1].decode())
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert prepared(message).message_id != outgoing.message_id
    assert message.keys() == ["From", "To"]


@pytest.mark.parametrize(
    ("sender", "domain"),
    [
        ("alice@example.test", "example.test"),
        ("Alice <alice@[192.0.2.1]>", "[192.0.2.1]"),
        ("alice@münchen.test", "xn--mnchen-3ya.test"),
        ("nobody", "localhost"),
        ("", "localhost"),
        ("alice@x.test>, <b@evil", "localhost"),
    ],
)
def test_domain_of_the_message_id(sender: str, domain: str) -> None:
    message = Message()
    message["From"] = sender
    message_id = prepared(message, ALICE, BOB).message_id
    assert message_id is not None
    assert message_id.endswith(f"@{domain}>")


@pytest.mark.parametrize("name", ["message-id", "MESSAGE-ID", "Message-Id"])
@pytest.mark.parametrize("value", ["<a@b.test>", " <a@b.test>", "\n <a@b.test>\n "])
def test_the_message_id_that_is_there(name: str, value: str) -> None:
    message = message_from_bytes(f"Date: x\r\n{name}:{value}\r\n\r\n".encode())
    outgoing = prepared(message, ALICE, BOB)
    assert outgoing.message_id == "<a@b.test>"
    assert outgoing.mail_data(EIGHT_BIT).octets.lower().count(b"message-id") == 1


def test_long_message_id_of_a_message_that_was_parsed() -> None:
    message_id = f"<{'x' * 90}@{'y' * 90}.test>"
    source = f"Message-ID: {message_id}\r\nDate: x\r\n\r\ntext\r\n".encode()
    for form in (
        message_from_bytes(source, policy=policy.default),
        message_from_bytes(source),
    ):
        outgoing = prepared(form, ALICE, BOB)
        assert outgoing.message_id == message_id
        sent = message_from_bytes(outgoing.mail_data(EIGHT_BIT).octets)
        assert sent["Message-ID"].strip() == message_id


def test_blind_fields_are_taken_away() -> None:
    message = compose(bCC="carol@example.test")
    message["Resent-From"] = ALICE
    message["Resent-bcc"] = "dave@example.test"
    message["X-Bcc"] = "stays"
    message.set_payload("Bcc: stays\n")
    assert octets(message) == (
        HEADER + b"Resent-From: alice@example.test\r\nX-Bcc: stays\r\n\r\n"
        b"Bcc: stays\r\n"
    )


def test_long_and_folded_blind_fields_are_taken_away_whole() -> None:
    names = [f'"Recipient Number {n}" <r{n}@example.test>' for n in range(50)]
    message = compose(Bcc=", ".join(names))
    message.set_payload("text\n")
    assert octets(message) == HEADER + b"\r\ntext\r\n"
    parsed = message_from_bytes(bytes(message))
    assert "\n" in parsed["Bcc"]
    assert octets(parsed) == HEADER + b"\r\ntext\r\n"
    assert len(prepared(parsed).envelope.recipients) == 51


def test_a_forwarded_message_keeps_what_it_has() -> None:
    inner = compose(Bcc="carol@example.test")
    inner.set_payload("text\n")
    del inner["Date"]
    message = compose(Subject="Fwd")
    message.add_attachment(inner)
    sent = message_from_bytes(octets(message), policy=policy.default)
    (part,) = sent.iter_attachments()
    content = part.get_content()
    assert content.keys() == ["From", "To", "Message-ID", "Bcc"]


def test_x_mailer() -> None:
    message = compose()
    message.set_payload("text\n")
    sent = HEADER + b"X-Mailer: tests 1.0\r\n\r\ntext\r\n"
    assert octets(message, x_mailer="tests 1.0") == sent
    message["X-Mailer"] = "theirs"
    message["x-mailer"] = "theirs, too"
    assert octets(message, x_mailer="tests 1.0") == sent
    assert octets(message).count(b"theirs") == 2


# What is in the body


def test_lines_that_begin_with_from_or_a_dot() -> None:
    body = "From alice\n>From bob\n.\n..\n.dot\n\nFrom carol\n"
    for message in (compose(), Message()):
        message.set_payload(body)
        message.preamble = "From here"
        sent = octets(message).partition(b"\r\n\r\n")[2]
        assert sent == body.replace("\n", "\r\n").encode()


def test_the_unix_from_line_is_no_part_of_a_message() -> None:
    source = (
        b"From alice Mon Nov 23\nFrom: alice@example.test\nTo: bob@example.test\n\nx\n"
    )
    assert octets(message_from_bytes(source)).startswith(
        b"From: alice@example.test\r\n"
    )


@pytest.mark.parametrize("body", ["a\rb\nc\r\nd", "a\r\rb", "\n\n", "x", ""])
def test_every_line_end_becomes_crlf(body: str) -> None:
    message = compose()
    message.set_payload(body)
    sent = octets(message)[len(HEADER) + 2 :]
    assert sent.replace(b"\r\n", b"").count(b"\r") == 0
    assert sent.replace(b"\r\n", b"").count(b"\n") == 0
    expected = re.sub("\r\n|\r|\n", "\r\n", body)
    assert sent in {expected.encode(), expected.encode() + b"\r\n"}


def test_long_lines_of_fields_are_folded() -> None:
    people = [f"Recipient Number {n} <r{n}@example.test>" for n in range(200)]
    message = compose(To=", ".join(people), Subject="Grüße " * 100)
    message["References"] = " ".join(f"<{n}@example.test>" for n in range(99))
    message.set_payload("text\n")
    sent = octets(message)
    assert max(map(len, sent.split(b"\r\n"))) <= 80
    reread = message_from_bytes(sent, policy=policy.default)
    assert [a.addr_spec for a in reread["To"].addresses] == [
        f"r{n}@example.test" for n in range(200)
    ]
    assert reread["Subject"].strip() == ("Grüße " * 100).strip()


# What cannot be flattened


def broken_payload(payload: object, content_type: str = "text/plain") -> Message:
    message = Message()
    message["From"] = ALICE
    message["To"] = BOB
    message["Content-Type"] = content_type
    message.set_payload(payload)  # type: ignore[call-overload]  # wrong on purpose
    return message


@pytest.mark.parametrize(
    "message",
    [
        broken_payload(["text"]),
        broken_payload(["text"], "multipart/mixed"),
        broken_payload([5], "multipart/mixed"),
        broken_payload(5, "multipart/mixed"),
        broken_payload(5),
        broken_payload("é"),
        broken_payload("\ud800"),
        broken_payload(["text"], "message/rfc822"),
        broken_payload({"a": 1}),
    ],
)
def test_a_message_that_is_none_is_refused(message: Message) -> None:
    assert "cannot be made into octets" in refusal(message)


def test_addresses_in_a_list_are_no_field() -> None:
    message = MIMEText("Hello")
    message["To"] = [BOB, ALICE]  # type: ignore[assignment]  # which nobody stops
    assert refusal(message) == (
        "the message cannot be made into octets: To is of type list, not text; "
        "commas part addresses"
    )


@pytest.mark.parametrize(
    ("message", "body"),
    [
        (broken_payload(None), b""),
        (broken_payload(b"text"), b"text\r\n"),
        (broken_payload("text", "nonsense"), b"text\r\n"),
        (broken_payload("text", "multipart/mixed"), b"text\r\n"),
        (broken_payload("text", "message/rfc822"), b"text\r\n"),
    ],
)
def test_odd_payloads(message: Message, body: bytes) -> None:
    assert octets(message).partition(b"\r\n\r\n")[2] == body


@pytest.mark.parametrize("content_type", ["multipart/mixed", "message/rfc822"])
def test_a_part_without_a_list_around_it(content_type: str) -> None:
    part = MIMEText("text\n")
    part["Subject"] = "x\nBcc: evil@x.test"
    assert "Subject" in refusal(broken_payload(part, content_type))


def test_a_part_without_a_list_around_it_is_encoded_like_others() -> None:
    part = MIMEText("", "plain", "utf-8")
    part.replace_header("Content-Transfer-Encoding", "8bit")
    part.set_payload("Grüße an alle\n".encode().decode("ascii", "surrogateescape"))
    message = broken_payload(part, "multipart/mixed")
    assert "Grüße an alle".encode() in octets(message)
    assert b"Gr=C3=BC=C3=9Fe an alle" in octets(message, SEVEN_BIT)
