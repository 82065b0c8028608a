"""A stream that fails where it is told to: while it is read, or while it is written.

At its other end is the server of a transcript, and behind that, once the transcript
has come to its QUIT, a `Taker`; or, on every connection but the first, a `Taker` alone.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import anyio
from anyio.abc import SocketAttribute
from anyio.lowlevel import checkpoint

from tests.client.played import Played
from tests.playing import by_the_flight
from tests.simulation.taker import Taken, Taker
from tests.simulation.verdicts import Point
from tests.taps import BLOCK
from tests.transcript import Flight, Transcript

#: What may become of an answer from one of its octets on.
READING: Final = ("eof", "reset", "stall", "line", "octet", "drip")
#: What may become of a write.
WRITING: Final = ("error", "partial", "block", "refusal")
#: What the server may do while mail data are still being written.
EARLY: Final = ("eof", "reset", "line")

#: Seconds between two octets: no two of a reply come within the limit of a stage.
DRIP: Final = 6.0

GARBAGE_LINE: Final = b"garbage\n"
#: No line may end so; in front of it, of no other octet may be told what it means.
GARBAGE_OCTET: Final = b"\n"
#: What records of TLS begin with (RFC 8446 §5.1).
_RECORDS: Final = range(20, 24)
LAST_WORDS: Final = b"421 4.3.2 closing\r\n"


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and where."""

    kind: str
    #: The answer to this flight goes wrong, from this octet on.
    flight: int = -1
    offset: int = 0
    #: This write goes wrong, the first is 1; or, of `EARLY`, the server behind it.
    write: int = 0


class Write(NamedTuple):
    """A write that was begun."""

    #: How far the conversation is with it.
    point: Point
    #: Whether it says something; under TLS others shake hands, or take leave.
    says: bool
    #: Whether TLS has begun.
    secure: bool
    #: Whether the handshake is not over.
    shakes: bool

    @property
    def leaves(self) -> bool:
        """Whether it ends TLS in order."""
        return not self.says and not self.shakes


class _Socket:
    """Stands in for a socket: nothing ever comes, and it notes whether it is reset."""

    _quiet, _ = os.pipe()
    family = socket.AF_INET

    def __init__(self) -> None:
        self.reset = False

    def fileno(self) -> int:
        return self._quiet

    def setsockopt(self, _level: int, option: int, _value: bytes) -> None:
        assert option == socket.SO_LINGER
        self.reset = True


class Wire(Played):
    """The client's end of a connection that fails."""

    def __init__(
        self,
        transcript: Transcript,
        ledger: list[Taken],
        fault: Fault | None = None,
        *,
        fresh: bool = False,
    ) -> None:
        self._flights = transcript.flights
        self._fault = fault
        self._taker = Taker(transcript, ledger)
        self._armed = ""  # what the next read meets when there is nothing left
        self._is_garbage = False  # what comes last is
        self._socket = _Socket()
        #: Octets handed to this stream of the flight it expects, in clear.
        self.handed = 0
        #: The writes begun, by how far the conversation is with them.
        self.sends: list[Write] = []
        #: Whether the client knows that the stream is of no more use.
        self.noticed = False
        super().__init__(transcript, by_the_flight)
        if fresh:
            self._pieces.clear()
            self.hand_over()
            self._pieces.append(b"220 taker\r\n")

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {SocketAttribute.raw_socket: lambda: self._socket}

    @property
    def reset(self) -> bool:
        """Whether it was cut off."""
        return self._socket.reset

    @property
    def flight(self) -> int:
        """Which flight is expected, or was heard last and is being answered."""
        return len(self.writes) - 1

    @property
    def point(self) -> Point:
        """How far the conversation is: the last flight that is not unsaid."""
        if self._flight is None or (self._flight.said and not self.handed):
            flight = self.flight - (self._flight is not None)
            return Point(flight, sum(map(len, self._flights[flight].heard)))
        return Point(self.flight, self.said, self.handed == len(self._flight.said))

    @property
    def took_leave(self) -> bool:
        """Whether the client came to ending TLS in order."""
        return bool(self.sends) and self.sends[-1].leaves

    @property
    def at_rest(self) -> bool:
        """Whether the client owes nothing, and the server owes nothing."""
        return not (self._heard or self._pieces or self._armed)

    async def send(self, item: bytes) -> None:
        """Let the server hear it, unless this is the write that fails."""
        assert not self.closed, "it is written to although it is closed"
        assert not self.noticed, "it is written to although it has failed"
        octets = bytes(item)
        secure = self._tls is not None
        shakes = self._tls is not None and not self._tls.is_up
        assert not secure or octets[0] in _RECORDS, "it is written to in the clear"
        clear = self._decrypted(octets)
        self.handed += len(clear)
        self.sends.append(Write(self.point, bool(clear), secure, shakes))
        await checkpoint()
        fault = self._fault
        if fault is not None and fault.write == len(self.sends):
            if fault.kind in WRITING:
                await self._fail(fault.kind, clear)
            self._armed = fault.kind
            if fault.kind == "line":
                self._pieces.append(GARBAGE_LINE)
                self._is_garbage = True
        elif clear and not self._armed:
            self._hear(clear)
        self._change()

    def _decrypted(self, octets: bytes) -> bytes:
        return octets if self._tls is None else self._tls.hear(octets)

    async def _fail(self, kind: str, clear: bytes) -> None:
        if self._tls is None and kind != "error":
            self._hear(clear[: len(clear) // 2])
        self._armed = kind
        if kind == "block":
            await anyio.sleep_forever()
        if kind == "refusal":
            self._pieces.append(LAST_WORDS)
        self.noticed = True
        self._change()
        raise anyio.BrokenResourceError

    async def receive(self, max_bytes: int = BLOCK) -> bytes:
        """Give what the server says next, an octet at a time where it drips."""
        await checkpoint()
        while True:
            if self._drips:
                await anyio.sleep(DRIP)
                return self._say(max_bytes)
            if octets := self._say(max_bytes):
                return octets
            await self._changed.wait()

    @property
    def _drips(self) -> bool:
        fault = self._fault
        return (
            fault is not None
            and fault.kind == "drip"
            and bool(self._pieces)
            and (
                self._tls is None
                or (self._tls.is_up and not self._tls.outgoing.pending)
            )
            and (self.flight, self.said) >= (fault.flight, fault.offset)
        )

    def hand_over(self) -> None:
        """Leave the transcript for another message, which goes to the taker."""
        assert self.at_rest
        self._coming.clear()
        self._flight = None

    def _hear(self, octets: bytes) -> None:
        flight = self._flight
        leaves = flight is not None and flight.said == b"QUIT\r\n"
        if leaves and not self._heard and not octets.startswith(b"QUIT"):
            self.hand_over()
            flight = None
        if flight is not None:
            super()._hear(octets)
        elif reply := self._taker.hear(octets):
            self._pieces.append(reply)

    def _advance(self) -> None:
        self.handed = 0
        super()._advance()

    def _answer(self, flight: Flight) -> None:
        fault = self._fault
        if fault is None or fault.write or self.flight < fault.flight:
            super()._answer(flight)
            return
        octets = b"".join(flight.heard)
        offset = fault.offset if self.flight == fault.flight else 0
        before, behind = octets[:offset], octets[offset:]
        pieces = [before]
        if fault.kind == "drip":
            pieces += [bytes([octet]) for octet in behind]
        else:
            self._armed = fault.kind
        if fault.kind == "line":
            pieces.append(GARBAGE_LINE)
            self._is_garbage = True
        elif fault.kind == "octet":
            pieces = [before + GARBAGE_OCTET + behind]
            # Behind the last word of all nobody looks at it.
            is_last = flight.said == b"QUIT\r\n" or flight.heard[-1][:3] == b"421"
            self._is_garbage = behind != b"\n" or not is_last
        self._pieces.extend(filter(None, pieces))

    def _all_said(self) -> None:
        if self._armed:
            self.noticed = self.noticed or self._is_garbage
        elif self._taker.secures:
            self._taker.secures = False
            self._secure()
        else:
            super()._all_said()

    def _be_silent(self) -> bytes:
        if self._armed in {"eof", "partial", "refusal"}:
            self.noticed = True
            raise anyio.EndOfStream
        if self._armed == "reset":
            self.noticed = True
            raise anyio.BrokenResourceError
        return b"" if self._armed else super()._be_silent()
