"""How fast messages go: never more than asked for, in turn, and none is lost."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import anyio
import pytest

from esmtp_async import InvalidInput, RateLimit, SMTPClient, StageTimeout
from esmtp_async._pace import Pace
from esmtp_async.testing import SMTPServer
from tests.backends import everywhere
from tests.client.checks import ALICE, BOB, MESSAGE
from tests.clock import BACKENDS, run

each_backend = pytest.mark.parametrize("backend", BACKENDS)


def most_within(seconds: float, times: Iterable[float]) -> int:
    """Count the most of them in any such stretch of time."""
    moments = list(times)
    return max(
        sum(start <= each < start + seconds - 1e-6 for each in moments)
        for start in moments
    )


@each_backend
@pytest.mark.parametrize("limit", [RateLimit(1), RateLimit(5, 2), RateLimit(100, 60)])
def test_never_more_than_so_many_in_so_much_time(
    limit: RateLimit, backend: str
) -> None:
    async def scenario() -> list[float]:
        pace = Pace(limit)
        times: list[float] = []

        async def go() -> None:
            await pace.keep()
            times.append(anyio.current_time())

        async with anyio.create_task_group() as group:
            for _ in range(limit.messages * 3):
                group.start_soon(go)
        # After a pause as many as that go at once, and no more.
        await anyio.sleep(limit.seconds * 10)
        async with anyio.create_task_group() as group:
            for _ in range(limit.messages * 2):
                group.start_soon(go)
        return times

    times = run(scenario, backend)
    # Those that go at once, and those that fall due while they are in the window.
    assert most_within(limit.seconds, times) <= 2 * limit.messages - 1
    first = times[: limit.messages * 3]
    assert first[limit.messages - 1] - first[0] < 1e-6
    gaps = [later - earlier for earlier, later in pairwise(first[limit.messages - 1 :])]
    assert min(gaps) > limit.seconds / limit.messages - 1e-6
    assert max(gaps) < limit.seconds / limit.messages + 1e-6


@each_backend
def test_in_turn_and_a_cancellation_uses_nothing_up(backend: str) -> None:
    async def scenario() -> list[tuple[int, float]]:
        pace = Pace(RateLimit(1, 10))
        start = anyio.current_time()
        order: list[tuple[int, float]] = []

        async def go(number: int) -> None:
            with anyio.move_on_after(15 if number == 1 else 1000):
                await pace.keep()
                order.append((number, round(anyio.current_time() - start, 3)))

        await pace.keep()
        with anyio.move_on_after(5) as scope:
            await pace.keep()
        assert scope.cancelled_caught
        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(go, number)
                await anyio.wait_all_tasks_blocked()
        return order

    assert run(scenario, backend) == [(0, 10), (2, 20), (3, 30)]


@each_backend
def test_a_client_keeps_to_it(backend: str) -> None:
    async def scenario() -> float:
        async with SMTPServer() as server:
            async with server.client(
                client_hostname="c.test", rate_limit=RateLimit(2, 1)
            ) as client:
                start = anyio.current_time()
                for _ in range(5):
                    await client.send(MESSAGE, sender=ALICE, recipients=BOB)
                waited = anyio.current_time() - start
                with pytest.raises(StageTimeout) as info:
                    await client.send(
                        MESSAGE, sender=ALICE, recipients=BOB, timeout=0.1
                    )
                assert info.value.recipients[0].outcome.name == "NOT_SENT"
                assert info.value.retry_safe
            assert len(server.messages) == 5
        return waited

    assert run(scenario, backend) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("messages", "seconds", "told"),
    [
        (0, 1, "rate_limit.messages is 0"),
        (-1, 1, "rate_limit.messages is -1"),
        (1.5, 1, "rate_limit.messages is 1.5"),
        (True, 1, "rate_limit.messages is True"),
        (1, 0, "rate_limit.seconds is 0"),
        (1, float("nan"), "rate_limit.seconds is nan"),
        (1, "1", "rate_limit.seconds is '1'"),
    ],
)
def test_what_is_no_rate(messages: object, seconds: object, told: str) -> None:
    make: Any = RateLimit
    with pytest.raises(InvalidInput, match=f"^{told}"):
        make(messages, seconds)


@pytest.mark.parametrize("text", ["x", "1/x", "", "/", "1/2/3", "0", "1/0"])
def test_a_url_that_holds_none(text: str) -> None:
    with pytest.raises(InvalidInput, match="rate_limit"):
        SMTPClient(f"smtp://localhost?rate_limit={text}")


def test_a_url_may_hold_one() -> None:
    assert RateLimit.parse("100/60") == RateLimit(100, 60.0)
    assert RateLimit.parse("3") == RateLimit(3, 1.0)
    SMTPClient("smtp://localhost?rate_limit=100/60")


@everywhere
async def test_without_a_limit_nobody_waits() -> None:
    pace = Pace(None)
    with anyio.fail_after(5):
        for _ in range(10_000):
            await pace.keep()
