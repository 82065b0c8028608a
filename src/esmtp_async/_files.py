"""Large messages in files: read piece by piece, and never held as a whole.

A file is gone through once before it is sent, for SIZE and what else must be known,
and again each time it is sent. All of it happens in threads.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from copy import copy
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeGuard, TypeVar

from anyio import to_thread

from esmtp_async._signing import Signers, signatures
from esmtp_async.protocol._content import (
    Canonicalizer,
    Known,
    MailData,
    Untouched,
    header_section,
)
from esmtp_async.protocol._exceptions import InvalidInput

_T = TypeVar("_T")

#: Octets of one piece. What is no larger is read as a whole.
PIECE: Final = 512 * 1024

#: Gives the octets from a place on, `PIECE` at most; none at the end. It may block.
ReadAt = Callable[[int], bytes]


class Readable(Protocol):
    """A binary file."""

    def read(self, size: int = -1, /) -> bytes:
        """Read octets."""
        ...


class _Seekable(Readable, Protocol):
    """One that can go back."""

    def tell(self) -> int:
        """Give the place."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place."""
        ...


async def off_the_loop(read: Callable[[], _T]) -> _T:
    """Read a file, which may be a pipe that nobody writes to: nobody waits for it."""
    return await to_thread.run_sync(read, abandon_on_cancel=True)


class Stored:
    """A large message in a file, gone through once; making it blocks.

    Its beginning is kept, with the header section; if that is longer than a piece,
    the rest of it is nobody's to look at.
    """

    def __init__(self, read: ReadAt, *, binary: bool) -> None:
        self._read = read
        self._binary = binary
        canonicalizer = Untouched() if binary else Canonicalizer()
        #: Its first octets, canonical.
        self.beginning: bytes = canonicalizer.feed(piece := read(0))
        size, is_8bit = len(self.beginning), not piece.isascii()
        position = 0
        while piece:
            position += len(piece)
            piece = read(position)
            size += len(canonicalizer.feed(piece))
            is_8bit = is_8bit or not piece.isascii()
        size += len(canonicalizer.end())
        #: What is known of it.
        self.known: Known = Known.of(self.beginning, size=size, is_8bit=is_8bit)

        # The fields before it.
        self._fields = b""

    def signed(self, signers: Signers) -> Stored:
        """Give it with signatures before it, for which it is gone through again."""
        header = header_section(self.beginning)
        if len(header) == len(self.beginning) < self.known.size:
            msg = f"the header section exceeds {PIECE} octets and cannot be signed"
            raise InvalidInput(msg)
        result = copy(self)
        result._fields = fields = signatures(  # it is one of us
            signers, header, partial(self._body, len(header) + 2)
        )
        size = self.known.size + len(fields)
        result.known = self.known._replace(size=size)
        return result

    def _body(self, start: int) -> Iterator[bytes]:
        """Go through what stands behind the header section and the blank line."""
        form = Canonicalizer()  # what is signed is never binary
        position, left = 0, self.known.size
        while piece := self._read(position):
            position += len(piece)
            block = form.feed(piece)
            left -= len(block)
            yield block[start:]
            start = max(0, start - len(block))
        end = form.end()
        if left != len(end):
            msg = "the message has changed: it is not as long as it was"
            raise ValueError(msg)
        yield end

    def mail_data(self) -> MailData:
        """Give its octets, once more."""
        pieces = _Pieces(self._read, self._fields)
        return MailData(blocks=pieces, known=self.known, binary=self._binary)


class _Pieces(AsyncIterator[bytes]):
    """The pieces of a file, each read when it is wanted, and what goes before them."""

    def __init__(self, read: ReadAt, before: bytes) -> None:
        self._read = read
        self._before = before
        self._position = 0

    async def __anext__(self) -> bytes:
        """Give the next piece."""
        if self._before:
            before, self._before = self._before, b""
            return before
        piece = await off_the_loop(partial(self._read, self._position))
        if not piece:
            raise StopAsyncIteration
        self._position += len(piece)
        return piece


def from_path(path: Path, *, binary: bool = False) -> Stored | bytes:
    """Look at a file; give its octets if they are few, or come from a pipe."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size <= PIECE:
        return path.read_bytes()

    def read(position: int) -> bytes:
        # Opened anew for each piece, so that nothing has to be closed whatever
        # becomes of the message.
        with path.open("rb", buffering=0) as file:
            if _identity(os.fstat(file.fileno())) != _identity(found):
                msg = f"{path} has changed since it was looked at"
                raise OSError(msg)
            file.seek(position)
            return file.read(PIECE)

    return Stored(read, binary=binary)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def from_file(file: Readable, *, binary: bool = False) -> Stored | bytes:
    """Look at an open file, from where it stands; give its octets if they are few.

    So it does where the file cannot go back. Where it can, the message is read as
    often as it is sent, and nobody else may use the file meanwhile.
    """
    if not _can_seek(file):
        return _octets(file.read())
    start = file.tell()
    size = file.seek(0, os.SEEK_END) - start
    file.seek(start)
    if size <= PIECE:
        return _octets(file.read())

    def read(position: int) -> bytes:
        file.seek(start + position)
        return _octets(file.read(PIECE))

    return Stored(read, binary=binary)


def _can_seek(file: Readable) -> TypeGuard[_Seekable]:
    seekable = getattr(file, "seekable", None)
    return callable(seekable) and bool(seekable())


def _octets(read: object) -> bytes:
    if isinstance(read, bytes):
        return read
    msg = f"the message's file gave {type(read).__name__}, not bytes"
    raise InvalidInput(msg)
