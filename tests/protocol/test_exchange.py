"""The opening of a session, reply by reply (RFC 5321 §3.1-§3.2, RFC 3207, RFC 2033)."""

from __future__ import annotations

import pytest

from esmtp_async.protocol import (
    Ehlo,
    Expn,
    Helo,
    Inquiry,
    Noop,
    Opening,
    Plain,
    Quit,
    RemoteProtocolError,
    Reply,
    Session,
    Stage,
    StartTLSPolicy,
    State,
    Vrfy,
)
from esmtp_async.protocol._exceptions import (
    GreetingRefused,
    HelloRefused,
    InvalidInput,
    Refused,
    SMTPError,
    TLSFailed,
)
from tests.protocol.dialogue import EHLO, GREETING, Turn, converse, hello

REQUIRED, OPPORTUNISTIC, NEVER = StartTLSPolicy


def hold(opening: Opening, *turns: Turn, lmtp: bool = False) -> Session:
    """Hold the opening of a session to its end."""
    session = Session(opening, lmtp=lmtp)
    converse(session, opening, *turns)
    assert session.reusable
    return session


def fail(
    error: type[SMTPError | RemoteProtocolError], opening: Opening, *turns: Turn
) -> SMTPError:
    """Hold it to the error that must end it; give the error and check its temper."""
    session = Session(opening)
    with pytest.raises(error) as caught:
        converse(session, opening, *turns)
    assert type(caught.value) is error
    if isinstance(caught.value, RemoteProtocolError):
        assert session.state is State.CLOSED
        return SMTPError(str(caught.value))
    reply = caught.value.reply
    assert caught.value.temporary is (reply is not None and reply.temporary)
    return caught.value


def test_after_greeting_and_ehlo_the_session_is_ready() -> None:
    opening = Opening("client.test")
    session = hold(opening, Turn("", "220-mail.example.test|220 hi"), hello("SIZE 5"))
    assert session.state is State.READY
    assert dict(session.extensions) == {"SIZE": "5", "X": ""}
    assert opening.greeting == Reply(220, (b"mail.example.test", b"hi"))


def test_lmtp_says_lhlo() -> None:
    opening = Opening("client.test", lmtp=True)
    lhlo = Turn("LHLO client.test", "250-mail.example.test|250 PIPELINING")
    assert "PIPELINING" in hold(opening, GREETING, lhlo, lmtp=True).extensions


def test_I6_the_name_of_the_client_is_checked_at_once() -> None:
    for lmtp in (False, True):
        with pytest.raises(InvalidInput):
            Opening("x\r\nMAIL FROM:<>", lmtp=lmtp)


@pytest.mark.parametrize(
    "greeting", ["554 no", "450 later", "421 closing", "500-a|500 b"]
)
def test_a_refused_connection_is_not_spoken_on(greeting: str) -> None:
    opening = Opening("client.test")
    assert opening.greeting is None
    error = fail(GreetingRefused, opening, Turn("", greeting))
    assert isinstance(error, GreetingRefused)
    assert error.reply == opening.greeting
    assert (error.stage, error.command) == (Stage.GREETING, "")
    assert str(error).startswith("the server refused the connection: ")


@pytest.mark.parametrize("greeting", ["250 hi", "200 hi", "334 hi", "354 hi", "hi"])
def test_the_greeting_is_220_or_a_refusal(greeting: str) -> None:
    fail(RemoteProtocolError, Opening("client.test"), Turn("", greeting))


@pytest.mark.parametrize("more", [b"250 x\r\n", b"220 hi\r\n", b"2"])
def test_D1_nothing_but_the_greeting_comes_before_ehlo(more: bytes) -> None:
    greeting = Turn("", b"220 hi\r\n" + more)
    fail(RemoteProtocolError, Opening("client.test"), greeting)


# EHLO, HELO


@pytest.mark.parametrize("code", [500, 502])
def test_helo_is_said_where_ehlo_is_unknown(code: int) -> None:
    helo = Turn("HELO client.test", "250-mail.example.test|250 PIPELINING")
    session = hold(Opening("client.test"), GREETING, Turn(EHLO, f"{code} ?"), helo)
    assert session.state is State.READY
    assert dict(session.extensions) == {}


@pytest.mark.parametrize("code", [421, 450, 451, 501, 503, 504, 550, 554])
def test_a_refused_ehlo_is_final(code: int) -> None:
    error = fail(
        HelloRefused, Opening("client.test"), GREETING, Turn(EHLO, f"{code} no")
    )
    assert isinstance(error, HelloRefused)
    assert (error.stage, error.command) == (Stage.HELLO, "EHLO")
    assert error.reply == Reply(code, (b"no",))


@pytest.mark.parametrize("code", [421, 450, 500, 502, 550])
def test_a_refused_helo_is_final(code: int) -> None:
    error = fail(
        HelloRefused,
        Opening("client.test"),
        GREETING,
        Turn(EHLO, "502 ?"),
        Turn("HELO client.test", f"{code} no"),
    )
    assert isinstance(error, HelloRefused)
    assert error.command == "HELO"
    assert str(error) == f"the server refused HELO: {code} no"


@pytest.mark.parametrize("answer", ["334 go", "354 go"])
def test_P6_ehlo_is_not_answered_3yz(answer: str) -> None:
    fail(RemoteProtocolError, Opening("client.test"), GREETING, Turn(EHLO, answer))


@pytest.mark.parametrize("code", [500, 502])
def test_T5_helo_is_no_way_around_what_is_required(code: int) -> None:
    for opening in (
        Opening("client.test", starttls=REQUIRED),
        Opening("client.test", secure=True, mechanisms=[Plain("a", "b")]),
    ):
        fail(HelloRefused, opening, GREETING, Turn(EHLO, f"{code} ?"))


def test_lmtp_has_no_older_hello() -> None:
    opening = Opening("client.test", lmtp=True)
    fail(HelloRefused, opening, GREETING, Turn("LHLO client.test", "500 ?"))


# STARTTLS


@pytest.mark.parametrize("policy", [REQUIRED, OPPORTUNISTIC])
def test_T6_after_the_handshake_all_begins_anew(policy: StartTLSPolicy) -> None:
    session = hold(
        Opening("client.test", starttls=policy),
        GREETING,
        hello("STARTTLS", "SIZE 5", "PIPELINING"),
        Turn("STARTTLS", "220 go"),
        hello("DSN"),
    )
    assert dict(session.extensions) == {"DSN": "", "X": ""}


def test_starttls_is_not_said_unasked() -> None:
    hold(Opening("client.test", starttls=NEVER), GREETING, hello("STARTTLS"))


def test_T2_required_tls_must_be_offered() -> None:
    opening = Opening("client.test", starttls=REQUIRED)
    error = fail(TLSFailed, opening, GREETING, hello("AUTH PLAIN"))
    assert (error.stage, error.reply) == (Stage.STARTTLS, None)
    assert "does not offer STARTTLS" in str(error)


@pytest.mark.parametrize("code", [421, 454, 500, 501, 502, 503, 530, 554])
def test_T3_required_tls_must_be_granted(code: int) -> None:
    error = fail(
        TLSFailed,
        Opening("client.test", starttls=REQUIRED),
        GREETING,
        hello("STARTTLS"),
        Turn("STARTTLS", f"{code} no"),
    )
    assert (error.stage, error.reply) == (Stage.STARTTLS, Reply(code, (b"no",)))
    assert error.temporary is (code in {421, 454})
    assert str(error) == f"the server refused STARTTLS: {code} no"


@pytest.mark.parametrize("policy", [REQUIRED, OPPORTUNISTIC])
@pytest.mark.parametrize("code", [221, 235, 250, 251, 299, 334, 354])
def test_T4_starttls_is_granted_by_220_alone(policy: StartTLSPolicy, code: int) -> None:
    fail(
        RemoteProtocolError,
        Opening("client.test", starttls=policy),
        GREETING,
        hello("STARTTLS"),
        Turn("STARTTLS", f"{code} go"),
    )


@pytest.mark.parametrize("injected", [b"2", b"\r\n", b"250-evil\r\n250 AUTH PLAIN\r\n"])
@pytest.mark.parametrize("policy", [REQUIRED, OPPORTUNISTIC])
def test_T1_no_handshake_follows_octets_in_clear_text(
    policy: StartTLSPolicy, injected: bytes
) -> None:
    fail(
        RemoteProtocolError,
        Opening("client.test", starttls=policy),
        GREETING,
        hello("STARTTLS"),
        Turn("STARTTLS", b"220 go\r\n" + injected),
    )


def test_opportunistic_tls_may_be_missing_or_refused() -> None:
    hold(Opening("client.test", starttls=OPPORTUNISTIC), GREETING, hello())
    for code in (454, 502):
        hold(
            Opening("client.test", starttls=OPPORTUNISTIC),
            GREETING,
            hello("STARTTLS"),
            Turn("STARTTLS", f"{code} no"),
        )
    hold(
        Opening("client.test", starttls=OPPORTUNISTIC),
        GREETING,
        Turn(EHLO, "502 ?"),
        Turn("HELO client.test", "250 STARTTLS"),
    )


@pytest.mark.parametrize("policy", [REQUIRED, OPPORTUNISTIC])
@pytest.mark.parametrize("code", [421, 450, 550])
def test_ehlo_may_be_refused_under_tls(policy: StartTLSPolicy, code: int) -> None:
    fail(
        HelloRefused,
        Opening("client.test", starttls=policy),
        GREETING,
        hello("STARTTLS"),
        Turn("STARTTLS", "220 go"),
        Turn(EHLO, f"{code} no"),
    )


def test_E4_a_421_that_nobody_asked_for_ends_the_opening() -> None:
    turn = Turn(EHLO, "250-mail.example.test|250 STARTTLS|421 closing")
    error = fail(Refused, Opening("client.test", starttls=REQUIRED), GREETING, turn)
    assert error.reply == Reply(421, (b"closing",))
    assert error.stage is Stage.HELLO
    assert str(error) == "the server shut the connection down: 421 closing"


def test_E4_a_421_behind_a_refusal_is_not_what_ended_the_opening() -> None:
    """A server that refuses and hangs up in one breath is heard to the first word."""
    error = fail(
        GreetingRefused, Opening("client.test"), Turn("", "554 no service|421 bye")
    )
    assert error.reply == Reply(554, (b"no service",))
    assert (error.stage, error.temporary) == (Stage.GREETING, False)


def test_the_end_of_the_stream_ends_the_opening() -> None:
    """Without an error of its own: whoever reads knows how the stream ended."""
    opening = Opening("client.test")
    session = Session(opening)
    converse(session, opening, GREETING, Turn(EHLO, ""))
    assert session.state is State.CLOSED
    assert len(session.outstanding) == 1


# Inquiries


@pytest.mark.parametrize(
    ("command", "line", "answer"),
    [
        (Noop(), "NOOP", "250 ok"),
        (Noop(), "NOOP", "500 what"),
        (Vrfy("bob"), "VRFY bob", "252-perhaps|252 try"),
        (Expn("staff"), "EXPN staff", "550 no"),
        (Ehlo("client.test"), EHLO, "250 again"),
        (Helo("client.test"), "HELO client.test", "250 again"),
        (Quit(), "QUIT", "221 bye"),
        (Quit(), "QUIT", "421 bye"),
    ],
)
def test_an_inquiry_is_a_command_and_its_reply(
    command: Noop | Vrfy | Expn | Ehlo | Helo | Quit, line: str, answer: str
) -> None:
    session = hold(Opening("client.test"), GREETING, hello())
    inquiry = Inquiry(command)
    assert inquiry.reply is None
    converse(session, inquiry, Turn(line, answer))
    assert inquiry.reply is not None
    lines = answer.split("|")
    assert inquiry.reply == Reply(
        int(answer[:3]), tuple(line[4:].encode() for line in lines)
    )
    assert session.state is (State.CLOSED if line == "QUIT" else State.READY)


def test_an_inquiry_hears_of_a_shutdown() -> None:
    session = hold(Opening("client.test"), GREETING, hello())
    inquiry = Inquiry(Noop())
    session.receive_data(b"421 idle too long\r\n")
    converse(session, inquiry)
    assert inquiry.reply == Reply(421, (b"idle too long",))
