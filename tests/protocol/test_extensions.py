"""The answer to EHLO as a mapping (RFC 5321 §4.1.1.1, RFC 1870, RFC 4954, RFC 9422)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmtp_async.protocol import Extensions, Reply
from esmtp_async.protocol._reader import MAX_LINES


def offer(*lines: bytes) -> Extensions:
    """Read a reply to EHLO with these lines behind the first."""
    return Extensions.from_reply(Reply(250, (b"mail.example.test", *lines)))


def test_P19_keywords_are_told_with_their_parameters() -> None:
    extensions = offer(b"PIPELINING", b"SIZE 1000", b"AUTH PLAIN LOGIN", b"X-A b  c")
    assert dict(extensions) == {
        "PIPELINING": "",
        "SIZE": "1000",
        "AUTH": "PLAIN LOGIN",
        "X-A": "b  c",
    }
    assert list(extensions) == ["PIPELINING", "SIZE", "AUTH", "X-A"]
    assert len(extensions) == 4


def test_P19_keywords_have_no_case() -> None:
    extensions = offer(b"StartTLS", b"8bitMIME")
    assert list(extensions) == ["STARTTLS", "8BITMIME"]
    for keyword in ("starttls", "STARTTLS", "StartTls"):
        assert keyword in extensions
        assert extensions[keyword] == ""
        assert extensions.get(keyword) == ""


def test_P19_the_first_line_is_never_an_extension() -> None:
    assert dict(Extensions.from_reply(Reply(250, (b"PIPELINING",)))) == {}
    named = Extensions.from_reply(Reply(250, (b"STARTTLS AUTH PLAIN", b"SIZE")))
    assert dict(named) == {"SIZE": ""}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b"-SIZE",
        b"SI_ZE",
        b"S\xc3\x8fZE 5",
        b"\xff\xfe",
        b"STARTTLS\t",
        b"START\x00TLS",
        b"=LOGIN",
        b"X=Y",
        b"STARTTLS;go",
        "\uff33IZE".encode(),
    ],
)
def test_P19_a_line_outside_the_grammar_is_ignored(line: bytes) -> None:
    assert dict(offer(b"PIPELINING", line, b"DSN")) == {"PIPELINING": "", "DSN": ""}


def test_P19_spaces_around_a_line_are_none_of_it() -> None:
    assert dict(offer(b" PIPELINING ", b"SIZE 5 ")) == {"PIPELINING": "", "SIZE": "5"}


def test_P19_of_two_lines_with_one_keyword_the_first_counts() -> None:
    assert offer(b"SIZE 1000", b"size 5").size == 1000


def test_P19_as_many_lines_as_a_reply_may_have() -> None:
    extensions = offer(*(b"X%d y" % i for i in range(MAX_LINES - 1)))
    assert len(extensions) == MAX_LINES - 1
    assert extensions["x510"] == "y"


def test_nothing_is_offered_before_ehlo() -> None:
    none = Extensions()
    assert dict(none) == {}
    assert (none.size, none.auth, none.limits) == (None, (), {})
    assert "STARTTLS" not in none
    assert none.get("STARTTLS") is None
    with pytest.raises(KeyError):
        none["STARTTLS"]


def test_only_text_can_be_a_keyword() -> None:
    keys: list[object] = [5, None, b"SIZE"]
    assert [key for key in keys if key in offer(b"SIZE")] == []


def test_P19_digits_are_ascii() -> None:
    assert Extensions({"SIZE": "\u0665"}).size is None
    assert Extensions({"LIMITS": "RCPTMAX=\u0665"}).limits == {}


def test_the_mapping_does_not_follow_the_one_it_was_made_of() -> None:
    offers = {"SIZE": "5"}
    extensions = Extensions(offers)
    offers["DSN"] = ""
    assert dict(extensions) == {"SIZE": "5"}


def test_the_offers_are_shown_without_control_characters() -> None:
    assert repr(offer(b"SIZE 5")) == "Extensions({'SIZE': '5'})"
    odd = offer(b"X \x1b[2J\xff")
    assert repr(odd).isprintable()
    assert odd["X"] == r"\x1b[2J\xff"


@pytest.mark.parametrize(
    ("line", "size"),
    [
        (b"SIZE", None),
        (b"SIZE 0", None),
        (b"SIZE 1", 1),
        (b"size 35882577", 35882577),
        (b"SIZE " + b"9" * 20, 10**20 - 1),
        (b"SIZE " + b"9" * 21, None),
        (b"SIZE abc", None),
        (b"SIZE -1", None),
        (b"SIZE +1", None),
        (b"SIZE 1_0", None),
        (b"SIZE 1 2", None),
        (b"SIZE=1000", None),
        ("SIZE \u0665".encode(), None),
        (b"SIZE \xb2", None),
        (b"DSN", None),
    ],
)
def test_P19_a_size_that_cannot_be_read_is_no_limit(
    line: bytes, size: int | None
) -> None:
    assert offer(line).size == size


@pytest.mark.parametrize(
    ("lines", "mechanisms"),
    [
        ((b"AUTH PLAIN LOGIN",), ("PLAIN", "LOGIN")),
        ((b"AUTH login Plain",), ("LOGIN", "PLAIN")),
        ((b"auth SCRAM-SHA-256-PLUS X_1",), ("SCRAM-SHA-256-PLUS", "X_1")),
        ((b"AUTH",), ()),
        ((b"AUTH  PLAIN   LOGIN",), ("PLAIN", "LOGIN")),
        ((b"AUTH PLAIN PLAIN LOGIN",), ("PLAIN", "LOGIN")),
        # The form of the drafts, alone and beside the right one.
        ((b"AUTH=LOGIN PLAIN",), ("LOGIN", "PLAIN")),
        ((b"auth=login",), ("LOGIN",)),
        ((b"AUTH PLAIN", b"AUTH=PLAIN LOGIN"), ("PLAIN", "LOGIN")),
        ((b"AUTH=LOGIN", b"AUTH PLAIN"), ("LOGIN", "PLAIN")),
        # Names outside sasl-mech (RFC 4422 §3.1).
        ((b"AUTH PLAIN.example",), ()),
        ((b"AUTH " + b"A" * 20 + b" " + b"B" * 21,), ("A" * 20,)),
        (("AUTH PLAÏN \x1b[2J LOGIN".encode(),), ("LOGIN",)),
        ((b"XAUTH PLAIN",), ()),
        ((b"DSN AUTH PLAIN",), ()),
    ],
)
def test_P19_mechanisms_are_those_of_the_auth_line(
    lines: tuple[bytes, ...], mechanisms: tuple[str, ...]
) -> None:
    assert offer(*lines).auth == mechanisms


@pytest.mark.parametrize(
    ("line", "limits"),
    [
        (b"LIMITS RCPTMAX=100 MAILMAX=50", {"RCPTMAX": 100, "MAILMAX": 50}),
        (b"LIMITS rcptmax=1", {"RCPTMAX": 1}),
        (b"LIMITS RCPTMAX=999999", {"RCPTMAX": 999999}),
        (b"LIMITS", {}),
        # A bad value voids itself, bad syntax the line (RFC 9422 §3).
        (b"LIMITS RCPTMAX=0 MAILMAX=5", {"MAILMAX": 5}),
        (b"LIMITS RCPTMAX=1000000 MAILMAX=5", {"MAILMAX": 5}),
        (b"LIMITS RCPTMAX=-1 MAILMAX=x", {}),
        (b"LIMITS RCPTMAX= MAILMAX=5", {"MAILMAX": 5}),
        (b"LIMITS RCPTMAX=5 MAILMAX", {}),
        (b"LIMITS RCPTMAX=5 rcptmax=9", {"RCPTMAX": 5}),
    ],
)
def test_limits_are_numbers_above_zero(line: bytes, limits: dict[str, int]) -> None:
    assert offer(line).limits == limits


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_P19_any_answer_can_be_read(lines: list[bytes]) -> None:
    """No matter what stands behind EHLO's 250, it is read without an error."""
    extensions = offer(*lines)
    assert len(extensions) <= len(lines)
    for keyword in extensions:
        assert keyword.isascii()
        assert keyword == keyword.upper()
    assert extensions.size is None or extensions.size > 0
    assert all(0 < limit < 1_000_000 for limit in extensions.limits.values())
    assert all(len(name) <= 20 for name in extensions.auth)
