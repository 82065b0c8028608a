"""An event loop in a thread of its own, for whoever calls it from other threads.

anyio has `start_blocking_portal`, a generator, whose end stops the thread and waits for
it. Left behind by a fork, or at the end of the process, it would wait for good, for
there is no such thread any more. What is here can be left behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context
from threading import Thread
from types import TracebackType
from typing import Final
from weakref import finalize

import anyio
from anyio.from_thread import BlockingPortal

_NOTHING: Final[Mapping[str, bool]] = {}


class PortalThread:
    """Runs an event loop from `__enter__`, which gives its portal, to `__exit__`.

    Of one that is forgotten in between the thread ends, and with it what it did.
    """

    def __init__(
        self,
        name: str,
        backend: str = "asyncio",
        options: Mapping[str, bool] = _NOTHING,
    ) -> None:
        self._begun: Future[BlockingPortal] = Future()
        arguments = (self._begun, backend, dict(options))
        self._thread = Thread(target=_run, args=arguments, name=name, daemon=True)

    def __enter__(self) -> BlockingPortal:
        """Start the loop; raises what keeps it from that."""
        self._thread.start()
        portal = self._begun.result()
        finalize(self, _end, portal, self._thread).atexit = False  # it ends without
        return portal

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for all calls to come to their end, cancelled if there is an error."""
        _stop(self._begun.result(), cancel=exc is not None)
        self._thread.join()


def _run(begun: Future[BlockingPortal], backend: str, options: dict[str, bool]) -> None:
    async def hold() -> None:
        async with BlockingPortal() as portal:
            begun.set_result(portal)
            await portal.sleep_until_stopped()

    def run() -> None:
        anyio.run(hold, backend=backend, backend_options=options)

    try:
        Context().run(run)  # with nothing of the context of who started the thread
    except BaseException as error:  # noqa: BLE001  # what a call raised, it was told
        if not begun.done():
            begun.set_exception(error)


def _stop(portal: BlockingPortal, *, cancel: bool) -> None:
    with suppress(RuntimeError):  # it has come to its end by itself
        portal.call(portal.stop, cancel)


def _end(portal: BlockingPortal, thread: Thread) -> None:
    """Stop what is forgotten, without a wait: whoever collects it may hold locks."""
    if thread.is_alive():  # not if it was left, nor in a fork
        with suppress(RuntimeError):  # no thread can be started any more
            Thread(target=_stop, args=(portal,), kwargs={"cancel": True}).start()
