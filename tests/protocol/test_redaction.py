"""What a server repeats of what was said in confidence (row U13)."""

from __future__ import annotations

import pickle

import pytest

from esmtp_async.protocol import (
    Auth,
    Ehlo,
    Noop,
    RemoteProtocolError,
    Replied,
    Reply,
    Response,
    Sealed,
    Session,
    StartTLS,
    State,
)
from esmtp_async.protocol._redaction import Redaction
from tests.protocol.dialogue import ready
from tests.tracebacks import given_away


def redact(line: bytes, *secrets: bytes) -> bytes:
    redaction = Redaction()
    redaction.add(secrets)
    return redaction(line)


@pytest.mark.parametrize(
    ("line", "secrets", "shown"),
    [
        (b"a hunter2 b", [b"hunter2"], b"a <redacted> b"),
        (b"hunter2hunter2", [b"hunter2"], b"<redacted><redacted>"),
        (b"a hunter2 b", [], b"a hunter2 b"),
        (b"hunter2 hunter", [b"hunter", b"hunter2"], b"<redacted> <redacted>"),
        (b"hunter2 hunter", [b"hunter2", b"hunter"], b"<redacted> <redacted>"),
        (b"<redacted> acted", [b"acted"], b"<red<redacted>> <redacted>"),
        (b"a hunter2-2 b", [b"hunter2-2", b"redacted"], b"a <redacted> b"),
        (b"a.*b (x) [yz]", [b".*b ", b"(x) "], b"a<redacted><redacted>[yz]"),
        (b"2.0.0 ok abc abcd", [b"", b"a", b"ok", b"abc"], b"2.0.0 ok abc abcd"),
        (b"2.0.0 ok abc abcd", [b"abcd"], b"2.0.0 ok abc <redacted>"),
        (b"\xff\xfe\xfd\xfc", [b"\xff\xfe\xfd\xfc"], b"<redacted>"),
    ],
)
def test_U13_secrets_are_taken_out(
    line: bytes, secrets: list[bytes], shown: bytes
) -> None:
    assert redact(line, *secrets) == shown


def test_U13_more_secrets_may_come() -> None:
    redaction = Redaction()
    redaction.add([b"first"])
    redaction.add([b"second"])
    assert redaction(b"first second") == b"<redacted> <redacted>"
    assert b"first" not in repr(redaction).encode()


def test_U12_a_sealed_response_is_octets_that_do_not_show() -> None:
    sealed = Sealed(b"user hunter2", b"hunter2")
    assert sealed == b"user hunter2"
    assert repr(sealed) == "<12 octets>"
    assert sealed.secrets == (b"hunter2",)


def test_U13_a_command_knows_its_secrets() -> None:
    assert Auth("PLAIN", b"abcd").secrets == (b"YWJjZA==", b"abcd")
    assert Auth("PLAIN", Sealed(b"abcd", b"cd")).secrets == (b"YWJjZA==", b"cd")
    assert Auth("PLAIN", Sealed(b"abcd")).secrets == (b"YWJjZA==",)
    assert Auth("PLAIN").secrets == ()
    assert Response(b"abcd").secrets == (b"YWJjZA==", b"abcd")
    assert Response(None).secrets == ()
    assert Noop().secrets == ()


def said(session: Session, octets: bytes) -> Reply:
    session.receive_data(octets)
    event = session.next_event()
    assert isinstance(event, Replied)
    return event.reply


def test_U13_no_later_reply_of_the_session_shows_them() -> None:
    session = ready("AUTH PLAIN")
    session.send(Auth("PLAIN", b"hunter2"))
    assert said(session, b"535 aHVudGVyMg== hunter2\r\n").lines == (
        b"<redacted> <redacted>",
    )
    session.send(Auth("PLAIN", b"another"))
    assert said(session, b"235-hunter2\r\n235 another\r\n").lines == (
        b"<redacted>",
        b"<redacted>",
    )
    session.send(Noop())
    assert said(session, b"250 hunter2\r\n").text == "<redacted>"
    session.send(Ehlo("client.test"))
    said(session, b"250-mail.test\r\n250 HUNTER hunter2\r\n")
    assert dict(session.extensions) == {"HUNTER": "<redacted>"}
    assert said(session, b"421 hunter2\r\n").text == "<redacted>"


def test_U13_not_even_behind_a_tls_handshake() -> None:
    session = ready("AUTH PLAIN", "STARTTLS")
    session.send(Auth("PLAIN", b"hunter2"))
    said(session, b"535 no\r\n")
    session.send(StartTLS())
    said(session, b"220 go\r\n")
    session.secured()
    session.send(Noop())
    assert said(session, b"250 hunter2\r\n").text == "<redacted>"


def test_U13_a_challenge_is_there_to_the_octet() -> None:
    session = ready("AUTH X")
    session.send(Auth("X", b"hunter2"))
    assert not session.challenge
    reply = said(session, b"334 aHVudGVyMg==\r\n")
    assert reply.lines == (b"<redacted>",)
    assert list(session.challenge) == [b"aHVudGVyMg=="]
    session.send(Response(b"x"))
    said(session, b"334-a\r\n334 hunter2\r\n")
    assert list(session.challenge) == [b"a", b"hunter2"]
    session.send(Response(b"x"))
    said(session, b"235 hunter2\r\n")
    assert list(session.challenge) == [b"a", b"hunter2"]


@pytest.mark.parametrize(
    "octets",
    [
        b"hunter2\r\n",
        b"535_hunter2\r\n",
        b"535 hunter2\n",
        b"535-a\r\n550 hunter2\r\n",
        b"354 hunter2\r\n",
        b"250 hunter2\r\n",
        b"535 aHVudGVyMg==".ljust(50000, b"x"),
        b"535 aHVudGVyMg==".ljust(50000, b"x") + b"\r\n",
        b"535 ".ljust(75, b"x") + b"hunter2".ljust(50000, b"x"),
    ],
)
def test_U13_no_violation_shows_them(octets: bytes) -> None:
    session = ready("AUTH X")
    session.send(Auth("X", b"hunter2"))
    session.receive_data(octets)
    with pytest.raises(RemoteProtocolError) as caught:
        session.next_event()
    assert session.state is State.CLOSED
    told = str(caught.value)
    assert "hunt" not in told
    assert "aHVudGVyMg" not in told
    assert "<reda" in told
    assert "hunter2" not in repr(pickle.dumps(caught.value))
    for secret in ("hunter2", "aHVudGVyMg"):
        assert secret not in given_away(caught.value)


def test_U13_nor_does_one_that_nobody_asked_for() -> None:
    session = ready("AUTH X")
    session.send(Auth("X", b"hunter2"))
    session.receive_data(b"235 ok\r\n250 hunter2\r\n")
    session.next_event()
    with pytest.raises(RemoteProtocolError, match="<redacted>") as caught:
        session.next_event()
    assert "hunter2" not in given_away(caught.value)
