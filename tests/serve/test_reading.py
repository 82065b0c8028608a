"""What a message says, whatever program wrote it."""

from __future__ import annotations

import base64

import pytest

from esmtp_async._serve._reading import (
    inert,
    read,
    read_fields,
    safe_name,
    with_pictures,
)
from tests.serve.served import PNG, letter, newsletter


def octets(*lines: str) -> bytes:
    return "\r\n".join(lines).encode()


def test_a_plain_message() -> None:
    reading = read(letter("Grüße", "Hällo.\n").as_bytes())
    assert reading.field("subject") == "Grüße"
    assert reading.field("FROM") == "Ada <a@example.test>"
    assert (reading.text, reading.html) == ("Hällo.\n", None)
    assert reading.attachments == ()
    assert reading.problem is None


def test_a_message_with_everything() -> None:
    reading = read(newsletter().as_bytes())
    assert reading.text is not None
    assert reading.text.startswith("Your coffee")
    assert reading.html is not None
    assert "Good morning, Zoë" in reading.html
    told = [(each.name, each.type, each.octets) for each in reading.attachments]
    assert told == [
        ("logo.png", "image/png", PNG),
        ("Rechnung Größe 7.pdf", "application/pdf", b"%PDF-1.7\n%%EOF\n"),
        ("passwd.csv", "text/csv", b"7;8\n"),
    ]
    assert reading.attachments[0].content_id == "logo@mill.example"


def test_a_picture_by_content_id_is_put_in() -> None:
    reading = read(newsletter().as_bytes())
    assert reading.html is not None
    html = with_pictures(reading.html, reading.attachments)
    assert f'src="data:image/png;base64,{base64.b64encode(PNG).decode()}"' in html
    assert "cid:" not in html


@pytest.mark.parametrize(
    ("html", "is_put_in"),
    [
        ('<img src="cid:logo@mill.example">', True),
        ("<img src=cid:logo@mill.example>", True),
        ("<img src='CID:logo%40mill.example'>", True),
        ("<p style='background:url(cid:logo@mill.example)'>", True),
        ("the text cid:logo@mill.example", False),
        ('<img src="cid:nothing">', False),
    ],
)
def test_where_a_picture_is_put_in(html: str, is_put_in: bool) -> None:  # noqa: FBT001
    attachments = read(newsletter().as_bytes()).attachments
    shown = with_pictures(html, attachments)
    assert ("data:image/png" in shown) is is_put_in
    assert (shown == html) is not is_put_in


@pytest.mark.parametrize(
    ("html", "made_inert"),
    [
        ("<link rel=preconnect href=x>", "<x-link rel=preconnect href=x>"),
        ("<IFRAME src=x></iFrame>", "<x-IFRAME src=x></x-iFrame>"),
        ("<base/href=x>", "<x-base/href=x>"),
        ("<meta\n>", "<x-meta\n>"),
        ("a < link <linked> <p>", "a < link <linked> <p>"),
    ],
)
def test_tags_that_call_elsewhere(html: str, made_inert: str) -> None:
    assert inert(html) == made_inert


def test_what_is_no_picture_is_not_put_in() -> None:
    message = octets(
        "Content-Type: multipart/related; boundary=x",
        "",
        "--x",
        "Content-Type: text/html",
        "",
        '<img src="cid:a">',
        "--x",
        "Content-Type: image/svg+xml",
        "Content-ID: <a>",
        "",
        "<svg/>",
        "--x--",
    )
    reading = read(message)
    assert reading.html is not None
    assert with_pictures(reading.html, reading.attachments) == reading.html


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?utf-8?b?R3LDvA==?=\r\n =?utf-8?q?=C3=9Fe?=", "Grüße"),
        ("raw ü", "raw ü"),
        ("folded\r\n\tline", "folded\tline"),
        ("=?x-unknown?q?abc?=", "=?x-unknown?q?abc?="),
        ("=?utf-8?b?!!!?=", "=?utf-8?b?!!!?="),
        ("=?utf-8?q?=ff?=", "=?utf-8?q?=ff?="),
    ],
)
def test_fields_are_decoded(raw: str, shown: str) -> None:
    [field] = read_fields(f"Subject: {raw}\r\n\r\n".encode())
    assert field == ("Subject", shown)


def test_octets_that_are_no_text_are_shown_as_such() -> None:
    assert read_fields(b"Subject: \xe9\xff\r\n\r\n") == (("Subject", "\ufffd\ufffd"),)


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        ("iso-8859-1", b"\xe9", "é"),
        ("windows-1252", b"\x80", "€"),
        ("utf-8", b"\xc3\xa9", "é"),
        ("utf-8", b"\xff", "\ufffd"),
        ("windows-99999", b"\xc3\xa9", "é"),
        ("nonsense", b"\xc3\xa9", "é"),
        ("unicode_escape", b"\\u00e9", "\\u00e9"),
    ],
)
def test_the_charset_of_a_body(charset: str, body: bytes, text: str) -> None:
    header = f"Content-Type: text/plain; charset={charset}\r\n\r\n".encode()
    assert read(header + body).text == text


def test_a_text_that_is_attached_is_no_body() -> None:
    message = octets(
        "Content-Type: multipart/mixed; boundary=x",
        "",
        "--x",
        "Content-Disposition: attachment",
        "",
        "a file",
        "--x",
        "Content-Type: text/plain; name=notes.txt",
        "",
        "another",
        "--x",
        "",
        "the body",
        "--x",
        "",
        "more",
        "--x--",
    )
    reading = read(message)
    assert reading.text == "the body"
    assert [(each.name, each.octets) for each in reading.attachments] == [
        ("part-0.txt", b"a file"),
        ("notes.txt", b"another"),
        ("part-3.txt", b"more"),
    ]


def test_a_message_in_a_message_is_a_file() -> None:
    inner = b"Subject: inner\r\n\r\nHello.\r\n"
    message = octets(
        "Content-Type: multipart/mixed; boundary=x",
        "",
        "--x",
        "Content-Type: message/rfc822",
        "",
    )
    reading = read(message + b"\r\n" + inner + b"\r\n--x--\r\n")
    [file] = reading.attachments
    assert (file.name, file.type) == ("part-0.eml", "message/rfc822")
    assert b"Subject: inner" in file.octets
    assert b"Hello." in file.octets
    assert reading.text is None


def test_what_nests_too_deep_is_shown_as_source_alone() -> None:
    parts = "".join(
        f"Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"
        for n in range(3000)
    )
    reading = read(f"Subject: deep\r\n{parts}".encode())
    assert reading.field("Subject") == "deep"
    assert reading.text is None
    assert reading.problem is None or "Recursion" in reading.problem


@pytest.mark.parametrize(
    "message", [b"", b"\r\n", b"no header at all", b":\r\n\r\n", b"\0\xff" * 50]
)
def test_anything_can_be_read(message: bytes) -> None:
    assert read(message).problem is None


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\x.exe", "x.exe"),
        ("..", ""),
        (" .hidden ", "hidden"),
        ("a\r\nSet-Cookie: x", "a_Set-Cookie_ x"),
        ('say "hi".txt', "say _hi_.txt"),
        ("gpj\u202e.exe", "gpj_.exe"),
        ("Größe.txt", "Größe.txt"),
        ("a" * 300 + ".pdf", "a" * 116 + ".pdf"),
    ],
)
def test_a_name_is_that_of_a_file_here(name: str, safe: str) -> None:
    assert safe_name(name) == safe
