"""What is written of real servers says what each offers, and what changes then."""

from __future__ import annotations

from pathlib import Path

from tests.interop._page import OFFERS, Page

BEFORE = """\
<!-- begin servers -->
<!-- end servers -->
<!-- begin matrix -->
<!-- end matrix -->
"""


def row(tmp_path: Path, *offers: tuple[str, list[str]]) -> str:
    page = Page(["Some"])
    page.take("", [(OFFERS, ["Some", "1.0", *offers])], passed=True)
    path = tmp_path / "interop.md"
    path.write_text(BEFORE)
    page.write(path)
    (found,) = (line for line in path.read_text().splitlines() if "| 1.0 |" in line)
    return found


def test_what_comes_and_goes_with_tls_and_auth(tmp_path: Path) -> None:
    clear = ["SIZE 1", "STARTTLS", "DSN"]
    tls = ["SIZE 1", "AUTH PLAIN", "DSN"]
    auth = ["SIZE 2", "AUTH", "DSN"]
    told = row(tmp_path, ("clear", clear), ("tls", tls), ("auth", auth))
    assert told.split(" | ")[2:] == [
        "SIZE 1, STARTTLS, DSN",
        "+ AUTH PLAIN, - STARTTLS",
        "+ SIZE 2, + AUTH |",
    ]


def test_what_stays_is_the_same_in_any_order(tmp_path: Path) -> None:
    told = row(tmp_path, ("clear", ["DSN", "HELP"]), ("tls", ["HELP", "DSN"]))
    assert told.split(" | ")[2:] == ["DSN, HELP", "the same", " |"]
