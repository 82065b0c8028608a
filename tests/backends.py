"""The event loops that everything must run on: asyncio, uvloop and trio."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import ParamSpec

import anyio
import pytest

from tests import clock

P = ParamSpec("P")


def everywhere(scenario: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """Make a scenario a test of pytest-asyncio, and put its trio twin beside it.

    The hook in conftest.py runs the first on asyncio's loop and on uvloop; the twin
    `..._on_trio` is a plain function. It must be the outermost decorator, so that
    both are parametrised.
    """

    @wraps(scenario)
    def on_trio(*args: P.args, **kwargs: P.kwargs) -> None:
        anyio.run(partial(scenario, *args, **kwargs), backend="trio")

    _put_beside(scenario, on_trio)
    return pytest.mark.asyncio(scenario)


def in_virtual_time(scenario: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Make a scenario that judges by the clock a test, and put its trio twin beside it.

    No time is lost to a busy machine, so that it may ask for the very second.
    """

    @wraps(scenario)
    def on_asyncio(*args: P.args, **kwargs: P.kwargs) -> None:
        clock.run(partial(scenario, *args, **kwargs), "asyncio")

    @wraps(scenario)
    def on_trio(*args: P.args, **kwargs: P.kwargs) -> None:
        clock.run(partial(scenario, *args, **kwargs), "trio")

    _put_beside(scenario, on_trio)
    return on_asyncio


def _put_beside(
    scenario: Callable[P, Awaitable[None]], on_trio: Callable[P, None]
) -> None:
    twin = f"{scenario.__name__}_on_trio"
    on_trio.__name__ = on_trio.__qualname__ = twin
    module = sys.modules[scenario.__module__]
    if hasattr(module, twin):
        raise NameError(f"{twin} is there already")
    setattr(module, twin, on_trio)
