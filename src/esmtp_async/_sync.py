"""For programs without an event loop: one message, or a client for any number.

The loop runs here: for the one message in the calling thread, for a client in a thread
of its own, behind anyio's blocking portal.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from contextvars import Context, copy_context
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from itertools import islice
from types import TracebackType
from typing import Final, Literal, NamedTuple, NoReturn, Self, TypeVar, Unpack, get_args

import anyio
from anyio.from_thread import BlockingPortal
from anyio.lowlevel import current_token

from esmtp_async._batch import Entry
from esmtp_async._client import SMTPClient
from esmtp_async._forks import begin_anew_in_children
from esmtp_async._messages import Recipients, Sendable
from esmtp_async._options import SendOptions
from esmtp_async._portal import PortalThread
from esmtp_async._receipts import Receipt, SendResult
from esmtp_async._settings import ClientOptions
from esmtp_async.protocol._exceptions import InvalidInput

#: The event loop that runs behind a call.
Backend = Literal["asyncio", "uvloop", "trio"]

#: Messages that are handed to the loop at a time.
BATCH: Final = 100

_T = TypeVar("_T")


def send_sync(
    message: Sendable,
    server: str = "localhost",
    port: int | None = None,
    *,
    sender: str | None = None,
    recipients: Recipients | None = None,
    options: SendOptions | None = None,
    all_or_nothing: bool = False,
    timeout: float | None = None,
    backend: Backend = "asyncio",
    **client_options: Unpack[ClientOptions],
) -> Receipt:
    """Send one message from a program without an event loop, and wait for it.

    Arguments, result and errors are those of `send`, which it runs to its end in this
    thread, on the event loop that `backend` names. An interrupt (Ctrl-C) gives the
    message up like a cancellation, and `KeyboardInterrupt` is raised.

    Raises `RuntimeError` where an event loop runs already: there `await send(...)`.
    """
    try:
        loop = _Loop.named(backend)
        if _loop_runs_here():
            msg = (
                "send_sync() would stop the event loop that runs in this thread: "
                "await esmtp_async.send(...) instead, with the same arguments"
            )
            raise RuntimeError(msg)
        client = SMTPClient(server, port, **client_options)
    finally:
        del server, client_options  # the password with them, out of any traceback

    async def send_and_close() -> Receipt:
        async with client:
            return await client.send(
                message,
                sender=sender,
                recipients=recipients,
                options=options,
                all_or_nothing=all_or_nothing,
                timeout=timeout,
            )

    def run() -> Receipt:
        return anyio.run(
            send_and_close, backend=loop.name, backend_options=loop.options
        )

    return _context_without_loop().run(run)


class SyncSMTPClient:
    """`SMTPClient` for programs without an event loop, from any number of threads.

    ::

        with SyncSMTPClient("smtp.example.org", username="a", password="b") as client:
            receipt = client.send(message)

    The arguments are those of `SMTPClient`, and `backend`, the event loop that runs in
    a thread of the client's own, from the first message until the client is closed.
    Connections are kept and shared by all threads. What is called by the client
    (`on_event`, tokens, signers) is called in its thread.

    A process that is forked has no part in the connections of its parent: there the
    client begins anew. Within an event loop use `SMTPClient`; this one would stop the
    loop for as long as the message takes.

    Raises `InvalidInput` where an argument makes no sense.
    """

    def __init__(
        self,
        server: str = "localhost",
        port: int | None = None,
        *,
        backend: Backend = "asyncio",
        **options: Unpack[ClientOptions],
    ) -> None:
        try:
            self._loop = _Loop.named(backend)
            self._recipe = Recipe(server, port, options)
        finally:
            del server, options  # the password with them, out of any traceback
        self._closed = False
        self._begin(self._recipe())
        begin_anew_in_children(self)

    def _begin(self, client: SMTPClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._running = ExitStack()
        self._portal: BlockingPortal | None = None

    def __repr__(self) -> str:
        """Show where it sends to."""
        if not hasattr(self, "_client"):
            return "<SyncSMTPClient that was not to be>"
        return repr(self._client).replace("SMTPClient", "SyncSMTPClient", 1)

    def __enter__(self) -> Self:
        """Give the client; nothing is connected yet."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client."""
        self.close()

    def close(self) -> None:
        """Say QUIT on every idle connection, close it, and end the thread.

        Messages that other threads send are waited for. Waits for the replies to QUIT
        at most `timeouts.quit`. It may be called again.
        """
        with self._lock:
            self._closed = True
            portal, self._portal = self._portal, None
        with self._running:
            if portal is not None:
                _call(portal, self._client.aclose)

    def send(
        self,
        message: Sendable,
        *,
        sender: str | None = None,
        recipients: Recipients | None = None,
        options: SendOptions | None = None,
        all_or_nothing: bool = False,
        timeout: float | None = None,
    ) -> Receipt:
        """Send one message; return once the server has taken it for somebody.

        Arguments, result and errors are those of `SMTPClient.send`. An exception that
        a signal raises here (Ctrl-C) cancels the message before it goes on.
        """
        portal, client = self._started()
        return _call(
            portal,
            partial(
                client.send,
                message,
                sender=sender,
                recipients=recipients,
                options=options,
                all_or_nothing=all_or_nothing,
                timeout=timeout,
            ),
        )

    def send_many(
        self,
        messages: Iterable[Entry],
        *,
        window: int | None = None,
        connections: int | None = None,
        ordered: bool = False,
        options: SendOptions | None = None,
    ) -> Iterator[SendResult]:
        """Send many messages; give the result of each.

        ::

            for result in client.send_many(messages):
                print(result.index, result.unwrap().queue_id)

        Arguments, results and errors are those of `SMTPClient.send_many`. `messages`
        is read in the calling thread, a hundred at a time: their results are given
        once all of them have one. Who stops taking results gives up no message of
        these, and what comes behind them is not read.
        """
        send_some = partial(
            self._send_some,
            window=window,
            connections=connections,
            ordered=ordered,
            options=options,
        )
        unread = enumerate(messages)
        while batch := list(islice(unread, BATCH)):
            first, _ = batch[0]
            for result in send_some([message for _, message in batch]):
                yield replace(result, index=first + result.index)

    def _send_some(
        self,
        messages: Iterable[Entry],
        *,
        window: int | None,
        connections: int | None,
        ordered: bool,
        options: SendOptions | None,
    ) -> list[SendResult]:
        portal, client = self._started()

        async def send() -> list[SendResult]:
            async with client.send_many(
                messages,
                window=window,
                connections=connections,
                ordered=ordered,
                options=options,
            ) as results:
                return [result async for result in results]

        return _call(portal, send)

    def _started(self) -> tuple[BlockingPortal, SMTPClient]:
        """Give the loop's portal, started at the first call, and what sends there."""
        with self._lock:
            if self._closed:
                msg = "the client is closed"
                raise RuntimeError(msg)
            if self._portal is None:
                name, options = self._loop
                thread = PortalThread(repr(self), name, options)
                self._portal = self._running.enter_context(thread)
            return self._portal, self._client

    def begin_anew(self) -> None:
        """Have no part in what a parent process began: it is left as it is.

        Nothing of it is even released: an event loop that takes leave of a socket here
        would do so in the parent, for they share what watches over it.
        """
        _ABANDONED.append((self._client, self._lock, self._running, self._portal))
        self._begin(self._recipe())


#: What belongs to a parent of this process.
_ABANDONED: Final[list[object]] = []


class _Loop(NamedTuple):
    """An event loop as anyio names it."""

    name: str
    options: dict[str, bool]

    @classmethod
    def named(cls, backend: str) -> Self:
        """Find a loop; raises `InvalidInput` if it is none, or is not installed."""
        if backend not in get_args(Backend):
            known = ", ".join(map(repr, get_args(Backend)))
            msg = f"backend is {backend!r}, none of {known}"
            raise InvalidInput(msg)
        if find_spec(backend) is None:
            msg = f"backend {backend!r} needs pip install 'esmtp-async[{backend}]'"
            raise InvalidInput(msg)
        if backend == "uvloop":
            return cls("asyncio", {"use_uvloop": True})
        return cls(backend, {})


class Recipe:
    """What clients are made of; it does not show itself, for it holds a password."""

    __slots__ = ("_options", "_port", "_server")

    def __init__(self, server: str, port: int | None, options: ClientOptions) -> None:
        self._server = server
        self._port = port
        self._options = options

    def __call__(self) -> SMTPClient:
        """Make a client; raises `InvalidInput`."""
        return SMTPClient(self._server, self._port, **self._options)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled, as the password would be."""
        msg = "a SyncSMTPClient cannot be pickled"
        raise TypeError(msg)


def _loop_runs_here() -> bool:
    """Tell whether this thread runs an event loop, of asyncio's or of trio's."""
    for current in (asyncio.get_running_loop, current_token):
        with suppress(RuntimeError):
            current()
            return True
    return False


def _context_without_loop() -> Context:
    """Copy the context but for which loop runs, which sniffio keeps there for anyio.

    Where asyncio's `to_thread` brought us here, that is the loop of another thread.
    """
    context = copy_context()
    for variable in context:
        if variable.name == "current_async_library_cvar":
            context.run(variable.set, None)
    return context


def _call(portal: BlockingPortal, function: Callable[[], Awaitable[_T]]) -> _T:
    """Run a function in the thread of the portal, and wait for what it comes to.

    Whatever ends the wait before (an interrupt) cancels it, and waits until that is
    done: no message goes out behind the back of whoever was interrupted.
    """
    over = threading.Event()

    async def run() -> _T:
        try:
            return await function()
        finally:
            over.set()

    future = portal.start_task_soon(run)
    try:
        return future.result()
    finally:
        if not future.done():
            future.cancel()
            over.wait()
