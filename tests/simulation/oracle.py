"""What must hold after every session, by the ledger and by the octets that passed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from tests.simulation.faults import Kind
from tests.simulation.plan import Letter
from tests.simulation.reading import Attempt, Reading
from tests.simulation.session import LAST, Run, Told

#: Seconds that a call may take to clean up behind its own time limit.
_GRACE: Final = 0.1
#: What is told where the limit of the final reply ended a call.
_GIVEN_UP: Final = re.compile(r"no progress within .* \(stage: final\)")
#: Of the clocks, in seconds.
_TOLERANCE: Final = 0.001
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
        self._readings = [
            Reading(line.record, plan.timeouts, lmtp=plan.lmtp) for line in run.lines
        ]
        # Where a reply was made up, or left out, what the client read decides alone.
        self._mute = any(rule.silent and not rule.close for rule in plan.rules)
        self._lied = self._mute or any(line.forged for line in run.lines)
        self._stored = Counter(
            (message.reverse_path, recipient.path)
            for message in run.messages
            for recipient in message.recipients
        )

    def __iter__(self) -> Iterator[str]:
        for number, reading in enumerate(self._readings):
            for problem in reading.problems:
                yield f"connection {number}: {problem}"
        yield from self._left_behind()
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

    def _attempts(self, letter: Letter) -> list[Attempt]:
        """Give the attempts at a message."""
        found = [
            (line.record[0].time, attempt)
            for line, reading in zip(self._run.lines, self._readings, strict=True)
            for attempt in reading.attempts
            if attempt.sender == letter.sender
        ]
        # A retry goes out on a connection that is opened for it.
        return [attempt for _, attempt in sorted(found, key=lambda each: each[0])]

    def _message(self, told: Told) -> Iterator[str]:
        letter = told.letter
        attempts = self._attempts(letter)
        # Cancelled before it was looked at, it comes to nothing.
        ends = {0, 1} if told.how == "cancelled" and not attempts else {1}
        if len(told.finished) not in ends:
            yield f"its end was told {len(told.finished)} times"
            return
        outcomes = told.finished[0] if told.finished else {}
        if told.outcomes and told.outcomes != outcomes:
            yield f"{told.outcomes} was told, and by the event {outcomes}"
        carriers = [
            (line, reading)
            for line, reading in zip(self._run.lines, self._readings, strict=True)
            if any(attempt in reading.attempts for attempt in attempts)
        ]
        yield from self._in_time(told, [reading.left for _, reading in carriers])
        yield from self._retries(letter, attempts)
        lied = self._mute or any(line.forged for line, _ in carriers)
        for recipient, (outcome, replied) in outcomes.items():
            allowed = self._allowed(letter, attempts, recipient, replied=replied)
            if outcome not in allowed:
                yield f"{recipient} was told {outcome}, not {' or '.join(allowed)}"
            stored = self._stored[letter.sender, recipient]
            if stored != _LEDGER.get(outcome, stored) and not lied:
                yield f"{recipient} was told {outcome}; the ledger has {stored}"
            if outcome == "NOT_SENT" and stored:
                yield f"{recipient} was told NOT_SENT; the ledger has it"

    def _in_time(self, told: Told, left: list[float]) -> Iterator[str]:
        """See that nobody waited too long; nor too short for the final reply.

        `left` is what was left for the reply that each connection waited for last.
        """
        letter = told.letter
        if letter.timeout and told.ended > told.started + letter.timeout + _GRACE:
            yield f"it took {told.ended - told.started} s, not {letter.timeout}"
        if told.ended > told.started + letter.patience + _GRACE:
            yield "its cancellation came through late"
        if _GIVEN_UP.search(told.how) and left[-1] > _TOLERANCE:
            yield f"given up {left[-1]:g} s too early"

    def _retries(self, letter: Letter, attempts: list[Attempt]) -> Iterator[str]:
        for attempt in attempts[:-1]:
            if attempt.begun or self._is_alone(letter):
                yield "tried again, although that was no pooled connection's fault"
        if len(attempts) > 2:
            yield f"tried {len(attempts)} times"

    def _allowed(
        self,
        letter: Letter,
        attempts: list[Attempt],
        recipient: str,
        *,
        replied: bool,
    ) -> set[str]:
        """Name the outcomes that may be told of a recipient."""
        lmtp = self._run.plan.lmtp
        last = attempts[-1] if attempts else None
        told = "NOT_SENT" if last is None else last.outcome(recipient, lmtp=lmtp)
        allowed = {told}
        if told == "NOT_SENT" and not replied and self._lacking(letter):
            allowed.add("REFUSED")
        retried = last is not None and last.shutdown and not last.begun
        if retried and not self._is_alone(letter):
            allowed.add("NOT_SENT")  # no other connection was to be had
        return allowed

    def _is_alone(self, letter: Letter) -> bool:
        """Tell whether no connection can have been used before this message's."""
        return len(self._run.plan.letters) == 1 and letter is not LAST

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
        for key, count in self._stored.items():
            if count > 1:
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
        told = self._run.told[-1]
        if told.how != "receipt":
            yield f"the fault-free message: {told.how}"
        for recipient in LAST.recipients:
            if self._stored[LAST.sender, recipient] != 1:
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
