"""Cancellation, and time that is up, at every checkpoint of every send."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Final

import anyio

from esmtp_async import RecipientResult
from tests.client.cancelling import InterruptedAt
from tests.client.telling import LIMIT
from tests.clock import skip
from tests.playing import accounts
from tests.simulation.play import Play
from tests.simulation.trial import Trial
from tests.simulation.verdicts import Oracle

#: Seconds within which whoever gives up is let go.
PROMPT: Final = 0.1
#: Which suspension never comes.
_NEVER: Final = 1_000_000

#: Seconds for a call, less than for a stage.
_PATIENCE: Final = LIMIT / 2

#: Who gets it, and who does not: each recipient with its outcome.
_Outcomes = list[tuple[str, str]]

#: Runs a coroutine, and interrupts it at its k-th suspension after a word to somebody;
#: tells whether it came so far, and whether it was cancelled.
_Interrupt = Callable[
    [Coroutine[Any, Any, object], int, Callable[[], None]], Awaitable[tuple[bool, bool]]
]


async def _by_scope(
    send: Coroutine[Any, Any, object], k: int, note: Callable[[], None]
) -> tuple[bool, bool]:
    scope = anyio.CancelScope()

    def interrupt() -> None:
        note()
        scope.cancel()

    at = InterruptedAt(send, k, interrupt)
    with scope:
        await at
    return at.reached, scope.cancelled_caught


async def _natively(
    send: Coroutine[Any, Any, object], k: int, note: Callable[[], None]
) -> tuple[bool, bool]:
    async def run() -> None:
        await at

    def interrupt() -> None:
        note()
        task.cancel()

    at = InterruptedAt(send, k, interrupt)
    task = asyncio.create_task(run())
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return at.reached, task.cancelled()


def _by_time(seconds: float) -> _Interrupt:
    async def run(
        send: Coroutine[Any, Any, object], k: int, note: Callable[[], None]
    ) -> tuple[bool, bool]:
        def interrupt() -> None:
            note()
            skip(seconds)

        at = InterruptedAt(send, k, interrupt)
        await at
        return at.reached, False

    return run


INTERRUPTS: Final[Mapping[str, _Interrupt]] = {
    "cancelled": _by_scope,
    "cancelled as asyncio does": _natively,
    "the call's time is up": _by_time(_PATIENCE),
    "a stage's time is up": _by_time(LIMIT),
}


async def interrupted(oracle: Oracle, number: int, k: int, kind: str) -> None:
    """Interrupt a send when it is suspended for the k-th time, if it is.

    See what is told, that nothing more is said, and that the next one is sent.
    """
    play = Play(oracle.transcript)
    for earlier in range(number):
        assert await play.send(earlier) == oracle.undisturbed(earlier).lines
    play.finished.clear()
    told: list[list[str]] = []
    writes: list[int] = []
    struck: list[float] = []

    async def send() -> None:
        in_time = kind == "the call's time is up"
        told.append(await play.send(number, timeout=_PATIENCE if in_time else None))

    def note() -> None:
        writes.append(sum(len(wire.sends) for wire in play.wires))
        struck.append(anyio.current_time())

    reached, cancelled = await INTERRUPTS[kind](send(), k, note)
    if not play.finished:
        # It was still being made ready, off the event loop: there is nothing to tell.
        assert cancelled or told[0][0].startswith("! StageTimeout - local")
        assert_mute(play, writes[0])
        play.forsake()
        await play.send_next()
        await play.leave()
        return
    [finished] = play.finished
    assert _is_right(oracle, number, play, finished.recipients)
    undisturbed = oracle.undisturbed(number).lines
    if reached and "cancelled" in kind and not cancelled:
        # The last reply had been read already, and nobody waits any more behind it.
        assert_mute(play, writes[0])
    if cancelled:
        assert anyio.current_time() - struck[0] < PROMPT
        assert not told
        assert isinstance(finished.error, anyio.get_cancelled_exc_class())
        assert_mute(play, writes[0])
    elif told != [undisturbed]:
        assert reached
        assert_late(told[0], finished.recipients)
    if play.wires:
        first = play.wires[0]
        assert first.closed <= 1
        # Cut off, unless the server had said its last word or owes nothing.
        assert first.reset or (first.is_over if first.closed else first.at_rest)
    play.forsake()
    await play.send_next()
    await play.leave()


def assert_mute(play: Play, writes: int) -> None:
    """See that nothing was written since, but that TLS may be left in order."""
    said = [write for wire in play.wires for write in wire.sends]
    assert all(write.leaves for write in said[writes:])


def assert_late(told: list[str], results: tuple[RecipientResult, ...]) -> None:
    """See that it is told that time was up, if that made a difference."""
    outcomes = {result.outcome.name for result in results}
    if "UNKNOWN" in outcomes:
        assert told[0] == "! OutcomeUnknown - final"
        assert told[1].startswith("! StageTimeout - ")
    elif "ACCEPTED" in outcomes:
        assert told[0].startswith("= ")
    elif "NOT_SENT" in outcomes:
        assert told[0].startswith("! StageTimeout - ")


def _is_right(
    oracle: Oracle, number: int, play: Play, results: tuple[RecipientResult, ...]
) -> bool:
    """Tell whether the results are what was read and written."""
    told = [(result.address, result.outcome.name) for result in results]
    unsent = [(address, "NOT_SENT") for address, _ in told]
    undisturbed = oracle.undisturbed(number)
    if undisturbed.fresh or len(play.wires) > 1:
        # It goes to the server that takes everything, whose ledger tells.
        outcomes = {outcome for _, outcome in told}
        return outcomes <= (
            {"ACCEPTED", "UNKNOWN"}
            if play.ledger
            else {"NOT_SENT", "REFUSED", "UNKNOWN"}
        )
    natural = [(a.address, a.outcome) for a in accounts(undisturbed.lines)]
    if "NotSupported" in undisturbed.lines[0]:
        return told in (unsent, natural)
    point = play.wires[0].point if play.wires else None
    if point is None or oracle.message_at(point.flight) != number:
        return told == unsent
    cut = accounts(oracle.recipients(number, point, "NOT_SENT - x"))
    return told == [(each.address, each.outcome) for each in cut]


async def interrupting(oracle: Oracle, trial: Trial, kind: str) -> None:
    """Interrupt each send wherever it is suspended."""
    for number in range(len(oracle.transcript.messages)):
        for k in range(1, await _suspensions(oracle, number) + 1):
            name = (oracle.transcript.name, kind, number, k)
            await trial(name, partial(interrupted, oracle, number, k, kind))


async def _suspensions(oracle: Oracle, number: int) -> int:
    """Count how often a send is suspended that is not interrupted."""
    play = Play(oracle.transcript)
    for earlier in range(number):
        await play.send(earlier)
    at = InterruptedAt(play.send(number), _NEVER, lambda: None)
    await at
    play.forsake()
    await play.leave()
    return at.suspensions
