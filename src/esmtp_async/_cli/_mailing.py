"""One run of `esmtp bulk`: from the sources to a server, and each outcome to a log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Final

import anyio
from anyio import to_thread

from esmtp_async._batch import Addressed
from esmtp_async._cli._journal import Journal, Line, outcome_line
from esmtp_async._cli._letters import Letter, Letters
from esmtp_async._cli._progress import Progress
from esmtp_async._cli._signals import heeding
from esmtp_async._cli._standing import Standings
from esmtp_async._cli._tally import Tally
from esmtp_async._client import SMTPClient
from esmtp_async._events import Event, MessageFinished
from esmtp_async._receipts import Receipt
from esmtp_async.protocol._exceptions import SMTPError
from esmtp_async.protocol._outcomes import (
    ACCEPTED,
    NOT_SENT,
    REFUSED,
    UNKNOWN,
    Outcome,
    RecipientResult,
    Stage,
)
from esmtp_async.protocol._replies import printable

#: Seconds for what is under way to finish, after the first interrupt.
GRACE: Final = 8.0

#: How many lines are shown of what went wrong; all of it stands in the log.
_SHOWN: Final = 20

#: Failures in a row to get a connection after which no more is tried.
_TRIES: Final = 3
_OPENING: Final = frozenset(
    {
        *(Stage.CONNECT, Stage.TLS, Stage.GREETING),
        *(Stage.HELLO, Stage.STARTTLS, Stage.AUTH),
    }
)


class _Stopped(Exception):
    """Nothing further is to go out."""


class Mailing:
    """Messages on their way, and the account that is kept of them.

    An interrupt has nothing further go out; what is under way may finish, for a while
    or until the second interrupt. Then what is known of it is written down.
    """

    def __init__(
        self,
        letters: Letters,
        standings: Standings,
        tally: Tally,
        progress: Progress,
        *,
        journal: Journal | None,
        say: Callable[[Line], object],
        elsewhere: str,
        sender: str | None,
    ) -> None:
        """Prepare to send.

        `say` is given a line about each message; `elsewhere` tells where those stand
        that are not shown.
        """
        self._letters = letters
        self._standings = standings
        self._tally = tally
        self._progress = progress
        self._journal = journal
        self._say = say
        self._elsewhere = elsewhere
        self._sender = sender
        self._stopped = False  # nothing further is to go out
        #: Whether everything was tried.
        self.complete = False
        #: Why, if no connection could be had.
        self.hopeless: SMTPError | None = None
        self._failures = 0  # in a row, to get a connection
        # Those that have no outcome yet, by their numbers; for how many recipients
        # those of them are that were begun, which the log has, if there is one; and
        # what was told of them as they were given up.
        self._open: dict[int, Letter] = {}
        self._begun: dict[int, int] = {}
        self._ended: dict[int, tuple[RecipientResult, ...]] = {}
        self._count = 0
        self._complaints = 0

    def hear(self, event: Event) -> None:
        """Note what becomes of messages; what `on_event` is for."""
        if isinstance(event, MessageFinished) and event.batch_index in self._open:
            self._ended[event.batch_index] = event.recipients

    async def run(
        self, client: SMTPClient, *, window: int | None, connections: int | None
    ) -> None:
        """Send everything; raises `OSError` where that cannot be written down."""
        with anyio.CancelScope() as scope, heeding(partial(self._interrupt, scope)):
            try:
                await self._send(client, window, connections)
                self.complete = not self._stopped
            except _Stopped:
                pass
            finally:
                self._settle()

    async def _send(
        self, client: SMTPClient, window: int | None, connections: int | None
    ) -> None:
        async with client.send_many(
            self._entries(),
            window=window,
            connections=connections,
            on_begin=self._begin,
        ) as results:
            async for result in results:
                letter = self._open[result.index]
                self._conclude(letter, result.told.recipients, result.told)
                self._forget(result.index)
                self._despair(result.error)
                if self.hopeless is not None and not self._begun:
                    return  # what waits was not begun, nor will be

    def _despair(self, error: SMTPError | None) -> None:
        """Stop where no connection can be had: it will be the same for the rest."""
        if error is None or error.stage not in _OPENING:
            self._failures = 0
            return
        self._failures += 1
        if not error.temporary or self._failures >= _TRIES:
            self._stopped = True
            self.hopeless = error

    async def _entries(self) -> AsyncIterator[Addressed]:
        """Give what is due, as `send_many` takes it."""
        while not self._stopped:
            letter = await to_thread.run_sync(self._letters.following)
            if letter is None:
                return
            found = letter.found
            if found.problem:
                self._conclude(letter, (), found.problem)
                continue
            self._open[self._count] = letter
            self._count += 1
            yield found.content, self._sender, letter.recipients

    def _begin(self, index: int, addresses: Sequence[str]) -> None:
        if self._stopped:
            raise _Stopped
        if index not in self._begun:
            if self._journal is not None:
                self._journal.begin(self._open[index].key, addresses)
            self._begun[index] = len(addresses)

    def _conclude(
        self,
        letter: Letter,
        recipients: Sequence[RecipientResult],
        told: Receipt | SMTPError | str,
    ) -> None:
        """Write down what became of a message."""
        found = letter.found
        found.close()
        line = outcome_line(letter.key, found, recipients, told)
        if self._journal is not None:
            self._journal.write(line)
        self._say(line)
        outcomes = [self._standings.follow(letter.key, each) for each in recipients]
        self._tally.count(outcomes, found.size)
        for result, outcome in zip(recipients, outcomes, strict=True):
            for_now = outcome is REFUSED and result.temporary
            self._tally.left += outcome is NOT_SENT or for_now
            if result.outcome is not ACCEPTED:
                self._complain(f"{found}: {_shortfall(result, outcome, told)}")
        if not recipients:
            self._complain(f"{found}: {told}")
        self._progress.update(self._tally)

    def _complain(self, line: str) -> None:
        self._complaints += 1
        if self._complaints <= _SHOWN:
            self._progress.say(line)
        elif self._complaints == _SHOWN + 1:
            self._progress.say(f"... and so on; {self._elsewhere}")

    def _forget(self, index: int) -> None:
        del self._open[index]
        self._begun.pop(index, None)
        self._ended.pop(index, None)

    def _settle(self) -> None:
        """Write down what is known of those that were given up under way."""
        try:
            for index, letter in list(self._open.items()):
                letter.found.close()
                results = self._ended.get(index)
                if index in self._begun and results is not None:
                    self._conclude(letter, results, "interrupted")
                    self._forget(index)
        finally:
            # The rest was begun, and by the log nobody knows more.
            self._tally.outcomes[UNKNOWN] += sum(self._begun.values())

    def _interrupt(self, scope: anyio.CancelScope) -> None:
        """Stop at the first interrupt, and end it all at the second."""
        if self._stopped:
            scope.cancel()
            return
        self._stopped = True
        asyncio.get_running_loop().call_later(GRACE, scope.cancel)
        self._progress.say(
            f"interrupted: what is under way has {GRACE:g} s to finish; "
            "once more to end at once"
        )


def _shortfall(
    result: RecipientResult, outcome: Outcome, told: Receipt | SMTPError | str
) -> str:
    """Tell why somebody has no message; `outcome` is that of all attempts."""
    who = printable(result.address.encode(errors="replace"))
    line = f"{who}: {result.outcome.value}"
    if result.reply is not None:
        line += f": {result.reply}"
    elif not isinstance(told, Receipt):
        line += f": {told}"
    if outcome is UNKNOWN and result.outcome is not UNKNOWN:
        line += "; an earlier attempt may have reached it all the same"
    return line
