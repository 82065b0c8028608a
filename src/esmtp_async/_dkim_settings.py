"""What a signer is told, checked when it is made (RFC 6376 §3.5, §5.4)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from esmtp_async._dkim_canonical import BODIES, FIELDS, SignedField
from esmtp_async.protocol import _grammar
from esmtp_async.protocol._addresses import domain_name
from esmtp_async.protocol._exceptions import InvalidInput, check_type

#: What is signed unless the caller says otherwise (RFC 6376 §5.4.1): what tells who
#: wrote what to whom and when, what says how the body is read, and what lists and
#: their readers' programs go by (RFC 8058 demands the last two).
HEADERS: Final = (
    *("from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id"),
    *("in-reply-to", "references", "mime-version", "content-type"),
    *("content-transfer-encoding", "content-id", "content-description"),
    *("resent-date", "resent-from", "resent-sender", "resent-to", "resent-cc"),
    *("resent-message-id", "list-id", "list-help", "list-subscribe", "list-post"),
    *("list-owner", "list-archive", "list-unsubscribe", "list-unsubscribe-post"),
)
#: Of these there is one at most, and a second one would be shown instead (RFC 6376
#: §8.15).
#: Sender, Date and Message-ID are not here: a server may have to add them on the
#: way (RFC 6409 §8).
OVERSIGN: Final = (
    *("from", "reply-to", "to", "cc", "subject"),
    *("mime-version", "content-type", "content-transfer-encoding"),
)

# hdr-name = field-name, and ";" would end the list      (RFC 6376 §3.5)
_NAME: Final = re.compile(r"[!-9<-~]+")
# Every server puts such fields in front of a message.
_FLEETING: Final = frozenset({"received", "return-path"})
# sig-i-tag = [ Local-part ] "@" domain-name
_IDENTITY: Final = re.compile(rf"(?:{_grammar.LOCAL_PART.pattern})?@[^@]+")
# dkim-safe-char = %x21-3A / %x3C / %x3E-7E               (RFC 6376 §2.11)
_UNSAFE: Final = re.compile(rb"[^!-:<>-~]")

#: Characters of a name in the DNS (RFC 1035 §2.3.4, without the root and a length).
_MAX_NAME: Final = 253


def forms(canonicalization: str) -> tuple[str, str]:
    """Read the forms of the header and of the body from what `c=` says."""
    check_type("canonicalization", canonicalization, str)
    header, _, body = canonicalization.partition("/")
    if header not in FIELDS or body not in BODIES:
        msg = (
            f"canonicalization {canonicalization!r} is not two of relaxed and simple "
            "with a slash between (RFC 6376 section 3.5)"
        )
        raise InvalidInput(msg)
    return header, body


class Place:
    """Where a domain's key is: `selector._domainkey.domain` (RFC 6376 §3.6.2.1)."""

    def __init__(self, domain: str, selector: str) -> None:
        self.domain = _name("domain", domain)
        if "." not in self.domain:
            msg = f"domain {domain!r} has no dot in it (RFC 6376 section 3.5)"
            raise InvalidInput(msg)
        self.selector = _name("selector", selector)
        if len(self.record_name) > _MAX_NAME:
            msg = f"{self.record_name!r} is longer than a name in the DNS may be"
            raise InvalidInput(msg)

    @property
    def record_name(self) -> str:
        """The name of the record that publishes the key."""
        return f"{self.selector}._domainkey.{self.domain}"

    def identity(self, text: str) -> str:
        """Check what `i=` is to say, and encode it (RFC 6376 §2.11, §3.5)."""
        check_type("identity", text, str)
        local_part, _, domain = text.rpartition("@")
        if not _IDENTITY.fullmatch(text):
            msg = f"identity {text!r} is not [local-part]@domain"
            raise InvalidInput(msg)
        domain = _name("identity", domain)
        if domain != self.domain and not domain.endswith(f".{self.domain}"):
            msg = f"identity {text!r} is not of {self.domain}, nor below it"
            raise InvalidInput(msg)
        encoded = _UNSAFE.sub(lambda match: b"=%02X" % match[0][0], local_part.encode())
        return f"{encoded.decode('ascii')}@{domain}"


class FieldNames:
    """Which fields are signed (RFC 6376 §5.4)."""

    def __init__(self, headers: Iterable[str], oversign: Iterable[str]) -> None:
        self._oversigned = _names("oversign", oversign)
        self._all = list(dict.fromkeys(_names("headers", headers) + self._oversigned))
        if "from" not in self._all:
            msg = "headers lack from, which must be signed (RFC 6376 section 5.4)"
            raise InvalidInput(msg)

    def of(self, fields: list[SignedField]) -> list[str]:
        """Give the names for `h=`: each as often as it is there, some once more."""
        counts = Counter(field.key for field in fields)
        if not counts["from"]:
            msg = "the header has no From, which must be signed (RFC 6376 section 5.4)"
            raise InvalidInput(msg)
        there = [name for name in self._all for _ in range(counts[name])]
        return there + self._oversigned


def _name(what: str, text: str) -> str:
    check_type(what, text, str)
    try:
        return domain_name(text).lower()
    except InvalidInput as error:
        msg = f"{what}: {error}"
        raise InvalidInput(msg) from None


def _names(what: str, names: Iterable[str]) -> list[str]:
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        msg = f"{what} is of type {type(names).__name__}, not several names"
        raise InvalidInput(msg)
    keys = []
    for name in names:
        check_type(f"a name in {what}", name, str)
        if not _NAME.fullmatch(name) or name.lower() in _FLEETING:
            msg = f"{what} names {name!r}, which is not a field that can be signed"
            raise InvalidInput(msg)
        keys.append(name.lower())
    return list(dict.fromkeys(keys))
