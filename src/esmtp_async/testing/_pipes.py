"""In-memory pipes: two byte streams, each the other's peer, without a network.

They behave as a TCP connection does: bounded buffers, pieces of any size, an end of
stream when the peer closes, an error when the peer resets.
"""

from __future__ import annotations

from typing import Final

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

#: Octets one direction holds until its reader takes some.
CAPACITY: Final = 64 * 1024


class _Channel:
    """One direction of a pipe: the octets on their way and how it may have ended."""

    def __init__(self, capacity: int) -> None:
        self.octets: bytearray = bytearray()
        self.capacity: int = capacity
        self.finished: bool = False  # no more will be sent
        self.abandoned: bool = False  # no more will be received
        self.broken: bool = False  # what was on its way is lost
        self._changed = anyio.Event()

    def change(self) -> None:
        """Wake whoever waits for this direction."""
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def changed(self) -> None:
        """Wait for the next change."""
        await self._changed.wait()


class MemoryStream(ByteStream):
    """One end of a pipe; `memory_pipe` makes both."""

    def __init__(self, incoming: _Channel, outgoing: _Channel) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._closed = False
        self._receiving = anyio.ResourceGuard("receiving from")
        self._sending = anyio.ResourceGuard("sending to")

    @property
    def abandoned(self) -> bool:
        """Whether the peer has closed or reset its end."""
        return self._outgoing.abandoned or self._outgoing.broken

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Wait for octets and give at most `max_bytes` of them.

        Raises anyio's `EndOfStream`, `ClosedResourceError` or `BrokenResourceError`;
        `ValueError` for less than one octet.
        """
        if max_bytes < 1:
            raise ValueError("max_bytes must be positive")
        with self._receiving:
            await checkpoint()
            while not self._receivable():
                await self._incoming.changed()
            octets = bytes(self._incoming.octets[:max_bytes])
            del self._incoming.octets[:max_bytes]
            self._incoming.change()
            return octets

    def _receivable(self) -> bool:
        if self._closed:
            raise anyio.ClosedResourceError
        if self._incoming.broken:
            raise anyio.BrokenResourceError
        if self._incoming.finished and not self._incoming.octets:
            raise anyio.EndOfStream
        return bool(self._incoming.octets)

    async def send(self, item: bytes) -> None:
        """Send octets, waiting while the peer has too many to read."""
        with self._sending:
            await checkpoint()
            unsent = memoryview(item)
            while self._sendable() and unsent:
                room = self._outgoing.capacity - len(self._outgoing.octets)
                if room:
                    self._outgoing.octets += unsent[:room]
                    unsent = unsent[room:]
                    self._outgoing.change()
                else:
                    await self._outgoing.changed()

    def _sendable(self) -> bool:
        if self._closed:
            raise anyio.ClosedResourceError
        if self.abandoned:
            raise anyio.BrokenResourceError
        if self._outgoing.finished:
            raise anyio.ClosedResourceError
        return True

    async def send_eof(self) -> None:
        """Tell the peer that nothing more will be sent."""
        self._outgoing.finished = True
        self._outgoing.change()
        await checkpoint()

    def end_input(self) -> None:
        """Receive nothing more but what was sent already, as SHUT_RD does."""
        self._incoming.finished = self._incoming.abandoned = True
        self._incoming.change()

    async def aclose(self) -> None:
        """Close this end: what was sent can still be read, nothing can be sent back."""
        self._closed = True
        self._outgoing.finished = True
        self._incoming.abandoned = True
        self._outgoing.change()
        self._incoming.change()
        await checkpoint()

    def reset(self) -> None:
        """Break the pipe as RST does: what is on its way, either way, is lost."""
        self._closed = True
        for channel in (self._incoming, self._outgoing):
            channel.broken = True
            channel.change()


def memory_pipe(capacity: int = CAPACITY) -> tuple[MemoryStream, MemoryStream]:
    """Make two connected streams; each direction holds at most `capacity` octets.

    Raises:
        ValueError: for a capacity below 1.
    """
    if capacity < 1:
        raise ValueError("a pipe must have room for an octet")
    there, back = _Channel(capacity), _Channel(capacity)
    return MemoryStream(back, there), MemoryStream(there, back)
