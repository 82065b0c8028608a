"""The pool: which connection a message gets, and how many there are."""

from __future__ import annotations

import asyncio
import math
from functools import partial

import anyio
import pytest

from esmtp_async import (
    ConnectFailed,
    Stage,
)
from esmtp_async._connection import Connection
from esmtp_async._pool import Pool, Pooled, PoolLimits, choose
from esmtp_async.protocol import Session
from tests.backends import everywhere

LIMITS = PoolLimits(max_connections=3, max_messages=10, max_idle=45, max_age=100)
NOW = 1000.0


class IdleSession(Session):
    """A session between two transactions, or broken."""

    fit = True

    @property
    def reusable(self) -> bool:
        return self.fit


class Idle(Connection):
    """A connection that lies idle: quiet, or dead."""

    def __init__(self, *, quiet: bool = True) -> None:
        self.session = self.between = IdleSession()
        self.quiet = quiet
        self.closed = 0

    def is_quiet(self) -> bool:
        return self.quiet

    async def aclose(self) -> None:
        self.closed += 1


def pooled(
    *, quiet: bool = True, age: float = 10, idle: float = 5, messages: int = 1
) -> Pooled:
    connection = Idle(quiet=quiet)
    return Pooled(connection, NOW - age, NOW - idle, messages)


FRESH = {"quiet": True}
DEAD = {"quiet": False}
TIRED = {"messages": 10}
OLD = {"age": 100}
STALE = {"idle": 45}
NEARLY = {"age": 99.9, "idle": 44.9, "messages": 9}


@pytest.mark.parametrize(
    ("idle", "give", "close", "keep"),
    [
        ([], None, [], []),
        ([FRESH], 0, [], []),
        ([FRESH, FRESH], 1, [], [0]),
        ([FRESH, FRESH, FRESH], 2, [], [0, 1]),
        ([DEAD], None, [0], []),
        ([TIRED], None, [0], []),
        ([OLD], None, [0], []),
        ([STALE], None, [0], []),
        ([NEARLY], 0, [], []),
        ([FRESH, DEAD], 0, [1], []),
        ([FRESH, STALE, DEAD], 0, [2, 1], []),
        ([STALE, FRESH], 1, [0], []),
        ([OLD, FRESH, TIRED, FRESH], 3, [2, 0], [1]),
        # One that is not looked at stays, dead or not: it costs a system call.
        ([DEAD, FRESH], 1, [], [0]),
        ([DEAD, DEAD], None, [1, 0], []),
    ],
)
def test_choose(
    idle: list[dict[str, float]],
    give: int | None,
    close: list[int],
    keep: list[int],
) -> None:
    lying = [
        pooled(
            quiet=bool(each.get("quiet", True)),
            age=each.get("age", 10),
            idle=each.get("idle", 5),
            messages=int(each.get("messages", 1)),
        )
        for each in idle
    ]
    choice = choose(lying, NOW, LIMITS)
    assert choice.give is (None if give is None else lying[give])
    assert list(choice.close) == [lying[index] for index in close]
    assert list(choice.keep) == [lying[index] for index in keep]


def test_choose_without_limits() -> None:
    unlimited = PoolLimits(
        max_connections=1, max_messages=None, max_idle=math.inf, max_age=None
    )
    ancient = pooled(age=1e9, idle=1e9, messages=10**9)
    assert choose([ancient], NOW, unlimited).give is ancient


class Office:
    """Opens and closes connections of a pool, and keeps count."""

    def __init__(self, limits: PoolLimits = LIMITS) -> None:
        self.opened: list[Idle] = []
        self.left: list[Connection] = []
        self.failing = False
        self.pool = Pool(limits, self.connect, self.leave)

    async def connect(self) -> Idle:
        await anyio.lowlevel.checkpoint()
        if self.failing:
            raise ConnectFailed("no", stage=Stage.CONNECT)
        self.opened.append(Idle())
        return self.opened[-1]

    async def leave(self, connection: Connection) -> None:
        await anyio.lowlevel.checkpoint()
        self.left.append(connection)

    def there(self) -> list[Idle]:
        """Give the connections that are open."""
        return [c for c in self.opened if not c.closed and c not in self.left]


@everywhere
async def test_never_more_than_the_limit() -> None:
    office = Office()
    in_use = peak = done = 0

    async def work(number: int) -> None:
        nonlocal in_use, peak, done
        mine = await office.pool.acquire(fresh=number % 7 == 0)
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
    assert (peak, done) == (3, 50)
    await office.pool.aclose()
    assert office.there() == []


@everywhere
async def test_who_waits_longest_is_served_first() -> None:
    office = Office(
        PoolLimits(max_connections=1, max_messages=None, max_idle=9, max_age=None)
    )
    order: list[int] = []

    async def work(number: int) -> None:
        mine = await office.pool.acquire()
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
        mine = await office.pool.acquire()
        with anyio.move_on_after(0.001) as scope:
            await office.pool.acquire()
        assert scope.cancelled_caught
        await office.pool.release(mine)
    assert len(office.opened) == 1


@pytest.mark.asyncio
async def test_a_task_cancelled_while_the_dead_are_closed_loses_none() -> None:
    """Cancellation of asyncio itself knows no shield."""
    office = Office()
    held = [await office.pool.acquire() for _ in range(3)]
    for mine in held:
        await office.pool.release(mine)
    *living, dead = office.opened
    dead.quiet = False
    dead.aclose = anyio.sleep_forever  # type: ignore[method-assign]
    task = asyncio.create_task(office.pool.acquire())
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    again = [await office.pool.acquire() for _ in range(2)]
    assert {id(mine.connection) for mine in again} == {id(idle) for idle in living}
    await office.pool.acquire()
    assert len(office.opened) == 4


@everywhere
async def test_who_could_not_connect_takes_nothing_away() -> None:
    office = Office()
    office.failing = True
    for _ in range(5):
        with pytest.raises(ConnectFailed):
            await office.pool.acquire()
    office.failing = False
    held = [await office.pool.acquire() for _ in range(3)]
    with anyio.move_on_after(0.01) as scope:
        await office.pool.acquire()
    assert scope.cancelled_caught
    for mine in held:
        await office.pool.release(mine)


@everywhere
async def test_youngest_first() -> None:
    office = Office()
    first, second = await office.pool.acquire(), await office.pool.acquire()
    await office.pool.release(first)
    await office.pool.release(second)
    assert await office.pool.acquire() is second
    assert await office.pool.acquire() is first
    assert (first.messages, second.messages) == (2, 2)
    assert first.reused


@everywhere
async def test_fresh_drops_all_that_lie_idle() -> None:
    office = Office()
    held = [await office.pool.acquire() for _ in range(3)]
    for mine in held:
        await office.pool.release(mine)
    new = await office.pool.acquire(fresh=True)
    assert new not in held
    assert not new.reused
    assert [c.closed for c in office.opened] == [1, 1, 1, 0]


@everywhere
async def test_spent_connections_do_not_come_back() -> None:
    office = Office(
        PoolLimits(max_connections=1, max_messages=2, max_idle=9, max_age=None)
    )
    broken = await office.pool.acquire()
    assert isinstance(broken.connection, Idle)
    broken.connection.between.fit = False
    await office.pool.release(broken)
    assert broken.connection.closed == 1
    assert office.left == []
    first = await office.pool.acquire()
    await office.pool.release(first)
    second = await office.pool.acquire()
    assert second is first
    await office.pool.release(second)
    assert office.left == [second.connection]  # QUIT: two messages were its share


@everywhere
async def test_a_closed_pool() -> None:
    office = Office()
    held, idle = await office.pool.acquire(), await office.pool.acquire()
    await office.pool.release(idle)
    await office.pool.aclose()
    assert office.left == [idle.connection]
    await office.pool.release(held)
    assert office.left == [idle.connection, held.connection]
    with pytest.raises(RuntimeError, match="closed"):
        await office.pool.acquire()
    await office.pool.aclose()
    assert len(office.left) == 2


@everywhere
async def test_what_is_being_closed_still_counts() -> None:
    office = Office()
    held = [await office.pool.acquire() for _ in range(3)]
    for mine in held:
        await office.pool.release(mine)
    peak = 0

    async def slow(connection: Idle) -> None:
        await anyio.sleep(0.02)
        connection.closed += 1

    async def work() -> None:
        nonlocal peak
        mine = await office.pool.acquire(fresh=True)
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
