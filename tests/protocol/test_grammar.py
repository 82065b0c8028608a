"""Addresses of the envelope against the grammar (RFC 5321 §4.1.2, §4.1.3, RFC 6531)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from esmtp_async.protocol import ForwardPath, Mail, Mailbox, Rcpt, ReversePath
from esmtp_async.protocol._addresses import address_literal, domain_name
from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.protocol._grammar import xtext

CONTROLS = [chr(point) for point in (*range(33), 127)]
BEYOND = ["\x80", "\x85", "\x9f", "\u2028", "\u2029", "\ud800", "\udfff", "\udc0a"]
READERS: list[Callable[[str], object]] = [
    Mailbox.parse,
    ReversePath.parse,
    ForwardPath.parse,
    Mail,
    Rcpt,
]

GOOD = [
    "alice@example.test",
    "a@b",
    "a.b.c@example.test",
    "!#$%&'*+-/=?^_`{|}~@example.test",
    '""@example.test',
    '"a b"@example.test',
    '"a@b"@example.test',
    '"a> x"@example.test',
    '"x@evil"@example.test',
    r'"a\"b\\c\ d"@example.test',
    '"a..b."@example.test',
    "a@1.2.3",
    "a@[192.0.2.1]",
    "a@[IPv6:2001:db8::1]",
    "a@[ipv6:2001:DB8::1]",
    "a@[IPv6:::ffff:192.0.2.1]",
    "a@[X-tag:any~thing!]",
    "jürgen@example.test",
    "嘍嘊@example.test",
    '"ü b"@example.test',
    "a@" + ".".join(["d" * 63] * 3),
]

BAD = [
    "",
    "a",
    "@",
    "a@",
    "@b",
    "a@@b",
    "a@b@c",
    ".a@b",
    "a.@b",
    "a..b@c",
    "a b@c",
    "(a)b@c",
    "a,b@c",
    "a;b@c",
    "a:b@c",
    "a<b@c",
    "a\\b@c",
    '"a@b',
    'a"b"@c',
    '"a"b@c',
    '"a"b"@c',
    '"a\\"@c',
    "a@b..c",
    "a@.b",
    "a@b.",
    "a@-b",
    "a@b-",
    "a@b_c",
    "a@" + "d" * 64,
    "a@[192.0.2]",
    "a@[192.0.2.256]",
    "a@[192.0.2.01]",
    "a@[192.0.2.1",
    "a@192.0.2.1]",
    "a@[]",
    "a@[:x]",
    "a@[x-:y]",
    "a@[x:]",
    "a@[x:y]z]",
    "a@[x:y\\z]",
    # In the grammar, but to some reader the end of the path.
    "a@[x:y>z]",
    "a@[x:y<z]",
    # RFC 5321 §4.1.3: a general literal has a registered tag, and this one's
    # literals have a form of their own.
    "a@[IPv6:]",
    "a@[IPv6:1:2]",
    "a@[IPv6:zzz]",
    "a@[IPv6:fe80::1%eth0]",
    "a@[ipv6:not-an-address]",
]


def refuses(text: str) -> None:
    """Check that nobody takes the text, and that no error repeats its controls."""
    for reader in READERS:
        if not text and reader in (ReversePath.parse, Mail):
            continue  # the null reverse-path
        with pytest.raises(InvalidInput) as caught:
            reader(text)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", GOOD)
def test_I4_a_mailbox_is_sent_as_it_was_given(text: str) -> None:
    mailbox = Mailbox.parse(text)
    assert mailbox.wire == str(mailbox).encode() == text.encode()
    assert Mail(text).wire == f"MAIL FROM:<{text}>\r\n".encode()
    assert Rcpt(text).wire == f"RCPT TO:<{text}>\r\n".encode()
    assert mailbox.local_part == text.rpartition("@")[0]
    assert mailbox.domain == text.rpartition("@")[2]


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_mailbox_is_refused(text: str) -> None:
    refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "a@ex.test>\r\nRCPT TO:<evil@x.test",
        "a@ex.test\r\nRCPT TO:<evil@x.test>",
        '"a\r\nRCPT TO:<evil@x.test>"@ex.test',
        "a@[x:y\r\nRSET]",
    ],
)
def test_I1_no_address_begins_another_command(text: str) -> None:
    refuses(text)


@pytest.mark.parametrize("bad", [*CONTROLS, *BEYOND])
def test_I2_no_control_is_part_of_an_address(bad: str) -> None:
    for text in (
        f"a{bad}b@example.test",
        f"{bad}a@example.test",
        f"a{bad}@example.test",
        f"a@exam{bad}ple.test",
        f"a@example.test{bad}",
        f"a@{bad}example.test",
        f"a@[x:y{bad}z]",
        f'"a\\{bad}b"@example.test',
        f'"a{bad}b"@example.test',
    ):
        if bad != " " or '"' not in text:
            refuses(text)


@pytest.mark.parametrize("local_part", ["", "a b", "a\r\n", "a@b", ".a", '"', "<a"])
def test_I2_a_mailbox_made_of_its_halves_is_checked_too(local_part: str) -> None:
    with pytest.raises(InvalidInput, match="is not a local part"):
        Mailbox(local_part, "example.test")
    for domain in ("", "x y", "x\r\n", "a@b", "[x", "x>"):
        with pytest.raises(InvalidInput):
            Mailbox("a", domain)


def test_I2_no_character_is_cut_down_to_a_control() -> None:
    """U+560D and U+560A end in the octets of CR and LF (CVE-2025-7962)."""
    assert (
        Rcpt("a嘍嘊@x.test").wire == b"RCPT TO:<a\xe5\x98\x8d\xe5\x98\x8a@x.test>\r\n"
    )
    assert Mailbox.parse("a嘍嘊@x.test").needs_smtputf8


@pytest.mark.parametrize(
    "text", ["a@x> NOTIFY=NEVER", "a@x NOTIFY=NEVER", "<a@x> NOTIFY=NEVER", "a@x>"]
)
def test_I3_no_address_brings_parameters(text: str) -> None:
    refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "a@x,b@x",
        "a@x, b@x",
        "a@x b@x",
        "a@x;b@x",
        "A <a@x>",
        "<a@x>",
        "a@x (A)",
        " a@x",
    ],
)
def test_I5_an_address_is_one_address(text: str) -> None:
    refuses(text)


def test_B9_an_international_domain_becomes_a_labels() -> None:
    for text in ("u@münchen.test", "u@MÜNCHEN.test", "u@münchen。test"):
        mailbox = Mailbox.parse(text)
        assert mailbox.wire == b"u@xn--mnchen-3ya.test"
        assert not mailbox.needs_smtputf8
    assert Mailbox("ü", "ü.test").wire == "ü@xn--tda.test".encode()


@pytest.mark.parametrize(
    "domain",
    ["ü..test", "ü.test.", "xn--ü.test", "\xad", "。", "ü" * 60, "a\u200d.test"],
)
def test_what_is_no_international_domain_is_refused(domain: str) -> None:
    with pytest.raises(InvalidInput):
        domain_name(domain)


@pytest.mark.parametrize(
    "sign", "\xad\u200b\u2060\ufeff\ufe0f①ⅷﬁ\u017f℀\uff05\uff20\uff0f⒈ᴬ\u202e"
)
def test_B9_no_name_is_made_of_what_stands_for_other_letters_or_nothing(
    sign: str,
) -> None:
    """UTS 46 would make `example.test` of some of these."""
    for domain in (f"exam{sign}ple.test", f"example.test{sign}", f"ü{sign}.test"):
        with pytest.raises(InvalidInput):
            domain_name(domain)


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        ("\uff25\uff38\uff0e\uff54", "ex.t"),  # case and width (RFC 5895 §2)
        ("ｶﾞ.test", "xn--mck.test"),
        ("u\u0308.test", "xn--tda.test"),
        ("ẞ.test", "xn--zca.test"),
        ("İ.test", "xn--i-9bb.test"),
        ("x.ΟΣ", "x.xn--0xai"),  # not the final sigma, which is another letter
    ],
)
def test_B9_case_width_and_normal_form_are_no_difference(
    domain: str, name: str
) -> None:
    assert domain_name(domain) == name


def test_a_domain_that_is_too_long_takes_no_time() -> None:
    begun = time.process_time()
    with pytest.raises(InvalidInput):
        domain_name("a" + "\u0301\u0327" * 50_000)  # normalised in quadratic time
    assert time.process_time() - begun < 1


def test_a_domain_has_at_most_255_octets_and_a_path_256() -> None:
    longest = ".".join(["d" * 63] * 4)
    assert len(longest) == 255
    assert domain_name(longest) == longest
    with pytest.raises(InvalidInput, match="not a domain name"):
        domain_name("d." + longest)
    general = "[x:" + "y" * 251 + "]"
    assert address_literal(general) == general
    with pytest.raises(InvalidInput, match="not an address literal"):
        address_literal("[x:y" + "y" * 251 + "]")
    for local_part in ("l" * 246, "ü" * 123):
        assert len(ForwardPath.parse(f"{local_part}@test.ab").wire) == 256
    for local_part in ("l" * 247, "ü" * 123 + "l"):
        with pytest.raises(InvalidInput, match="longer than a path may be"):
            Mailbox(local_part, "test.ab")


def test_the_null_path_sends_nothing_back() -> None:
    path = ReversePath.parse("")
    assert path == ReversePath(None)
    assert path.wire == b"<>"
    assert not path.needs_smtputf8
    assert ReversePath.parse("a@b").wire == b"<a@b>"
    assert ReversePath.parse("ü@b").needs_smtputf8
    assert not ReversePath.parse("a@b").needs_smtputf8


def test_the_postmaster_needs_no_domain() -> None:
    for text in ("Postmaster", "postmaster", "POSTMASTER"):
        path = ForwardPath.parse(text)
        assert path == ForwardPath(None)
        assert path.wire == b"<Postmaster>"
        assert not path.needs_smtputf8
        assert path.identity == ForwardPath(None).identity
    assert ForwardPath.parse("postmaster@b").wire == b"<postmaster@b>"
    assert ForwardPath.parse("postmaster@b").identity != ForwardPath(None).identity
    assert ForwardPath.parse("ü@b").needs_smtputf8
    with pytest.raises(InvalidInput):
        ReversePath.parse("postmaster")


def test_domains_have_no_case_and_local_parts_have_one() -> None:
    path = ForwardPath.parse("Bob@EXAMPLE.test")
    assert path.wire == b"<Bob@EXAMPLE.test>"
    assert path.identity == ForwardPath.parse("Bob@example.TEST").identity
    assert path.identity != ForwardPath.parse("bob@example.test").identity
    assert path.identity != ForwardPath.parse("Bob@example2.test").identity


ATEXT = st.sampled_from("abzAZ09!#$%&'*+-/=?^_`{|}~üЖ京")
DOT_STRINGS = st.lists(st.text(ATEXT, min_size=1, max_size=9), min_size=1, max_size=3)
QTEXT = st.sampled_from(
    [*" !#$()<>@,;:.[]^~aü", *(f"\\{chr(i)}" for i in range(32, 127))]
)
LOCAL_PARTS = DOT_STRINGS.map(".".join) | st.lists(QTEXT, max_size=9).map(
    lambda characters: f'"{"".join(characters)}"'
)
LABELS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,9}[A-Za-z0-9])?", fullmatch=True)
DOMAINS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)


@given(LOCAL_PARTS, DOMAINS | st.ip_addresses(v=4).map("[{}]".format))
def test_every_mailbox_of_the_grammar_is_taken(local_part: str, domain: str) -> None:
    """No matter which mailbox of the grammar it is, it goes out octet by octet."""
    mailbox = Mailbox.parse(f"{local_part}@{domain}")
    assert (mailbox.local_part, mailbox.domain) == (local_part, domain)
    assert Mailbox.parse(str(mailbox)) == mailbox


@given(st.ip_addresses(v=6))
def test_every_ipv6_address_makes_a_literal(address: object) -> None:
    assert address_literal(f"[IPv6:{address}]") == f"[IPv6:{address}]"


@given(st.text() | st.text(st.sampled_from('a."\\ @<>[]:\r\n\0ü\x85\ud800-')))
@example("a@b")
@example('"\\"@"@[x:y]')
def test_I2_whatever_is_taken_stays_within_its_brackets(text: str) -> None:
    """No matter what text is given, what is taken is one line and one path."""
    try:
        line = str(Rcpt(text))
    except InvalidInput as error:
        line, taken = str(error), False
    else:
        taken = True
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", line)
    if taken:
        assert line.startswith("RCPT TO:<")
        path = line[9:-1]
        unquoted = re.sub(r'"(\\.|[^"\\])*"', "", path)
        assert not set(unquoted) & set(" <>()")
        assert Rcpt(path).wire == f"{line}\r\n".encode()


@given(st.text(st.characters(max_codepoint=127)))
@example("a+b=c d\r\n\0~\x7f")
def test_I7_xtext_holds_any_ascii_text(text: str) -> None:
    """No matter what the text is, it becomes xchars and can be read back."""
    encoded = xtext(text)
    assert re.fullmatch(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*", encoded)
    assert re.sub(r"\+(..)", lambda match: chr(int(match[1], 16)), encoded) == text


def test_xtext_is_ascii_whatever_the_text() -> None:
    assert xtext("a+b=c d") == "a+2Bb+3Dc+20d"
    assert xtext("ü") == "+C3+BC"
