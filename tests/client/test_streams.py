"""The streams that are dialled: anyio's, and ours where asyncio's own loop runs.

What is asked of one is asked of the other.
"""

from __future__ import annotations

import asyncio
import socket

import anyio
import pytest
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSStream

from esmtp_async import _sockets, _transport
from esmtp_async._sockets import SocketByteStream
from tests.backends import everywhere
from tests.client.certificates import client_context, server_context
from tests.client.lines import (
    BIG,
    expect_closed,
    line,
    send_until_it_fails,
    settle,
)

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
