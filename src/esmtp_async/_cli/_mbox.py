"""Messages of an mbox file, one after the other, in constant memory.

A message begins behind a line `From ADDRESS DATE`. A line of its own that begins with
`From ` is quoted by a `>`, which is taken away again, from a quoted one as well
(the variant "mboxrd"). A line that is neither, where a message may begin, leaves open
what is one message and what are two: it is refused, for half of it could go out, or
two of them to the recipients of the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import BinaryIO, Final, NamedTuple

#: What a file begins with that is an mbox.
MAGIC: Final = b"From "
#: Octets from which on a message is kept in a temporary file.
LARGE: Final = 512 * 1024

#: Octets of a line that are looked at together.
_PIECE: Final = 64 * 1024
_DAYS: Final = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTHS: Final = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
# As `asctime` writes it, with a time zone before or behind the year.
_SEPARATOR: Final = re.compile(
    rb"From .*\b%b,? +%b +\d{1,2} +\d{1,2}:\d\d(?::\d\d)?\b.*\d{4}.*" % (_DAYS, _MONTHS)
)
_QUOTED: Final = re.compile(rb">+From ")
_BLANK: Final = (b"\n", b"\r\n")


class Message(NamedTuple):
    """A message of an mbox."""

    #: Where its separator stands, in octets from the beginning of the file.
    offset: int
    #: Its octets in the file, with the separator and what ends it.
    length: int
    #: The message, not quoted any more; a file that is open where it is large.
    content: bytes | BinaryIO
    #: Why it may be more than one, or only a part; empty if all is well.
    doubt: str

    def read(self) -> bytes:
        """Give the message as octets, and close its file."""
        if isinstance(self.content, bytes):
            return self.content
        with self.content as file:
            return file.read()


def messages(file: BinaryIO) -> Iterator[Message]:
    """Read an mbox whose first line is a separator; a file it gives is to be closed.

    Raises `ValueError` if it is not one, and `OSError`.
    """
    first = file.readline(_PIECE)
    if not _SEPARATOR.match(first):
        msg = "its first line begins with 'From ', and has no date as that of an mbox"
        raise ValueError(msg)
    offset, position = 0, len(first)
    writer = _Writer()
    at_start, number = first.endswith(b"\n"), 1
    try:
        while piece := file.readline(_PIECE):
            number += at_start
            if at_start and _SEPARATOR.match(piece):
                yield writer.finish(offset, position)
                writer = _Writer()
                offset = position
            else:
                writer.add(piece, number, at_start=at_start)
            position += len(piece)
            at_start = piece.endswith(b"\n")
        yield writer.finish(offset, position)
    finally:
        writer.close()


class _Writer:
    """Keeps the lines of one message, without their quoting."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._file: BinaryIO | None = None  # what was held before, of a large one
        self._blank = b""  # the blank line that came last, which may end the message
        self._behind_separator = True
        self._doubt = ""

    def add(self, piece: bytes, number: int, *, at_start: bool) -> None:
        """Add a line, or a piece of a long one."""
        if at_start and piece in _BLANK and not self._behind_separator:
            self._write(self._blank)
            self._blank = piece
            return
        if at_start and self._blank and piece.startswith(MAGIC):
            self._doubt = self._doubt or (
                f"line {number} begins with 'From ' behind a blank line, and neither "
                "has a date, as where a message begins, nor is quoted as '>From '"
            )
        self._write(self._blank)
        self._blank = b""
        self._behind_separator = False
        quoted = at_start and _QUOTED.match(piece)
        self._write(piece[1:] if quoted else piece)

    def finish(self, offset: int, end: int) -> Message:
        """Give the message, without the blank line that ends it."""
        content: bytes | BinaryIO = bytes(self._held)
        if self._file is not None:
            self._file.write(self._held)
            self._file.seek(0)
            content, self._file = self._file, None
        return Message(offset, end - offset, content, self._doubt)

    def close(self) -> None:
        """Close what nobody was given."""
        if self._file is not None:
            self._file.close()

    def _write(self, octets: bytes) -> None:
        self._held += octets
        if len(self._held) > LARGE:
            if self._file is None:
                self._file = TemporaryFile()  # noqa: SIM115  # it is given away
            self._file.write(self._held)
            self._held.clear()
