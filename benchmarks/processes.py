"""Modules of this package in processes of their own, which end with their stdin."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

#: Seconds that a process may take to do what it is asked.
PATIENCE: Final = 300


class Servant:
    """A process that answers each line with a line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def hear(self) -> str:
        """Read a line.

        Raises:
            RuntimeError: if the process ended instead.
        """
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            msg = "a process ended that was to answer"
            raise RuntimeError(msg)
        return line.strip()

    def ask(self) -> str:
        """Say a line, and read the answer."""
        if self._process.stdin:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        return self.hear()


def command(module: str, *arguments: object) -> list[str]:
    """Give the command line that runs a module of this package."""
    return [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]


@contextmanager
def servant(module: str, *arguments: object) -> Iterator[Servant]:
    """Keep a process as long as the context."""
    with subprocess.Popen(
        command(module, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            yield Servant(process)
        finally:
            process.kill()


def output(module: str, *arguments: object) -> str:
    """Run a module to its end, and give what it printed."""
    return subprocess.run(
        command(module, *arguments),
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=PATIENCE,
    ).stdout
