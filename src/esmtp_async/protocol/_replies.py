"""Replies: what a server says (RFC 5321 §4.2, RFC 3463).

Octets stay octets. Text for people is made from them on demand, and whatever
a terminal or a log could take for a command is escaped on the way.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple


class Severity(Enum):
    """What a reply code decides for the state of the session (RFC 5321 §4.2.1)."""

    #: 2yz: done.
    COMPLETION = "2yz"
    #: 3yz: go on.
    INTERMEDIATE = "3yz"
    #: 4yz: refused for now.
    TRANSIENT = "4yz"
    #: 5yz: refused.
    PERMANENT = "5yz"
    #: 421: the server shuts the channel down, in answer to anything (§3.8).
    SHUTDOWN = "421"

    if not TYPE_CHECKING:
        # Enum hashes in Python code; members are singletons, so identity does.
        __hash__ = object.__hash__


# By these names they are found ten times as fast in Python 3.11 as by the class.
COMPLETION, INTERMEDIATE, TRANSIENT, PERMANENT, SHUTDOWN = Severity

#: Reply codes to what they decide.
SEVERITIES: Final = {
    code: SHUTDOWN
    if code == 421
    else (COMPLETION, INTERMEDIATE, TRANSIENT, PERMANENT)[code // 100 - 2]
    for code in range(200, 600)
}

# C0, DEL, C1, line and paragraph separators, the marks that reorder text, and
# surrogates: none of them may reach a terminal or a log as itself.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def _escape(match: re.Match[str]) -> str:
    point = ord(match[0])
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"


def printable(octets: bytes) -> str:
    """Give octets of a peer as text that is safe to print, log and encode."""
    text = octets.decode("utf-8", "backslashreplace")
    return _UNPRINTABLE.sub(_escape, text)


class EnhancedStatus(NamedTuple):
    """An enhanced mail system status code, `class.subject.detail` (RFC 3463 §2)."""

    #: 2 is success, 4 is not now, 5 is no (RFC 3463 §2).
    class_: int
    #: What it is about: address, mailbox, ... (RFC 3463 §2).
    subject: int
    #: What exactly.
    detail: int

    def __str__(self) -> str:
        """Give the code as it stands in a reply, for example `5.7.1`."""
        return f"{self.class_}.{self.subject}.{self.detail}"


# status-code = class "." subject "." detail, 1*3DIGIT each (RFC 3463 §2);
# followed by a space in a reply (RFC 2034 §4).
_ENHANCED = re.compile(rb"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?: |\Z)")


class Reply(NamedTuple):
    """A complete reply: its code and the text of its lines (RFC 5321 §4.2)."""

    #: 200 to 599.
    code: int
    #: The text behind code and separator of each line, as received.
    lines: tuple[bytes, ...]

    @property
    def severity(self) -> Severity:
        """The class of the code, which alone decides what happens next."""
        return SEVERITIES[self.code]

    @property
    def refused(self) -> bool:
        """Whether the code says no: 4yz, 5yz or 421."""
        return self.code >= 400

    @property
    def temporary(self) -> bool:
        """Whether the code says "not now": 4yz, 421 among them."""
        return 400 <= self.code < 500

    @property
    def text(self) -> str:
        """The lines as text, one a line, with control characters escaped."""
        return "\n".join(map(printable, self.lines))

    @property
    def enhanced_status(self) -> EnhancedStatus | None:
        """The enhanced status code of the first line (RFC 2034, RFC 3463).

        None where there is none, or where its class contradicts the code.
        """
        match = _ENHANCED.match(self.lines[0]) if self.lines else None
        if match is None or int(match[1]) != self.code // 100:
            return None
        return EnhancedStatus(int(match[1]), int(match[2]), int(match[3]))

    def __str__(self) -> str:
        """Give code and text in one line that can always be printed."""
        return " ".join((str(self.code), *map(printable, self.lines))).rstrip()
