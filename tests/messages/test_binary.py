"""The binary form of a message: attachments as they are (RFC 3030 §3)."""

from __future__ import annotations

import base64
from email import message_from_bytes, policy
from email.message import EmailMessage, Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmtp_async import InvalidInput, SendOptions
from esmtp_async.protocol._extensions import Extensions

from .prepared import ALICE, BOB, EIGHT_BIT, SEVEN_BIT, compose, octets, prepared

BINARY = Extensions(dict.fromkeys(("8BITMIME", "CHUNKING", "BINARYMIME"), ""))
#: What no other form could carry: lone line ends, NUL, a line too long.
RAW = b"\r\n.\r\n\r\0\n" + bytes(range(256)) + b"x" * 2000 + b"\r"


def with_attachments(*attachments: bytes) -> EmailMessage:
    message = compose(Subject="attached")
    message.set_content("Grüße\n")
    for index, each in enumerate(attachments):
        message.add_attachment(
            each,
            maintype="application",
            subtype="octet-stream",
            filename=f"{index}.bin",
        )
    return message


def split(octets: bytes) -> tuple[bytes, list[bytes]]:
    """Take a multipart apart by its boundary, which the standard parser would not.

    It mends line ends on the way.
    """
    header, _, body = octets.partition(b"\r\n\r\n")
    boundary = message_from_bytes(header + b"\r\n\r\n").get_boundary()
    assert boundary is not None
    marked = b"--" + boundary.encode()
    parts = (b"\r\n" + body).split(b"\r\n" + marked)
    assert parts[0] == b""
    assert parts[-1] == b"--\r\n"
    return header, [part.removeprefix(b"\r\n") for part in parts[1:-1]]


@pytest.mark.parametrize("count", [1, 3])
def test_attachments_go_as_they_are(count: int) -> None:
    message = with_attachments(*[RAW + bytes([n]) for n in range(count)])
    before = message.as_bytes()
    data = prepared(message, body="BINARYMIME").mail_data(BINARY)
    assert data.is_binary
    header, (text, *attached) = split(data.octets)
    assert b"\r\nContent-Transfer-Encoding: binary" in header
    assert text.endswith("\r\n\r\nGrüße\r\n".encode())
    assert len(attached) == count
    for n, part in enumerate(attached):
        head, _, body = part.partition(b"\r\n\r\n")
        assert b"Content-Transfer-Encoding: binary" in head
        assert b"base64" not in head
        assert f'filename="{n}.bin"'.encode() in head
        assert body == RAW + bytes([n])
    assert message.as_bytes() == before, "the caller's message is never touched"


def test_without_attachments_there_is_nothing_binary() -> None:
    message = compose()
    message.set_content("Grüße\n", cte="8bit")
    outgoing = prepared(message, body="BINARYMIME")
    data = outgoing.mail_data(BINARY)
    assert not data.is_binary
    assert data.octets == octets(message)


def test_every_form_of_one_message_can_be_had_in_any_order() -> None:
    message = with_attachments(RAW)
    wanted = prepared(message, body="BINARYMIME", prefer="binarymime")
    seven, eight = octets(message, SEVEN_BIT), octets(message)
    assert _parts(wanted.mail_data(SEVEN_BIT).octets) == _parts(seven)
    first = wanted.mail_data(BINARY).octets
    assert _parts(wanted.mail_data(SEVEN_BIT).octets) == _parts(seven)
    assert _parts(wanted.mail_data(EIGHT_BIT).octets) == _parts(eight)
    assert wanted.mail_data(BINARY).is_binary
    assert len(first) < len(eight)


def _parts(octets: bytes) -> list[object]:
    parsed = message_from_bytes(octets, policy=policy.default)
    return [part.get_content() for part in parsed.iter_parts()]


def test_without_the_extension_it_is_needed_or_preferred() -> None:
    message = with_attachments(RAW)
    for offer in (EIGHT_BIT, Extensions({"BINARYMIME": "", "8BITMIME": ""})):
        data = prepared(message, body="BINARYMIME", prefer="BINARYMIME").mail_data(
            offer
        )
        assert not data.is_binary
        assert _parts(data.octets) == _parts(octets(message))
        assert prepared(message, body="BINARYMIME").mail_data(offer).is_binary


def test_what_a_signature_covers_stays() -> None:
    inner = with_attachments(RAW)
    signed = Message()
    signed["From"], signed["To"] = ALICE, BOB
    signed["Content-Type"] = 'multipart/signed; protocol="application/x"; micalg=x'
    for name in ("From", "To", "Date", "Message-ID", "Subject", "MIME-Version"):
        del inner[name]
    signature = Message()
    signature["Content-Type"] = "application/x"
    signature["Content-Transfer-Encoding"] = "base64"
    signature.set_payload(base64.encodebytes(RAW).decode())
    signed.set_payload([inner, signature])
    data = prepared(signed, body="BINARYMIME").mail_data(BINARY)
    assert not data.is_binary
    assert base64.encodebytes(RAW).rstrip().replace(b"\n", b"\r\n") in data.octets


def test_what_holds_the_boundary_stays_in_base64() -> None:
    message = with_attachments(b"--frontier\r\n", b"other")
    message.set_boundary("frontier")
    data = prepared(message, body="BINARYMIME").mail_data(BINARY)
    _, (_, first, second) = split(data.octets)
    assert b"Content-Transfer-Encoding: base64" in first
    assert base64.b64encode(b"--frontier\r\n") in first
    assert second.endswith(b"\r\n\r\nother")


def test_a_binary_part_within_an_attached_message() -> None:
    outer = compose()
    outer.set_content("see below\n")
    outer.add_attachment(with_attachments(RAW))
    data = prepared(outer, body="BINARYMIME").mail_data(BINARY)
    assert RAW in data.octets
    assert data.octets.count(b"Content-Transfer-Encoding: binary") == 4


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=3))
def test_no_octet_of_an_attachment_is_lost(attachments: list[bytes]) -> None:
    message = with_attachments(*attachments)
    octets = prepared(message, body="BINARYMIME").mail_data(BINARY).octets
    _, (_, *parts) = split(octets)
    assert [part.partition(b"\r\n\r\n")[2] for part in parts] == attachments


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"prefer": "BINARYMIME"}, "prefer names BINARYMIME, and body does not"),
        ({"prefer": "SMTPUTF8"}, "prefer names 'SMTPUTF8', none of AUTH, BINARYMIME"),
        ({"prefer": ["DSN", 5]}, "each name of prefer is of type int"),
        ({"prefer": 5}, "prefer is of type int"),
        ({"body": "8BIT"}, "body '8BIT' is none of 7BIT, 8BITMIME, BINARYMIME"),
        ({"body": 8}, "body is of type int"),
        ({"hold_for": 5, "hold_until": 6}, "hold_for and hold_until exclude"),
        ({"require_tls": 1}, "require_tls is of type int"),
        ({"ret": True}, "ret is of type bool"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        SendOptions(**options)  # type: ignore[arg-type]  # wrong on purpose


SOURCE = b"From: a@x.test\r\nTo: b@x.test\r\nMessage-ID: <1@x.test>\r\n\r\n"


def test_octets_in_binary_form_are_left_alone() -> None:
    raw = SOURCE + RAW
    data = prepared(raw, body="BINARYMIME").mail_data(BINARY)
    assert data.octets == raw
    assert data.size == len(raw)
    with pytest.raises(InvalidInput, match="BINARYMIME as a preference is for"):
        prepared(raw, body="BINARYMIME", prefer="BINARYMIME")


def test_a_form_of_seven_bits() -> None:
    message = with_attachments()
    message.set_content("Grüße\n", cte="8bit")
    assert octets(message, body="7bit").isascii()
    assert not octets(message, SEVEN_BIT, body="8BITMIME").isascii()
    assert prepared(SOURCE, body="7BIT").mail_data(EIGHT_BIT).octets == SOURCE
    for source in (SOURCE + b"\xff", [SOURCE]):
        with pytest.raises(InvalidInput, match="octets above 127"):
            prepared(source, ALICE, BOB, body="7BIT")


def test_the_message_id_as_an_envid() -> None:
    message = compose()
    for source in (message, SOURCE):
        (parameter,) = prepared(source, envid=True).envelope.parameters
        assert parameter.keyword == "ENVID"
        assert parameter.value in {"<1@x.test>", "<1@example.test>"}
    with pytest.raises(InvalidInput, match="the message has none"):
        prepared(b"From: a@x.test\r\nTo: b@x.test\r\n\r\n", envid=True)
    long = f"<{'x' * 120}@x.test>".encode()
    with pytest.raises(InvalidInput, match=r"envid .* is not 1 to 100"):
        prepared(SOURCE.replace(b"<1@x.test>", long), envid=True)


def test_a_message_may_do_without_tls() -> None:
    message = compose(TLS_Required="maybe")
    message.set_content("Hi\n")
    assert octets(message, require_tls=False).count(b"\r\nTLS-Required: No\r\n") == 1
    assert b"maybe" not in octets(message, require_tls=False)
    assert b"\r\nTLS-Required: maybe\r\n" in octets(message, require_tls=True)
    with pytest.raises(InvalidInput, match="require_tls=False is for an"):
        prepared(SOURCE, require_tls=False)
