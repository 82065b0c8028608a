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

# How a record of TLS begins, an alert or a handshake (RFC 8446 §5.1).
_TLS: Final = (b"\x15\x03", b"\x16\x03")
_SPEAKS_TLS: Final = (
    "the server speaks TLS where a reply is due; a port that speaks it from the "
    "first octet needs security='tls'"
)

_SHOWN: Final = 80

# How many replies are kept, of how many octets at most.
_KNOWN: Final = 16
_SHORT: Final = 80

# What stands behind the code: a space or nothing in the last line of a reply.
_SEPARATORS: Final = frozenset({b" ", b"-", b""})


class ReplyReader:
    """Makes replies out of octets as they come, however they are cut (RFC 5321 §4.2).

    With `lenient_eol` a lone LF may end a line too. `redaction` is what no reply shows.
    """

    def __init__(
        self, *, lenient_eol: bool = False, redaction: Redaction | None = None
    ) -> None:
        # A lone LF may end a line too, for the whole connection.
        self._line_end = b"\n" if lenient_eol else b"\r\n"
        self._redaction = Redaction() if redaction is None else redaction
        self._buffer = bytearray()
        self._position = 0  # of the first octet not yet consumed
        self._searched = 0  # up to here there is no LF
        self._code: int | None = None  # of the reply that has begun
        self._lines: list[bytes] = []
        self._size = 0
        # Replies of one line that were read before: a server has few of them.
        self._known: dict[bytes, Reply] = {}

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
        buffer = self._buffer
        while (end := buffer.find(b"\n", self._searched) + 1) > 0:
            start, self._position = self._position, end
            self._searched = end
            line = bytes(buffer[start:end])
            if (known := self._known.get(line)) is not None and self._code is None:
                return known
            text = line.removesuffix(b"\n").removesuffix(b"\r")
            code = _CODES.get(text[:3])
            separator = text[3:4]
            if (
                code is None
                or len(line) > max_line
                or not line.endswith(self._line_end)
                or separator not in _SEPARATORS
                or self._code not in (None, code)
            ):
                raise self._malformed(line, max_line)
            if separator != b"-" and self._code is None:
                return self._know(line, Reply(code, (text[4:],)))
            self._lines.append(text[4:])
            if separator != b"-":
                return self._complete(code)
            self._code = code
            self._size += len(text)
            if len(self._lines) >= MAX_LINES or self._size > MAX_REPLY:
                raise self._violation("a reply does not end", line)
        self._check_beginning(max_line)
        return None

    def _know(self, line: bytes, reply: Reply) -> Reply:
        """Keep a reply for the next time it comes, unless it is a long one."""
        if len(line) <= _SHORT:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[line] = reply
        return reply

    def _complete(self, code: int) -> Reply:
        """Give the reply of several lines that has come to its end."""
        reply = Reply(code, tuple(self._lines))
        self._code = None
        self._lines.clear()
        self._size = 0
        return reply

    def _check_beginning(self, max_line: int) -> None:
        """Refuse half a line that no other half can make good."""
        self._searched = len(self._buffer)
        if self._buffer.startswith(_TLS, self._position):
            raise self._violation(_SPEAKS_TLS, self._buffer[self._position :])
        if self._searched - self._position > max_line:
            raise self._violation(
                f"a reply line exceeds {max_line} octets",
                self._buffer[self._position :],
            )

    def _malformed(self, line: bytes, max_line: int) -> RemoteProtocolError:
        """Tell what is wrong with a whole line."""
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        if len(line) > max_line:
            problem = f"a reply line exceeds {max_line} octets"
        elif not line.endswith(self._line_end):
            problem = "a reply line ends in LF without CR"
        elif text[:3] not in _CODES:
            problem = "a line begins with no reply code"
        elif text[3:4] not in _SEPARATORS:
            problem = "no space or hyphen follows the reply code"
        else:
            problem = f"the code of the reply was {self._code}"
        return self._violation(problem, text)

    def _violation(
        self, problem: str, octets: bytes | bytearray
    ) -> RemoteProtocolError:
        if octets.startswith(_TLS):
            # However much of it has come: the same is told wherever it was cut.
            problem, octets = _SPEAKS_TLS, octets[:2]
        octets = self._redaction(bytes(octets))
        more = "..." if len(octets) > _SHOWN else ""
        return RemoteProtocolError(f"{problem}: '{printable(octets[:_SHOWN])}{more}'")
