"""The inspection of mail data: does it keep what its envelope promised?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from esmtp_async.testing._store import Parameters

#: RFC 5321 §4.5.3.1.6, without CRLF.
_MAX_LINE: Final = 998


def unstuff(lines: bytes) -> tuple[bytes, bool]:
    """Take the stuffed dots out (RFC 5321 §4.5.2).

    The second value tells whether all lines that begin with a dot were stuffed.
    """
    framed = b"\r\n" + lines
    content = framed.replace(b"\r\n.", b"\r\n")[2:]
    return content, framed.count(b"\r\n.") == framed.count(b"\r\n..")


def is_binary(parameters: Parameters) -> bool:
    """Tell whether the content may be any octets (RFC 3030 §3)."""
    return (parameters.get("BODY") or "").upper() == "BINARYMIME"


def has_lone_line_end(content: bytes) -> bool:
    """Tell whether a CR or LF stands without the other (RFC 5321 §2.3.8)."""
    return not content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")


def breaches(content: bytes, parameters: Parameters) -> Iterator[str]:
    """Yield, in words, what mail data with these parameters of MAIL must not be."""
    declared = parameters.get("SIZE")
    if declared is not None and int(declared) < len(content):
        yield f"SIZE={declared} was declared for {len(content)} octets"
    headers, _, _ = (b"\r\n" + content).partition(b"\r\n\r\n")
    if not headers.isascii() and "SMTPUTF8" not in parameters:
        yield "a header outside ASCII without SMTPUTF8"
    if is_binary(parameters):
        return
    if content and not content.endswith(b"\r\n"):
        yield "the mail data do not end in CRLF"
    if has_lone_line_end(content):
        yield "a CR or LF by itself in the mail data"
    elif max(map(len, content.split(b"\r\n"))) > _MAX_LINE:
        yield "a line of more than 998 octets and CRLF"
    if not content.isascii() and not _declares_8bit(parameters):
        yield "octets above 127 without BODY=8BITMIME"


def oddities(content: bytes, parameters: Parameters) -> Iterator[str]:
    """Yield, in words, what is allowed but says more than it needs to."""
    if content.isascii() and _declares_8bit(parameters):
        yield "BODY=8BITMIME was declared for ASCII"


def _declares_8bit(parameters: Parameters) -> bool:
    return (parameters.get("BODY") or "").upper() == "8BITMIME"
