"""Messages prepared as a client prepares them, and looked at before they are sent."""

from __future__ import annotations

from collections.abc import Callable
from email import message_from_bytes, message_from_string, policy
from email.message import EmailMessage
from typing import Any, Final

import pytest

from esmtp_async import InvalidInput, Recipients, Sendable, SendOptions
from esmtp_async._messages import Outgoing, prepare
from esmtp_async.protocol._content import MailData
from esmtp_async.protocol._extensions import Extensions

ALICE = "alice@example.test"
BOB = "bob@example.test"
DATE = "Mon, 23 Nov 2026 10:00:00 +0000"
MESSAGE_ID = "<1@example.test>"

EIGHT_BIT = Extensions({"8BITMIME": ""})
SEVEN_BIT = Extensions()


def compose(**fields: str) -> EmailMessage:
    """Give a message from Alice to Bob with nothing left to add but these fields."""
    composed = EmailMessage()
    fields = {"From": ALICE, "To": BOB, "Date": DATE, "Message-ID": MESSAGE_ID} | fields
    for name, value in fields.items():
        composed[name.replace("_", "-")] = value
    return composed


def prepared(
    message: Sendable,
    sender: str | None = None,
    recipients: Recipients | None = None,
    **options: Any,  # noqa: ANN401  # those of SendOptions
) -> Outgoing:
    """Prepare a message that is in memory, which waits for nothing."""
    preparing = prepare(message, sender, recipients, SendOptions(**options))
    try:
        preparing.send(None)
    except StopIteration as end:
        outgoing: Outgoing = end.value
        return outgoing
    raise AssertionError("it waits")


def envelope(message: Sendable) -> tuple[str, list[str]]:
    """Give the reverse-path and the forward-paths that a message's header implies."""
    implied = prepared(message).envelope
    sender = implied.reverse_path.mailbox
    assert sender is not None
    return str(sender), [str(each.path.mailbox) for each in implied.recipients]


def octets(
    message: Sendable,
    extensions: Extensions = EIGHT_BIT,
    **options: Any,  # noqa: ANN401
) -> bytes:
    """Give the octets that a server with these extensions would get."""
    return prepared(message, ALICE, BOB, **options).mail_data(extensions).octets


def refusal(
    message: Sendable,
    sender: str | None = None,
    **options: Any,  # noqa: ANN401
) -> str:
    """See that a message is refused, and give the reason."""
    with pytest.raises(InvalidInput) as info:
        prepared(message, sender, None, **options)
    return str(info.value)


async def read(data: MailData) -> bytes:
    """Read all of a message's octets, whether it is a stream or not."""
    pieces = [data.octets]
    while piece := await data.read():
        pieces.append(piece)
    return b"".join(pieces)


# Every way in which the same header section may be given.
FORMS: Final[dict[str, Callable[[bytes], Sendable]]] = {
    "EmailMessage": lambda source: message_from_bytes(source, policy=policy.default),
    "SMTPUTF8": lambda source: message_from_bytes(source, policy=policy.SMTPUTF8),
    "Message": message_from_bytes,
    "bytes": lambda source: source,
    "str": lambda source: source.decode(),
    "EmailMessage from str": lambda source: message_from_string(
        source.decode(), policy=policy.default
    ),
    "Message from str": lambda source: message_from_string(source.decode()),
}


def each_form(*lines: str) -> list[Sendable]:
    source = "\r\n".join([*lines, "", "text", ""]).encode()
    return [make(source) for make in FORMS.values()]


def implied(*lines: str) -> tuple[str, list[str]]:
    """Give the envelope, which is the same for every form."""
    first, *others = [envelope(message) for message in each_form(*lines)]
    assert others == [first] * len(others)
    return first


def paths(*lines: str) -> list[str]:
    return implied(f"From: {ALICE}", *lines)[1]


def refused(*lines: str) -> str:
    """See every form refused, and give the reason, which is the same for each."""
    first, *others = [refusal(message) for message in each_form(*lines)]
    assert others == [first] * len(others)
    return first
