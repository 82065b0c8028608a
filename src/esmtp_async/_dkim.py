"""DKIM: a domain signs for a message (RFC 6376, RFC 8301, RFC 8463)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from time import time
from typing import TYPE_CHECKING, ClassVar, Final, NoReturn

from esmtp_async._dkim_canonical import (
    BODIES,
    FIELDS,
    SignedField,
    body_hash,
    fields_of,
)
from esmtp_async._dkim_keys import signing_key
from esmtp_async._dkim_settings import HEADERS, OVERSIGN, FieldNames, Place, forms
from esmtp_async.protocol._exceptions import InvalidInput

if TYPE_CHECKING:  # where it is missing, the rest works without it
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

#: Characters of a line of ours (RFC 5322 §2.1.1).
_LINE: Final = 78


class DkimSigner:
    """Signs with a domain's key (RFC 6376), over `cryptography`: the extra `dkim`.

    Args:
        domain: The domain that signs, `d=`; one outside ASCII becomes A-labels
            (RFC 8616).
        selector: The name of the key below the domain, `s=`.
        key: The private key: PEM without a password, or an object of `cryptography`'s.
            RSA of 1024 bits at least (2048 are good; RFC 8301), or Ed25519 (RFC 8463).
        identity: On whose behalf, `i=`: `alice@example.org`, `@news.example.org`; its
            domain is the one that signs, or one below it.
        headers: The names of the fields to sign, as often as the message has them;
            `DkimSigner.HEADERS` unless given. `oversign` need not be repeated here.
        oversign: The names of those that are signed once more than the message has
            them, so that nobody can add another one; `DkimSigner.OVERSIGN` unless
            given.
        canonicalization: `"relaxed/relaxed"`, or with `simple` for either half: header
            and body (RFC 6376 §3.4). What is simple breaks easily on the way.
        expires: Seconds from the signature on that it is good for, `x=`; without an
            end if None. Mail may be on its way for days.
        timestamp: Whether to tell when it was signed, `t=`.

    Raises:
        InvalidInput: where an argument is not that; nothing shows the key.

    The body is signed as a whole, never only its beginning (no `l=`; RFC 6376 §8.2).
    An object may be used by any number of threads. Like its key it cannot be pickled.
    """

    #: The fields that are signed unless told otherwise.
    HEADERS: ClassVar[tuple[str, ...]] = HEADERS
    #: The fields that are signed once more unless told otherwise.
    OVERSIGN: ClassVar[tuple[str, ...]] = OVERSIGN

    def __init__(
        self,
        domain: str,
        selector: str,
        key: str | bytes | RSAPrivateKey | Ed25519PrivateKey,
        *,
        identity: str | None = None,
        headers: Iterable[str] = HEADERS,
        oversign: Iterable[str] = OVERSIGN,
        canonicalization: str = "relaxed/relaxed",
        expires: int | None = None,
        timestamp: bool = True,
    ) -> None:
        try:
            self._place = Place(domain, selector)
            #: The domain that signs, in A-labels.
            self.domain: str = self._place.domain
            #: The name of its key, in A-labels.
            self.selector: str = self._place.selector
            self._key = signing_key(key)
        finally:
            del key  # from here on no traceback with variables shows it
        self._names = FieldNames(headers, oversign)
        self._identity = None if identity is None else self._place.identity(identity)
        header_form, body_form = forms(canonicalization)
        #: The forms of header and body that are signed.
        self.canonicalization: str = canonicalization
        self._field, self._body = FIELDS[header_form], BODIES[body_form]
        if expires is not None and (type(expires) is not int or expires < 1):
            msg = f"expires {expires!r} is not a whole number of seconds above 0"
            raise InvalidInput(msg)
        self._expires = expires
        self._timestamp = timestamp

    def __repr__(self) -> str:
        return f"DkimSigner({self.domain!r}, {self.selector!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied into anything that is."""
        msg = "a key that signs cannot be pickled"
        raise TypeError(msg)

    @property
    def algorithm(self) -> str:
        """How it signs: `rsa-sha256` or `ed25519-sha256`."""
        return self._key.algorithm

    @property
    def dns_record(self) -> tuple[str, str]:
        """The name of the TXT record to publish, and its text (RFC 6376 §3.6).

        In a zone file a text of more than 255 characters stands in several strings.
        """
        return self._place.record_name, self._key.record

    def sign(self, header: bytes, body: Iterable[bytes], /) -> bytes:
        """Give the DKIM-Signature field for a message; see `Signer.sign`.

        Raises `InvalidInput` if the header has no From, or a line that is no field, or
        if a block of the body is not octets. The body is hashed as it is read.
        """
        fields = fields_of(header)
        names = self._names.of(fields)
        signed = b"".join(self._field(field) for field in _bottom_up(fields, names))
        digest = body_hash(self._body(), body)
        unsigned = _folded(self._tags(names, digest)) + b"\r\n b="
        # The field itself is signed too, with nothing in b= and no line end (§3.7).
        (own,) = fields_of(unsigned + b"\r\n")
        signature = b64encode(self._key.sign(signed + self._field(own)[:-2]))
        width = _LINE - 3  # behind " b=", and a space on the lines below
        lines = [signature[i : i + width] for i in range(0, len(signature), width)]
        return unsigned + b"\r\n ".join(lines) + b"\r\n"

    def _tags(self, names: list[str], digest: bytes) -> Iterator[str]:
        """Give the tags before `b=`, in pieces between which a line may end."""
        now = int(time())
        yield "v=1;"
        yield f"a={self.algorithm};"
        yield f"c={self.canonicalization};"
        yield f"d={self.domain};"
        if self._identity is not None:
            yield f"i={self._identity};"
        yield "q=dns/txt;"
        yield f"s={self.selector};"
        if self._timestamp:
            yield f"t={now};"
        if self._expires is not None:
            yield f"x={now + self._expires};"
        *others, last = names
        pieces = [*(f"{name} :" for name in others), f"{last};"]
        yield f"h={pieces[0]}"
        yield from pieces[1:]
        yield f"bh={b64encode(digest).decode('ascii')};"


def _bottom_up(fields: list[SignedField], names: list[str]) -> Iterator[SignedField]:
    """Give the fields that `h=` names: of several of a name the last first (§5.4.2)."""
    last: dict[str, list[SignedField]] = {}
    for field in fields:
        last.setdefault(field.key, []).append(field)
    for name in names:
        if left := last.get(name):
            yield left.pop()


def _folded(pieces: Iterable[str]) -> bytes:
    """Put pieces into lines, as many into each as there is room for."""
    lines = ["DKIM-Signature:"]
    for piece in pieces:
        if len(lines[-1]) + len(piece) < _LINE:  # and a space
            lines[-1] += f" {piece}"
        else:
            lines.append(f" {piece}")
    return "\r\n".join(lines).encode("ascii")
