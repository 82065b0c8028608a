"""A client, the connections that it opens, and what it tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, TypeVar
from unittest.mock import patch

import anyio
from anyio import to_thread
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from esmtp_async import Event, MessageFinished, Timeouts
from esmtp_async.protocol import Recipient
from tests.client.telling import LIMIT, client_of, fits_the_client, send
from tests.playing import by_message
from tests.simulation.big import big
from tests.simulation.taker import Taken
from tests.simulation.wire import Fault, Wire
from tests.transcript import Message, Transcript, transcripts

T = TypeVar("T")

#: Every stage takes as long at most.
LIMITS: Final = Timeouts(
    connect=LIMIT,
    greeting=LIMIT,
    command=LIMIT,
    data=LIMIT,
    block=LIMIT,
    final=LIMIT,
    quit=LIMIT,
)

_NEXT: Final = Message(
    "next@example.test",
    [Recipient("next@example.test")],
    lines=[b".next\r\n"],
)
_NEXT_TOLD: Final = ["= next@example.test ACCEPTED 250 final"]


class Play:
    """One client and all that it says and hears."""

    def __init__(
        self,
        transcript: Transcript,
        fault: Fault | None = None,
        wire: type[Wire] = Wire,
    ) -> None:
        self.transcript = transcript
        self._wire = wire
        self._fault = fault
        self.wires: list[Wire] = []
        #: What came by other connections than the first.
        self.ledger: list[Taken] = []
        self._is_over = False  # the transcript is not played any further
        #: What was told of each message when it was finished.
        self.finished: list[MessageFinished] = []
        self.client = client_of(
            transcript, self._connect, timeouts=LIMITS, on_event=self._note
        )

    async def _connect(self) -> ByteStream:
        await checkpoint()
        fresh = bool(self.wires) or self._is_over
        fault = None if fresh else self._fault
        self.wires.append(self._wire(self.transcript, self.ledger, fault, fresh=fresh))
        return self.wires[-1]

    def _note(self, event: Event) -> None:
        if isinstance(event, MessageFinished):
            self.finished.append(event)

    async def send(self, number: int, *, timeout: float | None = None) -> list[str]:
        """Send a message of the transcript; give what is told of it."""
        message = self.transcript.messages[number]
        return await send(self.client, message, timeout=timeout)

    async def send_next(self) -> None:
        """See that the client still delivers, once and to the octet."""
        assert await send(self.client, _NEXT) == _NEXT_TOLD
        assert self.ledger[-1] == taken(_NEXT, ["next@example.test"])
        assert self.ledger.count(self.ledger[-1]) == 1

    def forsake(self) -> None:
        """Leave the transcript where it is; what comes next goes to the taker."""
        self._is_over = True
        for wire in self.wires[:1]:
            if not wire.closed:
                wire.hand_over()

    async def leave(self) -> None:
        """Close the client; see that every connection is closed, and closed once."""
        began = anyio.current_time()
        await self.client.aclose()
        assert anyio.current_time() - began < 2 * LIMIT
        assert [wire.closed for wire in self.wires] == [1] * len(self.wires)


def taken(message: Message, recipients: Iterable[str]) -> Taken:
    """Write a message to some of its recipients as the ledger has it."""
    return Taken(_path(message.sender), (*map(_path, recipients),), message.octets)


def _path(address: str) -> bytes:
    """Write an address with A-labels (RFC 5890)."""
    local, at, domain = address.rpartition("@")
    return f"{local}{at}".encode() + domain.encode("idna")


def over_tls(transcript: Transcript) -> Transcript:
    """Play it under implicit TLS."""
    first, *others = transcript.flights
    name = f"{transcript.name} over TLS"
    return replace(
        transcript, name=name, flights=[replace(first, handshake=True), *others]
    )


def playable() -> dict[str, Transcript]:
    """Give all that the client can play, in the clear and under TLS, by name.

    Behind an opening that failed it does not say QUIT.
    """
    clear = []
    for transcript in filter(fits_the_client, [*transcripts(), *big()]):
        flights = transcript.flights
        if not by_message(transcript) and flights[-1].said == b"QUIT\r\n":
            flights = flights[:-1]
        clear.append(replace(transcript, flights=flights))
    secure = [over_tls(t) for t in clear if t.starttls == "never"]
    return {transcript.name: transcript for transcript in [*clear, *secure]}


async def _inline(call: Callable[..., T], *args: object, **_options: object) -> T:
    await checkpoint()
    return call(*args)


@contextmanager
def no_threads() -> Iterator[None]:
    """Do in the event loop what else goes into threads, for which no clock can wait."""
    with patch.object(to_thread, "run_sync", _inline):
        yield
