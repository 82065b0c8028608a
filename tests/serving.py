"""A model server for programs without an event loop of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from anyio.from_thread import start_blocking_portal

from esmtp_async.testing import SMTPServer

#: Seconds that anything here may take.
PATIENCE: Final = 20.0


@contextmanager
def served(server: SMTPServer | None = None) -> Iterator[SMTPServer]:
    """Let a server listen on loopback, in a thread of its own."""
    server = SMTPServer() if server is None else server
    with start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(server.listen()):
            yield server


@contextmanager
def held(lock: AbstractContextManager[object]) -> Iterator[None]:
    """Let another thread hold a lock meanwhile; in a forked process it always will."""
    taken, left = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            left.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        yield
    finally:
        left.set()
        thread.join()


def address(server: SMTPServer) -> str:
    """Give a server as `host:port`."""
    return f"127.0.0.1:{server.port}"


def heard(server: SMTPServer) -> list[str]:
    """Give the verbs that clients have said so far, on whatever connection."""
    return [
        said.octets.split(b" ")[0].strip().decode("latin-1").upper()
        for connection in server.transcript
        for said in connection
        if said.side == "C"
    ]


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for what happens in another thread."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.005)
