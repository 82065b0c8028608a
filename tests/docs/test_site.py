"""Every page can be reached from the first ones, and no link of any leads nowhere.

The site's own build looks once more, with Sphinx; this is about the pages as a
repository shows them, and needs nothing.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from .pages import DOCS

ROOT: Final = DOCS.parent
PAGES: Final = sorted(
    [*DOCS.rglob("*.md"), *(ROOT / name for name in ("README.md", "CHANGELOG.md"))]
)

_FENCE: Final = re.compile(r"^ *(```+).*?^ *\1$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<!`)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_HEADING: Final = re.compile(r"^(#+) (.+)$", re.MULTILINE)


@cache
def prose(page: Path) -> str:
    """Give a page without its fences."""
    return _FENCE.sub("", page.read_text("utf-8"))


@cache
def anchors(page: Path) -> frozenset[str]:
    """Give the anchors that a repository makes of the headings of a page."""
    found: list[str] = []
    for _, heading in _HEADING.findall(prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        repeated = sum(each == slug for each in found)
        found.append(f"{slug}-{repeated}" if repeated else slug)
    return frozenset(found)


def links(page: Path) -> list[str]:
    """Give the links of a page that stay within the repository."""
    return [
        link for link in _LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link)
    ]


def target(page: Path, link: str) -> tuple[Path, str]:
    """Give the file and the anchor that a link leads to."""
    path, _, anchor = link.partition("#")
    return (page.parent / path).resolve() if path else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_leads_nowhere(page: Path) -> None:
    for link in links(page):
        path, anchor = target(page, link)
        assert path.is_file(), link
        if anchor:
            assert anchor in anchors(path), link


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.is_relative_to(DOCS)],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_a_page_stays_within_the_site(page: Path) -> None:
    """What is outside of docs/ is in the repository and not in the site."""
    for link in links(page):
        assert target(page, link)[0].is_relative_to(DOCS), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_headings_begin_with_one_title_and_leave_no_level_out(page: Path) -> None:
    levels = [len(marks) for marks, _ in _HEADING.findall(prose(page))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    for before, level in pairwise(levels):
        assert level <= before + 1, levels


def test_every_page_can_be_reached_from_the_first_ones() -> None:
    reached: set[Path] = set()
    waiting = [DOCS / "index.md", ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            waiting += [target(page, link)[0] for link in links(page)]
    assert {page for page in PAGES if page.is_relative_to(DOCS)} - reached == set()


def test_what_is_looked_for_is_found() -> None:
    assert len(PAGES) > 25
    assert sum(len(links(page)) for page in PAGES) > 120
    assert "servers-that-break-on-what-they-offer" in anchors(DOCS / "reliability.md")
