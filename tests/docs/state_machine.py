"""The pictures of the state machine page, made from `ROWS`.

`python -m tests.docs.state_machine` writes them anew; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator

from esmtp_async.protocol import NEVER, ROWS, Row, State

from .pages import DOCS, write

PAGE = DOCS / "explanation" / "state-machine.md"


def diagram() -> str:
    """Draw every arrow that leaves its state; dotted are those of the overtaken."""
    labels: dict[tuple[State, str, State], list[str]] = {}
    for row in ROWS:
        arrow = "-.->" if row.overtaken else "-->"
        for before, severity, after in arrows(row):
            if after is not before:
                label = f"{row.verb.value} {severity}"
                labels.setdefault((before, arrow, after), []).append(label)
    lines = ["```mermaid", "flowchart TD"]
    lines += [f"    {state.name}([{state.name}])" for state in State]
    lines += [
        f'    {before.name} {arrow}|"{"<br>".join(texts)}"| {after.name}'
        for (before, arrow, after), texts in labels.items()
    ]
    return "\n".join([*lines, "```"])


def arrows(row: Row) -> Iterator[tuple[State, str, State]]:
    """Give (state, severity, state) for each answer that a row allows."""
    answers = (
        ("2yz", row.completion),
        ("3yz", row.intermediate),
        ("4yz/5yz", row.refusal),
    )
    for state in sorted(row.states, key=list(State).index):
        for severity, after in answers:
            if after is not NEVER:
                yield state, severity, state if not isinstance(after, State) else after


def table() -> str:
    """Set the rows as a table of the page."""
    lines = [
        "| verb | in | 2yz | 3yz | 4yz, 5yz | in a group |",
        "|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        states = " ".join(
            state.name for state in sorted(row.states, key=list(State).index)
        )
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


PARTS = {"diagram": diagram, "table": table}


if __name__ == "__main__":
    write(PAGE, PARTS)
