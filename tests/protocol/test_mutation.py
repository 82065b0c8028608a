"""Every single change of the table of transitions, and of what is derived from it.

A proof is worth what it catches. Each cell of `ROWS` is given every other value
it can have, one at a time, and the checks of `test_table` and `test_product` run
on the machine so changed: one of them must fail. What they cannot catch is listed
in `EQUIVALENT` with the reason why it makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from tests.protocol.test_product import LMTP_SLOPPY, SLOPPY, check_product
from tests.protocol.test_table import check_replies, check_send

pytestmark = [pytest.mark.mutation, pytest.mark.timeout(300)]

TARGETS: Final = ("completion", "intermediate", "refusal")

#: Where a session can be with nothing on its way.
HEARD: Final = frozenset(State) - {State.CONNECTED, State.CLOSED}

#: The machine as `_session` sees it: the names of the tables, and the tables.
Machine = Mapping[str, object]


class Mutant(NamedTuple):
    """The machine with one thing changed."""

    name: str
    verb: Verb
    machine: Machine
    #: Whether the reference servers alone must notice: a reply leads elsewhere
    #: than to where the server is, or a command is let out where it is out of
    #: order. That an answer which no server gives is taken, or a command held
    #: back without need, only the table can tell.
    alarming: bool = False


def machine(rows: tuple[Row, ...]) -> dict[str, object]:
    """Derive what the session works with, as `_states` does."""
    return {
        "TRANSITIONS": _states.transitions(rows),
        "PROJECTION": _states.projection(rows),
        "SENDABLE": frozenset(
            (state, row.verb)
            for row in rows
            if not row.overtaken
            for state in row.states
        ),
        "GROUPABLE": frozenset(row.verb for row in rows if row.group),
        "EXACT_CODES": _states.EXACT_CODES,
    }


ORIGINAL: Final = machine(ROWS)


def label(row: Row) -> str:
    """Name a row: its verb, `~` if overtaken, and its state if there is but one."""
    states = "" if len(row.states) > 1 else "".join(f"@{s.value}" for s in row.states)
    return f"{row.verb.value}{'~' if row.overtaken else ''}{states}"


def mutants_of(row: Row) -> Iterator[Mutant]:
    """Give the machine with one cell of one row changed."""
    index = ROWS.index(row)
    for change, changed, alarming in changes(row):
        rows = (*ROWS[:index], changed, *ROWS[index + 1 :])
        yield Mutant(f"{label(row)} {change}", row.verb, machine(rows), alarming)


def changes(row: Row) -> Iterator[tuple[str, Row, bool]]:
    """Give every row that differs in one cell, and whether that is alarming."""
    cells = row._asdict()
    for column in TARGETS:
        before = cells[column]
        others = [cells[name] for name in TARGETS if name != column]
        for target in (*State, NEVER, None):
            # A row with no answer at all would be no row.
            if target is before or (target is NEVER and others == [NEVER, NEVER]):
                continue
            name = "stay" if target is None else target.value
            changed = Row(**{**cells, column: target})
            yield f"{column} {name}", changed, before is not NEVER
    yield "group", row._replace(group=not row.group), False
    yield "overtaken", row._replace(overtaken=not row.overtaken), row.overtaken
    for state in State:
        sign = "-" if state in row.states else "+"
        alarming = sign == "+" and not row.overtaken and state in HEARD
        changed = row._replace(states=row.states ^ {state})
        yield f"{sign}{state.value}", changed, alarming


def mutants_beside_the_rows() -> Iterator[Mutant]:
    """Give the machine with another projection of LAST, or a code not exact."""
    projection = _states.projection(ROWS)
    for state, verb in projection:
        if verb is Verb.LAST:
            for other in set(State) - {State.INDETERMINATE}:
                yield Mutant(
                    f"LAST projected from {state.value} to {other.value}",
                    verb,
                    {**ORIGINAL, "PROJECTION": {**projection, (state, verb): other}},
                    # MAIL goes out before the message is known to be taken.
                    other is State.READY and state in {State.RCPT, State.BDAT},
                )
    for verb, severity in _states.EXACT_CODES:
        codes = {**_states.EXACT_CODES}
        del codes[verb, severity]
        name = f"any {severity.value} for {verb.value}"
        yield Mutant(name, verb, {**ORIGINAL, "EXACT_CODES": codes})


#: What cannot be caught, for it changes nothing that a session does; and why.
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
                "ETRN@READY completion READY",
                "ETRN@READY refusal READY",
                "XCLIENT@READY refusal READY",
                "XFORWARD@READY completion READY",
                "XFORWARD@READY refusal READY",
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
NO_CHANGE: Final = frozenset[str]().union(*EQUIVALENT.values())

#: What a check raises that fails: an assertion, or what the machine trips over.
FAILURES: Final = (
    AssertionError,
    KeyError,
    LocalProtocolError,
    RemoteProtocolError,
    pytest.fail.Exception,
)


def caught_by_table(mutant: Mutant) -> bool:
    """Check the whole table, beginning with the verb that was changed."""
    pairs = [(state, verb) for state in State for verb in Verb]
    try:
        for state, verb in sorted(pairs, key=lambda pair: pair[1] is not mutant.verb):
            check_replies(state, verb)
            check_send(state, verb)
    except FAILURES:
        return True
    return False


def caught_by_servers() -> bool:
    """Talk to the servers that do the most."""
    try:
        for server in (SLOPPY, LMTP_SLOPPY):
            check_product(server, window=4)
    except FAILURES:
        return True
    return False


def install(mutant: Mutant, patch: pytest.MonkeyPatch) -> None:
    """Make the session work with the mutant's tables."""
    for name, table in mutant.machine.items():
        patch.setattr(_session, name, table)


def test_nothing_is_caught_where_nothing_is_changed() -> None:
    assert {name: getattr(_session, name) for name in ORIGINAL} == ORIGINAL
    assert not caught_by_table(Mutant("none", Verb.MAIL, ORIGINAL))
    assert not caught_by_servers()


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_every_change_of_a_row_is_caught(
    row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    uncaught: set[str] = set()
    for mutant in mutants_of(row):
        install(mutant, monkeypatch)
        if not (caught_by_table(mutant) or caught_by_servers()):
            uncaught.add(mutant.name)
    assert uncaught == {name for name in NO_CHANGE if name.split()[0] == label(row)}


def test_every_change_of_what_stands_beside_the_rows_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for mutant in mutants_beside_the_rows():
        install(mutant, monkeypatch)
        assert caught_by_table(mutant), mutant.name


@pytest.mark.parametrize("row", [*ROWS, None], ids=lambda r: label(r) if r else "rest")
def test_the_servers_alone_notice_whatever_does_harm(
    row: Row | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutants = mutants_of(row) if row else mutants_beside_the_rows()
    for mutant in mutants:
        if mutant.alarming and mutant.name not in NO_CHANGE:
            install(mutant, monkeypatch)
            assert caught_by_servers(), mutant.name


def test_the_mutants_are_many_and_each_has_its_name() -> None:
    assert len({label(row) for row in ROWS}) == len(ROWS)
    mutants = [m for row in ROWS for m in mutants_of(row)]
    mutants += mutants_beside_the_rows()
    names = [mutant.name for mutant in mutants]
    assert len(set(names)) == len(names) >= 1_200
    assert sum(mutant.alarming for mutant in mutants) >= 500
    assert set(names) >= NO_CHANGE
