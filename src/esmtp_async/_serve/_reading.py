"""A message as a person reads it: fields decoded, text, HTML, attachments.

Messages come from programs that are being written, so nothing is refused: what cannot
be decoded is shown as it is.
"""

from __future__ import annotations

import mimetypes
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.errors import HeaderParseError
from email.generator import BytesGenerator
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import collapse_rfc2231_value
from io import BytesIO
from typing import Final, NamedTuple
from urllib.parse import unquote

from esmtp_async._report_parts import CHARSET

# Fields as they came: this policy parses and folds nothing.
_AS_IT_IS: Final = policy.compat32.clone(max_line_length=0)
_FOLD: Final = re.compile(r"\r?\n(?=[ \t])|[\r\n]")
# What no file name may have on any system, and what turns a line of text around.
_UNSAFE: Final = re.compile(
    r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+'
)
_LONGEST_NAME: Final = 120
#: The octets that a message's list entry is made of; a longer header is cut off.
HEAD: Final = 64 * 1024
# A file that HTML shows, where HTML and CSS name one (RFC 2392).
_CID: Final = re.compile(r"""(?<=["'(=])\s*cid:(?P<id>[^"'()\s<>]+)""", re.IGNORECASE)
# Tags for which a browser calls elsewhere before it looks whether it may: a connection
# alone tells that the mail was opened.
_CALLING: Final = re.compile(
    r"<(?=/?(?:base|embed|frame|frameset|iframe|link|meta|object)\b)(/?)", re.IGNORECASE
)
#: Pictures that a browser shows and that cannot run anything.
_PICTURES: Final = frozenset(
    {"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"}
)


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A part of a message that is not its body."""

    #: Its place in the message, counted from 0; what it is fetched by.
    index: int
    #: Safe as the name of a file.
    name: str
    #: The media type, as the message tells it.
    type: str
    #: Without brackets; empty where there is none.
    content_id: str
    octets: bytes


class Reading(NamedTuple):
    """What a message says."""

    #: Names and values of the header fields, in order, decoded.
    fields: tuple[tuple[str, str], ...]
    #: The body as plain text and as HTML, as far as it has them.
    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]
    #: What kept the rest from being read.
    problem: str | None = None

    def field(self, name: str) -> str:
        """Give the first field of that name, or nothing."""
        return first(self.fields, name)


def first(fields: tuple[tuple[str, str], ...], name: str) -> str:
    """Give the first field of a name, or nothing."""
    lower = name.lower()
    return next((value for key, value in fields if key.lower() == lower), "")


def read_fields(octets: bytes) -> tuple[tuple[str, str], ...]:
    """Read the header of a message, or of the beginning of one."""
    header, _, _ = octets.partition(b"\r\n\r\n")
    return _fields(BytesHeaderParser(policy=_AS_IT_IS).parsebytes(header))


def read(octets: bytes) -> Reading:
    """Read a message."""
    try:
        message = message_from_bytes(octets, policy=_AS_IT_IS)
        return _read(message)
    except Exception as error:  # noqa: BLE001
        # The library fails in any way there is on what it did not foresee; the
        # source is still to be seen.
        problem = f"{type(error).__name__}: {error}"
        return Reading(read_fields(octets), None, None, (), problem)


def _read(message: Message) -> Reading:
    text: str | None = None
    html: str | None = None
    attachments: list[Attachment] = []
    for index, part in enumerate(_leaves(message)):
        kind = part.get_content_type()
        is_body = part.get_content_disposition() != "attachment" and not _name(part)
        if is_body and kind == "text/plain" and text is None:
            text = _text(part)
        elif is_body and kind == "text/html" and html is None:
            html = _text(part)
        else:
            attachments.append(_attachment(index, part))
    return Reading(_fields(message), text, html, tuple(attachments))


def _leaves(message: Message) -> Iterator[Message]:
    """Give the parts that have no parts; a message in a message is one."""
    left = [message]
    while left:
        part = left.pop()
        payload = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(payload, list):
            left += [each for each in reversed(payload) if isinstance(each, Message)]
        else:
            yield part


def _fields(message: Message) -> tuple[tuple[str, str], ...]:
    return tuple((name, _decoded(str(value))) for name, value in message.raw_items())


def _decoded(value: str) -> str:
    """Decode a field's value (RFC 2047); octets outside ASCII are UTF-8 (RFC 6532)."""
    value = _FOLD.sub("", value).strip()
    value = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if "=?" not in value or not value.isascii():
        return value
    try:
        text = str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, ValueError):
        return value
    # Nothing at all came of it where it was no base64.
    return text.encode("utf-8", "replace").decode("utf-8") or value


def _octets(part: Message) -> bytes:
    payload = part.get_payload()
    if isinstance(payload, list):  # a message in a message
        buffer = BytesIO()
        for inner in payload:
            if isinstance(inner, Message):
                BytesGenerator(buffer, mangle_from_=False, policy=_AS_IT_IS).flatten(
                    inner
                )
        return buffer.getvalue()
    octets = part.get_payload(decode=True)
    return octets if isinstance(octets, bytes) else b""


def _text(part: Message) -> str:
    charset = (part.get_content_charset() or "").lower()
    if not CHARSET.fullmatch(charset):
        charset = "utf-8"
    octets = _octets(part)
    try:
        text = octets.decode(charset, "replace")
    except LookupError:
        text = octets.decode("utf-8", "replace")
    return text.replace("\r\n", "\n")


def _name(part: Message) -> str:
    """Give the name that a part tells for its file, as it is; or nothing."""
    for header, parameter in (
        ("Content-Disposition", "filename"),
        ("Content-Type", "name"),
    ):
        value = part.get_param(parameter, header=header)
        if value:
            return _decoded(collapse_rfc2231_value(value))
    return ""


def _attachment(index: int, part: Message) -> Attachment:
    kind = part.get_content_type()
    return Attachment(
        index=index,
        name=safe_name(_name(part)) or f"part-{index}{_suffix(kind)}",
        type=kind,
        content_id=_decoded(str(part.get("Content-ID", ""))).strip("<>"),
        octets=_octets(part),
    )


def _suffix(kind: str) -> str:
    return ".eml" if kind == "message/rfc822" else mimetypes.guess_extension(kind) or ""


def safe_name(name: str) -> str:
    """Make what somebody calls a file into the name of one, in no directory.

    Nothing is left of a name that has nothing to it.
    """
    last = re.split(r"[/\\]", name)[-1]
    plain = _UNSAFE.sub("_", last).strip(" .")
    if len(plain) > _LONGEST_NAME:
        stem, dot, suffix = plain.rpartition(".")
        suffix = dot + suffix if stem and len(suffix) < 10 else ""
        plain = plain[: _LONGEST_NAME - len(suffix)] + suffix
    return plain


def inert(html: str) -> str:
    """Make tags that have a browser call elsewhere into such that mean nothing."""
    return _CALLING.sub(r"<\1x-", html)


def with_pictures(html: str, attachments: tuple[Attachment, ...]) -> str:
    """Put the pictures that HTML shows by Content-ID into it (RFC 2392)."""
    pictures: Mapping[str, Attachment] = {
        each.content_id: each
        for each in attachments
        if each.content_id and each.type in _PICTURES
    }

    def inline(match: re.Match[str]) -> str:
        picture = pictures.get(unquote(match["id"]))
        if picture is None:
            return match[0]
        return f"data:{picture.type};base64,{b64encode(picture.octets).decode()}"

    return _CID.sub(inline, html)
