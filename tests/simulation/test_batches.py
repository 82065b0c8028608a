"""A share of `python -m tests.simulation.batches`, another one every time."""

from __future__ import annotations

from random import randrange
from typing import Final

import pytest

from tests.clock import BACKENDS
from tests.simulation.batches import BATCHES, Job, hold
from tests.simulation.oracle import problems
from tests.simulation.session import carry_out

pytestmark = pytest.mark.simulation

#: Of so many cases one is held.
STRIDE: Final = 101


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch", BATCHES)
def test_E8_E14_a_batch_loses_nothing_and_doubles_nothing(
    batch: str, backend: str
) -> None:
    skipped = randrange(STRIDE)  # noqa: S311  # no secret
    cases, violations = hold(Job(batch, backend), STRIDE, skipped)
    assert not violations, f"{len(violations)} are wrong. {violations[0]}"
    assert cases > 30


@pytest.mark.parametrize("batch", BATCHES)
def test_undisturbed_a_batch_is_told_as_it_should_be(batch: str) -> None:
    run = carry_out(BATCHES[batch])
    assert not problems(run)
    refused = {
        path
        for told in run.told
        for path, (outcome, _) in told.outcomes.items()
        if outcome != "ACCEPTED"
    }
    everybody = {path for told in run.told for path in told.letter.recipients}
    # A stream can be read once, and is for nobody but those who fit.
    late = {"yes-1-3@example.test"} if BATCHES[batch].max_recipients == 1 else set()
    assert refused == {path for path in everybody if path.startswith("no-")} | late
