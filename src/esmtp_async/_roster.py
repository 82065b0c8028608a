"""Who gets which connection: decided on values, without waiting for anything.

The pool keeps count and awaits; `assign` looks at what there is and says what
has to be done.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from esmtp_async._connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """What bounds the pool; times in seconds."""

    max_connections: int
    #: Messages a connection carries; None: any number.
    max_messages: int | None
    max_idle: float
    max_age: float | None


@dataclass(slots=True)
class Pooled:
    """A connection and what the pool knows of it; times by the loop's clock."""

    connection: Connection
    opened: float
    idle_since: float
    messages: int = 0

    @property
    def reused(self) -> bool:
        """Whether it carried a message before the one it has now."""
        return self.messages > 1

    def spent(self, limits: PoolLimits) -> bool:
        """Tell whether it has carried as many messages as it may.

        The server may have a limit of its own (MAILMAX, RFC 9422 §4.1).
        """
        theirs = self.connection.session.extensions.limits.get("MAILMAX")
        return any(
            limit is not None and self.messages >= limit
            for limit in (limits.max_messages, theirs)
        )

    def expired(self, now: float, limits: PoolLimits) -> bool:
        """Tell whether it may carry no further message."""
        return (
            self.spent(limits)
            or (limits.max_age is not None and now - self.opened >= limits.max_age)
            or now - self.idle_since >= limits.max_idle
        )


class Roster(NamedTuple):
    """All connections of a pool."""

    #: Those that lie idle and may be used, the one used last behind the others.
    idle: tuple[Pooled, ...]
    #: How many are in use, or being opened.
    taken: int
    #: How many were told QUIT and are not closed yet.
    leaving: int


class Assignment(NamedTuple):
    """What is to be done with them."""

    #: What each of the first who wait gets; None: leave to open a connection.
    give: tuple[Pooled | None, ...]
    #: The idle ones to cut off: they are dead, or nobody trusts them.
    drop: tuple[Pooled, ...]
    #: The idle ones that go on so.
    keep: tuple[Pooled, ...]
    #: How many of those that are leaving must be closed first, to make room.
    hurry: int


def assign(waiting: Iterable[bool], roster: Roster, ceiling: int) -> Assignment:
    """Serve those who wait, in their order, with at most `ceiling` connections.

    Each who waits tells whether it wants a fresh connection: a pooled one has
    just turned out to be dead, so no other that lies idle is trusted either. All
    else get the idle connection that was used last and lives: so few are kept
    warm, and the others expire.
    """
    idle = list(roster.idle)
    give: list[Pooled | None] = []
    drop: list[Pooled] = []
    hurry = 0
    for fresh in waiting:
        if fresh:
            drop += reversed(idle)
            idle.clear()
        pooled = None
        while idle and pooled is None:
            candidate = idle.pop()
            if candidate.connection.is_quiet():
                pooled = candidate
            else:
                drop.append(candidate)
        if pooled is None:
            leaving = roster.leaving - hurry
            there = roster.taken + len(give) + len(idle) + leaving
            short = max(0, there + 1 - ceiling)
            if short > leaving:
                break
            hurry += short
        give.append(pooled)
    return Assignment(tuple(give), tuple(drop), tuple(idle), hurry)


class Ceiling:
    """How many connections there may be: the caller's limit, or what a server lets.

    A server that turns one away while others stand has its own idea of how many
    are enough. From time to time one more is tried.
    """

    def __init__(self, limit: int, patience: float) -> None:
        self._limit = limit
        #: Seconds until one more is tried.
        self._patience = patience
        self._learnt = limit
        self._again = 0.0

    def at(self, now: float) -> int:
        """Give it for the time that it is."""
        if self._learnt < self._limit and now >= self._again:
            self._learnt += 1
            self._again = now + self._patience
        return self._learnt

    def lower(self, stand: int, now: float) -> None:
        """Take it that those which stand are as many as the server wants."""
        self._learnt = max(1, min(self._learnt, stand))
        self._again = now + self._patience
