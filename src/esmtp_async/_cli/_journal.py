"""The log of `esmtp bulk`: a line before a message goes out, and one behind it.

Each line is a JSON object. That a message is about to go out is on the disk before it
does, and what became of it before the next is told: whatever ends the process, the
log does not take for unsent what may have been sent. It is read when the same command
is given again, which begins with a line of its own: of what the run before it had
begun and not ended, nobody will ever tell more.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from esmtp_async._cli._sources import Found
from esmtp_async._cli._standing import Standings
from esmtp_async._receipts import Receipt
from esmtp_async.protocol._exceptions import InvalidInput, SMTPError
from esmtp_async.protocol._outcomes import Outcome, RecipientResult

if sys.platform != "win32":
    import fcntl

#: What a message that cannot be sent as it is has for an outcome.
INVALID: Final = "invalid"

_HEADER: Final = {"log": "esmtp bulk", "version": 1}
_OUTCOMES: Final = {outcome.value: outcome for outcome in Outcome}
# The worst first.
_WEIGHT: Final = (Outcome.UNKNOWN, Outcome.REFUSED, Outcome.NOT_SENT)

# The time of the last change, which it leaves out, is nobody's concern.
_SYNC: Final = getattr(os, "fdatasync", os.fsync)

Line = Mapping[str, object]


def outcome_line(
    key: str,
    found: Found,
    recipients: Sequence[RecipientResult],
    told: Receipt | SMTPError | str,
) -> Line:
    """Tell what became of a message, in words that a program can read."""
    outcomes = {result.outcome for result in recipients}
    worst = next((each for each in _WEIGHT if each in outcomes), Outcome.ACCEPTED)
    line: dict[str, object] = {
        "time": _now(),
        "event": "outcome",
        "key": key,
        "path": str(found.path),
        "offset": found.offset,
        "outcome": worst.value if recipients else INVALID,
        "recipients": [_told(result) for result in recipients],
    }
    if isinstance(told, Receipt):
        line["reply"] = str(told.reply)
        line["queue_id"] = told.queue_id
        line["message_id"] = told.message_id
    else:
        line["error"] = str(told)
    return line


def _told(result: RecipientResult) -> Line:
    return {
        "address": result.address,
        "outcome": result.outcome.value,
        "temporary": result.temporary,
        "stage": result.stage.value,
        "reply": None if result.reply is None else str(result.reply),
    }


def as_json(line: Line) -> str:
    """Give a line, without its end; always ASCII."""
    return json.dumps(line, separators=(", ", ": "))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Journal:
    """A log that is being written; what it says is on the disk when it returns."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def begin(self, key: str, addresses: Sequence[str]) -> None:
        """Note that a message is about to go out; raises `OSError`."""
        self.write(
            {
                "time": _now(),
                "event": "begun",
                "key": key,
                "recipients": list(addresses),
            }
        )

    def write(self, line: Line) -> None:
        """Write a line to the disk; raises `OSError`."""
        octets, written = f"{as_json(line)}\n".encode("ascii"), 0
        try:
            while written < len(octets):
                written += os.write(self._descriptor, octets[written:])
            _SYNC(self._descriptor)
        except OSError:
            # A part of a line would spoil the next one, if that can be written.
            with suppress(OSError):
                length = os.fstat(self._descriptor).st_size
                os.ftruncate(self._descriptor, length - written)
            raise


@contextmanager
def opened(path: Path, standings: Standings) -> Iterator[Journal]:
    """Open a log, and learn what it says; nobody else may write to it meanwhile.

    Raises `InvalidInput` where it is something else, and `OSError`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        _lock(descriptor, path)
        journal = Journal(descriptor)
        ending = read(path, standings)
        _mend(descriptor, ending)
        journal.write(_HEADER)
        standings.begin_run()
        if ending.end == 0:
            _keep_name(path)
        yield journal
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"{path} is being written to by another esmtp bulk"
            raise InvalidInput(msg) from None


def _keep_name(path: Path) -> None:
    """Have the name of a new file on the disk as well, where that can be."""
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Ending(NamedTuple):
    """How a log ends."""

    #: Where its last whole line ends, in octets.
    end: int
    #: Whether nothing is missing of that line but its end.
    is_open: bool


def _mend(descriptor: int, ending: Ending) -> None:
    """Cut off a last line that was not written to its end: it says nothing."""
    os.ftruncate(descriptor, ending.end)
    if ending.is_open:
        os.write(descriptor, b"\n")


def read(path: Path, standings: Standings) -> Ending:
    """Learn what a log says, and how it ends.

    Raises `InvalidInput` for what is no such log, and `OSError`.
    """
    end, is_open = 0, False
    with path.open("rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            msg = f"{path} is no file that a log can be kept in"
            raise InvalidInput(msg)
        for number, octets in enumerate(file, 1):
            try:
                _learn(octets, number, standings)
            except (ValueError, KeyError, TypeError, AttributeError):
                if _is_cut_off(octets, number):
                    break
                what = "is no log of esmtp bulk: line"
                msg = f"{path} {what} {number} is none of its lines"
                raise InvalidInput(msg) from None
            end += len(octets)
            is_open = not octets.endswith(b"\n")
    return Ending(end, is_open)


def _is_cut_off(octets: bytes, number: int) -> bool:
    """Tell whether the writer of a last line was ended in the middle of it."""
    beginning = as_json(_HEADER).encode() if number == 1 else octets
    return not octets.endswith(b"\n") and beginning.startswith(octets)


def _learn(octets: bytes, number: int, standings: Standings) -> None:
    """Learn from a line; raises anything for one that is none."""
    line = json.loads(octets)
    if line == _HEADER:
        standings.begin_run()
        return
    if number == 1:
        raise ValueError
    key, event = line["key"], line["event"]
    if not isinstance(key, str):
        raise TypeError
    if event == "begun":
        standings.begin(key, [_text(address) for address in line["recipients"]])
    elif event == "outcome":
        for each in line["recipients"]:
            standings.conclude(
                key,
                _text(each["address"]),
                _OUTCOMES[each["outcome"]],
                temporary=bool(each["temporary"]),
            )
    else:
        raise ValueError


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
