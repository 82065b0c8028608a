"""Virtual time: when everybody waits, the clock jumps to what comes next."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from random import Random
from typing import Final, TypeVar
from unittest.mock import patch

import anyio
import anyio.to_thread
import trio.testing
from anyio.lowlevel import checkpoint
from trio._core import _run as trio_scheduler

T = TypeVar("T")

#: The event loops that a scenario can be run on.
BACKENDS: Final = ("asyncio", "trio")


class _Selector(selectors.DefaultSelector):
    """Waits no longer than it takes to see that nothing is there yet."""

    def __init__(self) -> None:
        super().__init__()
        #: Seconds that were not waited for.
        self.skipped = 0.0

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """Look; where there is nothing, let the time go by."""
        ready = super().select(0)
        if ready or timeout is None:
            return ready or super().select(timeout)
        self.skipped += max(timeout, 0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop of asyncio whose time passes as fast as it can.

    It calls what is ready in the order it became so: a scenario that talks to
    nobody outside runs in the same way every time.
    """

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Give the seconds since it began, waited for or not."""
        return self._virtual.skipped

    def skip(self, seconds: float) -> None:
        """Let so much time go by at once."""
        self._virtual.skipped += seconds


def is_virtual() -> bool:
    """Tell whether time is virtual here: then there is no waiting for the kernel."""
    if trio.lowlevel.in_trio_run():
        return isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock)
    return isinstance(asyncio.get_running_loop(), VirtualLoop)


def skip(seconds: float) -> None:
    """Let so much virtual time go by at once, in a scenario."""
    if trio.lowlevel.in_trio_run():
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        clock.jump(seconds)
    else:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.skip(seconds)


async def _at_once(call: Callable[..., T], *args: object, **_options: object) -> T:
    """Stand in for a worker thread, which no virtual clock would wait for."""
    await checkpoint()
    return call(*args)


def run(
    scenario: Callable[[], Awaitable[T]], backend: str = "asyncio", seed: int = 0
) -> T:
    """Run a scenario in virtual time.

    What it would do in worker threads is done on the spot. Trio lets chance decide
    which of its tasks runs first; here the seed does.
    """
    with ExitStack() as stack:
        stack.enter_context(patch.object(anyio.to_thread, "run_sync", _at_once))
        if backend == "asyncio":
            options: dict[str, object] = {"loop_factory": VirtualLoop}
        else:
            chance = Random(seed)  # noqa: S311  # no secret
            options = {"clock": trio.testing.MockClock(autojump_threshold=0)}
            for name, value in {
                "_r": chance,
                "_ALLOW_DETERMINISTIC_SCHEDULING": True,
            }.items():
                stack.enter_context(patch.object(trio_scheduler, name, value))
        return anyio.run(partial(scenario), backend=backend, backend_options=options)
