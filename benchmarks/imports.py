"""What it takes to import a module, in a fresh Python.

Compiled code is kept, wherever it is; whether the environment forbids that or not.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from typing import Final

from benchmarks.jobs import Sample
from benchmarks.processes import ROOT
from benchmarks.rounds import Rounds, run

#: What the others are compared with.
BASE: Final = "import anyio"
#: The front door alone, which opens at the first use.
BARE: Final = "import esmtp_async"
#: Statement to the module that it needs.
_STATEMENTS: Final = {
    BASE: "anyio",
    BARE: "esmtp_async",
    "from esmtp_async import SMTPClient": "esmtp_async",
    "from aiosmtplib import SMTP": "aiosmtplib",
}

# Nothing else may be imported in it.
_PROGRAM: Final = """
import time
cpu, wall = time.process_time(), time.perf_counter()
{statement}
print(time.process_time() - cpu, time.perf_counter() - wall)
"""


def compare(rounds: int) -> Rounds[str]:
    """Import this package, and others, in turn."""
    statements = [
        statement
        for statement, module in _STATEMENTS.items()
        if importlib.util.find_spec(module)
    ]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for statement in statements:
            _cost(statement, environment)
        return run(rounds, statements, lambda each: _cost(each, environment))


def _cost(statement: str, environment: dict[str, str]) -> Sample:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(statement=statement)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=True,
        env=environment,
    )
    return Sample(*map(float, done.stdout.split()))
