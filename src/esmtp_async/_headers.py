"""The envelope that a message's header section implies (RFC 5322 §3.6).

Sender before From; To, Cc and Bcc; and of a message that was resent the newest
block of Resent- fields instead (§3.6.6). The standard library parses; what it
finds defective is refused rather than guessed at, for a guess loses addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from email import policy
from email.errors import InvalidHeaderDefect
from email.headerregistry import Address, AddressHeader, BaseHeader
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Final

from esmtp_async.protocol._exceptions import InvalidInput

_RESENT: Final = "resent-"


def of_octets(octets: bytes) -> Message:
    """Parse the header section of canonical octets, and no more of them."""
    end = 0 if octets.startswith(b"\r\n") else octets.find(b"\r\n\r\n")
    section = octets if end < 0 else octets[: end + 2]
    return BytesHeaderParser(policy=policy.default).parsebytes(section)


def message_id(message: Message) -> str | None:
    """Give the Message-ID, or None."""
    value = message["Message-ID"]
    return None if value is None else str(value).strip()


def sender(message: Message | None) -> str:
    """Give the reverse-path: the mailbox of Sender, or the only one of From."""
    if message is None:
        msg = "sender must be given for a message that comes in blocks"
        raise InvalidInput(msg)
    fields = _fields(message)
    for name in ("sender", "from"):
        if name not in fields:
            continue
        addresses = [a for value in fields[name] for a in _addresses(name, value)]
        if len(addresses) == 1:
            return addresses[0]
        if addresses:
            msg = (
                f"{name.title()} has {len(addresses)} addresses; give sender=, or a "
                "Sender field with one (RFC 5322 section 3.6.2)"
            )
            raise InvalidInput(msg)
    msg = "the message has no address in Sender or From; give sender="
    raise InvalidInput(msg)


def sender_domain(message: Message) -> str:
    """Give the domain a Message-ID may be made in, from whatever From holds."""
    addresses = [a for v in _fields(message).get("from", ()) for a in _found("from", v)]
    domain = addresses[0].domain if addresses else ""
    return domain if domain.isascii() and domain else "localhost"


def recipients(message: Message | None) -> list[str]:
    """Give the forward-paths: all of To, Cc and Bcc, in this order."""
    if message is None:
        msg = "recipients must be given for a message that comes in blocks"
        raise InvalidInput(msg)
    fields = _fields(message)
    return [
        address
        for name in ("to", "cc", "bcc")
        for value in fields.get(name, ())
        for address in _addresses(name, value)
    ]


def addresses(message: Message) -> Iterator[Address]:
    """Give every address of every address field, as far as it can be parsed."""
    names = ("from", "sender", "reply-to", "to", "cc", "bcc")
    for name, value in message.items():
        if name.lower().removeprefix(_RESENT) in names:
            yield from _found(name, value)


def _fields(message: Message) -> dict[str, list[object]]:
    """Collect the fields that count, under their names without `Resent-`.

    Blocks of Resent- fields stand newest first, and a block ends where one of
    its names comes again (RFC 5322 §3.6.6).
    """
    plain: dict[str, list[object]] = {}
    resent: dict[str, list[object]] = {}
    block_ended = False
    for name, value in message.items():
        key = name.lower()
        if not key.startswith(_RESENT):
            plain.setdefault(key, []).append(value)
            continue
        key = key.removeprefix(_RESENT)
        block_ended = block_ended or key in resent
        if not block_ended:
            resent[key] = [value]
    return resent or plain


def _addresses(name: str, value: object) -> list[str]:
    """Give the addr-specs of a field, or raise if the field is defective."""
    found = _found(name, value, strict=True)
    return [address.addr_spec for address in found]


def _found(name: str, value: object, *, strict: bool = False) -> tuple[Address, ...]:
    header = value
    if not isinstance(header, AddressHeader):
        # A value of the compat32 policy: text as it stood, folds included.
        text = "".join(str(value).splitlines())
        header = policy.default.header_factory(name, text)
    found = header.defects if isinstance(header, BaseHeader) else ()
    defects = [d for d in found if isinstance(d, InvalidHeaderDefect)]
    if strict and defects:
        msg = f"{name.title()} {str(value)!r} cannot be read: {defects[0]}"
        raise InvalidInput(msg)
    return tuple(header.addresses)
