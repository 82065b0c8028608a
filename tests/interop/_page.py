"""docs/interop.md: what the servers offer, and what went well, as this suite saw it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.docs.pages import DOCS, write

PAGE: Final = DOCS / "interop.md"

#: Takes what a test tells of itself, by name: pytest's fixture `record_property`.
Record = Callable[[str, object], None]

#: The names.
WAY: Final = "way"  # [server, pipelining, security]
OFFERS: Final = "offers"  # [server, version, [when, [line of EHLO, ...]], ...]

_LOOP: Final = re.compile(r"_on_(trio)\b|\[(uvloop)\b")
_NAME: Final = re.compile(r"::test_(\w+?)(?:_on_trio)?(?:\[|$)")


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], cells: str = "---"
) -> str:
    """Set a table; behind the first column cells stand left, or as they are told to."""
    lines = [head, ["---", *[cells] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class Page:
    """What is to be written, gathered from the reports on tests."""

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = servers
        self._passed: Counter[tuple[str, str]] = Counter()
        self._failed: Counter[tuple[str, str]] = Counter()
        self._loops: set[str] = set()
        self._ways: set[tuple[str, str]] = set()
        self._offers: dict[str, Any] = {}

    def take(
        self, node: str, properties: Iterable[tuple[str, Any]], *, passed: bool
    ) -> None:
        """Take the report on a test."""
        found = dict(properties)
        if WAY in found:
            server, *way = found[WAY]
            name = _NAME.search(node)
            loop = _LOOP.search(node)
            assert name is not None
            what = name[1].replace("_", " ")
            (self._passed if passed else self._failed)[what, server] += 1
            self._loops.add("asyncio" if loop is None else loop[1] or loop[2])
            self._ways.add((way[0], way[1]))
        if OFFERS in found:
            server, *offers = found[OFFERS]
            self._offers[server] = offers

    def write(self, path: Path = PAGE) -> None:
        """Write the generated parts."""
        write(path, {"servers": self._described, "matrix": self._matrix})

    def _described(self) -> str:
        head = ("server", "version", "offered in clear text", "under TLS", "after AUTH")
        return table(head, [self._row(server) for server in self._seen(self._offers)])

    def _row(self, server: str) -> list[str]:
        version, *lists = self._offers[server]
        told: Mapping[str, list[str]] = dict(lists)
        cells = [server, version]
        before: list[str] = []
        for when in ("clear", "tls", "auth"):
            lines = told.get(when)
            cells.append("" if lines is None else _change(before, lines))
            before = lines or before
        return cells

    def _matrix(self) -> str:
        both = self._passed + self._failed
        servers = self._seen(server for _, server in both)
        rows = [
            [what, *(self._cell(what, server) for server in servers)]
            for what in sorted({what for what, _ in both})
        ]
        pipelining, security = (sorted({way[n] for way in self._ways}) for n in (0, 1))
        count = sum(both.values())
        ways = "; ".join(
            f"{name}: {', '.join(values)}"
            for name, values in (
                ("Event loops", sorted(self._loops)),
                ("pipelining", pipelining),
                ("security", security),
            )
        )
        day = f"{datetime.now(UTC):%-d %B %Y}"
        text = f"{day}: {count:,} cases, of which {sum(self._failed.values())} failed."
        return f"{text}\n{ways}.\n\n{table(('what', *servers), rows, '--:')}"

    def _cell(self, what: str, server: str) -> str:
        passed, failed = self._passed[what, server], self._failed[what, server]
        return f"**{passed} of {passed + failed}**" if failed else str(passed or "")

    def _seen(self, names: Iterable[str]) -> list[str]:
        found = set(names)
        return [server for server in self._servers if server in found]


def _change(before: Sequence[str], lines: Sequence[str]) -> str:
    """Tell what is offered, or how that differs from before."""
    if not before:
        return _set(lines)
    offered = {_keyword(line) for line in lines}
    more = [f"+ {line}" for line in lines if line not in before]
    gone = [f"- {_keyword(line)}" for line in before if _keyword(line) not in offered]
    return _set([*more, *gone]) if more or gone else "the same"


def _keyword(line: str) -> str:
    return line.partition(" ")[0]


def _set(lines: Iterable[str]) -> str:
    return ", ".join(line.replace("|", "\\|") for line in lines) or "nothing"
