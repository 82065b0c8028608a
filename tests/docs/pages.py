"""Pages with generated parts: `<!-- begin NAME -->` ... `<!-- end NAME -->`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def rendered(page: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """Give a page with its generated parts made anew."""
    for name, make in parts.items():
        head, begin, rest = page.partition(f"<!-- begin {name} -->")
        _, end, tail = rest.partition(f"<!-- end {name} -->")
        page = f"{head}{begin}\n\n{make()}\n\n{end}{tail}"
    return page


def write(path: Path, parts: Mapping[str, Callable[[], str]]) -> None:
    """Make the parts of a page anew, in place."""
    path.write_text(rendered(path.read_text("utf-8"), parts), "utf-8")
