"""Envelope and recipients (RFC 5321 §2.3.1, RFC 3461 §4.1, §4.2)."""

from __future__ import annotations

import pytest

from esmtp_async.protocol import Envelope, Recipient, ReversePath
from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.protocol._parameters import said


def test_an_envelope_is_made_of_addresses() -> None:
    bob = Recipient("bob@example.test", notify="NEVER")
    envelope = Envelope.of("alice@example.test", ["eve@example.test", bob])
    assert envelope.reverse_path == ReversePath.parse("alice@example.test")
    assert envelope.recipients == (Recipient("eve@example.test"), bob)
    assert envelope.parameters == ()
    assert Envelope.of("", ["a@b"]).reverse_path.mailbox is None


def test_a_path_given_twice_is_kept_once_where_it_stood_first() -> None:
    first = Recipient("bob@example.test", notify="NEVER")
    envelope = Envelope.of(
        "",
        [
            first,
            "eve@example.test",
            "bob@EXAMPLE.test",
            "Postmaster",
            "postmaster",
            "Bob@example.test",
        ],
    )
    assert [recipient.address for recipient in envelope.recipients] == [
        "bob@example.test",
        "eve@example.test",
        "Postmaster",
        "Bob@example.test",
    ]
    assert envelope.recipients[0] is first


def test_an_envelope_has_a_recipient() -> None:
    with pytest.raises(InvalidInput, match="no recipient"):
        Envelope.of("alice@example.test", [])


@pytest.mark.parametrize(
    ("sender", "recipients"),
    [("a b@x", ["b@x"]), ("a@x", ["b@x", "c d@x"]), ("a@x", [""]), ("<a@x>", ["b@x"])],
)
def test_I5_every_address_is_checked(sender: str, recipients: list[str]) -> None:
    with pytest.raises(InvalidInput, match="is not one mailbox"):
        Envelope.of(sender, recipients)


@pytest.mark.parametrize(
    ("sender", "recipients", "told"),
    [
        (None, ["b@x"], "sender is of type NoneType, not str"),
        (b"a@x", ["b@x"], "sender is of type bytes, not str"),
        (0, ["b@x"], "sender is of type int, not str"),
        ("a@x", 5, "recipients is of type int, not Iterable"),
        ("a@x", b"b@x", "recipients[0] is of type bytes, not str"),
        ("a@x", ["b@x", 5], "recipients[1] is of type int, not str"),
        ("a@x", ["b@x", b"c@x"], "recipients[1] is of type bytes, not str"),
    ],
)
def test_an_envelope_is_made_of_text(
    sender: str, recipients: list[str], told: str
) -> None:
    with pytest.raises(InvalidInput) as info:
        Envelope.of(sender, recipients)
    assert str(info.value) == told


def test_an_envelope_for_one_needs_no_list() -> None:
    assert Envelope.of("", "b@x") == Envelope.of("", [Recipient("b@x")])
    assert Envelope.of("", Recipient("b@x")) == Envelope.of("", ["b@x"])


@pytest.mark.parametrize("bad", [5, True, b"a@x", ["a@x"]])
def test_a_recipient_is_made_of_text(bad: str) -> None:
    with pytest.raises(InvalidInput, match=r"the address is of type \w+, not str"):
        Recipient(bad)
    with pytest.raises(InvalidInput, match=r"orcpt is of type \w+, not str"):
        Recipient("a@x", orcpt=bad)


@pytest.mark.parametrize("bad", [5, True, b"NEVER", [b"NEVER"], [None], [["DELAY"]]])
def test_notify_is_made_of_text(bad: str) -> None:
    with pytest.raises(InvalidInput, match=r"notify is of type \w+, not "):
        Recipient("a@x", notify=bad)


@pytest.mark.parametrize(
    ("notify", "value"),
    [
        ("NEVER", "NEVER"),
        ("never", "NEVER"),
        (["SUCCESS", "failure", "Delay"], "SUCCESS,FAILURE,DELAY"),
        (("DELAY",), "DELAY"),
        (["NEVER"], "NEVER"),
    ],
)
def test_notify_is_never_or_some_of_three(
    notify: str | list[str] | tuple[str, ...], value: str
) -> None:
    recipient = Recipient("bob@example.test", notify=notify)
    assert said(recipient.parameters) == {"NOTIFY": value}


@pytest.mark.parametrize(
    "notify",
    [
        "",
        [],
        "ALWAYS",
        ["NEVER", "DELAY"],
        ["DELAY", "NEVER"],
        ["DELAY", "x"],
        "A\r\nB",
    ],
)
def test_I7_notify_is_nothing_else(notify: str | list[str]) -> None:
    with pytest.raises(InvalidInput, match="neither NEVER nor any of"):
        Recipient("bob@example.test", notify=notify)


@pytest.mark.parametrize(
    ("orcpt", "value"),
    [
        ("bob@example.test", "rfc822;bob@example.test"),
        ("rfc822;bob+a=b@example.test", "rfc822;bob+2Ba+3Db@example.test"),
        ("x-400;/S=Bob B/", "x-400;/S+3DBob+20B/"),
        ("rfc822;a;b", "rfc822;a;b"),
    ],
)
def test_orcpt_is_a_type_and_an_address_in_xtext(orcpt: str, value: str) -> None:
    recipient = Recipient("bob@example.test", orcpt=orcpt)
    assert said(recipient.parameters) == {"ORCPT": value}


@pytest.mark.parametrize(
    "orcpt",
    ["", ";", "rfc822;", ";bob@x", "rfc 822;bob@x", "a\r\n;b", "rfc822;jürgen@x"],
)
def test_I7_orcpt_is_nothing_else(orcpt: str) -> None:
    with pytest.raises(InvalidInput, match="addr-type;address, in ASCII"):
        Recipient("bob@example.test", orcpt=orcpt)


def test_I7_orcpt_has_at_most_500_characters_once_encoded() -> None:
    fits = "a" * (500 - len("rfc822;"))
    recipient = Recipient("bob@example.test", orcpt=fits)
    assert said(recipient.parameters) == {"ORCPT": f"rfc822;{fits}"}
    for orcpt in (f"{fits}a", f"rfc822;{fits[:-1]}+"):
        with pytest.raises(InvalidInput, match="exceeds 500 characters"):
            Recipient("bob@example.test", orcpt=orcpt)


def test_notify_says_each_word_once() -> None:
    recipient = Recipient("bob@example.test", notify=["delay", "DELAY", "FAILURE"])
    assert said(recipient.parameters) == {"NOTIFY": "DELAY,FAILURE"}


def test_recipients_compare_by_what_was_asked_for() -> None:
    bob = Recipient("bob@example.test", notify=("DELAY",), orcpt="a@b")
    assert bob == Recipient("bob@example.test", notify=("DELAY",), orcpt="a@b")
    assert bob != Recipient("bob@example.test")
    assert repr(bob) == (
        "Recipient(address='bob@example.test', notify=('DELAY',), orcpt='a@b', "
        "rrvs=None, rrvs_action=None)"
    )
    assert said(bob.parameters) == {"NOTIFY": "DELAY", "ORCPT": "rfc822;a@b"}
