"""Looks at the built site: whatever a page loads is there, and every anchor too.

Nor does a page show what is meant for what builds it.

``python -m tests.docs.offline site`` tells what is not.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

#: What a browser loads by itself, by element and attribute; links are followed by hand.
LOADED: Final = {("script", "src"), ("img", "src"), ("iframe", "src"), ("link", "href")}
#: Links that tell of a page, and load nothing.
TELLING: Final = {"canonical", "next", "prev", "author", "search", "index"}

#: What a reader never sees: marks of Markdown, words of Python's and Sphinx' insides.
RAW: Final = re.compile(r"\S*`\S*|\]\(\S*|<factory>|\w*ForwardRef")
#: Where all characters are themselves.
LITERAL: Final = {"code", "pre", "script", "style"}


class Page(HTMLParser):
    """What a page has, loads and links to."""

    def __init__(self, text: str) -> None:
        """Read it."""
        super().__init__()
        self.anchors: set[str] = {""}
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.raw: list[str] = []
        self._literal = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element has to say."""
        self._literal += tag in LITERAL
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") in TELLING:
            return
        self.loaded += [
            given[attribute]
            for element, attribute in LOADED
            if element == tag and attribute in given
        ]

    def handle_endtag(self, tag: str) -> None:
        """Note that an element ends."""
        self._literal -= tag in LITERAL

    def handle_data(self, data: str) -> None:
        """Note what should not be seen."""
        if not self._literal:
            self.raw += RAW.findall(data)


@cache
def page(path: Path) -> Page:
    """Read a page."""
    return Page(path.read_text("utf-8"))


def problems(site: Path) -> Iterator[str]:
    """Tell what pages load from elsewhere, links that lead nowhere, and raw marks."""
    for path in sorted(site.rglob("*.html")):
        where = path.relative_to(site)
        for mark in page(path).raw:
            yield f"{where} shows {mark}"
        for url in page(path).loaded:
            if urlsplit(url).netloc:
                yield f"{where} loads {url}"
            elif not urlsplit(url).scheme and missing(path, url):
                yield f"{where} loads {url}, which is not there"
        for url in page(path).links:
            parts = urlsplit(url)
            if not (parts.scheme or parts.netloc) and missing(path, url):
                yield f"{where} links to {url}, which is not there"


def missing(path: Path, url: str) -> bool:
    """Tell whether a link of a page leads nowhere."""
    parts = urlsplit(url)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.exists():
        return True
    is_page = target.suffix == ".html"
    return is_page and unquote(parts.fragment) not in page(target).anchors


if __name__ == "__main__":
    found = list(problems(Path(sys.argv[1]).resolve()))
    sys.exit("\n".join(found) or 0)
