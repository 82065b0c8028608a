"""Octets from anybody as fields and parts, one level at a time (RFC 5322, RFC 2045).

Each octet is looked at a few times at most, whatever they are. Nothing is parsed but
what is asked for, so nothing nests, and nothing is refused: what is no field is left
out, and what cannot be decoded stays as it is.
"""

from __future__ import annotations

import binascii
import copy
import quopri
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from email.generator import BytesGenerator
from email.message import Message
from email.policy import EmailPolicy
from functools import cached_property
from io import BytesIO
from typing import Final

from esmtp_async.protocol._content import canonical, header_section
from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.protocol._replies import printable

#: Names and values of header fields, in order: unfolded, and safe to print.
Fields = tuple[tuple[str, str], ...]

_BLANKS: Final = b" \t"
_NAME: Final = re.compile(rb"[!-9;-~]+")
# What a header section may begin with: a field, or what precedes one in a mailbox.
_HEADER: Final = re.compile(rb"[!-9;-~]+[ \t]*:|[ \t]|>?From |\Z")
# A parameter of a field like Content-Type (RFC 2045 §5.1).
_PARAMETER: Final = re.compile(
    r';\s*(?P<name>[^\s=;"]+)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<word>[^\s;"]*))'
)
_QUOTED_PAIR: Final = re.compile(r"\\(.)")
# What comments are found by (RFC 5322 §3.2.2): each escape, quote or bracket.
_PIECE: Final = re.compile(r'\\.|[^\\"()]+|.', re.DOTALL)
# Charsets of text that are read; there are codecs that take long, or warn.
CHARSET: Final = re.compile(
    r"(?:iso-8859|iso-2022|windows|cp|koi8|euc|gb|big5|shift_jis)[0-9a-z_-]*"
)
# How deep the text for people may stand: alternatives, with pictures, in a wrapper.
_DEPTH: Final = 3


def octets_of(what: str, message: object) -> bytes:
    """Give a message as canonical octets; a Message stays as it is.

    Raises `InvalidInput`.
    """
    if isinstance(message, Message):
        return canonical(_flattened(what, message))
    if isinstance(message, str):
        return canonical(_encoded(what, message))
    if isinstance(message, (bytes, bytearray, memoryview)):
        return canonical(bytes(message))
    msg = (
        f"{what} is of type {type(message).__name__}; what can be read is an "
        "email.message.Message, bytes or str"
    )
    raise InvalidInput(msg)


def _encoded(what: str, message: str) -> bytes:
    try:
        return message.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        msg = f"{what} holds a lone surrogate at character {error.start}"
        raise InvalidInput(msg) from None


def _flattened(what: str, message: Message) -> bytes:
    """Give a Message's octets, its fields as they were parsed."""
    policy = message.policy.clone(max_line_length=0, cte_type="8bit")
    if isinstance(policy, EmailPolicy):
        policy = policy.clone(refold_source="none", utf8=True)
    buffer = BytesIO()
    try:
        # A copy, for a message without a boundary is given one.
        whole = copy.deepcopy(message)
        BytesGenerator(buffer, mangle_from_=False, policy=policy).flatten(whole)
    except Exception as error:
        # On what it did not foresee, the library fails in any way there is.
        msg = f"{what} cannot be made into octets: {error}"
        raise InvalidInput(msg) from error
    return buffer.getvalue()


def fields(lines: Iterable[bytes]) -> Fields:
    """Read lines as header fields; what is none is left out, with what it goes on in.

    Where a field was folded stands one space.
    """
    found: list[tuple[bytes, list[bytes]]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if found:
                found[-1][1].append(line)
            continue
        name, colon, value = line.partition(b":")
        name = name.rstrip(_BLANKS)
        is_field = colon and _NAME.fullmatch(name)
        found.append((name if is_field else b"", [value]))
    return tuple(
        (name.decode("ascii"), _value(folded)) for name, folded in found if name
    )


def _value(folded: list[bytes]) -> str:
    pieces = (line.replace(b"\t", b" ").strip(_BLANKS) for line in folded)
    return printable(b" ".join(filter(None, pieces)))


def groups(octets: bytes) -> Iterator[Fields]:
    """Read canonical octets as groups of fields, between blank lines.

    A blank line within a folded field separates nothing.
    """
    group: list[bytes] = []
    apart = False
    for line in octets.split(b"\r\n"):
        if not line.strip(_BLANKS):
            apart = True
            continue
        if apart and line[:1] not in (b" ", b"\t"):
            yield fields(group)
            group = []
        apart = False
        group.append(line)
    yield fields(group)


def without_comments(text: str) -> str:
    """Take comments out (RFC 5322 §3.2.2); if they do not end, nothing is taken."""
    kept: list[str] = []
    depth, quoted = 0, False
    for piece in _PIECE.findall(text):
        if piece == '"' and not depth:
            quoted = not quoted
        elif piece == "(" and not quoted:
            depth += 1
            continue
        elif piece == ")" and depth:
            depth -= 1
            continue
        if not depth:
            kept.append(piece)
    return text if depth else "".join(kept).strip()


class Part:
    """A message, or a part of one, as canonical octets: header section and body."""

    def __init__(self, octets: bytes) -> None:
        section = header_section(octets)
        self._body = octets[len(section) + 2 :]
        if not _HEADER.match(section):
            # The blank line is forgotten, as in the example of RFC 3461 §10.9.
            section, self._body = b"", octets
        #: All fields of the header section.
        self.fields = fields(section.split(b"\r\n"))
        self._first = {name.lower(): text for name, text in reversed(self.fields)}

    def field(self, name: str) -> str | None:
        """Give the first field of a name in lower case, or None."""
        return self._first.get(name)

    @property
    def type(self) -> str:
        """The media type, in lower case; text/plain if there is none to be read."""
        text = without_comments(self.field("content-type") or "").partition(";")[0]
        text = text.strip().lower()
        return text if "/" in text else "text/plain"

    def parameter(self, name: str) -> str:
        """Give a parameter of the media type, or nothing."""
        text = without_comments(self.field("content-type") or "")
        for match in _PARAMETER.finditer(text):
            if match["name"].lower() == name:
                quoted = match["quoted"]
                return (
                    match["word"] if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)
                )
        return ""

    @property
    def parts(self) -> Iterator[Part]:
        """The parts directly in this one, a multipart (RFC 2046 §5.1).

        The last may lack its end.
        """
        boundary = self.parameter("boundary").rstrip()
        if not boundary:
            return
        line = rb"^--%b(?P<last>--)?[ \t]*(?:\r\n|\Z)" % re.escape(boundary.encode())
        start = None
        for match in re.finditer(line, self._body, re.MULTILINE):
            if start is not None:
                # The line end in front is the boundary's.
                yield Part(self._body[start : match.start() - 2])
            start = match.end()
            if match["last"]:
                return
        if start is not None:
            yield Part(self._body[start:])

    @cached_property
    def octets(self) -> bytes:
        """The body, canonical, its transfer encoding undone (RFC 2045 §6)."""
        encoding = without_comments(self.field("content-transfer-encoding") or "")
        body = self._body
        if encoding.lower() == "quoted-printable":
            body = quopri.decodestring(body)
        elif encoding.lower() == "base64":
            try:
                body = binascii.a2b_base64(body + b"==")
            except binascii.Error:
                body = self._body
        return canonical(body)

    @property
    def plain(self) -> str:
        """The text of the first plain text in it, safe to print; or nothing."""
        part = self
        for _ in range(_DEPTH):
            if part.type.startswith("multipart/"):
                part = next(part.parts, part)
        return part.text if part.type == "text/plain" else ""

    @property
    def text(self) -> str:
        """The body as text, safe to print: lines end in LF."""
        charset = self.parameter("charset").lower()
        octets = self.octets
        if CHARSET.fullmatch(charset):
            with suppress(LookupError):
                octets = octets.decode(charset, "replace").encode("utf-8")
        lines = octets.expandtabs().removesuffix(b"\r\n").split(b"\r\n")
        return "\n".join(map(printable, lines))
