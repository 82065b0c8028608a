"""Reading at the server's end: exact, bounded, and the same however octets are cut."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from esmtp_async import _transport
from esmtp_async.testing import memory_pipe
from esmtp_async.testing._wire import BLOCK, Gone, LineTooLong, Wire
from tests.backends import everywhere

#: What comes behind whatever is read.
NEXT = b"NEXT\r\n"

Reading = Callable[[Wire], Awaitable[object]]


async def read(octets: bytes, reading: Reading, step: int) -> object:
    """Read something from octets that come in steps; what is behind it must be left."""
    client, server = memory_pipe(step)
    wire = Wire(server, [])
    result: object = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.send, octets + NEXT)
        try:
            result = await reading(wire)
        except LineTooLong:
            result = LineTooLong
        assert await wire.line(len(NEXT)) == NEXT
    assert not wire.pending
    return result


CASES: dict[str, tuple[bytes, Reading, object]] = {
    "line": (b"12345678\r\n", lambda wire: wire.line(10), b"12345678\r\n"),
    "long line": (b"123456789\r\n", lambda wire: wire.line(10), LineTooLong),
    "longer line": (b"x" * 99 + b"\r\n", lambda wire: wire.line(10), LineTooLong),
    "empty line": (b"\n", lambda wire: wire.line(10), b"\n"),
    "octets": (b"\r\n.\r\n", lambda wire: wire.octets(5, 5), b"\r\n.\r\n"),
    "no octets": (b"", lambda wire: wire.octets(0, 5), b""),
    "many octets": (b"123456", lambda wire: wire.octets(6, 5), None),
    "data": (b"12345678\r\n.\r\n", lambda wire: wire.mail_data(10), b"12345678\r\n"),
    "no data": (b".\r\n", lambda wire: wire.mail_data(10), b""),
    "a stuffed dot": (b"..\r\n.\r\n", lambda wire: wire.mail_data(10), b"..\r\n"),
    "much data": (b"123456789\r\n.\r\n", lambda wire: wire.mail_data(10), None),
    "more data": (b"x\r\n" * 99 + b".\r\n", lambda wire: wire.mail_data(10), None),
}


@everywhere
@pytest.mark.parametrize("step", [1, 2, 3, 4, 7, 1000])
@pytest.mark.parametrize("name", CASES)
async def test_what_is_read_ends_where_it_ends(name: str, step: int) -> None:
    octets, reading, expected = CASES[name]
    assert await read(octets, reading, step) == expected


@everywhere
@pytest.mark.parametrize(
    "reading",
    [
        lambda wire: wire.line(10),
        lambda wire: wire.octets(10**7, 10),
        lambda wire: wire.mail_data(10),
    ],
)
async def test_what_is_too_long_is_thrown_away_as_it_comes(reading: Reading) -> None:
    client, server = memory_pipe()
    wire = Wire(server, [])
    held = []

    async def flood() -> None:
        for _ in range(100):
            await client.send(b"x" * 10_000)
            held.append(len(wire.received))
        await client.aclose()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flood)
        with pytest.raises(Gone):
            await reading(wire)
    assert max(held) <= 2 * BLOCK


@everywhere
async def test_a_wire_that_was_closed_can_be_let_go_of_again() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, let_go)
            async with await anyio.connect_tcp("127.0.0.1", port) as client:
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await client.receive()
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()


@everywhere
async def test_a_client_that_is_gone_before_the_end_is_said() -> None:
    """Trio lets the kernel's own error through: there is nobody to say it to."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        client = await anyio.connect_tcp("127.0.0.1", port)
        closed: list[Wire] = []
        async with anyio.create_task_group() as tasks:

            async def close(stream: anyio.abc.SocketStream) -> None:
                await _transport.abort(client)
                closed.append(Wire(stream, []))
                await closed[0].close()
                tasks.cancel_scope.cancel()

            tasks.start_soon(listener.serve, close)
    with pytest.raises(anyio.ClosedResourceError):
        await closed[0].line(10)


async def let_go(stream: anyio.abc.ByteStream) -> None:
    wire = Wire(stream, [])
    await wire.reset()
    wire.end_input()
    await wire.reset()
    await wire.close()


@everywhere
async def test_closing_twice_is_closing_once() -> None:
    client, server = memory_pipe()
    wire = Wire(server, [])
    wire.reply(b"bye")
    await client.send_eof()
    await wire.close()
    await wire.close()
    assert await client.receive() == b"bye"
    with pytest.raises(anyio.EndOfStream):
        await client.receive()
