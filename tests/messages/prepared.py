"""Messages prepared as a client prepares them, and looked at before they are sent."""

from __future__ import annotations

from email.message import EmailMessage, Message
from functools import partial

import anyio
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


def compose(message: Message | None = None, /, **fields: str) -> EmailMessage:
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
    **options: str,
) -> Outgoing:
    """Prepare a message."""
    given = SendOptions(**options)
    return anyio.run(partial(prepare, message, sender, recipients, given))


def envelope(message: Sendable) -> tuple[str, list[str]]:
    """Give the reverse-path and the forward-paths that a message's header implies."""
    implied = prepared(message).envelope
    sender = implied.reverse_path.mailbox
    assert sender is not None
    return str(sender), [str(each.path.mailbox) for each in implied.recipients]


def octets(
    message: Sendable, extensions: Extensions = EIGHT_BIT, **options: str
) -> bytes:
    """Give the octets that a server with these extensions would get."""
    return prepared(message, ALICE, BOB, **options).mail_data(extensions).octets


def refusal(message: Sendable, sender: str | None = None, **options: str) -> str:
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
