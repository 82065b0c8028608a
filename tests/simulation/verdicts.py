"""What must be told of each message, by what was read and written before a fault.

Nothing here asks the client. A recipient is decided by one reply; who is decided
before the fault stays so. Of the others it is unknown what became of them if the
write that ends the mail data had begun, and else they have nothing sent to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from esmtp_async.protocol import Stage, Verb
from tests.client.telling import ended_early, raised
from tests.playing import (
    Account,
    Said,
    accounts,
    beginnings,
    by_message,
    said_in_flights,
)
from tests.transcript import Flight, Transcript

_ENDS: Final = {Verb.CONTENT, Verb.LAST}
_MAIL_DATA: Final = {*_ENDS, Verb.BDAT}
_BREAKS: Final = {"ConnectionLost", "StageTimeout"}
_BROKEN_TLS: Final = {"ConnectionLost", "ProtocolViolation"}
#: What refuses to open a session, by stage.
_OPENING: Final = {
    "greeting": "GreetingRefused",
    "hello": "HelloRefused",
    "starttls": "TLSFailed",
    "auth": "AuthenticationFailed",
}


@dataclass(frozen=True)
class Point:
    """How far a conversation has come when it ends."""

    #: The last flight of which the client has handed over anything.
    flight: int
    #: How many octets of the answer to it the client has read.
    offset: int
    #: Whether all of the flight was handed over.
    whole: bool = True


class Cause(NamedTuple):
    """Why it ends."""

    #: The name of the error, if nothing more is known than that it ended.
    error: str
    #: The code of a last reply that shuts the session down.
    code: str = "-"


class Fate(NamedTuple):
    """What becomes of a message."""

    #: What the client reports: the error, what caused it, each recipient.
    lines: list[str]
    #: Whether it goes out, or once more, over another connection.
    fresh: bool

    @property
    def accepted(self) -> list[str]:
        """Who gets it."""
        told = accounts(self.lines)
        return [each.address for each in told if each.outcome == "ACCEPTED"]


class _Answer(NamedTuple):
    """A reply of a transcript: what it answers, and where it ends."""

    flight: int
    end: int
    said: Said
    code: str

    @property
    def refused(self) -> bool:
        return self.code[0] in "45"


class Oracle:
    """Foretells what a client tells of a transcript that does not come to its end."""

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript
        self._said = [*said_in_flights(transcript)]
        self._answers = [*_answers(transcript, self._said)]
        self._tried = by_message(transcript)

    @cached_property
    def _begins(self) -> list[int | None]:
        """With which flight each message begins; None where nothing is said of it."""
        starts = beginnings(self._said)
        return [
            None if "NotSupported" in lines[0] else next(starts)
            for lines in self._tried
        ]

    @cached_property
    def _leave(self) -> int:
        """The flight that says QUIT, or would."""
        leaves = self.transcript.flights[-1].said == b"QUIT\r\n"
        return len(self._said) - leaves

    def message_at(self, flight: int) -> int | None:
        """Tell to which message a flight belongs; the opening belongs to none."""
        number = None
        for index, begin in enumerate(self._begins):
            if begin is not None and begin <= flight:
                number = index
        return number

    def over(self) -> Point:
        """Give the point at which all has gone well."""
        return Point(len(self._said), 0)

    def completes(self, flight: int, offset: int) -> bool:
        """Tell whether a reply ends there."""
        return any(a.flight == flight and a.end == offset for a in self._answers)

    def uploads(self, flight: int) -> bool:
        """Tell whether a flight is what follows DATA."""
        return self._said[flight][-1].verb is Verb.CONTENT

    def is_last_word(self, flight: int, offset: int) -> bool:
        """Tell whether nothing is read behind the octets of an answer so far."""
        answers = [a for a in self._answers if (a.flight, a.end) == (flight, offset)]
        return flight >= self._leave or any(a.code == "421" for a in answers)

    def foretell(self, point: Point, cause: Cause) -> list[Fate]:
        """Tell the fate of each message."""
        messages = range(len(self.transcript.messages))
        if point.flight >= self._leave:
            return [self.undisturbed(number) for number in messages]
        hit = self.message_at(point.flight)
        if hit is None:
            first = Fate(self._unopened(point, cause), fresh=False)
            return [first, *map(self._fresh, messages[1:])]
        return [
            *map(self.undisturbed, messages[:hit]),
            self._hit(hit, point, cause),
            *map(self._fresh, messages[hit + 1 :]),
        ]

    def unsecured(self, error: str) -> list[Fate]:
        """Tell what comes of a TLS handshake that fails as the first message waits."""
        first = self._all(error, "-", Stage.TLS.value, temporary=True)
        others = range(1, len(self.transcript.messages))
        return [Fate(first, fresh=False), *map(self._fresh, others)]

    def recipients(self, number: int, point: Point, left: str) -> list[str]:
        """Tell what becomes of each recipient; `left` of those not sent to."""
        ends = {command.verb for command in self._said[point.flight]} & _ENDS
        if ends and point.whole:
            left = "UNKNOWN - final"
        read = (point.flight, point.offset)
        lines = []
        for account, answer in self._decisions(number):
            known = answer is not None and (answer.flight, answer.end) <= read
            kept = known or account.stage == "local"
            lines.append(
                str(account) if kept else f"= {account.address} {left} temporary"
            )
        return lines

    def undisturbed(self, number: int) -> Fate:
        """Tell what the transcript itself tells, if it was played so far."""
        if number >= len(self._tried):
            if not self._tried and number == 0:
                return Fate(self._refused_at_once(), fresh=False)
            return self._fresh(number)
        lines = self._tried[number]
        if number and ended_early(lines):
            return self._fresh(number)
        told = [
            line.replace("RemoteProtocolError", "ProtocolViolation") for line in lines
        ]
        return Fate(raised(told) + _recipients(told), fresh=False)

    def _fresh(self, number: int) -> Fate:
        """Tell what becomes of it at a server that takes everything."""
        tried = self._tried[number] if number < len(self._tried) else []
        if tried and "NotSupported" in tried[0]:
            return self.undisturbed(number)
        local = {a.address: str(a) for a in accounts(tried) if a.stage == "local"}
        return Fate(
            [
                local.get(r.address, f"= {r.address} ACCEPTED 250 final")
                for r in self.transcript.messages[number].recipients
            ],
            fresh=True,
        )

    def _hit(self, number: int, point: Point, cause: Cause) -> Fate:
        if number and self._may_go_again(number, point, cause):
            return self._fresh(number)
        if self._goes_another_way(number, point, cause):
            return self._fresh(number)
        stage = self._stage(point)
        if cause.code != "-":
            left = f"REFUSED {cause.code} {stage}"
        else:
            stage = stage if point.whole else self._unwritten(point.flight, stage)
            left = f"NOT_SENT - {stage}"
        lines = self.recipients(number, point, left)
        if cause.code != "-":
            lines = [
                line.replace("UNKNOWN - final", f"REFUSED {cause.code} {stage}")
                for line in lines
            ]
        return Fate(raised([f"! {cause.error} - {stage}", *lines]) + lines, fresh=False)

    def _unwritten(self, flight: int, stage: str) -> str:
        return Stage.CONTENT.value if self.uploads(flight) else stage

    def _may_go_again(self, number: int, point: Point, cause: Cause) -> bool:
        """Tell whether a connection that had a message before may just be replaced.

        It may have died at any time since; it must not be the message's doing.
        """
        flights = self._flights(number, point)
        said = {command.verb for flight in flights for command in self._said[flight]}
        return (
            cause.error != "StageTimeout"
            and not self._is_refused(flights, point)
            and not said & _MAIL_DATA
        )

    def _goes_another_way(self, number: int, point: Point, cause: Cause) -> bool:
        """Tell whether the server may have broken on a way that it never bore before.

        Then the message goes once more without, unless it may have been taken.
        """
        flights = self._flights(number, point)
        if (
            any(begin is not None for begin in self._begins[:number])
            or cause.code != "-"
            or cause.error not in _BREAKS
            or self._is_refused(flights, point)
        ):
            return False
        groups = [[each.verb for each in self._said[flight]] for flight in flights]
        said = {verb for group in groups for verb in group}
        if not said & _MAIL_DATA:
            return any(len(group) > 1 for group in groups)
        stage = self._stage(point)
        if not point.whole:
            stage = self._unwritten(point.flight, stage)
        may_be_taken = point.whole and not _ENDS.isdisjoint(groups[-1])
        by_data = Verb.DATA in said
        stalled = cause.error == "StageTimeout" and stage == Stage.CONTENT.value
        is_stream = self.transcript.messages[number].stream
        return not (by_data or may_be_taken or stalled or is_stream)

    def _flights(self, number: int, point: Point) -> range:
        """Give the flights of a message up to a point."""
        begin = self._begins[number]
        assert begin is not None
        return range(begin, point.flight + 1)

    def _is_refused(self, flights: range, point: Point) -> bool:
        return any(
            answer.refused
            for answer in self._answers
            if answer.flight in flights
            and (answer.flight, answer.end) <= (point.flight, point.offset)
        )

    def _unopened(self, point: Point, cause: Cause) -> list[str]:
        stage = self._stage(point)
        error, temporary = cause.error, True
        if cause.code != "-":
            error = _OPENING[stage]
        elif stage == "starttls" and error in _BROKEN_TLS:
            temporary = error == "ConnectionLost"
            error = "TLSFailed"
        return self._all(error, cause.code, stage, temporary=temporary)

    def _refused_at_once(self) -> list[str]:
        """Tell what comes of an opening that fails as the transcript has it."""
        [line] = self.transcript.outcomes
        _, error, code, stage = line.split()
        if error == "RemoteProtocolError":
            error = "TLSFailed" if stage == "starttls" else "ProtocolViolation"
        lasting = code[0] == "5" or (code == "-" and error == "TLSFailed")
        return self._all(error, code, stage, temporary=not lasting)

    def _all(self, error: str, code: str, stage: str, *, temporary: bool) -> list[str]:
        why = f"{code} {stage}" + temporary * " temporary"
        everybody = self.transcript.messages[0].recipients
        lines = [f"= {recipient.address} NOT_SENT {why}" for recipient in everybody]
        return [f"! {error} {code} {stage}", *lines]

    def _stage(self, point: Point) -> str:
        """Tell which reply is awaited; behind the last one, which came last."""
        said = self._said[point.flight]
        read = sum(
            answer.flight == point.flight and answer.end <= point.offset
            for answer in self._answers
        )
        return said[min(read, len(said) - 1)].stage.value

    def _decisions(self, number: int) -> Iterator[tuple[Account, _Answer | None]]:
        """Give each recipient with the reply that decides for it."""
        begin = self._begins[number]
        later = [b for b in self._begins[number + 1 :] if b is not None]
        end = later[0] if later else self._leave
        answers = [
            answer
            for answer in self._answers
            if begin is not None and begin <= answer.flight < end
        ]
        asked = iter([a for a in answers if a.said.verb is Verb.RCPT])
        finals = [a for a in answers if a.said.verb in _ENDS]
        each = iter(finals) if self.transcript.lmtp else None
        for account in accounts(self._tried[number]):
            answer = None if account.stage == "local" else next(asked, None)
            taken = answer is not None and not answer.refused
            final = next(each, None) if each is not None and taken else None
            if each is None and finals:
                final = finals[0]
            yield account, _deciding(account, answers, answer, final)


def _deciding(
    account: Account,
    answers: list[_Answer],
    rcpt: _Answer | None,
    final: _Answer | None,
) -> _Answer | None:
    if account.outcome in {"NOT_SENT", "UNKNOWN"}:
        return None
    if account.code == "421":
        return next(answer for answer in answers if answer.code == "421")
    if account.stage == "rcpt":
        return rcpt
    if account.stage == "final":
        return final
    return next(
        (
            answer
            for answer in answers
            if answer.said.stage.value == account.stage and answer.refused
        ),
        None,
    )


def _recipients(lines: list[str]) -> list[str]:
    return [line for line in lines if line[0] == "="]


def _answers(transcript: Transcript, said: list[list[Said]]) -> Iterator[_Answer]:
    for index, flight in enumerate(transcript.flights):
        commands = said[index]
        for number, (end, code) in enumerate(_replies(flight)):
            command = commands[min(number, len(commands) - 1)]
            yield _Answer(index, end, command, code)


def _replies(flight: Flight) -> Iterator[tuple[int, str]]:
    """Give where each reply ends, and its code."""
    end = 0
    for line in flight.heard:
        end += len(line)
        if line[3:4] != b"-":
            yield end, line[:3].decode()
