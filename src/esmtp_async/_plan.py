"""What would be said to a server: a message's conversation, held with nobody."""

from __future__ import annotations

from typing import NamedTuple

from esmtp_async._delivery import at_once
from esmtp_async._messages import Outgoing
from esmtp_async.protocol import _needs as needs
from esmtp_async.protocol._asks import WAIT, Fetch
from esmtp_async.protocol._commands import Command, Ehlo, Helo, Lhlo
from esmtp_async.protocol._envelope import Envelope
from esmtp_async.protocol._events import Replied
from esmtp_async.protocol._exceptions import NotSupported
from esmtp_async.protocol._exchange import Commands, Exchange
from esmtp_async.protocol._session import Session
from esmtp_async.protocol._transaction import Transaction
from esmtp_async.protocol._verbs import Verb
from esmtp_async.protocol._ways import CHUNKS, EAGER, GROUPS

#: Stands for the blocks of a stream, which is not read for a plan.
_BLOCKS = "<mail data, as they are read>"


class Problem(NamedTuple):
    """What the server lacks, and who would not get the message for it."""

    #: Their addresses.
    recipients: tuple[str, ...]
    #: The extension, by its keyword.
    extension: str
    #: What `NotSupported` would say.
    why: str


class Plan(NamedTuple):
    """What sending a message would come to, if every reply were the good one."""

    #: The address of the reverse-path; empty for the null one.
    sender: str
    #: Those of the forward-paths, each once.
    recipients: tuple[str, ...]
    #: Octets of the mail data as SIZE counts them; None where that is not known.
    size: int | None
    #: The extensions that the message cannot do without, in the form it would take.
    needs: frozenset[str]
    #: Those that are preferred and not offered, so that less would be asked for.
    left_out: frozenset[str]
    #: What would be refused before MAIL, and why.
    problems: tuple[Problem, ...]
    #: The commands as they can be shown, in groups: one write and one round trip each.
    flights: tuple[tuple[str, ...], ...]

    @property
    def round_trips(self) -> int:
        """How often the server must be waited for."""
        return len(self.flights)


def plan(
    outgoing: Outgoing,
    session: Session,
    *,
    ways: int,
    all_or_nothing: bool,
) -> Plan:
    """Tell what sending a message in a session would come to; nothing is sent."""
    envelope = outgoing.envelope
    content = outgoing.mail_data(session.extensions)
    mailbox = envelope.reverse_path.mailbox
    problems = _problems(envelope, session)
    left_out = frozenset[str]()
    flights: list[tuple[str, ...]] = []
    try:
        most = at_once(
            len(envelope.recipients), session.extensions, all_or_nothing=all_or_nothing
        )
        for part in _parts(envelope, most):
            transaction = Transaction(
                part,
                content,
                all_or_nothing=all_or_nothing,
                eager=ways & EAGER != 0,
                chunks=ways & CHUNKS != 0,
            )
            other = _like(session, pipelining=ways & GROUPS != 0)
            flights += rehearse(transaction, other)
            left_out |= transaction.left_out
    except NotSupported as error:
        flights.clear()
        if not any(problem.why == str(error) for problem in problems):
            everybody = tuple(each.address for each in envelope.recipients)
            problems.append(Problem(everybody, error.extension, str(error)))
    return Plan(
        sender="" if mailbox is None else str(mailbox),
        recipients=tuple(each.address for each in envelope.recipients),
        size=content.size,
        needs=needs.needed(envelope, content),
        left_out=left_out,
        problems=tuple(problems),
        flights=tuple(flights),
    )


def _problems(envelope: Envelope, session: Session) -> list[Problem]:
    """Tell what single recipients need and the server lacks."""
    problems: list[Problem] = []
    for each in envelope.recipients:
        try:
            needs.rcpt(each, session, envelope.preferred)
        except NotSupported as error:
            problems.append(Problem((each.address,), error.extension, str(error)))
    return problems


def _parts(envelope: Envelope, most: int) -> list[Envelope]:
    everybody = envelope.recipients
    starts = range(0, len(everybody), most)
    return [
        envelope._replace(recipients=everybody[start : start + most])
        for start in starts
    ]


def _like(session: Session, *, pipelining: bool) -> Session:
    """Give another session in which the server has offered the same."""
    other = Session(lmtp=session.lmtp, tls=session.tls, pipelining=pipelining)
    offers = [
        f"{keyword} {parameters}".rstrip()
        for keyword, parameters in session.extensions.items()
    ]
    hello = Lhlo if session.lmtp else Ehlo if offers else Helo
    _answered(other, "220 ready")
    other.send(hello("localhost"))
    *lines, last = ("ready", *offers)
    _answered(other, *(f"250-{line}" for line in lines), f"250 {last}")
    other.peer.authenticated = session.peer.authenticated
    return other


def _answered(session: Session, *lines: str) -> Replied:
    """Answer what is awaited; give the event."""
    session.receive_data("".join(f"{line}\r\n" for line in lines).encode())
    event = session.next_event()
    if not isinstance(event, Replied):
        msg = f"{lines} is no reply"
        raise TypeError(msg)
    return event


def rehearse(exchange: Exchange, session: Session) -> list[tuple[str, ...]]:
    """Hold an exchange with a server that answers everything well; give its flights."""
    steps = exchange.commands(session)
    flights: list[tuple[str, ...]] = []
    is_over = False
    while not is_over:
        flight, is_over = _flight(steps, session)
        if flight:
            flights.append(tuple(flight))
        while (awaited := session.awaited) is not None:
            go_on = awaited.command.verb is Verb.DATA
            event = _answered(session, "354 go on" if go_on else "250 ok")
            exchange.replied(event.command, event.reply)
    return flights


def _flight(steps: Commands, session: Session) -> tuple[list[str], bool]:
    """Say all that may be said at once; give it, and whether that is all."""
    flight: list[str] = []
    while session.may_continue:
        try:
            step = next(steps)
            while isinstance(step, Fetch):
                flight.append(_BLOCKS)
                step = steps.send(b"")  # they are not read
        except StopIteration:
            return flight, True
        if step is WAIT and session.awaited is not None:
            break
        if isinstance(step, Command):
            session.send(step)
            flight.append(str(step))
    return flight, False
