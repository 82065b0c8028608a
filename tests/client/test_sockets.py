"""The streams that are dialled: anyio's, and our own where asyncio's loop runs.

What is asked of both is asked on every event loop; what ours promises beyond that, on
asyncio's and on uvloop, though only asyncio's gets it by itself.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute
from anyio.lowlevel import checkpoint
from anyio.streams.tls import TLSStream

from esmtp_async import _attempts, _sockets, _transport
from esmtp_async._endpoint import Endpoint
from esmtp_async._sockets import SocketByteStream
from tests.backends import everywhere
from tests.client.cancelling import InterruptedAt
from tests.client.certificates import client_context, server_context

#: More than the kernel takes for a peer that does not read.
BIG: Final = b"0123456789abcdef" * 1024 * 1024


class Line(NamedTuple):
    """A stream, and the peer's blocking socket."""

    stream: ByteStream
    peer: socket.socket

    def reset(self) -> None:
        """Have the peer reset the connection."""
        linger = struct.pack("ii", 1, 0)
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.peer.close()

    async def drain(self) -> bytes:
        """Read all that still comes, as the peer."""
        return await anyio.to_thread.run_sync(self._drain)

    def _drain(self) -> bytes:
        octets = bytearray()
        try:
            while block := self.peer.recv(1 << 20):
                octets += block
        except ConnectionResetError:
            pass
        return bytes(octets)


async def dial(host: str, port: int) -> ByteStream:
    """Dial as the client does."""
    return await _transport.dial(Endpoint(host, port))


async def take_over(host: str, port: int) -> SocketByteStream:
    """Make a stream of ours, whatever the loop."""
    return SocketByteStream(await _attempts.connect_tcp(host, port))


@asynccontextmanager
async def line(
    connect: Callable[[str, int], Awaitable[ByteStream]] = dial,
    host: str = "127.0.0.1",
) -> AsyncIterator[Line]:
    """Connect a stream with a socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        stream = await connect(host, listener.getsockname()[1])
        peer, _ = listener.accept()
    peer.settimeout(10)
    with peer:
        async with stream:
            yield Line(stream, peer)


@asynccontextmanager
async def our_line() -> AsyncIterator[tuple[SocketByteStream, Line]]:
    """As `line`, with a stream of ours."""
    async with line(take_over) as each:
        assert isinstance(each.stream, SocketByteStream)
        yield each.stream, each


async def settle() -> None:
    """Let everybody do what can be done without waiting."""
    for _ in range(10):
        await checkpoint()


async def send_until_it_fails(stream: ByteStream) -> None:
    """Send, and once more: of a reset a stream may hear late."""
    for _ in range(3):
        await stream.send(b"NOOP\r\n")


async def expect_closed(work: Callable[[], Awaitable[object]]) -> None:
    """Do what cannot be done, for the stream was closed."""
    with pytest.raises(anyio.ClosedResourceError):
        await work()


# Which stream it is


@everywhere
async def test_ours_is_dialled_on_the_loop_of_asyncio_and_nowhere_else() -> None:
    try:
        ours = isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop)
    except RuntimeError:  # it is trio's
        ours = False
    async with line() as (stream, _):
        assert isinstance(stream, SocketByteStream) is ours
        assert _sockets.in_charge() is ours


@pytest.mark.asyncio
async def test_a_callback_of_the_loop_is_no_place_for_ours() -> None:
    """There may run trio, as a guest."""
    told: list[bool] = []
    asyncio.get_running_loop().call_soon(lambda: told.append(_sockets.in_charge()))
    await settle()
    assert told == [False]


# What both do


@everywhere
async def test_octets_go_both_ways() -> None:
    async with line() as (stream, peer):
        for number in range(3):
            await stream.send(b"EHLO %d\r\n" % number)
            assert peer.recv(100) == b"EHLO %d\r\n" % number
            peer.sendall(b"250 %d\r\n" % number)
            assert await stream.receive() == b"250 %d\r\n" % number


@everywhere
async def test_no_more_octets_than_were_asked_for() -> None:
    async with line() as (stream, peer):
        peer.sendall(b"250 ok")
        assert await stream.receive(4) == b"250 "
        assert await stream.receive(1) == b"o"
        assert await stream.receive(4) == b"k"
        with pytest.raises(ValueError, match="max_bytes"):
            await stream.receive(0)


@everywhere
async def test_waiting_for_octets() -> None:
    async with line() as (stream, peer), anyio.create_task_group() as group:
        received: list[bytes] = []

        async def receive() -> None:
            received.append(await stream.receive())

        for octets in (b"250 a\r\n", b"250 b\r\n"):
            group.start_soon(receive)
            await settle()
            peer.sendall(octets)
            with anyio.fail_after(10):
                while not received:
                    await anyio.sleep(0.001)
            assert received.pop() == octets


@everywhere
async def test_the_end_of_the_stream() -> None:
    async with line() as (stream, peer):
        peer.sendall(b"221 bye\r\n")
        peer.shutdown(socket.SHUT_WR)
        assert await stream.receive() == b"221 bye\r\n"
        for _ in range(2):
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
        await stream.send(b"QUIT\r\n")
        assert peer.recv(100) == b"QUIT\r\n"


@everywhere
async def test_the_end_of_what_we_write() -> None:
    async with line() as each:
        await each.stream.send(b"QUIT\r\n")
        await each.stream.send_eof()
        assert await each.drain() == b"QUIT\r\n"
        each.peer.sendall(b"221 bye\r\n")
        assert await each.stream.receive() == b"221 bye\r\n"


@everywhere
async def test_a_reset() -> None:
    async with line() as each:
        each.reset()
        with pytest.raises(anyio.BrokenResourceError) as info:
            await each.stream.receive()
        assert isinstance(info.value.__cause__, ConnectionResetError)
        with pytest.raises(anyio.BrokenResourceError):
            await send_until_it_fails(each.stream)


@everywhere
async def test_a_reset_while_octets_are_waited_for() -> None:
    async with line() as each, anyio.create_task_group() as group:
        broken = anyio.Event()

        async def receive() -> None:
            with pytest.raises(anyio.BrokenResourceError):
                await each.stream.receive()
            broken.set()

        group.start_soon(receive)
        await settle()
        each.reset()
        with anyio.fail_after(10):
            await broken.wait()


@everywhere
async def test_nothing_can_be_done_once_it_is_closed() -> None:
    async with line() as (stream, peer):
        peer.sendall(b"250 ok\r\n")
        assert await stream.receive() == b"250 ok\r\n"
        await stream.aclose()
        await stream.aclose()
        assert peer.recv(100) == b""
        with pytest.raises(anyio.ClosedResourceError):
            await stream.receive()
        with pytest.raises(anyio.ClosedResourceError):
            await stream.send(b"NOOP\r\n")


@everywhere
async def test_whoever_waits_is_told_that_it_was_closed() -> None:
    async with line() as (stream, _):
        async with anyio.create_task_group() as group:
            group.start_soon(expect_closed, stream.receive)
            group.start_soon(expect_closed, lambda: stream.send(BIG))
            await settle()
            await stream.aclose()


@everywhere
async def test_two_may_not_do_the_same() -> None:
    async with line() as (stream, peer), anyio.create_task_group() as group:
        group.start_soon(stream.receive)
        group.start_soon(stream.send, BIG)
        await settle()
        with pytest.raises(anyio.BusyResourceError):
            await stream.receive()
        with pytest.raises(anyio.BusyResourceError):
            await stream.send(b"NOOP\r\n")
        group.cancel_scope.cancel()
    peer.close()


@everywhere
async def test_a_peer_that_does_not_read_is_waited_for() -> None:
    async with line() as each:
        sent = anyio.Event()
        heard: list[bytes] = []

        async def send() -> None:
            await each.stream.send(BIG)
            sent.set()
            await each.stream.send_eof()

        async def hear() -> None:
            heard.append(await each.drain())

        async with anyio.create_task_group() as group:
            group.start_soon(send)
            await settle()
            assert not sent.is_set()
            group.start_soon(hear)
        assert heard == [BIG]


@everywhere
async def test_aborting_a_write_that_was_cancelled_keeps_the_rest_back() -> None:
    async with line() as each:
        with anyio.move_on_after(0.05) as scope:
            await each.stream.send(BIG)
        assert scope.cancelled_caught
        await _transport.abort(each.stream)
        assert len(await each.drain()) < len(BIG)


@everywhere
async def test_octets_are_not_lost_with_who_waited_for_them() -> None:
    async with line() as (stream, peer):
        for octets in (b"250 a\r\n", b"250 b\r\n"):
            with anyio.move_on_after(0.01) as scope:
                await stream.receive()
            assert scope.cancelled_caught
            peer.sendall(octets)
            assert await stream.receive() == octets


@everywhere
async def test_nothing_is_written_in_a_cancelled_scope() -> None:
    async with line() as each:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await each.stream.send(b"NOOP\r\n")
        assert scope.cancelled_caught
        await each.stream.send_eof()
        assert await each.drain() == b""


@everywhere
async def test_what_comes_while_nobody_waits_can_be_seen() -> None:
    async with line() as (stream, peer):
        for octets in (b"220 x\r\n", b"250 ok\r\n"):
            assert _transport.is_quiet(stream)
            peer.sendall(octets)
            await settle()
            assert not _transport.is_quiet(stream)
            assert await stream.receive() == octets
        peer.close()
        await settle()
        assert not _transport.is_quiet(stream)


@everywhere
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_what_a_socket_tells_of_itself(host: str) -> None:
    async with line(host=host) as (stream, peer):
        raw = stream.extra(SocketAttribute.raw_socket)
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert stream.extra(SocketAttribute.family) == peer.family
        local, remote = peer.getpeername()[:2], peer.getsockname()[:2]
        assert stream.extra(SocketAttribute.local_address) == local
        assert stream.extra(SocketAttribute.remote_address) == remote
        assert stream.extra(SocketAttribute.local_port) == local[1]
        assert stream.extra(SocketAttribute.remote_port) == remote[1]
        assert _transport.local_ip(stream) == host
        assert not _transport.is_unix_socket(stream)


@everywhere
async def test_tls_over_it() -> None:
    async with line() as (stream, peer), anyio.create_task_group() as group:

        def serve() -> None:
            with server_context().wrap_socket(peer, server_side=True) as records:
                records.sendall(records.recv(100))
                records.sendall(records.recv(100))

        group.start_soon(anyio.to_thread.run_sync, serve)
        records = await TLSStream.wrap(
            stream,
            hostname="127.0.0.1",
            ssl_context=client_context(),
            standard_compatible=False,
        )
        for octets in (b"NOOP\r\n", b"QUIT\r\n"):
            await records.send(octets)
            assert await records.receive() == octets
        assert records.extra(SocketAttribute.raw_socket) is stream.extra(
            SocketAttribute.raw_socket
        )
        with pytest.raises(anyio.EndOfStream):
            await records.receive()


# What ours does beyond that


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
