"""What the project wants to reach, and whether it does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from benchmarks.content import Summary
from benchmarks.imports import BARE, BASE
from benchmarks.peers import (
    AIOSMTPLIB,
    SEND,
    SEND_EAGER,
    SEND_MANY,
    SEND_MANY_EAGER,
    SMTP_SOURCE,
)
from benchmarks.results import Results
from benchmarks.rounds import Rounds, cpu, wall

_KIB: Final = 1 << 10
_MB: Final = 1_000_000


class Goal(NamedTuple):
    """A figure, and its bound."""

    what: str
    measured: float
    bound: float
    #: Whether it may not be exceeded; else not be missed.
    most: bool = True
    unit: str = ""
    #: Behind the point; the bound holds for what is shown.
    digits: int = 2

    @property
    def met(self) -> bool:
        """Tell whether it is reached."""
        shown = round(self.measured, self.digits)
        return shown <= self.bound if self.most else shown >= self.bound


def goals(results: Results) -> Iterator[Goal]:
    """Give each that was measured."""
    yield from _round_trips(results)
    yield from _costs(results)
    for form, went in results.content.items():
        yield from _content(form, went)
    for what, rounds in (("tasks", results.tasks), ("messages", results.messages)):
        yield _flat(what, rounds)
    yield Goal(
        "memory of an idle connection", results.idle.resident / _KIB, 32, unit="KiB"
    )
    ratio = results.imports.ratio(BARE, BASE, cpu)
    yield Goal(f"CPU of `{BARE}`, against `{BASE}`", ratio, 1.5)


def _round_trips(results: Results) -> Iterator[Goal]:
    bounds = ((SEND, 2.0, 1), (SEND_EAGER, 1.0, 1), (SEND_MANY, 1.0, 1))
    for peer, bound, digits in (*bounds, (SEND_MANY_EAGER, 0.15, 2)):
        for recipients in results.plan.recipients:
            if (peer, recipients) in results.trips:
                yield Goal(
                    f"round trips of {peer}, to {recipients}",
                    results.trips[peer, recipients],
                    bound,
                    digits=digits,
                )


def _costs(results: Results) -> Iterator[Goal]:
    against_c = results.costs.rounds
    for peer, bound in ((SEND, 0.45), (SEND_MANY, 0.25)):
        if peer in against_c:
            ratio = against_c.ratio(peer, AIOSMTPLIB, cpu)
            yield Goal(f"CPU of {peer}, against aiosmtplib", ratio, bound)
    if SEND_MANY in against_c and SMTP_SOURCE in against_c:
        rate = against_c.ratio(SMTP_SOURCE, SEND_MANY, wall)
        what = f"messages a second of {SEND_MANY}, against smtp-source"
        yield Goal(what, rate, 1.0, most=False)
    chunking = results.chunking.rounds
    if SEND_MANY_EAGER in chunking:
        ratio = chunking.ratio(SEND_MANY_EAGER, AIOSMTPLIB, cpu)
        yield Goal(f"CPU of {SEND_MANY_EAGER}, against aiosmtplib", ratio, 0.10)


def _content(form: str, went: Summary) -> Iterator[Goal]:
    what = f"throughput from {form}, against a raw socket"
    yield Goal(what, went.ratio, 0.5, most=False)
    yield Goal(f"memory for {form}", went.memory / _MB, 4, unit="MB", digits=1)
    yield Goal(f"loop kept by {form}", went.blocked * 1000, 20, unit="ms", digits=1)


def _flat(what: str, rounds: Rounds[int]) -> Goal:
    numbers = list(rounds)
    ratio = rounds.ratio(numbers[-1], numbers[0], cpu)
    few, many = f"{numbers[0]:,}", f"{numbers[-1]:,}"
    return Goal(f"CPU a message, {many} {what} against {few}", ratio, 1.1)
