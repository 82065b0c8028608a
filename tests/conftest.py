"""What all tests share: the event loops of pytest-asyncio, and hypothesis' patience."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping

import pytest
import uvloop
from hypothesis import HealthCheck, settings

# pytest-timeout is the judge of time; a busy machine is no reason to fail.
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")


# Whichever package imports them first.
pytest.register_assert_rewrite(
    "tests.client.checks", "tests.raw", "tests.taps", "tests.testing.talk"
)


def pytest_configure() -> None:
    """Hear interrupts, even where whoever started pytest has turned them off.

    The programs under test would inherit that.
    """
    for name in ("SIGINT", "SIGHUP"):
        number = getattr(signal, name, None)  # there is no SIGHUP on Windows
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            usual = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
            signal.signal(number, usual)


def pytest_asyncio_loop_factories(
    config: pytest.Config,  # noqa: ARG001  # pluggy passes by name
    item: pytest.Item,  # noqa: ARG001
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every asyncio test on both loops."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
