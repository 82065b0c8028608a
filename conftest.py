"""The code samples of README.md and docs/ as tests: each is run, in order, as it is.

A page is one namespace; each ```` ```python ```` block in it is a program that must run
to its end. A block is left out only by the comment ``<!-- skip: next "reason" -->``.
"""

import re
from collections.abc import Iterable

import pytest
from sybil import Document, Region, Sybil
from sybil.integration.pytest import SybilItem
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser


class ReasonedSkipParser(SkipParser):
    """The skip directive, which must name its reason."""

    def __call__(self, document: Document) -> Iterable[Region]:
        """Yield the directives of a page.

        Raises:
            ValueError: if one has no reason, or asks for more than one block.
        """
        for region in super().__call__(document):
            action, reason = region.parsed
            if action != "next" or not re.fullmatch(r'"[^"]*\w[^"]*"', reason or ""):
                location = document.line_column(region.start)
                message = 'a sample is skipped only by <!-- skip: next "reason" -->'
                raise ValueError(f"{document.path}, {location}: {message}")
            yield region


def run_as_program(namespace: dict[str, object]) -> None:
    """Make ``if __name__ == "__main__"`` in a sample true, so that it runs."""
    namespace["__name__"] = "__main__"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the samples back into the order of their page after pytest-randomly."""
    samples = iter(
        sorted(
            (item for item in items if isinstance(item, SybilItem)),
            key=lambda item: (item.path, item.example.start),
        )
    )
    items[:] = [
        next(samples) if isinstance(item, SybilItem) else item for item in items
    ]


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), ReasonedSkipParser()],
    pattern="*.md",
    setup=run_as_program,
).pytest()
