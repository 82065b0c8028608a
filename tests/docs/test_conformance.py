"""The page on conformance: whatever the code cites stands there, and has a test."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.transcript import transcripts

from .pages import DOCS

PAGE: Final = DOCS / "conformance.md"
TESTS: Final = Path(__file__).parents[1]
SOURCES: Final = TESTS.parent / "src" / "esmtp_async"

#: An RFC and a section of it; no numbers where the RFC is cited as a whole.
Section = tuple[int, tuple[int, ...]]

# A section belongs to the RFC named last; between the lines of a comment or of a
# message may stand what makes them one.
_NUMBERS: Final = r"\d+(?:\.\d+)*"
_CITATION: Final = re.compile(
    rf"RFC[\s#:\"]+(?P<rfc>\d+)|(?:§|\bsection\s+)(?P<section>{_NUMBERS})"
)
_HEADING: Final = re.compile(r"#+ (?P<title>(?:RFC (?P<rfc>\d+))?.*)")
_TEST: Final = re.compile(r"`((?:\w+/)*test_\w+\.py)::(test_\w+)`")
_TRANSCRIPT: Final = re.compile(r"`(transcripts/[\w-]+\.txt)`")


class Row(NamedTuple):
    """A line of a table of the page."""

    title: str
    #: The RFC of the heading above; None where it is about something else.
    rfc: int | None
    cells: tuple[str, ...]

    @property
    def sections(self) -> list[tuple[int, ...]]:
        """What the first cell names, under the heading of an RFC."""
        return [_numbers(text) for text in re.findall(_NUMBERS, self.cells[0])]


def rows() -> Iterator[Row]:
    """Read the tables of the page, without their heads."""
    title, rfc = "", None
    previous = ""
    for line in PAGE.read_text("utf-8").splitlines():
        if heading := _HEADING.fullmatch(line):
            title = heading["title"]
            rfc = int(heading["rfc"]) if heading["rfc"] else None
        elif line.startswith("| ") and previous.startswith("|"):
            cells = line.removeprefix("|").removesuffix("|").split("|")
            yield Row(title, rfc, tuple(cell.strip() for cell in cells))
        previous = line


def citations(text: str) -> Iterator[Section]:
    """Find the RFCs and the sections that a text names."""
    rfc = 0
    for match in _CITATION.finditer(text):
        if match["rfc"]:
            rfc = int(match["rfc"])
        yield rfc, _numbers(match["section"] or "")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("."))) if text else ()


@cache
def defined(path: Path) -> frozenset[str]:
    """Name the functions of a file, the tests' twins on trio among them."""
    names: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
            if "everywhere" in map(ast.unparse, node.decorator_list):
                names.add(f"{node.name}_on_trio")
    return frozenset(names)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(RFC 5321 §4.1.2)", [(5321, ()), (5321, (4, 1, 2))]),
        ("RFC 5321 section 4.1.2", [(5321, ()), (5321, (4, 1, 2))]),
        ("RFC 3461 §4.1, §4.2", [(3461, ()), (3461, (4, 1)), (3461, (4, 2))]),
        ("RFC 5321 §3.1-§3.2", [(5321, ()), (5321, (3, 1)), (5321, (3, 2))]),
        ("RFC 1870; RFC 3030 §2", [(1870, ()), (3030, ()), (3030, (2,))]),
        ("# as in RFC\n    # 2033 §4.2", [(2033, ()), (2033, (4, 2))]),
        ('"(RFC "\n"5322 section\n2.2)', [(5322, ()), (5322, (2, 2))]),
        ("a header section, RFC3339, the RFCs", []),
    ],
)
def test_a_citation_is_found_in_every_form(text: str, found: list[Section]) -> None:
    assert list(citations(text)) == found


def test_whatever_the_code_cites_stands_in_the_page() -> None:
    cited = {
        section
        for path in SOURCES.rglob("*.py")
        for section in citations(path.read_text("utf-8"))
    }
    assert len(cited) > 110
    standing: set[Section] = {(row.rfc, ()) for row in rows() if row.rfc}
    standing |= {(row.rfc, each) for row in rows() if row.rfc for each in row.sections}
    assert cited <= standing, f"not in {PAGE.name}: {sorted(cited - standing)}"


def test_every_row_has_a_test_or_is_not_done() -> None:
    for row in rows():
        assert len(row.cells) == 3, row
        assert all(row.cells), row
        if row.title != "Not done":
            named = row.cells[2].split(", ")
            tests = list(filter(_TEST.fullmatch, named))
            assert tests, row
            assert named == tests + list(filter(_TRANSCRIPT.fullmatch, named)), row
            assert len(set(named)) == len(named), row


def test_every_test_of_the_page_exists() -> None:
    named = set(_TEST.findall(PAGE.read_text("utf-8")))
    assert len(named) > 100
    for file, test in sorted(named):
        assert test in defined(TESTS / file), f"{file}::{test}"


def test_every_transcript_of_the_page_is_played() -> None:
    player = TESTS / "protocol" / "test_transcripts.py"
    assert "test_the_client_says_its_part" in defined(player)
    named = set(_TRANSCRIPT.findall(PAGE.read_text("utf-8")))
    assert len(named) > 10
    played = {f"transcripts/{transcript.name}.txt" for transcript in transcripts()}
    assert named <= played, sorted(named - played)


def test_a_test_run_everywhere_has_its_twin() -> None:
    tests = defined(TESTS / "testing" / "test_pipes.py")
    assert "test_octets_arrive_in_order_and_in_pieces_of_at_most_max_bytes" in tests
    assert "test_send_waits_while_the_pipe_is_full_on_trio" in tests
    assert "test_a_test_run_everywhere_has_its_twin" in defined(Path(__file__))
    assert not any(name.endswith("_on_trio") for name in defined(Path(__file__)))


def test_the_page_is_in_the_order_of_the_rfcs() -> None:
    order = [(row.rfc, *row.sections[:1]) for row in rows() if row.rfc]
    assert len(order) > 100
    for before, after in pairwise(order):
        assert before <= after, after
