"""The pool: which connection a message gets, and how many there are.

Deciding is apart from waiting: `choose` is a function of what lies idle, and
`Pool` awaits around it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import anyio

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

    def expired(self, now: float, limits: PoolLimits) -> bool:
        """Tell whether it may carry no further message."""
        return (
            (limits.max_messages is not None and self.messages >= limits.max_messages)
            or (limits.max_age is not None and now - self.opened >= limits.max_age)
            or now - self.idle_since >= limits.max_idle
        )


class Choice(NamedTuple):
    """What to do with the connections that lie idle."""

    #: The one to use; None: open another.
    give: Pooled | None
    #: Those to close, for they are dead or have expired.
    close: tuple[Pooled, ...]
    #: Those that go on lying idle.
    keep: tuple[Pooled, ...]


def choose(idle: Sequence[Pooled], now: float, limits: PoolLimits) -> Choice:
    """Choose the youngest idle connection that lives; drop those that do not.

    Youngest first keeps few connections warm and lets the others expire.
    """
    give: Pooled | None = None
    close: list[Pooled] = []
    keep: list[Pooled] = []
    for pooled in reversed(idle):
        if pooled.expired(now, limits):
            close.append(pooled)
        elif give is not None:
            keep.append(pooled)
        elif pooled.connection.is_quiet():
            give = pooled
        else:
            close.append(pooled)
    return Choice(give, tuple(close), tuple(reversed(keep)))


class Pool:
    """Connections to one server: one owner each, never more than the limit.

    Who waits longest is served first. Nothing runs in the background: what is
    closed is closed by whoever comes by, and the rest by `aclose`.
    """

    def __init__(
        self,
        limits: PoolLimits,
        connect: Callable[[], Awaitable[Connection]],
        leave: Callable[[Connection], Coroutine[object, object, None]],
    ) -> None:
        self._limits = limits
        self._connect = connect
        self._leave = leave
        # One permit a connection in use. Another is opened only when none lies
        # idle, so those in use and those idle together never exceed the limit.
        self._permits = anyio.Semaphore(limits.max_connections, fast_acquire=True)
        self._idle: list[Pooled] = []
        self._dropping = anyio.Lock(fast_acquire=True)
        self._closed = False

    async def acquire(self, *, fresh: bool = False) -> Pooled:
        """Give a connection to one owner, who must `release` it.

        `fresh` asks for a new one: an idle one has just turned out to be dead,
        so the others are not trusted either. Raises what `connect` raises, and
        `RuntimeError` once the pool is closed.
        """
        if self._closed:
            msg = "the client is closed"
            raise RuntimeError(msg)
        await self._permits.acquire()
        pooled: Pooled | None = None
        try:
            pooled, close, keep = self._choose(fresh=fresh)
            self._idle[:] = keep
            if close or pooled is None:
                await self._drop(close)
            if pooled is None:
                connection = await self._connect()
                now = anyio.current_time()
                pooled = Pooled(connection, opened=now, idle_since=now)
        except BaseException:
            if pooled is None:
                self._permits.release()
            else:  # chosen, and not given out: asyncio's cancellation knows no shield
                await self.release(pooled)
            raise
        pooled.messages += 1
        return pooled

    def _choose(self, *, fresh: bool) -> Choice:
        if fresh:
            return Choice(None, tuple(self._idle), ())
        return choose(self._idle, anyio.current_time(), self._limits)

    async def _drop(self, spent: Sequence[Pooled]) -> None:
        """Close connections, all at once, behind those that are being closed already.

        Until they are closed they count, so nobody may open another before. A
        cancellation leaves none of them open.
        """
        with anyio.CancelScope(shield=True):
            async with self._dropping, anyio.create_task_group() as group:
                for pooled in spent:
                    group.start_soon(pooled.connection.aclose)

    async def release(self, pooled: Pooled) -> None:
        """Take a connection back: to lie idle, or to be closed if it is spent."""
        try:
            pooled.idle_since = anyio.current_time()
            if not pooled.connection.session.reusable:
                await pooled.connection.aclose()
            elif self._closed or pooled.expired(pooled.idle_since, self._limits):
                await self._leave(pooled.connection)
            else:
                self._idle.append(pooled)
        finally:
            self._permits.release()

    async def aclose(self) -> None:
        """Take leave of every idle connection, all at once, and give out no more.

        Those in use are closed when they come back.
        """
        self._closed = True
        idle, self._idle = self._idle, []
        async with anyio.create_task_group() as group:
            for pooled in idle:
                group.start_soon(self._leave, pooled.connection)
