"""Every single change of the table of transitions, and of what is derived from it.

A proof is worth what it catches. Each cell of `ROWS` is given every other value
it can have, one at a time, and the checks of `test_table` and `test_product` run
on the machine so changed: one of them must fail. What they cannot catch is listed
in `EQUIVALENT` with the reason why it makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

import pytest

from esmtp_async.protocol import (
    NEVER,
    ROWS,
    LocalProtocolError,
    RemoteProtocolError,
    Row,
    State,
    Verb,
    _session,
    _states,
)

from .reference import Server
from .test_product import LMTP_SLOPPY, SLOPPY, check_product
from .test_table import check_replies, check_send

pytestmark = [pytest.mark.mutation, pytest.mark.timeout(300)]

TARGETS: Final = ("completion", "intermediate", "refusal")

#: The machine as `_session` sees it: the names of the tables, and the tables.
Machine = Mapping[str, object]


class Mutant(NamedTuple):
    """The machine with one thing changed."""

    name: str
    verb: Verb
    machine: Machine
    #: Whether the reference servers alone must notice.
    alarming: bool


def machine(rows: tuple[Row, ...]) -> dict[str, object]:
    """Derive what the session works with, as `_states` does."""
    return {
        "TRANSITIONS": _states.transitions(rows),
        "PROJECTION": _states.projection(rows),
        "SENDABLE": frozenset(
            (state, row.verb) for row in rows if not row.overtaken for state in row.states
        ),
        "GROUPABLE": frozenset(row.verb for row in rows if row.group),
        "EXACT_CODES": _states.EXACT_CODES,
    }


ORIGINAL: Final = machine(ROWS)


def label(row: Row) -> str:
    """Name a row: its verb, `~` if overtaken, and its state if there is but one."""
    states = "" if len(row.states) > 1 else "".join(f"@{s.value}" for s in row.states)
    return f"{row.verb.value}{'~' if row.overtaken else ''}{states}"


def mutations(row: Row) -> Iterator[tuple[str, Row, bool]]:
    """Give every row that differs in one cell, and whether that is alarming.

    A server of the reference must notice whatever leads elsewhere than to where
    it is, and whatever lets out a command that is out of order there. That an
    answer which no server gives is taken, or a command held back, is for the
    table to notice.
    """
    for column in TARGETS:
        before = getattr(row, column)
        for target in (*State, NEVER, None):
            # BDAT overtaken and taken: no server does so. RSET is never refused.
            if target is not before:
                name = target.value if isinstance(target, (State, type(NEVER))) else "stay"
                yield (
                    f"{column} {name}",
                    row._replace(**{column: target}),
                    before is not NEVER,
                )
    yield "group", row._replace(group=not row.group), False
    yield "overtaken", row._replace(overtaken=not row.overtaken), row.overtaken
    for state in State:
        added = state not in row.states and not row.overtaken
        heard = state not in {State.CONNECTED, State.CLOSED}
        yield (
            f"{'-' if state in row.states else '+'}{state.value}",
            row._replace(states=row.states ^ {state}),
            added and heard,
        )


def mutants_of(row: Row) -> Iterator[Mutant]:
    """Give the machine with one cell of one row changed."""
    index = ROWS.index(row)
    for name, changed, alarming in mutations(row):
        rows = (*ROWS[:index], changed, *ROWS[index + 1 :])
        if all(getattr(changed, column) is NEVER for column in TARGETS):
            continue  # with no answer at all it is no row
        yield Mutant(f"{label(row)} {name}", row.verb, machine(rows), alarming)


def mutants_beside_the_rows() -> Iterator[Mutant]:
    """Give the machine with another projection of LAST, or a code not exact."""
    projection = _states.projection(ROWS)
    for state, verb in projection:
        if verb is Verb.LAST:
            for other in set(State) - {State.INDETERMINATE}:
                changed = {**projection, (state, verb): other}
                yield Mutant(
                    f"LAST projected from {state.value} to {other.value}",
                    verb,
                    {**ORIGINAL, "PROJECTION": changed},
                    alarming=state is State.RCPT,
                )
    for verb, severity in _states.EXACT_CODES:
        codes = {**_states.EXACT_CODES}
        del codes[verb, severity]
        yield Mutant(
            f"any {severity.value} for {verb.value}",
            verb,
            {**ORIGINAL, "EXACT_CODES": codes},
            alarming=False,
        )


#: What cannot be caught, for it changes nothing that a session does.
EQUIVALENT: Final[Mapping[str, frozenset[str]]] = {
    "CLOSED: nothing is sent there, and no reply is read": frozenset(
        f"{label(row)} +CLOSED" for row in ROWS
    ),
    "another spelling: the row's one state, or the state where it already leads": (
        frozenset(
            {
                "STARTTLS@READY refusal READY",
                "AUTH@READY completion stay",
                "AUTH@READY refusal READY",
                "RESPONSE@AUTH intermediate stay",
                "MAIL@READY refusal READY",
                "DATA@RCPT refusal RCPT",
                "RSET@GREETED completion GREETED",
            }
        )
    ),
    "another row of the verb says it as well": frozenset(
        {
            "RCPT group",
            "RCPT~ group",
            "BDAT group",
            "BDAT~ group",
            "LAST group",
            "LAST~ group",
            "RSET group",
            "RSET@GREETED group",
            "RSET +GREETED",
            "RSET@GREETED +READY",
            "DATA~ +RCPT",
            "LAST~ +RCPT",
            "LAST~ +BDAT",
        }
    ),
    "the greeting is on its way from the start, and PIPELINING offered after it": (
        frozenset({"CONNECT@CONNECTED group", "CONNECT@CONNECTED overtaken"})
    ),
}


def caught(check: Callable[[], None]) -> bool:
    """Tell whether a check fails."""
    try:
        check()
    except (
        AssertionError,
        KeyError,
        LocalProtocolError,
        RemoteProtocolError,
        pytest.fail.Exception,
    ):
        return True
    return False


def check_table(verb: Verb) -> None:
    """Check the whole table, and the verb that was changed first."""
    pairs = [(state, verb) for state in State for verb in Verb]
    for state, each in sorted(pairs, key=lambda pair: pair[1] is not verb):
        check_replies(state, each)
        check_send(state, each)


def check_servers() -> None:
    """Check the session against the servers that do the most."""
    for server in (SLOPPY, LMTP_SLOPPY):
        check_product(server, window=4)


def uncaught(
    mutants: Iterator[Mutant], patch: pytest.MonkeyPatch
) -> tuple[set[str], set[str]]:
    """Give those that nothing catches, and those that alarm no server but should."""
    survivors: set[str] = set()
    silent: set[str] = set()
    for mutant in mutants:
        with patch.context() as patched:
            for name, value in mutant.machine.items():
                patched.setattr(_session, name, value)
            if mutant.machine != ORIGINAL and mutant.alarming:
                if not caught(check_servers):
                    silent.add(mutant.name)
            elif not caught(lambda: check_table(mutant.verb)) and not caught(check_servers):
                survivors.add(mutant.name)
    return survivors, silent
