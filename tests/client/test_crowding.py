"""A server that has enough connections is given no more."""

from __future__ import annotations

import anyio
import pytest

from esmtp_async import (
    AuthenticationFailed,
    ConnectFailed,
    GreetingRefused,
    HelloRefused,
    Reply,
    SMTPError,
    Stage,
    TLSFailed,
)
from esmtp_async._pool import PATIENCE
from esmtp_async._roster import PoolLimits
from tests.backends import everywhere
from tests.client.office import Office
from tests.clock import run


@everywhere
async def test_a_server_that_wants_fewer_gets_fewer() -> None:
    office = Office(
        PoolLimits(max_connections=5, max_messages=None, max_idle=9, max_age=None)
    )
    office.wanted = 2
    peak = in_use = done = 0

    async def work() -> None:
        nonlocal peak, in_use, done
        mine = await office.acquire()
        in_use += 1
        peak = max(peak, in_use)
        await anyio.sleep(0.001)
        in_use -= 1
        await office.pool.release(mine)
        done += 1

    async with anyio.create_task_group() as group:
        for _ in range(40):
            group.start_soon(work)
    assert (done, peak, len(office.opened)) == (40, 2, 2)
    # Each that was turned away was so once, and nobody tried again.
    assert office.dialled <= 5


def test_after_a_while_one_more_is_tried() -> None:
    async def scenario() -> None:
        office = Office()
        office.wanted = 1
        first = await office.acquire()
        async with anyio.create_task_group() as group:
            group.start_soon(office.acquire)
            await anyio.wait_all_tasks_blocked()
            assert (office.dialled, len(office.opened)) == (2, 1)
            await anyio.sleep(PATIENCE)
            office.wanted = 2
            group.start_soon(office.acquire)
            await anyio.wait_all_tasks_blocked()
            assert (office.dialled, len(office.opened)) == (3, 2)
            await office.pool.release(first)
        assert len(office.opened) == 2

    run(scenario)


@everywhere
@pytest.mark.parametrize(
    "failure",
    [
        GreetingRefused("x", stage=Stage.GREETING, reply=Reply(421, (b"busy",))),
        HelloRefused("x", stage=Stage.HELLO, reply=Reply(450, (b"busy",))),
        AuthenticationFailed("x", stage=Stage.AUTH, reply=Reply(454, (b"busy",))),
    ],
)
async def test_being_turned_away_is_a_failure_where_nothing_stands(
    failure: SMTPError,
) -> None:
    office = Office()
    office.failure = failure
    with pytest.raises(type(failure)):
        await office.acquire()
    office.failure = None
    held = await office.acquire()
    office.failure = failure
    with anyio.move_on_after(0.02) as scope:
        await office.acquire()  # it waits for the other
    assert scope.cancelled_caught
    await office.pool.release(held)
    assert await office.acquire() is held


@everywhere
@pytest.mark.parametrize(
    "failure",
    [
        ConnectFailed("x", stage=Stage.CONNECT, temporary=True),
        GreetingRefused("x", stage=Stage.GREETING, reply=Reply(554, (b"no",))),
        AuthenticationFailed("x", stage=Stage.AUTH, reply=Reply(535, (b"no",))),
        TLSFailed(
            "x", stage=Stage.STARTTLS, reply=Reply(454, (b"no",)), temporary=True
        ),
    ],
)
async def test_nothing_else_is_waited_out(failure: SMTPError) -> None:
    office = Office()
    await office.acquire()
    office.failure = failure
    with pytest.raises(type(failure)):
        await office.acquire()


@everywhere
async def test_who_was_turned_away_comes_before_those_behind() -> None:
    office = Office()
    office.wanted = 1
    held = await office.acquire()
    order: list[int] = []

    async def work(number: int) -> None:
        mine = await office.acquire()
        order.append(number)
        await office.pool.release(mine)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(work, number)
            await anyio.wait_all_tasks_blocked()
        await office.pool.release(held)
    assert order == [0, 1, 2, 3, 4]
    assert len(office.opened) == 1
