"""The figures of the comparison, taken from those that the benchmark wrote.

``python -m tests.docs.comparison`` takes them; a test compares.
"""

from __future__ import annotations

from typing import Final

from .pages import DOCS, write

PAGE: Final = DOCS / "comparison.md"
MEASURED: Final = DOCS / "performance.md"

#: Part of the page on performance to the columns that are taken from it.
COLUMNS: Final = {
    "round trips": ("1 recipient", "10 recipients"),
    "throughput": ("30 ms away: messages a second",),
    "cpu": ("CPU, aiosmtplib = 1",),
}
HEADS: Final = (
    "client",
    "round trips, 1 recipient",
    "10 recipients",
    "messages a second, 30 ms away",
    "CPU a message, aiosmtplib = 1",
)
CLIENTS: Final = (
    "**esmtp_async** send",
    "**esmtp_async** send_many",
    "**esmtp_async** send, eager",
    "**esmtp_async** send_many, eager",
    "aiosmtplib",
    "smtplib",
    "smtpproto",
    "nodemailer (Node.js)",
    "curl",
)


def cells(line: str) -> list[str]:
    """Give the cells of a line of a table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def measured(part: str) -> dict[str, dict[str, str]]:
    """Read a table of the page on performance: client to column to figure."""
    page = MEASURED.read_text("utf-8")
    _, _, rest = page.partition(f"<!-- begin {part} -->")
    text, end, _ = rest.partition(f"<!-- end {part} -->")
    if not end:
        raise LookupError(f"{MEASURED.name} has no part {part!r}")
    head, _, *lines = text.strip().splitlines()
    columns = cells(head)
    rows = [dict(zip(columns, cells(line), strict=True)) for line in lines]
    return {row[columns[0]]: row for row in rows}


def figures() -> str:
    """Set the figures of all clients side by side."""
    tables = {part: measured(part) for part in COLUMNS}
    lines = [
        f"| {' | '.join(HEADS)} |",
        f"|{' --- |'}{' --: |' * (len(HEADS) - 1)}",
    ]
    for client in CLIENTS:
        told = [
            tables[part].get(client, {}).get(column, "")
            for part, columns in COLUMNS.items()
            for column in columns
        ]
        lines.append(f"| {' | '.join([client, *told])} |")
    return "\n".join(lines)


def machine() -> str:
    """Tell when, where and of what they were measured."""
    page = MEASURED.read_text("utf-8")
    _, _, rest = page.partition("<!-- begin machine -->")
    text, _, _ = rest.partition("<!-- end machine -->")
    return text.strip()


PARTS: Final = {"figures": figures, "machine": machine}


if __name__ == "__main__":
    write(PAGE, PARTS)
