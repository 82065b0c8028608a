"""The reader of replies, row by row of what a server may try (RFC 5321 §4.2)."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from esmtp_async.protocol import RemoteProtocolError, Reply, ReplyReader
from esmtp_async.protocol._reader import MAX_LINE, MAX_LINES, MAX_REPLY


class Read(NamedTuple):
    """What a reader made of some octets."""

    replies: list[Reply]
    #: Why it went no further.
    problem: str | None
    holds_octets: bool


def read(*pieces: bytes, lenient_eol: bool = False) -> Read:
    """Feed the pieces, and take the replies after each of them."""
    reader = ReplyReader(lenient_eol=lenient_eol)
    replies: list[Reply] = []
    for piece in pieces:
        reader.feed(piece)
        try:
            while (reply := reader.next_reply()) is not None:
                replies.append(reply)
        except RemoteProtocolError as problem:
            return Read(replies, str(problem), holds_octets=True)
    return Read(replies, None, reader.holds_octets)


def read_all(data: bytes, *, lenient_eol: bool = False) -> Read:
    """Read octets whole, one by one, and cut at every offset: all give the same.

    Where they end between two replies, octets that trail in the same segment
    must change nothing in what came before them either.
    """
    whole = read(data, lenient_eol=lenient_eol)
    cuts = [tuple(data[i : i + 1] for i in range(len(data)))]
    cuts += [(data[:i], data[i:]) for i in range(1, len(data))]
    for pieces in cuts:
        assert read(*pieces, lenient_eol=lenient_eol) == whole, pieces
    if whole.problem is None and not whole.holds_octets:
        trailing = read(data + b"250-tr", lenient_eol=lenient_eol)
        assert trailing == Read(whole.replies, None, holds_octets=True)
    return whole


def replies(data: bytes, *, lenient_eol: bool = False) -> list[Reply]:
    """Read octets that are replies to their end, however they are cut."""
    result = read_all(data, lenient_eol=lenient_eol)
    assert result.problem is None, result.problem
    assert not result.holds_octets
    return result.replies


def violation(data: bytes, *, lenient_eol: bool = False) -> str:
    """Read octets whose first reply is none; give what the error says."""
    result = read_all(data, lenient_eol=lenient_eol)
    assert result.replies == []
    assert result.problem is not None, "they were taken"
    return result.problem


def test_replies_come_in_their_order() -> None:
    assert replies(b"220 hi\r\n250-a\r\n250-b\r\n250 c\r\n354 go\r\n") == [
        Reply(220, (b"hi",)),
        Reply(250, (b"a", b"b", b"c")),
        Reply(354, (b"go",)),
    ]


def test_nothing_is_held_between_replies_and_something_within_them() -> None:
    reader = ReplyReader()
    assert not reader.holds_octets
    for octets, held in [
        (b"2", True),
        (b"50-a\r\n", True),
        (b"250 b\r\n", False),
        (b"250 c\r\n2", True),
    ]:
        reader.feed(octets)
        reader.next_reply()
        assert reader.holds_octets is held


@pytest.mark.parametrize("code", [b"25x", b"x50", b"2 0", b"25", b"ok", b"EHL", b"2.5"])
def test_P1_a_code_is_three_digits(code: bytes) -> None:
    assert "no reply code" in violation(code + b" ok\r\n")


@pytest.mark.parametrize(
    "code", [b"+25", b"-25", b"2_5", b" 25", "٢٥٠".encode(), b"0x2", b"1e2", b"25\xb2"]
)
def test_P2_what_int_would_take_is_no_code(code: bytes) -> None:
    assert "no reply code" in violation(code + b" ok\r\n")


@pytest.mark.parametrize(
    "line",
    [
        b"2500 ok",
        b"250Xok",
        b"250\tok",
        b"250_ok",
        b"250.",
        b"250\x00",
        b"250+",
        b"250\r",
    ],
)
def test_P3_a_space_or_a_hyphen_follows_the_code(line: bytes) -> None:
    assert "no space or hyphen" in violation(line + b"\r\n")


def test_P4_codes_outside_2_to_5_are_none() -> None:
    for code in (*range(200), *range(600, 1000)):
        assert read(b"%03d hi\r\n" % code).problem is not None, code


def test_P5_every_code_from_200_to_599_is_one() -> None:
    for code in range(200, 600):
        assert read(b"%d hi\r\n" % code).replies == [Reply(code, (b"hi",))]


@pytest.mark.parametrize("separator", [b" ", b"-", b""])
@pytest.mark.parametrize("other", [b"550", b"251", b"350"])
def test_P7_all_lines_have_one_code(separator: bytes, other: bytes) -> None:
    assert "the code of the reply was 250" in violation(
        b"250-a\r\n" + other + separator + b"\r\n"
    )
    assert f"the code of the reply was {other.decode()}" in violation(
        other + b"-a\r\n250" + separator + b"\r\n"
    )


def test_P7_a_code_binds_its_own_reply_only() -> None:
    assert [reply.code for reply in replies(b"250-a\r\n250 b\r\n550 c\r\n")] == [
        250,
        550,
    ]


def test_P8_a_bare_lf_is_a_violation_at_once() -> None:
    assert "LF without CR" in violation(b"250 ok\n")
    assert "LF without CR" in violation(b"250-a\n250 b\r\n")
    assert "LF without CR" in violation(b"250 a\nb\r\n")


def test_P8_a_bare_lf_ends_a_line_where_that_was_asked_for() -> None:
    assert replies(b"250-a\n250-b\r\n250 c\n221 bye\r\n", lenient_eol=True) == [
        Reply(250, (b"a", b"b", b"c")),
        Reply(221, (b"bye",)),
    ]


def test_P9_a_bare_cr_is_text_and_shown_as_such() -> None:
    (reply,) = replies(b"250 a\r550 b\r\r\n")
    assert reply == Reply(250, (b"a\r550 b\r",))
    assert str(reply) == "250 a\\x0d550 b\\x0d"


def test_P10_a_line_has_its_limit() -> None:
    longest = b"250 ".ljust(MAX_LINE - 2, b"x") + b"\r\n"
    assert read(longest).replies == [Reply(250, (longest[4:-2],))]
    assert read(longest[:-2], b"\r\n").replies == [Reply(250, (longest[4:-2],))]
    too_long = b"250 ".ljust(MAX_LINE - 1, b"x") + b"\r\n"
    problem = read(too_long).problem
    assert problem is not None
    assert "exceeds 2048 octets" in problem
    assert read(too_long[:-1], b"\n").problem == problem


def test_P10_a_line_without_end_is_given_up_early() -> None:
    reader = ReplyReader()
    reader.feed(b"250 ".ljust(MAX_LINE, b"x"))
    assert reader.next_reply() is None
    reader.feed(b"x")
    with pytest.raises(RemoteProtocolError, match="exceeds 2048 octets"):
        reader.next_reply()


def test_P10_what_is_shown_of_a_line_is_short() -> None:
    for data in (b"x" * 3000, b"x" * 3000 + b"\r\n", b"\xff" * 2000 + b"\r\n"):
        problem = read(data).problem
        assert problem is not None
        assert problem.endswith("...'")
        assert len(problem) < 400
    assert read(b"x" * 80 + b"\r\n").problem == (
        f"a line begins with no reply code: '{'x' * 80}'"
    )


@pytest.mark.parametrize(
    "line", [b"x" * 1000, b"250-x\r\n", b"250-" + b"y" * 900 + b"\r\n"]
)
def test_P10_P11_P12_memory_is_bounded(line: bytes) -> None:
    """Whatever does not end is given up while it still fits in little memory."""
    reader = ReplyReader()
    block = line * (4096 // len(line))
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError):  # noqa: PT012 - which one is the point
            for _ in range(3_000_000 // len(block)):
                reader.feed(block)
                assert reader.next_reply() is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1024 * 1024


def test_P11_a_reply_has_its_limit_of_lines() -> None:
    most = b"250-x\r\n" * (MAX_LINES - 1) + b"250 x\r\n"
    assert read(most).replies == [Reply(250, (b"x",) * MAX_LINES)]
    problem = read(b"250-x\r\n" * MAX_LINES).problem
    assert problem is not None
    assert "does not end" in problem


def test_P11_a_reply_has_its_limit_of_octets() -> None:
    line = b"250-".ljust(1024, b"x")
    most = (line + b"\r\n") * (MAX_REPLY // 1024)
    assert read(most).problem is None
    assert read(most, b"250 x\r\n").replies[0].code == 250
    problem = read(most.replace(b"\r\n", b"x\r\n", 1)).problem
    assert problem is not None
    assert "does not end" in problem


def test_P11_the_limits_are_for_one_reply() -> None:
    line = b"250-".ljust(1024, b"x") + b"\r\n"
    one = line * 60 + b"250 x\r\n"
    assert len(read(one * 3).replies) == 3
    assert len(read((b"250-x\r\n" * 400 + b"250 x\r\n") * 3).replies) == 3


class _Counting(bytearray):
    """A buffer that counts the octets it was searched for."""

    searched = 0

    def find(self, *args: object) -> int:
        octet, start = args
        assert octet == b"\n"
        assert isinstance(start, int)
        end = super().find(b"\n", start)
        self.searched += (len(self) if end < 0 else end + 1) - start
        return end


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
def test_P12_no_octet_is_searched_twice(size: int) -> None:
    reader = ReplyReader()
    buffer = reader._buffer = _Counting()
    data = (b"250-" + b"x" * 996 + b"\r\n") * 50 + b"250 x\r\n" + b"250 y\r\n" * 50
    found = []
    for i in range(0, len(data), size):
        reader.feed(data[i : i + size])
        while (reply := reader.next_reply()) is not None:
            found.append(reply.code)
    assert found == [250] * 51
    assert buffer.searched == len(data)


def test_P13_text_need_not_be_ascii_nor_utf8() -> None:
    (reply,) = replies(b"250 \xe9\xff gr\xc3\xbc\xc3\x9fe\r\n")
    assert reply.lines == (b"\xe9\xff gr\xc3\xbc\xc3\x9fe",)
    assert reply.text == "\\xe9\\xff grüße"
    assert str(reply).encode("utf-8").startswith(b"250 \\xe9")


def test_P14_an_error_shows_no_control_character() -> None:
    for data in (b"\x1b[2J\x00\x07\r\n", b"250?\x1b[2J\x00\r\n", b"250 \x1b\x00\n"):
        problem = violation(data)
        assert problem.isprintable()
        assert "\\x1b" in problem


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"250\r\n", (b"",)),
        (b"250 \r\n", (b"",)),
        (b"250-\r\n250\r\n", (b"", b"")),
        (b"250-\r\n250 \r\n", (b"", b"")),
    ],
)
def test_P15_text_may_be_absent(data: bytes, lines: tuple[bytes, ...]) -> None:
    assert replies(data) == [Reply(250, lines)]


@pytest.mark.parametrize(
    "data", [b"\r\n250 ok\r\n", b"250-a\r\n\r\n250 b\r\n", b"\r\n"]
)
def test_P16_a_blank_line_is_no_part_of_a_reply(data: bytes) -> None:
    assert "no reply code: ''" in violation(data)


@pytest.mark.parametrize(
    "data",
    [b"250 queued as 1", b"25", b"2", b"250-x\r\n", b"250-x\r\n250 y", b"250 x\r"],
)
def test_P17_a_truncated_reply_is_none(data: bytes) -> None:
    assert read_all(data) == Read([], None, holds_octets=True)


def test_P18_two_cuts_anywhere_change_nothing() -> None:
    data = b"220 a\r\n250-mail.example.test\r\n250-SIZE 10\r\n250 X\r\n550 5.1.1 n\r\n"
    whole = read(data)
    assert len(whole.replies) == 3
    for i, j in itertools.combinations(range(1, len(data)), 2):
        assert read(data[:i], data[i:j], data[j:]) == whole


@example(pieces=[b"\x15\x03", b"\x00"])
@given(
    st.lists(
        st.binary(max_size=9)
        | st.sampled_from([b"250 ok\r\n", b"250-", b"\r\n", b"\n", b"421", b"599 "])
    )
)
def test_P18_any_octets_mean_the_same_however_they_are_cut(pieces: list[bytes]) -> None:
    """No matter what comes and how, it is replies, need for more, or a violation."""
    data = b"".join(pieces)
    for lenient_eol in (False, True):
        assert read(*pieces, lenient_eol=lenient_eol) == read_all(
            data, lenient_eol=lenient_eol
        )


@given(
    st.lists(
        st.tuples(
            st.integers(200, 599),
            st.lists(
                st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")), min_size=1
            ),
        )
    )
)
def test_every_reply_of_the_grammar_is_read(
    given: list[tuple[int, list[bytes]]],
) -> None:
    """No matter what a reply of the grammar holds, it is read back exactly."""
    written = b""
    for code, lines in given:
        for line in lines[:-1]:
            written += b"%d-%b\r\n" % (code, line)
        written += b"%d %b\r\n" % (code, lines[-1])
    assert read(written).replies == [Reply(code, tuple(lines)) for code, lines in given]
