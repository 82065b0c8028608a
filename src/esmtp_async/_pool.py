"""The pool: waits for connections, opens them, and lets them go.

What each who waits gets is decided by `assign`; here it is carried out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from logging import DEBUG
from time import perf_counter
from typing import Final

import anyio

from esmtp_async._connection import Connection
from esmtp_async._departures import Departures, Farewell
from esmtp_async._events import ConnectionAcquired, ConnectionReleased
from esmtp_async._logs import WIRE
from esmtp_async._loops import Bell, running_loop
from esmtp_async._observer import Observer
from esmtp_async._progress import Progress
from esmtp_async._roster import Ceiling, Pooled, PoolLimits, Roster, assign
from esmtp_async.protocol._exceptions import Refused
from esmtp_async.protocol._outcomes import Stage

#: Seconds until one more connection is tried than a server wanted last.
PATIENCE: Final = 60.0

# What was used in no event loop yet.
_NOWHERE: Final = object()

_CLOSED: Final = (
    "the client is closed, by aclose() or the end of `async with`, and that is for "
    "good: keep it open for as long as the app sends, or make another"
)
_ELSEWHERE: Final = (
    "the client belongs to another event loop, the one that it was first used in: "
    "make one in each loop, or a SyncSMTPClient for all threads"
)

# Where a server says that there are enough connections already.
_AT_THE_DOOR: Final = frozenset({Stage.GREETING, Stage.HELLO, Stage.AUTH})


class _Waiter:
    """Somebody who waits for a connection, or for leave to open one."""

    def __init__(self, *, fresh: bool, patient: bool) -> None:
        self.fresh = fresh
        self.patient = patient
        self.served = False
        self.pooled: Pooled | None = None
        self.turn = Bell()  # rings once it is served

    def serve(self, pooled: Pooled | None) -> None:
        """End the waiting."""
        self.served = True
        self.pooled = pooled
        self.turn.ring()


class Pool:
    """Connections to one server: one owner each, never more than the limit.

    Who waits longest is served first. Nothing runs in the background: what has
    to be closed is closed by whoever comes by, without waiting for the server,
    and the rest by `aclose`.

    A connection that a server turns away for now, at the greeting, EHLO or AUTH,
    while others stand, is no failure: whoever wanted it waits for one of these,
    and for a while no more are opened.
    """

    def __init__(
        self,
        limits: PoolLimits,
        connect: Callable[[Progress], Awaitable[Connection]],
        part: Farewell,
        see_off: Farewell,
        observer: Observer | None = None,
    ) -> None:
        self._limits = limits
        self._connect = connect
        self._observe = observer or Observer()
        self._departures = Departures(part, see_off)
        self._ceiling = Ceiling(limits.max_connections, PATIENCE)
        self._waiters: deque[_Waiter] = deque()
        self._idle: tuple[Pooled, ...] = ()
        self._taken = 0  # in use, or being opened
        self._closed = False
        self._loop: object = _NOWHERE  # None: that of trio

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for a connection, and not patiently."""
        return bool(self._waiters) and not all(w.patient for w in self._waiters)

    def may_carry(self, pooled: Pooled) -> bool:
        """Tell whether its owner may send one more message by it, and does well to."""
        if self.is_wanted:
            return False
        # Only an age limit asks for the time.
        now = self._now() if self._limits.max_age is not None else 0.0
        return not pooled.spent(now, self._limits)

    async def acquire(
        self, progress: Progress, *, fresh: bool = False, patient: bool = False
    ) -> Pooled:
        """Give a connection to one owner, who must `release` it.

        `fresh` asks for a new one; who is `patient` lets others keep theirs as long
        as they like; `progress` is told how that goes on. Raises what `connect`
        raises, and `RuntimeError` once the pool is closed, or in another event loop
        than it was first used in.
        """
        if self._closed:
            raise RuntimeError(_CLOSED)
        now = self._now()
        observe = self._observe
        # It may be turned on and off at any time; to look for each line costs too much.
        if WIRE.isEnabledFor(DEBUG) is not observe.is_logged:
            observe.turn_log(on=not observe.is_logged)
        begun = perf_counter() if observe.active else None
        waiter = _Waiter(fresh=fresh, patient=patient)
        self._waiters.append(waiter)
        pooled = await self._turn(waiter, now)
        while pooled is None:
            pooled = await self._open(waiter, progress)
        progress.connection = pooled.connection
        pooled.messages += 1
        if begun is not None:
            number, waited = pooled.connection.number, perf_counter() - begun
            observe(ConnectionAcquired(number, waited, pooled.reused))
        return pooled

    async def release(self, pooled: Pooled) -> None:
        """Take a connection back: to lie idle, or to go if it is spent."""
        now = pooled.idle_since = self._now()
        self._taken -= 1
        kept = False
        if not pooled.connection.session.reusable:
            self._departures.discard(pooled.connection)
        elif self._closed or pooled.expired(now, self._limits):
            self._departures.dismiss(pooled.connection)
        else:
            self._idle = (*self._idle, pooled)
            kept = True
        if self._observe.active:
            self._observe(ConnectionReleased(pooled.connection.number, kept))
        if self._waiters:
            self._dispatch(now)
        if self._closed:
            await self._departures.see_all_off()
        elif self._departures.pending:
            await self._departures.tidy()

    async def aclose(self) -> None:
        """Take leave of every idle connection, all at once.

        Whoever waits is still served; those in use go when they come back. Raises
        `RuntimeError` where those that lie idle are another event loop's.
        """
        if self._idle:
            self._now()
        self._closed = True
        for pooled in self._idle:
            self._departures.dismiss(pooled.connection)
        self._idle = ()
        await self._departures.see_all_off()

    def _now(self) -> float:
        """Give the time of the event loop that all this belongs to."""
        loop = running_loop()
        if loop is not self._loop:
            if self._loop is not _NOWHERE:
                raise RuntimeError(_ELSEWHERE)
            self._loop = loop
        return anyio.current_time() if loop is None else loop.time()

    async def _turn(self, waiter: _Waiter, now: float) -> Pooled | None:
        """Wait for one's turn; None: to open a connection."""
        self._dispatch(now)
        try:
            if not waiter.served:
                await waiter.turn.wait()
            # Whatever made room must be gone before another is opened.
            if waiter.pooled is None or self._departures.pending:
                await self._departures.tidy()
        except BaseException:
            if not waiter.served:
                self._waiters.remove(waiter)
            elif waiter.pooled is not None:
                await self.release(waiter.pooled)
            else:
                self._taken -= 1
                self._dispatch(self._now())
            raise
        return waiter.pooled

    async def _open(self, waiter: _Waiter, progress: Progress) -> Pooled | None:
        """Open a connection; None: the server has enough of them, so wait and try."""
        try:
            connection = await self._connect(progress)
        except BaseException as error:
            self._taken -= 1
            if not self._turned_away(error):
                self._dispatch(self._now())
                raise
        else:
            now = self._now()
            return Pooled(connection, opened=now, idle_since=now)
        progress.reach(Stage.POOL)
        progress.connection = None
        waiter.served = False
        self._waiters.appendleft(waiter)
        return await self._turn(waiter, self._now())

    def _turned_away(self, error: BaseException) -> bool:
        """Tell whether it is better to wait for a connection that stands."""
        stand = self._taken + len(self._idle)
        if not (
            stand
            and isinstance(error, Refused)
            and error.temporary
            and error.stage in _AT_THE_DOOR
        ):
            return False
        self._ceiling.lower(stand, self._now())
        return True

    def _dispatch(self, now: float) -> None:
        """Serve those who wait with what there is; let go what has expired."""
        live: list[Pooled] = []
        for pooled in self._idle:
            if pooled.expired(now, self._limits):
                self._departures.dismiss(pooled.connection)
            else:
                live.append(pooled)
        give, drop, self._idle, hurry = assign(
            (waiter.fresh for waiter in self._waiters),
            Roster(tuple(live), self._taken, len(self._departures)),
            self._ceiling.at(now),
        )
        for pooled in drop:
            self._departures.discard(pooled.connection)
        self._departures.hurry(hurry)
        self._taken += len(give)
        for served in give:
            self._waiters.popleft().serve(served)
