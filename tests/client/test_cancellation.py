"""Rows E14, E15 and T10: a cancelled send, wherever it is, and the one after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final

import anyio
import pytest
from anyio.abc import ByteStream

from esmtp_async import ClientOptions, Event, MessageFinished
from tests.backends import everywhere
from tests.client import telling
from tests.client.cancelling import CancelledAt
from tests.client.certificates import client_context, server_context
from tests.client.checks import BOB, MESSAGE, outcomes, send
from tests.client.played import Played
from tests.client.telling import client_of
from tests.playing import by_the_flight
from tests.raw import (
    HANG,
    TLS,
    After,
    Script,
    Server,
    offering,
    script,
    serving,
)
from tests.transcript import FOLDER, Transcript, load

FIRST: Final = b"Subject: first\r\n\r\nThe first message.\r\n"
# No mode has more places to be cancelled at; the loop must come to its end.
MANY: Final = 200

SECURE: Final[ClientOptions] = {
    "ssl_context": client_context(),
    "username": "u",
    "password": "p",
}
STARTTLS: Final = script(
    EHLO=[offering("STARTTLS"), offering("PIPELINING", "AUTH PLAIN")]
)
MODES: Final[Mapping[str, tuple[Script, ClientOptions]]] = {
    "lockstep": (script(), {"pipelining": "off"}),
    "conformant": (script(), {}),
    "eager": (
        script(EHLO=offering("PIPELINING", "CHUNKING")),
        {"pipelining": "eager"},
    ),
    "starttls": (STARTTLS, {**SECURE, "security": "starttls"}),
    "tls": (
        script(CONNECT=(TLS, b"220 x\r\n"), EHLO=offering("AUTH PLAIN")),
        {**SECURE, "security": "tls"},
    ),
}


async def blocks() -> AsyncIterator[bytes]:
    """Give the first message in pieces."""
    for start in range(0, len(FIRST), 16):
        yield FIRST[start : start + 16]
        await anyio.lowlevel.checkpoint()


async def cancelled(
    server: Server, mode: str, k: int, *, stream: bool, pooled: bool
) -> bool:
    """Send two messages, the first of them cancelled at its k-th suspension."""
    before = len(server.heard)
    events: list[Event] = []
    options = MODES[mode][1].copy()
    options["on_event"] = events.append
    client = server.client(**options)
    if pooled:
        await client.probe()
    message = blocks() if stream else FIRST
    was_cancelled = await CancelledAt(send(client, message), k).run()
    finished = [event for event in events if isinstance(event, MessageFinished)]
    assert len(finished) == 1
    (outcome,) = [result.outcome.name for result in finished[0].recipients]
    events.clear()
    receipt = await send(client)
    assert receipt.accepted == (BOB,)
    await client.aclose()
    conversations = server.heard[before:]
    for heard in conversations:
        await heard.over()
    messages = [text for heard in conversations for text in heard.messages]
    first = messages.count(FIRST)
    assert messages.count(MESSAGE) == 1
    assert len(messages) == first + 1
    if was_cancelled:
        assert first == 0 or outcome in {"UNKNOWN", "ACCEPTED"}
        assert outcome in {"NOT_SENT", "UNKNOWN", "ACCEPTED"}
    else:
        assert outcome == "ACCEPTED"
    assert first == 1 or outcome != "ACCEPTED"
    assert len(conversations) <= 2
    return was_cancelled


@everywhere
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stream", [False, True], ids=["bytes", "stream"])
@pytest.mark.parametrize("pooled", [False, True], ids=["fresh", "pooled"])
async def test_E14_T10_cancelled_at_every_suspension(
    mode: str,
    stream: bool,  # noqa: FBT001
    pooled: bool,  # noqa: FBT001
) -> None:
    async with serving(MODES[mode][0], tls=server_context()) as server:
        for k in range(1, MANY):
            if not await cancelled(server, mode, k, stream=stream, pooled=pooled):
                break
        else:
            pytest.fail("no end in sight")
    assert k > 1


@everywhere
async def test_E15_a_cancelled_upload_never_ends_in_a_dot() -> None:
    scope = anyio.CancelScope()
    events: list[Event] = []
    message = b"Subject: big\r\n\r\n" + (b"x" * 62 + b"\r\n") * 400_000
    slow = script(DATA=(b"354 go\r\n", After(300_000), scope.cancel, HANG))
    async with serving(slow, script()) as server:
        async with server.client(on_event=events.append) as client:
            with scope:
                await send(client, message)
            assert scope.cancelled_caught
            assert await server.heard[0].over() == "reset"
            assert len(server.heard[0].octets) < len(message) / 2
            assert b"\r\n.\r\n" not in server.heard[0].octets
            finished = [e for e in events if isinstance(e, MessageFinished)]
            assert [outcomes(e.recipients) for e in finished] == [
                [("bob", "NOT_SENT", None)]
            ]
            assert (await send(client)).accepted == (BOB,)
            assert len(server.heard) == 2


@everywhere
@pytest.mark.parametrize("chunking", [False, True], ids=["DATA", "BDAT"])
async def test_E9_E15_cancelled_behind_the_commit_point(chunking: bool) -> None:  # noqa: FBT001
    scope = anyio.CancelScope()
    events: list[Event] = []
    end = (scope.cancel, HANG)
    slow = script(
        EHLO=offering("CHUNKING") if chunking else offering(), CONTENT=end, LAST=end
    )
    async with serving(slow, script()) as server:
        async with server.client(on_event=events.append) as client:
            with scope:
                await send(client, blocks())
            assert scope.cancelled_caught
            finished = [e for e in events if isinstance(e, MessageFinished)]
            assert [outcomes(e.recipients) for e in finished] == [
                [("bob", "UNKNOWN", None)]
            ]
            assert isinstance(finished[0].error, anyio.get_cancelled_exc_class())
            assert FIRST in b"".join(server.heard[0].contents)
            assert (await send(client)).accepted == (BOB,)
            assert server.heard[1].contents == [MESSAGE + b".\r\n"]


@everywhere
async def test_E14_cancelled_while_waiting_for_a_connection() -> None:
    events: list[Event] = []
    scope = anyio.CancelScope()
    async with serving(script(CONTENT=(0.05, b"250 ok\r\n"))) as server:
        async with server.client(max_connections=1, on_event=events.append) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(send, client)
                await anyio.sleep(0.01)
                with scope:
                    scope.deadline = anyio.current_time() + 0.01
                    await send(client, FIRST)
            assert scope.cancelled_caught
            first, second = [e for e in events if isinstance(e, MessageFinished)]
            assert outcomes(first.recipients) == [("bob", "NOT_SENT", None)]
            assert outcomes(second.recipients) == [("bob", "ACCEPTED", 250)]
            assert (await send(client)).accepted == (BOB,)
        assert len(server.heard) == 1
        assert server.heard[0].contents == [MESSAGE + b".\r\n"] * 2


class Interrupted(Played):
    """A stream on which the last reply and a cancellation come at once."""

    def __init__(self, transcript: Transcript, scope: anyio.CancelScope) -> None:
        super().__init__(transcript, by_the_flight)
        self._scope = scope

    def _say(self, max_bytes: int) -> bytes:
        octets = super()._say(max_bytes)
        if octets == b"250 queued\r\n":
            self._scope.cancel()
        return octets


@everywhere
async def test_E14_a_reply_that_was_read_counts_though_it_was_overheard() -> None:
    transcript = load(FOLDER / "streamed-data.txt")
    scope = anyio.CancelScope()
    events: list[Event] = []

    async def connect() -> ByteStream:
        return Interrupted(transcript, scope)

    async with client_of(transcript, connect, on_event=events.append) as client:
        with scope:
            await telling.send(client, transcript.messages[0])
        [finished] = [event for event in events if isinstance(event, MessageFinished)]
        assert outcomes(finished.recipients) == [
            ("bob", "ACCEPTED", 250),
            ("carol", "REFUSED", 450),
        ]
        await telling.send(client, transcript.messages[1])
