"""AUTH within the opening, reply by reply (RFC 4954 §4, RFC 4422)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

import pytest

from esmtp_async.protocol import (
    Channel,
    Compute,
    Fetch,
    Login,
    Mechanism,
    Noop,
    Opening,
    Plain,
    RemoteProtocolError,
    Reply,
    Responses,
    Session,
    Stage,
    State,
)
from esmtp_async.protocol._exceptions import AuthenticationFailed
from tests.protocol.dialogue import GREETING, Turn, converse, hello

LOGIN = Login("alice", "secret")
LOGIN_STEPS = (
    Turn("AUTH LOGIN", "334 VXNlcm5hbWU6"),
    Turn("YWxpY2U=", "334 UGFzc3dvcmQ6"),
    Turn("c2VjcmV0", "235 welcome"),
)
LOGIN_STEP = pytest.mark.parametrize("step", range(3))

PLAIN = Plain("alice", "secret")
AUTH_PLAIN = "AUTH PLAIN AGFsaWNlAHNlY3JldA=="

LONG = Plain("alice", "x" * 400)
LONG_RESPONSE = b64encode(b"\0alice\0" + b"x" * 400)
SAY_LONG = Turn("AUTH PLAIN", "334 ")

CANCELLED = Turn("*", "501 cancelled")


class Custom:
    """A mechanism that anybody may write."""

    names = ("CUSTOM",)

    def __init__(self, begin: Callable[[], Responses]) -> None:
        self._begin = begin

    def respond(self, _channel: Channel) -> Responses:
        return self._begin()


def hold(mechanism: Mechanism, session: Session, *turns: Turn) -> None:
    """Hold an opening with AUTH, over a transport that protects it."""
    opening = Opening("client.test", secure=True, mechanisms=[mechanism])
    offer = hello(f"AUTH {' '.join(mechanism.names)}")
    converse(session, opening, GREETING, offer, *turns)


def succeed(mechanism: Mechanism, *turns: Turn) -> None:
    """Hold a conversation that must authenticate us."""
    session = Session()
    hold(mechanism, session, *turns)
    assert session.state is State.READY
    assert session.reusable


def fail(
    mechanism: Mechanism, *turns: Turn, state: State = State.READY
) -> AuthenticationFailed:
    """Hold a conversation that must not; give the error, check the state."""
    session = Session()
    with pytest.raises(AuthenticationFailed) as caught:
        hold(mechanism, session, *turns)
    error = caught.value
    assert session.state is state
    assert (error.stage, error.command) == (Stage.AUTH, "AUTH")
    assert error.temporary is (error.reply is not None and error.reply.temporary)
    return error


def test_the_opening_tells_the_mechanism() -> None:
    opening = Opening("client.test", secure=True, mechanisms=[LOGIN, PLAIN])
    assert opening.mechanism is None
    known = Turn(AUTH_PLAIN, "235 welcome")
    converse(Session(), opening, GREETING, hello("AUTH PLAIN"), known)
    assert opening.mechanism == "PLAIN"


# LOGIN has three steps; each is answered with everything there is.


def test_login() -> None:
    succeed(LOGIN, *LOGIN_STEPS)


@LOGIN_STEP
@pytest.mark.parametrize("code", [432, 454, 500, 501, 503, 504, 530, 534, 535, 538])
def test_U2_a_refusal_is_final(step: int, code: int) -> None:
    refused = Turn(LOGIN_STEPS[step].client, f"{code} 5.7.8 no")
    error = fail(LOGIN, *LOGIN_STEPS[:step], refused)
    assert error.reply == Reply(code, (b"5.7.8 no",))
    assert str(error) == f"the server refused AUTH LOGIN: {code} 5.7.8 no"


@LOGIN_STEP
def test_E4_a_shutdown_is_final(step: int) -> None:
    shutdown = Turn(LOGIN_STEPS[step].client, "421 closing")
    error = fail(LOGIN, *LOGIN_STEPS[:step], shutdown, state=State.CLOSED)
    assert error.reply == Reply(421, (b"closing",))


@LOGIN_STEP
@pytest.mark.parametrize("code", [200, 220, 234, 236, 250, 300, 333, 335, 354])
def test_U5_no_code_but_235_and_334_is_taken(step: int, code: int) -> None:
    session = Session()
    wrong = Turn(LOGIN_STEPS[step].client, f"{code} ok")
    with pytest.raises(RemoteProtocolError, match=f"'{code} ok'"):
        hold(LOGIN, session, *LOGIN_STEPS[:step], wrong)
    assert session.state is State.CLOSED


@pytest.mark.parametrize("step", range(2))
def test_U5_success_before_the_end_is_none(step: int) -> None:
    early = Turn(LOGIN_STEPS[step].client, "235 welcome")
    error = fail(LOGIN, *LOGIN_STEPS[:step], early)
    assert "the server did not ask for" in str(error)
    assert error.reply == Reply(235, (b"welcome",))


@LOGIN_STEP
def test_the_end_of_the_stream_is_no_answer(step: int) -> None:
    """It is no error of the opening: whoever reads knows how the stream ended."""
    session = Session()
    hold(LOGIN, session, *LOGIN_STEPS[:step], Turn(LOGIN_STEPS[step].client, ""))
    assert session.state is State.CLOSED
    assert len(session.outstanding) == 1


def test_U4_the_password_is_said_once() -> None:
    again = Turn(LOGIN_STEPS[2].client, LOGIN_STEPS[1].server)
    error = fail(LOGIN, *LOGIN_STEPS[:2], again, CANCELLED)
    assert "goes on asking" in str(error)


def test_prompts_in_the_wrong_order_are_not_answered() -> None:
    for_name, for_password = LOGIN_STEPS[0].server, LOGIN_STEPS[1].server
    error = fail(LOGIN, Turn("AUTH LOGIN", for_password), CANCELLED)
    assert "user name first" in str(error)
    error = fail(LOGIN, LOGIN_STEPS[0], Turn("YWxpY2U=", for_name), CANCELLED)
    assert "password after the name" in str(error)


@pytest.mark.parametrize("challenge", ["334", "334 ", "334 QmVudXR6ZXI="])
def test_prompts_may_say_anything_else(challenge: str) -> None:
    succeed(LOGIN, Turn("AUTH LOGIN", challenge), *LOGIN_STEPS[1:])


@LOGIN_STEP
@pytest.mark.parametrize(
    "challenge",
    [
        "334 !!!",
        "334 VXNlcm5hbWU",
        "334 VXNl cm5h",
        "334  VXNl",
        "334 VXN\u00fc",
        b"334 \xff\xfe\r\n",
        b"334 VX\0Nl\r\n",
        "334-VXNl|334 VXNl",
        "334-|334 ",
    ],
)
def test_U6_a_malformed_challenge_is_not_answered(
    step: int, challenge: str | bytes
) -> None:
    malformed = Turn(LOGIN_STEPS[step].client, challenge)
    error = fail(LOGIN, *LOGIN_STEPS[:step], malformed, CANCELLED)
    assert "the server sent a SASL challenge" in str(error)
    assert error.reply == Reply(501, (b"cancelled",))


def test_U6_a_challenge_has_at_most_12288_octets() -> None:
    succeed(LOGIN, Turn("AUTH LOGIN", f"334 {'A' * 12288}"), *LOGIN_STEPS[1:])
    for count in (12289, 12292, 16384, 4 * 12288 - len("334 ") - 2):
        error = fail(LOGIN, Turn("AUTH LOGIN", f"334 {'A' * count}"), CANCELLED)
        assert "more than 12288 octets" in str(error)


@LOGIN_STEP
def test_U6_one_that_cannot_even_be_read_is_a_violation(step: int) -> None:
    said = LOGIN_STEPS[step].client
    for endless in (f"334 {'A' * (4 * 12288 - 5)}", b"334 " + b"A" * 4 * 12288):
        with pytest.raises(RemoteProtocolError, match="exceeds 49152 octets"):
            hold(LOGIN, Session(), *LOGIN_STEPS[:step], Turn(said, endless))


def test_P10_no_other_reply_may_be_longer_than_ever() -> None:
    """The limit is that of the command whose reply is awaited."""
    session = Session()
    hold(LOGIN, session, *LOGIN_STEPS)
    session.send(Noop())
    session.receive_data(b"250 ".ljust(2049, b"x"))
    with pytest.raises(RemoteProtocolError, match="exceeds 2048 octets"):
        session.next_event()
    surplus = Turn(LOGIN_STEPS[2].client, f"235 welcome|334 {'x' * 3000}")
    with pytest.raises(RemoteProtocolError, match="exceeds 2048 octets"):
        hold(LOGIN, Session(), *LOGIN_STEPS[:2], surplus)


# PLAIN has one step, or two where its line would be too long.


def test_plain() -> None:
    succeed(PLAIN, Turn(AUTH_PLAIN, "235 welcome"))


@pytest.mark.parametrize("challenge", ["334 ", "334", "334 UGFzc3dvcmQ6"])
def test_U3_plain_has_nothing_more_to_say(challenge: str) -> None:
    error = fail(PLAIN, Turn(AUTH_PLAIN, challenge), CANCELLED)
    assert "goes on asking" in str(error)
    assert error.reply == Reply(501, (b"cancelled",))
    assert isinstance(error.__cause__, AuthenticationFailed)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("501 cancelled", State.READY),
        ("454 cancelled", State.READY),
        ("235 welcome", State.READY),
        ("334 ", State.AUTH),
        ("421 closing", State.CLOSED),
    ],
)
def test_U3_no_answer_to_the_cancellation_helps(answer: str, state: State) -> None:
    error = fail(PLAIN, Turn(AUTH_PLAIN, "334 "), Turn("*", answer), state=state)
    assert error.reply is not None
    assert error.reply.code == int(answer[:3])


def test_a_line_of_auth_has_at_most_512_octets() -> None:
    fits = b64encode(b"\0alice\0" + b"x" * 365).decode()
    assert len(f"AUTH PLAIN {fits}\r\n") == 509
    succeed(Plain("alice", "x" * 365), Turn(f"AUTH PLAIN {fits}", "235 welcome"))
    exceeds = b64encode(b"\0alice\0" + b"x" * 366).decode()
    assert len(f"AUTH PLAIN {exceeds}\r\n") == 513
    succeed(Plain("alice", "x" * 366), SAY_LONG, Turn(exceeds, "235 welcome"))


def test_U3_a_long_response_is_said_once() -> None:
    said = Turn(LONG_RESPONSE + b"\r\n", "334 ")
    assert "goes on asking" in str(fail(LONG, SAY_LONG, said, CANCELLED))


def test_U5_success_before_a_long_response_was_said_is_none() -> None:
    error = fail(LONG, Turn("AUTH PLAIN", "235 welcome"))
    assert str(error) == "the server reported success before PLAIN was complete"
    assert error.reply == Reply(235, (b"welcome",))


def test_a_long_response_may_be_refused_at_both_steps() -> None:
    error = fail(LONG, Turn("AUTH PLAIN", "504 no"))
    assert error.reply == Reply(504, (b"no",))
    error = fail(LONG, SAY_LONG, Turn(LONG_RESPONSE + b"\r\n", "454 no"))
    assert error.reply == Reply(454, (b"no",))


# What a mechanism of the user's may do.


def test_an_empty_initial_response_is_an_equals_sign() -> None:
    def respond() -> Responses:
        yield b""

    succeed(Custom(respond), Turn("AUTH CUSTOM =", "235 ok"))


def test_no_response_to_a_challenge_is_an_empty_line() -> None:
    challenges: list[bytes | None] = []

    def respond() -> Responses:
        challenges.append((yield None))
        challenges.append((yield None))

    turns = (Turn("AUTH CUSTOM", "334 Zm9v"), Turn(b"\r\n", "235 ok"))
    succeed(Custom(respond), *turns)
    assert challenges == [b"foo", None]


def test_U5_a_mechanism_that_still_waits_is_not_satisfied() -> None:
    def respond() -> Responses:
        yield b"a"
        yield b"b"

    error = fail(Custom(respond), Turn("AUTH CUSTOM YQ==", "235 ok"))
    assert str(error) == "the server reported success before CUSTOM was complete"


def test_a_mechanism_may_refuse_a_challenge() -> None:
    def respond() -> Responses:
        yield b"a"
        msg = "the server lies"
        raise AuthenticationFailed(msg)

    turn = Turn("AUTH CUSTOM YQ==", "334 ")
    error = fail(Custom(respond), turn, Turn("*", "454 cancelled"))
    assert str(error) == "the server lies"
    assert error.reply == Reply(454, (b"cancelled",))


def test_U4_a_mechanism_may_answer_four_challenges() -> None:
    def respond() -> Responses:
        yield None
        for _ in range(rounds):
            yield b"a"

    turns = [Turn("AUTH CUSTOM", "334 "), *[Turn("YQ==", "334 ")] * 3]
    rounds = 4
    succeed(Custom(respond), *turns, Turn("YQ==", "235 ok"))
    rounds = 5
    error = fail(Custom(respond), *turns, Turn("YQ==", "334 "), state=State.AUTH)
    assert error.reply == Reply(334, (b"",))
    assert str(error) == "the server refused AUTH CUSTOM: 334"


async def token() -> bytes:
    return b"token"


def test_what_a_mechanism_asks_for_it_gets_before_its_response() -> None:
    def respond() -> Responses:
        got = yield Fetch(Stage.AUTH, token)
        got = yield Compute(Stage.AUTH, lambda: b"<%s>" % got)
        challenge = yield got
        got = yield Fetch(Stage.AUTH, token)
        yield b"%s, %s" % (challenge, got)

    turns = (
        Turn("AUTH CUSTOM PHRva2VuPg==", "334 Zm9v"),
        Turn("Zm9vLCB0b2tlbg==", "235 ok"),
    )
    succeed(Custom(respond), *turns)


@pytest.mark.parametrize(
    ("certificate", "offered", "chosen"),
    [
        (b"der", "X-PLUS X Y", "X-PLUS"),
        (b"der", "Y X", "X"),
        (b"", "X-PLUS X Y", "X"),
        (b"", "X-PLUS Y", "Y"),
    ],
)
def test_the_best_name_is_used_that_is_offered_and_can_be(
    certificate: bytes, offered: str, chosen: str
) -> None:
    channels: list[Channel] = []

    class Named:
        def __init__(self, *names: str) -> None:
            self.names = names

        def respond(self, channel: Channel) -> Responses:
            channels.append(channel)
            yield None
            yield b""

    session = Session()
    opening = Opening(
        "client.test",
        secure=True,
        mechanisms=[Named("X-PLUS", "X"), Named("Y")],
        host="mail.test",
        port=587,
        peer_certificate=certificate,
    )
    turns = (Turn(f"AUTH {chosen}", "334 "), Turn(b"\r\n", "235 ok"))
    converse(session, opening, GREETING, hello(f"AUTH {offered}"), *turns)
    names = tuple(offered.split())
    assert channels == [Channel(chosen, names, "mail.test", 587, certificate)]
