"""SASL mechanisms as automata, and secrets that stay so (RFC 4422, RFC 4616)."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback
from base64 import b64encode
from collections.abc import Callable

import pytest

from esmtp_async.protocol import (
    Anonymous,
    Auth,
    Channel,
    CramMD5,
    External,
    Login,
    Mechanism,
    Plain,
    Secret,
)
from esmtp_async.protocol._exceptions import AuthenticationFailed, InvalidInput

PASSWORD = "correct horse"
CHANNEL = Channel("", (), "mail.test", 587, b"")


def test_plain_is_the_example_of_its_rfc() -> None:
    """RFC 4616 §4: no authorization identity, tim, tanstaaftanstaaf."""
    responses = Plain("tim", "tanstaaftanstaaf").respond(CHANNEL)
    assert next(responses) == b"\0tim\0tanstaaftanstaaf"
    with pytest.raises(StopIteration):
        responses.send(None)


def test_plain_is_the_example_of_rfc_4954() -> None:
    """RFC 4954 §4.1: AUTH PLAIN with its initial response, test and 1234."""
    initial = next(Plain("test", "1234").respond(CHANNEL))
    assert isinstance(initial, bytes)
    assert Auth("PLAIN", initial).wire == b"AUTH PLAIN AHRlc3QAMTIzNA==\r\n"


def test_plain_is_utf8() -> None:
    assert (
        next(Plain("jürgen", "pässwörd").respond(CHANNEL))
        == "\0jürgen\0pässwörd".encode()
    )


def test_plain_has_nothing_to_say_to_a_challenge() -> None:
    responses = Plain("alice", PASSWORD).respond(CHANNEL)
    next(responses)
    with pytest.raises(StopIteration):
        responses.send(b"")


PROMPTS = [
    (b"Username:", b"Password:"),
    (b"User Name\0", b"Password\0"),
    (b"", b""),
    (b"Benutzer:", b"Kennwort:"),
    (b"Login:", b"pass"),
]


@pytest.mark.parametrize(("first", "second"), PROMPTS)
def test_login_answers_two_prompts_in_their_order(first: bytes, second: bytes) -> None:
    responses = Login("älice", Secret(PASSWORD)).respond(CHANNEL)
    assert next(responses) is None
    assert responses.send(first) == "älice".encode()
    assert responses.send(second) == PASSWORD.encode()
    with pytest.raises(StopIteration):
        responses.send(None)


@pytest.mark.parametrize("prompt", [b"Password:", b"PASSWORD", b" pass", None])
def test_login_does_not_give_its_first_answer_to_the_second_prompt(
    prompt: bytes | None,
) -> None:
    responses = Login("alice", PASSWORD).respond(CHANNEL)
    next(responses)
    with pytest.raises(AuthenticationFailed, match="user name first"):
        responses.send(prompt)


@pytest.mark.parametrize("prompt", [b"Username:", b"USER", b"\tuser name", None])
def test_login_does_not_give_the_password_to_the_first_prompt(
    prompt: bytes | None,
) -> None:
    responses = Login("alice", PASSWORD).respond(CHANNEL)
    next(responses)
    responses.send(b"Username:")
    with pytest.raises(AuthenticationFailed, match="password after the name"):
        responses.send(prompt)


def test_U4_login_says_the_password_once() -> None:
    responses = Login("alice", PASSWORD).respond(CHANNEL)
    said = [next(responses), responses.send(b"Username:"), responses.send(b"Password:")]
    with pytest.raises(StopIteration):
        responses.send(b"Password:")
    assert said.count(PASSWORD.encode()) == 1


@pytest.mark.parametrize("mechanism", [Plain, Login])
def test_a_mechanism_may_be_used_again(mechanism: type[Plain | Login]) -> None:
    made = mechanism("alice", PASSWORD)
    assert [next(made.respond(CHANNEL)) for _ in range(2)].count(
        next(made.respond(CHANNEL))
    ) == 2


def test_the_mechanisms_have_their_registered_names() -> None:
    mechanisms: list[Mechanism] = [
        *(Plain("a", "b"), Login("a", "b"), CramMD5("a", "b")),
        *(External(), Anonymous()),
    ]
    names = ["PLAIN", "LOGIN", "CRAM-MD5", "EXTERNAL", "ANONYMOUS"]
    assert [mechanism.names for mechanism in mechanisms] == [(name,) for name in names]
    assert all(isinstance(mechanism, Mechanism) for mechanism in mechanisms)
    assert not isinstance("PLAIN", Mechanism)


def test_cram_md5_is_the_example_of_its_rfc() -> None:
    """RFC 2195 §2: tim, tanstaaftanstaaf."""
    responses = CramMD5("tim", "tanstaaftanstaaf").respond(CHANNEL)
    assert next(responses) is None
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    assert responses.send(challenge) == b"tim b913a602c7eda7a495b4e6e7334d3890"
    with pytest.raises(StopIteration):
        responses.send(None)


def test_cram_md5_needs_a_challenge() -> None:
    responses = CramMD5("alice", PASSWORD).respond(CHANNEL)
    next(responses)
    with pytest.raises(AuthenticationFailed, match="without a challenge"):
        responses.send(None)


@pytest.mark.parametrize("authzid", ["", "alice", "älice@mail.test"])
def test_external_says_whom_to_act_for(authzid: str) -> None:
    responses = External(authzid).respond(CHANNEL)
    assert next(responses) == authzid.encode()
    with pytest.raises(StopIteration):
        responses.send(None)
    assert repr(External(authzid)) == f"External({authzid!r})"


def test_external_for_oneself_is_an_equals_sign() -> None:
    initial = next(External().respond(CHANNEL))
    assert isinstance(initial, bytes)
    assert Auth("EXTERNAL", initial).wire == b"AUTH EXTERNAL =\r\n"


def test_anonymous_is_the_example_of_its_rfc() -> None:
    """RFC 4505 §4: sirhc."""
    responses = Anonymous("sirhc").respond(CHANNEL)
    assert next(responses) == b"sirhc"
    with pytest.raises(StopIteration):
        responses.send(None)


@pytest.mark.parametrize(
    "trace", ["", "x" * 255, "Grüße an alle", f"{'a' * 180}@{'b.' * 30}test"]
)
def test_a_trace_is_a_word_or_an_address(trace: str) -> None:
    assert next(Anonymous(trace).respond(CHANNEL)) == trace.encode()
    assert repr(Anonymous(trace)) == f"Anonymous({trace!r})"


@pytest.mark.parametrize(
    ("trace", "why"),
    [
        ("x" * 256, "more than 255 characters"),
        ("a@", "no mail address"),
        ("a@b@c", "no mail address"),
        ("a\r\nb", "prohibited"),
        ("a\x7fb", "prohibited"),
        ("a\u2028b", "prohibited"),
        ("a\u202eb", "prohibited"),
        ("a\ue000b", "prohibited"),
        ("a\ufffdb", "prohibited"),
        ("a\ufdd0b", "prohibited"),
        ("a\U000e0001b", "prohibited"),
        ("a\0b", "holds a NUL"),
        ("\ud800", "cannot be encoded"),
        (5, "is of type int"),
    ],
)
def test_what_is_no_trace_is_refused(trace: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=f"the trace .*{why}"):
        Anonymous(trace)


@pytest.mark.parametrize(("authzid", "why"), [("a\0", "NUL"), (None, "of type")])
def test_U14_what_is_no_authzid_is_refused(authzid: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=f"the authzid .*{why}"):
        External(authzid)


@pytest.mark.parametrize("mechanism", [Plain, Login, CramMD5])
@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("a\0b", "holds a NUL"),
        ("\0", "holds a NUL"),
        ("a\ud800", "cannot be encoded as UTF-8"),
    ],
)
def test_U14_what_would_shift_the_fields_is_refused(
    mechanism: type[Plain | Login | CramMD5], bad: str, why: str
) -> None:
    with pytest.raises(InvalidInput, match=f"the username {why}"):
        mechanism(bad, PASSWORD)
    for password in (bad, Secret(bad)):
        with pytest.raises(InvalidInput, match=f"the password {why}"):
            mechanism("alice", password)


@pytest.mark.parametrize("mechanism", [Plain, Login, CramMD5])
@pytest.mark.parametrize("bad", [b"bytes", None, 5])
def test_U14_what_is_no_text_is_refused(
    mechanism: Callable[[object, object], object], bad: object
) -> None:
    with pytest.raises(InvalidInput, match="the username is of type"):
        mechanism(bad, PASSWORD)
    with pytest.raises(InvalidInput, match="the password is of type"):
        mechanism("alice", bad)


def test_U12_a_secret_shows_itself_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(PASSWORD)
    assert secret.reveal() == PASSWORD
    logging.getLogger("test").warning("%s %r %s", secret, secret, [secret])
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!a:>30}",
        repr({"password": secret}),
        repr(Plain("alice", secret)),
        repr(Login("alice", PASSWORD)),
        repr(CramMD5("alice", PASSWORD)),
        str(vars(Plain("alice", PASSWORD))),
        caplog.text,
    ]
    assert not [text for text in shown if PASSWORD in text]
    assert repr(Plain("alice", secret)) == "Plain('alice', Secret('***'))"
    assert repr(Login("alice", secret)) == "Login('alice', Secret('***'))"


@pytest.mark.parametrize("given", [str, Secret])
def test_U12_a_traceback_with_its_variables_shows_no_secret(
    given: Callable[[str], str | Secret],
) -> None:
    with pytest.raises(InvalidInput) as caught:
        Plain("alice", given(f"{PASSWORD}\0"))
    shown = "".join(
        traceback.TracebackException.from_exception(
            caught.value, capture_locals=True
        ).format()
    )
    assert "self = Plain('alice', Secret('***'))" in shown
    assert PASSWORD not in shown


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_U12_a_secret_is_not_pickled(protocol: int) -> None:
    for holder in (Secret(PASSWORD), Plain("alice", PASSWORD), [Secret(PASSWORD)]):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(holder, protocol)


def test_U12_a_secret_is_not_copied() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        copy.deepcopy(Plain("alice", PASSWORD))


def test_secrets_compare_by_their_text() -> None:
    assert Secret(PASSWORD) == Secret(PASSWORD)
    assert Secret("ä") == Secret("ä")
    assert Secret(PASSWORD) != Secret(PASSWORD + " ")
    assert Secret(PASSWORD) != PASSWORD
    assert len({Secret(PASSWORD), Secret(PASSWORD), Secret("other")}) == 2
    assert hash(Secret(PASSWORD)) != hash(PASSWORD)


def test_what_plain_says_is_what_the_wire_shows_in_base64() -> None:
    initial = next(Plain("alice", PASSWORD).respond(CHANNEL))
    assert isinstance(initial, bytes)
    auth = Auth("PLAIN", initial)
    assert b64encode(f"\0alice\0{PASSWORD}".encode()) in auth.wire
    assert PASSWORD not in str(auth)
    assert "alice" not in repr(auth)
