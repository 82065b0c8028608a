"""The pictures of the state machine page, made from `ROWS`.

`python -m tests.docs.state_machine` writes them anew; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from esmtp_async.protocol import NEVER, ROWS, Row, State

from .pages import DOCS, write

PAGE = DOCS / "explanation" / "state-machine.md"

#: Labels of curved arrows may be laid over each other.
STRAIGHT: Final = '%%{init: {"flowchart": {"curve": "linear"}}}%%'

#: The most states that a command has an arrow from each of.
FEW: Final = 3


def diagram() -> str:
    """Draw the way of a conversation: every arrow that leaves its state.

    What may be sent in many states leads to the same one from all of them, and is drawn
    only where nothing leads elsewhere.
    """
    return drawn("TD", [row for row in ROWS if not row.overtaken])


def overtaken() -> str:
    """Draw where the replies to commands lead that were overtaken by a refusal."""
    return drawn("LR", [row for row in ROWS if row.overtaken])


def drawn(direction: str, rows: Sequence[Row]) -> str:
    """Draw the arrows of rows."""
    shown = [arrow for row in rows if not is_anywhere(row) for arrow in arrows(row)]
    for row in filter(is_anywhere, rows):
        for arrow in arrows(row):
            ways = {each.after for each in shown if each.before is arrow.before}
            if ways <= {arrow.after}:
                shown.append(arrow)
    labels: dict[tuple[State, State], dict[str, list[str]]] = {}
    for before, after, verb, answers in shown:
        labels.setdefault((before, after), {}).setdefault(answers, []).append(verb)
    lines = ["```mermaid", STRAIGHT, f"flowchart {direction}"]
    for before, after in sorted(labels, key=lambda ends: [*map(_place, ends[::-1])]):
        told = labels[before, after].items()
        label = "<br>".join(f"{', '.join(verbs)}<br>{each}" for each, verbs in told)
        lines.append(f'    {before.name} -->|"{label}"| {after.name}')
    lines += [
        f"    {state.name}([{state.name}])"
        for state in State
        if any(state in ends for ends in labels)
    ]
    return "\n".join([*lines, "```"])


_place = list(State).index


class Arrow(NamedTuple):
    """Where the replies to a command lead from a state."""

    before: State
    after: State
    verb: str
    answers: str


def is_anywhere(row: Row) -> bool:
    """Tell whether a command may be sent in more than a few states."""
    return len(row.states) > FEW


def arrows(row: Row) -> Iterator[Arrow]:
    """Give the arrows of a row that leave their state."""
    answers = (
        ("2yz", row.completion),
        ("3yz", row.intermediate),
        ("4yz, 5yz", row.refusal),
    )
    for before in sorted(row.states, key=_place):
        led: dict[State, list[str]] = {}
        for answer, after in answers:
            if isinstance(after, State) and after is not before:
                led.setdefault(after, []).append(answer)
        for after, told in led.items():
            yield Arrow(before, after, row.verb.value, ", ".join(told))


def table() -> str:
    """Set the rows as a table of the page."""
    lines = [
        "| verb | in | 2yz | 3yz | 4yz, 5yz | in a group |",
        "|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        states = " ".join(state.name for state in sorted(row.states, key=_place))
        cells = [
            f"*overtaken* {row.verb.value}" if row.overtaken else row.verb.value,
            states,
            *(
                "never" if after is NEVER else after.name if after else "stay"
                for after in (row.completion, row.intermediate, row.refusal)
            ),
            "yes" if row.group else "no",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


PARTS = {"diagram": diagram, "table": table, "overtaken": overtaken}


if __name__ == "__main__":
    write(PAGE, PARTS)
