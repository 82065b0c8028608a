"""The page on the state machine shows the rows as they are."""

from __future__ import annotations

import re

from esmtp_async.protocol import ROWS, State, Verb

from .pages import rendered
from .state_machine import (
    PAGE,
    PARTS,
    arrows,
    diagram,
    is_anywhere,
    overtaken,
    table,
)


def test_page_is_generated_from_the_rows() -> None:
    page = PAGE.read_text("utf-8")
    assert page == rendered(page, PARTS), "run: python -m tests.docs.state_machine"
    assert diagram() in page
    assert table() in page


def test_every_state_and_every_row_is_shown() -> None:
    assert all(f"([{state.name}])" in diagram() for state in State)
    assert len(table().splitlines()) == len(ROWS) + 2


def test_every_arrow_is_drawn_but_those_of_what_may_be_sent_in_many_states() -> None:
    pictures = {False: diagram(), True: overtaken()}
    for row in ROWS:
        for before, after, verb, answers in arrows(row):
            lines = [
                line
                for line in pictures[row.overtaken].splitlines()
                if re.fullmatch(rf" *{before.name} -->.* {after.name}", line)
            ]
            shown = any(verb in line and answers in line for line in lines)
            assert shown or is_anywhere(row), (before, verb)


def test_what_leads_back_from_many_states_leads_to_one() -> None:
    """So the page may say it in a sentence."""
    leading = {
        row.verb: {arrow.after for arrow in arrows(row)}
        for row in ROWS
        if is_anywhere(row) and list(arrows(row))
    }
    assert leading == {
        Verb.HELLO: {State.READY},
        Verb.RSET: {State.READY},
        Verb.QUIT: {State.CLOSED},
    }
    assert '    REFUSED -->|"QUIT<br>2yz, 4yz, 5yz"| CLOSED' in diagram()
    assert '    INDETERMINATE -->|"HELLO, RSET<br>2yz"| READY' in diagram()
