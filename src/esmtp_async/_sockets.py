"""A byte stream over a connected socket, for the event loops of asyncio.

With anyio's own, a fifth to a third of the processor's time of a send goes there into
three things: each read takes a new buffer of 256 KiB, for which the allocator asks the
kernel; each begins and ends a watch over the socket; and each write lets all other
tasks run. Here a read takes 64 KiB at most, the watch goes on, and a write returns at
once where the kernel takes all of it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from esmtp_async._loops import running_loop, wake

#: Octets of one read, at most.
_BLOCK: Final = 65536

_IP: Final = (socket.AF_INET, socket.AF_INET6)


def in_charge() -> bool:
    """Tell whether an event loop runs that these streams are made for.

    It can watch over sockets, which asyncio's other one (Windows) cannot. uvloop and
    trio make anyio's own streams cheap enough.
    """
    return isinstance(running_loop(), asyncio.SelectorEventLoop)


class SocketByteStream(ByteStream):
    """A connected socket that does not block, which the stream takes over.

    Nothing is kept back in writing: when `send` ends, by an error or by cancellation
    too, what the kernel has not taken never goes out. Nor is anything read that nobody
    waits for, so that a look at the socket tells whether something has come. (Octets
    that come in the moment in which who waits is cancelled are for the next.)

    A call that need not wait returns at once, but never two in a row: between them
    other tasks run, so that no server however fast has the event loop for itself.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._attributes = _attributes(connected)
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._ended = False  # nothing more can be read
        self._error: OSError | None = None  # what the connection broke of
        self._octets = b""  # read, and not received yet
        self._watched = False  # the loop tells when there is something to read
        self._arrival: asyncio.Future[None] | None = None  # what `receive` waits for
        self._room: asyncio.Future[None] | None = None  # what `send` waits for
        self._hurried = False  # the last call did not wait

    async def receive(self, max_bytes: int = _BLOCK) -> bytes:
        """Wait for octets, and give at most so many.

        Raises `EndOfStream`, `BrokenResourceError`, `ClosedResourceError`, or
        `BusyResourceError` if another task is waiting for them.
        """
        if max_bytes < 1:
            raise ValueError("max_bytes must be positive")
        _refuse_two(self._arrival, "reading from")
        if not (self._watched or self._octets or self._ended):
            self._watch()
        if self._octets or self._ended:
            await self._take_turns()
        else:
            self._hurried = False
            self._arrival = self._loop.create_future()
            await self._arrival
        octets = self._octets[:max_bytes]
        self._octets = self._octets[max_bytes:]
        if octets:
            return octets
        if self._closed:
            raise anyio.ClosedResourceError
        if self._error is None:
            raise anyio.EndOfStream
        raise anyio.BrokenResourceError from self._error

    def _watch(self) -> None:
        """Have the loop tell what comes; what came unwatched is read at once."""
        self._loop.add_reader(self._socket, self._readable)
        self._watched = True
        self._read()

    def _readable(self) -> None:
        """Read for whoever waits; where nobody does, leave it with the kernel."""
        if self._arrival is None or self._arrival.done():
            self._loop.remove_reader(self._socket)
            self._watched = False
            return
        self._read()
        if self._octets or self._ended:
            self._arrival.set_result(None)

    def _read(self) -> None:
        try:
            self._octets = self._socket.recv(_BLOCK)
        except BlockingIOError:
            return
        except OSError as error:
            self._error = error
        self._ended = not self._octets

    async def send(self, item: bytes) -> None:
        """Write octets, and wait until the kernel has taken them.

        Raises `BrokenResourceError`, `ClosedResourceError`, or `BusyResourceError` if
        another task is writing. What the server said before the connection broke can
        still be received.
        """
        _refuse_two(self._room, "writing to")
        await self._take_turns()
        view = memoryview(item)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                await self._drain()
            except OSError as error:
                if self._closed:
                    raise anyio.ClosedResourceError from None
                self._error = error
                raise anyio.BrokenResourceError from error

    async def _drain(self) -> None:
        self._hurried = False
        self._room = self._loop.create_future()
        self._loop.add_writer(self._socket, self._writable)
        try:
            await self._room
        finally:
            if not self._closed:
                self._loop.remove_writer(self._socket)

    def _writable(self) -> None:
        wake(self._room)

    async def send_eof(self) -> None:
        """Tell the server that nothing more will be written."""
        _refuse_two(self._room, "writing to")
        await self._take_turns()
        with suppress(OSError):  # it has gone; who reads is told
            self._socket.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        """Close the socket; what was not received is lost."""
        if not self._closed:
            self._closed = self._ended = True
            self._octets = b""
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
            wake(self._arrival)
            wake(self._room)
        await checkpoint()

    async def _take_turns(self) -> None:
        """Let others run, unless they just did: the call before had to wait."""
        await (checkpoint if self._hurried else checkpoint_if_cancelled)()
        self._hurried = True

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """What anyio's streams over sockets tell, too."""
        return self._attributes


def _attributes(connected: socket.socket) -> Mapping[Any, Callable[[], Any]]:
    attributes: dict[Any, Callable[[], Any]] = {
        SocketAttribute.family: lambda: connected.family,
        SocketAttribute.local_address: lambda: _address(connected.getsockname()),
        SocketAttribute.raw_socket: lambda: connected,
        SocketAttribute.remote_address: lambda: _address(connected.getpeername()),
    }
    if connected.family in _IP:
        attributes |= {
            SocketAttribute.local_port: lambda: connected.getsockname()[1],
            SocketAttribute.remote_port: lambda: connected.getpeername()[1],
        }
    return attributes


def _refuse_two(waiting: asyncio.Future[None] | None, action: str) -> None:
    if waiting is not None and not waiting.done():
        raise anyio.BusyResourceError(action)


def _address(address: str | tuple[str, int]) -> str | tuple[str, int]:
    """Give the address of an IP socket as host and port, whatever else it has."""
    return address if isinstance(address, str) else address[:2]
