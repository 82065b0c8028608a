"""Credentials: which mechanism says them, when, and that nothing shows them."""

from __future__ import annotations

import hmac
import traceback
from base64 import b64encode
from contextlib import suppress
from typing import Final

import pytest

from esmtp_async.protocol import (
    Channel,
    CramMD5,
    Login,
    Opening,
    Plain,
    Reply,
    Responses,
    Session,
    Stage,
    StartTLSPolicy,
)
from esmtp_async.protocol._exceptions import AuthenticationFailed
from tests.protocol.dialogue import GREETING, Turn, converse, hello
from tests.protocol.test_authentication import CANCELLED, LOGIN_STEPS
from tests.tracebacks import given_away

MECHANISMS = (Login("alice", "secret"), Plain("alice", "secret"))
REQUIRED, OPPORTUNISTIC, NEVER = StartTLSPolicy
STARTTLS = Turn("STARTTLS", "220 go")


def hold(opening: Opening, *turns: Turn) -> None:
    converse(Session(opening), opening, GREETING, *turns)


def fail(opening: Opening, *turns: Turn) -> AuthenticationFailed:
    """Hold an opening that AUTH must end; give the error."""
    with pytest.raises(AuthenticationFailed) as caught:
        hold(opening, *turns)
    assert (caught.value.command, caught.value.stage) == ("AUTH", Stage.AUTH)
    return caught.value


@pytest.mark.parametrize(
    "offered", ["AUTH PLAIN LOGIN", "AUTH LOGIN PLAIN", "AUTH=LOGIN", "auth login"]
)
def test_the_first_of_ours_that_is_offered_is_taken(offered: str) -> None:
    opening = Opening("client.test", secure=True, mechanisms=MECHANISMS)
    hold(opening, hello(offered), *LOGIN_STEPS)


class Named:
    """A mechanism that says one thing, under these names."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def respond(self, _channel: Channel) -> Responses:
        yield b"x"


def turns_to(*steps: str) -> list[Turn]:
    """Give AUTH by the mechanism, and the code of its reply, for each step."""
    pairs = (step.split() for step in steps)
    return [Turn(f"AUTH {name} eA==", f"{code} said") for name, code in pairs]


STRONGER = [
    ("PLAIN", "LOGIN"),
    ("LOGIN", "PLAIN"),
    ("OAUTHBEARER", "XOAUTH2"),
    ("PLAIN", "CRAM-MD5"),
    ("CRAM-MD5", "SCRAM-SHA-1"),
    ("SCRAM-SHA-1", "SCRAM-SHA-256"),
    ("SCRAM-SHA-256", "SCRAM-SHA-512"),
    ("SCRAM-SHA-512", "SCRAM-SHA-1-PLUS"),
    ("SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"),
    ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS"),
    ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"),
]
UNRELATED = [("CUSTOM", "PLAIN"), ("PLAIN", "CUSTOM"), ("CUSTOM", "CUSTOM")]
WEAKER = [pair[::-1] for pair in STRONGER[3:]]


def opening_with(*names: str) -> Opening:
    mechanisms = [Named(name) for name in names]
    return Opening(
        "client.test", secure=True, mechanisms=mechanisms, peer_certificate=b"der"
    )


@pytest.mark.parametrize("pair", STRONGER)
@pytest.mark.parametrize("code", [504, 534])
def test_U2_one_as_strong_is_tried_where_the_mechanism_is_refused(
    pair: tuple[str, str], code: int
) -> None:
    first, second = pair
    said = turns_to(f"{first} {code}", f"{second} 235")
    hold(opening_with(first, second), hello(f"AUTH {second} {first}"), *said)


@pytest.mark.parametrize("pair", [*WEAKER, *UNRELATED])
@pytest.mark.parametrize("code", [504, 534])
def test_U2_none_that_is_weaker_or_unknown(pair: tuple[str, str], code: int) -> None:
    first, second = pair
    offer = hello(f"AUTH {first} {second}")
    error = fail(opening_with(first, second), offer, *turns_to(f"{first} {code}"))
    assert error.reply == Reply(code, (b"said",))


@pytest.mark.parametrize("code", [432, 454, 500, 501, 503, 530, 535, 538])
def test_U2_nor_any_where_something_else_is_refused(code: int) -> None:
    error = fail(
        opening_with("PLAIN", "CRAM-MD5"),
        hello("AUTH PLAIN CRAM-MD5"),
        *turns_to(f"PLAIN {code}"),
    )
    assert error.reply == Reply(code, (b"said",))
    assert error.temporary is (code < 500)


def test_U2_only_what_is_offered_and_as_strong_as_the_last() -> None:
    names = ("CRAM-MD5", "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "CRAM-MD5")
    said = turns_to("CRAM-MD5 504", "SCRAM-SHA-256 534")
    error = fail(
        opening_with(*names), hello("AUTH PLAIN CRAM-MD5 SCRAM-SHA-256"), *said
    )
    assert error.reply == Reply(534, (b"said",))


@pytest.mark.parametrize("code", [504, 534])
def test_U2_none_once_a_challenge_was_answered(code: int) -> None:
    opening = Opening("client.test", secure=True, mechanisms=MECHANISMS)
    late = Turn(LOGIN_STEPS[2].client, f"{code} said")
    error = fail(opening, hello("AUTH PLAIN LOGIN"), *LOGIN_STEPS[:2], late)
    assert error.reply == Reply(code, (b"said",))


OTHERS_OFFERED: Final = (
    "the server offers CRAM-MD5 GSSAPI for AUTH, and none of LOGIN, PLAIN is among "
    "them; auth= takes others"
)
NOTHING_OFFERED: Final = (
    "the server offers no AUTH: leave the credentials out, or go to a port where mail "
    "is submitted, 587 or 465"
)


@pytest.mark.parametrize(
    ("offer", "said"),
    [
        ("AUTH CRAM-MD5 GSSAPI", OTHERS_OFFERED),
        ("AUTH PLAIN.example", NOTHING_OFFERED),
        ("DSN", NOTHING_OFFERED),
    ],
)
def test_what_is_not_offered_is_not_tried(offer: str, said: str) -> None:
    opening = Opening("client.test", secure=True, mechanisms=MECHANISMS)
    error = fail(opening, hello(offer))
    assert str(error) == said
    assert error.reply is None


@pytest.mark.parametrize("policy", [NEVER, OPPORTUNISTIC])
def test_U1_no_credentials_go_unprotected(policy: StartTLSPolicy) -> None:
    opening = Opening("client.test", starttls=policy, mechanisms=MECHANISMS)
    assert "unprotected" in str(fail(opening, hello("AUTH PLAIN LOGIN")))


def test_U1_a_refused_starttls_protects_nothing() -> None:
    opening = Opening("client.test", starttls=OPPORTUNISTIC, mechanisms=MECHANISMS)
    turns = (hello("STARTTLS", "AUTH PLAIN"), Turn("STARTTLS", "454 no"))
    assert "unprotected" in str(fail(opening, *turns))


def test_U1_they_may_go_unprotected_where_that_was_asked_for() -> None:
    opening = Opening("client.test", mechanisms=MECHANISMS, allow_plaintext_auth=True)
    hold(opening, hello("AUTH LOGIN"), *LOGIN_STEPS)


@pytest.mark.parametrize("policy", [REQUIRED, OPPORTUNISTIC])
def test_they_may_go_after_starttls(policy: StartTLSPolicy) -> None:
    opening = Opening("client.test", starttls=policy, mechanisms=MECHANISMS)
    hold(opening, hello("STARTTLS"), STARTTLS, hello("AUTH LOGIN"), *LOGIN_STEPS)


def test_T6_they_need_an_offer_made_under_tls() -> None:
    opening = Opening("client.test", starttls=REQUIRED, mechanisms=MECHANISMS)
    error = fail(opening, hello("STARTTLS", "AUTH PLAIN"), STARTTLS, hello())
    assert str(error) == NOTHING_OFFERED


PLAIN_LINE = b64encode(b"\0alice\0secret").decode()
LONG = Plain("alice", "secret" * 99)
REFUSED_AT_THE_END = Turn(LOGIN_STEPS[2].client, "535 no")
CRAM_LINE = b64encode(
    b"alice " + hmac.new(b"secret", b"x", "md5").hexdigest().encode()
).decode()
CRAM = (Turn("AUTH CRAM-MD5", "334 eA=="), Turn(CRAM_LINE, "535 no"))
FAILURES: list[tuple[Login | Plain | CramMD5, list[Turn]]] = [
    (CramMD5("alice", "secret"), [*CRAM]),
    (CramMD5("alice", "secret"), [CRAM[0], Turn(CRAM_LINE, "334 "), CANCELLED]),
    (MECHANISMS[1], [Turn(f"AUTH PLAIN {PLAIN_LINE}", "535 no")]),
    (MECHANISMS[1], [Turn(f"AUTH PLAIN {PLAIN_LINE}", "334 "), CANCELLED]),
    (MECHANISMS[0], [*LOGIN_STEPS[:2], Turn("c2VjcmV0", "535 no")]),
    (MECHANISMS[0], [*LOGIN_STEPS[:2], Turn("c2VjcmV0", "421 no")]),
    (MECHANISMS[0], [*LOGIN_STEPS[:2], Turn("c2VjcmV0", "334 "), CANCELLED]),
    (LONG, [Turn("AUTH PLAIN", "504 no")]),
    (LONG, [Turn("AUTH PLAIN", "235 ok")]),
    # More than a line may hold, which shows behind the prompts only.
    (Login("alice", "secret" * 1537), [*LOGIN_STEPS[:2], CANCELLED]),
]


@pytest.mark.parametrize(("mechanism", "turns"), FAILURES)
def test_U12_no_variable_in_a_traceback_shows_them(
    mechanism: Plain | Login | CramMD5, turns: list[Turn]
) -> None:
    opening = Opening("client.test", secure=True, mechanisms=[mechanism])
    offer = hello(f"AUTH {mechanism.names[0]}")
    shown = given_away(fail(opening, offer, *turns))
    assert "Opening object" in shown
    secrets = ("secret", "c2VjcmV0", PLAIN_LINE[:-4], "AHNlY3JldH", CRAM_LINE[:-4])
    for secret in secrets:
        assert secret not in shown.replace("Secret('***')", "")


class Careless:
    """A mechanism of anybody's, which keeps a secret in a variable."""

    names = ("CARELESS",)

    def respond(self, _channel: Channel) -> Responses:
        password = "secret"
        try:
            yield password.encode()
        except AuthenticationFailed as refusal:
            refusal.details = {"status": "expired"}
            raise


@pytest.mark.parametrize("code", [432, 535])
def test_U12_a_mechanism_is_told_of_its_refusal_and_not_shown(code: int) -> None:
    opening = Opening("client.test", secure=True, mechanisms=[Careless()])
    auth = Turn("AUTH CARELESS c2VjcmV0", f"{code} no")
    error = fail(opening, hello("AUTH CARELESS"), auth)
    assert error.mechanism == "CARELESS"
    assert error.details == {"status": "expired"}
    assert str(error) == (
        f"the server refused AUTH CARELESS: {code} no (status=expired)"
    )
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert "password" not in {
        name for frame in told.stack for name in frame.locals or ()
    }


def test_a_mechanism_that_takes_a_refusal_for_nothing_is_refused_all_the_same() -> None:
    class Deaf(Careless):
        def respond(self, _channel: Channel) -> Responses:
            with suppress(AuthenticationFailed):
                yield b"secret"
            yield b"more"

    opening = Opening("client.test", secure=True, mechanisms=[Deaf()])
    auth = Turn("AUTH CARELESS c2VjcmV0", "535 no")
    error = fail(opening, hello("AUTH CARELESS"), auth)
    assert str(error) == "the server refused AUTH CARELESS: 535 no"
