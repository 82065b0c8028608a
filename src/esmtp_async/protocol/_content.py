"""Mail data: line ends, dots, size (RFC 5321 §2.3.8, §4.5.2; RFC 1870 §5).

Every CR and every LF that is not half of a CRLF becomes a CRLF, so a bare one
can never reach the wire and be read as a line end by some servers only.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from io import IncrementalNewlineDecoder
from typing import Final, NamedTuple

#: The most octets written at once: an upload can be stopped, cancelled or
#: timed between two blocks.
BLOCK: Final = 64 * 1024

#: Octets that are looked at in one step.
_STRETCH: Final = 1024 * 1024

# What line ends may be seen in canonical octets.
_CANONICAL: Final = (None, "\r\n")

#: Octets of a text line, its CRLF not counted (RFC 5321 §4.5.3.1.6).
MAX_TEXT_LINE: Final = 998


class Canonicalizer:
    """Turns octets with any line ends into octets with CRLF only, block by block."""

    def __init__(self) -> None:
        self._after_cr = False
        self._at_line_start = True

    def feed(self, block: bytes) -> bytes:
        """Give the block with CRLF line ends."""
        if self._after_cr and block.startswith(b"\n"):
            block = block[1:]  # its CRLF went out with the CR
            self._after_cr = False
        if not block:
            return b""
        self._after_cr = block.endswith(b"\r")
        if not _is_canonical(block):
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            block = block.replace(b"\n", b"\r\n")
        self._at_line_start = block.endswith(b"\n")
        return block

    def end(self) -> bytes:
        """Give what completes the last line: CRLF, or nothing."""
        return b"" if self._at_line_start else b"\r\n"


class Untouched:
    """Leaves octets as they are: what is binary has no lines (RFC 3030 §3)."""

    def feed(self, block: bytes) -> bytes:
        """Give the block."""
        return block

    def end(self) -> bytes:
        """Give nothing: there is no last line."""
        return b""


def _is_canonical(octets: bytes) -> bool:
    """Tell whether octets have no CR and no LF but in pairs.

    The standard library's own notes, on the way, which line ends there are: that takes
    a third of the time of counting them.
    """
    notes = IncrementalNewlineDecoder(None, translate=False)
    notes.decode(octets.decode("latin-1"), final=True)
    return notes.newlines in _CANONICAL


def canonical(octets: bytes) -> bytes:
    """Give octets with CRLF line ends, the last one too.

    However many they are, no step takes long; and what is canonical is not copied.
    """
    start = 0
    while start < len(octets):
        end = start + _STRETCH
        if octets[end - 1 : end + 1] == b"\r\n":
            end += 1
        if not _is_canonical(octets[start:end]):
            canonicalizer = Canonicalizer()
            stretches = range(0, len(octets), _STRETCH)
            pieces = [
                canonicalizer.feed(octets[at : at + _STRETCH]) for at in stretches
            ]
            return b"".join((*pieces, canonicalizer.end()))
        start = end
    return octets if octets.endswith(b"\n") or not octets else octets + b"\r\n"


class DotStuffer:
    """Doubles the dot at the start of a line, across blocks (RFC 5321 §4.5.2)."""

    def __init__(self) -> None:
        self._tail = b"\r\n"  # the first octet begins a line

    def feed(self, block: bytes) -> bytes:
        """Give the block as it goes on the wire; its line ends must be CRLF."""
        joined = self._tail + block
        start = len(self._tail)
        self._tail = joined[-2:]
        return _stuffed(joined)[start:]


def _stuffed(octets: bytes) -> bytes:
    # To look for it from the end takes half the time.
    if octets.rfind(b"\r\n.") < 0:
        return octets
    return octets.replace(b"\r\n.", b"\r\n..")


def terminated(octets: bytes) -> bytes:
    """Give canonical octets as a whole: dots doubled, and the lone dot behind them."""
    dot = b"." if octets.startswith(b".") else b""
    return b"%b%b.\r\n" % (dot, _stuffed(octets))


class _Stream:
    """Blocks of any size, made canonical as they pass.

    If their `size` is known, other octets than so many are an error.
    """

    def __init__(
        self,
        blocks: AsyncIterable[bytes],
        size: int | None,
        canonical: Canonicalizer | Untouched,
    ) -> None:
        self._canonical = canonical
        self._blocks: AsyncIterator[bytes] | None = aiter(blocks)
        self._left = size
        self._pending = b""  # canonical octets not given out yet
        self._position = 0

    async def read(self) -> bytes:
        while self._position >= len(self._pending):
            if self._blocks is None:
                return b""
            block = await anext(self._blocks, None)
            self._position = 0
            if block is None:
                self._blocks = None
                self._pending = self._canonical.end()
            else:
                self._pending = self._canonical.feed(block)
            self._count(len(self._pending))
        start = self._position
        self._position += BLOCK
        return self._pending[start : self._position]

    def _count(self, octets: int) -> None:
        if self._left is None:
            return
        self._left -= octets
        if self._left < 0 or (self._left and self._blocks is None):
            msg = "the message has changed: it is not as long as it was"
            raise ValueError(msg)


def header_section(octets: bytes) -> bytes:
    """Give what canonical octets begin with, up to the blank line or to their end."""
    if octets.startswith(b"\r\n"):
        return b""
    end = octets.find(b"\r\n\r\n")
    return octets if end < 0 else octets[: end + 2]


class Known(NamedTuple):
    """What is known of mail data beforehand."""

    #: Octets as SIZE counts them: CRLFs in, stuffed dots out (RFC 1870 §5).
    size: int
    #: Whether an octet is above 127 (RFC 6152).
    is_8bit: bool
    #: Whether the header section holds UTF-8 text beyond ASCII (RFC 6532).
    #:
    #: Octets that are no UTF-8 are not what SMTPUTF8 is for: no extension makes them
    #: legal, and they pass as they are.
    has_8bit_header: bool

    @classmethod
    def of(cls, beginning: bytes, *, size: int, is_8bit: bool) -> Known:
        """Look at the header section, which canonical octets begin with."""
        return cls(size, is_8bit, is_8bit and _is_utf8(header_section(beginning)))


def _is_utf8(octets: bytes) -> bool:
    """Tell whether octets are UTF-8, and more than ASCII."""
    if octets.isascii():
        return False
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class MailData:
    """A message's octets as the protocol needs them, whole or as a stream.

    Whole: `octets` is canonical and all is known of it. Streamed: `blocks` yields
    octets that are made canonical as they pass; nothing else is known of it
    beforehand, unless it is `known`. If it is `binary` its octets are left as they are,
    and only BDAT can carry it.
    """

    def __init__(
        self,
        octets: bytes = b"",
        *,
        blocks: AsyncIterable[bytes] | None = None,
        known: Known | None = None,
        binary: bool = False,
    ) -> None:
        #: Whether it is in binary form (RFC 3030 §3).
        self.is_binary: bool = binary
        #: The canonical octets; empty for a stream.
        self.octets: bytes = octets if binary else canonical(octets)
        if blocks is None:
            known = Known.of(
                self.octets,
                size=len(self.octets),
                is_8bit=not self.octets.isascii(),
            )
        #: What is known of it; None for a stream of which nothing is.
        self.known: Known | None = known
        #: Whether `read` gives the octets, once.
        self.is_stream: bool = blocks is not None
        #: Octets as SIZE counts them, if that is known.
        self.size: int | None = None if known is None else known.size
        #: Whether an octet is, or may be, above 127, or beyond what lines can hold.
        self.is_8bit: bool = binary or known is None or known.is_8bit
        #: Whether the header section is known to need SMTPUTF8.
        self.has_8bit_header: bool = known is not None and known.has_8bit_header
        #: Octets of a stream that `read` has given.
        self.read_so_far: int = 0
        self._stream = None
        if blocks is not None:
            form = Untouched() if binary else Canonicalizer()
            self._stream = _Stream(blocks, self.size, form)

    async def read(self) -> bytes:
        """Give the next canonical octets of a stream, at most 64 KiB; none at its end.

        Raises whatever the stream raises, and `ValueError` if it is not as long as it
        was known to be.
        """
        if self._stream is None:
            return b""
        octets = await self._stream.read()
        self.read_so_far += len(octets)
        return octets

    @property
    def longest_line(self) -> int:
        """Octets of the longest line, its CRLF not counted; 0 for a stream."""
        return max(map(len, self.octets.split(b"\r\n")))
