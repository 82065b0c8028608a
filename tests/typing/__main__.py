"""What mypy and pyright say of users' code: ``python -m tests.typing``.

They look from outside, with their strictest rules, at `right.py`, which has no errors,
and at `wrong.txt`, where each error stands behind its line. Both come with the
dependency group `lint`, so this is a part of the session of that name.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
#: ``code()  # what mypy | and pyright call it``
_EXPECTED: Final = re.compile(r".*  # (?P<mypy>[\w-]+) \| (?P<pyright>\w+)")
_MYPY: Final = re.compile(r"(\w+\.py):(\d+): error: .*\[([\w-]+)\]")

#: File, line, name of the error.
Error = tuple[str, int, str]


def expected(checker: str) -> set[Error]:
    """Read what stands behind the lines."""
    lines = (HERE / "wrong.txt").read_text("utf-8").splitlines()
    matches = enumerate(map(_EXPECTED.fullmatch, lines), 1)
    return {("wrong.py", number, m[checker]) for number, m in matches if m}


def mypy(directory: Path) -> set[Error]:
    """Ask mypy, with no configuration but this."""
    said = _run(
        *("mypy", "--strict", "--config-file=", "--no-error-summary"),
        *("--enable-error-code=unused-awaitable", "right.py", "wrong.py"),
        directory=directory,
    )
    found = {(m[1], int(m[2]), m[3]) for m in _MYPY.finditer(said)}
    if said.count(": error: ") != len(list(_MYPY.finditer(said))):
        raise RuntimeError(said)
    return found


def pyright(directory: Path) -> set[Error]:
    """Ask pyright, as strict as it can be."""
    rules = {"typeCheckingMode": "strict", "reportUnusedExpression": False}
    (directory / "pyrightconfig.json").write_text(json.dumps(rules))
    told = json.loads(
        _run(
            "pyright",
            "--outputjson",
            "--pythonpath",
            sys.executable,
            directory=directory,
        )
    )
    return {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["rule"])
        for each in told["generalDiagnostics"]
    }


def _run(*command: str, directory: Path) -> str:
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run(
        (program, *command[1:]),
        cwd=directory,
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    if done.stderr and not done.stdout:
        raise RuntimeError(done.stderr)
    return done.stdout


def main() -> int:
    """Compare; 0 if both say what is expected."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="esmtp-async-typing-") as scratch:
        directory = Path(scratch)
        shutil.copy(HERE / "right.py", directory)
        shutil.copy(HERE / "wrong.txt", directory / "wrong.py")
        for checker in (mypy, pyright):
            wanted, found = expected(checker.__name__), checker(directory)
            for error in sorted(wanted - found):
                print(f"{checker.__name__} does not see", *error)
            for error in sorted(found - wanted):
                print(f"{checker.__name__} sees", *error)
            failed += wanted != found
            print(f"{checker.__name__}: {len(found)} errors, {len(wanted)} expected")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
