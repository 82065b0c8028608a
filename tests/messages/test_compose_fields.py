"""The header fields of composed messages: who it is from and for, and what it says."""

from __future__ import annotations

import copy
import pickle
import re
from email import message_from_bytes, message_from_string, policy
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from esmtp_async import InvalidInput, compose

from .prepared import envelope, octets, prepared
from .test_compose import ALICE, BOB, awkward, lines, parsed, refused
from .test_injection import INJECTIONS

ONE_CLICK: Final = "List-Unsubscribe=One-Click"


# Addresses


#: Display names that fit one encoded word: of more than one, Python's own parser
#: puts spaces between them (RFC 2047 §6.2 has none).
people = (
    (awkward | lines)
    .map(lambda name: " ".join(name.split()))
    .filter(lambda name: len(name.encode()) <= 45)
)


@given(st.lists(people, min_size=1, max_size=9))
@example(["Lovelace, Ada", "", "Müller, Jörg", "J. Doe", "日本 太郎", "=?utf-8?q?x?="])
@example(["é" * 22] * 9)
@settings(max_examples=30)
def test_names_arrive_as_they_were(names: list[str]) -> None:
    addresses = [
        Address(name, f"u{index}", "example.org") for index, name in enumerate(names)
    ]
    message = compose(addresses[0], addresses, "x", cc=addresses, reply_to=addresses)
    for each in [message, *parsed(message)]:
        for field in ("To", "Cc", "Reply-To"):
            assert list(each[field].addresses) == addresses
        assert list(each["From"].addresses) == addresses[:1]
        assert envelope(each) == ("u0@example.org", [a.addr_spec for a in addresses])


def test_a_long_name_is_encoded_words_without_spaces_of_their_own() -> None:
    for name in ("Ada " * 40 + "Lovelace", "日本" * 40, "x" * 300, '"' * 61):
        message = compose(ALICE, Address(name, "bob", "example.org"), "x")
        for source in (message.as_bytes(), octets(message)):
            assert max(map(len, source.split(b"\r\n"))) <= 78
            raw = message_from_bytes(source, policy=policy.compat32)["To"].replace(
                "\r\n", ""
            )
            phrase = raw.partition(" <")[0]
            assert str(make_header(decode_header(phrase))) == name
            assert raw.endswith("<bob@example.org>")


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (BOB, [BOB]),
        (f"  Bob <{BOB}>  ", [f"Bob <{BOB}>"]),
        (f'"Bob, Jr." <{BOB}>, {ALICE},', [f'"Bob, Jr." <{BOB}>', ALICE]),
        (
            [f"{BOB}, {ALICE}", Address("C", "c", "example.org")],
            [BOB, ALICE, "C <c@example.org>"],
        ),
        (Address("", "b", "bücher.example"), ["b@xn--bcher-kva.example"]),
        ('Bü <"a b"@bücher.example>', ['Bü <"a b"@xn--bcher-kva.example>']),
        ("=?utf-8?q?B=C3=BC?= <b@example.org>", ["Bü <b@example.org>"]),
        ("b@[192.0.2.1]", ["b@[192.0.2.1]"]),
        ((each for each in (BOB, ALICE)), [BOB, ALICE]),
    ],
)
def test_what_addresses_may_be(given_: object, expected: list[str]) -> None:
    message = compose(ALICE, given_, "x")  # type: ignore[arg-type]  # of every type
    for each in [message, *parsed(message)]:
        assert [str(address) for address in each["To"].addresses] == expected


@given(
    people,
    st.sampled_from(["j.d@example.org", "ü@bücher.example", '"a, b"@example.org']),
)
@example('"<', '"a\\"b"@[192.0.2.1]')
@settings(max_examples=30)
def test_a_pair_is_one_address(name: str, spec: str) -> None:
    message = compose((name, spec), [(name, spec), BOB], "x", cc=[(name, spec)])
    first, second = message["To"].addresses
    assert first.display_name == name
    assert second.addr_spec == BOB
    assert message["From"].addresses == message["Cc"].addresses == (first,)
    on_the_wire = spec.replace("bücher", "xn--bcher-kva")
    assert envelope(message) == (on_the_wire, [on_the_wire, BOB])


@pytest.mark.parametrize(
    "spec",
    [
        *("", "bob", f"{BOB}, {ALICE}", f"Bob <{BOB}>", f"<{BOB}>"),
        f"{BOB}\r\nBcc: {ALICE}",
    ],
)
def test_what_was_typed_in_is_one_address_or_none(spec: str) -> None:
    assert re.match(r"(the address in )?to\[1\]", refused(to=[BOB, ("Bob", spec)]))
    assert re.match(r"(the address in )?sender\b", refused(sender=("Bob", spec)))


def test_pairs_that_are_none() -> None:
    assert refused(to=[(BOB,)]) == "to[0] is a tuple of 1, not (name, address)"
    assert refused(to=[("B\n", BOB)]) == "the name in to[0] holds '\\n' at character 1"
    assert refused(to=[(None, BOB)]) == "the name in to[0] is of type NoneType, not str"


def test_a_local_part_outside_ascii_stays() -> None:
    message = compose(
        "Ü <ü@bücher.example>", BOB, "Grüße", text="x", cc="日@example.org"
    )
    sources = [
        message.as_bytes(),
        octets(message),
        message.as_bytes(policy=policy.SMTPUTF8),
    ]
    for source in sources:
        assert "<ü@xn--bcher-kva.example>".encode() in source
        each = message_from_string(source.decode(), policy=policy.default)
        assert each["From"].addresses[0] == Address("Ü", "ü", "xn--bcher-kva.example")
        assert each["Cc"].addresses[0].username == "日"
        assert each["Subject"] == "Grüße"
    assert prepared(message).envelope.reverse_path.needs_smtputf8


@pytest.mark.parametrize(
    "given_",
    [
        *("", " ", ",", "nobody", "<>", "a b@example.org", "a@b@c", "a@-.example"),
        *("Müller, Jörg <j@example.org>", "a@b.example c@d.example", "<a@b.example"),
        *("a@b.example; c@d.example", "Team: a@b.example;", "nobody:;"),
        *("=?utf-8?q?a=0Ab?= <a@b.example>", "=?utf-8?q?a=00b?= <a@b.example>"),
        *("=?utf-8?q?e?=@b.example", "a@b.example\ud800", "a@" + "y" * 300),
        *(5, None, b"a@b.example", [], [[ALICE]], [5], ["nobody"]),
        *(Address("x", "", ""), Address("x", "a", ""), Address("x", "a", "b c")),
        *(Address("a\0b", "a", "b.example"), Address("\ud800", "a", "b.example")),
        Address("x\u2028y", "a", "b.example"),
    ],
)
def test_what_no_address_is(given_: object) -> None:
    told = refused(to=given_)
    assert re.match(r"(the name in )?to\b", told)
    if given_ != []:
        for argument in ("sender", "cc", "bcc", "reply_to"):
            told = refused(**{argument: given_})
            assert re.match(rf"(the name in )?{argument}\b", told)


def test_the_item_of_a_list_is_named() -> None:
    assert refused(cc=[BOB, "x y"]).startswith("cc[1]: ")
    assert refused(cc=[BOB, "Team: a@b.example;"]).startswith("cc[1] ")


def test_how_many_there_may_be() -> None:
    assert refused(sender=[ALICE, BOB]) == "sender holds 2 addresses, not one"
    assert refused(sender=[]) == "sender holds 0 addresses, not one"
    assert refused(to=[]) == "to, cc and bcc hold no address"
    message = compose(ALICE, (), "x", bcc=BOB)
    assert message.keys()[:3] == ["From", "Bcc", "Subject"]
    assert envelope(message) == (ALICE, [BOB])
    assert b"Bcc" not in octets(message)


# Subject and other fields


@given(lines | awkward, lines | awkward)
@example("=?utf-8?q?a=0D=0ABcc:_x?=", "x" * 2000)
@example("Grüße " * 40, " a  b\t\tc ")
@example("", "")
@example("\t\u200bx\xa0", "\u3000")
@settings(max_examples=30)
def test_text_arrives_as_it_was(subject: str, value: str) -> None:
    message = compose(
        ALICE, BOB, subject, headers={"X-Note": value, "In-Reply-To": value}
    )
    for each in [message, *parsed(message)]:
        assert each["Subject"] == subject
        assert each["X-Note"] == each["In-Reply-To"] == value


def test_fields_of_the_callers() -> None:
    given_ = [
        ("Date", "Mon, 23 Nov 2026 10:00:00 +0000"),
        ("Message-ID", f"<{'x' * 200}@example.org>"),
        ("Sender", "Müller <m@bücher.example>"),
        ("X-Tag", "one"),
        ("X-Tag", "two"),
    ]
    message = compose(ALICE, BOB, "x", headers=given_)
    for each in [message, *parsed(message)]:
        assert each["Date"] == given_[0][1]
        assert each["Message-ID"] == given_[1][1]
        assert str(each["Sender"]) == "Müller <m@xn--bcher-kva.example>"
        assert each.get_all("X-Tag") == ["one", "two"]
        assert envelope(each) == ("m@xn--bcher-kva.example", [BOB])
    assert prepared(message).message_id == given_[1][1]
    assert "Date" not in compose(ALICE, BOB, "x")


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("From", "sender="),
        ("TO", "to="),
        ("cc", "cc="),
        ("Bcc", "bcc="),
        ("Reply-To", "reply_to="),
        ("subject", "subject="),
        ("List-Unsubscribe", "list_unsubscribe="),
        ("List-Unsubscribe-Post", "list_unsubscribe="),
        ("MIME-Version", "the content"),
        ("Content-Type", "the content"),
        ("content-anything", "the content"),
    ],
)
def test_what_has_an_argument_is_no_field(name: str, by: str) -> None:
    told = f"may not set {name}, which is set by {by}"
    assert refused(headers={name: "x"}) == f"headers[{name!r}] {told}"
    assert refused(headers=[("X-A", "x"), (name, "x")]) == f"headers[1] {told}"


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"X A": "x"}, "the name of headers['X A'] is none"),
        ({"": "x"}, "the name of headers[''] is none"),
        ({"X:": "x"}, "the name of headers['X:'] is none"),
        ({"é": "x"}, "the name of headers['é'] is none"),
        ({"X\n": "x"}, "the name of headers['X\\n'] is none"),
        ({5: "x"}, "the name of headers[5] is of type int"),
        ({"X": 5}, "the value of headers['X'] is of type int"),
        ({"X": "\ud800"}, "the value of headers['X'] holds a lone surrogate"),
        ({"X": "a\0"}, "the value of headers['X'] holds '\\x00' at character 1"),
        ([("X", "x"), "Xx"], "headers[1] is not a pair"),
        ([("X",)], "headers[0] is not a pair"),
        ([("Date", "soon")], "the value of headers[0] is no Date: 'soon'"),
        ({"Sender": "nobody"}, "headers['Sender']: "),
        ([("Message-ID", "<a@b>"), ("message-id", "<c@d>")], "headers[1] is a second"),
    ],
)
def test_what_is_no_field(headers: object, told: str) -> None:
    assert refused(headers=headers).startswith(told)


@pytest.mark.parametrize("value", INJECTIONS)
@pytest.mark.parametrize(
    "argument", ["subject", "to", "cc", "sender", "reply_to", "list"]
)
def test_I8_nothing_begins_another_line(argument: str, value: str) -> None:
    if argument == "list":
        assert refused(list_unsubscribe=f"https://example.org/{value}")
        assert "headers['X']" in refused(headers={"X": value})
    else:
        before = "" if argument == "subject" else BOB
        assert argument in refused(**{argument: before + value})
        assert argument in refused(**{argument: value})


def test_subjects_that_are_none() -> None:
    assert refused(subject=None) == "subject is of type NoneType, not str"
    assert refused(subject="a\ud800") == "subject holds a lone surrogate at character 1"


# Leaving a list


@pytest.mark.parametrize(
    ("given_", "field", "post"),
    [
        ("https://example.org/u?a=1,2", "<https://example.org/u?a=1,2>", ONE_CLICK),
        ("mailto:u@example.org?subject=x", "<mailto:u@example.org?subject=x>", None),
        ("http://example.org/", "<http://example.org/>", None),
        (
            ["HTTPS://example.org/" + "x" * 600, "mailto:u@example.org"],
            f"<HTTPS://example.org/{'x' * 600}>, <mailto:u@example.org>",
            ONE_CLICK,
        ),
        (
            ["https://example.org/1", "https://example.org/2"],
            "<https://example.org/1>, <https://example.org/2>",
            None,
        ),
        (
            ["https://example.org/", "http://example.org/"],
            "<https://example.org/>, <http://example.org/>",
            None,
        ),
        ([], None, None),
    ],
)
def test_ways_to_leave_a_list(
    given_: list[str], field: str | None, post: str | None
) -> None:
    message = compose(ALICE, BOB, "x", list_unsubscribe=given_)
    for each in [message, *parsed(message)]:
        assert each["List-Unsubscribe"] == field
        assert each["List-Unsubscribe-Post"] == post


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "",
            "example.org",
            "ftp://example.org/",
            "<https://example.org/>",
            "https://",
        ),
        *(
            "mailto:",
            "https://example.org/a b",
            "https://example.org/é",
            "javascript:x",
        ),
        "https://example.org/" + "x" * 900,
    ],
)
def test_what_is_no_way_to_leave_a_list(uri: str) -> None:
    assert refused(list_unsubscribe=uri).startswith("list_unsubscribe ")
    assert refused(list_unsubscribe=[uri]).startswith("list_unsubscribe[0] ")


def test_uris_that_are_no_text() -> None:
    assert refused(list_unsubscribe=[5]).startswith(
        "list_unsubscribe[0] is of type int"
    )


# The message itself


def test_a_message_can_be_copied_and_pickled() -> None:
    message = compose('"Ü, B" <b@example.org>', BOB, "Grüße " * 30, text="Grüße")
    for twin in (copy.deepcopy(message), pickle.loads(pickle.dumps(message))):  # noqa: S301  # our own
        assert twin.as_bytes() == message.as_bytes()
        assert twin["From"].addresses == message["From"].addresses


def test_a_field_set_later_folds_as_well() -> None:
    message = compose(ALICE, BOB, "x")
    people_ = (
        "Team: =?utf-8?q?=C3=9C=2C_A?= <a@example.org>, b@example.org;, c@example.org"
    )
    message.replace_header("To", people_)
    message["Resent-To"] = "Nobody:;"
    with pytest.raises(ValueError, match="at most 1 Subject"):
        message["Subject"] = "y"
    assert b"To: Team : =?utf-8?b?w5wsIEE=?= <a@example.org>, b@example.org ;," in (
        message.as_bytes()
    )
    each = message_from_bytes(message.as_bytes(), policy=policy.default)
    assert [group.display_name for group in each["To"].groups] == ["Team", None]
    assert [a.display_name for a in each["To"].addresses] == ["Ü, A", "", ""]
    assert each["Resent-To"].groups[0].addresses == ()


def test_a_defective_field_set_later_is_refused_when_it_is_written() -> None:
    message = compose(ALICE, BOB, "x")
    message["Resent-To"] = "nobody"
    with pytest.raises(InvalidInput, match="Resent-To"):
        message.as_bytes()


def test_a_message_is_sent_in_lines_of_its_policy() -> None:
    message = compose(ALICE, BOB, "word " * 30 + "end")
    assert max(map(len, message.as_bytes().split(b"\r\n"))) <= 78
    unfolded = message.as_bytes(policy=policy.SMTP.clone(max_line_length=None))
    assert b"Subject: " + b"word " * 30 + b"end\r\n" in unfolded
    assert isinstance(message, EmailMessage)
