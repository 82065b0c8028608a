"""A pool whose connections are none, and what becomes of them."""

from __future__ import annotations

import math

import anyio

from esmtp_async import (
    GreetingRefused,
    Reply,
    Stage,
)
from esmtp_async._connection import Connection
from esmtp_async._pool import Pool
from esmtp_async._progress import Progress
from esmtp_async._roster import Pooled, PoolLimits
from esmtp_async.protocol import Session

TOO_MANY = GreetingRefused(
    "too many", stage=Stage.GREETING, reply=Reply(421, (b"4.7.0 too many",))
)
LIMITS = PoolLimits(max_connections=3, max_messages=10, max_idle=45, max_age=100)


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


class Office:
    """Opens and closes connections of a pool, and keeps count."""

    def __init__(self, limits: PoolLimits = LIMITS) -> None:
        self.opened: list[Idle] = []
        #: Those that were told QUIT; those whose reply was waited for.
        self.parted: list[Connection] = []
        self.left: list[Connection] = []
        self.failure: Exception | None = None
        self.wanted = math.inf  # as many as the server wants
        self.dialled = 0
        self.pool = Pool(limits, self.connect, self.part, self.see_off)

    async def acquire(self, *, fresh: bool = False) -> Pooled:
        return await self.pool.acquire(Progress(), fresh=fresh)

    async def connect(self, _progress: Progress) -> Idle:
        self.dialled += 1
        await anyio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure
        if len(self.there()) >= self.wanted:
            raise TOO_MANY
        self.opened.append(Idle())
        return self.opened[-1]

    async def part(self, connection: Connection) -> None:
        await anyio.lowlevel.checkpoint()
        self.parted.append(connection)

    async def see_off(self, connection: Connection) -> None:
        await anyio.lowlevel.checkpoint()
        self.left.append(connection)

    def there(self) -> list[Idle]:
        """Give the connections that are open."""
        return [c for c in self.opened if not c.closed and c not in self.left]
