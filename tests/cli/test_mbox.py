"""Mailboxes: every message comes out as it went in, or not at all."""

from __future__ import annotations

import gc
import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmtp_async._cli import _mbox
from esmtp_async._cli._mbox import LARGE, Message, messages

SEPARATOR = b"From alice@example.test Thu Nov 26 17:49:14 2026\n"


def mbox(*contents: bytes) -> bytes:
    """Write an mbox as "mboxrd" has it: a second opinion on what is read."""
    written = []
    for content in contents:
        lines = content.splitlines(keepends=True)
        quoted = [
            b">" + line if line.lstrip(b">").startswith(b"From ") else line
            for line in lines
        ]
        written.append(SEPARATOR + b"".join(quoted) + b"\n")
    return b"".join(written)


def read(octets: bytes) -> list[Message]:
    return list(messages(io.BytesIO(octets)))


def contents(octets: bytes) -> list[bytes]:
    return [
        m.content if isinstance(m.content, bytes) else m.content.read()
        for m in read(octets)
    ]


# Lines of any kind, and those that an mbox is made of.
LINE = st.one_of(
    st.sampled_from(
        [b"", b"From ", b">From x", b">>From ", b"From: a", SEPARATOR[:-1], b"Fro"]
    ),
    st.binary(max_size=12).map(lambda octets: octets.replace(b"\n", b"")),
)
CONTENT = st.lists(LINE, min_size=1, max_size=8).map(
    lambda lines: b"".join(line + b"\n" for line in lines)
)


@given(st.lists(CONTENT, min_size=1, max_size=5))
def test_no_matter_what_stands_in_a_message_it_comes_out_whole(
    originals: list[bytes],
) -> None:
    written = mbox(*originals)
    found = read(written)
    assert [m.content for m in found] == originals
    assert [m.doubt for m in found] == [""] * len(originals)
    assert sum(m.length for m in found) == len(written)
    for message in found:
        assert written[message.offset :].startswith(SEPARATOR)


@pytest.mark.parametrize(
    "separator",
    [
        b"From - Mon Jan  1 10:00:00 2024\n",
        b"From MAILER-DAEMON Fri Jul  8 12:08:34 2011\r\n",
        b"From 1764@xxx Thu Nov 26 17:49:14 +0000 2026\n",
        b"From a@b.example Thu Nov 26 17:49:14 2026 remote from x\n",
        b'From "a b"@x.example Thu Nov 26 17:49 2026\n',
    ],
)
def test_separators_as_programs_write_them(separator: bytes) -> None:
    assert contents(separator + b"A: 1\n\nx\n\n" + separator + b"B: 2\n\ny\n\n") == [
        b"A: 1\n\nx\n",
        b"B: 2\n\ny\n",
    ]


def test_a_separator_needs_no_blank_line_before_it() -> None:
    assert contents(SEPARATOR + b"A: 1\n" + SEPARATOR + b"B: 2\n") == [
        b"A: 1\n",
        b"B: 2\n",
    ]


def test_only_one_blank_line_is_the_mailboxes_own() -> None:
    assert contents(SEPARATOR + b"A: 1\n\nx\n\n\n\n" + SEPARATOR + b"\n\n\n") == [
        b"A: 1\n\nx\n\n\n",
        b"\n\n",
    ]
    assert contents(SEPARATOR + b"A: 1\n\nlast line") == [b"A: 1\n\nlast line"]
    assert contents(SEPARATOR + b"A: 1\r\n\r\nx\r\n\r\n") == [b"A: 1\r\n\r\nx\r\n"]
    assert contents(SEPARATOR) == [b""]


def test_a_line_that_may_begin_a_message_or_not_is_a_doubt() -> None:
    """And only of the message that it stands in."""
    text = b"A: 1\n\nFrom here on it is mine.\n\n"
    first, second = read(SEPARATOR + text + SEPARATOR + b"B: 2\n\n")
    assert first.doubt.startswith("line 4 begins with 'From ' behind a blank line")
    assert second.doubt == ""
    (unquoted,) = read(SEPARATOR + b"A: 1\n\nI come\nFrom afar.\n")
    assert unquoted.doubt == ""


@pytest.mark.parametrize("octets", [b"From here\n", b"", b"Subject: x\n", b"From "])
def test_what_is_no_mbox(octets: bytes) -> None:
    with pytest.raises(ValueError, match="no date as that of an mbox"):
        read(octets)


def test_a_large_message_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.mbox"
    line = b">From the middle of it\n"
    count = 8 * LARGE // len(line)
    with path.open("wb") as file:
        file.write(SEPARATOR + b"A: 1\n\n")
        for _ in range(count):
            file.write(line)
        file.write(b"x" * 3 * LARGE + b"\n\n")  # a line of its own
        file.write(SEPARATOR + b"B: 2\n\n")
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            large, small = messages(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * LARGE
    assert small.content == b"B: 2\n"
    assert not isinstance(large.content, bytes)
    with large.content as content:
        expected = b"A: 1\n\n" + line[1:] * count + b"x" * 3 * LARGE + b"\n"
        assert content.read() == expected


def test_who_stops_reading_leaves_nothing_open(tmp_path: Path) -> None:
    """Or the warning of an open file would be an error here."""
    path = tmp_path / "large.mbox"
    path.write_bytes(SEPARATOR + b"x\n" * LARGE + b"\n" + SEPARATOR + b"y\n" * LARGE)
    with path.open("rb") as file:
        first = next(messages(file))
        assert not isinstance(first.content, bytes)
        first.content.close()
    gc.collect()


def test_the_magic_is_what_a_separator_begins_with() -> None:
    assert SEPARATOR.startswith(_mbox.MAGIC)
