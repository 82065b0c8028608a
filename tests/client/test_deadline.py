"""A deadline that is moved often: it comes when it is due, and not if it is moved."""

from __future__ import annotations

import asyncio
import math
from unittest.mock import patch

import anyio
import pytest
from anyio.lowlevel import checkpoint

from esmtp_async._deadline import Deadline
from esmtp_async._loops import running_loop
from tests.backends import in_virtual_time
from tests.clock import run


async def bounded(deadline: Deadline, *moves: tuple[float, float]) -> float | None:
    """Move a deadline, each time after some seconds; tell when it came, if it did."""
    start = anyio.current_time()
    with anyio.CancelScope() as scope:
        deadline.bind(scope)
        for pause, seconds in moves:
            await anyio.sleep(pause)
            deadline.move(seconds)
        await anyio.sleep(1000)
    deadline.release()
    return anyio.current_time() - start if scope.cancelled_caught else None


@in_virtual_time
@pytest.mark.parametrize(
    ("moves", "end"),
    [
        ([], None),
        ([(0, 5)], 5),
        ([(0, 5), (3, 5), (3, 5)], 11),
        ([(0, 300), (1, 2)], 3),
        ([(0, 300), (1, 600)], 601),
        ([(0, 5), (4, math.inf)], None),
        ([(0, math.inf), (7, 1)], 8),
        ([(0, 2), (3, 5)], 2),
    ],
)
async def test_it_comes_where_it_was_moved_to_last(
    moves: list[tuple[float, float]], end: float | None
) -> None:
    deadline = Deadline()
    for _ in range(3):  # whatever was before has no part in it
        assert await bounded(deadline, *moves) == (end and pytest.approx(end))
    deadline.close()


@in_virtual_time
async def test_once_released_it_bounds_nothing() -> None:
    deadline = Deadline()
    with anyio.CancelScope() as scope:
        deadline.bind(scope)
        deadline.move(5)
        deadline.close()
        if running_loop() is None:
            scope.deadline = math.inf  # under trio it is the scope's own
        await anyio.sleep(10)
    assert not scope.cancelled_caught


def test_no_timer_is_set_for_each_move() -> None:
    async def scenario() -> list[int]:
        deadline = Deadline()
        loop = asyncio.get_running_loop()
        counts = []
        with patch.object(loop, "call_at", wraps=loop.call_at) as call_at:
            with anyio.CancelScope() as scope:
                deadline.bind(scope)
                for _ in range(1000):
                    deadline.move(300)
                counts.append(call_at.call_count)
                deadline.move(10)
                counts.append(call_at.call_count)
                await checkpoint()
        deadline.close()
        return counts

    assert run(scenario) == [1, 2]
