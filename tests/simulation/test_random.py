"""Random sessions with several faults: whatever happens, every promise is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.simulation.command import Tally, several
from tests.simulation.faults import Kind
from tests.simulation.oracle import transcript
from tests.simulation.plan import plan
from tests.simulation.session import carry_out

ROOT: Final = Path(__file__).parents[2]
#: Seeds of one test, and how many such tests there are on each event loop.
SHARE: Final = 250
SHARES: Final = [*(("asyncio", n) for n in range(8)), ("trio", 8), ("trio", 9)]


def failure(tally: Tally, backend: str) -> str:
    """Tell what is wrong with the first of the sessions that came to grief."""
    seed, wrong = next(iter(tally.violations.items()))
    run = carry_out(plan(seed), backend)
    replay = f"nox -s simulate -- --seed {seed} --backend {backend}"
    return "\n".join([replay, transcript(run), *wrong])


@pytest.mark.parametrize(("backend", "share"), SHARES)
def test_whatever_happens_every_promise_is_kept(backend: str, share: int) -> None:
    tally = several(range(share * SHARE, (share + 1) * SHARE), backend)
    assert not tally.violations, failure(tally, backend)
    assert tally.faults.total() > SHARE / 2
    assert tally.outcomes.keys() == {"ACCEPTED", "REFUSED", "NOT_SENT", "UNKNOWN"}


def test_every_kind_of_fault_strikes() -> None:
    tally = several(range(SHARE), "asyncio")
    tally.add(several(range(SHARE, 2 * SHARE), "asyncio"))
    assert tally.sessions == 2 * SHARE
    assert tally.faults.keys() == {kind.value for kind in Kind}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_seed_is_one_run(backend: str) -> None:
    # In another process, where nothing hashes as it does here.
    seeds = range(20)
    told = [transcript(carry_out(plan(seed), backend)) + "\n" for seed in seeds]
    program = (
        "from tests.simulation.command import main\n"
        f"for seed in {seeds}:\n"
        "    try:\n"
        f"        main(['--seed', str(seed), '--backend', '{backend}'])\n"
        "    except SystemExit as end:\n"
        "        assert not end.code\n"
    )
    other = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "4711"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert other.stdout == "".join(told)
