"""The page on the state machine shows the rows as they are."""

from __future__ import annotations

from esmtp_async.protocol import ROWS, State

from .pages import rendered
from .state_machine import PAGE, PARTS, diagram, table


def test_page_is_generated_from_the_rows() -> None:
    page = PAGE.read_text("utf-8")
    assert page == rendered(page, PARTS), "run: python -m tests.docs.state_machine"
    assert diagram() in page
    assert table() in page


def test_every_state_and_every_row_is_shown() -> None:
    assert all(f"([{state.name}])" in diagram() for state in State)
    assert len(table().splitlines()) == len(ROWS) + 2
