"""How the cost of a message grows with the number of tasks, and of messages."""

from __future__ import annotations

from typing import Final

from benchmarks.jobs import Job
from benchmarks.peers import SEND, measure
from benchmarks.rounds import Rounds, run
from benchmarks.sinks import Sink

TASKS: Final = (1, 10, 50, 200)
MESSAGES: Final = (1_000, 10_000, 100_000)


def by_tasks(sink: Sink, rounds: int, count: int) -> Rounds[int]:
    """Send from more and more tasks, over the connections of one client."""
    return run(
        rounds,
        TASKS,
        lambda tasks: measure(SEND, sink, Job(sink.port, count, 400, tasks=tasks)),
    )


def by_messages(sink: Sink, most: int) -> Rounds[int]:
    """Send more and more messages, over one connection."""
    return run(
        1,
        [count for count in MESSAGES if count <= most],
        lambda count: measure(SEND, sink, Job(sink.port, count, 400)),
    )
