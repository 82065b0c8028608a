"""Addresses of the envelope (RFC 5321 §4.1.2, §4.1.3; RFC 6531; RFC 5891).

An address of the envelope is an addr-spec: no display name, no comment, no
list. It is matched against the grammar and refused when it does not match;
nothing is ever repaired, for a repaired address is somebody else's.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple
from unicodedata import decomposition, normalize

from esmtp_async.protocol import _grammar
from esmtp_async.protocol._exceptions import InvalidInput, check_type

#: RFC 5321 §4.5.3.1.3, in octets, the angle brackets included.
MAX_PATH: Final = 256
#: RFC 5321 §4.5.3.1.2 and RFC 1035 §2.3.4, in octets.
MAX_DOMAIN: Final = 255


def _mapped(name: str) -> str:
    """Map what only differs in case, width or normal form (RFC 5895 §2).

    Nothing else: UTS 46 would take out what cannot be seen and put letters in the
    place of signs, and the name would be somebody else's.
    """
    name = "".join(map(str.lower, name))  # a whole text's sigma depends on its place
    halves = (
        normalize("NFKC", each)
        if decomposition(each).startswith(("<wide>", "<narrow>"))
        else each
        for each in name
    )
    return normalize("NFC", "".join(halves)).replace("\u3002", ".")


@lru_cache(maxsize=1024)  # many addresses, few domains
def domain_name(text: str) -> str:
    """Check a domain name and give it as A-labels (RFC 5891 §5).

    Raises `InvalidInput` where it is not a domain name.
    """
    name = text
    # What is longer is no domain either way, and to map it would take long.
    if not text.isascii() and len(text) <= MAX_DOMAIN:
        # anyio depends on idna; loaded only for names that need it.
        import idna  # noqa: PLC0415

        try:
            name = idna.encode(_mapped(text), strict=True).decode("ascii")
        except UnicodeError as error:
            msg = f"{text!r} is not an internationalized domain name: {error}"
            raise InvalidInput(msg) from None
    if len(name) > MAX_DOMAIN or not _grammar.DOMAIN_ONLY.fullmatch(name):
        msg = f"{text!r} is not a domain name (RFC 5321 section 4.1.2)"
        raise InvalidInput(msg)
    return name


def address_literal(text: str) -> str:
    """Check `[192.0.2.1]`, `[IPv6:2001:db8::1]` or `[tag:...]` (RFC 5321 §4.1.3)."""
    match = _grammar.ADDRESS_LITERAL.fullmatch(text)
    if match is not None and match["ipv6"] is not None:
        try:
            ipaddress.IPv6Address(match["ipv6"])
        except ValueError:
            match = None
    if match is None or len(text) > MAX_DOMAIN:
        msg = f"{text!r} is not an address literal (RFC 5321 section 4.1.3)"
        raise InvalidInput(msg)
    return text


def domain_or_literal(text: str) -> str:
    """Check what may stand behind EHLO or the `@` of a mailbox; A-labels come back."""
    check_type("the host name", text, str)
    return address_literal(text) if text.startswith("[") else domain_name(text)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox: local part and domain (RFC 5321 §4.1.2).

    A domain outside ASCII becomes A-labels; a local part outside ASCII is kept
    and needs SMTPUTF8. Raises `InvalidInput` for everything outside the grammar.
    """

    #: As written, the quotes of a Quoted-string included.
    local_part: str
    #: A-labels, or an address literal with its brackets.
    domain: str
    #: The octets of the mailbox, without brackets.
    wire: bytes = field(init=False, repr=False, compare=False)
    #: Whether only SMTPUTF8 can carry it (RFC 6531 §3.3).
    needs_smtputf8: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check both halves and the length of the path."""
        if not _grammar.LOCAL_PART.fullmatch(self.local_part):
            msg = f"{self.local_part!r} is not a local part (RFC 5321 section 4.1.2)"
            raise InvalidInput(msg)
        object.__setattr__(self, "domain", domain_or_literal(self.domain))
        wire = f"{self.local_part}@{self.domain}".encode()
        object.__setattr__(self, "wire", wire)
        # The domain is ASCII by now.
        object.__setattr__(self, "needs_smtputf8", not wire.isascii())
        if len(wire) + 2 > MAX_PATH:
            msg = (
                f"{str(self)!r} is longer than a path may be: {MAX_PATH} octets "
                "with its brackets (RFC 5321 section 4.5.3.1.3)"
            )
            raise InvalidInput(msg)

    @classmethod
    def parse(cls, text: str) -> Mailbox:
        """Read an addr-spec: `local-part@domain`, and nothing around it.

        Raises `InvalidInput`.
        """
        check_type("the address", text, str)
        match = _grammar.MAILBOX.fullmatch(text)
        if match is None:
            msg = (
                f"{text!r} is not one mailbox: local-part@domain alone, without "
                "display name or brackets; of several each stands by itself (RFC 5321 "
                "section 4.1.2)"
            )
            raise InvalidInput(msg)
        try:
            return cls(match["local_part"], match["domain"])
        except InvalidInput as error:
            msg = f"{text!r} is not a mailbox: {error}"
            raise InvalidInput(msg) from None

    def __str__(self) -> str:
        """Give the mailbox as text, without brackets."""
        return f"{self.local_part}@{self.domain}"


@lru_cache(maxsize=64)  # many messages, few senders
def _sender(text: str) -> Mailbox:
    return Mailbox.parse(text)


class ReversePath(NamedTuple):
    """Where reports of non-delivery go: a mailbox, or nowhere (RFC 5321 §4.5.5)."""

    #: Its mailbox; None for the null reverse-path, `<>`.
    mailbox: Mailbox | None

    @classmethod
    def parse(cls, text: str) -> ReversePath:
        """Read a mailbox; the empty text is the null reverse-path `<>`."""
        if not isinstance(text, str):
            check_type("the address", text, str)
        return cls(_sender(text) if text else None)

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only SMTPUTF8 can carry it."""
        return self.mailbox is not None and self.mailbox.needs_smtputf8

    @property
    def wire(self) -> bytes:
        """The path in its angle brackets."""
        return b"<>" if self.mailbox is None else b"<%b>" % self.mailbox.wire


class ForwardPath(NamedTuple):
    """Where the message goes: a mailbox, or the local postmaster."""

    #: None for `<Postmaster>`, which has no domain (RFC 5321 §4.1.1.3).
    mailbox: Mailbox | None

    @classmethod
    def parse(cls, text: str) -> ForwardPath:
        """Read a mailbox, or `Postmaster` in any case."""
        check_type("the address", text, str)
        return cls(None if text.lower() == "postmaster" else Mailbox.parse(text))

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only SMTPUTF8 can carry it."""
        return self.mailbox is not None and self.mailbox.needs_smtputf8

    @property
    def identity(self) -> tuple[str, str]:
        """What two spellings of one path have in common: domains have no case."""
        if self.mailbox is None:
            return ("postmaster", "")
        return (self.mailbox.local_part, self.mailbox.domain.lower())

    @property
    def wire(self) -> bytes:
        """The path in its angle brackets."""
        return b"<Postmaster>" if self.mailbox is None else b"<%b>" % self.mailbox.wire
