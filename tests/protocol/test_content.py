"""Mail data: line ends, dots, sizes (RFC 5321 §2.3.8, §4.5.2; RFC 1870; RFC 6532)."""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmtp_async.protocol import Content, MailData
from esmtp_async.protocol._content import BLOCK, Canonicalizer, DotStuffer, canonical
from tests.protocol.dialogue import finished


def fed(pieces: Iterable[bytes]) -> tuple[bytes, Canonicalizer, DotStuffer]:
    """Feed a message that comes in pieces; give the wire so far and both machines."""
    canonical, stuffer = Canonicalizer(), DotStuffer()
    wire = b"".join(stuffer.feed(canonical.feed(piece)) for piece in pieces)
    return wire, canonical, stuffer


def on_the_wire(pieces: Iterable[bytes]) -> bytes:
    """Give what follows 354 for a message that comes in pieces."""
    wire, canonical, stuffer = fed(pieces)
    return wire + stuffer.feed(canonical.end()) + b".\r\n"


def as_received(wire: bytes) -> bytes:
    """Read mail data as a server does that knows no line end but CRLF (§4.5.2)."""
    received = b""
    while True:
        line, end, wire = wire.partition(b"\r\n")
        assert end, "the mail data do not end"
        assert not re.search(rb"[\r\n]", line), "a bare CR or LF"
        if line == b".":
            assert wire == b"", "the mail data end too early"
            return received
        received += line.removeprefix(b".") + b"\r\n"


def with_crlf(message: bytes) -> bytes:
    """Give the message with every line end made CRLF, the last one added."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", message)
    return lines if not lines or lines.endswith(b"\r\n") else lines + b"\r\n"


async def stream(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def read_whole(data: MailData) -> list[bytes]:
    """Read a stream to its end, and once more."""
    blocks = list(iter(lambda: finished(data.read()), b""))
    assert finished(data.read()) == b""
    assert data.read_so_far == sum(map(len, blocks))
    return blocks


SMUGGLING = [
    b"\n.\n",
    b"\n.\r",
    b"\r.\n",
    b"\r.\r",
    b"\n.\r\n",
    b"\r.\r\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n\x00.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r\n.\r\n",
]


@pytest.mark.parametrize("sequence", SMUGGLING)
def test_B1_no_sequence_ends_the_mail_data_early(sequence: bytes) -> None:
    message = b"one" + sequence + b"MAIL FROM:<eve@example.test>\r\ntwo\r\n"
    for pieces in ([message], *([message[:i], message[i:]] for i in range(1, 20))):
        wire = on_the_wire(pieces)
        assert wire.count(b"\r\n.\r\n") == 1
        assert as_received(wire) == with_crlf(message)


@pytest.mark.parametrize(
    ("message", "canonical"),
    [
        (b"a\rb", b"a\r\nb\r\n"),
        (b"a\nb", b"a\r\nb\r\n"),
        (b"a\r\nb", b"a\r\nb\r\n"),
        (b"a\n\rb", b"a\r\n\r\nb\r\n"),
        (b"a\r\rb", b"a\r\n\r\nb\r\n"),
        (b"a\r\r\nb", b"a\r\n\r\nb\r\n"),
        (b"a\r\nb\rc\nd", b"a\r\nb\r\nc\r\nd\r\n"),
        (b"\r", b"\r\n"),
        (b"\n", b"\r\n"),
        (b"a\x00\x85b\xe2\x80\xa8", b"a\x00\x85b\xe2\x80\xa8\r\n"),
    ],
)
def test_B2_a_bare_cr_or_lf_becomes_a_crlf(message: bytes, canonical: bytes) -> None:
    assert MailData(message).octets == canonical
    assert as_received(on_the_wire([message])) == canonical


def test_B3_the_server_gets_every_short_message_however_it_is_cut() -> None:
    """No cut changes the wire or what the machines remember, so no cuts ever do."""
    for length in range(7):
        for letters in itertools.product(b".\r\na\x00", repeat=length):
            message = bytes(letters)
            assert as_received(on_the_wire([message])) == with_crlf(message), message
            wire, canonical, stuffer = fed([message])
            for i in range(1, length):
                cut = fed([message[:i], message[i:]])
                assert cut[0] == wire, (message, i)
                assert vars(cut[1]) == vars(canonical), (message, i)
                assert vars(cut[2]) == vars(stuffer), (message, i)


@given(
    st.lists(st.binary(max_size=5) | st.sampled_from([b".", b"\r", b"\n", b"\r\n."]))
)
def test_B3_the_server_gets_any_message(pieces: list[bytes]) -> None:
    """No matter what the message is and how it comes, the server gets its lines."""
    message = b"".join(pieces)
    assert as_received(on_the_wire(pieces)) == with_crlf(message)
    assert as_received(Content(message).wire) == with_crlf(message)
    assert b"".join(read_whole(MailData(blocks=stream(pieces)))) == with_crlf(message)
    assert MailData(message).octets == with_crlf(message)


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (b"", b".\r\n"),
        (b"end", b"end\r\n.\r\n"),
        (b"end\r\n", b"end\r\n.\r\n"),
        (b"end\n", b"end\r\n.\r\n"),
        (b"end\r", b"end\r\n.\r\n"),
        (b"end\r\n\r\n", b"end\r\n\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"..a\r\n.b", b"...a\r\n..b\r\n.\r\n"),
        (b"a.\r\n .", b"a.\r\n .\r\n.\r\n"),
    ],
)
def test_B4_the_last_line_ends_once(message: bytes, wire: bytes) -> None:
    assert on_the_wire([message]) == wire
    assert Content(message).wire == wire


@pytest.mark.parametrize("stretch", range(1, 9))
def test_however_it_is_looked_at_a_message_becomes_the_same(
    stretch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [
        b"".join(octets)
        for count in range(7)
        for octets in itertools.product([b"\r", b"\n", b"x"], repeat=count)
    ]
    whole = [canonical(message) for message in messages]
    monkeypatch.setattr("esmtp_async.protocol._content._STRETCH", stretch)
    assert [canonical(message) for message in messages] == whole
    assert {b"\n" in each.replace(b"\r\n", b"") for each in whole} == {False}


def test_what_is_canonical_is_not_copied() -> None:
    message = b"x" * 998 + b"\r\n"
    large = message * 3000
    assert canonical(large) is large
    assert MailData(large).octets is large


def test_an_empty_block_changes_nothing() -> None:
    assert on_the_wire([b"a\r", b"", b"\n", b"", b".b"]) == b"a\r\n..b\r\n.\r\n"


def test_B5_the_octets_are_frozen_and_their_size_is_exact() -> None:
    data = MailData(b"a\n.b\rc")
    assert data.octets == b"a\r\n.b\r\nc\r\n"
    assert data.size == len(data.octets) == 10
    assert MailData().octets == b""
    assert MailData().size == 0


def test_B6_the_longest_line_is_measured_without_its_end() -> None:
    assert MailData().longest_line == 0
    assert MailData(b"abc").longest_line == 3
    assert MailData(b"a\r\n" + b"b" * 1200 + b"\ncd\n").longest_line == 1200


@pytest.mark.parametrize(
    ("message", "is_8bit", "header"),
    [
        (b"", False, False),
        (b"Subject: a\r\n\r\nb\r\n", False, False),
        ("Subject: a\r\n\r\nü\r\n".encode(), True, False),
        ("Subject: ü\r\n\r\nb\r\n".encode(), True, True),
        ("Subject: ü\n\nb\n".encode(), True, True),
        ("Subject: ü\r\n".encode(), True, True),
        ("\r\nü\r\n".encode(), True, False),
        ("\r\nü\r\n\r\nü\r\n".encode(), True, False),
        ("Subject: ü\r\n\r\n".encode() + b"\xff\r\n", True, True),
        (b"Subject: \xfc\r\n\r\nb\r\n", True, False),
        ("Subject: ü ".encode() + b"\xfc\r\n\r\nb\r\n", True, False),
    ],
)
def test_B8_B9_what_is_beyond_ascii_is_seen(
    message: bytes, *, is_8bit: bool, header: bool
) -> None:
    data = MailData(message)
    assert (data.is_8bit, data.has_8bit_header) == (is_8bit, header)


def test_a_stream_may_hold_anything() -> None:
    data = MailData(blocks=stream([b"a"]))
    assert data.size is None
    assert data.octets == b""
    assert data.is_8bit
    assert not data.has_8bit_header
    assert data.longest_line == 0


def test_a_whole_message_is_not_read_as_a_stream() -> None:
    assert read_whole(MailData(b"a")) == []


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
def test_a_stream_is_read_in_blocks(size: int) -> None:
    message = b"x" * (size - 2) + b"\r\n" if size > 1 else b"\n" * size
    blocks = read_whole(MailData(blocks=stream([message])))
    assert b"".join(blocks) == with_crlf(message)
    assert all(0 < len(block) <= BLOCK for block in blocks)
    assert all(len(block) == BLOCK for block in blocks[:-1])


def test_a_stream_is_made_canonical_as_it_passes() -> None:
    pieces = [b"", b"a\r", b"\n", b"", b"b\n", b"c", b""]
    assert read_whole(MailData(blocks=stream(pieces))) == [
        b"a\r\n",
        b"b\r\n",
        b"c",
        b"\r\n",
    ]
    assert read_whole(MailData(blocks=stream([]))) == []


def test_E29_what_a_stream_raises_comes_out() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        msg = "the disk is gone"
        raise OSError(msg)

    data = MailData(blocks=broken())
    assert finished(data.read()) == b"a"
    with pytest.raises(OSError, match="the disk is gone"):
        finished(data.read())
