"""The servers: each is started once, when the first test asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, TypeVar

import pytest

from ._aiosmtpd import AiosmtpdServer
from ._dovecot import DovecotServer
from ._exim import EximServer
from ._page import WAY, Page, Record
from ._postfix import PostfixServer
from ._private import PrivateServer
from ._smtp_server import NodemailerServer

SERVERS: Final = (
    *(PostfixServer, DovecotServer, EximServer),
    *(AiosmtpdServer, NodemailerServer),
)

each_server: Final = pytest.mark.parametrize(
    "server", [pytest.param(kind, id=kind.NAME) for kind in SERVERS], indirect=True
)

# Names the variable that asks for the page to be written.
_WRITE: Final = "ESMTP_WRITE_INTEROP"

S = TypeVar("S", bound=PrivateServer)


def require(name: str, reason: str | None) -> None:
    """Skip where a server cannot run, for this reason; fail where it must run."""
    if reason:
        if os.environ.get("ESMTP_REQUIRE_INTEROP"):
            pytest.fail(f"a real {name} is required here: {reason}")
        pytest.skip(reason)


class Writer:
    """Gathers what tests tell, wherever they ran, and writes the page at the end."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a report."""
        if report.when == "call":
            self._page.take(report.nodeid, report.user_properties, passed=report.passed)

    def pytest_sessionfinish(self) -> None:
        """Write the page."""
        self._page.write()


def pytest_configure(config: pytest.Config) -> None:
    """Write the page where that is asked for, and where all reports come together."""
    from ._rows import EVERY  # noqa: PLC0415  # which needs what stands here

    if os.environ.get(_WRITE) and not hasattr(config, "workerinput"):
        page = Page([kind.NAME for kind in EVERY])
        config.pluginmanager.register(Writer(page))


@pytest.fixture(autouse=True)
def told(request: pytest.FixtureRequest, record_property: Record) -> None:
    """Tell which way a test talks to its server."""
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    if {"server", "pipelining", "security"} <= parameters.keys():
        way = (parameters["pipelining"], parameters["security"])
        record_property(WAY, [parameters["server"].NAME, *way])


class Running:
    """The servers that run, one of each kind."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._servers: dict[Any, Any] = {}

    def __getitem__(self, kind: type[S]) -> S:
        """Give the server of a kind, started if it is the first time."""
        return self._find((kind,), kind)

    def impatient(self, kind: type[S], idle: int) -> S:
        """Give one that hangs up after so many seconds of silence."""
        return self._find((kind, idle), partial(kind, idle=idle))

    def stop(self) -> None:
        """Stop them all."""
        self._stack.close()

    def _find(self, key: tuple[object, ...], make: Callable[[], S]) -> S:
        if key not in self._servers:
            server = make()
            require(server.NAME, server.unavailable())
            self._servers[key] = self._stack.enter_context(server)
        found: S = self._servers[key]
        return found


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    servers = Running()
    yield servers
    servers.stop()


@pytest.fixture(scope="session")
def postfix(running: Running) -> PostfixServer:
    return running[PostfixServer]


@pytest.fixture(scope="session")
def dovecot(running: Running) -> DovecotServer:
    return running[DovecotServer]


@pytest.fixture(scope="session")
def exim(running: Running) -> EximServer:
    return running[EximServer]


@pytest.fixture
def server(request: pytest.FixtureRequest, running: Running) -> PrivateServer:
    """Give the server of the kind that a test is parametrised with."""
    kind: type[PrivateServer] = request.param
    return running[kind]
