"""Parts of a message: texts, files, invitations, and what holds them together.

Nothing of a file is changed: base64 carries its octets, whatever its type.
"""

from __future__ import annotations

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
