"""The client's part of a transcript: what it wants to say, and what it is told of it.

Which exchanges are held, and in which order, is the same whoever reads and writes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Mapping
from typing import Final, NamedTuple

from esmtp_async.protocol import (
    CramMD5,
    Envelope,
    Exchange,
    External,
    Inquiry,
    Login,
    MailData,
    Mechanism,
    Opening,
    Plain,
    Quit,
    RecipientResult,
    Reply,
    Session,
    Stage,
    StartTLSPolicy,
    State,
    Transaction,
    Vrfy,
)
from esmtp_async.protocol._exceptions import SMTPError
from tests.transcript import Message, Transcript

_MECHANISMS: Final[Mapping[str, Callable[..., Mechanism]]] = {
    "PLAIN": Plain,
    "LOGIN": Login,
    "CRAM-MD5": CramMD5,
    "EXTERNAL": External,
}


class Ending(NamedTuple):
    """How an exchange ended."""

    #: What `problem` makes of the error; None where there was none.
    problem: str | None
    stage: Stage


class Conversation:
    """Opening, transactions and QUIT, for whoever holds them over one session."""

    def __init__(self, transcript: Transcript) -> None:
        self.session = Session(lmtp=transcript.lmtp, pipelining=transcript.pipelining)
        #: What came of it, written as in a transcript.
        self.outcomes: list[str] = []
        self._transcript = transcript

    def exchanges(self) -> Generator[Exchange, Ending, None]:
        """Yield each exchange to be held; is sent how it ended."""
        transcript, session = self._transcript, self.session
        opening = Opening(
            transcript.client,
            lmtp=transcript.lmtp,
            starttls=StartTLSPolicy(transcript.starttls),
            mechanisms=mechanisms(transcript),
            allow_plaintext_auth=transcript.allow_plaintext_auth,
        )
        if not self._note((yield opening)):
            if transcript.verify:
                self._note((yield Inquiry(Vrfy(transcript.verify))))
            for message in transcript.messages:
                if session.state is not State.CLOSED:
                    yield from self._convey(message)
        if session.may_send(Quit()):
            self._note((yield Inquiry(Quit())))

    def _convey(self, message: Message) -> Generator[Exchange, Ending, None]:
        envelope = Envelope.of(message.sender, message.recipients)
        transaction = Transaction(
            envelope._replace(parameters=tuple(message.parameters)),
            MailData(blocks=Lines(message), binary=message.binary)
            if message.stream
            else MailData(message.octets, binary=message.binary),
            all_or_nothing=message.all_or_nothing,
            eager=message.eager,
        )
        ending = yield transaction
        self._note(ending)
        in_doubt = self.session.in_doubt(transaction)
        results = transaction.results(in_doubt=in_doubt, stage=ending.stage)
        self.outcomes.extend(map(account, results))

    def _note(self, ending: Ending) -> str | None:
        if ending.problem is not None:
            self.outcomes.append(ending.problem)
        return ending.problem


def mechanisms(transcript: Transcript) -> tuple[Mechanism, ...]:
    """Give the mechanisms that the client is told to authenticate by."""
    if not transcript.auth:
        return ()
    name, *credentials = transcript.auth
    return (_MECHANISMS[name](*credentials),)


class Lines(AsyncIterator[bytes]):
    """A message as a stream: line by line. Left unfinished, it needs no closing."""

    def __init__(self, message: Message) -> None:
        self._lines = iter(message.lines)

    async def __anext__(self) -> bytes:
        for line in self._lines:
            return line
        raise StopAsyncIteration


def problem(error: Exception, *, stage: Stage | None = None) -> str:
    """Write an error as a transcript does; `stage` where it has none of its own."""
    reply = None
    if isinstance(error, SMTPError):
        reply, stage = error.reply, error.stage
    return f"! {type(error).__name__} {_code(reply)} {stage and stage.value}"


def account(result: RecipientResult) -> str:
    """Write what became of a recipient as a transcript does."""
    return (
        f"= {result.address} {result.outcome.name} {_code(result.reply)} "
        f"{result.stage.value}{' temporary' if result.temporary else ''}"
    )


def _code(reply: Reply | None) -> str:
    return "-" if reply is None else str(reply.code)
