"""Rows U1-U6, U12 and U14: authentication, and where secrets must not show."""

from __future__ import annotations

import pickle
import traceback
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

import esmtp_async
from esmtp_async import (
    AuthenticationFailed,
    ClientOptions,
    CramMD5,
    Event,
    InvalidInput,
    Login,
    Plain,
    ProtocolViolation,
    Secret,
    SMTPClient,
    SMTPError,
    Stage,
    Timeouts,
)
from esmtp_async import send as send_once
from tests.backends import everywhere
from tests.client.checks import (
    ALICE,
    BOB,
    MESSAGE,
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


PACKAGE = str(Path(esmtp_async.__file__).parent)
SECRETS = (PASSWORD, repr(PASSWORD)[1:-1], PLAIN.decode(), LOGIN[1].decode())


def assert_discreet(*shown: str) -> None:
    for text in shown:
        for secret in SECRETS:
            assert secret not in text


def everything(error: BaseException) -> str:
    """Give the error, and its traceback with the variables of the package's frames.

    The frames of whoever calls it are not the package's to keep clean.
    """
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    link: traceback.TracebackException | None = told
    while link is not None:
        link.stack[:] = [frame for frame in link.stack if PACKAGE in frame.filename]
        link = link.__cause__ or link.__context__
    return "".join(told.format()) + repr(error) + str(vars(error))


@everywhere
@pytest.mark.parametrize(
    "answers",
    [
        {"AUTH": b"535 no\r\n"},
        {"AUTH": b"334 !!!\r\n"},
        {"AUTH": b"250 ok\r\n"},
        {"AUTH": USERNAME_PROMPT, "RESPONSE": PASSWORD_PROMPT},
        {"AUTH": USERNAME_PROMPT, "RESPONSE": [PASSWORD_PROMPT, b"535 no\r\n"]},
        {"AUTH": (USERNAME_PROMPT, HANG)},
        {"MAIL": b"530 no\r\n"},
    ],
)
@pytest.mark.parametrize("by", ["auth", "username"])
async def test_U12_secrets_show_nowhere(
    answers: dict[str, Answer | list[Answer]],
    by: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(0)
    events: list[Event] = []
    options = (LOGIN_ONLY if by == "auth" else IN_CLEAR).copy()
    options["timeouts"] = Timeouts.each(1)
    options["on_event"] = events.append
    async with serving(asking(**answers)) as server:
        client = server.client(**options)
        async with client:
            try:
                await send(client)
            except SMTPError as error:
                assert_discreet(everything(error), repr(pickle.dumps(error)))
            else:
                pytest.fail("it went well")
        assert_discreet(caplog.text, repr(client), repr(client._settings), repr(events))
        assert_discreet(*(repr(value) for value in vars(client).values()))
        said = b"".join(tap.octets for tap in server.taps)
        assert b"AUTH " in said


def test_U12_errors_of_the_constructor() -> None:
    user, host = USER, "example.test"
    url = f"smtp://{USER}:{PASSWORD}@{host}"
    makers: tuple[Callable[[], SMTPClient], ...] = (
        lambda: SMTPClient(host, username=user, password=PASSWORD, port=0),
        lambda: SMTPClient(host, username=user, password=PASSWORD, max_connections=0),
        lambda: SMTPClient(host, password=PASSWORD),
        lambda: SMTPClient(f"{url}?max_connections=0"),
        lambda: SMTPClient(f"{url}?no_such_option=1"),
        lambda: SMTPClient(f"{url}/path"),
        lambda: SMTPClient(f"smtp://{USER}:{PASSWORD}@{host}:99999"),
        lambda: SMTPClient(f"bogus://{USER}:{PASSWORD}@{host}"),
        lambda: SMTPClient.from_url(f"{url}?max_idle=x"),
        lambda: SMTPClient.from_url(url, username="other"),
        lambda: SMTPClient(f"{USER}:{PASSWORD}@{host}"),
        lambda: SMTPClient(f"smtp://{USER}:{PASSWORD}/@{host}"),
        lambda: SMTPClient(f"smtp://{USER}:x/{PASSWORD}@{host}"),
        lambda: SMTPClient(f"smtp://{USER}:x#{PASSWORD}@{host}"),
        lambda: SMTPClient(f"smtp://{USER}:x?{PASSWORD}@{host}"),
        lambda: SMTPClient(f"smtp://x/{USER}:{PASSWORD}@{host}"),
    )
    for make in makers:
        with pytest.raises(InvalidInput) as info:
            make()
        assert_discreet(everything(info.value))


def test_U12_secrets_hide() -> None:
    secret = Secret(PASSWORD)
    assert_discreet(repr(secret), str(secret), f"{secret}", repr([secret]))
    assert secret.reveal() == PASSWORD
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert_discreet(repr(Login(USER, PASSWORD)))


@pytest.mark.parametrize(
    ("username", "password", "named"),
    [
        ("a\0b", "p", "username"),
        ("a", "p\0q", "password"),
        ("a\ud800", "p", "username"),
        ("a", "\udc00", "password"),
        (5, "p", "username"),
        ("a", b"p", "password"),
    ],
)
def test_U14_what_credentials_may_not_hold(
    username: str, password: str, named: str
) -> None:
    with pytest.raises(InvalidInput, match=named):
        SMTPClient("localhost", username=username, password=password)


@everywhere
@pytest.mark.parametrize("username", ["a\r\nQUIT", "ü", "a b"])
async def test_U14_what_base64_carries_safely(username: str) -> None:
    async with serving(asking()) as server:
        receipt = await send_once(
            MESSAGE,
            f"127.0.0.1:{server.port}",
            sender=ALICE,
            recipients=BOB,
            username=username,
            password="p",
            allow_plaintext_auth=True,
            client_hostname=NAME,
        )
        assert receipt.accepted == (BOB,)
        expected = b64encode(f"\0{username}\0p".encode())
        assert server.heard[0].lines[1] == b"AUTH PLAIN " + expected
