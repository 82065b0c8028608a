"""The conversation page is the conversation that the machine holds."""

from __future__ import annotations

from .conversation import MESSAGE, PAGE, PARTS, STEPS, dialogue, lines
from .pages import rendered


def test_page_is_the_conversation() -> None:
    page = PAGE.read_text("utf-8")
    assert page == rendered(page, PARTS), "run: python -m tests.docs.conversation"
    assert dialogue() in page
    assert MESSAGE.decode("ascii") in page


def test_every_step_has_its_line_and_state() -> None:
    states = [line.split("**")[1] for line in lines()]
    assert len(states) == len(STEPS)
    assert states == [
        *("GREETED", "READY", "AUTH", "AUTH", "READY"),
        *("MAIL", "RCPT", "DATA", "READY", "CLOSED"),
    ]
