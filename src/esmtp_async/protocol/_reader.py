"""The one reader of replies: octets in, replies out (RFC 5321 §4.2).

It never repairs, skips or waits for a better continuation. What is no reply
raises `RemoteProtocolError` as soon as that is certain, memory is bounded, and
the work is linear in the octets.
"""

from __future__ import annotations

from typing import Final

from esmtp_async.protocol._exceptions import RemoteProtocolError
from esmtp_async.protocol._redaction import Redaction
from esmtp_async.protocol._replies import Reply, printable

#: Octets of one line, its end included; the RFC asks for 512 (§4.5.3.1.5).
MAX_LINE: Final = 2048
#: Lines of one reply.
MAX_LINES: Final = 512
#: Octets of one reply.
MAX_REPLY: Final = 64 * 1024

# Reply-code = %x32-35 %x30-35 %x30-39; receivers take any second digit. A table
# of octets, because int() also takes "+25", "2_5" and digits of other scripts.
_CODES = {b"%d" % code: code for code in range(200, 600)}

_SHOWN: Final = 80


class ReplyReader:
    """Makes replies out of octets as they come, however they are cut."""

    def __init__(
        self, *, lenient_eol: bool = False, redaction: Redaction | None = None
    ) -> None:
        #: Whether a lone LF ends a line too, for the whole connection.
        self._lenient_eol = lenient_eol
        self._redaction = redaction or Redaction()
        self._buffer = bytearray()
        self._position = 0  # of the first octet not yet consumed
        self._searched = 0  # up to here there is no LF
        self._code: int | None = None  # of the reply that has begun
        self._lines: list[bytes] = []
        self._size = 0

    @property
    def holds_octets(self) -> bool:
        """Whether octets came that no complete reply has taken up."""
        return self._position < len(self._buffer) or bool(self._lines)

    def feed(self, data: bytes) -> None:
        """Take octets from the server, in the order they came."""
        if self._position:
            del self._buffer[: self._position]
            self._searched -= self._position
            self._position = 0
        self._buffer += data

    def next_reply(self, max_line: int = MAX_LINE) -> Reply | None:
        """Give the next complete reply, or None until more octets come.

        `max_line` is how many octets a line may have, its end included. Raises
        `RemoteProtocolError` where the octets can be no reply; after
        that the reader must not be used again.
        """
        while (line := self._next_line(max_line)) is not None:
            code = _CODES.get(line[:3])
            if code is None:
                raise self._violation("a line begins with no reply code", line)
            separator = line[3:4]
            if separator not in (b" ", b"-", b""):
                raise self._violation("no space or hyphen follows the reply code", line)
            if self._code is None:
                self._code = code
            elif self._code != code:
                raise self._violation(f"the code of the reply was {self._code}", line)
            self._lines.append(line[4:])
            self._size += len(line)
            if separator != b"-":
                reply = Reply(code, tuple(self._lines))
                self._code = None
                self._lines.clear()
                self._size = 0
                return reply
            if len(self._lines) >= MAX_LINES or self._size > MAX_REPLY:
                raise self._violation("a reply does not end", line)
        return None

    def _next_line(self, max_line: int) -> bytes | None:
        """Give the next whole line without its end, or None."""
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._buffer)
            if self._searched - self._position > max_line:
                raise self._violation(
                    f"a reply line exceeds {max_line} octets",
                    self._buffer[self._position :],
                )
            return None
        start, self._position = self._position, end + 1
        self._searched = self._position
        if end + 1 - start > max_line:
            raise self._violation(
                f"a reply line exceeds {max_line} octets",
                self._buffer[start:end],
            )
        line = bytes(self._buffer[start:end])
        if line.endswith(b"\r"):
            return line[:-1]
        if self._lenient_eol:
            return line
        raise self._violation("a reply line ends in LF without CR", line)

    def _violation(
        self, problem: str, octets: bytes | bytearray
    ) -> RemoteProtocolError:
        octets = self._redaction(bytes(octets))
        more = "..." if len(octets) > _SHOWN else ""
        return RemoteProtocolError(f"{problem}: '{printable(octets[:_SHOWN])}{more}'")
