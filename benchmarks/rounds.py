"""Rounds: everything that is compared runs in turn, again and again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Generic, TypeVar

from benchmarks.jobs import Sample
from benchmarks.peers import Peer

Key = TypeVar("Key", bound=Hashable)
#: Which figure of a sample.
Figure = Callable[[Sample], float]


def cpu(sample: Sample) -> float:
    """Give the seconds of processor time."""
    return sample.cpu


def wall(sample: Sample) -> float:
    """Give the seconds that passed."""
    return sample.wall


class Rounds(Generic[Key]):
    """What each of those compared did in each round."""

    def __init__(self, samples: Mapping[Key, Sequence[Sample]]) -> None:
        self._samples = samples

    def __contains__(self, key: Key) -> bool:
        """Tell whether it took part."""
        return key in self._samples

    def __iter__(self) -> Iterator[Key]:
        """Give those that took part, in their order."""
        return iter(self._samples)

    def median(self, key: Key, figure: Figure) -> float:
        """Give the median of a figure."""
        return median(map(figure, self._samples[key]))

    def least(self, key: Key, figure: Figure) -> float:
        """Give the least of a figure: what the machine does beside only adds to it."""
        return min(map(figure, self._samples[key]))

    def ratio(self, key: Key, base: Key, figure: Figure) -> float:
        """Compare two within each round; give the median of the ratios."""
        pairs = zip(self._samples[key], self._samples[base], strict=True)
        return median(figure(one) / figure(other) for one, other in pairs)


def run(
    count: int, keys: Iterable[Key], measure: Callable[[Key], Sample]
) -> Rounds[Key]:
    """Measure each in turn, as many times as there are rounds."""
    samples: dict[Key, list[Sample]] = {key: [] for key in keys}
    for number in range(count):
        for key, taken in samples.items():
            note(f"round {number + 1} of {count}: {key}")
            taken.append(measure(key))
    return Rounds(samples)


def present(peers: Iterable[Peer]) -> tuple[Peer, ...]:
    """Leave out those that cannot take part."""
    return tuple(peer for peer in peers if not peer.missing())


def note(what: str) -> None:
    """Tell the person in front of the screen how far it is."""
    print(f"  {what}", file=sys.stderr, flush=True)
