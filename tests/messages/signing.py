"""Keys and messages to sign, and dkimpy to verify them by."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Final, TypedDict, Unpack

import dkim
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import strategies as st

from esmtp_async import DkimSigner

FORMS: Final = ["relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"]

DOMAIN: Final = "example.org"
HEADER: Final = b"From: alice@example.org\r\nSubject: Hello\r\nTo: bob@example.net\r\n"
BODY: Final = b"How are  you?\r\n\r\nAlice\r\n"

Key = RSAPrivateKey | Ed25519PrivateKey | str | bytes

ED25519: Final = Ed25519PrivateKey.from_private_bytes(b"of nobody" + bytes(23))


class Options(TypedDict, total=False):
    """What a signer may be told."""

    identity: str
    headers: Sequence[str]
    oversign: Sequence[str]
    canonicalization: str
    expires: int
    timestamp: bool


def signer(key: Key = ED25519, **options: Unpack[Options]) -> DkimSigner:
    return DkimSigner(DOMAIN, "mail", key, **options)


@cache
def rsa_key(bits: int = 2048) -> RSAPrivateKey:
    return generate_private_key(65537, bits)


def pem(
    key: RSAPrivateKey | Ed25519PrivateKey, form: PrivateFormat = PrivateFormat.PKCS8
) -> bytes:
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


def verifies(message: bytes, records: Mapping[str, str], index: int = 0) -> bool:
    """Tell whether a signature verifies, the top one unless told otherwise."""

    def look_up(name: bytes, **_: object) -> bytes:
        return records[name.decode().removesuffix(".")].encode()

    try:
        return bool(dkim.DKIM(message).verify(idx=index, dnsfunc=look_up))
    except dkim.DKIMException:
        return False


def tags(field: bytes) -> dict[str, str]:
    """Read a signature's tags."""
    name, _, value = re.sub(rb"\s+", b" ", field).partition(b":")
    assert name == b"DKIM-Signature"
    pairs = (tag.partition("=") for tag in value.decode("ascii").split(";"))
    return {name.strip(): text.strip() for name, _, text in pairs}


def cut(octets: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut octets into blocks; some may be empty."""
    edges = sorted(min(place, len(octets)) for place in places)
    borders = [0, *edges, len(octets)]
    return [octets[a:b] for a, b in pairwise(borders)]


# Messages of all kinds

_TEXT: Final = st.lists(
    st.sampled_from([b"a", b"Bc", b" ", b"  ", b"\t", b".", b"=", b";", b"\xc3\xa9"]),
    max_size=8,
).map(b"".join)
_NAMES: Final = st.sampled_from(
    [
        *(b"From", b"To", b"SUBJECT", b"subject", b"Received", b"X-Other", b"Cc"),
        *(b"List-Unsubscribe", b"List-Unsubscribe-Post", b"DKIM-Signature-Not"),
    ]
)
_FIELDS: Final = st.builds(
    lambda name, first, others: (
        name + b":" + b"\r\n".join([first, *(b" " + line for line in others)]) + b"\r\n"
    ),
    _NAMES,
    _TEXT,
    st.lists(_TEXT, max_size=2),
)


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """Give a header section: fields repeated, folded, spaced oddly, with a From."""
    fields = draw(st.lists(_FIELDS, max_size=8))
    fields.insert(draw(st.integers(0, len(fields))), b"From: alice@example.org\r\n")
    return b"".join(fields)


_LINES: Final = st.one_of(
    *(_TEXT, _TEXT.map(lambda text: text + b" \t "), st.just(b""), st.just(b" ")),
    st.binary(max_size=20).map(lambda o: o.replace(b"\r", b"").replace(b"\n", b"")),
    st.integers(900, 2000).map(lambda size: b"x " * size),
)
BODIES: Final = st.builds(
    lambda lines, blank, end: b"\r\n".join(lines) + blank * b"\r\n" + end,
    st.lists(_LINES, max_size=10),
    st.integers(0, 4),
    st.sampled_from([b"", b"\r\n", b" \r\n", b"end", b" \t"]),
)
CUTS: Final = st.lists(st.integers(0, 100), max_size=12)


def big_body(size: int) -> bytes:
    """Give about so many octets of text, some lines indented."""
    chance = random.Random(size)  # noqa: S311  # no secret
    words = [b"lorem", b"ipsum", b"<td>", b"a"]
    lines = (
        b" " * chance.choice([0, 0, 4, 8]) + b" ".join(chance.choices(words, k=11))
        for _ in range(size // 50)
    )
    return b"\r\n".join(lines) + b"\r\n"
