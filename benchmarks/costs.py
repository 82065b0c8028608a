"""What a message of 2 kB costs a client on loopback, over one connection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from benchmarks.jobs import Job
from benchmarks.peers import Peer, measure
from benchmarks.rounds import Rounds, present, run
from benchmarks.sinks import Sink


class Cost(NamedTuple):
    """What clients cost against a server, and what that cost the server."""

    rounds: Rounds[Peer]
    #: Seconds of the server's processor time, a message.
    sink: float


def compare(sink: Sink, peers: Iterable[Peer], rounds: int, count: int) -> Cost:
    """Let all peers that can send so many messages to a server, in rounds."""
    before = sink.figures()
    job = Job(sink.port, count, warm=max(2, count // 10 * 2))
    taken = run(rounds, present(peers), lambda peer: measure(peer, sink, job))
    after = sink.figures()
    return Cost(taken, (after.cpu - before.cpu) / (after.messages - before.messages))
