"""Replies, and what of them may be shown to people (RFC 5321 §4.2, RFC 3463)."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmtp_async.protocol import EnhancedStatus, Reply, Severity
from esmtp_async.protocol._replies import printable

BY_FIRST_DIGIT = {
    "2": Severity.COMPLETION,
    "3": Severity.INTERMEDIATE,
    "4": Severity.TRANSIENT,
    "5": Severity.PERMANENT,
}


def test_the_first_digit_decides_the_severity_except_for_421() -> None:
    for code in range(200, 600):
        expected = Severity.SHUTDOWN if code == 421 else BY_FIRST_DIGIT[str(code)[0]]
        assert Reply(code, (b"",)).severity is expected


@pytest.mark.parametrize(
    ("code", "refused", "temporary"),
    [
        (200, False, False),
        (299, False, False),
        (300, False, False),
        (399, False, False),
        (400, True, True),
        (421, True, True),
        (499, True, True),
        (500, True, False),
        (599, True, False),
    ],
)
def test_a_refusal_is_4yz_or_5yz_and_only_4yz_is_temporary(
    code: int, *, refused: bool, temporary: bool
) -> None:
    reply = Reply(code, (b"",))
    assert (reply.refused, reply.temporary) == (refused, temporary)


def test_the_text_has_a_line_for_each_line() -> None:
    reply = Reply(250, (b"mail.example.test", b"", b"SIZE 1000"))
    assert reply.text == "mail.example.test\n\nSIZE 1000"
    assert str(reply) == "250 mail.example.test  SIZE 1000"


def test_a_reply_without_text_shows_its_code_alone() -> None:
    assert str(Reply(250, (b"",))) == "250"
    assert Reply(250, (b"",)).text == ""


@pytest.mark.parametrize(
    ("code", "line", "status"),
    [
        (250, b"2.1.5 ok", (2, 1, 5)),
        (250, b"2.0.0", (2, 0, 0)),
        (550, b"5.7.1 no", (5, 7, 1)),
        (450, b"4.255.999 later", (4, 255, 999)),
        (421, b"4.3.2 closing", (4, 3, 2)),
        (250, b"ok 2.1.5", None),
        (250, b"", None),
        (250, b" 2.1.5 ok", None),
        (250, b"2.1 ok", None),
        (250, b"2.1.5ok", None),
        (250, b"2.1.5\tok", None),
        (250, b"2.1.5\n", None),
        (250, b"2.1.5000 ok", None),
        (250, b"2.1.\xd9\xa5 ok", None),
        (354, b"3.1.5 go", None),
        # Where class and code disagree, the code is right (RFC 2034 §4).
        (250, b"5.1.5 ok", None),
        (550, b"2.1.5 no", None),
        (450, b"5.1.5 later", None),
    ],
)
def test_the_enhanced_status_is_that_of_the_first_line(
    code: int, line: bytes, status: tuple[int, int, int] | None
) -> None:
    for lines in ((line,), (line, b"2.9.9 more", b"5.9.9 more", b"4.9.9 more")):
        assert Reply(code, lines).enhanced_status == status


def test_a_reply_that_somebody_made_may_have_no_line() -> None:
    reply = Reply(250, ())
    assert (reply.text, str(reply), reply.enhanced_status) == ("", "250", None)


def test_an_enhanced_status_shows_itself_as_on_the_wire() -> None:
    status = EnhancedStatus(5, 7, 10)
    assert str(status) == "5.7.10"
    assert (status.class_, status.subject, status.detail) == (5, 7, 10)


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"plain ~ text", "plain ~ text"),
        ("grüß 京".encode(), "grüß 京"),
        (b"\x00\x1b[2J\x07", "\\x00\\x1b[2J\\x07"),
        (b"a\rb\nc\td", "a\\x0db\\x0ac\\x09d"),
        (b"\x7f", "\\x7f"),
        (b"\xe9\xff", "\\xe9\\xff"),
        ("\x80\x9f".encode(), "\\x80\\x9f"),
        ("\xa0".encode(), "\xa0"),
        ("\u2028\u2029".encode(), "\\u2028\\u2029"),
        ("\u061c\u200e\u200f".encode(), "\\u061c\\u200e\\u200f"),
        ("\u202a\u202b\u202c\u202d\u202e".encode(), r"\u202a\u202b\u202c\u202d\u202e"),
        ("\u2066\u2067\u2068\u2069".encode(), r"\u2066\u2067\u2068\u2069"),
        ("\u2027\u202f\u2065\u206a".encode(), "\u2027\u202f\u2065\u206a"),
        # Surrogates in UTF-8 clothes are no UTF-8.
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
    ],
)
def test_what_a_terminal_could_obey_is_escaped(octets: bytes, text: str) -> None:
    assert printable(octets) == text


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_P14_anything_can_be_shown(octets: bytes) -> None:
    """No matter what octets come, their text is safe to print, log and encode."""
    for text in (printable(octets), str(Reply(550, (octets,)))):
        text.encode("utf-8")
        assert not [
            character
            for character in text
            if unicodedata.category(character) in {"Cc", "Zl", "Zp", "Cs"}
            or unicodedata.bidirectional(character)
            in {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
        ]
