"""The security page: every row has its tests over a stream, named after it."""

from __future__ import annotations

import re
from typing import Final

from tests.docs.pages import DOCS

PAGE: Final = DOCS / "explanation" / "security.md"
TESTS: Final = DOCS.parent / "tests"

#: The rules that bound what servers, strangers and readers of logs can do.
ROWS: Final = {"P": 19, "D": 4, "T": 15, "U": 14, "I": 9, "B": 10}


def test_every_rule_is_a_row_and_has_a_test_named_after_it() -> None:
    rows = re.findall(r"^\| ([A-Z][0-9]+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert rows == [
        f"{letter}{number}"
        for letter, last in ROWS.items()
        for number in range(1, last + 1)
    ]
    named = {
        row
        for path in (TESTS / "client").glob("test_*.py")
        for name in re.findall(
            r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE
        )
        for row in re.findall(r"(?<=_)[PDTUIB][0-9]+(?=_)", name)
    }
    assert set(rows) - named == set()
