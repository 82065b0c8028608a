"""A series: transactions one behind the other, begun before the last is answered.

The reply to the end of one message's mail data and those to the envelope of the
next come in one round trip (RFC 2920 §3.1); where the mail data fly with the
envelope, those of as many messages as the window holds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from esmtp_async.protocol._asks import PAUSE
from esmtp_async.protocol._commands import Command
from esmtp_async.protocol._exceptions import NotSupported
from esmtp_async.protocol._exchange import Commands, OnBehalfOf, OutOfTurn
from esmtp_async.protocol._replies import Reply
from esmtp_async.protocol._session import Session
from esmtp_async.protocol._states import State
from esmtp_async.protocol._transaction import Transaction
from esmtp_async.protocol._ways import TRAINS


class Place:
    """A transaction's place in the series: whose commands these are."""

    __slots__ = ("_series", "error", "said", "transaction")

    def __init__(self, series: Series, transaction: Transaction) -> None:
        self._series = series
        #: What it says.
        self.transaction: Transaction = transaction
        #: Whether it has nothing more to say.
        self.said: bool = False
        #: Why it said nothing at all, if so.
        self.error: NotSupported | None = None

    def replied(self, command: Command | None, reply: Reply) -> None:
        """Take a reply to one of its commands."""
        self.transaction.replied(command, reply)
        if self.said:
            self._series.settle()


class Series:
    """Transactions over one session, as many as there are.

    `take` gives the next one, or None where there is none at present: then the
    series pauses until a reply has come, and ends once none is awaited.
    `settled` is told of each whose last command is answered, in their order.
    `window` tells how many may be under way at once, at present.
    """

    def __init__(
        self,
        take: Callable[[], Transaction | None],
        settled: Callable[[Place], object],
        window: Callable[[], int],
    ) -> None:
        self._take = take
        self._settled = settled
        self._window = window
        self._session: Session
        self._under_way: deque[Place] = deque()

    def __iter__(self) -> Iterator[Place]:
        """Go through those that are under way, in their order."""
        return iter(self._under_way)

    def commands(self, session: Session) -> Commands:
        """Yield the commands of one transaction after the other."""
        self._session = session
        while True:
            full = len(self._under_way) >= self._window()
            transaction = None if full else self._take()
            if transaction is not None:
                yield from self._say(transaction)
            elif session.awaited is not None:
                yield PAUSE
            else:
                return

    def replied(self, command: Command | None, reply: Reply) -> None:
        """Take a 421 that nobody asked for: it is for whoever comes next."""
        for place in self._under_way:
            place.transaction.replied(command, reply)

    def settle(self) -> None:
        """Let go of those that are answered."""
        awaited = self._session.awaited
        while self._under_way:
            place = self._under_way[0]
            if not place.said or (awaited is not None and awaited.owner is place):
                return
            self._under_way.popleft()
            self._settled(place)

    def _say(self, transaction: Transaction) -> Commands:
        session = self._session
        place = Place(self, transaction)
        if self._under_way:
            before = self._under_way[-1].transaction
            before.is_followed = True
            before.used |= TRAINS
            transaction.used |= TRAINS
        self._under_way.append(place)
        yield OnBehalfOf(place)
        try:
            yield from transaction.commands(session)
        except OutOfTurn:
            pass  # the command before it was refused
        except NotSupported as error:
            if session.unfinished or session.projected is State.DATA:
                raise  # behind 354 nothing but the mail data may be said
            place.error = error
        place.said = True
        self.settle()
