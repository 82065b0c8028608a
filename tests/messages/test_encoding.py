"""Transfer encodings: what lets a message's parts pass where they could not."""

from __future__ import annotations

import base64
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from esmtp_async.protocol._content import MailData
from esmtp_async.protocol._extensions import Extensions

from .prepared import ALICE, BOB, EIGHT_BIT, SEVEN_BIT, compose, prepared

LONG: Final = "x" * 5000


def data(message: Message, extensions: Extensions = EIGHT_BIT) -> MailData:
    """Give the mail data, with no line too long and no NUL in it."""
    data = prepared(message, ALICE, BOB).mail_data(extensions)
    assert data.longest_line <= 998
    assert b"\0" not in data.octets
    return data


def reread(message: Message, extensions: Extensions = EIGHT_BIT) -> EmailMessage:
    """Give what the standard library's parser makes of the octets."""
    sent = message_from_bytes(data(message, extensions).octets, policy=policy.default)
    assert isinstance(sent, EmailMessage)
    assert not [defect for part in sent.walk() for defect in part.defects]
    return sent


def content_of(part: Message) -> str:
    """Give a text with its line ends as Python has them."""
    assert isinstance(part, EmailMessage)
    content = part.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")


def part_of(message: Message, index: int) -> Message:
    """Give a part of a message that has several."""
    part = message.get_payload(index)
    assert isinstance(part, Message)
    return part


def encodings(message: Message) -> list[tuple[str, str]]:
    return [
        (part.get_content_type(), str(part["Content-Transfer-Encoding"] or ""))
        for part in message.walk()
    ]


def raw(payload: bytes, content_type: str = "text/plain", cte: str = "8bit") -> Message:
    """Give a message of the old policy with these very octets as its body."""
    header = f"Content-Type: {content_type}\nContent-Transfer-Encoding: {cte}\n\n"
    return message_from_bytes(header.encode() + payload)


def with_text(content: str, **how: str) -> EmailMessage:
    message = compose()
    message.set_content(content, **how)  # type: ignore[arg-type]  # any of its options
    return message


# Octets above 127 (B8)


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1"])
def test_B8_text_to_a_server_without_8bitmime(charset: str) -> None:
    text = "Grüße an alle\n"
    message = with_text(text, cte="8bit", charset=charset)
    wide = data(message, EIGHT_BIT).octets
    assert wide.endswith("\r\n\r\nGrüße an alle\r\n".encode(charset))
    assert data(message, EIGHT_BIT).is_8bit
    assert not data(message, SEVEN_BIT).is_8bit
    sent = reread(message, SEVEN_BIT)
    assert encodings(sent) == [("text/plain", "quoted-printable")]
    assert content_of(sent) == text


def test_B8_each_part_that_needs_it_is_encoded_and_no_other() -> None:
    message = with_text("Grüße an alle\n", cte="8bit")
    message.add_alternative("<p>plain</p>\n", subtype="html")
    message.add_attachment("漢字\n" * 20, filename="kanji", cte="8bit")
    message.add_attachment(
        b"\xff\xfe\n\r\x80", maintype="application", subtype="x", cte="8bit"
    )
    message.add_attachment(b"octets", maintype="image", subtype="png")
    sent = reread(message, SEVEN_BIT)
    assert encodings(sent) == [
        ("multipart/mixed", ""),
        ("multipart/alternative", ""),
        ("text/plain", "quoted-printable"),
        ("text/html", "7bit"),
        ("text/plain", "base64"),
        ("application/x", "base64"),
        ("image/png", "base64"),
    ]
    _, _, plain, html, kanji, application, image = sent.walk()
    assert isinstance(kanji, EmailMessage)
    assert plain.get_payload(decode=True) == "Grüße an alle\r\n".encode()
    assert html.get_payload(decode=True) == b"<p>plain</p>\r\n"
    assert kanji.get_payload(decode=True) == "漢字\r\n".encode() * 20
    assert kanji.get_filename() == "kanji"
    assert application.get_payload(decode=True) == b"\xff\xfe\n\r\x80"
    assert image.get_payload(decode=True) == b"octets"


def test_B8_only_a_message_that_needs_it_is_encoded() -> None:
    message = with_text("plain\n", cte="8bit")
    outgoing = prepared(message, ALICE, BOB)
    assert outgoing.mail_data(SEVEN_BIT) is outgoing.mail_data(EIGHT_BIT)
    assert b"Content-Transfer-Encoding: 8bit" in outgoing.mail_data(SEVEN_BIT).octets


def test_B8_a_message_that_is_forwarded() -> None:
    inner = with_text("Grüße an alle\n", cte="8bit")
    inner["Subject"] = "Grüße"
    message = with_text("see below\n")
    message.add_attachment(inner, cte="8bit")
    sent = reread(message, SEVEN_BIT)
    assert not data(message, SEVEN_BIT).is_8bit
    assert encodings(sent) == [
        ("multipart/mixed", ""),
        ("text/plain", "7bit"),
        ("message/rfc822", "7bit"),
        ("text/plain", "quoted-printable"),
    ]
    (attachment,) = sent.iter_attachments()
    content = attachment.get_content()
    assert content["Subject"] == "Grüße"
    assert content_of(content) == "Grüße an alle\n"
    (attachment,) = reread(message, EIGHT_BIT).iter_attachments()
    assert attachment["Content-Transfer-Encoding"] == "8bit"


def test_B8_octets_around_the_parts() -> None:
    """Old programs put a preamble there, in the language of their user."""
    message = message_from_bytes(
        b'Content-Type: multipart/mixed; boundary="b"\nMIME-Version: 1.0\n\n'
        b"Mehrteilige Nachricht f\xfcr alle\n--b\n\ntext\n--b--\nAnhang f\xfcr alle\n"
    )
    assert b"Nachricht f\xfcr alle" in data(message, EIGHT_BIT).octets
    sent = data(message, SEVEN_BIT)
    assert not sent.is_8bit
    assert part_of(message_from_bytes(sent.octets), 0).get_payload() == "text"


def test_B8_a_signed_part_stays_as_it_is() -> None:
    source = (
        b"MIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="a"\r\n\r\n'
        b"--a\r\nContent-Type: multipart/signed; boundary=b;\r\n"
        b' protocol="application/pgp-signature"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain; charset=utf-8;\r\n   format=flowed\r\n"
        b"X-Long:   " + b"word " * 30 + b"\r\n"
        b"content-transfer-encoding:8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
        b"--c\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xfc\r\n--c--\r\n\r\n"
        b"--b\r\nContent-Type: application/pgp-signature\r\n\r\nsignature\r\n--b--\r\n"
        b"--a\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xfc\xdfe\r\n--a--\r\n"
    )
    signed = source[source.index(b"--b\r\n") : source.index(b"--a\r\nContent-Transfer")]
    for message in (
        message_from_bytes(source),
        message_from_bytes(source, policy=policy.default),
    ):
        for extensions in (EIGHT_BIT, SEVEN_BIT):
            sent = data(message, extensions).octets
            assert (
                signed.replace(b"encoding:8bit", b"encoding: 8bit").replace(
                    b"X-Long:   ", b"X-Long: "
                )
                in sent
            )
            assert (b"Gr\xfc\xdfe" in sent) == (extensions is EIGHT_BIT)


def test_B8_what_no_encoding_can_help() -> None:
    """It is for the transaction to say that 8BITMIME is needed."""
    message = raw(b"\xff\n", cte="x-unknown")
    assert prepared(message, ALICE, BOB).mail_data(SEVEN_BIT).is_8bit


@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-8", "x-unknown", ""])
def test_B8_charset_does_not_matter(charset: str) -> None:
    content_type = f"text/plain; charset={charset}" if charset else "text/plain"
    message = raw(b"Gr\xfc\xdfe \xc3\xbc plain plain plain\n", content_type)
    sent = message_from_bytes(data(message, SEVEN_BIT).octets)
    assert (
        sent.get_payload(decode=True) == b"Gr\xfc\xdfe \xc3\xbc plain plain plain\r\n"
    )
    assert sent["Content-Type"] == content_type
    assert sent["MIME-Version"] == "1.0"


# Lines that are too long (B6), and other octets that no label allows


@pytest.mark.parametrize("extensions", [EIGHT_BIT, SEVEN_BIT])
@pytest.mark.parametrize(
    "content", [LONG, f"{LONG}ü", "ü" * 5000, "\0\n", f"\n\n{LONG}"]
)
def test_B6_text(content: str, extensions: Extensions) -> None:
    for message in (
        raw(content.encode() + b"\n", "text/plain; charset=utf-8"),
        with_text(f"{content}\n"),
    ):
        assert content_of(reread(message, extensions)) == f"{content}\n"


def test_B6_only_the_part_that_needs_it_is_encoded() -> None:
    message = with_text("Grüße\n", cte="8bit")
    message.add_alternative(f"<p>{LONG}</p>\n", subtype="html", cte="7bit")
    assert encodings(reread(message)) == [
        ("multipart/alternative", ""),
        ("text/plain", "8bit"),
        ("text/html", "quoted-printable"),
    ]


@pytest.mark.parametrize("size", [998, 999])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_B6_the_limit_is_998_octets(size: int, end: str) -> None:
    message = raw(f"{'x' * size}{end}".encode())
    sent = message_from_bytes(data(message).octets)
    assert sent["Content-Transfer-Encoding"] == (
        "8bit" if size == 998 else "quoted-printable"
    )


@pytest.mark.parametrize("extensions", [EIGHT_BIT, SEVEN_BIT])
@pytest.mark.parametrize("text", ["Hello\n", "x" * 600 + "\n"])
def test_B6_it_is_octets_that_must_fit_not_characters(
    text: str, extensions: Extensions
) -> None:
    message = raw(text.encode("utf-16"), "text/plain; charset=utf-16", cte="8bit")
    sent = reread(message, extensions)
    assert sent["Content-Transfer-Encoding"] == "base64"
    assert content_of(sent) == text


@pytest.mark.parametrize("kind", [EmailMessage, Message])
def test_B6_a_word_in_the_header_section_is_no_longer_than_a_line(
    kind: type[Message],
) -> None:
    message = kind()
    message["From"] = ALICE
    message["To"] = BOB
    message["X-Word"] = "x" * 2000
    assert data(message).longest_line <= 998
    assert reread(message)["X-Word"] == "x" * 2000


@pytest.mark.parametrize("cte", ["7bit", "8bit", "binary", "BINARY", " 8Bit ", ""])
def test_B6_parts_that_are_not_text_stay_octet_for_octet(cte: str) -> None:
    payload = b"\x00\x01\n\r\r\n\n" + LONG.encode() + b"\n.\n\xff"
    part = MIMEBase("application", "octet-stream")
    part.set_payload(payload.decode("ascii", "surrogateescape"))
    part["Content-Transfer-Encoding"] = cte
    message = MIMEMultipart()
    message.attach(part)
    sent = reread(message)
    assert encodings(sent)[1] == ("application/octet-stream", "base64")
    assert part_of(sent, 0).get_payload(decode=True) == payload


@pytest.mark.parametrize("cte", ["base64", "quoted-printable"])
def test_B6_an_encoding_without_line_ends(cte: str) -> None:
    encoded = base64.b64encode(LONG.encode()) if cte == "base64" else LONG.encode()
    sent = reread(raw(encoded, "application/octet-stream", cte))
    assert sent.get_payload(decode=True) == LONG.encode()
    assert sent["Content-Transfer-Encoding"] == "base64"


def test_binary_is_never_sent_as_such() -> None:
    """It would need BINARYMIME (RFC 3030 §3)."""
    message = compose()
    message.set_content(b"\x01\n\r\xff", maintype="image", subtype="png", cte="binary")
    assert encodings(reread(message)) == [("image/png", "base64")]
    assert reread(message).get_content() == b"\x01\n\r\xff"
    outer = compose()
    outer.add_attachment(message, cte="binary")
    assert encodings(reread(outer)) == [
        ("multipart/mixed", ""),
        ("message/rfc822", "8bit"),
        ("image/png", "base64"),
    ]
    text = raw(b"text\n", cte="binary")
    assert encodings(reread(text)) == [("text/plain", "quoted-printable")]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("plain " * 900 + "\n", "quoted-printable"),
        ("ü" + "x" * 5000, "quoted-printable"),
        ("ü" * 5000, "base64"),
        ("=" * 5000, "base64"),
        ("漢字" * 900, "base64"),
        ("ü" * 100 + "x" * 2000, "quoted-printable"),
        ("ü" * 400 + "x" * 1000, "base64"),
    ],
)
def test_the_shorter_encoding_is_chosen(content: str, encoding: str) -> None:
    sent = message_from_bytes(data(raw(content.encode())).octets)
    assert sent["Content-Transfer-Encoding"] == encoding
    assert sent.get_payload(decode=True).rstrip(b"\r\n") == content.strip("\n").encode()  # type: ignore[union-attr]


def test_text_in_base64_has_crlf() -> None:
    """RFC 2045 §6.8, RFC 2049 §4."""
    message = raw("漢字\n字\r\n漢\r字".encode())
    sent = message_from_bytes(data(message, SEVEN_BIT).octets)
    assert sent["Content-Transfer-Encoding"] == "base64"
    assert sent.get_payload(decode=True) == "漢字\r\n字\r\n漢\r\n字".encode()


@pytest.mark.parametrize("end", ["", "\n", "\n\n", " \n", "\t"])
def test_the_end_of_a_text_is_kept(end: str) -> None:
    octets = f"Grüße{end}".encode()
    part = MIMEText("", "plain", "utf-8")
    part.replace_header("Content-Transfer-Encoding", "8bit")
    part.set_payload(octets.decode("ascii", "surrogateescape"))
    message = MIMEMultipart()
    message.attach(part)
    payload = part_of(reread(message, SEVEN_BIT), 0).get_payload(decode=True)
    assert payload == octets.replace(b"\n", b"\r\n")


def test_a_message_from_before_mime_becomes_one() -> None:
    """Without MIME-Version nobody would look at the encoding (RFC 2045 §4)."""
    message = message_from_bytes(b"Subject: x\n\nGr\xfc\xdfe\n")
    assert b"MIME-Version" not in data(message, EIGHT_BIT).octets
    assert data(message, SEVEN_BIT).octets.count(b"MIME-Version: 1.0\r\n") == 1
    both = data(with_text("ü\n", cte="8bit"), SEVEN_BIT).octets
    assert both.count(b"MIME-Version") == 1


# No matter what

LINES = st.text('az é漢😀.=-_>\t"', max_size=40)
LONG_LINES = st.tuples(LINES, st.integers(0, 300)).map(lambda pair: pair[0] * pair[1])
TEXTS = st.lists(LINES | LONG_LINES, min_size=1, max_size=5).map(
    lambda lines: "\n".join([*lines, ""])
)
ENCODINGS = st.sampled_from(["7bit", "8bit", "quoted-printable", "base64"])
NAMES = st.text("aZ é漢😀,;:<>@()[].=?_\"\\'", min_size=1, max_size=30)


def composed(
    subject: str, texts: list[tuple[str, str]], files: list[tuple[str, bytes]]
) -> EmailMessage:
    message = compose(Subject=subject)
    for index, (content, encoding) in enumerate(texts):
        how = message.add_alternative if index else message.set_content
        narrow = encoding == "7bit" and not content.isascii()
        how(content, cte="8bit" if narrow else encoding)
    for name, octets in files:
        message.add_attachment(octets, maintype="audio", subtype="x", filename=name)
    return message


@given(
    NAMES,
    st.lists(st.tuples(TEXTS, ENCODINGS), min_size=1, max_size=2),
    st.lists(st.tuples(NAMES, st.binary(max_size=200)), max_size=2),
    st.sampled_from([EIGHT_BIT, SEVEN_BIT]),
)
@example("x", [(f"From \n.\n..\n{LONG}\n", "7bit")], [], EIGHT_BIT)
@example("x", [("--=\n--\n", "8bit"), ("ü\n", "8bit")], [("a", b"\r")], SEVEN_BIT)
def test_no_matter_what_a_message_holds_it_arrives(
    subject: str,
    texts: list[tuple[str, str]],
    files: list[tuple[str, bytes]],
    extensions: Extensions,
) -> None:
    message = composed(subject, texts, files)
    sent = reread(message, extensions)
    assert extensions is EIGHT_BIT or not data(message, extensions).is_8bit
    assert str(sent["Subject"]).strip() == str(message["Subject"]).strip()
    leaves = [part for part in sent.walk() if not part.is_multipart()]
    assert [part.get_filename() for part in leaves[len(texts) :]] == [
        part.get_filename() for part in message.iter_attachments()
    ]
    for part, (text, _) in zip(leaves, texts, strict=False):
        assert content_of(part) == text
    for part, (_, octets) in zip(leaves[len(texts) :], files, strict=True):
        assert part.get_payload(decode=True) == octets
