"""Our stream over sockets: what it promises beyond what every stream does.

It is seen on asyncio's loop and on uvloop, though only asyncio's gets it by itself.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute

from esmtp_async import _transport
from esmtp_async._sockets import SocketByteStream
from tests.client.cancelling import InterruptedAt
from tests.client.lines import (
    BIG,
    expect_closed,
    our_line,
    send_until_it_fails,
    settle,
)


@pytest.mark.asyncio
async def test_a_reset_is_told_as_often_as_one_asks() -> None:
    async with our_line() as (stream, each):
        each.reset()
        for _ in range(2):
            with pytest.raises(anyio.BrokenResourceError) as info:
                await stream.receive()
            assert isinstance(info.value.__cause__, ConnectionResetError)
        await stream.send_eof()


async def suspensions(stream: ByteStream, octets: bytes | None = None) -> int:
    """Send octets, or receive some; tell how often that let others run."""
    call = stream.receive() if octets is None else stream.send(octets)
    counted = InterruptedAt(_whole(call), 0, lambda: None)
    await counted
    return counted.suspensions


async def _whole(call: Awaitable[object]) -> None:
    await call


@pytest.mark.asyncio
async def test_a_call_that_need_not_wait_returns_at_once_but_never_two_in_a_row() -> (
    None
):
    async with our_line() as (stream, (_, peer)):
        assert await suspensions(stream, b"a") == 0
        assert await suspensions(stream, b"b") == 1
        assert await suspensions(stream, b"c") == 1
        for octets in (b"d", b"e"):
            peer.sendall(octets)
            await settle()
            assert await suspensions(stream) == 1
        asyncio.get_running_loop().call_soon(peer.sendall, b"f")
        assert await suspensions(stream) == 1  # it waits
        assert await suspensions(stream, b"g") == 0


@pytest.mark.asyncio
async def test_a_peer_that_does_not_read_is_asked_about_once() -> None:
    async with our_line() as (stream, each):
        blocked = InterruptedAt(stream.send(BIG), 0, lambda: None)
        writing = asyncio.create_task(_whole(blocked))
        await asyncio.sleep(0.05)
        assert blocked.suspensions == 1
        hearing = asyncio.create_task(each.drain())
        await writing
        assert await suspensions(stream, b"a") == 0
        await stream.send_eof()
        assert await hearing == BIG + b"a"


@pytest.mark.asyncio
async def test_the_watch_over_a_socket_goes_on_while_somebody_waits() -> None:
    loop = asyncio.get_running_loop()
    async with our_line() as (stream, (_, peer)):
        raw = stream.extra(SocketAttribute.raw_socket)
        for _ in range(3):
            loop.call_soon(peer.sendall, b"250 ok\r\n")
            assert await stream.receive() == b"250 ok\r\n"
            await settle()
            assert stream._watched
        peer.sendall(b"421 bye\r\n")
        await settle()
        assert not stream._watched
        assert not loop.remove_reader(raw)


@pytest.mark.asyncio
async def test_nothing_is_watched_that_is_closed_or_given_up() -> None:
    loop = asyncio.get_running_loop()
    async with our_line() as (stream, _):
        descriptor = stream.extra(SocketAttribute.raw_socket).fileno()
        with anyio.move_on_after(0.01):
            await stream.send(BIG)
        assert not loop.remove_writer(descriptor)
        async with anyio.create_task_group() as group:
            group.start_soon(expect_closed, stream.receive)
            group.start_soon(expect_closed, lambda: stream.send(BIG))
            await settle()
            await stream.aclose()
            assert not loop.remove_reader(descriptor)
            assert not loop.remove_writer(descriptor)


@pytest.mark.asyncio
async def test_a_fast_server_does_not_have_the_loop_for_itself() -> None:
    async with our_line() as (stream, (_, peer)):
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        peer.sendall(b"x" * 100)
        for _ in range(100):
            await stream.receive(1)
        assert turns >= 99
        counting.cancel()


@pytest.mark.asyncio
async def test_what_was_not_taken_when_a_write_was_cancelled_never_goes_out() -> None:
    """Not even if nobody aborts the stream."""
    async with our_line() as (stream, each):
        writing = asyncio.create_task(stream.send(BIG))
        await asyncio.sleep(0.05)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await settle()
        await stream.send_eof()
        heard = await each.drain()
        assert BIG.startswith(heard)
        assert len(heard) < len(BIG)


@pytest.mark.asyncio
async def test_a_task_is_cancelled_that_waits_for_octets() -> None:
    async with our_line() as (stream, (_, peer)):
        reading = asyncio.create_task(stream.receive())
        await settle()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        peer.sendall(b"250 ok\r\n")
        await settle()
        assert not _transport.is_quiet(stream)
        assert await stream.receive() == b"250 ok\r\n"


@pytest.mark.asyncio
async def test_octets_that_are_there_are_not_given_in_a_cancelled_scope() -> None:
    async with our_line() as (stream, (_, peer)):
        peer.sendall(b"250 ok\r\n")
        with anyio.CancelScope() as scope:
            scope.cancel()
            await stream.receive()
        assert scope.cancelled_caught
        assert await stream.receive() == b"250 ok\r\n"


@pytest.mark.asyncio
async def test_octets_that_come_as_their_reader_is_cancelled_are_for_the_next() -> None:
    async with our_line() as (stream, (_, peer)):
        reading = asyncio.create_task(stream.receive())
        await settle()
        peer.sendall(b"250 ok\r\n")
        stream._readable()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await settle()
        assert await stream.receive() == b"250 ok\r\n"


@pytest.mark.asyncio
async def test_a_false_alarm_wakes_nobody() -> None:
    async with our_line() as (stream, (_, peer)):
        reading = asyncio.create_task(stream.receive())
        await settle()
        stream._readable()
        await settle()
        assert not reading.done()
        peer.sendall(b"250 ok\r\n")
        assert await reading == b"250 ok\r\n"


@pytest.mark.asyncio
async def test_the_last_words_of_a_server_that_reset_can_be_read() -> None:
    async with our_line() as (stream, (_, peer)):
        await stream.send(b"octets it never reads")
        peer.sendall(b"421 bye\r\n")
        peer.close()  # which resets, for there is something unread
        with pytest.raises(anyio.BrokenResourceError) as info:
            await send_until_it_fails(stream)
        cause = info.value.__cause__
        assert isinstance(cause, OSError)
        assert await stream.receive() == b"421 bye\r\n"
        with pytest.raises(anyio.BrokenResourceError) as info:
            await stream.receive()
        assert info.value.__cause__ is cause


@pytest.mark.asyncio
async def test_octets_nobody_took_are_gone_with_the_stream() -> None:
    async with our_line() as (stream, (_, peer)):
        peer.sendall(b"250 ok\r\n")
        assert await stream.receive(3) == b"250"
        await stream.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await stream.receive()


@pytest.mark.asyncio
async def test_a_unix_socket_has_an_address_without_a_port() -> None:
    near, far = socket.socketpair()
    near.setblocking(False)  # noqa: FBT003
    with far:
        async with SocketByteStream(near) as stream:
            assert stream.extra(SocketAttribute.remote_address) == ""
            assert stream.extra(SocketAttribute.local_port, None) is None
            assert stream.extra(SocketAttribute.remote_port, None) is None
            assert _transport.is_unix_socket(stream)
            assert _transport.local_ip(stream) is None
