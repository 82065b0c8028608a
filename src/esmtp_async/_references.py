"""What HTML refers to as `cid:` (RFC 2392)."""

from __future__ import annotations

import re
from contextlib import suppress
from html.parser import HTMLParser
from typing import Final
from urllib.parse import unquote

_SCHEME: Final = re.compile("cid:", re.IGNORECASE)
_URL: Final = re.compile(r"\s*cid:(\S+)\s*", re.IGNORECASE)
_IN_STYLE: Final = re.compile(r"url\(\s*[\"']?\s*cid:([^\s\"')]+)", re.IGNORECASE)


def content_ids(html: str) -> list[str]:
    """Give the content-ids that HTML refers to, each once, in order.

    Those in prose are none; those in a comment are, if some readers take it for
    HTML. HTML that cannot be read refers to what stands before that place.
    """
    if not _SCHEME.search(html):
        return []
    reader = _Reader()
    with suppress(AssertionError):  # of Python's parser, on a declaration unknown to it
        reader.feed(html)
        reader.close()
    return list(dict.fromkeys(map(unquote, reader.found)))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at the attributes, any of which may hold a URL."""
        self._in_style = tag == "style"
        for _, value in attrs:
            if value is not None and (url := _URL.fullmatch(value)):
                self.found.append(url[1])
            elif value is not None:
                self.found += _IN_STYLE.findall(value)

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002  # only style has text here
        """Leave what may be a style sheet."""
        self._in_style = False

    def handle_data(self, data: str) -> None:
        """Look at a style sheet, but not at prose."""
        if self._in_style:
            self.found += _IN_STYLE.findall(data)

    def handle_comment(self, data: str) -> None:
        """Look into what is a comment for some readers only."""
        if data.startswith("[if"):
            self.found += content_ids(data.partition(">")[2])
