"""Conversations written down turn by turn, and held without a transport.

`|` stands for CRLF, so `"MAIL FROM:<>|RCPT TO:<bob@example.test>"` is two
lines; bytes are taken as they are. A server that says nothing has closed.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, NamedTuple

from esmtp_async.protocol import (
    NEED_DATA,
    PAUSE,
    UPGRADE,
    WAIT,
    Command,
    Compute,
    Exchange,
    Fetch,
    OnBehalfOf,
    Opening,
    Replied,
    Session,
    Stage,
    Transaction,
)
from esmtp_async.protocol._events import Owner
from esmtp_async.protocol._exchange import OutOfTurn


class Turn(NamedTuple):
    """What the client says in one flight, and what the server answers to it."""

    client: str | bytes
    server: str | bytes


EHLO: Final = "EHLO client.test"
GREETING: Final = Turn("", "220 mail.example.test")


def hello(*offers: str) -> Turn:
    """EHLO, answered with these extensions and one that means nothing."""
    return Turn(EHLO, "|250-".join(("250-mail.example.test", *offers)) + "|250 X")


def octets(said: str | bytes) -> bytes:
    """Give the octets of one side of a turn."""
    if isinstance(said, bytes) or not said:
        return said if isinstance(said, bytes) else b""
    return said.replace("|", "\r\n").encode() + b"\r\n"


def converse(session: Session, exchange: Exchange, *turns: Turn) -> list[bytes]:
    """Hold a conversation; the client must say its side of it, all and only that.

    Gives what the client said, command by command. Raises what the exchange and
    the session raise.
    """
    said: list[bytes] = []
    remaining = list(turns)
    try:
        _drive(session, exchange, remaining, said)
    finally:
        assert not remaining, f"the client never came to say {remaining}"
    return said


def _drive(
    session: Session, exchange: Exchange, turns: list[Turn], said: list[bytes]
) -> None:
    speaking = _Speaking(session, exchange)
    while True:
        event = session.next_event()
        if isinstance(event, Replied):
            (event.owner or exchange).replied(event.command, event.reply)
            continue
        if event is not NEED_DATA:
            return
        commands = speaking.speak()
        said += commands
        flight = b"".join(commands)
        if not (flight or session.outstanding):
            return
        assert turns, f"{flight!r} was said, which nobody foresaw"
        turn = turns.pop(0)
        expected = octets(turn.client)
        assert flight == expected, f"{flight!r} was said, not {expected!r}"
        session.receive_data(octets(turn.server))


class _Speaking:
    """Pulls out of an exchange what it has to say."""

    def __init__(self, session: Session, exchange: Exchange) -> None:
        self._session = session
        self._steps = exchange.commands(session)
        self._speaker: Owner = exchange
        self._waiting = self._over = self._out_of_turn = False

    def speak(self) -> list[bytes]:
        """Give what may be said now, command by command."""
        session = self._session
        said: list[bytes] = []
        answer: bytes | None = None
        self._waiting = self._waiting and bool(session.outstanding)
        while not (self._over or self._waiting) and session.may_continue:
            step = self._next(answer)
            answer = answer_to(step)
            if isinstance(step, Command):
                if session.may_send(step):
                    said.append(session.send(step, self._speaker))
                else:
                    self._out_of_turn = True
            elif isinstance(step, OnBehalfOf):
                self._speaker = step.owner
            elif step is PAUSE:
                break
            elif answer is None:
                self._halt(step)
            elif step is UPGRADE:
                session.secured()
        return said

    def _next(self, answer: bytes | None) -> object:
        try:
            if self._out_of_turn:
                self._out_of_turn = False
                return self._steps.throw(OutOfTurn)
            return next(self._steps) if answer is None else self._steps.send(answer)
        except (StopIteration, OutOfTurn):
            return None

    def _halt(self, step: object) -> None:
        if step is WAIT:
            self._waiting = bool(self._session.outstanding)
        else:
            self._steps.close()
            self._over = True


def answer_to(step: object) -> bytes | None:
    """Give what is asked for beside commands; None for all that has no answer."""
    if isinstance(step, Fetch):
        return finished(step.call())
    if isinstance(step, Compute):
        return step.call()
    return b"" if step is UPGRADE else None


def finished(awaitable: Awaitable[bytes]) -> bytes:
    """Give the result of something that never has to wait."""
    try:
        next(awaitable.__await__())
    except StopIteration as end:
        return bytes(end.value)
    msg = "it waits"
    raise AssertionError(msg)


def ready(*offers: str, lmtp: bool = False, pipelining: bool = True) -> Session:
    """Give a session behind its greeting and EHLO, with these extensions offered."""
    session = Session(lmtp=lmtp, pipelining=pipelining)
    opening = Opening("client.test", lmtp=lmtp)
    offer = hello(*offers, *(["PIPELINING"] if pipelining else []))
    line = "LHLO client.test" if lmtp else EHLO
    converse(session, opening, GREETING, Turn(line, offer.server))
    return session


def accounts(
    session: Session, transaction: Transaction, *, stage: Stage = Stage.COMMAND
) -> list[str]:
    """Give what became of each recipient: who, outcome, code, stage, temper."""
    results = transaction.results(in_doubt=session.in_doubt(transaction), stage=stage)
    return [
        f"{result.address.partition('@')[0]} {result.outcome.name} "
        f"{result.reply.code if result.reply else '-'} {result.stage.name}"
        f"{' temporary' if result.temporary else ''}"
        for result in results
    ]
