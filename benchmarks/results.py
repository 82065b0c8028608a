"""All that is measured in one run, in its full size and in a small one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import cold, content, costs, idle, imports, line, scale, trips
from benchmarks.content import Passage, Summary
from benchmarks.costs import Cost
from benchmarks.idle import Held
from benchmarks.line import Curve
from benchmarks.peers import (
    AIOSMTPLIB,
    AIOSMTPLIB_ON_UVLOOP,
    BY_HAND,
    OTHERS,
    OURS,
    OURS_ELSEWHERE,
    Peer,
)
from benchmarks.rounds import Rounds, note
from benchmarks.sinks import Sink, far_away, own_sink, smtp_sink
from benchmarks.trips import Trips

#: The loop that large content and idle connections are measured on.
_LOOP: Final = "asyncio"


#: How large content went, by its form.
Contents = Mapping[str, Summary]


class Plan(NamedTuple):
    """How much is measured."""

    #: The server that all clients send to.
    sink: Callable[[], AbstractContextManager[Sink]]
    peers: Sequence[Peer]
    recipients: Sequence[int]
    rounds: int
    #: Messages of a round on loopback.
    messages: int
    #: Messages on end, at most.
    most: int
    #: Octets of a large message.
    large: int
    #: Connections that lie idle.
    idle: int
    lengths: Sequence[float]
    windows: Sequence[int]


FULL: Final = Plan(
    sink=smtp_sink,
    peers=(*OURS[:2], BY_HAND, *OURS_ELSEWHERE, *OTHERS, AIOSMTPLIB_ON_UVLOOP),
    recipients=(1, 10),
    rounds=7,
    messages=1000,
    most=100_000,
    large=100_000_000,
    idle=200,
    lengths=line.LENGTHS,
    windows=line.WINDOWS,
)
QUICK: Final = Plan(
    sink=own_sink,
    peers=(*OURS[:2], AIOSMTPLIB),
    recipients=(1,),
    rounds=1,
    messages=200,
    most=1000,
    large=10_000_000,
    idle=10,
    lengths=(line.USUAL,),
    windows=(20,),
)


class Results(NamedTuple):
    """What came of it."""

    plan: Plan
    #: Over a warm connection.
    trips: Trips
    #: From nothing, by the way to send.
    cold: Mapping[str, Sequence[float]]
    #: On loopback, against the server of the plan.
    costs: Cost
    #: The same against a server that offers CHUNKING.
    chunking: Cost
    #: Seconds a message, over the length of the line in seconds.
    latency: Mapping[Peer, Curve]
    #: Messages a second over the usual line, over the window.
    rates: Curve
    content: Contents
    #: A tenth of it, over the usual line.
    far_content: Contents
    tasks: Rounds[int]
    messages: Rounds[int]
    idle: Held
    imports: Rounds[str]


def measured(plan: Plan) -> Results:
    """Measure everything."""
    few = min(plan.rounds, 3)
    everybody = (*OURS, *(peer for peer in plan.peers if peer in OTHERS))
    note("what a message costs")
    with plan.sink() as sink:
        cost = costs.compare(sink, plan.peers, plan.rounds, plan.messages)
    with own_sink() as sink:
        note("what it costs with CHUNKING")
        chunking = costs.compare(sink, (*OURS, AIOSMTPLIB), plan.rounds, plan.messages)
        note("scale")
        tasks = scale.by_tasks(sink, few, plan.messages)
        messages = scale.by_messages(sink, plan.most)
        note("large content and idle connections")
        passages = _passages(sink, sink.port, plan.large, plan.rounds)
        with far_away(sink.port, line.USUAL) as port:
            far_passages = _passages(sink, port, plan.large // 10, few)
        held = idle.hold(sink, plan.idle, _LOOP)
    note("round trips, and messages over a line")
    return Results(
        plan,
        trips.count(everybody, plan.recipients, few),
        cold.round_trips(few),
        cost,
        chunking,
        line.latency(everybody, plan.lengths, few),
        line.rates(plan.windows, few),
        passages,
        far_passages,
        tasks,
        messages,
        held,
        imports.compare(plan.rounds),
    )


def _passages(sink: Sink, port: int, size: int, rounds: int) -> Contents:
    """Send a large message in every form, in turn."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "large"
        content.write(file, size)
        taken: dict[str, list[Passage]] = {form: [] for form in content.FORMS}
        for _ in range(rounds):
            for form, passages in taken.items():
                note(f"{size:,} octets from {form}")
                passages.append(content.send_file(sink, port, _LOOP, form, file))
        return {form: Summary.of(passages) for form, passages in taken.items()}
