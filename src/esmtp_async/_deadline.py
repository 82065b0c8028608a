"""A deadline that is moved often, and hardly ever comes.

A cancel scope sets a timer anew whenever its deadline is moved, which takes longer
than to read a reply. On asyncio, a timer that runs out before the deadline is set
again only then.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import AbstractContextManager, nullcontext

import anyio

from esmtp_async._loops import running_loop


def until(deadline: float) -> AbstractContextManager[anyio.CancelScope | None]:
    """Bound what is done within; there is no scope where there is no bound."""
    if deadline == math.inf:
        return nullcontext()
    return anyio.CancelScope(deadline=deadline)


class Deadline:
    """Cancels a scope once so much time has gone by."""

    def __init__(self) -> None:
        self._loop = running_loop()
        self._scope = anyio.CancelScope()
        self._at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def bind(self, scope: anyio.CancelScope) -> None:
        """Have it bound this scope, not at all at first."""
        self._scope = scope
        self._at = math.inf

    def move(self, seconds: float) -> None:
        """Let the scope have so many seconds from now."""
        if self._loop is None:
            self._scope.deadline = anyio.current_time() + seconds
            return
        self._at = self._loop.time() + seconds
        if self._timer is None or self._at < self._timer.when():
            self._set_timer(self._loop)

    def release(self) -> None:
        """Bound nothing any more."""
        self._at = math.inf

    def close(self) -> None:
        """Leave no timer behind."""
        self.release()
        self._stop_timer()

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self._stop_timer()
        if self._at < math.inf:
            self._timer = loop.call_at(self._at, self._run_out, loop)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run_out(self, loop: asyncio.AbstractEventLoop) -> None:
        self._stop_timer()
        if loop.time() < self._at:
            self._set_timer(loop)
        else:
            self._scope.cancel()
