"""Assertions: what passes, and what is told where it does not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.message import EmailMessage

import pytest

from esmtp_async.testing import (
    Said,
    StoredMessage,
    assert_nothing_sent,
    assert_sent,
)
from tests.testing.test_stored import stored

BOB, CAROL = "bob@example.com", "carol@example.com"


@dataclass
class Box:
    messages: list[StoredMessage] = field(default_factory=list)
    transcript: list[list[Said]] = field(default_factory=list)


def letter(subject: str = "Welcome", text: str = "Hello Bob,\nhow are you?\n") -> bytes:
    message = EmailMessage()
    message["From"] = "alice@example.com"
    message["Subject"] = subject
    message.set_content(text)
    message.add_attachment(b"x", "image", "png", filename="a.png")
    return message.as_bytes().replace(b"\n", b"\r\n")


@pytest.fixture
def box() -> Box:
    return Box([stored(letter(), BOB, CAROL), stored(letter("Later", "Bye"), BOB)])


def failure(box: Box, **expected: object) -> list[str]:
    """Give what is told, line by line."""
    with pytest.raises(AssertionError) as caught:
        assert_sent(box, **expected)  # type: ignore[arg-type]  # one of them at a time
    return str(caught.value).split("\n")


def test_what_fits_is_given(box: Box) -> None:
    assert assert_sent(box, subject="Welcome") is box.messages[0]
    assert assert_sent(box, to=BOB, count=2) is box.messages[0]
    assert assert_sent(box, to=BOB, count=None) is box.messages[0]
    assert assert_sent(box, to=[CAROL, BOB]) is box.messages[0]
    assert assert_sent(box, to=[BOB]) is box.messages[1]
    assert failure(box, to=[BOB, BOB])
    assert assert_sent(box, text="Hello Bob,\r\nhow are you?") is box.messages[0]
    assert assert_sent(box, text=re.compile("how are")) is box.messages[0]
    assert_sent(box, headers={"From": "alice@example.com"}, count=2)
    assert_sent(box, headers={"X-Missing": ""}, count=2)
    assert_sent(box, attachments=["a.png"], count=2)
    assert_sent(box, sender="alice@example.com", html="", count=2)
    assert assert_sent(box, content=box.messages[1].content) is box.messages[1]


def test_short_texts_are_told_under_each_other(box: Box) -> None:
    assert failure(box, subject="Welcome!", sender="x@example.com") == [
        "1 message should be like that, of 2 that came: 0",
        "  1. <alice@example.com> to bob@example.com, carol@example.com: 'Welcome'",
        "     sender: expected 'x@example.com'",
        "             found    'alice@example.com'",
        "     subject: expected 'Welcome!'",
        "              found    'Welcome'",
        "  2. <alice@example.com> to bob@example.com: 'Later'",
    ]


def test_the_one_with_the_fewest_faults_is_told_at_length(box: Box) -> None:
    told = failure(box, subject="Later", text="Bye bye", to=[BOB])
    assert told[2:] == [
        "  2. <alice@example.com> to bob@example.com: 'Later'",
        "     text: expected 'Bye bye'",
        "           found    'Bye\\n'",
    ]


def test_long_texts_are_told_by_their_differences(box: Box) -> None:
    told = failure(box, subject="Welcome", text="Hello Bob,\nwho are you?\nB.")
    assert told[2:-1] == [
        "     text: - expected, + found",
        "         Hello Bob,",
        "       - who are you?",
        "       ? -",
        "       + how are you?",
        "       ?   +",
        "       - B.",
    ]


def test_octets_are_told_by_their_differences() -> None:
    box = Box([stored(b"Subject: x\r\n\r\n\x00caf\xe9\r\n", BOB)])
    told = failure(box, content=b"Subject: x\r\n\r\n\x00caf\xc3\xa9\n")
    assert told[2:] == [
        "     content: - expected, + found",
        r"         'Subject: x\r\n'",
        r"         '\r\n'",
        r"       - '\x00caf\xc3\xa9\n'",
        "       ?           ^^ ^^^",
        r"       + '\x00caf\xe9\r\n'",
        "       ?           ^^ ^",
    ]


def test_of_long_texts_is_told_where_they_begin_to_differ() -> None:
    lines = [b"%d %b\r\n" % (number, b"x" * 70) for number in range(5_000)]
    box = Box([stored(b"".join(lines), BOB)] * 50)
    other = [*lines[:1000], b"y\r\n", *lines[1001:]]
    told = failure(box, content=b"".join(other))
    assert told[2:8] == [
        "     content: - expected, + found",
        "       @@ -1000,3 +1000,3 @@",
        rf"        '999 {'x' * 70}\r\n'",
        r"       -'y\r\n'",
        rf"       +'1000 {'x' * 70}\r\n'",
        rf"        '1001 {'x' * 70}\r\n'",
    ]
    assert len(failure(box, content=b"y\r\n" * 5_000)) == 2 + 1 + 60 + 19 + 1
    box.messages.append(stored(b"".join(other), BOB))
    assert assert_sent(box, content=b"".join(other)) is box.messages[-1]


def test_lines_end_in_nothing_else(box: Box) -> None:
    box.messages = [stored(letter(text="a\u2028b\x0bc\n"), BOB)]
    assert_sent(box, text="a\u2028b\x0bc")
    assert len(failure(box, text="a\nb\nc")) == 7


def test_a_field_may_be_called_as_a_body(box: Box) -> None:
    assert failure(box, headers={"text": "x"}, subject="Later")[2:] == [
        "  2. <alice@example.com> to bob@example.com: 'Later'",
        "     text: expected 'x'",
        "           found    ''",
    ]


def test_patterns_recipients_and_names_of_files(box: Box) -> None:
    told = failure(
        box, subject=re.compile("^Hi"), to="dave@example.com", attachments=["b.png"]
    )
    assert told[2:8] == [
        "     to: expected 'dave@example.com'",
        "         found    'bob@example.com, carol@example.com'",
        "     subject: pattern  '^Hi'",
        "              found    'Welcome'",
        "     attachments: expected ['b.png']",
        "                  found    ['a.png']",
    ]


def test_too_many_that_fit_are_told(box: Box) -> None:
    told = failure(box, to=BOB)
    assert told[0] == "1 message should be like that, of 2 that came: 2"
    assert [line.endswith(": fits") for line in told[1:]] == [True, True]


def test_where_too_few_fit_another_one_is_told_at_length(box: Box) -> None:
    assert failure(box, subject="Later", count=2) == [
        "2 messages should be like that, of 2 that came: 1",
        "  1. <alice@example.com> to bob@example.com, carol@example.com: 'Welcome'",
        "     subject: expected 'Later'",
        "              found    'Welcome'",
        "  2. <alice@example.com> to bob@example.com: 'Later': fits",
    ]
    assert failure(box, subject="Never", count=None)[0].startswith("a message should")


def test_where_nothing_came_the_last_conversation_tells_why() -> None:
    assert failure(Box()) == [
        "1 message should be like that, of 0 that came: 0",
        "nobody connected",
    ]
    said = [
        Said("S", b"220 hi\r\n"),
        Said("C", b"EHLO c\r\n"),
        Said("S", b"550 \x1b\r\n"),
    ]
    assert failure(Box(transcript=[[], said]))[1:] == [
        "the last conversation ended like this:",
        "  S: 220 hi",
        "  C: EHLO c",
        r"  S: 550 \x1b",
    ]


def test_a_crowd_is_not_told_whole() -> None:
    box = Box([stored(letter(), BOB)] * 25)
    told = failure(box, subject="x")
    assert told[-1] == "  and others, 25 in all"
    assert len(told) == 24
    box.messages[-1] = stored(letter("Later"), CAROL)
    told = failure(box, subject="Late", to=CAROL)
    assert told[-4:-1] == [
        "  25. <alice@example.com> to carol@example.com: 'Later'",
        "     subject: expected 'Late'",
        "              found    'Later'",
    ]


def test_none_is_no_count(box: Box) -> None:
    with pytest.raises(ValueError, match="assert_nothing_sent"):
        assert_sent(box, subject="Never", count=0)


def test_nothing_sent(box: Box) -> None:
    assert_nothing_sent(Box())
    assert_nothing_sent(box, to="dave@example.com")
    with pytest.raises(AssertionError) as caught:
        assert_nothing_sent(box)
    assert str(caught.value).split("\n") == [
        "no message was to be sent, but 2 messages were:",
        "  1. <alice@example.com> to bob@example.com, carol@example.com: 'Welcome'",
        "  2. <alice@example.com> to bob@example.com: 'Later'",
    ]
    with pytest.raises(AssertionError, match=r"sent to carol@.*, but 1 message was:"):
        assert_nothing_sent(box, to=CAROL)
