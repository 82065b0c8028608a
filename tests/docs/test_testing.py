"""The page on testing: its test files pass, and its programs print what it shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from .pages import DOCS

pytest_plugins = ["pytester"]

PAGE: Final = DOCS / "howto" / "testing.md"
BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    """Give what stands in the blocks of a language."""
    return [
        text
        for tongue, text in BLOCK.findall(PAGE.read_text("utf-8"))
        if tongue == language
    ]


def test_its_test_files_pass(pytester: pytest.Pytester) -> None:
    files = {}
    for block in blocks("python"):
        named = re.match(r"# (test_\w+)\.py\n", block)
        if named:
            files[named[1]] = block
    tests = re.findall(r"^(?:async )?def test_", "".join(files.values()), re.MULTILINE)
    assert len(files) == 5
    pytester.makepyfile(**files)
    pytester.makeini(
        """
        [pytest]
        filterwarnings = error
        asyncio_default_fixture_loop_scope = function
        addopts = --strict-markers -p no:randomly
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=len(tests) + 1)  # one has two parameters


def test_its_programs_print_what_it_shows() -> None:
    root = Path(__file__).parents[2]
    shown = subprocess.run(
        [sys.executable, "-m", "pytest", "-s", str(PAGE)],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        timeout=50,
    ).stdout
    assert len(blocks("text")) == 2
    for block in blocks("text"):
        form = "(?:.*\n)*?".join(re.escape(part) for part in block.split("...\n"))
        assert re.search(form, shown), block
