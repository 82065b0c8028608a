"""Every fault at every place of a few batches: `python -m tests.simulation.batches`.

Each batch is first sent as it is, to see how many octets, writes and replies there are
on each of its connections; then again and again, each time with one fault in another
place, or given up at another moment. The oracle of the random sessions judges. Words
given choose batches that have them in their names. It prints how many cases there
were, and which came out wrong.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from esmtp_async import Timeouts
from esmtp_async.testing import Rule
from tests.clock import BACKENDS
from tests.simulation.faults import LINES, Fault, Kind
from tests.simulation.line import Line
from tests.simulation.oracle import problems
from tests.simulation.plan import OFFERS, REFUSED, Batch, Letter, Plan
from tests.simulation.session import LAST, carry_out

#: Whoever is refused is so for good.
_PICKY: Final = Rule("RCPT", f"{REFUSED}-", reply="550 5.1.1 no")
#: Nobody is refused, and every reply takes a second.
_SLOW: Final = Rule("CONNECT|EHLO|LHLO|MAIL|RCPT|DATA|CONTENT|BDAT|LAST|RSET", delay=1)
#: Seconds until a slow batch has come to its end, at most.
_LONG: Final = 60


def _letters() -> tuple[Letter, ...]:
    """Give messages of every kind."""
    small, everybody = b"\r\n.x\r\n", ("yes-0", f"{REFUSED}-1", "yes-2")
    kinds: tuple[tuple[tuple[str, ...], bytes, int | None], ...] = (
        (("yes-0",), small, None),
        (everybody, small, None),
        ((f"{REFUSED}-0",), small, None),
        (("yes-0", "yes-1"), b"\r\n" + 20 * small, 60),
        (("yes-0",), small, None),
        (everybody, b"\r\n" + 14_000 * small, None),
        (("yes-0",), small, None),
    )
    return tuple(
        replace(
            LAST[0],
            number=number,
            recipients=tuple(f"{name}-{number}@example.test" for name in names),
            octets=b"Message-ID: <%d@example.test>\r\n" % number + octets,
            block=block,
        )
        for number, (names, octets, block) in enumerate(kinds)
    )


_PLAIN: Final = Plan(
    seed=0,
    security="plain",
    lmtp=False,
    auth=False,
    extensions=OFFERS,
    max_recipients=1000,
    fragment=None,
    idle=float("inf"),
    grain=65536,
    rules=(_PICKY,),
    pipelining="conformant",
    max_connections=2,
    max_messages=None,
    max_idle=45.0,
    timeouts=Timeouts(),
    letters=_letters(),
    batch=Batch(window=8, connections=1, ordered=True),
    apart=0,
    last=2,
    faults=(),
)
_EAGER: Final = replace(_PLAIN, pipelining="eager")
#: The same without the message that is larger than a block.
_SMALL: Final = tuple(letter for letter in _PLAIN.letters if len(letter.octets) < 1000)
_LIGHT: Final = replace(_PLAIN, letters=_SMALL)
_LIGHT_EAGER: Final = replace(_EAGER, letters=_SMALL)
_TWO: Final = Batch(window=3, connections=2, ordered=False)
_TIGHT: Final = (*OFFERS, "LIMITS RCPTMAX=1 MAILMAX=3")

BATCHES: Final[Mapping[str, Plan]] = {
    "lockstep": replace(_LIGHT, pipelining="off"),
    "conformant": _PLAIN,
    "conformant, on two connections": replace(_LIGHT, batch=_TWO),
    "conformant, too many recipients": replace(_LIGHT, max_recipients=1),
    "conformant LMTP": replace(_LIGHT, lmtp=True),
    "eager": _EAGER,
    "eager, on two connections": replace(_LIGHT_EAGER, batch=_TWO),
    "eager, tight limits": replace(_LIGHT_EAGER, max_recipients=1, extensions=_TIGHT),
    "eager LMTP, too many recipients": replace(
        _LIGHT_EAGER, lmtp=True, max_recipients=1
    ),
}


class Case(NamedTuple):
    """One fault of one batch, on one event loop."""

    batch: str
    backend: str
    plan: Plan

    def violations(self) -> list[str]:
        """Carry it out; tell what is wrong."""
        what = (*self.plan.faults, self.plan.batch)
        return [
            f"{self.batch}, {self.backend}, {what}: {problem}"
            for problem in problems(carry_out(self.plan, self.backend))
        ]


def cases(batch: str, backend: str) -> Iterator[Case]:
    """Give all cases of a batch."""
    plain = BATCHES[batch]
    for number, line in enumerate(carry_out(plain, backend).lines):
        for fault in _faults(number, line):
            yield Case(batch, backend, replace(plain, faults=(fault,)))
    for given_up in _given_up(plain):
        yield Case(batch, backend, given_up)


def _faults(number: int, line: Line) -> Iterator[Fault]:
    """Give every fault of a line that came to its end without any."""
    heard = [entry.octets for entry in line.record if entry.what == "S"]
    writes = sum(entry.what == "C" for entry in line.record)
    replies = sum(
        reply[3:4] == b" " for octets in heard for reply in octets.splitlines()
    )
    for position in range(sum(map(len, heard))):
        for kind in (Kind.EOF, Kind.RESET, Kind.STALL, Kind.GARBLE):
            yield Fault(kind, number, position, position)
    for position in range(writes):
        yield Fault(Kind.WRITE, number, position, 0)
        for extent in range(0, 17, 4):
            yield Fault(Kind.PARTIAL_ERROR, number, position, extent)
            yield Fault(Kind.PARTIAL_STALL, number, position, extent)
        for extent in range(2 * len(LINES)):
            yield Fault(Kind.EARLY, number, position, extent)
    for position in range(replies):
        for kind in (Kind.DUPLICATE, Kind.DROP, Kind.SWAP, Kind.SHUTDOWN):
            yield Fault(kind, number, position, 0)
        for extent in range(len(LINES)):
            yield Fault(Kind.INSERT, number, position, extent)


def _given_up(plan: Plan) -> Iterator[Plan]:
    """Give a plan with each moment at which somebody may lose patience."""
    assert plan.batch is not None
    slow = replace(plan, rules=(_PICKY, _SLOW))
    for halves in range(1, 2 * _LONG):
        batch = replace(plan.batch, patience=halves / 2)
        yield replace(slow, batch=batch)
    for suspension in range(1, 40):
        batch = replace(plan.batch, suspension=suspension)
        yield replace(plan, batch=batch)
        yield replace(slow, batch=batch)
    for leaves in range(1, len(plan.letters)):
        batch = replace(plan.batch, leaves=leaves)
        yield replace(plan, batch=batch)
        yield replace(slow, batch=batch)


class Job(NamedTuple):
    """All cases of a batch on an event loop, for a process to hold."""

    batch: str
    backend: str


def hold(job: Job, stride: int = 1, skipped: int = 0) -> tuple[int, list[str]]:
    """Hold one of so many cases; tell how many there were, and what is wrong."""
    chosen = [*cases(*job)][skipped::stride]
    return len(chosen), [wrong for case in chosen for wrong in case.violations()]


def _timed(job: Job) -> tuple[Job, int, list[str], float]:
    began = time.process_time()
    return job, *hold(job), time.process_time() - began


def main() -> int:
    """Hold all cases; tell whether any came out wrong."""
    words = sys.argv[1:]
    jobs = [
        Job(batch, backend)
        for batch in BATCHES
        for backend in BACKENDS
        if all(word in f"{batch} {backend}" for word in words)
    ]
    rows = []
    clean = True
    with multiprocessing.Pool() as pool:
        for job, count, wrong, seconds in pool.imap(_timed, jobs):
            clean = clean and not wrong
            sys.stderr.write("".join(f"{each}\n" for each in wrong))
            row = f"| {job.batch} | {job.backend} | {count:,} | {len(wrong)} "
            rows.append(f"{row}| {seconds:.0f} |")
    head = [
        "| a batch | loop | cases | violations | seconds |",
        "|---|---|--:|--:|--:|",
    ]
    sys.stdout.write("\n".join([*head, *rows]) + "\n")
    return int(not clean)


if __name__ == "__main__":
    sys.exit(main())
