"""Row E30: failures over real sockets leave nothing behind, in memory neither."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

from tests.clock import BACKENDS
from tests.simulation.endurance import endure

pytestmark = pytest.mark.simulation

#: What one connection and a half may be, and a task that is on its way out.
_LEEWAY = 6


@pytest.mark.parametrize("backend", BACKENDS)
def test_E30_failures_over_sockets_leave_nothing_behind(backend: str) -> None:
    samples = anyio.run(partial(endure, 1200, samples=4), backend=backend)
    (_, first), *_, (_, last) = samples[1:]
    assert last.descriptors <= first.descriptors + _LEEWAY
    assert last.tasks <= first.tasks + _LEEWAY
    assert last.threads <= first.threads + 1
    assert last.objects <= first.objects + 2000
    # A kilobyte for each of the 900 between them, half of them under TLS.
    assert last.memory <= first.memory + 900
