"""What anyio does, for less of the processor's time where the event loop is asyncio's.

anyio finds out anew, at every call, which event loop it is called from. What is done
for each message is done here, by asyncio's own means there and by anyio's elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import anyio


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Give the event loop of asyncio whose task this is; None under trio.

    Trio may be the guest of such a loop, and is then in no task of it.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return loop if asyncio.current_task() is not None else None


def wake(waiting: asyncio.Future[None] | None) -> None:
    """End the waiting for a future, if anybody waits."""
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


class Bell:
    """Wakes whoever waits for the next ring."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []

    def ring(self) -> None:
        """Wake everybody who waits."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for wake_up in waiting:
                wake_up()

    async def wait(self) -> None:
        """Wait for the next ring."""
        loop = running_loop()
        if loop is None:
            event = anyio.Event()
            self._waiting.append(event.set)
            await event.wait()
        else:
            future = loop.create_future()
            self._waiting.append(partial(wake, future))
            await future
