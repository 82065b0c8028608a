"""Looks at what was built: ``python -m tests.packaging DIRECTORY OTHER_DIRECTORY``.

Each holds an sdist and a wheel of the same commit. The first wheel was built out of the
sdist, the other one out of the tree.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
PROJECT: Final[dict[str, Any]] = tomllib.loads(
    (ROOT / "pyproject.toml").read_text("utf-8")
)["project"]
STEM: Final = f"esmtp_async-{PROJECT['version']}"
INFO: Final = f"{STEM}.dist-info"


def check_same(first: Path, second: Path) -> None:
    """See that two builds came to the same octets."""
    for one in (f"{STEM}.tar.gz", f"{STEM}-py3-none-any.whl"):
        octets = (first / one).read_bytes()
        assert octets == (second / one).read_bytes(), f"{one} differs from itself"


def check_sdist(sdist: Path) -> None:
    """See that it holds all that is in the repository, and nothing else."""
    with tarfile.open(sdist) as archive:
        files = [each.name for each in archive.getmembers() if each.isfile()]
        packed = {name.removeprefix(f"{STEM}/") for name in files}
        told = archive.extractfile(f"{STEM}/PKG-INFO")
        assert told is not None
        check_metadata(message_from_bytes(told.read()))
    _check_equal("the sdist", packed, _tracked(ROOT) | {"PKG-INFO"})


def _tracked(folder: Path) -> set[str]:
    """Name the files that git has in a folder."""
    listed = subprocess.run(
        ("git", "ls-files", "-z"),  # noqa: S607  # whichever git the developer has
        cwd=folder,
        capture_output=True,
        check=True,
    )
    return set(listed.stdout.decode().rstrip("\0").split("\0"))


def check_wheel(wheel: Path) -> None:
    """See that it holds the package, its types and licence, and nothing else."""
    package = _tracked(ROOT / "src")
    assert {"esmtp_async/py.typed", "esmtp_async/_serve/static/index.html"} < package
    names = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    with zipfile.ZipFile(wheel) as archive:
        told = {f"{INFO}/{name}" for name in names}
        _check_equal("the wheel", archive.namelist(), package | told)
        check_metadata(message_from_bytes(archive.read(f"{INFO}/METADATA")))
        licence = archive.read(f"{INFO}/licenses/LICENSE")
    assert licence == (ROOT / "LICENSE").read_bytes()


def check_metadata(told: Message) -> None:
    """See that an index is told what pyproject.toml and README.md say."""
    assert told["Name"] == PROJECT["name"]
    assert told["Version"] == PROJECT["version"]
    assert told["Summary"] == PROJECT["description"]
    assert told["License-Expression"] == "MIT"
    assert told.get_all("License-File") == ["LICENSE"]
    assert told["Requires-Python"] == PROJECT["requires-python"]
    assert told.get_all("Classifier") == sorted(PROJECT["classifiers"])
    extras = {name.replace("_", "-") for name in PROJECT["optional-dependencies"]}
    assert set(told.get_all("Provides-Extra") or ()) == extras
    always = [each for each in told.get_all("Requires-Dist") or () if ";" not in each]
    assert [re.split(r"[^\w-]", each)[0] for each in always] == ["anyio"]
    assert told["Description-Content-Type"] == "text/markdown"
    readme = (ROOT / "README.md").read_text("utf-8")
    assert str(told.get_payload()).strip() == readme.strip()


def _check_equal(what: str, found: Iterable[str], expected: Iterable[str]) -> None:
    missing = sorted({*expected} - {*found})
    surplus = sorted({*found} - {*expected})
    assert not missing + surplus, f"{what} lacks {missing}, and has {surplus}"


def main(first: str, second: str) -> None:
    """Look at both directories."""
    check_same(Path(first), Path(second))
    check_sdist(Path(first, f"{STEM}.tar.gz"))
    check_wheel(Path(first, f"{STEM}-py3-none-any.whl"))


if __name__ == "__main__":
    main(*sys.argv[1:])
