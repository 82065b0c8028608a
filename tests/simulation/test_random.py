"""Random sessions with several faults: whatever happens, every promise is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from esmtp_async import SMTPError
from esmtp_async._carrier import Carrier, Window
from esmtp_async._delivery import Delivery
from esmtp_async._pool import Pool
from esmtp_async._roster import Pooled
from esmtp_async.protocol import Session, State, Transaction
from esmtp_async.protocol._events import Owner
from esmtp_async.protocol._series import Place
from tests.simulation.command import Tally, several
from tests.simulation.faults import Kind
from tests.simulation.oracle import problems, transcript
from tests.simulation.plan import plan
from tests.simulation.session import carry_out

pytestmark = pytest.mark.simulation

ROOT: Final = Path(__file__).parents[2]
#: Seeds of one test, and how many such tests there are on each event loop.
SHARE: Final = 100
SHARES: Final = [
    *(("asyncio", number) for number in range(15)),
    *(("trio", number) for number in range(15, 19)),
]


async def lose_a_permit(_pool: Pool, pooled: Pooled) -> None:
    await pooled.connection.aclose()


def send_again(delivery: Delivery, _owner: Owner) -> bool:
    delivery.begin_again()
    return True


def widen(window: Window, _error: SMTPError | None) -> None:
    window.size = 100


def swap(carrier: Carrier, place: Place) -> None:
    """Tell of a message what became of its neighbour."""
    jobs = carrier._jobs
    mine = jobs.pop(place.transaction)
    others = jobs.keys()
    if others:
        neighbour = next(iter(others))
        mine, jobs[neighbour] = jobs[neighbour], mine
    mine.delivery.settle()
    carrier._desk.conclude(mine, place.error)


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
    assert tally.faults.total() > SHARE / 4
    assert len(tally.faults) > len(Kind) / 2
    assert tally.outcomes.keys() == {"ACCEPTED", "REFUSED", "NOT_SENT", "UNKNOWN"}


#: What a client may get wrong: whose attribute is what instead.
MISTAKES: Final[Mapping[str, tuple[type, str, object]]] = {
    "there is never any doubt": (Session, "in_doubt", lambda _session, _owner: False),
    "what is unanswered is forgotten": (
        Session,
        "reusable",
        property(lambda session: session.state is not State.CLOSED),
    ),
    "what may have gone out is sent again": (
        Transaction,
        "decided",
        property(lambda _transaction: False),
    ),
    "the refusal of MAIL is forgotten": (
        Transaction,
        "_verdict",
        lambda transaction, _index: transaction._data,
    ),
    "a permit is lost": (Pool, "release", lose_a_permit),
    "a message in doubt goes out again": (Delivery, "resume", send_again),
    "the window grows and grows": (Window, "note", widen),
    "what became of a message is told of its neighbour": (Carrier, "_settled", swap),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whose, name, instead = MISTAKES[mistake]
    monkeypatch.setattr(whose, name, instead)
    assert any(problems(carry_out(plan(seed))) for seed in range(5 * SHARE))


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
