"""A stream of the client's, and at the other end a socket that a test holds."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import anyio
import pytest
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from esmtp_async import _attempts, _transport
from esmtp_async._endpoint import Endpoint
from esmtp_async._sockets import SocketByteStream

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
