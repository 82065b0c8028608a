"""Messages of 3 kB to three recipients over lines of several lengths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Final

from benchmarks.jobs import Job, Sample
from benchmarks.peers import SEND_MANY_EAGER, STREAMS, Peer, measure
from benchmarks.rounds import present, run, wall
from benchmarks.sinks import Sink, far_away, own_sink

#: Seconds; the length of most measurements.
USUAL: Final = 0.03
#: Seconds, to show what length does to a message.
LENGTHS: Final = (0.0, 0.01, 0.03, 0.06, 0.1)
#: Messages that are sent ahead of the replies.
WINDOWS: Final = (1, 2, 5, 10, 20, 50)

#: Pairs of a number on the one axis and one on the other.
Curve = Sequence[tuple[float, float]]


def _send(peer: Peer, sink: Sink, port: int, window: int = 20) -> Sample:
    count = max(40, 10 * window) if peer in STREAMS else 4
    job = Job(port, count, warm=2, recipients=3, size=3072, window=window)
    return measure(peer, sink, job)


def latency(
    peers: Iterable[Peer], lengths: Sequence[float], rounds: int
) -> Mapping[Peer, Curve]:
    """Give the seconds of a message, over each length."""
    peers = present(peers)
    with ExitStack() as stack:
        sink = stack.enter_context(own_sink())
        ports = {
            length: stack.enter_context(far_away(sink.port, length))
            for length in lengths
        }
        taken = run(
            rounds,
            [(peer, length) for peer in peers for length in lengths],
            lambda key: _send(key[0], sink, ports[key[1]]),
        )
    return {
        peer: [(length, taken.median((peer, length), wall)) for length in lengths]
        for peer in peers
    }


def rates(windows: Sequence[int], rounds: int) -> Curve:
    """Give messages a second of an eager stream, for each window."""
    with own_sink() as sink, far_away(sink.port, USUAL) as port:
        taken = run(
            rounds,
            windows,
            lambda window: _send(SEND_MANY_EAGER, sink, port, window),
        )
    return [(window, 1 / taken.median(window, wall)) for window in windows]
