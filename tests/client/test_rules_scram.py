"""Rows U2, U7-U10 and U12 over sockets: SCRAM."""

from __future__ import annotations

import ssl
import sys
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Final

import pytest

from esmtp_async import (
    AuthenticationFailed,
    ClientOptions,
    Scram,
    ScramSHA256,
    SMTPError,
)
from tests.backends import everywhere
from tests.client.certificates import client_context, server_context
from tests.client.checks import BOB, assert_poisoned, failure, outcomes, send
from tests.raw import HANG, Answer, Script, offering, script, serving

# The example of RFC 7677 §3.
NONCE: Final = "rOprNGfwEbeRWgbNEkqO"
FIRST: Final = f"n,,n=user,r={NONCE}"
BOTH: Final = f"{NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SERVER_FIRST: Final = f"r={BOTH},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
FINAL: Final = f"c=biws,r={BOTH},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
SERVER_FINAL: Final = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

IN_CLEAR: Final[ClientOptions] = {
    "username": "user",
    "password": "pencil",
    "allow_plaintext_auth": True,
}


def b64(text: str) -> bytes:
    return b64encode(text.encode())


def challenge(text: str) -> bytes:
    return b"334 " + b64(text) + b"\r\n"


PROVED: Final[list[Answer]] = [challenge(SERVER_FINAL), b"235 welcome\r\n"]


def asking(
    offered: str = "SCRAM-SHA-256", /, **answers: Answer | list[Answer]
) -> Script:
    """Give a script of the server of the example."""
    well: Mapping[str, Answer | list[Answer]] = {
        "EHLO": offering(f"AUTH {offered}"),
        "AUTH": challenge(SERVER_FIRST),
        "RESPONSE": PROVED,
    }
    return script(**{**well, **answers})


@pytest.fixture(autouse=True)
def nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: NONCE)


@everywhere
@pytest.mark.parametrize(
    "offered", ["SCRAM-SHA-256", "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256"]
)
async def test_U2_the_strongest_is_taken(offered: str) -> None:
    async with serving(asking(offered)) as server, server.client(**IN_CLEAR) as client:
        receipt = await send(client)
        assert receipt.accepted == (BOB,)
        said = [b"AUTH SCRAM-SHA-256 " + b64(FIRST), b64(FINAL), b""]
        assert server.heard[0].lines[1:4] == said


@everywhere
@pytest.mark.parametrize(
    "answers", [{"AUTH": b"535 no\r\n"}, {"RESPONSE": b"535 \r\n"}]
)
async def test_U2_nothing_weaker_follows(
    answers: dict[str, Answer | list[Answer]],
) -> None:
    refusing = asking("PLAIN LOGIN SCRAM-SHA-256", **answers)
    async with serving(refusing) as server, server.client(**IN_CLEAR) as client:
        error = await failure(client, AuthenticationFailed)
        assert outcomes(error.recipients) == [("bob", "NOT_SENT", 535)]
        await server.heard[0].over()
        assert server.heard[0].verbs.count("AUTH") == 1


@everywhere
@pytest.mark.parametrize("count", [4095, 1_000_001, 2_147_483_647])
async def test_U7_iterations_have_a_limit(count: int) -> None:
    bomb = challenge(SERVER_FIRST.replace("i=4096", f"i={count}"))
    hostile = asking(AUTH=bomb, RESPONSE=b"501 cancelled\r\n")
    async with serving(hostile) as server, server.client(**IN_CLEAR) as client:
        error = await failure(client, AuthenticationFailed)
        assert f"asks for {count} iterations" in str(error)
        await server.heard[0].over()
        assert server.heard[0].lines[2:] == [b"*"]


@everywhere
async def test_U7_a_long_derivation_runs_beside_the_loop() -> None:
    long = challenge(SERVER_FIRST.replace("i=4096", "i=40000"))
    hostile = asking(AUTH=long, RESPONSE=b"535 no\r\n")
    async with serving(hostile) as server, server.client(**IN_CLEAR) as client:
        await failure(client, AuthenticationFailed)
        final = b64decode(server.heard[0].lines[2])
        assert final.startswith(FINAL.partition("p=")[0].encode())
        assert final != FINAL.encode()


@everywhere
@pytest.mark.parametrize(
    "first",
    [
        SERVER_FIRST.replace(BOTH, NONCE),
        SERVER_FIRST.replace(BOTH, f"x{BOTH}"),
        SERVER_FIRST.replace(BOTH, ""),
        SERVER_FIRST.partition(",")[2],
        SERVER_FIRST.replace("s=W22ZaJ0SNY7soEsUEjb6gQ==,", ""),
        SERVER_FIRST.rpartition(",")[0],
        SERVER_FIRST.replace("s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "i=4096,s=W22Z"),
        SERVER_FIRST.replace("gQ==", "gQ="),
        SERVER_FIRST.replace("i=", "i=0"),
        SERVER_FIRST.replace("i=", "i=+"),
        f"{SERVER_FIRST},r={BOTH}",
        f"{SERVER_FIRST},",
        f"{SERVER_FIRST},i=4096",
        f"m=x,{SERVER_FIRST}",
        "e=unknown-user",
    ],
)
async def test_U8_no_other_first_message_is_answered(first: str) -> None:
    hostile = asking(AUTH=challenge(first), RESPONSE=b"501 cancelled\r\n")
    async with serving(hostile) as server, server.client(**IN_CLEAR) as client:
        error = await failure(client, AuthenticationFailed)
        assert ("unknown-user" in str(error)) is first.startswith("e=")
        await server.heard[0].over()
        assert server.heard[0].lines[2:] == [b"*"]


@everywhere
@pytest.mark.parametrize(
    "answers",
    [
        {"AUTH": (b"235 welcome\r\n", HANG)},
        {"RESPONSE": (b"235 welcome\r\n", HANG)},
        {"RESPONSE": (b"235 " + b64(SERVER_FINAL) + b"\r\n", HANG)},
    ],
)
async def test_U9_a_success_that_is_not_proved(
    answers: dict[str, Answer | list[Answer]],
) -> None:
    hostile = asking(**answers)
    verbs = ["EHLO", "AUTH", b64(FINAL).decode()][: 3 if "RESPONSE" in answers else 2]
    async with (
        serving(hostile, asking()) as server,
        server.client(**IN_CLEAR) as client,
    ):
        error = await failure(client, AuthenticationFailed)
        assert "before it proved" in str(error)
        assert outcomes(error.recipients)[0][1] == "NOT_SENT"
        await assert_poisoned(server, client, *verbs)


@everywhere
async def test_U9_a_wrong_proof() -> None:
    wrong = challenge(SERVER_FINAL.replace("6r", "7r"))
    hostile = asking(RESPONSE=[wrong, b"235 welcome\r\n"])
    async with serving(hostile) as server, server.client(**IN_CLEAR) as client:
        error = await failure(client, AuthenticationFailed)
        assert "does not know the password" in str(error)
        await server.heard[0].over()
        assert server.heard[0].lines[3:] == [b"*"]


@everywhere
@pytest.mark.parametrize(
    ("offered", "tls", "taken", "header"),
    [
        ("SCRAM-SHA-256 SCRAM-SHA-256-PLUS", True, "SCRAM-SHA-256-PLUS", "p="),
        ("SCRAM-SHA-512 SCRAM-SHA-1-PLUS", True, "SCRAM-SHA-1-PLUS", "p="),
        ("SCRAM-SHA-256", True, "SCRAM-SHA-256", "y,,"),
        ("SCRAM-SHA-256-PLUS SCRAM-SHA-256", False, "SCRAM-SHA-256", "n,,"),
    ],
)
async def test_U10_what_the_header_says(
    offered: str, tls: object, taken: str, header: str
) -> None:
    options: ClientOptions = {**IN_CLEAR, "security": "plaintext"}
    context: ssl.SSLContext | None = None
    offers = offering(f"AUTH {offered}")
    if tls:
        options = {**IN_CLEAR, "security": "starttls", "ssl_context": client_context()}
        context = server_context()
        offers = offering("STARTTLS", f"AUTH {offered}")
    noting = asking(EHLO=offers, AUTH=b"535 no\r\n")
    async with serving(noting, tls=context) as server:
        async with server.client(**options) as client:
            await failure(client, AuthenticationFailed)
        verb, name, initial = server.heard[0].lines[-1].split(b" ")
        assert (verb, name.decode()) == (b"AUTH", taken)
        expected = "p=tls-server-end-point,," if header == "p=" else header
        assert b64decode(initial).startswith(expected.encode())


@everywhere
async def test_without_scramp_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "scramp", None)
    async with (
        serving(asking(), asking("PLAIN SCRAM-SHA-256", AUTH=b"235 ok\r\n")) as server,
        server.client(**IN_CLEAR) as client,
    ):
        error: SMTPError = await failure(client, AuthenticationFailed)
        assert "pip install 'esmtp-async[scram]'" in str(error)
        await server.heard[0].over()
        assert server.heard[0].verbs == ["EHLO"]
        await send(client)
        assert server.heard[1].lines[1].startswith(b"AUTH PLAIN ")


def test_U12_it_hides_its_password() -> None:
    for mechanism in (Scram("user", "pencil"), ScramSHA256("user", "pencil")):
        assert "pencil" not in repr(mechanism) + str(vars(mechanism))
