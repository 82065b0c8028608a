"""Faults of a connection, at every octet that is read and at every write."""

from __future__ import annotations

from functools import partial
from typing import Final

import anyio

from tests.client.telling import LIMIT
from tests.simulation.play import Play, taken
from tests.simulation.trial import Trial
from tests.simulation.verdicts import Cause, Fate, Oracle, Point
from tests.simulation.wire import EARLY, READING, WRITING, Fault, Write

#: Seconds of virtual time that a fault costs, at most.
_PATIENCE: Final = {
    "stall": LIMIT,
    "block": LIMIT,
    "drip": 2 * LIMIT,
    "error": 1.0,  # to hear why
}

#: What must be waited out.
_MUTE: Final = {"stall", "block"}
#: Seconds of virtual time are not told more exactly.
_BLINK: Final = 0.001

_LOST: Final = Cause("ConnectionLost")
_LATE: Final = Cause("StageTimeout")
_BROKEN: Final = Cause("ProtocolViolation")
CAUSES: Final = {
    **dict.fromkeys(("eof", "reset", "error", "partial"), _LOST),
    **dict.fromkeys(("stall", "block", "drip"), _LATE),
    **dict.fromkeys(("line", "octet"), _BROKEN),
    "refusal": Cause("ConnectionLost", "421"),
}


async def struck(oracle: Oracle, fault: Fault, fates: list[Fate]) -> None:
    """Play a transcript with a fault; see what is told, said, and left."""
    play = Play(oracle.transcript, fault)
    began = anyio.current_time()
    told = [await play.send(number) for number in range(len(fates))]
    assert told == [fate.lines for fate in fates]
    spent = anyio.current_time() - began
    assert spent <= _PATIENCE.get(fault.kind, 0.0) + _BLINK
    first = play.wires[0]
    if first.closed and fault.kind in _MUTE and not first.took_leave:
        assert spent >= LIMIT - _BLINK
    assert play.ledger == [
        taken(message, fate.accepted)
        for message, fate in zip(oracle.transcript.messages, fates, strict=True)
        if fate.fresh
    ]
    await assert_recovered(play)


async def assert_recovered(play: Play) -> None:
    """See that what failed is cut off and closed, and that the client goes on."""
    first = play.wires[0]
    if first.closed:
        await play.send_next()
        assert len(play.wires) > 1
        assert first.reset or not first.noticed or first.took_leave
    await play.leave()


async def reading(oracle: Oracle, trial: Trial) -> None:
    """Let something befall each octet that the server says."""
    for kind in READING:
        for index, flight in enumerate(oracle.transcript.flights):
            for offset in range(sum(map(len, flight.heard))):
                fault = Fault(kind, index, offset)
                point = reached(oracle, fault)
                fates = oracle.foretell(point, CAUSES[kind])
                await trial(
                    (oracle.transcript.name, fault),
                    partial(struck, oracle, fault, fates),
                )


def reached(oracle: Oracle, fault: Fault) -> Point:
    """Tell how far one comes.

    The last octet of a reply still comes in time where it drips, and a garbage octet
    in front of it, which is the same one, takes its place.
    """
    flight, offset = fault.flight, fault.offset
    if fault.kind not in {"drip", "octet"} or not oracle.completes(flight, offset + 1):
        return Point(flight, offset)
    if oracle.is_last_word(flight, offset + 1):
        return oracle.over()
    flights = oracle.transcript.flights
    if fault.kind == "octet" or offset + 1 < sum(map(len, flights[flight].heard)):
        return Point(flight, offset + 1)
    # There is nothing to drip where the server just hangs up.
    drips = any(later.heard for later in flights[flight + 1 :])
    return Point(flight + 1, 0) if drips else oracle.over()


async def writing(oracle: Oracle, trial: Trial) -> None:
    """Let something befall each write of the client."""
    sends = await _rehearsed(oracle)
    for number, write in enumerate(sends, start=1):
        name = oracle.transcript.name
        for kind in WRITING:
            fault = Fault(kind, write=number)
            cause = _cause(kind, write, sends[: number - 1], oracle)
            if cause is not None:
                fates = _foretold(oracle, write, cause)
                await trial((name, fault), partial(struck, oracle, fault, fates))
        if write.says and not write.point.whole:
            for kind in EARLY:
                fault = Fault(kind, write=number)
                await trial((name, fault), partial(stopped, oracle, fault))


async def _rehearsed(oracle: Oracle) -> list[Write]:
    """Play it as it is, and give the writes."""
    play = Play(oracle.transcript)
    for number in range(len(oracle.transcript.messages)):
        assert await play.send(number) == oracle.undisturbed(number).lines
    await play.leave()
    return play.wires[0].sends


def _cause(
    kind: str, write: Write, before: list[Write], oracle: Oracle
) -> Cause | None:
    """Tell why it ends; None where that is for the event loop to decide.

    A stream of TLS that could not write begins no read any more. While mail data are
    written one has begun, but before the first write it is uncertain.
    """
    flight = write.point.flight
    if kind != "refusal" or not write.secure:
        return CAUSES[kind]
    if oracle.uploads(flight) and before and before[-1].point.flight == flight:
        return CAUSES[kind]
    return _LOST if write.point.whole else None


def _foretold(oracle: Oracle, write: Write, cause: Cause) -> list[Fate]:
    """Tell what comes of a write that fails."""
    if write.says:
        return oracle.foretell(write.point, cause)
    if write.shakes:
        return oracle.unsecured("StageTimeout" if cause is _LATE else "TLSFailed")
    return oracle.foretell(oracle.over(), cause)


async def stopped(oracle: Oracle, fault: Fault) -> None:
    """Let the server end an upload; how far it came then is for the stream to tell."""
    play = Play(oracle.transcript, fault)
    told = [await play.send(n) for n in range(len(oracle.transcript.messages))]
    point = play.wires[0].point
    fates = oracle.foretell(point, CAUSES[fault.kind])
    assert told == [fate.lines for fate in fates]
    await assert_recovered(play)
