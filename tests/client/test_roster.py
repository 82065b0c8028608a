"""Who gets which connection, on values alone."""

from __future__ import annotations

import math

import pytest

from esmtp_async._connection import Connection
from esmtp_async._roster import (
    Assignment,
    Ceiling,
    Pooled,
    PoolLimits,
    Roster,
    assign,
)
from esmtp_async.protocol import Session

LIMITS = PoolLimits(max_connections=3, max_messages=10, max_idle=45, max_age=100)
NOW = 1000.0


class Idle(Connection):
    """A connection that lies idle: quiet, or dead."""

    def __init__(self, *, quiet: bool = True) -> None:
        self.session = Session()
        self._quiet = quiet

    def is_quiet(self) -> bool:
        return self._quiet


def pooled(
    *, quiet: bool = True, age: float = 10, idle: float = 5, messages: int = 1
) -> Pooled:
    return Pooled(Idle(quiet=quiet), NOW - age, NOW - idle, messages)


@pytest.mark.parametrize(
    ("expired", "each"),
    [
        (False, pooled()),
        (False, pooled(quiet=False)),
        (True, pooled(messages=10)),
        (True, pooled(age=100)),
        (True, pooled(idle=45)),
        (False, pooled(age=99.9, idle=44.9, messages=9)),
    ],
)
def test_what_has_expired(each: Pooled, *, expired: bool) -> None:
    assert each.expired(NOW, LIMITS) is expired


def test_nothing_expires_without_limits() -> None:
    unlimited = PoolLimits(
        max_connections=1, max_messages=None, max_idle=math.inf, max_age=None
    )
    assert not pooled(age=1e9, idle=1e9, messages=10**9).expired(NOW, unlimited)


LIVE, DEAD = True, False
ANY, FRESH = False, True


# Who waits; which lie idle, taken, leaving; the ceiling. Then: what each gets (the
# place of an idle one, or "open"), which are dropped, which are kept, who must hurry.
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # Nobody waits: nothing is looked at, dead or not.
        (([], [LIVE, DEAD], 0, 0, 3), ([], [], [0, 1], 0)),
        # Where nothing lies idle, one is opened while there is room.
        (([ANY], [], 0, 0, 3), (["open"], [], [], 0)),
        (([ANY], [], 2, 0, 3), (["open"], [], [], 0)),
        (([ANY], [], 3, 0, 3), ([], [], [], 0)),
        (([ANY] * 5, [], 1, 0, 3), (["open", "open"], [], [], 0)),
        # The one used last comes first, and no other is looked at.
        (([ANY], [LIVE, LIVE], 0, 0, 3), ([1], [], [0], 0)),
        (([ANY], [DEAD, LIVE], 0, 0, 3), ([1], [], [0], 0)),
        (([ANY, ANY], [LIVE, LIVE], 1, 0, 3), ([1, 0], [], [], 0)),
        # Even without room: it is there.
        (([ANY], [LIVE], 3, 0, 1), ([0], [], [], 0)),
        # A dead one makes room for another.
        (([ANY], [LIVE, DEAD], 0, 0, 3), ([0], [1], [], 0)),
        (([ANY], [DEAD], 2, 0, 3), (["open"], [0], [], 0)),
        (([ANY], [DEAD, DEAD], 1, 0, 3), (["open"], [1, 0], [], 0)),
        # In their order: who comes later gets what is left.
        (([ANY, ANY, ANY], [LIVE], 1, 0, 3), ([0, "open"], [], [], 0)),
        # Who wants a fresh one trusts none of those that lie idle.
        (([FRESH], [LIVE, LIVE], 0, 0, 3), (["open"], [1, 0], [], 0)),
        (([FRESH], [LIVE], 3, 0, 3), ([], [0], [], 0)),
        (([ANY, FRESH], [LIVE, LIVE], 0, 0, 3), ([1, "open"], [0], [], 0)),
        (([FRESH, ANY], [LIVE, LIVE], 0, 0, 1), (["open"], [1, 0], [], 0)),
        # Those that are leaving count, until there is need of their room.
        (([ANY], [], 1, 1, 3), (["open"], [], [], 0)),
        (([ANY], [], 1, 2, 3), (["open"], [], [], 1)),
        (([ANY] * 3, [], 1, 2, 3), (["open", "open"], [], [], 2)),
        (([ANY], [], 3, 1, 3), ([], [], [], 0)),
        (([ANY], [LIVE], 0, 2, 3), ([0], [], [], 0)),
        # A server that wants fewer gets no more until they are fewer.
        (([ANY], [], 1, 2, 2), (["open"], [], [], 2)),
        (([ANY], [], 2, 2, 2), ([], [], [], 0)),
        (([ANY], [], 2, 0, 1), ([], [], [], 0)),
    ],
)
def test_assign(
    given: tuple[list[bool], list[bool], int, int, int],
    expected: tuple[list[int | str], list[int], list[int], int],
) -> None:
    waiting, idle, taken, leaving, ceiling = given
    lying = tuple(pooled(quiet=quiet) for quiet in idle)
    give, drop, keep, hurry = expected
    assert assign(waiting, Roster(lying, taken, leaving), ceiling) == Assignment(
        tuple(None if isinstance(each, str) else lying[each] for each in give),
        tuple(lying[each] for each in drop),
        tuple(lying[each] for each in keep),
        hurry,
    )


def test_the_ceiling_falls_at_once_and_rises_by_and_by() -> None:
    ceiling = Ceiling(4, patience=60)
    assert ceiling.at(0) == 4
    ceiling.lower(2, now=10)
    assert ceiling.at(69) == 2
    assert ceiling.at(70) == 3
    assert ceiling.at(129) == 3
    assert ceiling.at(500) == 4
    assert ceiling.at(900) == 4
    ceiling.lower(7, now=1000)  # more than were allowed anyway
    assert ceiling.at(1000) == 4
    ceiling.lower(0, now=1000)
    assert ceiling.at(1001) == 1
