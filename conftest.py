"""The code samples of README.md and docs/ as tests: each is run, in order, as it is.

A page is one namespace; each ```` ```python ```` block in it is a program that must run
to its end. A block is left out only by the comment ``<!-- skip: next "reason" -->``.

Whatever server a sample names, a model server on loopback stands in for it, with a
certificate for smtp.example.com and a user alice. A proxy that leads there stands in
for whatever listens on the ports of proxies.
"""

import re
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from unittest.mock import patch

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from sybil import Document, Region, Sybil
from sybil.integration.pytest import SybilItem
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

from esmtp_async import _transport
from esmtp_async._endpoint import Endpoint
from esmtp_async.testing import SMTPServer

#: Where a sample expects a proxy.
PROXIES = (1080, 3128)


class ReasonedSkipParser(SkipParser):
    """The skip directive, which must name its reason."""

    def __call__(self, document: Document) -> Iterable[Region]:
        """Yield the directives of a page.

        Raises:
            ValueError: if one has no reason, or asks for more than one block.
        """
        for region in super().__call__(document):
            action, reason = region.parsed
            if action != "next" or not re.fullmatch(r'"[^"]*\w[^"]*"', reason or ""):
                location = document.line_column(region.start)
                message = 'a sample is skipped only by <!-- skip: next "reason" -->'
                raise ValueError(f"{document.path}, {location}: {message}")
            yield region


def _look_up(
    server: SMTPServer,
    resolve: Callable[..., Sequence[object]],
    host: str | None,
    port: int | None,
    *rest: int,
    **more: int,
) -> Sequence[object]:
    """Find the server by its name, for clients that bring sockets of their own."""
    if host == "smtp.example.com":
        host, port = "127.0.0.1", server.port
    return resolve(host, port, *rest, **more)


def _context(
    trusting: ssl.SSLContext,
    make: Callable[[ssl.Purpose], ssl.SSLContext],
    purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH,
) -> ssl.SSLContext:
    """Give one that trusts the server where another would trust the system's."""
    return trusting if purpose is ssl.Purpose.SERVER_AUTH else make(purpose)


class Page:
    """What the samples of a page run in."""

    def __init__(self) -> None:
        """Have nothing to undo."""
        self._stack = ExitStack()
        #: The server of the page that runs.
        self.server: SMTPServer

    def set_up(self, namespace: dict[str, object]) -> None:
        """Start the server; make ``if __name__ == "__main__"`` in a sample true."""
        # What the tests import must not be there before they are looked at.
        from tests.proxies import RelayingProxy  # noqa: PLC0415

        namespace["__name__"] = "__main__"
        self.server = server = SMTPServer(
            hostname="smtp.example.com",
            starttls=True,
            users={"alice": "secret"},
            mechanisms=("PLAIN", "LOGIN", "XOAUTH2"),
        )
        portal = self._stack.enter_context(start_blocking_portal())
        self._stack.enter_context(portal.wrap_async_context_manager(server.listen()))

        proxy = RelayingProxy(server.port or 0, users={"alice": "secret"})
        self._stack.enter_context(portal.wrap_async_context_manager(proxy.listen()))

        async def dial(endpoint: Endpoint, *_: object) -> anyio.abc.SocketStream:
            port = proxy.port if endpoint.port in PROXIES else server.port
            return await anyio.connect_tcp("127.0.0.1", port or 0)

        context = partial(_context, server.client_context, ssl.create_default_context)
        look_up = partial(_look_up, server, socket.getaddrinfo)
        for owner, name, stand_in in (
            (_transport, "dial", dial),
            (ssl, "create_default_context", context),
            (socket, "getaddrinfo", look_up),
        ):
            self._stack.enter_context(patch.object(owner, name, stand_in))

    def tear_down(self, _namespace: dict[str, object]) -> None:
        """Stop the server."""
        self._stack.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the samples back into the order of their page after pytest-randomly."""
    samples = iter(
        sorted(
            (item for item in items if isinstance(item, SybilItem)),
            key=lambda item: (item.path, item.example.start),
        )
    )
    items[:] = [
        next(samples) if isinstance(item, SybilItem) else item for item in items
    ]


PAGE = Page()

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), ReasonedSkipParser()],
    pattern="*.md",
    setup=PAGE.set_up,
    teardown=PAGE.tear_down,
).pytest()
