"""How far `esmtp bulk` has come, shown to whoever sits at the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final, Protocol, TextIO

from esmtp_async._cli._output import Output
from esmtp_async._cli._tally import Tally

#: Seconds between two looks of the plain line.
_PAUSE: Final = 0.2

_HINT: Final = "pip install 'esmtp-async[cli]' shows a progress bar here"


class Progress(Protocol):
    """What shows it."""

    def update(self, tally: Tally) -> None:
        """Show where it has come to."""
        ...

    def say(self, line: str) -> None:
        """Say something that stays."""
        ...


@contextmanager
def shown(total: int) -> Iterator[Progress]:
    """Show progress towards so many octets, as well as standard error can."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield _Silent()
        return
    try:
        from esmtp_async._cli._bar import bar  # noqa: PLC0415  # it needs an extra
    except ModuleNotFoundError:
        line = _PlainLine(total, sys.stderr)
        line.say(f"esmtp: {_HINT}")
        try:
            yield line
        finally:
            line.clear()
        return
    with bar(total) as progress:
        yield progress


class _Silent:
    """Nobody looks on; what stays is said all the same."""

    def update(self, tally: Tally) -> None:
        """Show nothing."""

    def say(self, line: str) -> None:
        """Say it."""
        print(line, file=Output(sys.stderr))


class _PlainLine:
    """A line that is written over, where there is nothing better."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total = total
        self._output = Output(stream)
        self._columns = os.get_terminal_size(stream.fileno()).columns
        self._next = 0.0
        self._width = 0

    def update(self, tally: Tally) -> None:
        """Write the line anew, a few times a second."""
        if monotonic() < self._next:
            return
        self._next = monotonic() + _PAUSE
        share = 100 * tally.octets // max(self._total, 1)
        text = f"{share:3} %  {tally.rate:,.1f} messages/s  {tally}"
        text = text[: self._columns - 1]  # what does not fit cannot be written over
        self._output.write(f"\r{text:<{self._width}}")
        self._width = len(text)

    def say(self, line: str) -> None:
        """Say it above the line."""
        self.clear()
        self._output.write(f"{line}\n")

    def clear(self) -> None:
        """Wipe the line."""
        if self._width:
            self._output.write(f"\r{'':<{self._width}}\r")
            self._width = 0
