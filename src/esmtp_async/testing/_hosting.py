"""Where a server runs: its task group, its connections, its listening socket."""

from __future__ import annotations

import math
import ssl
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from functools import cached_property
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

import anyio
from anyio.abc import ByteStream, SocketAttribute, TaskGroup

from esmtp_async._client import SMTPClient
from esmtp_async._settings import ClientOptions
from esmtp_async.testing._pipes import memory_pipe
from esmtp_async.testing._store import Book, Ledger, Page, Record, Said
from esmtp_async.testing._tls import Authority
from esmtp_async.testing._wire import Wire

#: Seconds to serve what clients have sent before the server was left.
GRACE: Final = 1.0


class Host(ABC):
    """Runs a conversation for each connection, in memory or over TCP.

    `async with host:` serves in-memory connections, `async with host.listen():` TCP
    too. Leaving serves what clients have sent until then, and drops them. What went
    wrong in the server itself is raised there, once.
    """

    def __init__(
        self,
        *,
        hostname: str = "mail.example.test",
        idle_timeout: float = math.inf,
        fragment: int | None = None,
        record: Record | None = None,
    ) -> None:
        #: The TCP port, once the server listens.
        self.port: int | None = None
        #: How many connections there have been.
        self.connections: int = 0
        #: The most that were open at the same time.
        self.peak_connections: int = 0
        self._ledger = Ledger()
        self._record: Record = self._ledger if record is None else record
        self._book = Book(self._record)
        self._hostname = hostname
        self._idle_timeout = idle_timeout
        self._fragment = fragment
        self._open: set[Wire] = set()
        self._changed = anyio.Event()
        self._closing = anyio.Event()
        self._accepting: anyio.CancelScope  # made anew each time it is entered
        self._tasks: TaskGroup | None = None
        self._failures: list[Exception] = []

    @abstractmethod
    async def _converse(self, wire: Wire, page: Page) -> None:
        """Hold the conversation of a page; the wire is closed behind it."""

    @property
    def transcript(self) -> list[list[Said]]:
        """What was said on each connection; nothing if a `record` takes it."""
        return self._ledger.transcript

    @cached_property
    def authority(self) -> Authority:
        """The throw-away certificate authority of this server."""
        return Authority(self._hostname)

    @property
    def client_context(self) -> ssl.SSLContext:
        """A TLS context for clients, which trusts this server and no other."""
        return self.authority.client_context

    @property
    def open_connections(self) -> int:
        """How many connections are open, as far as both sides know."""
        return sum(not wire.abandoned for wire in self._open)

    async def connect(self) -> ByteStream:
        """Open an in-memory connection and give the client's end."""
        tasks = self._running()
        theirs, ours = memory_pipe()
        tasks.start_soon(self._serve, *self._admit(ours))
        return theirs

    def listen(self, host: str = "127.0.0.1", port: int = 0) -> Listening[Self]:
        """Give a context in which the server also listens on TCP.

        Port 0 means any that is free; `port` tells which it was.
        """
        return Listening(self, host, port)

    async def wait_closed(self) -> None:
        """Wait until no connection is open."""
        while self._open:
            await self._changed.wait()

    def _client(self, scheme: str, options: ClientOptions) -> SMTPClient:
        if self.port is not None:
            return SMTPClient(f"{scheme}://127.0.0.1:{self.port}", **options)
        options.setdefault("connect", self.connect)
        return SMTPClient(f"{scheme}://{self._hostname}", **options)

    async def bind(self, address: str, port: int) -> None:
        """Listen on TCP, until the server is left."""
        tasks = self._running()
        listener = await anyio.create_tcp_listener(local_host=address, local_port=port)
        self.port = listener.extra(SocketAttribute.local_port)

        async def accept_all() -> None:
            async with listener:
                with self._accepting:
                    await listener.serve(self._accept, tasks)

        tasks.start_soon(accept_all)

    def _running(self) -> TaskGroup:
        if self._tasks is None:
            raise RuntimeError("the server is not running: use `async with`")
        return self._tasks

    def _forget(self) -> None:
        self._ledger.clear()
        self._book.forget()
        self.connections = self.peak_connections = 0

    def _admit(self, stream: ByteStream) -> tuple[Wire, Page]:
        self.connections += 1
        page = Page(self._book)
        wire = Wire(
            stream, page, idle_timeout=self._idle_timeout, fragment=self._fragment
        )
        self._open.add(wire)
        self.peak_connections = max(self.peak_connections, self.open_connections)
        return wire, page

    async def _accept(self, stream: ByteStream) -> None:
        await self._serve(*self._admit(stream))

    async def _serve(self, wire: Wire, page: Page) -> None:
        try:
            await self._converse(wire, page)
        except Exception as error:  # noqa: BLE001 - raised when the server is left
            self._failures.append(error)
        finally:
            self._open.discard(wire)
            changed, self._changed = self._changed, anyio.Event()
            changed.set()
            await wire.close()

    async def __aenter__(self) -> Self:
        """Start to serve in-memory connections."""
        if self._tasks is not None:
            raise RuntimeError("the server is running already")
        self._accepting = anyio.CancelScope()
        self._closing = anyio.Event()
        self._changed = anyio.Event()
        tasks = anyio.create_task_group()
        await tasks.__aenter__()
        self._tasks = tasks
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop serving.

        Raises:
            Exception: what went wrong in the server; an error of the body, which it
                probably caused, becomes its context.
        """
        self.port = None
        self._accepting.cancel()
        self._closing.set()
        if exc is None:
            for wire in self._open:
                wire.end_input()
            with anyio.move_on_after(GRACE):
                await self.wait_closed()
        await self._stop(exc_type, exc, traceback)
        failures, self._failures = self._failures, []
        if failures and (exc is None or isinstance(exc, Exception)):
            if len(failures) > 1:
                raise ExceptionGroup("the server failed", failures)
            raise failures[0]

    async def _stop(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        tasks, self._tasks = self._running(), None
        tasks.cancel_scope.cancel()
        if isinstance(exc, Exception):
            # No concern of the task group, which would wrap it in a group.
            exc_type = exc = traceback = None
        await tasks.__aexit__(exc_type, exc, traceback)


_H = TypeVar("_H", bound=Host)


class Listening(Generic[_H]):
    """The time in which a server listens on TCP."""

    def __init__(self, host: _H, address: str, port: int) -> None:
        self._host = host
        self._address = address
        self._port = port

    async def __aenter__(self) -> _H:
        """Start to serve, and give the server."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._host)
            await self._host.bind(self._address, self._port)
            self._stack = stack.pop_all()
        return self._host

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop serving, as `Host` does."""
        await self._stack.__aexit__(exc_type, exc, traceback)
