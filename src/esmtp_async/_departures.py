"""Connections on their way out: told QUIT, and closed without waiting for anybody."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Final

import anyio

from esmtp_async._connection import Connection

#: Seconds for what need not wait: six octets to an idle connection, or what is there.
_AT_ONCE: Final = 0.05

Farewell = Callable[[Connection], Coroutine[object, object, None]]


class Departures:
    """Sees connections off, whenever somebody comes by.

    QUIT is said at once. Its reply is nobody's to wait for (RFC 5321 §4.1.1.10
    asks for that, but the connection carries nothing any more): the connection
    is closed when the reply has come, when room is needed, or at the end.
    """

    def __init__(self, part: Farewell, see_off: Farewell) -> None:
        # Say QUIT; wait for the reply, and close.
        self._part = part
        self._see_off = see_off
        self._expired: list[Connection] = []
        self._leaving: list[Connection] = []
        self._dead: list[Connection] = []
        self._hurried = 0
        self._tidying = anyio.Lock(fast_acquire=True)

    def __len__(self) -> int:
        """Count those that stand, but for the ones that are hurried."""
        return len(self._expired) + len(self._leaving) - self._hurried

    @property
    def pending(self) -> bool:
        """Whether there is anything to do that should not wait."""
        return bool(self._expired or self._dead or self._hurried)

    def dismiss(self, connection: Connection) -> None:
        """Let one go whose time is over."""
        self._expired.append(connection)

    def discard(self, connection: Connection) -> None:
        """Let one go that is dead, or not trusted: it is told nothing."""
        self._dead.append(connection)

    def hurry(self, count: int) -> None:
        """Have so many closed by `tidy`, reply or not."""
        self._hurried += count

    async def tidy(self) -> None:
        """Say QUIT to whoever was not told yet; close those that are done.

        Behind it everything that was hurried or discarded before is gone. A
        cancellation leaves none of them open.
        """
        with anyio.CancelScope(shield=True):
            async with self._tidying:
                async with anyio.create_task_group() as group:
                    while self._expired:
                        self._leaving.append(self._expired.pop())
                        group.start_soon(self._say_quit, self._leaving[-1])
                # Some may have been hurried meanwhile that are not told yet.
                hurried = min(self._hurried, len(self._leaving))
                self._hurried -= hurried
                stay: list[Connection] = []
                async with anyio.create_task_group() as group:
                    for connection in self._leaving[hurried:]:
                        if connection.is_quiet():
                            stay.append(connection)
                        else:
                            group.start_soon(self._hear_what_came, connection)
                    self._dead += self._leaving[:hurried]
                    self._leaving = stay
                    while self._dead:
                        group.start_soon(self._dead.pop().aclose)

    async def _say_quit(self, connection: Connection) -> None:
        with anyio.move_on_after(_AT_ONCE):
            await self._part(connection)

    async def _hear_what_came(self, connection: Connection) -> None:
        """Read it: a connection that is closed before is reset, QUIT and all."""
        with anyio.move_on_after(_AT_ONCE):
            await self._see_off(connection)

    async def see_all_off(self) -> None:
        """Wait for all replies at once, each as long as it may take."""
        await self.tidy()
        async with anyio.create_task_group() as group:
            while self._leaving:
                group.start_soon(self._see_off, self._leaving.pop())
