"""SCRAM as an automaton, held against its RFCs and scramp's server half."""

from __future__ import annotations

import hashlib
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from scramp import ScramMechanism

from esmtp_async.protocol import (
    Auth,
    Channel,
    Compute,
    Opening,
    Responses,
    Scram,
    ScramSHA1,
    ScramSHA256,
    ScramSHA512,
    Secret,
    Session,
    Stage,
)
from esmtp_async.protocol._exceptions import AuthenticationFailed, InvalidInput
from esmtp_async.protocol._scram import LONG_DERIVATION, Unavailable
from tests.protocol.certificates import (
    ED448,
    RSA_PSS_SHA512,
    RSA_SHA1,
    RSA_SHA256,
    RSA_SHA384,
    Certificate,
)
from tests.protocol.dialogue import GREETING, Turn, converse, hello


class Example(NamedTuple):
    """A conversation that an RFC prints."""

    mechanism: Scram
    name: str
    nonce: str
    client_first: str
    server_first: str
    client_final: str
    server_final: str

    def begin(self, monkeypatch: pytest.MonkeyPatch) -> Responses:
        """Begin it, with the nonce of the RFC."""
        monkeypatch.setattr("secrets.token_urlsafe", lambda _: self.nonce)
        responses = self.mechanism.respond(channel(self.name))
        assert next(responses) == self.client_first.encode()
        return responses


RFC5802 = Example(
    ScramSHA1("user", "pencil"),
    "SCRAM-SHA-1",
    "fyko+d2lbbFgONRv9qkxdawL",
    "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
    "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
    "p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
)
RFC7677 = Example(
    ScramSHA256("user", "pencil"),
    "SCRAM-SHA-256",
    "rOprNGfwEbeRWgbNEkqO",
    "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
)
EXAMPLE = pytest.mark.parametrize("example", [RFC5802, RFC7677])
PASSWORD = "pencil"
SALT = "W22ZaJ0SNY7soEsUEjb6gQ=="


def channel(
    name: str, *, offered: str = "", certificate: bytes = b"", host: str = "mail.test"
) -> Channel:
    return Channel(name, tuple((offered or name).split()), host, 587, certificate)


def refused(responses: Responses, challenge: bytes | None) -> str:
    with pytest.raises(AuthenticationFailed) as caught:
        responses.send(challenge)
    assert (caught.value.command, caught.value.stage) == ("AUTH", Stage.AUTH)
    return str(caught.value)


@EXAMPLE
def test_the_examples_of_the_rfcs(
    example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    responses = example.begin(monkeypatch)
    final = responses.send(example.server_first.encode())
    assert final == example.client_final.encode()
    assert responses.send(example.server_final.encode()) == b""
    with pytest.raises(StopIteration):
        responses.send(None)


def authenticate(
    mechanism: Scram,
    at: Channel,
    *,
    password: str = PASSWORD,
    binding: tuple[str, str] | None = None,
    iterations: int = 4096,
) -> list[str]:
    """Hold a conversation with scramp's server half; give what the client said."""
    server = ScramMechanism(at.mechanism)
    account = server.make_auth_info(password, iteration_count=iterations)
    half = server.make_server(lambda _: account, channel_binding=binding)
    responses = mechanism.respond(at)
    first = next(responses)
    assert isinstance(first, bytes)
    half.set_client_first(first.decode())
    final = responses.send(str(half.get_server_first()).encode())
    if isinstance(final, Compute):
        assert final.stage is Stage.AUTH
        final = responses.send(final.call())
    assert isinstance(final, bytes)
    half.set_client_final(final.decode())
    assert responses.send(str(half.get_server_final()).encode()) == b""
    with pytest.raises(StopIteration):
        responses.send(None)
    return [first.decode(), final.decode()]


@pytest.mark.parametrize("name", Scram.names)
def test_every_hash_function(name: str) -> None:
    binding = None
    if name.endswith("-PLUS"):
        binding = ("tls-server-end-point", RSA_SHA256.pem)
    at = channel(name, certificate=RSA_SHA256.der)
    said = authenticate(Scram("user", Secret("pencil")), at, binding=binding)
    assert said[0].startswith("p=tls-server-end-point,,n=user,r=" if binding else "y,,")


def test_each_authentication_has_a_nonce_of_its_own() -> None:
    mechanism = ScramSHA512("user", "pencil")
    at = channel("SCRAM-SHA-512")
    nonces = {authenticate(mechanism, at)[0].partition(",r=")[2] for _ in range(3)}
    assert len(nonces) == 3
    assert min(map(len, nonces)) == 32


@pytest.mark.parametrize(
    ("certificate", "function"),
    [
        (RSA_SHA1, "sha256"),
        (RSA_SHA256, "sha256"),
        (RSA_SHA384, "sha384"),
        (RSA_PSS_SHA512, "sha512"),
    ],
)
def test_U10_the_end_point_is_a_hash_by_the_function_of_the_signature(
    certificate: Certificate, function: str
) -> None:
    at = channel("SCRAM-SHA-256-PLUS", certificate=certificate.der)
    pem = ("tls-server-end-point", certificate.pem)
    _, final = authenticate(ScramSHA256("user", "pencil"), at, binding=pem)
    bound = b64decode(final.removeprefix("c=").partition(",")[0])
    digest = hashlib.new(function, certificate.der).digest()
    assert bound == b"p=tls-server-end-point,," + digest


@pytest.mark.parametrize(
    ("name", "offered", "certificate", "header"),
    [
        ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256 SCRAM-SHA-256-PLUS", True, "p"),
        ("SCRAM-SHA-256", "SCRAM-SHA-256", True, "y"),
        ("SCRAM-SHA-256", "SCRAM-SHA-256", False, "n"),
        ("SCRAM-SHA-256", "SCRAM-SHA-256 SCRAM-SHA-256-PLUS", False, "n"),
        ("SCRAM-SHA-256", "SCRAM-SHA-256 SCRAM-SHA-256-PLUS", True, "n"),
        ("SCRAM-SHA-256", "SCRAM-SHA-256 SCRAM-SHA-1-PLUS", True, "y"),
    ],
)
def test_U10_the_header_tells_what_both_sides_can(
    name: str, offered: str, certificate: object, header: str
) -> None:
    der = RSA_SHA256.der if certificate else b""
    at = channel(name, offered=offered, certificate=der)
    first = next(ScramSHA256("user", "pencil").respond(at))
    assert isinstance(first, bytes)
    expected = {"p": b"p=tls-server-end-point,,", "y": b"y,,", "n": b"n,,"}
    assert first.startswith(expected[header] + b"n=user,r=")


@pytest.mark.parametrize("certificate", [b"", b"none", ED448.der])
def test_U10_what_has_no_end_point_is_not_bound(certificate: bytes) -> None:
    mechanism = ScramSHA256("user", "pencil")
    at = channel("SCRAM-SHA-256-PLUS", certificate=certificate)
    with pytest.raises(AuthenticationFailed, match="no certificate that a channel"):
        next(mechanism.respond(at))
    first = next(mechanism.respond(channel("SCRAM-SHA-256", certificate=certificate)))
    assert isinstance(first, bytes)
    assert first.startswith(b"n,,")


@pytest.mark.parametrize("count", [1, 4095, 1_000_001, 2_147_483_647, 10**11])
def test_U7_the_price_has_its_limits(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashlib.pbkdf2_hmac", None)
    responses = RFC7677.begin(monkeypatch)
    bomb = RFC7677.server_first.replace("i=4096", f"i={count}").encode()
    begun = time.perf_counter()
    problem = refused(responses, bomb)
    assert time.perf_counter() - begun < 0.5  # the derivation itself would fail
    assert f"asks for {count} iterations, outside 4096 to 1000000" in problem


def test_U7_the_limit_is_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    dear = ScramSHA256("user", "pencil", max_iterations=5000)
    responses = RFC7677._replace(mechanism=dear).begin(monkeypatch)
    text = RFC7677.server_first.replace("i=4096", "i=5001")
    assert "4096 to 5000" in refused(responses, text.encode())
    authenticate(dear, channel("SCRAM-SHA-256"), iterations=5000)
    fewest = ScramSHA256("user", "pencil", max_iterations=4096)
    authenticate(fewest, channel("SCRAM-SHA-256"), iterations=4096)
    for few in (4095, 0, -1):
        with pytest.raises(InvalidInput, match=f"max_iterations is {few}, below 4096"):
            ScramSHA256("user", "pencil", max_iterations=few)


@pytest.mark.parametrize("count", [True, "5000", 5000.0, None])
def test_U7_the_limit_is_a_number(count: int) -> None:
    with pytest.raises(InvalidInput, match="max_iterations is of type"):
        Scram("user", "pencil", max_iterations=count)


@pytest.mark.parametrize("beyond", [0, 1])
def test_U7_a_long_derivation_holds_nobody_up(
    beyond: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = LONG_DERIVATION + beyond
    authenticate(ScramSHA256("u", "pencil"), channel("SCRAM-SHA-256"), iterations=count)
    responses = RFC7677.begin(monkeypatch)
    text = RFC7677.server_first.replace("i=4096", f"i={count}")
    step = responses.send(text.encode())
    assert isinstance(step, Compute if beyond else bytes)


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


def turns(example: Example) -> list[Turn]:
    """Give the example as it is held over SMTP."""
    return [
        Turn(
            Auth(example.name, example.client_first.encode()).wire,
            f"334 {b64(example.server_first)}",
        ),
        Turn(b64(example.client_final), f"334 {b64(example.server_final)}"),
        Turn(b"\r\n", "235 welcome"),
    ]


def hold(mechanism: Scram | Unavailable, said: Sequence[Turn]) -> Session:
    session = Session()
    opening = Opening("client.test", secure=True, mechanisms=[mechanism])
    offer = hello("AUTH SCRAM-SHA-1 SCRAM-SHA-256")
    converse(session, opening, GREETING, offer, *said)
    return session


@EXAMPLE
def test_the_server_has_the_last_word_but_one(
    example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 4954 §4: the proof is a challenge, and an empty line answers it."""
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: example.nonce)
    assert hold(example.mechanism, turns(example)).reusable


@EXAMPLE
@pytest.mark.parametrize("step", [0, 1])
def test_U9_a_success_that_is_not_proved_is_none(
    example: Example, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: example.nonce)
    said = turns(example)[: step + 1]
    proof_in_the_text = f"235 {b64(example.server_final)}"
    for answer in ("235 welcome", proof_in_the_text):
        said[-1] = said[-1]._replace(server=answer)
        with pytest.raises(AuthenticationFailed, match="before it proved") as caught:
            hold(example.mechanism, said)
        assert caught.value.reply is not None


@pytest.mark.parametrize(
    ("username", "password", "problem"),
    [
        ("", "p", "username cannot be said by SCRAM: The username cannot be empty"),
        ("a\x07", "p", "username cannot be said by SCRAM: control characters"),
        ("u", "a\x07", "password cannot be said by SCRAM: control characters"),
        ("u", "\u0221", "password cannot be said by SCRAM: unassigned code points"),
        ("\u0627\u0031", "p", "username cannot be said by SCRAM: malformed bidi"),
        ("u", "a\0b", "the password holds a NUL"),
        ("a\ud800", "p", "the username cannot be encoded as UTF-8"),
    ],
)
def test_U14_saslprep_decides_what_can_be_said(
    username: str, password: str, problem: str
) -> None:
    for secret in (password, Secret(password)):
        with pytest.raises(InvalidInput, match=problem):
            ScramSHA256(username, secret)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("a,b=c", "a=2Cb=3Dc"),
    ],
)
def test_the_examples_of_saslprep(given: str, said: str) -> None:
    """RFC 4013 §3; a comma and an equals sign are escaped (RFC 5802 §5.1)."""
    at = channel("SCRAM-SHA-256")
    first, _ = authenticate(ScramSHA256(given, given), at, password=given)
    assert first.startswith(f"n,,n={said},r=")


@pytest.mark.parametrize("kind", [Scram, ScramSHA1, ScramSHA256, ScramSHA512])
@pytest.mark.parametrize("old", [True, False])
def test_without_scramp_it_says_what_to_install(
    kind: type[Scram],
    old: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class ScramClient:
        def __init__(self, mechanisms: object, username: str, password: str) -> None:
            """Be made as in scramp 1.2."""

    if old:
        monkeypatch.setattr("scramp.ScramClient", ScramClient)
    else:
        monkeypatch.setitem(sys.modules, "scramp", None)
    with pytest.raises(InvalidInput, match=r"pip install 'esmtp-async\[scram\]'"):
        kind("user", "pencil")


def test_what_is_not_there_says_why_before_anything_is_said() -> None:
    stand_in = Unavailable(Scram.names, "it is not there")
    told = "SCRAM-SHA-256 is offered, but it is not there"
    with pytest.raises(AuthenticationFailed, match=told):
        hold(stand_in, [])


def test_U6_a_nonce_that_makes_our_answer_too_long_is_the_servers_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nonce = "n" * 32
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: nonce)
    message = f"r={nonce}{'x' * 9130},s={SALT},i=4096"
    challenge = b64encode(message.encode()).decode()
    assert len(challenge) <= 12288
    mechanism = ScramSHA256("user", PASSWORD)
    opening = Opening("client.test", secure=True, mechanisms=[mechanism])
    first = b64encode(f"n,,n=user,r={nonce}".encode()).decode()
    with pytest.raises(AuthenticationFailed, match="exceeds 12288 octets"):
        converse(
            Session(opening),
            opening,
            GREETING,
            hello("AUTH SCRAM-SHA-256"),
            Turn(f"AUTH SCRAM-SHA-256 {first}", f"334 {challenge}"),
            Turn("*", "501 cancelled"),
        )
