"""A model server in a thread of its own, for tests of any kind."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Final, Self, Unpack
from urllib.parse import quote, urlencode

from anyio import to_thread
from anyio.from_thread import BlockingPortal

from esmtp_async._client import SMTPClient
from esmtp_async._portal import PortalThread
from esmtp_async._settings import ClientOptions
from esmtp_async.testing._faults import Faulty
from esmtp_async.testing._rules import Rule
from esmtp_async.testing._script import Script
from esmtp_async.testing._server import SMTPServer
from esmtp_async.testing._settings import ServerOptions
from esmtp_async.testing._store import Said, StoredMessage

#: Seconds to wait for a message, unless told.
PATIENCE: Final = 5.0


class ThreadedServer(Faulty):
    """An `SMTPServer` on loopback TCP that runs beside the test, whatever that is.

    ::

        with ThreadedServer(starttls=True, users={"alice": "secret"}) as server:
            send_mail_with_whatever(server.host, server.port)
            (message,) = server.wait_for(1)

    It has a thread and an event loop of its own, so that it serves plain functions as
    well as coroutines of asyncio, uvloop and trio, and clients of any make. Everything
    here may be called from any thread; a coroutine can call it too, for nothing waits
    long but `wait_for`, and `down` for half a second where connections are open. The
    options are those of `SMTPServer`. On leaving, a failure of the server itself is
    raised.
    """

    #: Where it listens.
    host: Final = "127.0.0.1"

    def __init__(self, **options: Unpack[ServerOptions]) -> None:
        self._server = SMTPServer(**options)
        self._options = options
        self._portal: BlockingPortal | None = None
        self._listening: AbstractContextManager[SMTPServer] | None = None
        self._port = 0  # any that is free, at first
        self._stack = ExitStack()
        self._directory: TemporaryDirectory[str] | None = None  # of `ca_file`

    def __repr__(self) -> str:
        """Show where it listens."""
        where = f"{self.host}:{self._port}" if self._listening else "not listening"
        return f"<ThreadedServer {where}>"

    def __enter__(self) -> Self:
        """Start to serve.

        Raises:
            RuntimeError: if it does already.
        """
        if self._portal is not None:
            raise RuntimeError("the server is running already")
        with ExitStack() as stack:
            self._portal = stack.enter_context(PortalThread("esmtp_async.testing"))
            stack.callback(self._forget)
            self._listen()
            stack.push(self._leave)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop serving, as `SMTPServer` does.

        Raises:
            Exception: what went wrong in the server.
        """
        self._stack.__exit__(exc_type, exc, traceback)

    def _forget(self) -> None:
        self._portal = None
        self._port = 0
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def _running(self) -> BlockingPortal:
        if self._portal is None:
            raise RuntimeError("the server is not running: use `with`")
        return self._portal

    def _listen(self) -> None:
        listening = self._running().wrap_async_context_manager(
            self._server.listen(self.host, self._port)
        )
        self._port = listening.__enter__().port or 0
        self._listening = listening

    def _leave(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.__exit__(exc_type, exc, traceback)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Be down: connections are cut, and new ones refused; then listen there again.

        ::

            with server.down():
                ...
        """
        self._leave(None, None, None)
        try:
            yield
        finally:
            self._listen()

    @property
    def port(self) -> int:
        """The TCP port; raises `RuntimeError` if the server is not running."""
        self._running()
        return self._port

    @property
    def url(self) -> str:
        """What `SMTPClient` and most settings take: scheme, user and password, port.

        With TLS a client must trust the server besides: `client_context`, or `ca_file`.
        """
        options = self._options
        tls, starttls = options.get("implicit_tls"), options.get("starttls")
        query = {}
        if options.get("lmtp"):
            scheme = "lmtp"
            if tls or starttls:
                query["security"] = "tls" if tls else "starttls"
        else:
            scheme = "smtps" if tls else "submission" if starttls else "smtp"
        users = list((options.get("users") or {}).items())[:1]
        if users and not options.get("auth_needs_tls", True):
            query["allow_plaintext_auth"] = "true"
        who = "".join(f"{quote(name, '')}:{quote(word, '')}@" for name, word in users)
        told = f"?{urlencode(query)}" if query else ""
        return f"{scheme}://{who}{self.host}:{self.port}{told}"

    @property
    def client_context(self) -> ssl.SSLContext:
        """A TLS context for clients, which trusts this server and no other."""
        return self._server.client_context

    @property
    def ca_file(self) -> str:
        """The path of a PEM file with what signed the server's certificate.

        Whatever makes its context by Python's defaults trusts it through the
        environment variable `SSL_CERT_FILE`. The file lasts as long as the server.
        """
        self._running()
        if self._directory is None:
            self._directory = TemporaryDirectory(prefix="esmtp-async-")
            certificate = self._server.authority.certificate
            Path(self._directory.name, "ca.pem").write_bytes(certificate)
        return str(Path(self._directory.name, "ca.pem"))

    @property
    def rules(self) -> list[Rule]:
        """The rules, which may be changed at any time."""
        return self._server.rules

    @property
    def messages(self) -> list[StoredMessage]:
        """The messages taken so far, in the order of their acceptance."""
        with self._server.news:
            return list(self._server.messages)

    @property
    def violations(self) -> list[str]:
        """What clients did that the RFCs do not allow, in words."""
        return list(self._server.violations)

    @property
    def notes(self) -> list[str]:
        """What was odd, but allowed."""
        return list(self._server.notes)

    @property
    def transcript(self) -> list[list[Said]]:
        """What was said on each connection; secrets are shown by their length."""
        return [list(said) for said in list(self._server.transcript)]

    @property
    def scripts(self) -> list[Script]:
        """The transcript as scripts for `ScriptedServer`, as `SMTPServer` has them."""
        return self._running().call(lambda: self._server.scripts)

    @property
    def connections(self) -> int:
        """How many connections there have been."""
        return self._server.connections

    @property
    def open_connections(self) -> int:
        """How many connections are open, as far as the server knows."""
        return self._running().call(lambda: self._server.open_connections)

    def reset(self) -> None:
        """Forget the rules and all that was seen, as between two tests."""
        self._running().call(self._server.reset)

    def client_options(self, **options: Unpack[ClientOptions]) -> ClientOptions:
        """Give what a client of this server needs to be told besides host and port.

        It trusts the server, protects itself and authenticates as the first of the
        users, and calls itself `client.example.test`. `options` are those of
        `SMTPClient`, and win.
        """
        options.setdefault("client_hostname", "client.example.test")
        return self._server.client_options(**options)

    def client(self, **options: Unpack[ClientOptions]) -> SMTPClient:
        """Make a client for this server, for the event loop that will use it.

        `async with` closes it. `options` are those of `SMTPClient`, and win over
        `client_options`.
        """
        scheme = "lmtp" if self._options.get("lmtp") else "smtp"
        server = f"{scheme}://{self.host}:{self.port}"
        return SMTPClient(server, **self.client_options(**options))

    def wait_for(
        self, count: int = 1, timeout: float = PATIENCE
    ) -> list[StoredMessage]:
        """Wait until there are so many messages, and give all that there are.

        A coroutine uses `await_for`, which lets others
        run.

        Args:
            count: of messages, since the server was started or reset.
            timeout: in seconds.

        Raises:
            TimeoutError: naming the messages that did come.
        """
        return self._wait(count, timeout, threading.Event())

    async def await_for(
        self, count: int = 1, timeout: float = PATIENCE
    ) -> list[StoredMessage]:
        """Wait as `wait_for` does, in a coroutine of any event loop.

        Raises:
            TimeoutError: naming the messages that did come.
        """
        given_up = threading.Event()
        try:
            return await to_thread.run_sync(
                partial(self._wait, count, timeout, given_up), abandon_on_cancel=True
            )
        finally:
            given_up.set()
            with self._server.news:
                self._server.news.notify_all()

    def _wait(
        self, count: int, timeout: float, given_up: threading.Event
    ) -> list[StoredMessage]:
        stored = self._server.messages
        with self._server.news:
            self._server.news.wait_for(
                lambda: len(stored) >= count or given_up.is_set(), timeout
            )
            came = list(stored)
        if len(came) < count:
            raise TimeoutError(_what_came(count, timeout, came))
        return came


def _what_came(count: int, timeout: float, came: list[StoredMessage]) -> str:
    lines = [f"{len(came)} of {count} messages came within {timeout} s"]
    lines += [
        f"  {number}: to {', '.join(message.forward_paths)}: {message.subject!r}"
        for number, message in enumerate(came, 1)
    ]
    return "\n".join(lines)
