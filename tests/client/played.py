"""A stream with a transcript's server at its other end, which nothing escapes.

Nothing happens by itself: the server says its next piece when the client reads, and
hears what the client writes the moment it does. So what is written too early, twice,
or in more pieces than it should be is seen for certain, not by chance.
"""

from __future__ import annotations

import ssl
from collections import deque
from typing import Final

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from tests.client.certificates import server_context
from tests.playing import Cut
from tests.taps import BLOCK
from tests.transcript import Flight, Transcript


class Played(ByteStream):
    """The client's end; a departure from the transcript is an `AssertionError`."""

    def __init__(self, transcript: Transcript, cut: Cut) -> None:
        self._coming = deque(transcript.flights)
        self._cut = cut
        self._flight: Flight | None = None
        self._heard = b""
        self._pieces: deque[bytes] = deque()
        self._tls: ServerTLS | None = None
        self._changed = anyio.Event()
        #: How many writes each flight came in, of those begun.
        self.writes: list[int] = []
        #: How many octets of the answer to the last one were said.
        self.said = 0
        self.handshakes = 0
        self.closed = 0
        self._advance()

    @property
    def is_over(self) -> bool:
        """Whether both sides have said everything."""
        last = self._flight
        ended = last is None or (last.eof and self._heard == last.said)
        return ended and not self._pieces and not self._coming

    async def send(self, item: bytes) -> None:
        """Let the server hear it."""
        await checkpoint()
        assert not self.closed, "it is written to although it is closed"
        octets = bytes(item)
        if self._tls is not None:
            octets = self._tls.hear(octets)
        if octets:
            self._hear(octets)
        self._change()

    async def receive(self, max_bytes: int = BLOCK) -> bytes:
        """Give what the server says next, or wait until it will."""
        await checkpoint()
        while not (octets := self._say(max_bytes)):
            await self._changed.wait()
        return octets

    async def send_eof(self) -> None:
        """Say nothing: no client closes one half."""
        raise AssertionError

    async def aclose(self) -> None:
        """Note it."""
        self.closed += 1
        await checkpoint()

    def _change(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    def _hear(self, octets: bytes) -> None:
        flight = self._flight
        assert flight is not None, f"{octets!r} was written behind the end"
        assert not self._pieces, (
            f"{octets!r} was written before {self._pieces} was said"
        )
        if flight.handshake:
            assert self._tls is not None
            assert self._tls.is_up
        self.writes[-1] += 1
        self._heard += octets
        assert flight.said.startswith(self._heard), f"{self._heard!r} was written"
        if self._heard == flight.said:
            self._answer(flight)

    def _answer(self, flight: Flight) -> None:
        self._pieces.extend(filter(None, self._cut(flight)))
        if not self._pieces and not flight.eof:
            self._advance()

    def _advance(self) -> None:
        """Go on to the next flight."""
        self._heard = b""
        self.said = 0
        self._flight = self._coming.popleft() if self._coming else None
        if self._flight is None:
            return
        self.writes.append(0)
        if self._flight.handshake:
            self.handshakes += 1
            self._secure()
        if not self._flight.said:
            self._answer(self._flight)

    def _say(self, max_bytes: int) -> bytes:
        if self.closed:
            raise anyio.ClosedResourceError
        if self._tls is not None and (octets := self._tls.outgoing.read(max_bytes)):
            return octets
        if self._pieces and (self._tls is None or self._tls.is_up):
            octets = self._pieces.popleft()
            self.said += len(octets)
            if self._tls is not None:
                octets = self._tls.say(octets)
            if not self._pieces:
                self._all_said()
            return octets
        return self._be_silent()

    def _secure(self) -> None:
        """Begin a handshake."""
        self._tls = ServerTLS(server_context())

    def _all_said(self) -> None:
        """Wait for the next flight, or hang up."""
        if self._flight and not self._flight.eof:
            self._advance()

    def _be_silent(self) -> bytes:
        """Give nothing, or the end of the stream."""
        if self._flight and self._flight.eof and self._heard == self._flight.said:
            raise anyio.EndOfStream
        return b""


class ServerTLS:
    """The server's half of TLS, without a transport."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        #: What is to be sent.
        self.outgoing: Final = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self.outgoing, server_side=True)
        self.is_up = False

    def hear(self, octets: bytes) -> bytes:
        """Decrypt; shake hands and take leave as it is due."""
        self._incoming.write(octets)
        clear = b""
        try:
            if not self.is_up:
                self._object.do_handshake()
                self.is_up = True
            while octets := self._object.read(BLOCK):
                clear += octets
            self._object.unwrap()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            # As a broken stream it would pass for the server's doing.
            raise AssertionError(f"no TLS: {octets!r}") from error
        return clear

    def say(self, octets: bytes) -> bytes:
        """Encrypt."""
        self._object.write(octets)
        return self.outgoing.read()
