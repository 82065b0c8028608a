"""Many sessions and what they came to, or one and everything it said.

``python -m tests.simulation`` runs many of them, over all processors; with ``--seed N``
it replays one and prints it.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tests.clock import BACKENDS
from tests.simulation.oracle import problems, struck, transcript
from tests.simulation.plan import plan
from tests.simulation.session import Run, carry_out

#: Sessions of the full run.
FULL: Final = 200_000
#: Sessions that a process runs before it tells of them.
BATCH: Final = 500


@dataclass
class Tally:
    """What many sessions came to."""

    sessions: int = 0
    messages: int = 0
    connections: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    #: Seed to what was wrong.
    violations: dict[int, list[str]] = field(default_factory=dict)
    #: Of processor time.
    seconds: float = 0.0

    def take(self, run: Run) -> None:
        """Count a session, and look for what is wrong with it."""
        self.sessions += 1
        self.messages += len(run.told)
        self.connections += len(run.lines)
        self.faults.update(kind.value for kind in struck(run))
        self.outcomes.update(
            outcome
            for told in run.told
            for outcomes in told.finished
            for outcome, _ in outcomes.values()
        )
        if wrong := problems(run):
            self.violations[run.plan.seed] = wrong

    def add(self, other: Tally) -> None:
        """Take over what another process counted."""
        self.sessions += other.sessions
        self.messages += other.messages
        self.connections += other.connections
        self.faults += other.faults
        self.outcomes += other.outcomes
        self.violations |= other.violations
        self.seconds += other.seconds

    def table(self, backend: str) -> str:
        """Give the figures as a table of Markdown."""
        figures: list[tuple[str, float]] = [
            (f"sessions on {backend}", self.sessions),
            ("messages", self.messages),
            ("connections", self.connections),
            *(
                (f"recipients told {name}", n)
                for name, n in sorted(self.outcomes.items())
            ),
            ("faults that struck", self.faults.total()),
            *((f"... {name}", n) for name, n in self.faults.most_common()),
            ("violations", len(self.violations)),
            ("seconds of processor time", round(self.seconds)),
        ]
        rows = [f"| {what} | {number:,} |" for what, number in figures]
        return "\n".join(["| what | number |", "|---|---:|", *rows])


def several(seeds: range, backend: str) -> Tally:
    """Run the sessions of some seeds."""
    tally = Tally()
    begun = time.process_time()
    for seed in seeds:
        tally.take(carry_out(plan(seed), backend))
    tally.seconds = time.process_time() - begun
    return tally


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says; a violation is exit status 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, help="replay this one, and print it")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=FULL, help="how many seeds")
    parser.add_argument("--backend", choices=BACKENDS, default="asyncio")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    if chosen.seed is not None:
        run = carry_out(plan(chosen.seed), chosen.backend)
        wrong = problems(run)
        sys.stdout.write("\n".join([transcript(run), *wrong]) + "\n")
        sys.exit(bool(wrong))
    seeds = range(chosen.first, chosen.first + chosen.count)
    batches = [seeds[n : n + BATCH] for n in range(0, len(seeds), BATCH)]
    total = Tally()
    with ProcessPoolExecutor(chosen.jobs, initializer=gc.freeze) as processes:
        for tally in processes.map(partial(several, backend=chosen.backend), batches):
            total.add(tally)
            for seed, wrong in tally.violations.items():
                sys.stdout.write(f"seed {seed}: {wrong}\n")
            sys.stdout.flush()
    for seed in list(total.violations)[:3]:
        sys.stdout.write(transcript(carry_out(plan(seed), chosen.backend)) + "\n")
    sys.stdout.write(total.table(chosen.backend) + "\n")
    sys.exit(bool(total.violations))
