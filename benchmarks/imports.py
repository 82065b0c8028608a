"""What it takes to import a module, in a fresh Python."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from benchmarks.jobs import Sample
from benchmarks.processes import ROOT
from benchmarks.rounds import Rounds, run

#: What the others are compared with.
BASE: Final = "import anyio"
BARE: Final = "import esmtp_async"
CLIENT: Final = "from esmtp_async import SMTPClient"

# Nothing else may be imported in it.
_PROGRAM: Final = """
import time
cpu, wall = time.process_time(), time.perf_counter()
{statement}
print(time.process_time() - cpu, time.perf_counter() - wall)
"""


def compare(rounds: int) -> Rounds[str]:
    """Import this package, and what it stands on, in turn."""
    return run(rounds, (BASE, BARE, CLIENT), _cost)


def _cost(statement: str) -> Sample:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(statement=statement)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return Sample(*map(float, done.stdout.split()))
