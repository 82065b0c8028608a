"""The progress bar, by rich."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from esmtp_async._cli._tally import Tally


class _Bar:
    """A bar of the octets that are done with, and what became of the messages."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def update(self, tally: Tally) -> None:
        """Show where it has come to."""
        self._progress.update(
            self._task,
            completed=tally.octets,
            tally=str(tally),
            rate=f"{tally.rate:,.1f}/s",
        )

    def say(self, line: str) -> None:
        """Say it above the bar."""
        self._progress.console.print(Text(line), soft_wrap=True)


@contextmanager
def bar(total: int) -> Iterator[_Bar]:
    """Show a bar towards so many octets on standard error."""
    with Progress(
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[tally]}"),
        TextColumn("{task.fields[rate]}"),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False),
        redirect_stdout=False,  # which goes where it was sent
    ) as progress:
        task = progress.add_task("", total=total, tally="connecting", rate="")
        yield _Bar(progress, task)
