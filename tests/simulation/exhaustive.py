"""Every fault at every place: `python -m tests.simulation.exhaustive`.

Each transcript that the client can play is played again and again, each time with one
fault in another place, or cut short at another checkpoint; an `Oracle` tells what the
client must say of it. Words given choose parts or transcripts that have them in their
names. It prints how many cases there were, and which came out wrong.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple

from tests.clock import run
from tests.simulation.interrupting import interrupting
from tests.simulation.play import no_threads, playable
from tests.simulation.shaking import shaking
from tests.simulation.striking import reading, writing
from tests.simulation.trial import Trial
from tests.simulation.verdicts import Oracle


class Part(NamedTuple):
    """Cases of one kind, on one event loop."""

    name: str
    backend: str
    #: Holds the cases of a transcript.
    hold: Callable[[Oracle, Trial], Awaitable[None]]
    #: Of so many cases one is held: what the loop does not change is held on asyncio.
    stride: int = 1


_CUTS: Final = ("cancelled", "the call's time is up", "a stage's time is up")

PARTS: Final = (
    Part("a fault at an octet of the server", "asyncio", reading),
    Part("a fault at an octet of the server", "trio", reading, 7),
    Part("a fault at an octet of a handshake", "asyncio", shaking),
    Part("a fault at an octet of a handshake", "trio", shaking, 7),
    *(
        Part("a fault at a write of the client", backend, writing)
        for backend in ("asyncio", "trio")
    ),
    *(
        Part(f"{kind} at a checkpoint", backend, partial(interrupting, kind=kind))
        for kind in _CUTS
        for backend in ("asyncio", "trio")
    ),
    Part(
        "cancelled by the task at a checkpoint",
        "asyncio",
        partial(interrupting, kind="cancelled as asyncio does"),
    ),
)


class Job(NamedTuple):
    """A part of one transcript, for a process to hold."""

    part: int
    transcript: str


class Finding(NamedTuple):
    """What came of a job."""

    part: int
    cases: int
    violations: list[str]
    #: Seconds.
    spent: float


def hold(part: Part, trial: Trial, names: list[str]) -> None:
    """Hold the cases of a part that are some transcripts'."""
    oracles = [Oracle(_TRANSCRIPTS[name]) for name in names]

    async def scenario() -> None:
        for oracle in oracles:
            await part.hold(oracle, trial)

    with no_threads():
        run(scenario, part.backend)


_TRANSCRIPTS: Final = playable()


def _do(job: Job) -> Finding:
    part = PARTS[job.part]
    trial = Trial(part.stride)
    began = time.process_time()
    hold(part, trial, [job.transcript])
    spent = time.process_time() - began
    return Finding(job.part, trial.cases, trial.violations, spent)


def main() -> int:
    """Hold all cases; give how many came out wrong."""
    words = sys.argv[1:]
    jobs = [
        Job(number, name)
        for number, part in enumerate(PARTS)
        for name in _TRANSCRIPTS
        if all(word in f"{part.name} {part.backend} {name}" for word in words)
    ]
    cases: Counter[int] = Counter()
    wrong: Counter[int] = Counter()
    spent: Counter[int] = Counter()
    with multiprocessing.Pool() as pool:
        for finding in pool.imap_unordered(_do, jobs):
            cases[finding.part] += finding.cases
            wrong[finding.part] += len(finding.violations)
            spent[finding.part] += round(1000 * finding.spent)
            for violation in finding.violations:
                print(violation, file=sys.stderr)
    print(f"{len({job.transcript for job in jobs})} transcripts")
    print("| | loop | cases | violations | seconds |")
    print("|---|---|--:|--:|--:|")
    for number in sorted(cases):
        part = PARTS[number]
        print(
            f"| {part.name} | {part.backend} | {cases[number]:,} "
            f"| {wrong[number]} | {spent[number] / 1000:.0f} |"
        )
    total = wrong.total()
    seconds = spent.total() / 1000
    print(f"| all | | {cases.total():,} | {total} | {seconds:.0f} |")
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(main())
