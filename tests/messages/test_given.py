"""The envelope and the options that a caller gives beside the message."""

from __future__ import annotations

from email import message_from_bytes, policy
from typing import Any

import pytest

from esmtp_async import InvalidInput, Recipient, Recipients, SendOptions
from esmtp_async._messages import prepare
from tests.backends import everywhere

from .prepared import ALICE, BOB, prepared

SOURCE = b"Subject: x\r\n\r\nx\r\n"
CAROL = "carol@example.test"


def addresses(recipients: Recipients) -> list[str]:
    given = prepared(SOURCE, ALICE, recipients).envelope.recipients
    return [each.address for each in given]


@pytest.mark.parametrize(
    ("recipients", "expected"),
    [
        (BOB, [BOB]),
        ([BOB, CAROL], [BOB, CAROL]),
        ((CAROL, BOB), [CAROL, BOB]),
        ({BOB: "key", CAROL: "key"}, [BOB, CAROL]),
        (Recipient(BOB), [BOB]),
        ([Recipient(BOB), CAROL], [BOB, CAROL]),
        ([BOB, CAROL, BOB], [BOB, CAROL]),
        ([BOB, "bob@EXAMPLE.test"], [BOB]),
        ([BOB, "Bob@example.test"], [BOB, "Bob@example.test"]),
        (["u@münchen.test", "u@xn--mnchen-3ya.test"], ["u@münchen.test"]),
        (["postmaster", "POSTMASTER"], ["postmaster"]),
    ],
)
def test_recipients(recipients: Recipients, expected: list[str]) -> None:
    assert addresses(recipients) == expected


def test_recipients_from_a_generator() -> None:
    assert addresses(f"{name}@example.test" for name in "ab") == [
        "a@example.test",
        "b@example.test",
    ]


def test_of_recipients_that_are_one_the_first_counts() -> None:
    first = Recipient(BOB, notify="NEVER")
    (kept,) = prepared(SOURCE, ALICE, [first, BOB]).envelope.recipients
    assert kept is first


@pytest.mark.parametrize(
    ("recipients", "told"),
    [
        (5, "recipients is of type int"),
        (b"bob@example.test", r"recipients\[0\] is of type bytes"),
        ([BOB, 5], r"recipients\[1\] is of type int"),
        ([BOB, CAROL, None], r"recipients\[2\] is of type NoneType"),
        ([BOB, "carol"], r"recipients\[1\]: 'carol' is not one mailbox"),
        ("Bob <bob@example.test>", r"recipients\[0\]: "),
        ("bob@example.test, carol@example.test", r"recipients\[0\]: "),
        ([], "no recipient"),
        ((), "no recipient"),
    ],
)
def test_recipients_refused(recipients: object, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        prepared(SOURCE, ALICE, recipients)  # type: ignore[arg-type]  # wrong on purpose


def test_null_reverse_path() -> None:
    assert prepared(SOURCE, "", BOB).envelope.reverse_path.wire == b"<>"


@pytest.mark.parametrize(
    ("sender", "told"),
    [
        (5, "sender is of type int"),
        (b"alice@example.test", "sender is of type bytes"),
        ("alice", "sender: 'alice' is not one mailbox"),
        ("<>", "sender: '<>' is not one mailbox"),
        ("Alice <alice@example.test>", "sender: "),
    ],
)
def test_sender_refused(sender: object, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        prepared(SOURCE, sender, BOB)  # type: ignore[arg-type]  # wrong on purpose


def test_an_envelope_that_is_given_hides_the_header() -> None:
    message = message_from_bytes(b"From: nobody\nTo: @@\n\nx\n", policy=policy.default)
    for form in (message, b"From: nobody\r\nTo: @@\r\n\r\nx\r\n", "x"):
        outgoing = prepared(form, ALICE, BOB)
        assert outgoing.envelope.reverse_path.wire == b"<alice@example.test>"
        assert [each.address for each in outgoing.envelope.recipients] == [BOB]


# What is asked for beside


def test_options_become_parameters() -> None:
    given = prepared(SOURCE, ALICE, BOB, ret="hdrs", envid="a =+b").envelope.parameters
    assert [each[:3] for each in given] == [
        ("DSN", "RET", "HDRS"),
        ("DSN", "ENVID", "a+20+3D+2Bb"),
    ]
    assert prepared(SOURCE, ALICE, BOB).envelope.parameters == ()


@pytest.mark.parametrize(
    "options",
    [
        {"ret": "BODY"},
        {"ret": ""},
        {"envid": ""},
        {"envid": "ü"},
        {"envid": "a\r\nRCPT"},
        {"envid": "x" * 101},
        {"x_mailer": ""},
        {"x_mailer": " "},
        {"x_mailer": "ü"},
        {"x_mailer": "a\r\nBcc: x"},
        {"x_mailer": "a\tb"},
    ],
)
def test_options_refused(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(InvalidInput, match=name):
        SendOptions(**options)


@everywhere
@pytest.mark.parametrize("options", [{}, {"ret": "FULL"}, "FULL", 5])
async def test_options_of_another_type_are_refused(options: SendOptions) -> None:
    with pytest.raises(
        InvalidInput, match=f"options is of type {type(options).__name__}"
    ):
        await prepare(SOURCE, ALICE, BOB, options)
