"""What a test reads off a stored message."""

from __future__ import annotations

from email.message import EmailMessage, MIMEPart

from esmtp_async.testing import Attachment, Said, StoredMessage, StoredRecipient
from esmtp_async.testing._store import lines_of


def stored(content: bytes, *paths: str) -> StoredMessage:
    return StoredMessage(
        queue_id="00000001",
        reverse_path="alice@example.com",
        mail_parameters={},
        recipients=tuple(StoredRecipient(path, {}) for path in paths),
        content=content,
        username=None,
        tls=False,
        connection=1,
        via="DATA",
    )


def test_a_message_with_everything() -> None:
    message = EmailMessage()
    message["Subject"] = "Grüße"
    message.set_content("Hällo\n")
    message.add_alternative("<p>Hällo</p>\n", subtype="html")
    message.add_attachment(b"\0\xff", "image", "png", filename="ü.png")
    message.add_attachment("text\n", filename="a.txt")
    inner = EmailMessage()
    inner.set_content("within")
    message.add_attachment(inner)
    view = stored(message.as_bytes(), "bob@example.com", "carol@example.com")
    assert view.forward_paths == ("bob@example.com", "carol@example.com")
    assert view.subject == "Grüße"
    assert view.text == "Hällo\n"
    assert view.html == "<p>Hällo</p>\n"
    assert view.attachments[:2] == (
        Attachment("ü.png", "image/png", b"\0\xff"),
        Attachment("a.txt", "text/plain", b"text\n"),
    )
    assert view.attachments[2][:2] == ("", "message/rfc822")
    assert b"within" in view.attachments[2].octets


def test_a_message_with_nothing() -> None:
    view = stored(b"")
    assert (view.subject, view.text, view.html) == ("", "", "")
    assert (view.forward_paths, view.attachments) == ((), ())


def test_html_alone_is_no_text() -> None:
    part = MIMEPart()
    part.set_content("<p>x</p>", subtype="html")
    view = stored(part.as_bytes())
    assert (view.text, view.html) == ("", "<p>x</p>\n")


def test_a_charset_that_nobody_knows_is_taken_for_utf8() -> None:
    type_ = b"Content-Type: text/plain; charset=x-none\r\n"
    view = stored(type_ + "\r\nGrüße\r\n".encode() + b"\xff")
    assert view.text == "Grüße\n\ufffd"


def test_a_conversation_can_be_printed() -> None:
    said = [Said("S", b"250-a\r\n250 \x1b\r\n"), Said("C", b"caf\xe9\r\n")]
    assert lines_of(said) == ["S: 250-a", r"S: 250 \x1b", r"C: caf\xe9"]
