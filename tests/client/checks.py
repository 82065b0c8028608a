"""What the tests of the client send, and how they look at what came of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from email.message import EmailMessage
from typing import Any, Final, TypedDict, TypeVar, Unpack

import pytest

from esmtp_async import (
    InvalidInput,
    Receipt,
    RecipientResult,
    Recipients,
    Sendable,
    SendOptions,
    SMTPClient,
    SMTPError,
    Stage,
)
from tests.raw import Server
from tests.taps import Tap

ALICE: Final = "alice@example.test"
BOB: Final = "bob@example.test"
CAROL: Final = "carol@example.test"
MESSAGE: Final = b"Subject: hello\r\n\r\nHello.\r\n"
#: A message that says itself who it is from and for.
ADDRESSED: Final = (
    b"From: Alice <alice@example.test>\r\n"
    b"To: bob@example.test\r\n"
    b"Subject: hello\r\n"
    b"\r\n"
    b"Hello.\r\n"
)

E = TypeVar("E", bound=SMTPError)


class Sending(TypedDict, total=False):
    """The arguments of `SMTPClient.send`."""

    sender: str | None
    recipients: Recipients | None
    options: SendOptions | None
    all_or_nothing: bool
    timeout: float | None


async def send(
    client: SMTPClient, message: Sendable = MESSAGE, **sending: Unpack[Sending]
) -> Receipt:
    """Send from Alice to Bob, unless told otherwise."""
    sending.setdefault("sender", ALICE)
    sending.setdefault("recipients", BOB)
    return await client.send(message, **sending)


async def failure(
    client: SMTPClient,
    kind: type[E],
    message: Sendable = MESSAGE,
    **sending: Unpack[Sending],
) -> E:
    """Send, see exactly this error, and give it."""
    with pytest.raises(kind) as info:
        await send(client, message, **sending)
    assert type(info.value) is kind
    return info.value


def outcomes(results: Iterable[RecipientResult]) -> list[tuple[str, str, int | None]]:
    """Give name, outcome and code of each recipient."""
    return [
        (
            result.address.partition("@")[0],
            result.outcome.name,
            None if result.reply is None else result.reply.code,
        )
        for result in results
    ]


async def assert_poisoned(server: Server, client: SMTPClient, *verbs: str) -> None:
    """See that the first connection was aborted and never written to again.

    `verbs` are all that the client may have said on it. The next message goes out
    on a new connection.
    """
    heard, tap = server.heard[0], server.taps[0]
    assert tap.closed == 1
    assert await heard.over() in {"reset", "eof"}
    written = len(tap.writes)
    receipt = await send(client)
    assert receipt.accepted == (BOB,)
    assert len(server.heard) == len(server.taps) == 2
    assert len(tap.writes) == written
    assert heard.verbs == list(verbs)
    assert server.heard[1].contents == [MESSAGE + b".\r\n"]


async def never() -> Tap:
    """Stand in for the server where nothing may be connected to."""
    pytest.fail("a connection was opened")


async def refusal(message: object = MESSAGE, **sending: object) -> str:
    """See that it is refused without a connection; give what the caller is told."""
    arguments: dict[str, Any] = {"sender": ALICE, "recipients": BOB, **sending}
    sent: Any = message
    async with SMTPClient(connect=never) as client:
        with pytest.raises(InvalidInput) as info:
            await client.send(sent, **arguments)
    assert info.value.stage is Stage.LOCAL
    told = str(info.value)
    assert told.isprintable()
    return told


def simple(**fields: str) -> EmailMessage:
    """Give a message with these header fields, From and To among them."""
    message = EmailMessage()
    message["From"] = ALICE
    message["To"] = BOB
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    message.set_content("Hello.\n")
    return message


async def big_stream(count: int = 80) -> AsyncIterator[bytes]:
    """Give 5 MB in blocks."""
    for _ in range(count):
        yield b"x" * 65534 + b"\r\n"
