"""What a command says: results to standard output, complaints to standard error."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from esmtp_async.protocol._replies import printable


class Output:
    """A standard stream, which may be closed and whose reader may be gone.

    The mail goes on without them, and the exit code tells what became of it.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write at once what can be written, other characters as escapes."""
        try:
            self.put(text)
        except BrokenPipeError:  # whoever read it wants no more
            pass
        except OSError as error:
            if self._stream is not sys.stderr:
                complain(f"standard output cannot be written to: {reason(error)}")

    def put(self, text: str) -> None:
        """Write it as `write` does; raises `OSError`, and from then on nothing."""
        stream = self._stream
        if stream is None:
            return
        encoding = stream.encoding or "utf-8"  # what stands in for a stream has none
        octets = text.encode(encoding, "backslashreplace")
        try:
            stream.write(octets.decode(encoding))
            stream.flush()
        except OSError:
            # What it still holds must not fail once more at the end of Python.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            raise


def tell(line: str) -> None:
    """Print a line of what was asked for."""
    print(line, file=Output(sys.stdout))


def complain(problem: object) -> None:
    """Print what is wrong, in one line, with nothing in it that rules a terminal."""
    text = reason(problem) if isinstance(problem, OSError) else str(problem)
    line = printable(text.encode("utf-8", "backslashreplace"))
    print(f"esmtp: {line}", file=Output(sys.stderr))


def reason(error: OSError) -> str:
    """Tell what is wrong with which file, without numbers."""
    what = error.strerror or str(error)
    return what if error.filename is None else f"{error.filename}: {what}"
