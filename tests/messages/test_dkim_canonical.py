"""What DKIM signs of a message, at every border of blocks."""

from __future__ import annotations

import tracemalloc
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from itertools import product
from typing import Any, Final

import pytest
from dkim.canonicalization import Relaxed, Simple
from hypothesis import given

from esmtp_async import InvalidInput
from esmtp_async._dkim_canonical import (
    RelaxedBody,
    SimpleBody,
    body_hash,
    fields_of,
    relaxed_field,
    simple_field,
)

from .signing import BODIES, CUTS, big_body, cut

ORACLES: Final = {SimpleBody: Simple, RelaxedBody: Relaxed}
FORMS: Final = list(ORACLES)

#: RFC 6376 §3.4.5, example 1.
HEADER: Final = b"A: X\r\nB : Y\t\r\n\tZ  \r\n"
BODY: Final = b" C \r\nD \t E\r\n\r\n\r\n"


def expected(form: type[SimpleBody], body: bytes) -> bytes:
    """Hash a body as it is on the wire: its last line has an end."""
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    return sha256(ORACLES[form].canonicalize_body(body)).digest()


def test_the_examples_of_rfc_6376() -> None:
    fields = fields_of(HEADER)
    assert [field.key for field in fields] == ["a", "b"]
    assert b"".join(map(relaxed_field, fields)) == b"a:X\r\nb:Y Z\r\n"
    assert b"".join(map(simple_field, fields)) == HEADER
    relaxed = sha256(b" C\r\nD E\r\n").digest()
    assert body_hash(RelaxedBody(), [BODY]) == relaxed
    simple = sha256(b" C \r\nD \t E\r\n").digest()
    assert body_hash(SimpleBody(), [BODY]) == simple


@pytest.mark.parametrize(
    ("form", "digest"),
    [
        (SimpleBody, b"frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="),
        (RelaxedBody, b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
    ],
)
def test_an_empty_body_has_the_hash_of_the_rfc(
    form: type[SimpleBody], digest: bytes
) -> None:
    for body in (b"", b"\r\n", b"\r\n\r\n\r\n"):
        assert b64encode(body_hash(form(), [body])) == digest
    assert b64encode(body_hash(form(), [])) == digest


@pytest.mark.parametrize("form", FORMS)
def test_every_short_body_at_every_border(form: type[SimpleBody]) -> None:
    """All there are of up to five pieces, whole, in two blocks, and octet by octet."""
    for size in range(6):
        for pieces in product((b"a", b" ", b"\t", b"\r\n"), repeat=size):
            body = b"".join(pieces)
            right = expected(form, body)
            octets = [body[i : i + 1] for i in range(len(body))]
            assert body_hash(form(), octets) == right, body
            for border in range(len(body) + 1):
                blocks = [body[:border], body[border:]]
                assert body_hash(form(), blocks) == right, blocks


@given(BODIES, CUTS)
def test_a_body_has_one_hash_however_it_is_cut(body: bytes, cuts: list[int]) -> None:
    for form in FORMS:
        assert body_hash(form(), iter(cut(body, cuts))) == expected(form, body)


@pytest.mark.parametrize("form", FORMS)
def test_a_large_block_is_hashed_as_any_other(form: type[SimpleBody]) -> None:
    body = big_body(300_000)
    assert body_hash(form(), [body]) == expected(form, body)
    others: list[Any] = [bytearray(body), memoryview(body)]
    for block in others:
        assert body_hash(form(), [block]) == expected(form, body)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("space", "relaxed"),
    [
        (b"\r\n", b"\r\n"),
        (b" \r\n", b"\r\n"),
        (b"a ", b"a "),
        (b"\t \r\n  a", b"\r\n a"),
        (b"  ", b""),
    ],
)
def test_what_may_be_the_end_takes_neither_memory_nor_time(
    form: type[SimpleBody], space: bytes, relaxed: bytes
) -> None:
    """The time that looking at it again and again took would end the test."""
    per_block = 2**13 // len(space)
    count = per_block * 2**10
    signed = {
        SimpleBody: space * count + b" x\r\n",
        RelaxedBody: relaxed * count
        + (b"x\r\n" if relaxed[-1:] == b" " else b" x\r\n"),
    }
    right = sha256(signed[form]).digest()

    def blocks() -> Iterator[bytes]:
        for _ in range(2**10):
            yield space * per_block
        yield b" x\r\n"

    body_hash(form(), [b"first"])
    tracemalloc.start()
    digest = body_hash(form(), blocks())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert digest == right
    assert peak < 2**20  # of 8 MiB


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"From: a\r\nno field\r\n", "behind 1 fields the header has b'no field"),
        (b" folded: into nothing\r\n", "behind 0 fields"),
        (b"From: a\r\n\r\n", "behind 1 fields"),
        (b"From: a\nTo: b\r\n", "behind 0 fields"),
        (b"From: a\rTo: b\r\n", "behind 0 fields"),
        (b"From: a", "behind 0 fields"),
        (b"Fr\xc3\xb6m: a\r\n", "behind 0 fields"),
        (b": a\r\n", "behind 0 fields"),
        ("From: a\r\n", "the header is of type str"),
    ],
)
def test_what_is_no_header_section_is_refused(header: bytes, problem: str) -> None:
    with pytest.raises(InvalidInput) as info:
        fields_of(header)
    assert problem in str(info.value)
    assert len(str(info.value)) < 120


@pytest.mark.parametrize("body", [b"octets", ["text"], [None]])
def test_what_is_no_block_is_refused(body: list[bytes]) -> None:
    with pytest.raises(InvalidInput, match="a block of the body is of type"):
        body_hash(SimpleBody(), body)


@pytest.mark.parametrize(
    ("field", "relaxed"),
    [
        (b"Subject:\r\n", b"subject:\r\n"),
        (b"Subject: \t \r\n", b"subject:\r\n"),
        (b"SUBJECT:a\tb  c\r\n \r\n\t d \r\n", b"subject:a b c d\r\n"),
        (b"Subject \t: \x0ba\x0c\r\n", b"subject:\x0ba\x0c\r\n"),
        (b"Subject: \xc3\xa9: \xff\r\n", b"subject:\xc3\xa9: \xff\r\n"),
    ],
)
def test_only_space_and_tab_are_white_space(field: bytes, relaxed: bytes) -> None:
    (one,) = fields_of(field)
    assert relaxed_field(one) == relaxed
