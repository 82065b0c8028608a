"""Messages made of addresses, texts and files: their trees, and nothing is lost."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from pathlib import Path
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from esmtp_async import InvalidInput, compose

from .prepared import EIGHT_BIT, SEVEN_BIT, octets

ALICE: Final = "alice@example.org"
BOB: Final = "bob@example.org"
INVITATION: Final = (
    "BEGIN:VCALENDAR\r\nPRODID:-//example.org//EN\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\n"
    "BEGIN:VEVENT\r\nUID:1@example.org\r\nSUMMARY:Grüße\r\nEND:VEVENT\r\n"
    "END:VCALENDAR\r\n"
)
LOGO: Final = ("logo.png", b"\x89PNG\r\n\x1a\n\0")
PAGE: Final = '<p>Hello <img src="cid:logo"></p>\n'

#: Everything but what no text may hold.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
#: What may stand in a header field.
lines = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]))
awkward = st.text(st.sampled_from("ab ,\"\\é日<>@;:()[].=?_%'*"), max_size=99)


def parsed(message: Message) -> list[EmailMessage]:
    """Give a message as it arrives: as anybody sends it, and as we do in both forms."""
    sources = [message.as_bytes(policy=policy.SMTP)]
    sources += [octets(message, extensions) for extensions in (EIGHT_BIT, SEVEN_BIT)]
    assert sources[-1].isascii()
    for source in sources:
        assert max(map(len, source.split(b"\r\n"))) <= 998
        assert source.replace(b"\r\n", b"").count(b"\n") == 0
    return [message_from_bytes(source, policy=policy.default) for source in sources]


def tree(part: Message) -> object:
    """Give the content types: that of a leaf, or of what holds parts, and theirs."""
    inner = part.get_payload()
    if not isinstance(inner, list):
        return part.get_content_type()
    parts = [tree(each) for each in inner if isinstance(each, Message)]
    return (part.get_content_type(), *parts)


def refused(**arguments: object) -> str:
    """See that arguments are refused, and give the reason."""
    full = {"sender": ALICE, "to": BOB, "subject": "x"} | arguments
    with pytest.raises(InvalidInput) as info:
        compose(**full)  # type: ignore[arg-type]  # wrong on purpose
    assert len(str(info.value)) < 300
    return str(info.value)


# The tree


PLAIN, HTML, ICS = "text/plain", "text/html", "text/calendar"
RELATED: Final = ("multipart/related", HTML, "image/png")


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("", PLAIN),
        ("t", PLAIN),
        ("h", HTML),
        ("c", ("multipart/mixed", ICS, "application/ics")),
        ("th", ("multipart/alternative", PLAIN, HTML)),
        ("hi", RELATED),
        ("thi", ("multipart/alternative", PLAIN, RELATED)),
        ("a", ("multipart/mixed", "application/pdf")),
        ("ta", ("multipart/mixed", PLAIN, "application/pdf")),
        ("ha", ("multipart/mixed", HTML, "application/pdf")),
        (
            "tha",
            (
                "multipart/mixed",
                ("multipart/alternative", PLAIN, HTML),
                "application/pdf",
            ),
        ),
        ("hia", ("multipart/mixed", RELATED, "application/pdf")),
        (
            "tc",
            (
                "multipart/mixed",
                ("multipart/alternative", PLAIN, ICS),
                "application/ics",
            ),
        ),
        (
            "thiac",
            (
                "multipart/mixed",
                ("multipart/alternative", PLAIN, RELATED, ICS),
                "application/pdf",
                "application/ics",
            ),
        ),
    ],
)
def test_the_tree_has_no_needless_level(given_: str, expected: object) -> None:
    arguments: dict[str, object] = {
        "t": {"text": "Hello\n"},
        "h": {"html": PAGE if "i" in given_ else "<p>Hello</p>"},
        "i": {"inline": {"logo": LOGO}},
        "a": {"attachments": [("invoice.pdf", b"%PDF")]},
        "c": {"calendar": INVITATION},
    }
    chosen: dict[str, object] = {}
    for letter in given_:
        part = arguments[letter]
        assert isinstance(part, dict)
        chosen |= part
    message = compose(ALICE, BOB, "x", **chosen)  # type: ignore[arg-type]  # by letters
    assert isinstance(message, EmailMessage)
    for each in [message, *parsed(message)]:
        assert tree(each) == expected
        assert each["MIME-Version"] == "1.0"
        assert [defect for part in each.walk() for defect in part.defects] == []


def test_a_plain_message_is_this() -> None:
    message = compose(f"Alice <{ALICE}>", BOB, "Hello", text="one\ntwo")
    assert message.as_bytes() == (
        b"From: Alice <alice@example.org>\r\nTo: bob@example.org\r\nSubject: Hello\r\n"
        b'MIME-Version: 1.0\r\nContent-Type: text/plain; charset="utf-8"\r\n'
        b"Content-Transfer-Encoding: 7bit\r\n\r\none\r\ntwo\r\n"
    )


def test_the_root_of_what_is_related_is_told() -> None:
    message = compose(ALICE, BOB, "x", html=PAGE, inline={"logo": LOGO})
    assert message["Content-Type"].params["type"] == "text/html"
    page, logo = message.iter_parts()
    assert (
        page.get_content() == PAGE.replace("\n", "\r\n") or page.get_content() == PAGE
    )
    assert logo["Content-ID"] == "<logo>"
    assert logo.get_content_disposition() == "inline"
    assert logo.get_filename() == "logo.png"
    assert logo.get_payload(decode=True) == LOGO[1]


def test_an_invitation_has_its_method_and_is_a_file_too() -> None:
    for calendar in (INVITATION, INVITATION.encode()):
        message = compose(ALICE, BOB, "x", text="Come", calendar=calendar)
        for each in parsed(message):
            body, file = each.iter_parts()
            _, part = body.iter_parts()
            assert part["Content-Type"].params == {
                "charset": "utf-8",
                "method": "REQUEST",
            }
            assert part.get_content() == INVITATION.replace("\r\n", part_end(part))
            assert not part.is_attachment()
            assert file.get_filename() == "invite.ics"
            assert file.get_payload(decode=True) == INVITATION.encode()


def part_end(part: Message) -> str:
    """Give the line end that the parser leaves in a text."""
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return "\r\n" if b"\r\n" in content else "\n"


@pytest.mark.parametrize(
    ("source", "method"),
    [
        ("begin:vcalendar\nmethod:cancel\nbegin:vevent\nend:vevent", "CANCEL"),
        ("BEGIN:VCALENDAR\rMETHOD;X-A=b:REPLY\rBEGIN:VEVENT", "REPLY"),
        ("BEGIN:VCALENDAR\r\nMET\r\n HOD:COUN\r\n\tTER\r\nBEGIN:VTODO", "COUNTER"),
    ],
)
def test_the_method_is_read(source: str, method: str) -> None:
    message = compose(ALICE, BOB, "x", calendar=source)
    part, _ = message.iter_parts()
    assert part.get_param("method") == method


@pytest.mark.parametrize(
    "source",
    [
        "",
        "METHOD:REQUEST\nBEGIN:VEVENT",
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nMETHOD:REQUEST\nEND:VEVENT",
        "BEGIN:VCALENDAR\nMETHOD:A\nMETHOD:B\nBEGIN:VEVENT",
        "BEGIN:VCALENDAR\nMETHOD:A;charset=x\nBEGIN:VEVENT",
        "BEGIN:VCALENDAR\nX-METHOD:A\nBEGIN:VEVENT",
        "x\nBEGIN:VCALENDAR\nMETHOD:A\nBEGIN:VEVENT",
    ],
)
def test_an_object_without_a_method_is_no_invitation(source: str) -> None:
    assert refused(calendar=source).startswith("calendar is not an iCalendar object")


def test_calendars_that_are_no_text() -> None:
    assert refused(calendar=b"BEGIN\xff") == "calendar is not UTF-8 at octet 5"
    assert refused(calendar=5) == "calendar is of type int, not str or bytes"


# Texts


@given(texts, texts)
@example("a\rb\nc\r\nd\n\re", "\n")
@example("x" * 5000, "ü" * 2000)
@example(".\nFrom me\n..\n", " \t\n =20")
@example("", "")
@settings(max_examples=30)
def test_texts_arrive_as_they_were(text: str, html: str) -> None:
    message = compose(ALICE, BOB, "x", text=text, html=html)
    for each in parsed(message):
        for part, source in zip(each.iter_parts(), (text, html), strict=True):
            assert isinstance(part, EmailMessage)
            assert ended(part.get_content()) == ended(source)
    for each in parsed(compose(ALICE, BOB, "x", text=text)):
        assert ended(each.get_content()) == ended(text)


def ended(text: str) -> str:
    """Give a text with LF at the end of each line, the last one too."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else f"{text}\n"


@pytest.mark.parametrize("argument", ["text", "html"])
def test_what_no_text_may_hold(argument: str) -> None:
    told = refused(**{argument: "ab\0"})
    assert told == f"{argument} holds a NUL at character 2"
    told = refused(**{argument: "a\ud800"})
    assert told == f"{argument} holds a lone surrogate at character 1"
    assert refused(**{argument: b"x"}) == f"{argument} is of type bytes, not str"


# Files


names = lines.filter(str.strip) | awkward.filter(str.strip)


@given(st.binary(max_size=300), names, names)
@example(b"\r\n.\r\n\0\xff", "größe.pdf", "a  b.txt")
@example(b"", "x" * 250 + ".pdf", "日" * 90)
@example(b"x", 'a"b\\c;d=.txt', "=?utf-8?q?x?=")
@example(b"x", "utf-8''a%20b", "../é")
@settings(max_examples=30)
def test_files_arrive_as_they_were(content: bytes, name: str, other: str) -> None:
    message = compose(
        ALICE,
        BOB,
        "x",
        html=PAGE,
        attachments=[(name, content), (other, content, "application/x-thing")],
        inline={"logo": (name, content, "image/png")},
    )
    for each in [message, *parsed(message)]:
        related, *files = each.iter_parts()
        for part, expected in zip(
            [*related.iter_parts()][1:] + files, (name, name, other), strict=True
        ):
            assert part["Content-Disposition"].params["filename"] == expected
            assert part.get_payload(decode=True) == content
            assert part.is_attachment() == (part in files)


def test_a_path_is_read_at_the_call(tmp_path: Path) -> None:
    path = tmp_path / "größe.txt"
    path.write_bytes("Grüße\n".encode())
    message = compose(ALICE, BOB, "x", attachments=[path])
    path.unlink()
    (part,) = message.iter_attachments()
    assert part.get_filename() == "größe.txt"
    assert part["Content-Type"] == 'text/plain; charset="utf-8"'
    assert part.get_payload(decode=True) == "Grüße\n".encode()
    with pytest.raises(FileNotFoundError) as info:
        compose(ALICE, BOB, "x", attachments=[LOGO, path])
    assert info.value.__notes__ == ["It was read for attachments[1]."]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.pdf", b"x", "application/pdf"),
        ("a.PNG", b"x", "image/png"),
        ("a.txt", b"x", 'text/plain; charset="utf-8"'),
        ("a.txt", b"\xff\xfe", "application/octet-stream"),
        ("a.csv", "é".encode("latin-1"), "application/octet-stream"),
        ("a.html", "é".encode(), 'text/html; charset="utf-8"'),
        ("a", b"x", "application/octet-stream"),
        ("a.nothing-known", b"x", "application/octet-stream"),
        ("a.eml", b"x", "application/octet-stream"),
        ("a.tar.gz", b"x", "application/gzip"),
        ("a.txt.bz2", b"x", "application/x-bzip2"),
        ("a.txt.xz", b"x", "application/x-xz"),
        ("a.txt.Z", b"x", "application/octet-stream"),
        ("data:text/html,x.pdf", b"x", "application/pdf"),
    ],
)
def test_types_are_guessed(name: str, content: bytes, expected: str) -> None:
    (part,) = compose(ALICE, BOB, "x", attachments=[(name, content)]).iter_parts()
    assert part["Content-Type"] == expected


@pytest.mark.parametrize(
    ("told", "content", "expected"),
    [
        ("application/x-a", b"x", "application/x-a"),
        ("text/csv", "é".encode(), 'text/csv; charset="utf-8"'),
        ("text/csv", b"\xff", "text/csv"),
        ("text/csv; charset=latin-1", b"\xff", 'text/csv; charset="latin-1"'),
        (
            "text/csv; header=present",
            b"x",
            'text/csv; header="present"; charset="utf-8"',
        ),
    ],
)
def test_types_that_are_told(told: str, content: bytes, expected: str) -> None:
    message = compose(ALICE, BOB, "x", attachments=[("a.pdf", content, told)])
    (part,) = message.iter_parts()
    assert part["Content-Type"] == expected


@pytest.mark.parametrize(
    "told",
    ["", "x", "a/b/c", "a /b", "text/csv; x", "a/b c", "é/a", "/", "a/b;\tx=é\x7f"],
)
def test_types_that_are_none(told: str) -> None:
    assert "the type of attachments[0]" in refused(attachments=[("a", b"", told)])


def test_types_of_what_is_no_file() -> None:
    for told in ("message/rfc822", "Multipart/Mixed"):
        assert "no file's" in refused(attachments=[LOGO, ("a", b"", told)])


def test_a_message_is_attached_as_it_is() -> None:
    inner = compose(BOB, ALICE, "Grüße", text="Grüße " * 50, bcc="carol@example.org")
    inner["X-Long"] = "y" * 300
    message = compose(ALICE, BOB, "Fwd", text="See below", attachments=[inner])
    for each in parsed(message):
        (part,) = each.iter_attachments()
        assert part.get_content_type() == "message/rfc822"
        forwarded = part.get_content()
        assert forwarded["Subject"] == "Grüße"
        assert forwarded["X-Long"] == "y" * 300
        assert ended(forwarded.get_content()) == "Grüße " * 50 + "\n"


def test_a_message_that_was_parsed_is_attached_too() -> None:
    inner = message_from_bytes(b"Subject: x\r\n\r\ntext\r\n")
    message = compose(ALICE, BOB, "Fwd", attachments=[inner])
    assert tree(message) == ("multipart/mixed", ("message/rfc822", PLAIN))


@pytest.mark.parametrize(
    ("attachment", "told"),
    [
        ("invoice.pdf", "attachments[0] is of type str"),
        (b"x", "attachments[0] is of type bytes"),
        (("a",), "attachments[0] is of type tuple"),
        (("a", b"", "a/b", "c"), "attachments[0] is of type tuple"),
        (("a", "text"), "the content of attachments[0] is of type str"),
        ((5, b""), "the name of attachments[0] is of type int"),
        (("", b""), "the name of attachments[0] is empty"),
        ((" ", b""), "the name of attachments[0] is empty"),
        (("a\nb", b""), "the name of attachments[0] holds '\\n'"),
        (("a\ud800", b""), "the name of attachments[0] holds a lone surrogate"),
        (("a", b"", None), "the type of attachments[0] is of type NoneType"),
        (("a", b"", "a/b\r\nBcc: x"), "the type of attachments[0] holds '\\r'"),
    ],
)
def test_what_is_no_file(attachment: object, told: str) -> None:
    assert refused(attachments=[attachment]).startswith(told)
    inline = told.replace("attachments[0]", "inline['logo']")
    assert refused(html=PAGE, inline={"logo": attachment}).startswith(inline)


def test_arguments_that_are_no_lists() -> None:
    for argument in ("attachments", "cc", "headers", "list_unsubscribe"):
        told = refused(**{argument: 5})
        assert told == f"{argument} is of type int, not several in a list"
    assert refused(attachments="a.pdf").startswith("attachments is of type str")
    assert refused(inline=[LOGO]).startswith("inline is of type list")


# What HTML shows


@pytest.mark.parametrize(
    "html",
    [
        '<img src="cid:logo">',
        "<IMG SRC=CID:logo>",
        "<img src=' cid:l%6Fgo '>",
        '<td background="cid:logo"/>',
        "<p style=\"background: url( 'cid:logo' )\">",
        '<p style="background: url(&quot;cid:logo&quot;)">',
        "<style>p { background: url(cid:logo) }</style>",
        '<!--[if mso]><v:fill src="cid:logo"/><![endif]-->',
    ],
)
def test_what_html_refers_to_must_be_there(html: str) -> None:
    assert refused(html=html) == "html refers to 'logo', which is not in inline"
    told = refused(html=html, inline={"logo2": LOGO})
    assert told == "html refers to 'logo', which is not in inline"
    message = compose(ALICE, BOB, "x", html=html, inline={"logo": LOGO})
    assert tree(message) == RELATED


@pytest.mark.parametrize(
    "html",
    [
        "<p>cid:logo, (cid:logo), url(cid:logo)</p>",
        '<code>&lt;img src="cid:logo"&gt;</code>',
        '<!-- <img src="cid:logo"> -->',
        '<img alt="the cid:logo">',
        "<style></style>url(cid:logo)",
        '<![nonsense[ cid:logo ]]> <img src="cid:logo">',
        "<a name>cid:</a>",
    ],
)
def test_what_html_only_speaks_of_need_not_be_there(html: str) -> None:
    assert tree(compose(ALICE, BOB, "x", html=html)) == HTML


def test_content_ids() -> None:
    html = '<img src="cid:logo@example.org">'
    message = compose(ALICE, BOB, "x", html=html, inline={"logo@example.org": LOGO})
    for each in parsed(message):
        _, logo = each.iter_parts()
        assert logo["Content-ID"] == "<logo@example.org>"
    for name in ("a b", "a>", "", "a@b@c", "é", "x" * 201, "a\nb"):
        assert refused(html=PAGE, inline={"logo": LOGO, name: LOGO}).startswith(
            "inline['"
        )
    assert refused(html=PAGE, inline={"logo": LOGO, 5: LOGO}).startswith("inline[5]")
    told = refused(text="x", inline={"logo": LOGO})
    assert told == "inline has files, but there is no html to show them"
