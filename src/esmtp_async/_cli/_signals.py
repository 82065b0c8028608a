"""What ends a command from outside: Ctrl-C, and signals that mean the same.

None of them ends it in the middle of something. So it is told and written down what
became of the mail, whoever ends it, and the exit code says the same.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Final, TypeVar

import anyio

_T = TypeVar("_T")

#: What is done at an interrupt, the last of them; without any, it is raised.
_acts: Final[list[Callable[[], object]]] = []

_STREAMS: Final = (0, 1, 2)


class _Interrupted(Exception):
    """Work was not done to its end."""


def heed_all() -> None:
    """Take SIGTERM and the end of the terminal as Ctrl-C.

    What is ignored stays so: Ctrl-C for what a shell has begun in the background, the
    end of the terminal under nohup.
    """
    handlers: dict[str, Callable[[int, FrameType | None], None]] = {
        "SIGINT": _interrupt,
        "SIGTERM": _interrupt,
        "SIGHUP": _HangUp(),
    }
    usual = {signal.SIG_DFL, signal.default_int_handler}
    for name, handler in handlers.items():
        number = getattr(signal, name, None)  # there is no SIGHUP on Windows
        if number is not None and signal.getsignal(number) in usual:
            signal.signal(number, handler)


@contextmanager
def heeding(act: Callable[[], object]) -> Iterator[None]:
    """Have `act` called in the event loop at each interrupt, and nothing else done."""
    loop = asyncio.get_running_loop()
    _acts.append(partial(loop.call_soon_threadsafe, act))
    try:
        yield
    finally:
        _acts.pop()


def run(work: Callable[..., Awaitable[_T]], *arguments: object) -> _T:
    """Run `work` in an event loop; an interrupt cancels it, and is raised behind it."""
    interrupts: list[object] = []

    async def heeded() -> _T:
        with anyio.CancelScope() as scope, heeding(scope.cancel):
            if not interrupts:
                return await work(*arguments)
        raise _Interrupted

    _acts.append(partial(interrupts.append, None))  # while the loop begins, and ends
    try:
        result = anyio.run(heeded)
    except _Interrupted:
        raise KeyboardInterrupt from None
    finally:
        _acts.pop()
    if interrupts:
        raise KeyboardInterrupt
    return result


def end_with(code: int) -> None:
    """Have an interrupt not change the exit code any more."""
    _acts.append(partial(os._exit, code))
    # Python takes its handlers away in the end, with all threads behind it.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    if not _acts:
        raise KeyboardInterrupt
    _acts[-1]()


class _HangUp:
    """Interrupts a command whose terminal is gone, and lets it print to nowhere."""

    def __init__(self) -> None:
        # Of one that is gone nobody can tell that it was one.
        self._terminals = [each for each in _STREAMS if os.isatty(each)]

    def __call__(self, number: int, frame: FrameType | None) -> None:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for terminal in self._terminals:
            os.dup2(nowhere, terminal)
        _interrupt(number, frame)
