"""What of a message DKIM signs: header fields and body, canonicalized (RFC 6376 §3.4).

Both forms of the body are hashed as its blocks pass. White space and line ends that
may be the last ones are counted, not kept, so a body of any size takes the same memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final, NamedTuple

from esmtp_async.protocol._exceptions import InvalidInput, check_type

# A field, and the lines that it goes on in (RFC 5322 §2.2, §2.2.3).
_FIELD: Final = re.compile(rb"([!-9;-~]+)[ \t]*:([^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)")
_SPACES: Final = re.compile(rb"  +")
#: Octets that are looked at in one step: what the processor has at hand is fastest.
_STEP: Final = 64 * 1024
#: How much of what is no field an error shows.
_SHOWN: Final = 40


class SignedField(NamedTuple):
    """A header field of the message."""

    #: The name in lower case.
    key: str
    #: All of it, with its line end.
    octets: bytes
    #: What stands behind the colon, with its line end.
    value: bytes


def fields_of(header: bytes) -> list[SignedField]:
    """Read a header section as it will be sent; raises `InvalidInput`.

    A line that is no field is where some readers see the body begin, so whatever was
    signed would not be what they verify.
    """
    check_type("the header", header, bytes)
    fields: list[SignedField] = []
    position = 0
    while position < len(header):
        match = _FIELD.match(header, position)
        if match is None:
            found = header[position : position + _SHOWN]
            msg = f"behind {len(fields)} fields the header has {found!r}, which is none"
            raise InvalidInput(msg)
        fields.append(SignedField(match[1].decode("ascii").lower(), match[0], match[2]))
        position = match.end()
    return fields


def simple_field(field: SignedField) -> bytes:
    """Give a field as it is (RFC 6376 §3.4.1)."""
    return field.octets


def relaxed_field(field: SignedField) -> bytes:
    """Give a field on one line, its white space reduced (RFC 6376 §3.4.2)."""
    value = _reduced(field.value.replace(b"\r\n", b"")).strip(b" ")
    return b"%b:%b\r\n" % (field.key.encode("ascii"), value)


def _reduced(octets: bytes) -> bytes:
    """Give one space for every run of white space.

    To look for one first takes a fourth of the time where there is none.
    """
    octets = octets.replace(b"\t", b" ")
    return _SPACES.sub(b" ", octets) if b"  " in octets else octets


class SimpleBody:
    """A body without the empty lines at its end (RFC 6376 §3.4.3)."""

    #: Octets that are signed only if others follow them.
    space: bytes = b"\r\n"
    #: What is signed of a body that has no others.
    empty: bytes = b"\r\n"

    def __init__(self) -> None:
        self._hash = sha256()
        self._begun = False
        self._lines = 0  # line ends that wait for what follows

    def feed(self, block: bytes) -> None:
        """Take a block; it may begin and end anywhere, in a CRLF too."""
        inner = block.lstrip(self.space)
        self._wait(block[: len(block) - len(inner)])
        if inner:
            text = inner.rstrip(self.space)
            self._release()
            self._hash.update(self._form(text))
            self._begun = True
            self._wait(inner[len(text) :])

    def digest(self) -> bytes:
        """Give the hash of all blocks; what still waits was the end."""
        self._hash.update(b"\r\n" if self._begun else self.empty)
        return self._hash.digest()

    def _form(self, text: bytes) -> bytes:
        """Give what is signed of octets that begin and end with no space."""
        return text

    def _wait(self, space: bytes) -> None:
        self._lines += space.count(b"\n")  # of a CRLF in two blocks, too

    def _release(self) -> None:
        while self._lines > 0:
            lines = min(self._lines, _STEP)
            self._hash.update(b"\r\n" * lines)
            self._lines -= lines


class RelaxedBody(SimpleBody):
    """A body with its white space reduced, without that at its end (§3.4.4)."""

    space = b" \t\r\n"
    empty = b""

    def __init__(self) -> None:
        super().__init__()
        self._spaced = False  # white space waits behind the line ends

    def _form(self, text: bytes) -> bytes:
        return _reduced(text).replace(b" \r\n", b"\r\n")

    def _wait(self, space: bytes) -> None:
        super()._wait(space)
        _, line_end, behind = space.rpartition(b"\n")
        if line_end:
            self._spaced = False
        if behind:  # if that is half of a line end, the other half takes it back
            self._spaced = True

    def _release(self) -> None:
        super()._release()
        if self._spaced:
            self._hash.update(b" ")
            self._spaced = False


def body_hash(canonical: SimpleBody, body: Iterable[bytes]) -> bytes:
    """Give the SHA-256 of a body in one of its forms; it is read once."""
    for block in body:
        check_type("a block of the body", block, bytes, bytearray, memoryview)
        octets = bytes(block)
        for start in range(0, len(octets), _STEP):
            canonical.feed(octets[start : start + _STEP])
    return canonical.digest()


#: By the names that `c=` knows them by.
FIELDS: Final[dict[str, Callable[[SignedField], bytes]]] = {
    "simple": simple_field,
    "relaxed": relaxed_field,
}
BODIES: Final[dict[str, type[SimpleBody]]] = {
    "simple": SimpleBody,
    "relaxed": RelaxedBody,
}
