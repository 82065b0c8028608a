"""A thread that makes mails of what others put down, no more often than allowed."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.message import EmailMessage
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio
from anyio import to_thread

from esmtp_async._client import SMTPClient
from esmtp_async._forks import begin_anew_in_children
from esmtp_async.protocol._exceptions import OutcomeUnknown, SMTPError

#: Seconds in which what belongs together comes together.
GATHERING: Final = 1.0


class Entry(NamedTuple):
    """What is to be told."""

    subject: str
    text: str


#: Makes a mail of entries, and of how many others were left out before.
Compose = Callable[[Sequence[Entry], int], EmailMessage]


class MailThread(threading.Thread):
    """The thread of a mailer; what is logged in it is about the mail itself."""


class Mailer:
    """Entries on their way into mails, from any thread; nobody waits for the server.

    There is one mail in `interval` seconds at most, with all that has come meanwhile.
    Beyond `capacity` entries are left out, and only counted. Those of a mail that may
    go through later stay for the next one.
    """

    def __init__(
        self,
        make: Callable[[], SMTPClient],
        compose: Compose,
        complain: Callable[[str], None],
        *,
        interval: float,
        capacity: int,
        timeout: float,
    ) -> None:
        self._make = make
        self._compose = compose
        self._complain = complain
        self._interval = interval
        self._capacity = capacity
        self._timeout = timeout
        self._begin()
        begin_anew_in_children(self)

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._entries: list[Entry] = []
        self._left_out = 0
        self._due = -inf  # when the next mail may go
        self._busy = False  # whether one is going
        self._hurries = 0  # how many wait for all to be gone
        self._waited = 0.0  # seconds, for the mail that is going
        self._closed = False
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()

    def begin_anew(self) -> None:
        """Have no part in what a parent process has to tell."""
        self._begin()

    def start(self) -> None:
        """Start the thread, if there is none.

        Raises `RuntimeError` where there can be none, at the end of the process.
        """
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
                name = f"{type(self).__module__} {id(self):x}"
                thread = MailThread(target=self._run, name=name, daemon=True)
                thread.start()
                self._thread = thread

    def wait_ready(self, seconds: float) -> None:
        """Wait until the thread needs no other one that is not there."""
        self._ready.wait(seconds)

    def put(self, entry: Entry) -> bool:
        """Put an entry down; tell whether somebody is there to mail it."""
        with self._changed:
            if self._closed:
                return False
            try:
                self.start()
            except RuntimeError:
                return False
            if len(self._entries) >= self._capacity:
                self._left_out += 1
                return True
            if not self._entries:
                gathered = time.monotonic() + min(GATHERING, self._interval)
                self._due = max(self._due, gathered)
            self._entries.append(entry)
            self._changed.notify_all()
            return True

    def flush(self, seconds: float) -> None:
        """Mail at once what is there, whatever the interval; wait so long at most.

        Nor longer in all, if called again while it is the same mail that is going.
        """
        with self._changed:
            if self._thread is None or isinstance(
                threading.current_thread(), MailThread
            ):
                return
            self._hurries += 1
            self._changed.notify_all()
            begun = time.monotonic()
            try:
                self._changed.wait_for(self._is_done, seconds - self._waited)
            finally:
                self._hurries -= 1
                if not self._is_done():
                    self._waited += time.monotonic() - begun

    def close(self, seconds: float) -> None:
        """Flush, and end the thread; what could not be mailed by then is given up."""
        self.flush(seconds)
        with self._changed:
            self._closed = True
            late, self._entries = len(self._entries), []
            thread, self._thread = self._thread, None
            busy = self._busy
            self._changed.notify_all()
        if late:
            self._complain(f"{late} log records were not mailed within {seconds:g} s")
        if thread is not None and not busy:
            thread.join()

    def _is_done(self) -> bool:
        return not self._entries and not self._busy

    def _run(self) -> None:
        anyio.run(self._serve, backend_options={"loop_factory": _Loop})

    async def _serve(self) -> None:
        """Mail until closed. Nothing else runs on this loop, so it may be blocked.

        It is used up to the very end of the process, where no thread can be started:
        what needs one finds it here already.
        """
        asyncio.get_running_loop().set_debug(enabled=False)  # it would note the wait
        with suppress(RuntimeError):  # it has come to its end already
            await to_thread.run_sync(int)
        self._ready.set()
        while (taken := self._take()) is not None:
            await self._mail(*taken)

    def _take(self) -> tuple[list[Entry], int] | None:
        """Wait for what is to be mailed now; None if that is nothing any more."""
        with self._changed:
            self._busy = False
            self._waited = 0.0
            self._changed.notify_all()
            while not self._entries or not (self._hurries or self._wait() <= 0):
                if self._closed:
                    return None
                self._changed.wait(self._wait() if self._entries else None)
            entries, self._entries = self._entries, []
            left_out, self._left_out = self._left_out, 0
            self._due = time.monotonic() + self._interval
            self._busy = True
            return entries, left_out

    def _wait(self) -> float:
        return self._due - time.monotonic()

    async def _mail(self, entries: list[Entry], left_out: int) -> None:
        try:
            message = self._compose(entries, left_out)
            async with self._make() as client:
                await client.send(message, timeout=self._timeout)
        except Exception as error:  # noqa: BLE001  # whatever it is, the app goes on
            fate = self._keep(entries, left_out, error)
            what = f"{type(error).__name__}: {error}"
            self._complain(f"{len(entries)} log records {fate}: {what}")

    def _keep(self, entries: list[Entry], left_out: int, error: Exception) -> str:
        """Keep what a later mail may tell, and the number of the rest."""
        again = isinstance(error, SMTPError) and error.temporary and error.retry_safe
        with self._changed:
            self._left_out += left_out
            if again and not self._hurries and not self._closed:
                kept = [*entries, *self._entries]
                self._entries, late = kept[: self._capacity], kept[self._capacity :]
                self._left_out += len(late)
                return "wait for the next mail, as this one failed"
            if isinstance(error, OutcomeUnknown):
                return "may have been mailed, or not"
            self._left_out += len(entries)
            return "were not mailed"


class _Loop(asyncio.SelectorEventLoop):
    """Looks names up where it runs, though that blocks it: there are no others here.

    The threads that do it elsewhere refuse to, once Python comes to its end.
    """

    if not TYPE_CHECKING:  # where they do not agree on what a look-up gives

        async def getaddrinfo(
            self, host: str | None, port: int | None, **how: int
        ) -> object:
            """Give the addresses of a name, as `socket.getaddrinfo` does."""
            return socket.getaddrinfo(host, port, **how)
