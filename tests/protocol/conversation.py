"""The conversation of a transcript, held by the sans-IO protocol alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Mapping
from typing import Final

from esmtp_async.protocol import (
    LOST,
    NEED_DATA,
    UPGRADE,
    WAIT,
    Ask,
    Command,
    Compute,
    Envelope,
    Exchange,
    Fetch,
    Inquiry,
    Login,
    MailData,
    Mechanism,
    Opening,
    Plain,
    Quit,
    RemoteProtocolError,
    Replied,
    Reply,
    Session,
    Stage,
    StartTLSPolicy,
    Transaction,
)
from esmtp_async.protocol._commands import STAGES
from esmtp_async.protocol._exceptions import ConnectionLost, NotDelivered
from esmtp_async.protocol._exchange import Commands
from tests.protocol.dialogue import answer_to
from tests.transcript import Message, Transcript

_MECHANISMS: Final[Mapping[str, Callable[[str, str], Mechanism]]] = {
    "PLAIN": Plain,
    "LOGIN": Login,
}

#: Yields what is written at once, or `UPGRADE`; is sent what is read then, and
#: nothing at the end of the server's stream.
Drive = Generator[bytes | Ask, bytes, None]


class Conversation:
    """Opening, transactions and QUIT over one session, without a transport."""

    def __init__(self, transcript: Transcript) -> None:
        self.session = Session(lmtp=transcript.lmtp, pipelining=transcript.pipelining)
        #: What came of it, written as in a transcript.
        self.outcomes: list[str] = []
        self._transcript = transcript
        self._stage = Stage.GREETING
        # Of the exchange that is being held: what it says, whether it waits for
        # every reply first, and whether it has said all.
        self._steps: Commands
        self._waiting = self._over = False

    def run(self) -> Drive:
        """Hold all of it; what it ends with stands in `outcomes`."""
        transcript = self._transcript
        opening = Opening(
            transcript.client,
            lmtp=transcript.lmtp,
            starttls=StartTLSPolicy(transcript.starttls),
            mechanisms=_mechanisms(transcript),
            allow_plaintext_auth=transcript.allow_plaintext_auth,
        )
        if (yield from self._attempt(opening)):
            for message in transcript.messages:
                yield from self._convey(message)
        if self.session.may_send(Quit()):
            yield from self._attempt(Inquiry(Quit()))

    def _convey(self, message: Message) -> Drive:
        envelope = Envelope.of(message.sender, message.recipients)
        transaction = Transaction(
            envelope._replace(parameters=tuple(message.parameters)),
            MailData(blocks=_blocks(message))
            if message.stream
            else MailData(message.octets),
            all_or_nothing=message.all_or_nothing,
            eager=message.eager,
        )
        yield from self._attempt(transaction)
        in_doubt = self.session.in_doubt(transaction)
        for result in transaction.results(in_doubt=in_doubt, stage=self._stage):
            self.outcomes.append(
                f"= {result.address} {result.outcome.name} {_code(result.reply)} "
                f"{result.stage.value}{' temporary' if result.temporary else ''}"
            )

    def _attempt(self, exchange: Exchange) -> Generator[bytes | Ask, bytes, bool]:
        """Hold one exchange, and tell whether nothing went wrong."""
        try:
            yield from self._hold(exchange)
        except NotDelivered as error:
            problem = f"{type(error).__name__} {_code(error.reply)} {error.stage.value}"
        except RemoteProtocolError as error:
            problem = f"{type(error).__name__} - {self._awaited_stage.value}"
        else:
            return True
        self.outcomes.append(f"! {problem}")
        return False

    def _hold(self, exchange: Exchange) -> Drive:
        """Hold one exchange, as a driver does, but for who reads and writes."""
        session = self.session
        self._steps = exchange.commands(session)
        self._waiting = self._over = False
        while True:
            event = session.next_event()
            if isinstance(event, Replied):
                self._take(event, exchange)
                continue
            if event is LOST:
                raise ConnectionLost("the server hung up", stage=self._awaited_stage)
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
        session = self.session
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

    def _take(self, event: Replied, exchange: Exchange) -> None:
        if event.command is not None:
            self._stage = STAGES[event.command.verb]
        (event.owner or exchange).replied(event.command, event.reply)

    @property
    def _awaited_stage(self) -> Stage:
        """Where the reply that comes next belongs."""
        if self.session.awaited is not None:
            self._stage = STAGES[self.session.awaited.command.verb]
        return self._stage


def _mechanisms(transcript: Transcript) -> tuple[Mechanism, ...]:
    if not transcript.auth:
        return ()
    name, username, password = transcript.auth
    return (_MECHANISMS[name](username, password),)


async def _blocks(message: Message) -> AsyncIterator[bytes]:
    for line in message.lines:
        yield line


def _next(
    steps: Commands, answer: bytes | None
) -> Command | Ask | Fetch | Compute | None:
    try:
        return next(steps) if answer is None else steps.send(answer)
    except StopIteration:
        return None


def _code(reply: Reply | None) -> str:
    return "-" if reply is None else str(reply.code)
