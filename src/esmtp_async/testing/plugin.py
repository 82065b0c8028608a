"""The plugin of pytest: a mail server, and a client of it, as fixtures.

It is loaded in every run of pytest (entry point `pytest11`), so it imports nothing but
pytest before a fixture is used. `-p no:esmtp_async` leaves it out.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import pytest

if TYPE_CHECKING:  # loaded by the fixtures alone
    from collections.abc import Awaitable, Callable

    from esmtp_async._client import SMTPClient
    from esmtp_async._events import Event
    from esmtp_async.testing._settings import ServerOptions
    from esmtp_async.testing._threaded import ThreadedServer

_P = ParamSpec("_P")
_R = TypeVar("_R")

#: How much of its conversations is shown of a test that failed.
_CONNECTIONS = 3
_LINES = 60

_MARKER = (
    "smtp_server(**options): how the fixture smtp_server is to be: the options of "
    "esmtp_async.testing.SMTPServer, for example starttls=True"
)


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a test that failed what was said to its server."""
    report = yield
    server = getattr(item, "funcargs", {}).get("smtp_server")
    if server is not None and report.failed:
        report.sections.extend(_conversations(server))
    return report


def _conversations(server: object) -> Iterator[tuple[str, str]]:
    """Give what was said last, a section of the report for each connection."""
    from esmtp_async.testing._store import lines_of  # noqa: PLC0415 - heavy
    from esmtp_async.testing._threaded import ThreadedServer  # noqa: PLC0415 - heavy

    if isinstance(server, ThreadedServer):
        numbered = list(enumerate(server.transcript, 1))
        for number, said in numbered[-_CONNECTIONS:]:
            title = f"smtp_server, connection {number}"
            yield title, "\n".join(lines_of(said)[-_LINES:])


@pytest.fixture
def smtp_server_options() -> ServerOptions:
    """How `smtp_server` is to be, unless a marker says otherwise; for you to override.

    A fixture of the same name in a module, class or `conftest.py` wins over this one.
    """
    return {}


@pytest.fixture
def smtp_server(
    request: pytest.FixtureRequest, smtp_server_options: ServerOptions
) -> Iterator[ThreadedServer]:
    """A mail server on loopback TCP, of this test alone.

    It runs in a thread, so that tests of any kind can use it. How it is to be stands in
    markers `@pytest.mark.smtp_server(starttls=True)`, of which the closest wins, and in
    the fixture `smtp_server_options`.
    """
    from esmtp_async.testing._threaded import ThreadedServer  # noqa: PLC0415 - heavy

    options = smtp_server_options.copy()
    for marker in reversed(list(request.node.iter_markers("smtp_server"))):
        if marker.args:
            raise pytest.UsageError("the marker smtp_server takes options by name only")
        options.update(marker.kwargs)
    with ThreadedServer(**options) as server:
        yield server


@pytest.fixture
def smtp_client(
    request: pytest.FixtureRequest, smtp_server: ThreadedServer
) -> Iterator[SMTPClient]:
    """A client of `smtp_server`, which trusts it and authenticates.

    A test that is a coroutine just uses it: it is closed behind the test, in the event
    loop of the test, whoever runs that. Another test runs a loop of its own, and there
    enters it: `async with smtp_client:`.
    """
    opened = _Opened()
    client = smtp_server.client(on_event=opened)
    item = request.node
    test = getattr(item, "obj", None)
    if inspect.iscoroutinefunction(test):
        item.obj = _closing(client, test)
        yield client
        item.obj = test
    else:
        yield client
    if opened.count:
        pytest.fail(
            f"smtp_client was left with {opened.count} open connection(s) to a loop "
            "that is over: use it within `async with smtp_client:`",
            pytrace=False,
        )


class _Opened:
    """Counts the connections of a client that are open."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, event: Event) -> None:
        """Take an event of the client."""
        kind = type(event).__name__
        self.count += (kind == "ConnectionOpened") - (kind == "ConnectionClosed")


def _closing(
    client: SMTPClient, test: Callable[_P, Awaitable[_R]]
) -> Callable[_P, Awaitable[_R]]:
    """Make a test close the client behind itself."""

    @functools.wraps(test)
    async def closing(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        async with client:
            return await test(*args, **kwargs)

    return closing
