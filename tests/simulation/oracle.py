"""What must hold after every session, by the ledger and by the octets that passed."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from tests.simulation.attempt import Attempt
from tests.simulation.faults import Kind
from tests.simulation.plan import Letter
from tests.simulation.reading import TOLERANCE, Reading
from tests.simulation.session import LAST, Course, Run, Told

#: Seconds that a call may take to clean up behind its own time limit.
_GRACE: Final = 0.1
#: What is told where the limit of the final reply ended a call.
_GIVEN_UP: Final = re.compile(r"no progress within .* \(stage: final\)")
#: Outcome to how often the ledger has the message, where nobody lied.
_LEDGER: Final = {"ACCEPTED": 1, "REFUSED": 0, "NOT_SENT": 0}


def problems(run: Run) -> list[str]:
    """Name every promise that was broken; none if all was well."""
    if run.hung:
        return ["the session hangs"]
    if run.crash:
        return [f"the session failed: {run.crash}"]
    return [*_Audit(run)]


class _Audit:
    def __init__(self, run: Run) -> None:
        self._run = run
        plan = run.plan
        # A sender to the batch that the message is of; those of `send` have none.
        self._courses = {
            told.letter.sender: course for course in run.courses for told in course.told
        }
        # A sender to the call that sends the message.
        self._calls = {
            told.letter.sender: id(self._courses.get(told.letter.sender, told))
            for told in run.told
        }
        self._readings = [
            Reading(line.record, plan.timeouts, self._calls, lmtp=plan.lmtp)
            for line in run.lines
        ]
        # Where a reply was made up, or left out, what the client read decides alone.
        self._mute = any(rule.silent and not rule.close for rule in plan.rules)
        self._lied = self._mute or any(line.forged for line in run.lines)
        self._stored = Counter(
            (message.reverse_path, recipient.path)
            for message in run.messages
            # What is said to nobody, as RFC 2920 §3.1 has it, somebody may get if he
            # was accepted and the client cannot know.
            if message.content or not self._lied
            for recipient in message.recipients
        )

    def __iter__(self) -> Iterator[str]:
        for number, reading in enumerate(self._readings):
            for problem in reading.problems:
                yield f"connection {number}: {problem}"
        yield from self._left_behind()
        yield from self._limits()
        for course in self._run.courses:
            for problem in self._course(course):
                yield f"batch: {problem}"
        for told in self._run.told:
            for problem in self._message(told):
                yield f"message {told.letter.number}: {problem}"
        yield from self._ledger()
        yield from self._last()

    def _left_behind(self) -> Iterator[str]:
        run = self._run
        for number, line in enumerate(run.lines):
            if not line.closed:
                yield f"connection {number} was left open"
        if run.counted:
            yield f"the pool still counts {run.counted}"
        if run.leaving > run.plan.timeouts.quit + _GRACE:
            yield f"it took {run.leaving:g} s to close the client"
        if run.tasks_left:
            yield f"{run.tasks_left} tasks were left behind"
        if run.violations and not self._lied:
            yield f"the server saw breaches: {run.violations}"

    def _limits(self) -> Iterator[str]:
        """See that no connection had more to carry than it may."""
        plan = self._run.plan
        for number, (line, reading) in enumerate(
            zip(self._run.lines, self._readings, strict=True)
        ):
            limits = {} if line.forged else reading.limits
            carried = [attempt for attempt in reading.attempts if attempt.sender]
            most = min(plan.max_messages or math.inf, limits.get("MAILMAX", math.inf))
            if len(carried) > most:
                yield f"connection {number} carried {len(carried)} messages"
            for attempt in carried:
                if len(attempt.recipients) > limits.get("RCPTMAX", math.inf):
                    yield f"connection {number}: too many recipients at once"

    def _course(self, course: Course) -> Iterator[str]:
        """See that a batch gave every result there was to give, in time."""
        batch, order = course.batch, course.order
        asked_for = [n for n, told in enumerate(course.told) if told.asked_for]
        if len(set(order)) < len(order) or not set(order).issubset(asked_for):
            yield f"the results {order} were given"
        if batch.ordered and order != [*range(len(order))]:
            yield f"the order was {order}"
        if course.how in {"all told", "source failed"}:
            if len(order) < len(asked_for):
                yield f"of {len(asked_for)} messages {len(order)} had a result"
            if asked_for != [*range(len(course.told))][: batch.fails]:
                yield f"only {asked_for} were asked for"
            if (batch.fails is not None) is not (course.how == "source failed"):
                yield f"the source fails: {batch.fails}; {course.how}"
        if course.ended > course.started + batch.patience + _GRACE:
            yield "its cancellation came through late"
        if course.left and course.ended > course.left + _GRACE:
            yield f"it took {course.ended - course.left} s to leave"
        yield from self._width(course)

    def _width(self, course: Course) -> Iterator[str]:
        """See that no more is under way at once than was wanted."""
        attempts = [a for told in course.told for a in self._attempts(told.letter)]
        for attempt in attempts:
            if attempt.beside > course.batch.window:
                yield f"{attempt.beside} were under way at once"
            beside = {a.line for a in attempts if a.since <= attempt.since < a.until}
            if len(beside) > course.batch.connections:
                yield f"{len(beside)} connections were used at once"

    def _attempts(self, letter: Letter) -> list[Attempt]:
        """Give the attempts at a message, in their order."""
        found = (
            attempt
            for reading in self._readings
            for attempt in reading.attempts
            if attempt.sender == letter.sender
        )
        return sorted(found, key=lambda attempt: attempt.since)

    def _message(self, told: Told) -> Iterator[str]:
        letter = told.letter
        attempts = self._attempts(letter)
        # Given up before it was looked at, it comes to nothing.
        given_up = told.how in {"cancelled", "given up"} and not attempts
        ends = {0} if told.how == "not asked for" else {0, 1} if given_up else {1}
        if len(told.finished) not in ends:
            yield f"its end was told {len(told.finished)} times"
            return
        outcomes = told.finished[0] if told.finished else {}
        if told.outcomes and told.outcomes != outcomes:
            yield f"{told.outcomes} was told, and by the event {outcomes}"
        yield from self._in_time(told, attempts)
        yield from self._retries(letter, attempts)
        carriers = {attempt.line for attempt in attempts}
        lied = self._mute or any(
            line.forged
            for line, reading in zip(self._run.lines, self._readings, strict=True)
            if reading in carriers
        )
        for recipient, (outcome, replied) in outcomes.items():
            allowed = self._allowed(letter, attempts, recipient, replied=replied)
            if outcome not in allowed:
                yield f"{recipient} was told {outcome}, not {' or '.join(allowed)}"
            stored = self._stored[letter.sender, recipient]
            if stored != _LEDGER.get(outcome, stored) and not lied:
                yield f"{recipient} was told {outcome}; the ledger has {stored}"
            if outcome == "NOT_SENT" and stored:
                yield f"{recipient} was told NOT_SENT; the ledger has it"

    def _in_time(self, told: Told, attempts: list[Attempt]) -> Iterator[str]:
        """See that nobody waited too long; nor too short for the final reply."""
        letter = told.letter
        if letter.timeout and told.ended > told.started + letter.timeout + _GRACE:
            yield f"it took {told.ended - told.started} s, not {letter.timeout}"
        if told.ended > told.started + letter.patience + _GRACE:
            yield "its cancellation came through late"
        # What was left for the reply that its last connection waited for.
        left = attempts[-1].line.left if attempts else 0.0
        if _GIVEN_UP.search(told.how) and left > TOLERANCE:
            yield f"given up {left:g} s too early"

    def _retries(self, letter: Letter, attempts: list[Attempt]) -> Iterator[str]:
        """See that nobody is asked for again but where that does no harm."""
        lost: list[int] = []
        for number, attempt in enumerate(attempts[:-1]):
            later = {path for a in attempts[number + 1 :] for path in a.recipients}
            again = later.intersection(attempt.recipients) - attempt.postponed
            if attempt.settled:
                if attempt.is_out_of_step:
                    continue  # the server may have broken on the way that it went
                if again or (letter.block is not None and attempt.begun):
                    yield "tried again, although all was answered"
            elif attempt.shutdown and not again and "RCPTMAX" in attempt.line.limits:
                pass  # 421 was the answer to these, and the others went on
            elif self._is_safer(attempts[number + 1], attempt):
                pass  # the server may have broken on the way that it went
            else:
                lost.append(number)
                if attempt.begun or attempt.refusals:
                    yield f"tried again, although {attempt.refusals or 'DATA'} was said"
                if attempt.line.head is attempt and attempt.line.ran_out:
                    yield "tried again, although its time was up"
        yield from self._tries(letter, attempts, lost)

    @staticmethod
    def _is_safer(attempt: Attempt, before: Attempt) -> bool:
        """Tell whether it goes without something that the one before broke on."""
        harmless = not (before.refusals or before.shutdown or before.committed)
        by_chunks = "chunks" in before.ways
        without = before.ways - attempt.ways or not attempt.ways
        return bool(harmless and without) and (by_chunks or not before.begun)

    def _tries(
        self, letter: Letter, attempts: list[Attempt], lost: list[int]
    ) -> Iterator[str]:
        """See that nobody tries too often; `lost` are those that came to nothing."""
        if letter.sender in self._courses:
            # Whose reply was awaited has one more try.
            for number in lost[1:]:
                if attempts[number].line.head is attempts[number]:
                    yield "tried once more, although it was not the first time"
        elif any(number + 1 in lost for number in lost):
            yield f"tried {len(attempts)} times"
        elif 0 in lost and self._is_alone(letter):
            yield "tried again, although that was no pooled connection's fault"

    def _allowed(
        self,
        letter: Letter,
        attempts: list[Attempt],
        recipient: str,
        *,
        replied: bool,
    ) -> set[str]:
        """Name the outcomes that may be told of a recipient."""
        allowed = {"NOT_SENT"}
        undecided = "NOT_SENT"
        for attempt in attempts:
            if recipient in attempt.recipients:
                outcome = attempt.outcome(recipient, lmtp=self._run.plan.lmtp)
                allowed = {undecided if outcome == "NOT_SENT" else outcome}
            elif "NOT_SENT" in allowed and (attempt.mail >= 400 or attempt.shutdown):
                # It was for others, or maybe, where not all may go at once.
                partial = attempt.recipients or "RCPTMAX" in attempt.line.limits
                allowed = allowed | {"REFUSED"} if partial else {"REFUSED"}
            again = attempt.shutdown and not (attempt.begun or attempt.refusals)
            pooled = attempt is not attempts[0] or not self._is_alone(letter)
            if again and pooled:
                allowed.add("NOT_SENT")  # no other connection was to be had
            if recipient in attempt.postponed:
                # There were too many, until another transaction says otherwise.
                undecided = "REFUSED"
        if "NOT_SENT" in allowed and (
            self._is_turned_away(letter) if replied else self._lacking(letter)
        ):
            allowed.add("REFUSED")
        return allowed

    def _is_alone(self, letter: Letter) -> bool:
        """Tell whether no connection can have been used before this message's."""
        return (
            len(self._run.plan.letters) == 1
            and letter not in LAST
            and letter.sender not in self._courses
        )

    def _is_turned_away(self, letter: Letter) -> bool:
        """Tell whether 421 may have answered the RSET that comes before its MAIL."""
        return letter.sender in self._courses and any(
            attempt.shutdown and not attempt.sender
            for reading in self._readings
            for attempt in reading.attempts
        )

    def _lacking(self, letter: Letter) -> bool:
        """Tell whether some server did not offer what the message needs."""
        size = len(letter.canonical)
        for reading in self._readings:
            names = {line.split(b" ")[0].upper(): line for line in reading.offers}
            digits = names.get(b"SIZE", b"").partition(b" ")[2]
            if (digits.isdigit() and 0 < int(digits) < size) or (
                not letter.octets.isascii() and b"8BITMIME" not in names
            ):
                return True
        return False

    def _ledger(self) -> Iterator[str]:
        committed = Counter(
            (attempt.sender, recipient)
            for reading in self._readings
            for attempt in reading.attempts
            for recipient in attempt.recipients
            if attempt.committed
        )
        for key, count in self._stored.items():
            # Who cannot know who was refused may ask for somebody twice.
            if count > (committed[key] if self._lied else 1):
                yield f"{key} is there {count} times"
        canonical = {
            told.letter.sender: told.letter.canonical for told in self._run.told
        }
        for message in self._run.messages:
            if not message.content and self._lied:
                continue  # what is said to nobody, as RFC 2920 §3.1 has it
            if message.content != canonical.get(message.reverse_path):
                yield f"the content of {message.reverse_path} was changed"

    def _last(self) -> Iterator[str]:
        """See that the client is as good as new."""
        for told in self._run.told:
            letter = told.letter
            if letter not in LAST:
                continue
            if told.how != "receipt":
                yield f"the fault-free message: {told.how}"
            for recipient in letter.recipients:
                if self._stored[letter.sender, recipient] != 1:
                    yield f"the fault-free message is not there for {recipient}"


def transcript(run: Run) -> str:
    """Show what passed, what struck, and what came of it."""
    plan = run.plan
    protocol = "LMTP" if plan.lmtp else "SMTP"
    offers = ", ".join(plan.extensions)
    shown = [
        f"seed {plan.seed}: {protocol} {plan.security} {plan.pipelining}; {offers}"
    ]
    shown += [f"  rule {rule}" for rule in plan.rules[1:]]
    shown += [f"  fault: {fault}, {fault.extent}" for fault in plan.faults]
    for number, line in enumerate(run.lines):
        shown.append(f"connection {number}")
        for what, entries in groupby(line.record, key=lambda entry: entry.what):
            alike = list(entries)
            octets = b"".join(entry.octets for entry in alike)
            shown.append(f"  {alike[0].time:9.2f} {what:6} {_shorten(octets)}")
    shown += [f"connections refused: {run.refused}"] * bool(run.refused)
    for told in run.told:
        letter = told.letter
        shown.append(
            f"message {letter.number}: {len(letter.octets)} octets,"
            f" {'whole' if letter.block is None else f'in blocks of {letter.block}'};"
            f" timeout {letter.timeout}, patience {letter.patience},"
            f" cancelled at suspension {letter.suspension}"
        )
        shown.append(f"  {told.started:.2f} to {told.ended:.2f}: {told.how}")
        for outcomes in told.finished:
            shown += [f"  {path} {name}" for path, (name, _) in outcomes.items()]
    shown += [f"{each.how}: {each.order} by {each.batch}" for each in run.courses]
    shown.append("ledger")
    for message in run.messages:
        paths = " ".join(recipient.path for recipient in message.recipients)
        shown.append(f"  {message.reverse_path} -> {paths}: {len(message.content)}")
    return "\n".join(shown)


def _shorten(octets: bytes) -> str:
    text = octets.decode("latin-1").encode("unicode_escape").decode()
    return text if len(text) < 400 else f"{text[:300]}...({len(octets)} octets)"


def struck(run: Run) -> list[Kind]:
    """Name the faults that happened."""
    kinds = [kind for line in run.lines for kind in line.struck]
    return kinds + [Kind.REFUSED] * run.refused
