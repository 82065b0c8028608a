"""Rows U1-U6: authentication."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from esmtp_async import (
    AuthenticationFailed,
    ClientOptions,
    CramMD5,
    Login,
    Plain,
    ProtocolViolation,
    SMTPClient,
    Stage,
)
from tests.backends import everywhere
from tests.client.checks import (
    assert_poisoned,
    failure,
    outcomes,
    send,
)
from tests.raw import HANG, NAME, Answer, Flood, Script, offering, script, serving

USER = "ursula"
PASSWORD = "hunter2-Grüße"
PLAIN = b64encode(f"\0{USER}\0{PASSWORD}".encode())
LOGIN = (b64encode(USER.encode()), b64encode(PASSWORD.encode()))
USERNAME_PROMPT = b"334 VXNlcm5hbWU6\r\n"
PASSWORD_PROMPT = b"334 UGFzc3dvcmQ6\r\n"
BOTH = offering("AUTH PLAIN LOGIN")
IN_CLEAR: ClientOptions = {
    "username": USER,
    "password": PASSWORD,
    "allow_plaintext_auth": True,
}
LOGIN_ONLY: ClientOptions = {
    "auth": Login(USER, PASSWORD),
    "allow_plaintext_auth": True,
}


def asking(**answers: Answer | list[Answer]) -> Script:
    """Give a script of a server that offers PLAIN and LOGIN."""
    return script(**{"EHLO": BOTH, **answers})


@everywhere
@pytest.mark.parametrize("security", ["plaintext", "opportunistic"])
async def test_U1_no_credentials_in_clear_text(security: str) -> None:
    async with serving(asking()) as server:
        async with server.client(
            security=security, username=USER, password=PASSWORD
        ) as client:
            error = await failure(client, AuthenticationFailed)
        assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
        assert server.taps[0].octets == f"EHLO {NAME}\r\n".encode()


@everywhere
async def test_U1_unless_asked_for_by_name() -> None:
    async with serving(asking()) as server, server.client(**IN_CLEAR) as client:
        await send(client)
        assert server.heard[0].lines[1] == b"AUTH PLAIN " + PLAIN


@everywhere
async def test_U1_or_over_a_unix_socket(socket_path: Path) -> None:
    async with serving(asking(), path=socket_path) as server:
        async with SMTPClient(
            f"smtp+unix://{socket_path}",
            client_hostname=NAME,
            username=USER,
            password=PASSWORD,
        ) as client:
            await send(client)
        assert server.heard[0].lines[1] == b"AUTH PLAIN " + PLAIN


@everywhere
@pytest.mark.parametrize("memory", [True, False])
async def test_U1_not_over_whatever_else_stands_for_one(memory: bool) -> None:  # noqa: FBT001
    async with serving(asking()) as server:
        async with SMTPClient(
            "smtp+unix:///run/mail.sock",
            connect=server.connect_in_memory if memory else server.connect,
            client_hostname=NAME,
            username=USER,
            password=PASSWORD,
        ) as client:
            error = await failure(client, AuthenticationFailed)
        assert "unprotected" in str(error)
        assert server.taps[0].octets == f"EHLO {NAME}\r\n".encode()


@everywhere
@pytest.mark.parametrize("code", [432, 454, 500, 501, 503, 530, 535, 538])
async def test_U2_no_second_mechanism(code: int) -> None:
    refusing = asking(AUTH=b"%d no\r\n" % code)
    async with serving(refusing) as server, server.client(**IN_CLEAR) as client:
        error = await failure(client, AuthenticationFailed)
        assert error.command == "AUTH"
        assert error.stage is Stage.AUTH
        assert error.reply is not None
        assert error.reply.code == code
        assert error.temporary is (code < 500)
        assert outcomes(error.recipients) == [("bob", "NOT_SENT", code)]
        await server.heard[0].over()
        assert server.heard[0].verbs == ["EHLO", "AUTH"]


@everywhere
@pytest.mark.parametrize("code", [504, 534])
async def test_U2_but_one_as_strong_where_the_mechanism_is_refused(code: int) -> None:
    refusing = asking(AUTH=b"%d no\r\n" % code)
    async with serving(refusing) as server, server.client(**IN_CLEAR) as client:
        error = await failure(client, AuthenticationFailed)
        assert outcomes(error.recipients) == [("bob", "NOT_SENT", code)]
        await server.heard[0].over()
        assert server.heard[0].lines[1:] == [b"AUTH PLAIN " + PLAIN, b"AUTH LOGIN"]


@everywhere
@pytest.mark.parametrize("code", [504, 534])
async def test_U2_and_none_that_is_weaker(code: int) -> None:
    refusing = asking(EHLO=offering("AUTH CRAM-MD5 PLAIN"), AUTH=b"%d no\r\n" % code)
    weaker: ClientOptions = {
        "auth": [CramMD5(USER, PASSWORD), Plain(USER, PASSWORD)],
        "allow_plaintext_auth": True,
    }
    async with serving(refusing) as server, server.client(**weaker) as client:
        await failure(client, AuthenticationFailed)
        await server.heard[0].over()
        assert server.heard[0].lines[1:] == [b"AUTH CRAM-MD5"]


@everywhere
async def test_U2_the_order_is_ours() -> None:
    turned = asking(EHLO=offering("AUTH LOGIN PLAIN"))
    async with serving(turned) as server, server.client(**IN_CLEAR) as client:
        await send(client)
        assert server.heard[0].lines[1].startswith(b"AUTH PLAIN ")


@everywhere
async def test_U2_login_where_plain_is_not_offered() -> None:
    only = asking(
        EHLO=offering("AUTH CRAM-MD5 LOGIN"),
        AUTH=USERNAME_PROMPT,
        RESPONSE=[PASSWORD_PROMPT, b"235 welcome\r\n"],
    )
    async with serving(only) as server, server.client(**IN_CLEAR) as client:
        await send(client)
        assert server.heard[0].lines[1:4] == [b"AUTH LOGIN", *LOGIN]


@everywhere
async def test_U3_334_to_a_finished_mechanism() -> None:
    hostile = asking(AUTH=b"334 \r\n", RESPONSE=b"501 cancelled\r\n")
    async with serving(hostile) as server, server.client(**IN_CLEAR) as client:
        await failure(client, AuthenticationFailed)
        await server.heard[0].over()
        assert server.heard[0].lines[1:] == [b"AUTH PLAIN " + PLAIN, b"*"]


@everywhere
@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (USERNAME_PROMPT, [*LOGIN, b"*"]),
        (PASSWORD_PROMPT, [b"*"]),
    ],
)
async def test_U4_endless_334(first: bytes, expected: list[bytes]) -> None:
    hostile = asking(AUTH=first, RESPONSE=PASSWORD_PROMPT)
    async with serving(hostile) as server, server.client(**LOGIN_ONLY) as client:
        error = await failure(client, AuthenticationFailed)
        assert outcomes(error.recipients)[0][1] == "NOT_SENT"
        assert await server.heard[0].over()
        assert server.heard[0].lines[1:] == [b"AUTH LOGIN", *expected]


@everywhere
async def test_U5_success_of_another_code() -> None:
    hostile = asking(AUTH=(b"250 ok\r\n", HANG))
    async with (
        serving(hostile, asking()) as server,
        server.client(**IN_CLEAR) as client,
    ):
        await failure(client, ProtocolViolation)
        await assert_poisoned(server, client, "EHLO", "AUTH")


@everywhere
@pytest.mark.parametrize(
    "reply",
    [
        *(b"23x ok\r\n", b"+23 ok\r\n", b"2_3 ok\r\n", b"\xd9\xa2\xd9\xa3 ok\r\n"),
        *(b"2350 ok\r\n", b"235Xok\r\n", b"235\tok\r\n", b"035 ok\r\n", b"635 ok\r\n"),
        *(b"354 go\r\n", b"235-a\r\n535 b\r\n", b"535-a\r\n235 b\r\n"),
        *(b"235 ok\n", b"\r\n235 ok\r\n"),
    ],
)
@pytest.mark.parametrize("verb", ["AUTH", "RESPONSE"])
async def test_P1_P2_P3_P4_P6_P7_P8_P16_within_auth(verb: str, reply: bytes) -> None:
    answers: dict[str, Answer | list[Answer]] = {"AUTH": USERNAME_PROMPT}
    hostile = asking(**{**answers, verb: (reply, HANG)})
    said = ["EHLO", "AUTH", LOGIN[0].decode()]
    async with (
        serving(hostile, asking(EHLO=offering())) as server,
        server.client(**LOGIN_ONLY) as client,
    ):
        error = await failure(client, ProtocolViolation)
        assert error.stage is Stage.AUTH
        assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
        await server.heard[0].over()
        assert server.heard[0].verbs == said[: 3 if verb == "RESPONSE" else 2]


@everywhere
async def test_U5_success_of_a_mechanism_that_is_not_complete() -> None:
    async with serving(asking()) as server, server.client(**LOGIN_ONLY) as client:
        error = await failure(client, AuthenticationFailed)
        assert "did not ask for the user name" in str(error)
        await server.heard[0].over()
        assert server.heard[0].verbs == ["EHLO", "AUTH"]


@everywhere
@pytest.mark.parametrize(
    "challenge",
    [
        "334 !!!",
        "334 VXNl cm5hbWU6",
        "334 VXNlcm5hbWU",
        "334-VXNl\r\n334 cm5h",
        "334 é",
    ],
)
async def test_U6_malformed_challenge(challenge: str) -> None:
    hostile = asking(AUTH=f"{challenge}\r\n".encode(), RESPONSE=b"501 cancelled\r\n")
    async with serving(hostile) as server, server.client(**LOGIN_ONLY) as client:
        await failure(client, AuthenticationFailed)
        await server.heard[0].over()
        assert server.heard[0].lines[1:] == [b"AUTH LOGIN", b"*"]


@everywhere
async def test_U6_a_long_challenge() -> None:
    asked = asking(
        AUTH=b"334 " + b"QUFB" * 3072 + b"\r\n",
        RESPONSE=[PASSWORD_PROMPT, b"235 welcome\r\n"],
    )
    async with serving(asked) as server, server.client(**LOGIN_ONLY) as client:
        await send(client)
        assert server.heard[0].lines[1:4] == [b"AUTH LOGIN", *LOGIN]


@everywhere
@pytest.mark.parametrize("size", [12292, 16384, 20000])
async def test_U6_a_challenge_too_long(size: int) -> None:
    asked = b"334 " + b"QUFB" * (size // 4) + b"\r\n"
    hostile = asking(AUTH=asked, RESPONSE=b"501 cancelled\r\n")
    async with serving(hostile) as server, server.client(**LOGIN_ONLY) as client:
        await failure(client, AuthenticationFailed)
        await server.heard[0].over()
        assert server.heard[0].lines[1:] == [b"AUTH LOGIN", b"*"]


@everywhere
async def test_U6_an_endless_challenge() -> None:
    hostile = asking(AUTH=(b"334 ", Flood(b"QUFB" * 4096, 1000), HANG))
    async with serving(hostile, script()) as server:
        async with server.client(**LOGIN_ONLY) as client:
            # Longer than can be read, base64 or not (P10).
            await failure(client, ProtocolViolation)
            await server.heard[0].over()
            assert server.heard[0].verbs == ["EHLO", "AUTH"]
            assert server.heard[0].flooded < 16_000_000
