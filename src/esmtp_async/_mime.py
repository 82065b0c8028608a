"""A Message of the standard library as octets, without touching it.

A copy of it is flattened, each header field by the message's own policy. What
must change on the way (Bcc out, Date and Message-ID in, another transfer
encoding) changes in the copy.
"""

from __future__ import annotations

import base64
import binascii
import copy
import email.header
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email import policy
from email.generator import BytesGenerator
from email.headerregistry import Address, AddressHeader, Group
from email.message import Message
from email.utils import format_datetime, make_msgid
from enum import Enum
from io import BytesIO
from types import MappingProxyType
from typing import Final, Self

from esmtp_async._binary import put_in, take_out
from esmtp_async._fields import faithful
from esmtp_async._headers import LINE_END, Field, Header
from esmtp_async._signing import Signers, with_signatures
from esmtp_async.protocol._addresses import domain_name
from esmtp_async.protocol._content import MAX_TEXT_LINE, Canonicalizer, MailData
from esmtp_async.protocol._exceptions import InvalidInput

# A field and its folded lines (RFC 5322 §2.2, §2.2.3).
_FIELD: Final = re.compile(rb"([!-9;-~]+)[ \t]*:[^\r\n\0]*\r\n(?:[ \t][^\r\n\0]*\r\n)*")

_BLIND: Final = frozenset({"bcc", "resent-bcc"})

_ENCODING: Final = "Content-Transfer-Encoding"
_CODED: Final = frozenset({"quoted-printable", "base64"})
_KNOWN: Final = _CODED | {"", "7bit", "8bit", "binary"}

# For header fields that the message's own policy cannot fold well.
_MODERN: Final = policy.EmailPolicy(linesep="\r\n", message_factory=Message)
# For those that are folded already.
_VERBATIM: Final = _MODERN.clone(utf8=True)


class Body(Enum):
    """The form of the mail data, as the BODY parameter of MAIL names it."""

    #: ASCII, in lines (RFC 5321 §2.3.1).
    SEVEN_BIT = "7BIT"
    #: Octets above 127 as well (RFC 6152).
    EIGHT_BIT = "8BITMIME"
    #: Any octets (RFC 3030 §3).
    BINARY = "BINARYMIME"


class Flattened:
    """A message's octets, in each of their forms.

    `added` are header fields that replace those of the same names; `signers` sign
    whatever form is wanted.
    """

    def __init__(
        self,
        message: Message,
        header: Header,
        *,
        added: Mapping[str, str] = MappingProxyType({}),
        signers: Signers = (),
    ) -> None:
        fields = [field for field in header.fields if field.key not in _BLIND]
        if not any(field.key == "date" for field in fields):
            fields.append(Field("Date", format_datetime(datetime.now(UTC))))
        #: The Message-ID, the message's own or the one added.
        self.message_id = header.message_id
        if self.message_id is None:
            self.message_id = make_msgid(domain=header.domain)
            fields.append(Field("Message-ID", self.message_id))
        for name, value in added.items():
            fields = [field for field in fields if field.key != name.lower()]
            fields.append(Field(name, value))
        with _telling(header):
            self._message = _copy(message)
            _fold(self._message, fields)
            self._data = MailData(_flattened(self._message))
            if _is_unfit(self._data.octets) or _has_binary_part(self._message):
                self._data = self._reencoded(eight_bit=True)
        self._signers = signers
        self._forms: dict[Body, MailData] = {}

    def mail_data(self, body: Body) -> MailData:
        """Give the octets in a form, signed; in 7-bit form none is above 127.

        What a signature covers is never changed (RFC 1847 §2.1). Raises `InvalidInput`.
        """
        if body not in self._forms:
            with _telling():
                data = self._in_form(body)
            self._forms[body] = with_signatures(data, self._signers)
        return self._forms[body]

    def _in_form(self, body: Body) -> MailData:
        if body is Body.BINARY:
            return self._in_binary()
        if body is Body.EIGHT_BIT or not self._data.is_8bit:
            return self._data
        return self._reencoded(eight_bit=False)

    def _in_binary(self) -> MailData:
        """Give the octets with attachments as they are, where there are any."""
        message = _copy(self._message)
        taken = take_out(message)
        if not taken:
            return self._data
        return MailData(put_in(_flattened(message), taken), binary=True)

    def _reencoded(self, *, eight_bit: bool) -> MailData:
        """Give the octets with a transfer encoding for each part that needs one."""
        if "MIME-Version" not in self._message:
            self._message["MIME-Version"] = "1.0"
        for part, signed in _walk(self._message):
            if not signed:
                _reencode(part, eight_bit=eight_bit)
        return MailData(_flattened(self._message))


def _flattened(message: Message) -> bytes:
    buffer = BytesIO()
    BytesGenerator(buffer, mangle_from_=False, policy=_VERBATIM).flatten(message)
    return buffer.getvalue()


@contextmanager
def _telling(header: Header | None = None) -> Iterator[None]:
    """Tell that a message cannot be made into octets.

    Nothing is checked when a Message is built, and what is wrong with it makes the
    standard library fail in any way there is.
    """
    try:
        yield
    except InvalidInput:
        raise
    except Exception as error:
        why = next(_strangers(header), str(error))
        msg = f"the message cannot be made into octets: {why}"
        raise InvalidInput(msg) from error


def _strangers(header: Header | None) -> Iterator[str]:
    """Tell which fields no message can hold: several addresses in a list, mostly."""
    for field in header.fields if header is not None else ():
        if not isinstance(field.value, (str, email.header.Header)):
            kind = type(field.value).__name__
            yield f"{field.name} is of type {kind}, not text; commas part addresses"


def weight(message: Message) -> int:
    """Give about as many octets as a message has, at hardly any cost.

    What is wrong with it is told when it is flattened.
    """
    payloads = (part.get_payload() for part in message.walk())
    try:
        return sum(len(payload) for payload in payloads if isinstance(payload, str))
    except Exception:  # noqa: BLE001  # it fails in any way there is
        return 0


def _walk(part: Message, *, signed: bool = False) -> Iterator[tuple[Message, bool]]:
    """Give a part and all parts in it, each with whether a signature covers it."""
    yield part, signed
    signed = signed or part.get_content_type() == "multipart/signed"
    for inner in _parts(part):
        yield from _walk(inner, signed=signed)


def _parts(part: Message) -> list[Message]:
    """Give the parts directly in a part; the only one may stand without a list."""
    if not _is_composite(part):
        return []
    payload = part.get_payload()
    inner = payload if isinstance(payload, list) else [payload]
    return [part for part in inner if isinstance(part, Message)]


def _is_composite(part: Message) -> bool:
    return part.get_content_maintype() in {"multipart", "message"}


def _copy(message: Message) -> Message:
    """Copy a tree of parts, but of each part only what is changed in the copy."""
    shared: dict[int, object] = {}
    for part in message.walk():
        values = [value for _, value in part.raw_items()]
        values += [v for v in vars(part).values() if not isinstance(v, (list, Message))]
        shared.update((id(value), value) for value in values)
    return copy.deepcopy(message, shared)


# How header fields are folded


class _Folded(str):
    """A header value that folds into what it was folded into once.

    Raises `InvalidInput` if that is not one field, for then a line end in the
    value, or in what an encoded word in it stands for, has begun another line.
    """

    __slots__ = ("lines", "name")

    #: The name; a value that has one is asked to fold itself.
    name: str
    #: The whole field.
    lines: str

    def __new__(cls, field: Field, octets: bytes) -> Self:
        """Make the value of a field that was folded into these octets."""
        match = _FIELD.fullmatch(octets)
        if match is None or match[1].decode("ascii").lower() != field.key:
            msg = (
                f"header field {field.name!r} holds a line end or NUL, or its name is "
                "none"
            )
            raise InvalidInput(msg)
        folded = super().__new__(cls, field.text)
        folded.name = field.name
        folded.lines = octets.decode("utf-8", "surrogateescape")
        return folded

    def fold(self, *, policy: policy.Policy) -> str:  # noqa: ARG002  # all headers do
        """Give the whole field."""
        return self.lines


def _fold(message: Message, fields: list[Field]) -> None:
    """Fold the header sections of all parts; that of the message becomes `fields`."""
    utf8 = any(field.needs_utf8 for field in fields)
    for part, signed in _walk(message):
        top = part is message
        own = message.policy.clone(linesep="\r\n")
        if signed:
            own = own.clone(max_line_length=0)
        modern = own if isinstance(own, policy.EmailPolicy) else _MODERN
        modern = modern.clone(utf8=utf8 and top)
        folded = [
            _Folded(
                field,
                (None if top else _as_parsed(field)) or _by_policy(field, own, modern),
            )
            for field in (fields if top else Header(part).fields)
        ]
        for name in set(part.keys()):
            del part[name]
        for value in folded:
            part.set_raw(value.name, value)


def _as_parsed(field: Field) -> bytes | None:
    """Give a field as it was parsed, which may be nonsense; None if it was not."""
    if not field.is_text:
        return None
    text = "\r\n".join(LINE_END.split(str(field.value)))
    try:
        return f"{field.name}: {text}\r\n".encode("ascii", "surrogateescape")
    except UnicodeEncodeError:
        return None


def _by_policy(
    field: Field, own: policy.Policy, modern: policy.EmailPolicy[Message]
) -> bytes:
    """Fold a field by the message's own policy.

    The old policy is for ASCII only: it would make an encoded word of a whole
    list of addresses. And it lets a long word make a long line (RFC 5322 §2.1.1).
    """
    if field.text.isascii():
        folded = own.fold_binary(field.name, field.value)
        if not (own.max_line_length and _is_unfit(folded)):
            return faithful(field.name, field.value, folded, own.max_line_length)
    value = field.parsed if field.is_text else field.value
    if isinstance(value, AddressHeader) and not (modern.utf8 or _is_ascii(value)):
        value = _with_a_labels(field.name, value)
    folded = modern.fold_binary(field.name, value)
    return faithful(field.name, value, folded, modern.max_line_length)


def _with_a_labels(name: str, header: AddressHeader) -> str:
    """Give a field of addresses with A-labels as their domains (RFC 5891 §5)."""
    groups = [
        Group(
            group.display_name,
            [
                Address(each.display_name, each.username, _a_labels(each.domain))
                for each in group.addresses
            ],
        )
        for group in header.groups
    ]
    value: str = _MODERN.header_factory(name, ", ".join(map(str, groups)))
    return value


def _is_ascii(header: AddressHeader) -> bool:
    return all(address.domain.isascii() for address in header.addresses)


def _a_labels(domain: str) -> str:
    try:
        return domain if domain.isascii() else domain_name(domain)
    except InvalidInput:
        return domain  # nobody's address, and no forward-path either


# How parts are encoded


def _encoding(part: Message) -> str:
    return str(part.get(_ENCODING, "")).strip().lower()


def _has_binary_part(message: Message) -> bool:
    """Tell whether there is a part that only BINARYMIME could carry (RFC 3030 §3)."""
    return any(_encoding(part) == "binary" for part, _ in _walk(message))


def _is_unfit(octets: bytes) -> bool:
    """Tell whether this is neither 7bit nor 8bit data (RFC 2045 §2.7, §2.8)."""
    longest = max(map(len, octets.splitlines()), default=0)
    return longest > MAX_TEXT_LINE or b"\0" in octets


def _reencode(part: Message, *, eight_bit: bool) -> None:
    """Give a part the transfer encoding that it needs, if it needs another one."""
    encoding = _encoding(part)
    if _is_composite(part):
        # Its parts are encoded; its label says what they may be (RFC 2045 §6.4).
        if encoding in {"8bit", "binary"}:
            _set_encoding(part, "8bit" if eight_bit else "7bit")
        if not eight_bit:
            part.preamble = part.epilogue = None  # for readers without MIME
        return
    payload = part.get_payload(decode=True)
    if encoding not in _KNOWN or not isinstance(payload, bytes):
        return
    octets = str(part.get_payload()).encode() if encoding in _CODED else payload
    unfit = encoding == "binary" or _is_unfit(octets)
    if unfit or not (eight_bit or octets.isascii()):
        _encode(part, payload)


def _encode(part: Message, payload: bytes) -> None:
    """Encode a leaf in base64, or a text in quoted-printable if that is shorter."""
    # Where there are NULs, as in UTF-16, the octets of a line end may be none.
    is_text = part.get_content_maintype() == "text" and b"\0" not in payload
    if is_text:
        payload = Canonicalizer().feed(payload)
    encoding, encoded = "base64", base64.encodebytes(payload)
    if is_text and len(quoted := binascii.b2a_qp(payload)) <= len(encoded):
        encoding, encoded = "quoted-printable", quoted
    _set_encoding(part, encoding)
    part.set_payload(encoded.decode("ascii"))


def _set_encoding(part: Message, encoding: str) -> None:
    del part[_ENCODING]
    part[_ENCODING] = encoding
