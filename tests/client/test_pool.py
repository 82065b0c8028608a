"""The pool: who waits is served in turn, and nobody too much is opened."""

from __future__ import annotations

import asyncio
from functools import partial

import anyio
import pytest

from esmtp_async import (
    ConnectFailed,
    Stage,
)
from esmtp_async._roster import PoolLimits
from tests.backends import everywhere
from tests.client.office import Idle, Office


@everywhere
async def test_never_more_than_the_limit() -> None:
    office = Office()
    in_use = peak = done = 0

    async def work(number: int) -> None:
        nonlocal in_use, peak, done
        mine = await office.acquire(fresh=number % 7 == 0)
        in_use += 1
        peak = max(peak, in_use)
        for _ in range(number % 4):
            await anyio.lowlevel.checkpoint()
        if number % 5 == 0:
            assert isinstance(mine.connection, Idle)
            mine.connection.between.fit = False
        in_use -= 1
        done += 1
        await office.pool.release(mine)
        assert len(office.there()) <= 3

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(work, number)
    assert peak in {2, 3}  # as the event loop will have it
    assert done == 50
    await office.pool.aclose()
    assert office.there() == []


@everywhere
async def test_who_waits_longest_is_served_first() -> None:
    office = Office(
        PoolLimits(max_connections=1, max_messages=None, max_idle=9, max_age=None)
    )
    order: list[int] = []

    async def work(number: int) -> None:
        mine = await office.acquire()
        order.append(number)
        await anyio.lowlevel.checkpoint()
        await office.pool.release(mine)

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(work, number)
            await anyio.wait_all_tasks_blocked()
    assert order == sorted(order)
    assert len(office.opened) == 1


@everywhere
async def test_who_is_cancelled_while_waiting_takes_nothing_away() -> None:
    office = Office(
        PoolLimits(max_connections=1, max_messages=None, max_idle=9, max_age=None)
    )
    for _ in range(5):
        mine = await office.acquire()
        with anyio.move_on_after(0.001) as scope:
            await office.acquire()
        assert scope.cancelled_caught
        await office.pool.release(mine)
    assert len(office.opened) == 1


@pytest.mark.asyncio
async def test_a_task_cancelled_while_the_dead_are_closed_loses_none() -> None:
    """Cancellation of asyncio itself knows no shield."""
    office = Office()
    held = [await office.acquire() for _ in range(3)]
    for mine in held:
        await office.pool.release(mine)
    *living, dead = office.opened
    dead.quiet = False
    dead.aclose = anyio.sleep_forever  # type: ignore[method-assign]
    task = asyncio.create_task(office.acquire())
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    again = [await office.acquire() for _ in range(2)]
    assert {id(mine.connection) for mine in again} == {id(idle) for idle in living}
    await office.acquire()
    assert len(office.opened) == 4


@everywhere
async def test_who_could_not_connect_takes_nothing_away() -> None:
    office = Office()
    office.failure = ConnectFailed("no", stage=Stage.CONNECT)
    for _ in range(5):
        with pytest.raises(ConnectFailed):
            await office.acquire()
    office.failure = None
    held = [await office.acquire() for _ in range(3)]
    with anyio.move_on_after(0.01) as scope:
        await office.acquire()
    assert scope.cancelled_caught
    for mine in held:
        await office.pool.release(mine)


@everywhere
async def test_youngest_first() -> None:
    office = Office()
    first, second = (
        await office.acquire(),
        await office.acquire(),
    )
    await office.pool.release(first)
    await office.pool.release(second)
    assert await office.acquire() is second
    assert await office.acquire() is first
    assert (first.messages, second.messages) == (2, 2)
    assert first.reused


@everywhere
async def test_fresh_drops_all_that_lie_idle() -> None:
    office = Office()
    held = [await office.acquire() for _ in range(3)]
    for mine in held:
        await office.pool.release(mine)
    new = await office.acquire(fresh=True)
    assert new not in held
    assert not new.reused
    assert [c.closed for c in office.opened] == [1, 1, 1, 0]


@everywhere
async def test_spent_connections_do_not_come_back() -> None:
    office = Office(
        PoolLimits(max_connections=1, max_messages=2, max_idle=9, max_age=None)
    )
    broken = await office.acquire()
    assert isinstance(broken.connection, Idle)
    broken.connection.between.fit = False
    await office.pool.release(broken)
    assert broken.connection.closed == 1
    assert office.parted == []
    first = await office.acquire()
    await office.pool.release(first)
    second = await office.acquire()
    assert second is first
    await office.pool.release(second)
    # QUIT, for two messages were its share; but nobody waits for the reply.
    assert office.parted == [second.connection]
    assert office.left == []
    assert office.there() == [second.connection]
    # It goes when its room is needed.
    third = await office.acquire()
    assert office.there() == [third.connection]
    assert office.left == []


@everywhere
async def test_a_closed_pool() -> None:
    office = Office()
    held, idle = (
        await office.acquire(),
        await office.acquire(),
    )
    await office.pool.release(idle)
    await office.pool.aclose()
    assert office.left == [idle.connection]
    await office.pool.release(held)
    assert office.left == [idle.connection, held.connection]
    with pytest.raises(RuntimeError, match="closed"):
        await office.acquire()
    await office.pool.aclose()
    assert len(office.left) == 2


@everywhere
async def test_what_is_being_closed_still_counts() -> None:
    office = Office()
    held = [await office.acquire() for _ in range(3)]
    for mine in held:
        await office.pool.release(mine)
    peak = 0

    async def slow(connection: Idle) -> None:
        await anyio.sleep(0.02)
        connection.closed += 1

    async def work() -> None:
        nonlocal peak
        mine = await office.acquire(fresh=True)
        peak = max(peak, sum(not c.closed for c in office.opened))
        await office.pool.release(mine)

    for mine in held:
        assert isinstance(mine.connection, Idle)
        mine.connection.aclose = partial(slow, mine.connection)  # type: ignore[method-assign]
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(work)
    assert [c.closed for c in office.opened[:3]] == [1] * 3
    assert peak <= 3


@everywhere
async def test_what_was_told_quit_is_closed_once_the_server_answers() -> None:
    office = Office(
        PoolLimits(max_connections=3, max_messages=1, max_idle=9, max_age=None)
    )
    mine = await office.acquire()
    await office.pool.release(mine)
    leaving = office.opened[0]
    assert office.parted == [leaving]
    mine = await office.acquire()
    assert leaving.closed == 0
    leaving.quiet = False  # 221, or the end
    await office.pool.release(mine)
    assert office.left == [leaving]
    assert office.opened[1].closed == 0
    await office.pool.aclose()
    assert office.left == office.opened


@everywhere
async def test_what_expired_leaves_when_somebody_comes_by() -> None:
    office = Office(
        PoolLimits(max_connections=3, max_messages=None, max_idle=0.01, max_age=None)
    )
    held = [await office.acquire() for _ in range(2)]
    for mine in held:
        await office.pool.release(mine)
    await anyio.sleep(0.02)
    mine = await office.acquire()
    assert mine.connection is office.opened[2]
    assert set(office.parted) == {each.connection for each in held}
    assert len(office.there()) == 3
