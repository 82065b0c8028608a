"""Which messages are due, and for whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from esmtp_async import Outcome
from esmtp_async._cli._letters import Letters
from esmtp_async._cli._sources import Found, read, survey
from esmtp_async._cli._standing import Standings
from esmtp_async._cli._tally import Tally

LETTER = b"From: a@x.test\nTo: b@x.test, c@x.test\n\nHello.\n"


@pytest.fixture
def found(tmp_path: Path) -> list[Found]:
    (tmp_path / "1.eml").write_bytes(LETTER)
    (tmp_path / "2.eml").write_bytes(LETTER)
    return [*read(survey([tmp_path]))]


def known(digest: str, *outcomes: tuple[int, str, Outcome]) -> Standings:
    standings = Standings()
    for number, address, outcome in outcomes:
        standings.conclude(f"{digest}:{number}", address, outcome, temporary=True)
    return standings


def test_what_the_log_does_not_know_is_due_for_everybody(found: list[Found]) -> None:
    letters = Letters(found, Standings(), Tally(), recipients=None)
    first, second = letters.following(), letters.following()
    assert first is not None
    assert second is not None
    digest = found[0].digest
    assert [first.key, second.key] == [f"{digest}:1", f"{digest}:2"]
    assert [first.recipients, second.recipients] == [None, None]
    assert letters.following() is None


def test_what_it_knows_is_due_for_those_who_have_nothing(found: list[Found]) -> None:
    standings = known(
        found[0].digest,
        (1, "b@x.test", Outcome.ACCEPTED),
        (1, "c@x.test", Outcome.UNKNOWN),
        (2, "b@x.test", Outcome.ACCEPTED),
        (2, "c@x.test", Outcome.NOT_SENT),
    )
    tally = Tally()
    letters = Letters(found, standings, tally, recipients=None)
    letter = letters.following()
    assert letter is not None
    assert letter.key.endswith(":2")
    assert letter.recipients == ("c@x.test",)
    assert letters.following() is None
    assert tally.skipped == 1
    assert tally.outcomes == {Outcome.ACCEPTED: 2, Outcome.UNKNOWN: 1}


def test_recipients_of_ones_own_are_new_to_the_log(found: list[Found]) -> None:
    standings = known(found[0].digest, (1, "b@x.test", Outcome.ACCEPTED))
    letters = Letters(
        found[:1], standings, Tally(), recipients=["b@X.TEST", "d@x.test", "d@x.test"]
    )
    letter = letters.following()
    assert letter is not None
    assert letter.recipients == ("d@x.test",)


def test_who_was_told_of_it_must_be_known_before_it_goes_again(
    found: list[Found], tmp_path: Path
) -> None:
    """What cannot be read goes to nobody, rather than to all."""
    standings = known(found[0].digest, (1, "b@x.test", Outcome.ACCEPTED))
    gone = found[0]._replace(content=tmp_path / "gone")
    letter = Letters([gone], standings, Tally(), recipients=None).following()
    assert letter is not None
    assert "No such file" in letter.found.problem
    assert letter.recipients == ()
