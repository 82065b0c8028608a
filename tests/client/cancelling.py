"""Interruption wherever a task may be suspended: cancellation, or time that is up."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any

import anyio


class InterruptedAt:
    """Awaits a coroutine and does something when it is suspended for the k-th time.

    It looks through the coroutine at what reaches the event loop, so that no place is
    left out, whatever library suspends there.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, object],
        k: int,
        interrupt: Callable[[], object],
    ) -> None:
        self._coroutine = coroutine
        self._k = k
        self._interrupt = interrupt
        #: How often it was suspended.
        self.suspensions = 0

    @property
    def reached(self) -> bool:
        """Whether it came to the k-th suspension."""
        return self.suspensions >= self._k

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._coroutine.__await__()
        proceed = partial(next, steps)
        while True:
            try:
                trap = proceed()
            except StopIteration:
                return
            self.suspensions += 1
            if self.suspensions == self._k:
                self._interrupt()
            try:
                sent = yield trap
            except BaseException as error:  # noqa: BLE001  # it is the coroutine's
                proceed = partial(steps.throw, error)
            else:
                proceed = partial(steps.send, sent)


class CancelledAt(InterruptedAt):
    """Cancels the coroutine there."""

    def __init__(self, coroutine: Coroutine[Any, Any, object], k: int) -> None:
        self._scope = anyio.CancelScope()
        super().__init__(coroutine, k, self._scope.cancel)

    async def run(self) -> bool:
        """Run it; tell whether it was cancelled before its end."""
        with self._scope:
            await self
            return False
        return True
