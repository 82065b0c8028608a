"""A thread that makes mails of what others put down, no more often than allowed."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.message import EmailMessage
from functools import partial
from logging import DEBUG, LogRecord
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio
from anyio import to_thread

from esmtp_async._client import SMTPClient
from esmtp_async._forks import begin_anew_in_children
from esmtp_async._logs import WIRE
from esmtp_async.protocol._exceptions import OutcomeUnknown, SMTPError

#: Seconds in which what belongs together comes together.
GATHERING: Final = 1.0


class Entry(NamedTuple):
    """What is to be told."""

    subject: str
    text: str


#: Makes a mail of entries, and of how many others were left out before.
Compose = Callable[[Sequence[Entry], int], EmailMessage]


#: What the names of all threads begin with that mail.
_NAME: Final = f"{__name__} "


class MailThread(threading.Thread):
    """The thread of a mailer; what is logged in it is about the mail itself."""


def is_about_mail(record: LogRecord) -> bool:
    """Tell whether a record is of a thread that mails, by whatever way it came here."""
    return isinstance(threading.current_thread(), MailThread) or (
        record.threadName or ""
    ).startswith(_NAME)


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
        self._begun = 0  # how many mails were begun
        self._ended = 0  # and how many of these came to their end, well or not
        self._urgent = 0  # which one does not wait until it may go
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
                # The loop asks a logger, and whoever starts us may hold their lock.
                loop = _Loop()
                run, name = partial(self._run, loop), f"{_NAME}{id(self):x}"
                thread = MailThread(target=run, name=name, daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    loop.close()
                    raise
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

    def flush(self, seconds: float) -> bool:
        """Mail at once what is there, whatever the interval; tell if it was in time.

        Waits so many seconds at most for the mail to come to its end, well or not.
        Nor longer in all, if called again while it is the same mail that is going.
        Whoever calls may hold the lock of the loggers, as `logging.config` does: so
        they are asked here what they would be asked by the thread, for they remember.
        """
        WIRE.isEnabledFor(DEBUG)
        with self._changed:
            if self._thread is None or isinstance(
                threading.current_thread(), MailThread
            ):
                return True
            last = self._begun
            if self._entries:
                last = self._urgent = last + 1
            self._changed.notify_all()
            start = time.monotonic()
            in_time = self._changed.wait_for(
                lambda: self._ended >= last, seconds - self._waited
            )
            if not in_time:
                self._waited += time.monotonic() - start
            return in_time

    def close(self, seconds: float) -> None:
        """Flush, and end the thread; what could not be mailed by then is given up."""
        in_time = self.flush(seconds)
        with self._changed:
            self._closed = True
            late, self._entries = len(self._entries), []
            thread, self._thread = self._thread, None
            busy = self._begun > self._ended
            self._changed.notify_all()
        if late:
            why = (
                "came too late" if in_time else f"were not mailed within {seconds:g} s"
            )
            self._complain(f"{late} log records {why}")
        if thread is not None and not busy:
            thread.join(seconds)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        anyio.run(self._serve, backend_options={"loop_factory": lambda: loop})

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
            self._ended = self._begun
            self._waited = 0.0
            self._changed.notify_all()
            while not self._entries or not (
                self._urgent > self._begun or self._wait() <= 0
            ):
                if self._closed:
                    return None
                self._changed.wait(self._wait() if self._entries else None)
            entries, self._entries = self._entries, []
            left_out, self._left_out = self._left_out, 0
            self._due = time.monotonic() + self._interval
            self._begun += 1
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
            if again and self._urgent != self._begun and not self._closed:
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
