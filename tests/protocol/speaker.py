"""Holds the conversation of a transcript by the sans-IO protocol alone."""

from __future__ import annotations

from collections.abc import Generator

from esmtp_async.protocol import (
    LOST,
    NEED_DATA,
    UPGRADE,
    WAIT,
    Ask,
    Command,
    Exchange,
    RemoteProtocolError,
    Replied,
    Stage,
)
from esmtp_async.protocol._exceptions import ConnectionLost, NotDelivered
from esmtp_async.protocol._exchange import Commands, Step
from esmtp_async.protocol._verbs import STAGES
from tests.conversation import Conversation, Ending, problem
from tests.protocol.dialogue import answer_to

#: Yields what is written at once, or `UPGRADE`; is sent what is read then, and
#: nothing at the end of the server's stream.
Drive = Generator[bytes | Ask, bytes, None]


class Speaker:
    """A driver without a transport."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._session = conversation.session
        self._stage = Stage.GREETING
        # Of the exchange that is being held: what it says, whether it waits for
        # every reply first, and whether it has said all.
        self._steps: Commands
        self._waiting = self._over = False

    def run(self) -> Drive:
        """Hold all of it."""
        exchanges = self._conversation.exchanges()
        exchange = next(exchanges)
        while True:
            ending = yield from self._attempt(exchange)
            try:
                exchange = exchanges.send(ending)
            except StopIteration:
                return

    def _attempt(self, exchange: Exchange) -> Generator[bytes | Ask, bytes, Ending]:
        """Hold one exchange, and tell how it ended."""
        told = None
        try:
            yield from self._hold(exchange)
        except (NotDelivered, RemoteProtocolError) as error:
            told = problem(error, stage=self._stage)
        return Ending(told, self._stage)

    def _hold(self, exchange: Exchange) -> Drive:
        """Hold one exchange, as a driver does, but for who reads and writes."""
        session = self._session
        self._steps = exchange.commands(session)
        self._waiting = self._over = False
        while True:
            if session.awaited is not None:
                self._stage = STAGES[session.awaited.command.verb]
            event = session.next_event()
            if isinstance(event, Replied):
                (event.owner or exchange).replied(event.command, event.reply)
                continue
            if event is LOST:
                raise ConnectionLost("the server hung up", stage=self._stage)
            if event is not NEED_DATA:
                return
            self._waiting = self._waiting and session.awaited is not None
            flight = yield from self._speak(exchange)
            if session.awaited is not None:
                session.receive_data((yield flight))
            elif flight:
                yield flight  # the lone dot that LMTP does not answer
            else:
                return

    def _speak(self, exchange: Exchange) -> Generator[Ask, bytes, bytes]:
        """Give everything that may be said now."""
        session = self._session
        flight = b""
        answer: bytes | None = None
        while not (self._over or self._waiting) and session.may_continue:
            step = _next(self._steps, answer)
            answer = answer_to(step)
            if isinstance(step, Command) and session.may_send(step):
                flight += session.send(step, exchange)
            elif step is UPGRADE:
                yield UPGRADE
                session.secured()
            elif step is WAIT:
                self._waiting = session.awaited is not None
            else:
                self._over = answer is None
        return flight


def _next(steps: Commands, answer: bytes | None) -> Step | None:
    try:
        return next(steps) if answer is None else steps.send(answer)
    except StopIteration:
        return None
