"""Octets from anybody as fields and parts, one level at a time (RFC 5322, RFC 2045).

Each octet is looked at a few times at most, whatever they are. Nothing is parsed but
what is asked for, so nothing nests, and nothing is refused: what is no field is left
out, and what cannot be decoded stays as it is.
"""Parts of a message: texts, files, invitations, and what holds them together.

Nothing of a file is changed: base64 carries its octets, whatever its type.
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
# A parameter of a field like Content-Type (RFC 2045 §5.1).
_PARAMETER: Final = re.compile(
    r';\s*(?P<name>[^\s=;"]+)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<word>[^\s;"]*))'
)
_QUOTED_PAIR: Final = re.compile(r"\\(.)")
# What comments are found by (RFC 5322 §3.2.2): each escape, quote or bracket.
_PIECE: Final = re.compile(r'\\.|[^\\"()]+|.', re.DOTALL)
# Charsets of text that are read; there are codecs that take long, or warn.
_CHARSET: Final = re.compile(
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
            yield from filter(None, [fields(group)])
            group = []
        apart = False
        group.append(line)
    yield from filter(None, [fields(group)])


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
    return text if depth or quoted else "".join(kept).strip()


class Part:
    """A message, or a part of one, as canonical octets: header section and body."""

    def __init__(self, octets: bytes) -> None:
        section = header_section(octets)
        #: All fields of the header section.
        self.fields = fields(section.split(b"\r\n"))
        self._body = octets[len(section) + 2 :]
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
        """The parts directly in this one, if it is a multipart (RFC 2046 §5.1).

        The last may lack its end.
        """
        boundary = self.parameter("boundary").rstrip()
        if not self.type.startswith("multipart/") or not boundary:
            return
        line = rb"^--%b(?P<last>--)?[ \t]*(?:\r\n|\Z)" % re.escape(boundary.encode())
        start = None
        for match in re.finditer(line, self._body, re.MULTILINE):
            if start is not None:
                # The line end in front is the boundary's.
                yield Part(self._body[start : max(start, match.start() - 2)])
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
        part: Part | None = self
        for _ in range(_DEPTH):
            if part is not None and part.type.startswith("multipart/"):
                part = next(part.parts, None)
        return part.text if part is not None and part.type == "text/plain" else ""

    @property
    def text(self) -> str:
        """The body as text, safe to print: lines end in LF."""
        charset = self.parameter("charset").lower()
        octets = self.octets
        if _CHARSET.fullmatch(charset):
            with suppress(LookupError):
                octets = octets.decode(charset, "replace").encode("utf-8")
        lines = octets.expandtabs().removesuffix(b"\r\n").split(b"\r\n")
        return "\n".join(map(printable, lines))
import re
import reprlib
from base64 import encodebytes
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage, Message
from mimetypes import guess_type
from pathlib import Path
from typing import Final
from urllib.parse import quote

from esmtp_async._fields import POLICY, checked_line, checked_text
from esmtp_async._headers import LINE_END
from esmtp_async.protocol._exceptions import InvalidInput, check_type

#: A file: read here, or given with its name, octets and, perhaps, type.
File = (
    Path
    | tuple[str, bytes | bytearray | memoryview]
    | tuple[str, bytes | bytearray | memoryview, str]
)

_OCTETS: Final = "application/octet-stream"
#: What a file that is packed as a whole is, whatever is in it.
_PACKED: Final = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
}
# These may not be in base64 (RFC 2045 §6.4).
_COMPOSITE: Final = frozenset({"multipart", "message"})
_TYPE: Final = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?: *;.*)?", re.ASCII)

# A Content-ID without its brackets, the half behind the @ for those who want one.
_CONTENT_ID: Final = re.compile(r"[\w.+=$-]{1,200}(?:@[\w.-]{1,200})?", re.ASCII)

_FOLD: Final = re.compile(r"\n[ \t]")
# What stands before the first component (RFC 5545 §3.4).
_PROPERTIES: Final = re.compile(r"(?is)\s*BEGIN:VCALENDAR *\n(.*?)\nBEGIN:")
_METHOD: Final = re.compile(r"(?im)^METHOD(?:;[^:\n]*)?:([A-Z0-9-]+) *$")


def multipart(
    subtype: str, parts: Sequence[Message], parameters: str = ""
) -> EmailMessage:
    """Give parts as one."""
    whole = EmailMessage(policy=POLICY)
    whole["Content-Type"] = f"multipart/{subtype}{parameters}"
    whole.set_payload(list(parts))
    return whole


def text_part(argument: str, text: object, subtype: str = "plain") -> EmailMessage:
    """Give a text in UTF-8, in the transfer encoding that its lines need.

    Its line ends become CRLF, and its last line has one.
    """
    checked = checked_text(argument, text)
    if "\0" in checked:
        msg = f"{argument} holds a NUL at character {checked.index(chr(0))}"
        raise InvalidInput(msg)
    part = EmailMessage(policy=POLICY)
    part.set_content(checked, subtype=subtype)
    del part["MIME-Version"]  # the whole message has it
    return part


@dataclass(frozen=True, slots=True)
class Invitation:
    """An iCalendar object that is sent to be answered (RFC 6047)."""

    #: With LF as the end of a line.
    text: str
    #: What it asks for: `REQUEST`, `CANCEL`, and others (RFC 5546 §1.4).
    method: str

    @classmethod
    def of(cls, argument: str, given: object) -> Invitation:
        """Read the method from the object; raises `InvalidInput` without one."""
        check_type(argument, given, str, bytes)
        if isinstance(given, bytes):
            try:
                given = given.decode()
            except UnicodeDecodeError as error:
                msg = f"{argument} is not UTF-8 at octet {error.start}"
                raise InvalidInput(msg) from None
        text = "\n".join(LINE_END.split(checked_text(argument, given)))
        properties = _PROPERTIES.match(_FOLD.sub("", text))
        methods = _METHOD.findall(properties[1]) if properties else []
        if len(methods) != 1:
            msg = (
                f"{argument} is not an iCalendar object with one METHOD "
                "(RFC 6047 section 2.4); one that asks for nothing is an attachment"
            )
            raise InvalidInput(msg)
        return cls(text, methods[0].upper())

    def part(self, argument: str) -> EmailMessage:
        """Give it as what a reader that knows invitations shows as one."""
        part = text_part(argument, self.text, "calendar")
        part.set_param("method", self.method)
        return part

    def attachment(self) -> EmailMessage:
        """Give it as a file, for all other readers."""
        octets = self.text.replace("\n", "\r\n").encode()
        part = EmailMessage(policy=POLICY)
        part["Content-Type"] = "application/ics"
        return _filled(part, octets, "attachment", "invite.ics")


def inline_part(argument: str, content_id: object, given: object) -> EmailMessage:
    """Give what HTML refers to as `cid:` and its content-id (RFC 2392)."""
    named = checked_line(argument, content_id)
    if not _CONTENT_ID.fullmatch(named):
        msg = f"{argument} is not a content-id: letters, digits, any of .+=$-_, one @"
        raise InvalidInput(msg)
    part = _file(argument, given, "inline")
    part["Content-ID"] = f"<{named}>"
    return part


def attached_part(argument: str, given: object) -> EmailMessage:
    """Give a file, or a message as it is (RFC 2046 §5.2.1)."""
    if not isinstance(given, Message):
        return _file(argument, given, "attachment")
    part = EmailMessage(policy=POLICY)
    part["Content-Type"] = "message/rfc822"
    part["Content-Transfer-Encoding"] = "8bit"
    part["Content-Disposition"] = "attachment"
    part.set_payload([given])
    return part


def _file(argument: str, given: object, disposition: str) -> EmailMessage:
    name, octets, told = _opened(argument, given)
    content_type = (
        _guessed_type(name, octets) if told is None else _told_type(argument, told)
    )
    part = EmailMessage(policy=POLICY)
    part["Content-Type"] = content_type
    if (
        part.get_content_maintype() == "text"
        and part.get_param("charset") is None
        and _is_utf8(octets)
    ):
        part.set_param("charset", "utf-8")
    return _filled(part, octets, disposition, name)


def _opened(argument: str, given: object) -> tuple[str, bytes, str | None]:
    """Give a file's name, its octets and, if it is told, its type."""
    if isinstance(given, Path):
        try:
            name, octets, types = given.name, given.read_bytes(), []
        except OSError as error:
            error.add_note(f"It was read for {argument}.")
            raise
    elif isinstance(given, tuple) and len(given) in {2, 3}:
        name, octets, *types = given
    else:
        msg = (
            f"{argument} is of type {type(given).__name__}, not a Path, "
            "(name, bytes) or (name, bytes, type)"
        )
        raise InvalidInput(msg)
    name = checked_line(f"the name of {argument}", name)
    if not name.strip():
        msg = f"the name of {argument} is empty"
        raise InvalidInput(msg)
    check_type(f"the content of {argument}", octets, bytes, bytearray, memoryview)
    told = [checked_line(f"the type of {argument}", each) for each in types]
    return name, bytes(octets), told[0] if told else None


def _guessed_type(name: str, octets: bytes) -> str:
    """Guess by the name; a text that cannot be read for sure is octets only."""
    content_type, packing = guess_type(name.replace(":", "_"))  # no URL
    if packing is not None:
        return _PACKED.get(packing, _OCTETS)
    kind = (content_type or _OCTETS).partition("/")[0]
    if content_type is None or kind in _COMPOSITE:
        return _OCTETS
    return _OCTETS if kind == "text" and not _is_utf8(octets) else content_type


def _told_type(argument: str, told: str) -> str:
    header = POLICY.header_factory("Content-Type", told)
    if not _TYPE.fullmatch(told) or header.defects:
        msg = f"the type of {argument} is not a media type: {reprlib.repr(told)}"
        raise InvalidInput(msg)
    if told.partition("/")[0].lower() in _COMPOSITE:
        msg = (
            f"the type of {argument} is {told!r}, which is no file's (RFC 2046 "
            "section 5); attach a message as email.message_from_bytes() gives it"
        )
        raise InvalidInput(msg)
    return told


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True


def _filled(
    part: EmailMessage, octets: bytes, disposition: str, name: str
) -> EmailMessage:
    """Put octets into a part, and the name that they are stored by."""
    part["Content-Transfer-Encoding"] = "base64"
    part["Content-Disposition"] = f"{disposition}; filename*=utf-8''{quote(name, '')}"
    part.set_payload(encodebytes(octets).decode("ascii"))
    return part
