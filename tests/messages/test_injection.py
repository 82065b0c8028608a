"""Header injection (I8): no value and no name makes another line of a field."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Final

import pytest

from esmtp_async import InvalidInput

from .prepared import ALICE, BOB, compose, octets, refusal


class LiteralHeader(str):
    """A value that does not fold as headers do."""

    __slots__ = ()

    name = "X-Literal"

    def fold(self, **_: object) -> str:
        return f"{self.name}: {self}\r\n"


INJECTIONS: Final = [
    "x\r\nBcc: evil@example.test",
    "x\nBcc: evil@example.test",
    "x\rBcc: evil@example.test",
    "x\r\n\r\nbody",
    "x\n\nbody",
    "x\r\n\tfolded\r\nBcc: evil@example.test",
    "x\r",
    "x\n.\n",
    "x\r\n",
    "\r\n",
    "\nx",
]


@pytest.mark.parametrize("value", INJECTIONS)
def test_I8_literal_header(value: str) -> None:
    message = compose()
    message["X-Literal"] = LiteralHeader(value)
    assert refusal(message).startswith("header field 'X-Literal' holds a line end")


def test_I8_literal_header_that_is_right() -> None:
    message = compose()
    message["X-Literal"] = LiteralHeader("one\r\n two\r\n\tthree")
    assert b"X-Literal: one\r\n two\r\n\tthree\r\n" in octets(message)


def test_I8_literal_header_that_names_another_field() -> None:
    class Other(LiteralHeader):
        def fold(self, **_: object) -> str:
            return "Bcc: evil@example.test\r\n"

    message = compose()
    message["X-Literal"] = Other("x")
    assert refusal(message)


@pytest.mark.parametrize("value", INJECTIONS)
@pytest.mark.parametrize("name", ["Subject", "To", "X-Other", "Content-Type"])
def test_I8_value_of_the_old_policy(name: str, value: str) -> None:
    message = Message()
    message["From"] = ALICE
    message["Cc"] = BOB
    message[name] = value
    try:
        sent = octets(message)
    except InvalidInput:
        return
    # Only what stands at the end may vanish.
    assert value.strip("\r\n") in {"", "x"}
    names = message_from_bytes(sent).keys()
    assert sorted(names) == sorted(["From", "Cc", name, "Date", "Message-ID"])


@pytest.mark.parametrize("value", INJECTIONS[:8])
@pytest.mark.parametrize(
    "part", [MIMEText("text"), MIMEApplication(b"octets")], ids=["text", "application"]
)
def test_I8_field_of_a_part(part: Message, value: str) -> None:
    del part["Content-Disposition"]
    part.add_header("Content-Disposition", "attachment", filename=value)
    message = MIMEMultipart()
    message["From"] = ALICE
    message["To"] = BOB
    message.attach(part)
    assert "'Content-Disposition' holds a line end" in refusal(message)


@pytest.mark.parametrize("padding", ["", " y" * 50])
@pytest.mark.parametrize("name", ["Subject", "Reply-To", "X-Other"])
@pytest.mark.parametrize("old", [policy.default, policy.compat32])
def test_I8_encoded_word_that_stands_for_a_line_end(
    old: policy.Policy, name: str, padding: str
) -> None:
    word = "=?utf-8?q?x=0D=0ABcc:_evil=40example.test=0D=0A?="
    fields = f"From: {ALICE}\nTo: {BOB}\n{name}: {word}{padding} <b@c.test>\n\n"
    message = message_from_bytes(fields.encode(), policy=old)
    try:
        sent = octets(message)
    except InvalidInput:
        return
    names = ["From", "To", name, "Date", "Message-ID"]
    assert message_from_bytes(sent).keys() == names


@pytest.mark.parametrize(
    "name",
    ["X Space", "X:Colon", "", " ", "X\r\nBcc: evil@x.test", "Bcc: x", "Xü", "\x7f"],
)
@pytest.mark.parametrize("kind", [EmailMessage, Message])
def test_I8_name_of_a_field(kind: type[Message], name: str) -> None:
    message = kind()
    message["From"] = ALICE
    message["To"] = BOB
    message[name] = "x"
    assert refusal(message)
