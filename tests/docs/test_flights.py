"""The picture of the flights is what a server sees."""

from __future__ import annotations

from .flights import PICTURE, RECIPIENTS, SHAPES, picture, trips


def test_the_picture_is_what_was_said() -> None:
    drawn = PICTURE.read_text("utf-8")
    assert drawn == picture(), "run: python -m tests.docs.flights"


def test_each_shape_takes_as_many_round_trips_as_the_page_says() -> None:
    lockstep, conformant, eager, train, window = (len(trips(shape)) for shape in SHAPES)
    assert lockstep == len(RECIPIENTS) + 3
    assert (conformant, eager) == (2, 1)
    assert train == SHAPES[3].messages + 1
    assert window == 1
