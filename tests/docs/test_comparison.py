"""The comparison has the figures that the benchmark wrote."""

from __future__ import annotations

import re

import pytest

from .comparison import CLIENTS, COLUMNS, PAGE, PARTS, cells, figures, measured
from .pages import rendered


def test_the_figures_are_those_of_the_benchmark() -> None:
    page = PAGE.read_text("utf-8")
    assert page == rendered(page, PARTS), "run: python -m tests.docs.comparison"


def test_every_client_has_its_figures() -> None:
    for client in CLIENTS:
        assert client in measured("round trips"), client
    rows = [cells(line) for line in figures().splitlines()[2:]]
    assert [row[0] for row in rows] == list(CLIENTS)
    assert all(re.fullmatch(r"\d+\.\d+", row[1]) for row in rows)
    # Where a server has no CHUNKING, nothing flies eagerly: CPU was not measured there.
    empty = {row[0] for row in rows if "" in row}
    assert all("eager" in client for client in empty)


def test_a_column_that_is_gone_is_noticed() -> None:
    for part, columns in COLUMNS.items():
        for row in measured(part).values():
            assert set(columns) <= set(row), part
    with pytest.raises(LookupError):
        measured("weather")


def test_what_is_said_in_words_was_measured() -> None:
    dear = {name: row["measured"] for name, row in measured("idle").items()}
    theirs = next(float(dear[name]) for name in dear if "aiosmtplib import" in name)
    ours = next(float(dear[name]) for name in dear if "esmtp_async import" in name)
    assert theirs < ours / 2, "less than half as dear"
    cpu = {
        name: float(figure)
        for name, row in measured("cpu").items()
        if (figure := row["CPU, aiosmtplib = 1"])
    }
    send = cpu["**esmtp_async** send"]
    assert cpu["smtplib"] < send, "less CPU than our `send`"
    assert cpu["smtp-source (C)"] < 0.6 * send, "about half the CPU that it needs"
