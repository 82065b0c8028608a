"""A share of `python -m tests.simulation.exhaustive`, another one every time."""

from __future__ import annotations

from random import randrange
from typing import Final

import pytest

from tests.simulation.exhaustive import PARTS, Part, hold
from tests.simulation.play import playable
from tests.simulation.trial import Trial

pytestmark = pytest.mark.simulation

#: Seconds are spent on all parts alike; what there is most of is thinned out most.
_STRIDES: Final = {"octet of the server": 151, "handshake": 101, "write": 11}
_STRIDE: Final = 7


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.name}, {part.backend}")
def test_E8_E14_nothing_is_lost_and_nothing_doubled(part: Part) -> None:
    thin = [stride for what, stride in _STRIDES.items() if what in part.name]
    stride = part.stride * (thin or [_STRIDE])[0]
    trial = Trial(stride, randrange(stride))  # noqa: S311  # no secret
    hold(part, trial, [*playable()])
    if trial.violations:
        pytest.fail(f"{len(trial.violations)} are wrong. {trial.violations[0]}")
    assert trial.cases > 30


def test_there_is_enough_to_play() -> None:
    transcripts = playable().values()
    assert len(transcripts) >= 40
    octets = sum(
        len(line) for t in transcripts for flight in t.flights for line in flight.heard
    )
    assert octets >= 16_000
    assert any(t.lmtp for t in transcripts)
    assert any(t.flights[0].handshake for t in transcripts)
    assert any(f.handshake and f.said for t in transcripts for f in t.flights)
    assert any(b"BDAT" in f.said for t in transcripts for f in t.flights)
