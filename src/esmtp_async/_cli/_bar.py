"""The progress bar, by rich."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from esmtp_async._cli._tally import Tally


class _TwoLines(Progress):
    """What became of the messages, and below it the bar: it fits narrow terminals."""

    tally = "connecting"

    def get_renderables(self) -> Iterable[RenderableType]:
        """Give both lines."""
        yield Text(self.tally, no_wrap=True, overflow="ellipsis")
        yield from super().get_renderables()


class _Bar:
    """A bar of the octets that are done with, and what became of the messages."""

    def __init__(self, progress: _TwoLines, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total, rate="")

    def update(self, tally: Tally) -> None:
        """Show where it has come to."""
        self._progress.tally = str(tally)
        rate = f"{tally.rate:,.1f}/s"
        self._progress.update(self._task, completed=tally.octets, rate=rate)

    def say(self, line: str) -> None:
        """Say it above the bar."""
        self._progress.console.print(Text(line), soft_wrap=True)


@contextmanager
def bar(total: int) -> Iterator[_Bar]:
    """Show a bar towards so many octets on standard error."""
    with _TwoLines(
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False),
        redirect_stdout=False,  # which goes where it was sent
    ) as progress:
        yield _Bar(progress, total)
