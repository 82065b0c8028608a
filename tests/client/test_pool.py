"""The pool: which connection a message gets, and how many there are."""

from __future__ import annotations

import math

import anyio
import pytest

from esmtp_async import (
    ConnectFailed,
    ConnectionClosed,
    Event,
    HelloRefused,
    Stage,
)
from esmtp_async._connection import Connection
from esmtp_async._pool import Pool, Pooled, PoolLimits, choose
from esmtp_async.protocol import Session
from tests.backends import everywhere
from tests.client.certificates import client_context, server_context
from tests.client.checks import BOB, MESSAGE, failure, send
from tests.raw import (
    EOF,
    STALL,
    TLS,
    offering,
    script,
    serving,
)

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
        self.left.append(connection)
        await anyio.lowlevel.checkpoint()


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
        idle = sum(not c.closed for c in office.opened) - in_use
        assert idle + in_use <= 3

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(work, number)
    assert (peak, done) == (3, 50)
    await office.pool.aclose()
    open_ = [c for c in office.opened if not c.closed and c not in office.left]
    assert open_ == []


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


# The pool of a client, over sockets


@everywhere
async def test_messages_share_a_connection() -> None:
    async with serving(script()) as server, server.client() as client:
        for _ in range(3):
            await send(client)
    assert [heard.messages for heard in server.heard] == [[MESSAGE] * 3]
    assert server.heard[0].verbs[-1] == "QUIT"


@everywhere
async def test_the_share_of_a_connection() -> None:
    async with serving(script()) as server:
        async with server.client(max_messages_per_connection=2) as client:
            for _ in range(5):
                await send(client)
    assert [len(heard.messages) for heard in server.heard] == [2, 2, 1]
    assert [heard.verbs[-1] for heard in server.heard] == ["QUIT"] * 3


@everywhere
@pytest.mark.parametrize("limit", ["max_idle", "max_age"])
async def test_old_connections_are_replaced(limit: str) -> None:
    async with serving(script()) as server:
        options = {"max_idle": 0.05} if limit == "max_idle" else {"max_age": 0.05}
        async with server.client(**options) as client:  # type: ignore[arg-type]
            await send(client)
            await anyio.sleep(0.1)
            await send(client)
        assert [len(heard.messages) for heard in server.heard] == [1, 1]
        assert server.taps[0].closed == 1


@everywhere
async def test_expired_connections_are_dropped_all_at_once() -> None:
    """Peers that never say good-bye hold nobody up, and no cancellation leaks them."""
    deaf = script(CONNECT=(TLS, b"220 x\r\n"), CONTENT=(b"250 ok\r\n", STALL))
    events: list[Event] = []
    async with serving(
        *[deaf] * 4, script(CONNECT=(TLS, b"220 x\r\n")), tls=server_context()
    ) as server:
        async with server.client(
            security="tls",
            ssl_context=client_context(),
            max_idle=0.1,
            on_event=events.append,
        ) as client:
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(send, client)
            assert len(server.heard) == 4
            await anyio.sleep(0.2)
            start = anyio.current_time()
            with anyio.move_on_after(0.1):
                await send(client)
            assert anyio.current_time() - start < 2
            assert [tap.closed for tap in server.taps[:4]] == [1] * 4
            assert sum(isinstance(e, ConnectionClosed) for e in events) >= 4
            assert (await send(client)).accepted == (BOB,)


@everywhere
async def test_an_idle_connection_that_died_is_not_used() -> None:
    dying = script(CONTENT=(b"250 ok\r\n", EOF))
    async with serving(dying, script()) as server, server.client() as client:
        await send(client)
        await server.heard[0].left()
        assert (await send(client)).attempts == 1
        assert [len(heard.messages) for heard in server.heard] == [1, 1]


@everywhere
async def test_a_closed_client() -> None:
    async with serving(script(CONTENT=(0.1, b"250 ok\r\n"))) as server:
        client = server.client()
        async with anyio.create_task_group() as group:
            group.start_soon(send, client)
            while not server.heard or not server.heard[0].messages:
                await anyio.sleep(0.01)
            await client.aclose()
        # What was under way was not disturbed, and left in order.
        assert server.heard[0].messages == [MESSAGE]
        assert await server.heard[0].over() != "reset"
        assert server.heard[0].verbs[-1] == "QUIT"
        for action in (send(client), client.noop(), client.probe()):
            with pytest.raises(RuntimeError, match="closed"):
                await action
        await client.aclose()
        assert len(server.heard) == 1


@everywhere
async def test_closing_waits_for_nobody_for_long() -> None:
    stuck = script(QUIT=STALL)
    async with serving(stuck) as server:
        client = server.client(timeouts=0.2)
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(send, client)
        assert len(server.heard) == 5
        start = anyio.current_time()
        await client.aclose()
        assert anyio.current_time() - start < 0.9
        assert [tap.closed for tap in server.taps] == [1] * 5


@everywhere
async def test_failures_use_nothing_up() -> None:
    refusing = script(EHLO=b"550 no\r\n", HELO=b"550 no\r\n")
    async with serving(*[refusing] * 8, script(EHLO=offering())) as server:
        async with server.client(max_connections=2) as client:
            for _ in range(8):
                await failure(client, HelloRefused)
            assert (await send(client)).accepted == (BOB,)
            assert [tap.closed for tap in server.taps[:8]] == [1] * 8
