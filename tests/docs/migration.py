"""The pages on migration as data: their tables, and their samples in pairs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from .pages import DOCS

AIOSMTPLIB: Final = DOCS / "migration" / "aiosmtplib.md"
SMTPLIB: Final = DOCS / "migration" / "smtplib.md"

_SAMPLE: Final = re.compile(
    r"^(Before|Now):\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
_CODE: Final = re.compile(r"`([^`]+)`")


class Row(NamedTuple):
    """A row of a table: a word of theirs, and what it becomes."""

    theirs: str
    ours: tuple[str, ...]
    remarks: tuple[str, ...]


def tables(page: Path) -> dict[str, list[Row]]:
    """Read the tables of a page, each under what its first head says, and how often."""
    found: dict[str, list[Row]] = {}
    title = ""
    previous = ""
    for line in page.read_text("utf-8").splitlines():
        if line.startswith("| ") and not previous.startswith("|"):
            head = line.split("|")[1].strip().replace("`", "")
            title = head if head not in found else f"{head} again"
            found[title] = []
        elif line.startswith("| "):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            (theirs,) = _CODE.findall(cells[0])
            ours, remarks = map(tuple, map(_CODE.findall, cells[1:]))
            found[title].append(Row(theirs, ours, remarks))
        previous = line
    return found


def pairs(page: Path) -> Iterator[tuple[str, str]]:
    """Give the samples of a page, that of before and that of now."""
    samples = _SAMPLE.findall(page.read_text("utf-8"))
    before = [code for when, code in samples if when == "Before"]
    now = [code for when, code in samples if when == "Now"]
    return zip(before, now, strict=True)
