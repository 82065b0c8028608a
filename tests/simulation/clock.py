"""Virtual time: when everybody waits, the clock jumps to what comes next."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

import anyio
import trio.testing

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


def run(scenario: Callable[[], Awaitable[T]], backend: str = "asyncio") -> T:
    """Run a scenario in virtual time."""
    options: dict[str, object] = (
        {"loop_factory": VirtualLoop}
        if backend == "asyncio"
        else {"clock": trio.testing.MockClock(autojump_threshold=0)}
    )
    return anyio.run(partial(scenario), backend=backend, backend_options=options)
