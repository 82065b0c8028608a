"""Header sections: their fields, and the envelope they imply (RFC 5322 §3.6).

Sender before From; To, Cc and Bcc; and of a message that was resent the newest
block of Resent- fields instead (§3.6.6). The standard library parses; what it
finds defective is refused rather than guessed at, for a guess loses addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import policy
from email.errors import InvalidHeaderDefect, MissingHeaderBodySeparatorDefect
from email.headerregistry import Address, BaseHeader
from email.message import Message
from email.parser import BytesHeaderParser
from functools import cached_property
from typing import Final

from esmtp_async.protocol import _grammar
from esmtp_async.protocol._addresses import domain_or_literal
from esmtp_async.protocol._content import header_section
from esmtp_async.protocol._exceptions import InvalidInput

_RESENT: Final = "resent-"
_MESSAGE_ID: Final = "message-id"

# Of these a block of Resent- fields has one (RFC 5322 §3.6), and a transport
# that comes between two blocks leaves a trace.
_ONCE: Final = frozenset({"date", "from", "sender", _MESSAGE_ID})
_TRACE: Final = frozenset({"received", "return-path"})

#: What ends a line of a value, whoever parsed it.
LINE_END: Final = re.compile(r"\r\n|\r|\n")
# A value, with the lines that it goes on in (RFC 5322 §2.2.3).
_VALUE: Final = re.compile(rb"((?:[^\r]|\r\n[ \t])*)\r\n")
_MESSAGE_ID_LINE: Final = b"\r\nmessage-id:"
# What no field may hold (RFC 5322 §2.2, RFC 6532 §3.2), lest a parser that takes
# it for a space make another address of two halves.
_CONTROL: Final = re.compile(r"[\0-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_DOT_STRING: Final = re.compile(_grammar.DOT_STRING)
_TO_ESCAPE: Final = re.compile(r'["\\]')


def _unescaped(octets: bytes) -> str:
    """Read octets as UTF-8; where they are none, those above 127 stay escaped."""
    try:
        return octets.decode("utf-8")
    except UnicodeError:
        return octets.decode("ascii", "surrogateescape")


class Field:
    """A header field; it is parsed when asked what it means, and once."""

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        #: The name in lower case.
        self.key = name.lower()
        #: As the message has it: text as it stood, or an object that stands for it.
        self.value = value

    @cached_property
    def text(self) -> str:
        """The value unfolded, raw octets in it read as UTF-8 (RFC 6532)."""
        text = LINE_END.sub("", str(self.value))
        try:
            octets = text.encode("utf-8", "surrogateescape")
        except UnicodeError:
            return text
        return _unescaped(octets)

    @cached_property
    def parsed(self) -> BaseHeader:
        """The value as the standard library reads it; raises `InvalidInput`."""
        if isinstance(self.value, BaseHeader):
            return self.value
        try:
            header: BaseHeader = policy.default.header_factory(self.name, self.text)
        except Exception as error:
            # On what it did not foresee, its parser fails in any way there is.
            msg = f"{self.name} {self.text!r} cannot be read: {error}"
            raise InvalidInput(msg) from error
        return header

    @property
    def is_text(self) -> bool:
        """Whether the value is text, not an object that knows how to fold itself."""
        return not hasattr(self.value, "name")

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Its addresses, those in groups too, as far as they can be read; or none."""
        return tuple(getattr(self.parsed, "addresses", ()))

    @property
    def mailboxes(self) -> list[str]:
        """Its addresses for the envelope; raises `InvalidInput` if it is defective."""
        if self._doubt:
            msg = f"{self.name} {self.text!r} cannot be read: {self._doubt}"
            raise InvalidInput(msg)
        return [_mailbox(address) for address in self.addresses]

    @cached_property
    def _doubt(self) -> str:
        """Why its addresses may not be what was meant; empty if they are."""
        if control := _CONTROL.search(self.text):
            return f"it holds {control[0]!r}"
        defects = [
            str(defect)
            for defect in self.parsed.defects
            if isinstance(defect, InvalidHeaderDefect)
        ]
        if self.is_text and "=?" in self.text:
            # Encoded words make up display names, where a defect of theirs does no
            # harm; in an address they are not allowed (RFC 2047 §5), but decoded.
            if not all(self._is_literal(address) for address in self.addresses):
                return "an encoded word stands in an address"
            defects = [defect for defect in defects if "encoded" not in defect]
        return defects[0] if defects else ""

    def _is_literal(self, address: Address) -> bool:
        return any(f"{address.username}{end}@" in self.text for end in ("", '"'))

    @property
    def needs_utf8(self) -> bool:
        """Whether an address in it is one that only UTF-8 can write (RFC 6532).

        An encoded word cannot stand in a local part (RFC 2047 §5).
        """
        return not self.text.isascii() and any(
            address.domain and not address.username.isascii()
            for address in self.addresses
        )


def message_id(octets: bytes) -> str | None:
    """Give the Message-ID of canonical octets, or None; nothing else is looked at."""
    header = b"\r\n" + header_section(octets)
    start = header.lower().find(_MESSAGE_ID_LINE)
    match = _VALUE.match(header, start + len(_MESSAGE_ID_LINE)) if start >= 0 else None
    if match is None:
        return None
    return _unescaped(match[1].replace(b"\r\n", b"")).strip()


class Header:
    """A header section: all fields of a message or a part, in order."""

    def __init__(self, message: Message) -> None:
        self.fields = [Field(name, value) for name, value in message.raw_items()]
        self._torn = any(
            isinstance(defect, MissingHeaderBodySeparatorDefect)
            for defect in message.defects
        )

    @classmethod
    def of_octets(cls, octets: bytes) -> Header:
        """Read the header section of canonical octets, and no more of them."""
        return cls(BytesHeaderParser().parsebytes(header_section(octets)))

    @property
    def message_id(self) -> str | None:
        """The Message-ID, or None."""
        ids = (f.text.strip() for f in self.fields if f.key == _MESSAGE_ID)
        return next(ids, None)

    @property
    def sender(self) -> str:
        """The reverse-path: the mailbox of Sender, or the only one of From."""
        for key in ("sender", "from"):
            mailboxes = list(self._mailboxes(key))
            if len(mailboxes) == 1:
                return mailboxes[0]
            if mailboxes:
                msg = (
                    f"{key.title()} has {len(mailboxes)} addresses; give a sender, or "
                    "a Sender field with one (RFC 5322 section 3.6.2)"
                )
                raise InvalidInput(msg)
        msg = "the message has no address in Sender or From; give a sender"
        raise InvalidInput(msg)

    @property
    def recipients(self) -> list[str]:
        """The forward-paths: all of To, Cc and Bcc, in this order."""
        keys = ("to", "cc", "bcc")
        paths = [path for key in keys for path in self._mailboxes(key)]
        if not paths:
            msg = "the message has no address in To, Cc or Bcc; give recipients"
            raise InvalidInput(msg)
        return paths

    @property
    def domain(self) -> str:
        """The domain that a Message-ID may be made in: the author's, if it has one."""
        try:
            mailbox = next(self._mailboxes("from"), "")
            return domain_or_literal(mailbox.rpartition("@")[2])
        except InvalidInput:
            return "localhost"

    def _mailboxes(self, key: str) -> Iterator[str]:
        if self._torn:
            msg = (
                "the header section ends in a line that is no header field, and "
                "addresses may stand below; give a sender and recipients"
            )
            raise InvalidInput(msg)
        for field in self._originators_and_destinations.get(key, ()):
            yield from field.mailboxes

    @cached_property
    def _originators_and_destinations(self) -> dict[str, list[Field]]:
        """The fields that count, under their names without `Resent-`."""
        block = _newest_block(self.fields)
        fields = block or self.fields
        named: dict[str, list[Field]] = {}
        for field in fields:
            key = field.key.removeprefix(_RESENT) if block else field.key
            named.setdefault(key, []).append(field)
        return named


def _newest_block(fields: list[Field]) -> list[Field]:
    """Give the Resent- fields of the latest resending (RFC 5322 §3.6.6).

    Blocks stand newest first. One ends where a trace field follows it, or where
    a field that it has once comes again; another block begins then with the
    first name that is repeated.
    """
    block: list[Field] = []
    for field in fields:
        if field.key.startswith(_RESENT):
            block.append(field)
        elif block and field.key in _TRACE:
            break
    keys = [field.key.removeprefix(_RESENT) for field in block]
    if all(keys.count(key) == 1 for key in _ONCE.intersection(keys)):
        return block
    repeated = (index for index, key in enumerate(keys) if key in keys[:index])
    return block[: next(repeated)]


def _mailbox(address: Address) -> str:
    """Give the addr-spec; unlike `Address.addr_spec`, quoted wherever it must be."""
    local_part = address.username
    if not _DOT_STRING.fullmatch(local_part):
        local_part = '"' + _TO_ESCAPE.sub(r"\\\g<0>", local_part) + '"'
    return f"{local_part}@{address.domain}"
