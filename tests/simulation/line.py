"""The line between client and server: a byte stream on which things go wrong.

It keeps a record of what passed in clear, whatever protects the octets below: the
client's TLS is tapped where it encrypts and decrypts.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from esmtp_async._transport import STREAM_ERRORS
from esmtp_async.testing._pipes import MemoryStream
from tests.simulation.faults import (
    ARRIVING,
    ENDING,
    FORGING,
    GOODBYE,
    LINES,
    NO_TLS,
    REPLYING,
    WRITING,
    Fault,
    Kind,
)

BLOCK: Final = 65536
#: Counts all that happens, on whatever line.
_moments: Final = itertools.count()
_LAST_LINE: Final = re.compile(rb"\d\d\d(?: .*)?\r?\n", re.DOTALL)


class Entry(NamedTuple):
    """One thing that happened on a line."""

    #: By the virtual clock.
    time: float
    #: Tells what came first where the time is the same.
    moment: int
    #: `C` the client says, `S` it reads, `!` a fault strikes, `sent` a write is out,
    #: `failed` one is not, `tls` the handshake is done, `closed`.
    what: str
    octets: bytes = b""


class Line(ByteStream):
    """The client's end of one connection."""

    def __init__(
        self,
        inner: MemoryStream,
        faults: Iterable[Fault],
        *,
        grain: int = BLOCK,
    ) -> None:
        self._inner = inner
        self._faults = list(faults)
        self._grain = grain
        self.record: list[Entry] = []
        #: The faults that struck.
        self.struck: list[Kind] = []
        #: Whether the client may have read what the server never said.
        self.forged = False
        self.closed = False
        self._tls = False
        self._forger = Forger(self)
        self._arrived = bytearray()  # and not yet given away
        self._count = 0  # of the octets given away
        self._dripping = 0
        self._writes = 0
        self._broken = False
        self._ended = False
        self._mute = False
        self._stalled = False
        self._calmed = anyio.Event()
        self._spoken = anyio.Event()

    def note(self, what: str, octets: bytes = b"") -> None:
        self.record.append(Entry(anyio.current_time(), next(_moments), what, octets))

    def strike(self, fault: Fault) -> None:
        """Let a fault happen, once."""
        self._faults.remove(fault)
        self.struck.append(fault.kind)
        self.forged |= fault.kind in FORGING or (
            fault.kind is Kind.GARBLE and not self._tls
        )
        self.note("!", fault.kind.value.encode())

    def due(self, kinds: Iterable[Kind], position: float) -> Fault | None:
        """Give the fault whose time has come."""
        for fault in self._faults:
            if fault.kind in kinds and fault.position <= position:
                return fault
        return None

    def calm(self) -> None:
        """Let nothing more go wrong; what has gone wrong is over.

        A connection that was lied on is gone: what else is on its way is no
        answer to what will be asked.
        """
        self._faults.clear()
        self._dripping = 0
        self._stalled = False
        if self.forged and not self.closed:
            self._break()
        self._calmed.set()

    # In clear text, on either side of TLS

    def say(self, octets: bytes) -> None:
        """Hear what the client says."""
        self._forger.before(octets)
        self.note("C", octets)
        self._spoken.set()

    def hear(self, octets: bytes) -> bytes:
        """Turn what the server said into what the client reads."""
        heard = b"" if self._broken else self._forger(octets)
        if heard:
            self.note("S", heard)
        return heard

    def secure(self) -> None:
        """Begin a handshake: what passes here is no speech from now on."""
        self._tls = True

    # As a stream

    async def receive(self, max_bytes: int = BLOCK) -> bytes:
        await checkpoint()
        while True:
            self._check(broken=self._broken)
            if not self._tls and (forged := self.hear(b"")):
                return forged
            if not (self._arrived or self._ended or self._stalled or self._overdue):
                await self._await_octets()
                continue
            if self._dripping and self._arrived:
                await self._wait(1)
            octets = await self._next(min(max_bytes, self._grain))
            if octets and not self._tls:
                octets = self.hear(octets)
            if octets:
                return octets

    def _check(self, *, broken: bool) -> None:
        if self.closed:
            raise anyio.ClosedResourceError
        if broken:
            raise anyio.BrokenResourceError

    @property
    def _overdue(self) -> bool:
        """Whether something goes wrong before another octet arrives."""
        return self.due(ENDING, self._count) is not None

    async def _await_octets(self) -> None:
        """Wait for the server, unless a lie of somebody else's is there first."""
        if self._tls or not self._forger.lies:
            octets = await self._inner.receive(BLOCK)
            self._arrived += octets
            return
        self._spoken = anyio.Event()
        failure: Exception | None = None
        async with anyio.create_task_group() as group:

            async def stop() -> None:
                await self._spoken.wait()
                group.cancel_scope.cancel()

            group.start_soon(stop)
            try:
                octets = await self._inner.receive(BLOCK)
            except STREAM_ERRORS as error:
                failure = error  # raised below, ungrouped
            else:
                self._arrived += octets
            group.cancel_scope.cancel()
        if self._spoken.is_set():
            return
        if failure is not None:
            raise failure

    async def _next(self, most: int) -> bytes:
        """Give some of what arrived, up to where something goes wrong."""
        if self._ended:
            raise anyio.EndOfStream
        if self._stalled:
            await self._forever()
        if self._tls and (fault := self.due((Kind.HANDSHAKE,), math.inf)):
            self.strike(fault)
            self._arrived.clear()
            return NO_TLS
        kinds = ARRIVING if self._arrived else ENDING
        while fault := self.due(kinds, self._count):
            self.strike(fault)
            await self._suffer(fault)
        positions = [f.position for f in self._faults if f.kind in ARRIVING]
        room = min([most, *(place - self._count for place in positions)])
        room = 1 if self._dripping else room
        self._dripping = max(self._dripping - 1, 0)
        octets = bytes(self._arrived[:room])
        del self._arrived[:room]
        self._count += len(octets)
        return octets

    async def _suffer(self, fault: Fault) -> None:
        if fault.kind is Kind.EOF:
            self._ended = True
            raise anyio.EndOfStream
        if fault.kind is Kind.RESET:
            self._break()
            raise anyio.BrokenResourceError
        if fault.kind is Kind.STALL:
            self._stalled = True
            await self._forever()
        elif fault.kind is Kind.DRIP:
            self._dripping = fault.extent
        else:
            self._arrived[0] ^= 1 << fault.extent % 8

    def _break(self) -> None:
        self._broken = True
        self._inner.reset()

    async def _wait(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._forever()

    async def _forever(self) -> None:
        """Wait until nothing is wrong any more."""
        await self._calmed.wait()

    async def send(self, item: bytes) -> None:
        octets = bytes(item)
        number, self._writes = self._writes, self._writes + 1
        if not self._tls:
            self.say(octets)
        try:
            await checkpoint()
            self._check(broken=self._broken or self._mute)
            if fault := self.due(WRITING, number):
                self.strike(fault)
                await self._suffer_writing(fault, octets)
            else:
                await self._inner.send(octets)
        except BaseException:
            self.note("failed")
            raise
        self.note("sent")

    async def _suffer_writing(self, fault: Fault, octets: bytes) -> None:
        if fault.kind is Kind.WRITE:
            self._mute = True
            await self._inner.send_eof()
            raise anyio.BrokenResourceError
        await self._inner.send(octets[: len(octets) * (fault.extent % 17) // 16])
        if fault.kind is Kind.PARTIAL_STALL:
            await anyio.sleep_forever()
        self._break()
        raise anyio.BrokenResourceError

    async def send_eof(self) -> None:
        raise AssertionError("no client closes one half")

    async def aclose(self) -> None:
        if not self.closed:
            self.closed = True
            self.note("closed")
            self._calmed.set()
        await self._inner.aclose()


class Forger:
    """Changes what the server says, reply by reply."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._replies = 0  # that came to their end
        self._reply = b""  # as much as came of the next
        self._last = b""  # the line of it that is not yet whole
        self._lost = 0  # replies that are still to be lost
        self._said = 0  # writes of the client
        self._early = b""

    @property
    def lies(self) -> bool:
        """Whether it may make up what the server never said."""
        return self._line.due((Kind.EARLY,), math.inf) is not None

    def before(self, octets: bytes) -> None:
        """Answer what the client is about to say."""
        if octets and (fault := self._line.due((Kind.EARLY,), self._said)):
            self._line.strike(fault)
            self._early += LINES[fault.extent // 2 % len(LINES)]
            self._lost += fault.extent % 2
        self._said += 1

    def __call__(self, octets: bytes) -> bytes:
        """Give what the client is to read."""
        heard, self._early = self._early, b""
        pieces = octets.splitlines(keepends=True)
        while pieces:
            heard += self._change(pieces)
        return heard

    def _change(self, pieces: list[bytes]) -> bytes:
        """Take the next piece, and more where two replies are swapped."""
        before = b""
        if not self._reply:
            fault = self._line.due(REPLYING, self._replies)
            if fault is not None and fault.kind is Kind.SWAP:
                whole = [i for i, p in enumerate(pieces) if _LAST_LINE.fullmatch(p)]
                if len(whole) > 1:
                    self._line.strike(fault)
                    first, both = whole[0] + 1, whole[1] + 1
                    swapped = [*pieces[first:both], *pieces[:first]]
                    del pieces[:both]
                    self._replies += 2
                    return b"".join(swapped)
            elif fault is not None:
                self._line.strike(fault)
                before = self._lie(fault, pieces)
        piece = pieces.pop(0)
        self._reply += piece
        self._last += piece
        ended = _LAST_LINE.fullmatch(self._last)
        if piece.endswith(b"\n"):
            self._last = b""
        said = b"" if self._lost else piece
        if ended:
            self._lost = max(self._lost - 1, 0)
            self._replies += 1
            self._reply = b""
        return before + said

    def _lie(self, fault: Fault, pieces: list[bytes]) -> bytes:
        if fault.kind is Kind.DROP:
            self._lost += 1
            return b""
        if fault.kind is Kind.DUPLICATE:
            whole = next(
                (i for i, p in enumerate(pieces) if _LAST_LINE.fullmatch(p)), 0
            )
            return b"".join(pieces[: whole + 1])
        if fault.kind is Kind.SHUTDOWN:
            return GOODBYE
        return LINES[fault.extent % len(LINES)]
