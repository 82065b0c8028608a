"""The envelope of a message that was sent again (RFC 5322 §3.6.6)."""

from __future__ import annotations

from typing import Final

import pytest

from .prepared import ALICE, BOB, compose, envelope, implied, refused

ORIGINAL: Final = [
    "From: old@x.test",
    "To: old@y.test",
    "Cc: old@z.test",
    "Bcc: o@z.test",
]
NEWEST: Final = [
    "Resent-From: alice@example.test",
    "Resent-To: bob@example.test",
    "Resent-Date: Mon, 23 Nov 2026 10:00:00 +0000",
]
OLDER: Final = [
    "Resent-Sender: older@x.test",
    "Resent-From: older@x.test",
    "Resent-To: older@y.test",
    "Resent-Cc: older@z.test",
    "Resent-Bcc: older@z.test",
    "Resent-Date: Mon, 23 Nov 2026 09:00:00 +0000",
]
RECEIVED: Final = ["Received: by x.test;", " Mon, 23 Nov 2026 09:00:01 +0000"]


@pytest.mark.parametrize(
    "fields",
    [
        [*NEWEST, *ORIGINAL],
        [*ORIGINAL, *NEWEST],
        [*RECEIVED, *NEWEST, *ORIGINAL],
        [*NEWEST, *NEWEST, *ORIGINAL],
        [*NEWEST, *OLDER[1:], *ORIGINAL],
        [*NEWEST, *RECEIVED, *OLDER, *ORIGINAL],
        [*NEWEST, "Return-Path: <x@x.test>", *OLDER, *ORIGINAL],
        [*NEWEST, *RECEIVED, *NEWEST[::-1], *RECEIVED, *OLDER, *ORIGINAL],
        [NEWEST[0], "X-Between: x", *NEWEST[1:], *ORIGINAL],
        [line.upper() if line in NEWEST else line for line in [*ORIGINAL]] + NEWEST,
    ],
)
def test_only_the_newest_block_counts(fields: list[str]) -> None:
    assert implied(*fields) == (ALICE, [BOB])


def test_all_of_the_newest_block_counts() -> None:
    block = [
        "Resent-Bcc: d@x.test",
        "Resent-Cc: b@x.test, c@x.test",
        "Resent-From: one@x.test, two@x.test",
        "Resent-Sender: alice@example.test",
        "Resent-To: a@x.test",
    ]
    expected = [f"{letter}@x.test" for letter in "abcd"]
    assert implied(*block, *ORIGINAL) == (ALICE, expected)


def test_several_fields_of_recipients_in_one_block() -> None:
    block = [NEWEST[0], "Resent-To: a@x.test", "Resent-To: b@x.test"]
    assert implied(*block, *ORIGINAL) == (ALICE, ["a@x.test", "b@x.test"])
    composed = compose()
    for line in block:
        name, _, value = line.partition(": ")
        composed[name] = value
    assert envelope(composed) == (ALICE, ["a@x.test", "b@x.test"])


def test_a_block_does_not_borrow_from_the_original() -> None:
    assert "no address in To" in refused("Resent-From: alice@example.test", *ORIGINAL)
    fields = ["Resent-To: bob@example.test", *ORIGINAL]
    assert "no address in Sender or From" in refused(*fields)
