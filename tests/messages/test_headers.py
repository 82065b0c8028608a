"""The envelope that a header section implies (RFC 5322 §3.6)."""

from __future__ import annotations

from collections.abc import Callable
from email import message_from_bytes, policy
from email.header import Header
from email.message import EmailMessage, Message

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from esmtp_async import InvalidInput, Sendable

from .prepared import (
    ALICE,
    BOB,
    FORMS,
    compose,
    each_form,
    envelope,
    implied,
    paths,
    prepared,
    refusal,
    refused,
)

# The reverse-path


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["From: alice@example.test"], ALICE),
        (["From: Alice <alice@example.test>"], ALICE),
        (["from: alice@example.test"], ALICE),
        (["FROM:alice@example.test"], ALICE),
        (["From: Alice Q. Example <alice@example.test>"], ALICE),
        (["From: carol@example.test", "Sender: alice@example.test"], ALICE),
        (["Sender: alice@example.test", "From: carol@example.test"], ALICE),
        (["From: a@b.test, c@d.test", "Sender: Alice <alice@example.test>"], ALICE),
        (["From: carol@example.test", "Reply-To: b@c.test"], "carol@example.test"),
        (["From: alice@example.test", "Sender:"], ALICE),
        (["Sender: alice@example.test"], ALICE),
        (["From: Authors: alice@example.test;"], ALICE),
    ],
)
def test_sender(fields: list[str], expected: str) -> None:
    assert implied(*fields, f"To: {BOB}") == (expected, [BOB])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ([], "no address in Sender or From"),
        (["From:"], "no address in Sender or From"),
        (["From: Nobody:;"], "no address in Sender or From"),
        (["From: a@b.test, c@d.test"], "From has 2 addresses"),
        (["From: a@b.test", "From: c@d.test"], "From has 2 addresses"),
        (["From: G: a@b.test, c@d.test;"], "From has 2 addresses"),
        (["Sender: a@b.test, c@d.test", "From: a@b.test"], "Sender has 2 addresses"),
        (["From: alice"], "From 'alice' cannot be read"),
        (["From: <>"], "From '<>' cannot be read"),
        (["From: alice@example.test bob@example.test"], "cannot be read"),
        (["Sender: @", "From: alice@example.test"], "Sender '@' cannot be read"),
        (["From: a_@b_.test"], "sender: 'a_@b_.test' is not a mailbox"),
    ],
)
def test_sender_refused(fields: list[str], told: str) -> None:
    assert told in refused(*fields, f"To: {BOB}")


def test_sender_that_is_given_needs_no_from() -> None:
    for message in each_form(f"To: {BOB}"):
        assert prepared(message, ALICE).envelope.reverse_path.wire == b"<%b>" % (
            ALICE.encode()
        )


# The forward-paths


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["To: a@x.test"], "a"),
        (["To: a@x.test, B <b@x.test>,c@x.test"], "abc"),
        (["Bcc: c@x.test", "Cc: b@x.test", "To: a@x.test"], "abc"),
        (["To: a@x.test", "To: b@x.test", "Cc: c@x.test", "Cc: d@x.test"], "abcd"),
        (["to: a@x.test", "CC: b@x.test", "bCC: c@x.test"], "abc"),
        (["Bcc: a@x.test"], "a"),
        (["To: undisclosed-recipients:;", "Bcc: a@x.test"], "a"),
        (["To: undisclosed-recipients: ;", "Cc: a@x.test"], "a"),
        (["To:", "Cc: a@x.test"], "a"),
        (["To: G: a@x.test, B <b@x.test>;, c@x.test"], "abc"),
        (["To: a@x.test, G:;, b@x.test, H: c@x.test;"], "abc"),
        (["To: a@x.test,", " b@x.test,", "\tc@x.test"], "abc"),
        (["To:", " a@x.test"], "a"),
        (["To: Very long", " name", " <a@x.test>"], "a"),
        (["To: a@x.test, , b@x.test,"], "ab"),
        (["To: a@x.test", "Cc: a@x.test, b@x.test", "Bcc: b@X.TEST"], "ab"),
        (['To: "Doe, Jane" <a@x.test>, "b@y.test" <b@x.test>'], "ab"),
        (['To: "a \\"quoted\\" <name>" <a@x.test>'], "a"),
        (["To: a@x.test (a comment, with b@y.test)"], "a"),
        (["To: (before) a@x.test, b(in)@x.test"], "ab"),
        (["To: a @ x.test"], "a"),
        (["To: <@relay.test,@other.test:a@x.test>"], "a"),
        (["To: Mr. A. <a@x.test>"], "a"),
        (["To: =?utf-8?q?=C3=9C=2C_b=40y=2Etest?= <a@x.test>"], "a"),
        (["To: =?utf-8?b?w5w=?= <a@x.test>, =?iso-8859-1?q?=DC?= <b@x.test>"], "ab"),
        (['To: "=?utf-8?q?=C3=9C=2C_b?= x" <a@x.test>, b@x.test'], "ab"),
        (["To: =?utf-8?q?=C3=9C?=<a@x.test>, x=?utf-8?q?=C3=9C?= <b@x.test>"], "ab"),
        (["To: Ünlaut <a@x.test>, 漢字 <b@x.test>"], "ab"),
        (["To: a@x.test", "Reply-To: b@x.test", "X-To: c@x.test"], "a"),
    ],
)
def test_recipients(fields: list[str], expected: str) -> None:
    assert paths(*fields) == [f"{letter}@x.test" for letter in expected]


@pytest.mark.parametrize(
    "fields",
    [[], ["To:"], ["To: undisclosed-recipients:;"], ["Reply-To: bob@example.test"]],
)
def test_no_recipients(fields: list[str]) -> None:
    assert "no address in To, Cc or Bcc" in refused(f"From: {ALICE}", *fields)


@pytest.mark.parametrize(
    "value",
    [
        "bob",
        "<>",
        "@",
        "bob@",
        "@example.test",
        "bob@example.test carol@example.test",
        "bob@example.test; carol@example.test",
        "bob@example.test <carol@example.test>",
        "Doe, Jane <jane@example.test>",
        "bob@example@test",
        "Bob <bob@example.test",
        "Bob bob@example.test>",
        "<bob@example.test>, carol",
        "mailto:bob@example.test",
        "G: bob@example.test; carol@example.test",
        "G: bob@example.test, H: carol@example.test;;",
        "bob.@example.test",
        ".bob@example.test",
        "bo..b@example.test",
        "bob@example.test.",
        "bob@-example.test",
        "bob@exa mple.test",
        'bob"@example.test',
        '"bob@example.test',
        "=?utf-8?q?carol=40evil.test=3E?=@example.test",
        "=?utf-8?q?carol=40evil.test=3E?= @example.test",
        '"=?utf-8?q?carol=40evil.test=3E?="@example.test',
        "Carol <=?utf-8?q?carol?=@example.test>",
        '"=?utf-8?q?Carol?=" <carol@example.test>, bob',
        "=?utf-8?q?Carol?= <carol@example.test> dave@example.test",
        "=?utf-8?q?=0D=0A?= <bob@example.test>",
        "bob@example.test\x0bcarol@example.test",
        "bob@exam\x1cple.test",
        "bob@exam\x85ple.test",
        "bob@exam\u2028ple.test",
        "bo\x00b@example.test",
        "bob@example.test, \x7f",
        "Grüße, Bob <bob@example.test>",
        "büb@",
        "(",
        '"',
        "<",
        "[",
        "a[",
        ":",
        "..",
        "x.y@",
        "\\",
    ],
)
@pytest.mark.parametrize("name", ["To", "Cc", "Bcc"])
def test_a_defective_field_is_refused_with_all_its_addresses(
    name: str, value: str
) -> None:
    """No address of it is lost, and none is guessed."""
    for message in each_form(f"From: {ALICE}", f"To: {BOB}", f"{name}: {value}"):
        assert name in refusal(message) or "recipients[" in refusal(message)


def test_an_object_does_not_tell_what_it_was_made_of() -> None:
    """So its defects, of whatever, are never forgiven."""
    value = '"=?utf-8?q?evil=40x?="@example.test, "=?x" <bob@example.test>'
    assert "encoded word" in refusal(compose(To=value))


def test_a_defective_field_that_does_not_count_is_no_hindrance() -> None:
    assert paths(f"To: {BOB}", "Reply-To: nobody", "X: <", "Resent: @") == [BOB]
    assert paths(f"To: {BOB}", 'Reply-To: "') == [BOB]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ('"john smith"@x.test', '"john smith"@x.test'),
        ('J <"john smith"@x.test>', '"john smith"@x.test'),
        ('"a, b" <"c, d"@x.test>', '"c, d"@x.test'),
        ('"with \\"quotes\\""@x.test', '"with \\"quotes\\""@x.test'),
        ('"back\\\\slash"@x.test', '"back\\\\slash"@x.test'),
        ('"at@sign"@x.test', '"at@sign"@x.test'),
        ('"two..dots"@x.test', '"two..dots"@x.test'),
        ('=?utf-8?q?J?= <"john smith"@x.test>', '"john smith"@x.test'),
        ('".dot"@x.test', '".dot"@x.test'),
        ('"dot."@x.test', '"dot."@x.test'),
        ('""@x.test', '""@x.test'),
        ('"plain"@x.test', "plain@x.test"),
        ("a+b=c/d@x.test", "a+b=c/d@x.test"),
        ("a@[192.0.2.1]", "a@[192.0.2.1]"),
        ("a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"),
        ("A <a@[192.0.2.1]>", "a@[192.0.2.1]"),
        ("u@münchen.test", "u@xn--mnchen-3ya.test"),
        ("Ü <u@MÜNCHEN.test>", "u@xn--mnchen-3ya.test"),
        ("u@xn--mnchen-3ya.test", "u@xn--mnchen-3ya.test"),
        ("ünï@x.test", "ünï@x.test"),
        ("漢 <漢字@münchen.test>", "漢字@xn--mnchen-3ya.test"),
        ('"ü ü"@x.test', '"ü ü"@x.test'),
    ],
)
@pytest.mark.parametrize("name", ["To", "From"])
def test_addresses(name: str, field: str, expected: str) -> None:
    other = "From" if name == "To" else "To"
    composed = EmailMessage()
    composed[other], composed[name] = ALICE, field
    found = [implied(f"{other}: {ALICE}", f"{name}: {field}"), envelope(composed)]
    for sender, (recipient,) in found:
        assert (recipient if name == "To" else sender) == expected


@pytest.mark.parametrize("make", [FORMS["bytes"], FORMS["Message"], FORMS["SMTPUTF8"]])
def test_octets_that_are_no_utf8(make: Callable[[bytes], Sendable]) -> None:
    """In a display name they are harmless, and in an address they are refused."""
    names = "From: Jürg <alice@example.test>\nTo: Bärbel <bob@example.test>\n\nx\n"
    assert envelope(make(names.encode("latin-1"))) == (ALICE, [BOB])
    local_part = "From: alice@example.test\nTo: bärbel@example.test\n\nx\n"
    assert "recipients[0]" in refusal(make(local_part.encode("latin-1")))
    domain = "From: alice@example.test\nTo: bob@bärbel.test\n\nx\n"
    assert "recipients[0]" in refusal(make(domain.encode("latin-1")))


# Objects that a parser does not make


def test_header_objects_of_the_old_policy() -> None:
    values = {
        "From": Header("Jürg <alice@example.test>", "iso-8859-1"),
        "To": Header("Bärbel <bob@example.test>, ", "utf-8"),
        "Cc": Header("carol@example.test"),
    }
    message = Message()
    for name, value in values.items():
        message[name] = value  # type: ignore[assignment]  # the old policy takes them
    assert envelope(message) == (ALICE, [BOB, "carol@example.test"])


def test_a_line_end_in_a_value_is_refused() -> None:
    for value in ("bob@example.test\r\nBcc: evil@example.test", "bob@exam\nple.test"):
        message = Message()
        message["From"] = ALICE
        message["To"] = value
        assert refusal(message)


def test_headers_of_a_message_that_was_composed() -> None:
    message = compose(To="Büb <bob@example.test>, G: c@x.test;", Bcc="d@x.test")
    message.policy = policy.compat32
    assert envelope(message) == (ALICE, [BOB, "c@x.test", "d@x.test"])


# Header sections that are torn


@pytest.mark.parametrize(
    "line", ["not a field", "To : carol@example.test", "To\t: c@x.test"]
)
def test_addresses_below_a_line_that_is_no_field_are_not_lost(line: str) -> None:
    fields = [f"From: {ALICE}", f"To: {BOB}", line, "Cc: dave@example.test"]
    assert "no header field" in refused(*fields)
    for message in each_form(*fields):
        assert prepared(message, ALICE, BOB).envelope.recipients[0].address == BOB


@pytest.mark.parametrize("source", [b"", b"\r\n", b"\n\nTo: bob@example.test", b"\n"])
def test_no_header_section(source: bytes) -> None:
    assert "no address in Sender or From" in refusal(source)
    assert "no address in To, Cc or Bcc" in refusal(source, ALICE)


def test_a_header_section_without_an_end() -> None:
    assert envelope(b"From: alice@example.test\nTo: bob@example.test") == (ALICE, [BOB])


def test_the_body_is_not_read() -> None:
    assert paths(f"To: {BOB}", "", "Cc: carol@example.test") == [BOB]


# No matter what


LOCAL_PARTS = st.text("az09!#$%&'*+-/=?^_`{|}~", min_size=1, max_size=9)
DOMAINS = st.sampled_from(["a.b", "x-y.test", "mail.example.test", "[192.0.2.1]"])
NAMES = st.text('aé漢😀 ,;:<>@()[].=?_"\\', max_size=12)


@given(
    st.lists(st.tuples(NAMES, LOCAL_PARTS, DOMAINS), min_size=1, max_size=4),
    st.sampled_from(["%s", "G: %s;", "a@b.cd, G: %s;,"]),
    st.sampled_from(list(FORMS.values())),
)
@example([("=?utf-8?q?x?=", "=?utf-8?q?", "b.test")], "%s", message_from_bytes)
@example(
    [
        *[("", "0", "a.b"), ("::::漢", "0", "a.b"), ("", "000000", "x-y.test")],
        (":::::😀😀", "0", "mail.example.test"),
    ],
    "a@b.cd, G: %s;,",
    FORMS["EmailMessage"],
)
def test_no_matter_what_display_names_say_the_addresses_are_found(
    people: list[tuple[str, str, str]], field: str, make: Callable[[bytes], Sendable]
) -> None:
    entries, wanted = [], ["a@b.cd"] if "a@b.cd" in field else []
    for name, local_part, domain in people:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        entries.append(f'"{quoted}" <{local_part}@{domain}>')
        wanted.append(f"{local_part}@{domain}")
    source = f"From: {ALICE}\r\nTo: {field % ', '.join(entries)}\r\n\r\nx\r\n"
    assert envelope(make(source.encode()))[1] == list(dict.fromkeys(wanted))


PIECES = st.sampled_from(
    [
        *'ab@<>,;:"()\\[]. \t',
        *("x.test", "bob@example.test", "G:"),
        *("=?", "?=", "=?utf-8?q?a=40b?=", "=?utf-8?q?=0Ax?="),
        *("ü", "\udcff", "\x00", "\x85", "\r\n ", "\n"),
    ]
)


def assigned(value: str) -> Message:
    message = Message()
    message["From"] = ALICE
    message["To"] = value
    return message


def parsed(value: str) -> Message:
    source = f"From: {ALICE}\r\nTo: {value}\r\n\r\nx\r\n"
    return message_from_bytes(source.encode("utf-8", "surrogateescape"))


@example(value="a@ü", make=assigned)
@given(
    value=st.lists(PIECES, max_size=8).map("".join),
    make=st.sampled_from([assigned, parsed]),
)
def test_no_matter_what_stands_in_a_field_it_is_read_or_refused(
    value: str, make: Callable[[str], Message]
) -> None:
    try:
        _, recipients = envelope(make(value))
    except InvalidInput:
        return
    assert recipients
    for recipient in recipients:
        local_part, _, domain = recipient.rpartition("@")
        assert domain in value or domain.encode("ascii").decode("idna") in value
        assert local_part.strip('"').replace("\\", "") in value.replace("\\", "")
