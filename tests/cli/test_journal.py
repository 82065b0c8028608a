"""The log of `esmtp bulk`, and what is known by it."""

from __future__ import annotations

import errno
import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from esmtp_async import InvalidInput, Outcome
from esmtp_async._cli import _journal
from esmtp_async._cli._standing import Standings
from esmtp_async.protocol._outcomes import RecipientResult, Stage

ACCEPTED, REFUSED, NOT_SENT, UNKNOWN = Outcome
HEADER = '{"log": "esmtp bulk", "version": 1}\n'


def begun(key: str, *addresses: str) -> str:
    return json.dumps({"event": "begun", "key": key, "recipients": addresses}) + "\n"


def ended(key: str, outcome: Outcome, *addresses: str, temporary: bool = True) -> str:
    recipients = [
        {"address": address, "outcome": outcome.value, "temporary": temporary}
        for address in addresses
    ]
    line = {"event": "outcome", "key": key, "recipients": recipients}
    return json.dumps(line) + "\n"


def standings(path: Path, *again: Outcome) -> Standings:
    known = Standings(again=again)
    with _journal.opened(path, known):
        return known


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        ([], NOT_SENT),
        ([begun("k", "a")], UNKNOWN),
        ([begun("k", "b")], NOT_SENT),
        ([begun("k", "a"), ended("k", ACCEPTED, "a")], ACCEPTED),
        ([begun("k", "a"), ended("k", NOT_SENT, "a")], NOT_SENT),
        ([begun("k", "a"), ended("k", UNKNOWN, "a")], UNKNOWN),
        ([begun("k", "a"), ended("k", REFUSED, "a")], REFUSED),
        # Accepted is accepted, whatever came later.
        ([ended("k", ACCEPTED, "a"), begun("k", "a")], ACCEPTED),
        ([ended("k", ACCEPTED, "a"), ended("k", NOT_SENT, "a")], ACCEPTED),
        # A doubt is not dispelled by another attempt that came to nothing.
        ([begun("k", "a"), begun("k", "a"), ended("k", NOT_SENT, "a")], UNKNOWN),
        ([ended("k", UNKNOWN, "a"), ended("k", NOT_SENT, "a")], UNKNOWN),
        ([ended("k", UNKNOWN, "a"), ended("k", REFUSED, "a")], UNKNOWN),
        ([ended("k", UNKNOWN, "a"), ended("k", ACCEPTED, "a")], ACCEPTED),
        # Nor by a later run, which may not even have begun.
        ([begun("k", "a"), HEADER, ended("k", NOT_SENT, "a")], UNKNOWN),
        ([begun("k", "a"), HEADER, ended("k", REFUSED, "a")], UNKNOWN),
        ([begun("k", "a"), HEADER, ended("k", ACCEPTED, "a")], ACCEPTED),
        ([HEADER, begun("k", "a"), ended("k", NOT_SENT, "a"), HEADER], NOT_SENT),
    ],
)
def test_what_a_log_comes_to(
    tmp_path: Path, lines: list[str], outcome: Outcome
) -> None:
    path = tmp_path / "log"
    path.write_text(HEADER + "".join(lines))
    known = standings(path)
    assert known.outcome("k", "a") is outcome
    assert known.outcome("other", "a") is NOT_SENT
    assert known.is_due("k", "a") is (outcome in {NOT_SENT, REFUSED})
    assert known.is_due("k", "c")


@pytest.mark.parametrize(
    ("outcome", "temporary", "due", "again"),
    [
        (ACCEPTED, False, False, set()),
        (NOT_SENT, True, True, set()),
        (REFUSED, True, True, set()),
        (REFUSED, False, False, {REFUSED}),
        (UNKNOWN, True, False, {UNKNOWN}),
    ],
)
def test_who_is_tried_again(
    *, outcome: Outcome, temporary: bool, due: bool, again: set[Outcome]
) -> None:
    for count in range(3):
        for asked in itertools.combinations([REFUSED, UNKNOWN], count):
            known = Standings(again=asked)
            known.conclude("k", "a", outcome, temporary=temporary)
            assert known.is_due("k", "a") is (due or bool(again.intersection(asked)))


@pytest.mark.parametrize("temporary", [True, False])
@pytest.mark.parametrize("doubt", ["unknown", "begun", "begun by another run"])
def test_a_refusal_does_not_dispel_a_doubt(doubt: str, *, temporary: bool) -> None:
    """The first attempt may have come through, whatever is said of the second."""
    for count in range(3):
        for asked in itertools.combinations([REFUSED, UNKNOWN], count):
            known = Standings(again=asked)
            known.begin("k", ["a"])
            if doubt == "unknown":
                known.conclude("k", "a", UNKNOWN, temporary=False)
            elif doubt == "begun":
                known.begin("k", ["a"])
            else:
                known.begin_run()
            result = RecipientResult(
                "a", REFUSED, None, Stage.RCPT, temporary=temporary
            )
            assert known.follow("k", result) is UNKNOWN
            assert known.outcome("k", "a") is UNKNOWN
            # It takes a word for each of what stands against another attempt.
            needed = {UNKNOWN} if temporary else {UNKNOWN, REFUSED}
            assert known.is_due("k", "a") is (needed <= set(asked))


def test_what_the_log_did_not_know_is_not_kept_in_memory() -> None:
    known = Standings()
    result = RecipientResult("a", REFUSED, None, Stage.RCPT, temporary=False)
    assert known.follow("k", result) is REFUSED
    assert "k" not in known


LINES = [
    HEADER,
    begun("k", "a", "b"),
    ended("k", ACCEPTED, "a", "b", temporary=False),
    begun("l", "a"),
    ended("l", REFUSED, "a", temporary=False),
]


def test_a_log_may_break_off_anywhere(tmp_path: Path) -> None:
    """No matter where, nobody who may have the message is taken for unsent."""
    path = tmp_path / "log"
    whole = "".join(LINES).encode()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        known = Standings()
        # What is written now is read next time.
        with _journal.opened(path, known) as journal:
            journal.begin("m", ["c"])
        assert standings(path).outcome("m", "c") is UNKNOWN
        assert path.read_bytes().startswith(HEADER.encode())
        lines = whole[:length].count(b"\n")
        if lines >= 2:
            assert known.outcome("k", "a") in {UNKNOWN, ACCEPTED}
        if lines >= 3:
            assert known.outcome("k", "b") is ACCEPTED
        if lines >= 4:
            assert known.outcome("l", "a") in {UNKNOWN, REFUSED}


@pytest.mark.parametrize(
    "text",
    [
        "Dear diary\n",
        "Dear diary",
        '{"log": "esmtp bulk", "version": 2}\n',
        "[]\n",
        HEADER + "x\n" + begun("k", "a"),
        HEADER + "[]\n",
        HEADER + '{"event": "begun"}\n',
        HEADER + '{"event": "begun", "key": 1, "recipients": []}\n',
        HEADER + '{"event": "begun", "key": "k", "recipients": [1]}\n',
        HEADER + '{"event": "ended", "key": "k"}\n',
        HEADER + ended("k", ACCEPTED, "a").replace("accepted", "excepted"),
    ],
)
def test_what_is_no_such_log_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log"
    path.write_text(text)
    with pytest.raises(InvalidInput, match="is no log of esmtp bulk: line"):
        standings(path)
    assert path.read_text() == text


@pytest.mark.parametrize("name", ["/dev/null", "/dev/zero"])
def test_a_device_keeps_no_log(name: str) -> None:
    with pytest.raises(InvalidInput, match="is no file that a log can be kept in"):
        standings(Path(name))


def test_nobody_else_may_write_to_a_log_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with (
        _journal.opened(path, Standings()),
        pytest.raises(InvalidInput, match="is being written to by another"),
    ):
        standings(path)
    standings(path)


def test_a_log_is_the_users_own(tmp_path: Path) -> None:
    """It tells who gets mail from whom."""
    path = tmp_path / "log"
    standings(path)
    assert path.stat().st_mode & 0o777 == 0o600


def partial_write(write: Callable[[int, bytes], int]) -> Callable[[int, bytes], int]:
    """Write as much as a disk may take at once."""
    return lambda descriptor, octets: write(descriptor, octets[:7])


def test_a_line_is_on_the_disk_when_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    seen: list[bytes] = []
    with _journal.opened(path, Standings()) as journal:

        def sync(descriptor: int) -> None:
            os.fsync(descriptor)
            seen.append(path.read_bytes())

        monkeypatch.setattr(_journal, "_SYNC", sync)
        monkeypatch.setattr(os, "write", partial_write(os.write))
        journal.begin("k", ["a@example.test"])
        journal.begin("l", ["\u00fc@example.test"])
    assert [octets.count(b"\n") for octets in seen] == [2, 3]
    assert path.read_bytes() == seen[-1]
    assert standings(path).outcome("l", "\u00fc@example.test") is UNKNOWN


def full(*_: object) -> int:
    """Write nothing."""
    raise OSError(errno.ENOSPC, "full")


@pytest.mark.parametrize("failing", ["write", "fdatasync"])
def test_of_a_line_that_cannot_be_written_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """There may be room for the next one; a part of a line would spoil it."""
    path = tmp_path / "log"
    steps = iter([partial_write(os.write), full])

    def write(descriptor: int, octets: bytes) -> int:
        return next(steps)(descriptor, octets)

    with _journal.opened(path, Standings()) as journal:
        if failing == "write":
            monkeypatch.setattr(os, "write", write)
        else:
            monkeypatch.setattr(_journal, "_SYNC", full)
        with pytest.raises(OSError, match="full"):
            journal.begin("k", ["a"])
        monkeypatch.undo()
        journal.begin("l", ["a"])
    known = standings(path)
    assert known.outcome("k", "a") is NOT_SENT
    assert known.outcome("l", "a") is UNKNOWN
