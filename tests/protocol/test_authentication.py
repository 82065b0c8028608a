"""AUTH within the opening, reply by reply (RFC 4954 §4, RFC 4422)."""

from __future__ import annotations

import traceback
from base64 import b64encode
from collections.abc import Callable

import pytest

from esmtp_async.protocol import (
    Login,
    Mechanism,
    Opening,
    Plain,
    RemoteProtocolError,
    Reply,
    Session,
    Stage,
    StartTLSPolicy,
    State,
)
from esmtp_async.protocol._exceptions import AuthenticationFailed
from esmtp_async.protocol._sasl import Responses
from tests.protocol.dialogue import Turn, converse
from tests.protocol.test_exchange import GREETING, hello

PASSWORD = "correct horse"
ALICE = b64encode(b"alice").decode()
SECRET = b64encode(PASSWORD.encode()).decode()
PLAIN = b64encode(f"\0alice\0{PASSWORD}".encode()).decode()

ASK_NAME = "334 VXNlcm5hbWU6"
ASK_PASSWORD = "334 UGFzc3dvcmQ6"
CANCELLED = Turn("*", "501 cancelled")


def authenticate(
    *turns: Turn, mechanism: Mechanism | None = None
) -> tuple[Session, AuthenticationFailed | None]:
    """Hold an opening with AUTH to its end; give the session and why it failed."""
    mechanism = mechanism or Login("alice", PASSWORD)
    opening = Opening("client.test", secure=True, mechanisms=[mechanism])
    session = Session(opening)
    offer = hello(f"AUTH {mechanism.name}")
    try:
        converse(session, opening, GREETING, offer, *turns)
    except AuthenticationFailed as error:
        assert error.stage is Stage.AUTH
        assert error.command == "AUTH"
        return session, error
    return session, None


class Custom:
    """A mechanism that anybody may write."""

    name = "CUSTOM"

    def __init__(self, respond: Callable[[], Responses]) -> None:
        self.respond = respond


class TestLogin:
    """LOGIN has three steps; each is answered with everything there is."""

    STEPS = (
        Turn("AUTH LOGIN", ASK_NAME),
        Turn(ALICE, ASK_PASSWORD),
        Turn(SECRET, "235 welcome"),
    )

    def test_the_conversation(self) -> None:
        session, error = authenticate(*self.STEPS)
        assert error is None
        assert session.state is State.READY
        assert session.reusable

    @pytest.mark.parametrize("step", range(3))
    @pytest.mark.parametrize("code", [432, 454, 500, 501, 503, 504, 530, 534, 535, 538])
    def test_a_refusal_is_final(self, step: int, code: int) -> None:
        """U2: no second AUTH, and no other mechanism."""
        refused = Turn(self.STEPS[step].client, f"{code} 5.7.8 no")
        session, error = authenticate(*self.STEPS[:step], refused)
        assert error is not None
        assert error.reply == Reply(code, (b"5.7.8 no",))
        assert error.temporary is (code < 500)
        assert str(error) == f"the server refused AUTH: {code} 5.7.8 no"
        assert session.state is State.READY

    @pytest.mark.parametrize("step", range(3))
    def test_E4_a_shutdown_is_final(self, step: int) -> None:
        shutdown = Turn(self.STEPS[step].client, "421 closing")
        session, error = authenticate(*self.STEPS[:step], shutdown)
        assert error is not None
        assert error.temporary
        assert error.reply == Reply(421, (b"closing",))
        assert session.state is State.CLOSED

    @pytest.mark.parametrize("step", range(3))
    @pytest.mark.parametrize("code", [200, 220, 234, 236, 250, 300, 333, 335, 354])
    def test_U5_no_code_but_235_and_334_is_taken(self, step: int, code: int) -> None:
        wrong = Turn(self.STEPS[step].client, f"{code} ok")
        with pytest.raises(RemoteProtocolError, match=f"'{code} ok'"):
            authenticate(*self.STEPS[:step], wrong)

    @pytest.mark.parametrize("step", range(2))
    def test_U5_success_before_the_end_is_none(self, step: int) -> None:
        early = Turn(self.STEPS[step].client, "235 welcome")
        _, error = authenticate(*self.STEPS[:step], early)
        assert error is not None
        assert not error.temporary
        assert "the server did not ask for" in str(error)

    @pytest.mark.parametrize("step", range(3))
    def test_the_end_of_the_stream_is_no_answer(self, step: int) -> None:
        session, error = authenticate(
            *self.STEPS[:step], Turn(self.STEPS[step].client, "")
        )
        assert error is None
        assert session.state is State.CLOSED
        assert len(session.outstanding) == 1

    def test_U4_the_password_is_said_once(self) -> None:
        again = Turn(SECRET, ASK_PASSWORD)
        _, error = authenticate(*self.STEPS[:2], again, CANCELLED)
        assert error is not None
        assert "goes on asking" in str(error)

    def test_prompts_in_the_wrong_order_are_not_answered(self) -> None:
        _, error = authenticate(Turn("AUTH LOGIN", ASK_PASSWORD), CANCELLED)
        assert error is not None
        assert "user name first" in str(error)
        _, error = authenticate(self.STEPS[0], Turn(ALICE, ASK_NAME), CANCELLED)
        assert error is not None
        assert "password after the name" in str(error)

    @pytest.mark.parametrize("challenge", ["334", "334 ", "334 QmVudXR6ZXI="])
    def test_prompts_may_say_anything(self, challenge: str) -> None:
        first = Turn("AUTH LOGIN", challenge)
        assert authenticate(first, *self.STEPS[1:])[1] is None

    @pytest.mark.parametrize(
        "challenge",
        [
            "334 !!!",
            "334 VXNlcm5hbWU",
            "334 VXNl cm5h",
            "334  VXNl",
            "334 VXNl=",
            "334 VXN\u00fc",
            b"334 \xff\xfe\r\n",
            b"334 VX\0Nl\r\n",
            "334-VXNl|334 VXNl",
            "334-|334 ",
        ],
    )
    @pytest.mark.parametrize("step", range(3))
    def test_U6_a_malformed_challenge_is_not_answered(
        self, step: int, challenge: str | bytes
    ) -> None:
        malformed = Turn(self.STEPS[step].client, challenge)
        session, error = authenticate(*self.STEPS[:step], malformed, CANCELLED)
        assert error is not None
        assert "the server sent a SASL challenge" in str(error)
        assert error.reply == Reply(501, (b"cancelled",))
        assert session.state is State.READY

    def test_U6_a_challenge_longer_than_a_reply_line_is_a_violation(self) -> None:
        long = Turn("AUTH LOGIN", f"334 {'A' * 16384}")
        with pytest.raises(RemoteProtocolError, match="exceeds"):
            authenticate(long)


class TestPlain:
    """PLAIN has one step, or two where its line would be too long."""

    LONG = Plain("alice", "x" * 400)
    WIRE = b64encode(b"\0alice\0" + b"x" * 400).decode()

    def plain(self, *turns: Turn) -> tuple[Session, AuthenticationFailed | None]:
        return authenticate(*turns, mechanism=Plain("alice", PASSWORD))

    def test_the_conversation(self) -> None:
        session, error = self.plain(Turn(f"AUTH PLAIN {PLAIN}", "235 welcome"))
        assert error is None
        assert session.reusable

    def test_a_refusal_is_final(self) -> None:
        _, error = self.plain(Turn(f"AUTH PLAIN {PLAIN}", "535 no"))
        assert error is not None
        assert error.reply == Reply(535, (b"no",))

    @pytest.mark.parametrize("challenge", ["334 ", "334", "334 UGFzc3dvcmQ6"])
    def test_U3_there_is_nothing_more_to_say(self, challenge: str) -> None:
        session, error = self.plain(Turn(f"AUTH PLAIN {PLAIN}", challenge), CANCELLED)
        assert error is not None
        assert "goes on asking" in str(error)
        assert error.reply == Reply(501, (b"cancelled",))
        assert error.__cause__ is not None
        assert session.state is State.READY

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
    def test_U3_no_answer_to_the_cancellation_helps(
        self, answer: str, state: State
    ) -> None:
        session, error = self.plain(
            Turn(f"AUTH PLAIN {PLAIN}", "334 "), Turn("*", answer)
        )
        assert error is not None
        assert error.reply is not None
        assert error.reply.code == int(answer[:3])
        assert session.state is state

    def test_a_line_has_at_most_512_octets(self) -> None:
        """Else the response answers the first challenge (RFC 4954 §4)."""
        fits, exceeds = Plain("alice", "x" * 365), Plain("alice", "x" * 366)
        wire = b64encode(b"\0alice\0" + b"x" * 365).decode()
        assert len(f"AUTH PLAIN {wire}\r\n") == 509
        turn = Turn(f"AUTH PLAIN {wire}", "235 welcome")
        assert authenticate(turn, mechanism=fits)[1] is None
        wire = b64encode(b"\0alice\0" + b"x" * 366).decode()
        turns = (Turn("AUTH PLAIN", "334 "), Turn(wire, "235 welcome"))
        assert authenticate(*turns, mechanism=exceeds)[1] is None

    def test_U3_a_long_one_is_said_once(self) -> None:
        turns = (Turn("AUTH PLAIN", "334 "), Turn(self.WIRE, "334 "), CANCELLED)
        _, error = authenticate(*turns, mechanism=self.LONG)
        assert error is not None
        assert "goes on asking" in str(error)

    def test_U5_success_before_a_long_one_was_said_is_none(self) -> None:
        turn = Turn("AUTH PLAIN", "235 welcome")
        _, error = authenticate(turn, mechanism=self.LONG)
        assert error is not None
        assert str(error) == "the server reported success before PLAIN was complete"
        assert error.reply == Reply(235, (b"welcome",))

    def test_a_long_one_may_be_refused_at_both_steps(self) -> None:
        first = Turn("AUTH PLAIN", "504 no")
        _, error = authenticate(first, mechanism=self.LONG)
        assert error is not None
        turns = (Turn("AUTH PLAIN", "334 "), Turn(self.WIRE, "535 no"))
        _, error = authenticate(*turns, mechanism=self.LONG)
        assert error is not None
        assert error.reply == Reply(535, (b"no",))


class TestChoice:
    """One mechanism a connection, and only where it is protected."""

    MECHANISMS = (Login("alice", PASSWORD), Plain("alice", PASSWORD))

    @pytest.mark.parametrize(
        "offered", ["AUTH PLAIN LOGIN", "AUTH LOGIN PLAIN", "AUTH=LOGIN", "auth login"]
    )
    def test_the_first_of_ours_that_is_offered_is_taken(self, offered: str) -> None:
        opening = Opening("client.test", secure=True, mechanisms=self.MECHANISMS)
        converse(Session(opening), opening, GREETING, hello(offered), *TestLogin.STEPS)

    def test_U2_no_other_is_tried_after_it(self) -> None:
        opening = Opening("client.test", secure=True, mechanisms=self.MECHANISMS)
        refused = Turn("AUTH LOGIN", "504 unknown mechanism")
        with pytest.raises(AuthenticationFailed):
            converse(
                Session(opening), opening, GREETING, hello("AUTH PLAIN LOGIN"), refused
            )

    @pytest.mark.parametrize(
        ("offer", "said"),
        [
            ("AUTH CRAM-MD5 GSSAPI", "the server offers CRAM-MD5 GSSAPI for AUTH"),
            ("AUTH PLAIN.example", "the server offers no mechanism for AUTH"),
            ("DSN", "the server offers no mechanism for AUTH"),
        ],
    )
    def test_what_is_not_offered_is_not_tried(self, offer: str, said: str) -> None:
        opening = Opening("client.test", secure=True, mechanisms=self.MECHANISMS)
        with pytest.raises(AuthenticationFailed) as caught:
            converse(Session(opening), opening, GREETING, hello(offer))
        assert str(caught.value) == f"{said}, and none of LOGIN, PLAIN is among them"
        assert (caught.value.command, caught.value.stage) == ("AUTH", Stage.AUTH)
        assert caught.value.reply is None

    @pytest.mark.parametrize(
        "policy", [StartTLSPolicy.NEVER, StartTLSPolicy.OPPORTUNISTIC]
    )
    def test_U1_no_credentials_go_unprotected(self, policy: StartTLSPolicy) -> None:
        opening = Opening("client.test", starttls=policy, mechanisms=self.MECHANISMS)
        with pytest.raises(AuthenticationFailed, match="unprotected") as caught:
            converse(Session(opening), opening, GREETING, hello("AUTH PLAIN LOGIN"))
        assert (caught.value.command, caught.value.stage) == ("AUTH", Stage.AUTH)

    def test_U1_a_refused_starttls_protects_nothing(self) -> None:
        policy = StartTLSPolicy.OPPORTUNISTIC
        opening = Opening("client.test", starttls=policy, mechanisms=self.MECHANISMS)
        turns = (hello("STARTTLS", "AUTH PLAIN"), Turn("STARTTLS", "454 no"))
        with pytest.raises(AuthenticationFailed, match="unprotected"):
            converse(Session(opening), opening, GREETING, *turns)

    def test_U1_they_may_go_unprotected_where_that_was_asked_for(self) -> None:
        opening = Opening(
            "client.test", mechanisms=self.MECHANISMS, allow_plaintext_auth=True
        )
        converse(
            Session(opening), opening, GREETING, hello("AUTH LOGIN"), *TestLogin.STEPS
        )

    @pytest.mark.parametrize(
        "policy", [StartTLSPolicy.REQUIRED, StartTLSPolicy.OPPORTUNISTIC]
    )
    def test_they_may_go_after_starttls(self, policy: StartTLSPolicy) -> None:
        opening = Opening("client.test", starttls=policy, mechanisms=self.MECHANISMS)
        turns = (hello("STARTTLS"), Turn("STARTTLS", "220 go"), hello("AUTH LOGIN"))
        converse(Session(opening), opening, GREETING, *turns, *TestLogin.STEPS)


class TestCustom:
    """What a mechanism of the user's may do."""

    def custom(
        self, respond: Callable[[], Responses], *turns: Turn
    ) -> AuthenticationFailed | None:
        return authenticate(*turns, mechanism=Custom(respond))[1]

    def test_an_empty_initial_response_is_an_equals_sign(self) -> None:
        def respond() -> Responses:
            yield b""

        assert self.custom(respond, Turn("AUTH CUSTOM =", "235 ok")) is None

    def test_no_response_to_a_challenge_is_an_empty_line(self) -> None:
        challenges: list[bytes | None] = []

        def respond() -> Responses:
            challenges.append((yield None))
            challenges.append((yield None))

        turns = (
            Turn("AUTH CUSTOM", "334 Zm9v"),
            Turn("|".removesuffix("|") or b"\r\n", "235 ok"),
        )
        assert self.custom(respond, *turns) is None
        assert challenges == [b"foo", None]

    def test_U5_a_mechanism_that_still_waits_is_not_satisfied(self) -> None:
        def respond() -> Responses:
            yield b"a"
            yield b"b"

        error = self.custom(respond, Turn("AUTH CUSTOM YQ==", "235 ok"))
        assert error is not None
        assert str(error) == "the server reported success before CUSTOM was complete"

    def test_a_mechanism_may_refuse_a_challenge(self) -> None:
        def respond() -> Responses:
            yield b"a"
            msg = "the server lies"
            raise AuthenticationFailed(msg)

        turn = Turn("AUTH CUSTOM YQ==", "334 ")
        error = self.custom(respond, turn, Turn("*", "454 cancelled"))
        assert error is not None
        assert str(error) == "the server lies"
        assert error.temporary

    @pytest.mark.parametrize(("rounds", "succeeds"), [(8, True), (9, False)])
    def test_U4_rounds_are_counted(self, rounds: int, *, succeeds: bool) -> None:
        def respond() -> Responses:
            yield None
            for _ in range(rounds):
                yield b"a"

        turns = [Turn("AUTH CUSTOM", "334 "), *[Turn("YQ==", "334 ")] * 7]
        last = Turn("YQ==", "235 ok" if succeeds else "334 ")
        error = self.custom(respond, *turns, last)
        assert (error is None) is succeeds
        if error is not None:
            assert error.reply == Reply(334, (b"",))

    def test_U6_a_challenge_has_at_most_12288_octets(self) -> None:
        """Whoever's reader takes longer lines than ours."""

        def respond() -> Responses:
            yield None
            yield b"a"

        opening = Opening("client.test", secure=True, mechanisms=[Custom(respond)])
        session = Session(opening)
        session.receive_data(b"220 hi\r\n250-hi\r\n250 AUTH CUSTOM\r\n334 \r\n")
        for length, said in ((12288, b"YQ==\r\n"), (12292, b"*\r\n")):
            opening = Opening("client.test", secure=True, mechanisms=[Custom(respond)])
            assert said_after(opening, b"A" * length) == said


def said_after(opening: Opening, challenge: bytes) -> bytes:
    """Give what an opening says to a challenge that came past the reader."""
    session = Session(opening)
    steps = opening.commands(session)
    for line in (b"220 hi\r\n", b"250-hi\r\n250 AUTH CUSTOM\r\n", b"334 \r\n"):
        session.receive_data(line)
        event = session.next_event()
        assert isinstance(event, tuple)
        opening.replied(event.command, event.reply)
        if line != b"334 \r\n":
            command = next(steps)
            session.send(command, opening)
    opening.replied(event.command, Reply(334, (challenge,)))
    return next(steps).wire


LEAKS = [
    (Plain("alice", PASSWORD), [Turn(f"AUTH PLAIN {PLAIN}", "535 no")]),
    (Plain("alice", PASSWORD), [Turn(f"AUTH PLAIN {PLAIN}", "334 "), CANCELLED]),
    (Login("alice", PASSWORD), [*TestLogin.STEPS[:2], Turn(SECRET, "535 no")]),
    (Login("alice", PASSWORD), [*TestLogin.STEPS[:2], Turn(SECRET, "421 no")]),
    (Login("alice", PASSWORD), [*TestLogin.STEPS[:2], Turn(SECRET, "334 "), CANCELLED]),
    (Plain("alice", PASSWORD * 40), [Turn("AUTH PLAIN", "504 no")]),
    (Plain("alice", PASSWORD * 40), [Turn("AUTH PLAIN", "235 ok")]),
]


@pytest.mark.parametrize(("mechanism", "turns"), LEAKS)
def test_U12_no_variable_in_a_traceback_holds_a_secret(
    mechanism: Plain | Login, turns: list[Turn]
) -> None:
    _, error = authenticate(*turns, mechanism=mechanism)
    shown = ""
    chain: BaseException | None = error
    while chain is not None:
        told = traceback.TracebackException.from_exception(chain, capture_locals=True)
        assert told.stack
        for frame in told.stack:
            if "esmtp_async" in frame.filename:
                shown += f"{frame.locals}\n"
        shown += str(chain)
        chain = chain.__cause__ or chain.__context__
    assert "Opening" in shown
    for secret in (
        PASSWORD,
        SECRET,
        PLAIN,
        b64encode(b"\0alice\0correct").decode()[:18],
    ):
        assert secret not in shown
