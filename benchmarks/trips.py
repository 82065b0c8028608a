"""Round trips a message, counted by the clock.

What a message takes over a longer line, less what it takes over a shorter one, grows
with the difference of the two lines alone. Whatever else takes time is the same in
both, but for what the machine does beside: so the least of some rounds is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Final

from benchmarks.jobs import Job
from benchmarks.peers import STREAMS, Peer, measure
from benchmarks.rounds import present, run, wall
from benchmarks.sinks import far_away, own_sink

#: Seconds of the two lines.
NEAR: Final = 0.01
FAR: Final = 0.03

#: How many messages are measured, one after the other, and in a stream.
LONE: Final = 4
STREAM: Final = 100

#: Peer and number of recipients, to round trips.
Trips = Mapping[tuple[Peer, int], float]


def count(peers: Iterable[Peer], recipients: Iterable[int], rounds: int) -> Trips:
    """Count for every peer and number of recipients, over a warm connection."""
    pairs = [(peer, number) for number in recipients for peer in present(peers)]
    with ExitStack() as stack:
        sink = stack.enter_context(own_sink())
        ports = {
            length: stack.enter_context(far_away(sink.port, length))
            for length in (NEAR, FAR)
        }
        taken = run(
            rounds,
            [(peer, number, length) for peer, number in pairs for length in ports],
            lambda key: measure(
                key[0],
                sink,
                Job(
                    ports[key[2]],
                    STREAM if key[0] in STREAMS else LONE,
                    warm=2,
                    recipients=key[1],
                ),
            ),
        )
    return {
        (peer, number): trips(
            taken.least((peer, number, NEAR), wall),
            taken.least((peer, number, FAR), wall),
        )
        for peer, number in pairs
    }


def trips(near: float, far: float) -> float:
    """Give the round trips, from the seconds that they took over both lines."""
    return (far - near) / (FAR - NEAR)
