"""The binary form of a message: attachments as they are, not in base64 (RFC 3030 §3).

The standard library mends line ends wherever it writes a body. So each part is written
with a word in its place first, and the word is replaced by the octets.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from email.message import Message
from typing import Final

_ENCODING: Final = "Content-Transfer-Encoding"
_DECODED: Final = frozenset({"base64", "binary"})


def take_out(message: Message) -> Mapping[bytes, bytes]:
    """Replace what is in base64 by words, and label it; give words and octets.

    What a signature covers stays (RFC 1847 §2.1), and so does what holds the boundary
    of a multipart: in base64 nobody can take it for one.
    """
    boundaries = [
        f"--{boundary}".encode("ascii", "replace")
        for part in message.walk()
        if (boundary := part.get_boundary()) is not None
    ]
    taken: dict[bytes, bytes] = {}
    _take_out(message, boundaries, taken)
    return taken


def _take_out(
    part: Message, boundaries: list[bytes], taken: dict[bytes, bytes]
) -> bool:
    """Do so with a part and all in it; tell whether there was any."""
    if part.get_content_type() == "multipart/signed":
        return False
    payload = part.get_payload()
    if isinstance(payload, list):
        parts = [each for each in payload if isinstance(each, Message)]
        found = [_take_out(each, boundaries, taken) for each in parts]
        if any(found):
            _label(part)
        return any(found)
    octets = part.get_payload(decode=True)
    encoding = str(part.get(_ENCODING, "")).strip().lower()
    if encoding not in _DECODED or not isinstance(octets, bytes):
        return False
    if any(boundary in octets for boundary in boundaries):
        return False
    word = secrets.token_hex(16)
    part.set_payload(word)
    _label(part)
    taken[word.encode()] = octets
    return True


def _label(part: Message) -> None:
    """Say of a part, and of what it is in, that it is binary (RFC 2045 §6.4)."""
    del part[_ENCODING]
    part[_ENCODING] = "binary"


def put_in(octets: bytes, taken: Mapping[bytes, bytes]) -> bytes:
    """Put the octets where the words are; they stand in the order of the parts."""
    pieces: list[bytes] = []
    for word, part in taken.items():
        before, _, octets = octets.partition(word)
        pieces += (before, part)
    return b"".join((*pieces, octets))
