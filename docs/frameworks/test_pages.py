"""The apps of these pages: their tests are run, as they stand there, and must pass.

Each block of a page is a file, named in the paragraph above it. Beside the files of a
page lie those of index.md, which all of them share.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
SHARED: Final = HERE / "index.md"
PAGES: Final = sorted(path.stem for path in HERE.glob("*.md") if path != SHARED)

#: A block of code, with the paragraph above it.
_BLOCK: Final = re.compile(
    r"((?:^[^\n]+\n)+)\n?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
_NAME: Final = re.compile(r"`([\w/]+\.py)`")
#: What pytest is to make of the files, as of the tests of this project.
_SETTINGS: Final = """
[pytest]
addopts = -p no:cacheprovider -p no:asyncio --strict-markers
filterwarnings = error
timeout = 30
"""


def files(page: Path) -> dict[str, str]:
    """Read the Python files of a page; each block of Python must have a name."""
    found: dict[str, str] = {}
    for above, language, code in _BLOCK.findall(page.read_text("utf-8")):
        if language != "python":
            continue
        name = _NAME.search(above)
        assert name is not None, f"{page.name}: what is the file below {above!r}?"
        assert name[1] not in found, f"{page.name}: {name[1]} is there twice"
        found[name[1]] = code
    return found


def test_there_are_pages() -> None:
    """The pages are found, and what they share is there."""
    assert len(PAGES) > 6
    assert set(files(SHARED)) == {"conftest.py", "mail_errors.py"}


@pytest.mark.parametrize("page", PAGES)
def test_the_tests_of_a_page_pass(page: str, tmp_path: Path) -> None:
    """Lay out the files of a page, and run its tests in a process of their own."""
    app = files(HERE / f"{page}.md")
    assert any(name.startswith("test_") for name in app), "it has no test"
    for name, code in {**files(SHARED), **app}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, "utf-8")
    (tmp_path / "pytest.ini").write_text(_SETTINGS, "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", str(tmp_path)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
