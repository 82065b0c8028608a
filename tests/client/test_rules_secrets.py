"""Rows U12-U14: where secrets must not show, and what they may not hold."""

from __future__ import annotations

import hmac
import pickle
from base64 import b64decode, b64encode
from collections.abc import Callable

import pytest

from esmtp_async import (
    Anonymous,
    AuthenticationFailed,
    ClientOptions,
    CramMD5,
    Event,
    External,
    InvalidInput,
    Login,
    Mechanism,
    Scram,
    Secret,
    SenderRefused,
    SMTPClient,
    SMTPError,
    Timeouts,
)
from esmtp_async import send as send_once
from tests.backends import everywhere
from tests.client.checks import ALICE, BOB, MESSAGE, failure, send
from tests.raw import HANG, NAME, Answer, Script, offering, script, serving
from tests.tracebacks import given_away

USER = "ursula"
PASSWORD = "hunter2-Grüße"
PLAIN = b64encode(f"\0{USER}\0{PASSWORD}".encode())
LOGIN = (b64encode(USER.encode()), b64encode(PASSWORD.encode()))
USERNAME_PROMPT = b"334 VXNlcm5hbWU6\r\n"
PASSWORD_PROMPT = b"334 UGFzc3dvcmQ6\r\n"
IN_CLEAR: ClientOptions = {
    "username": USER,
    "password": PASSWORD,
    "allow_plaintext_auth": True,
}


def by(mechanism: Mechanism) -> ClientOptions:
    return {"auth": mechanism, "allow_plaintext_auth": True}


LOGIN_ONLY = by(Login(USER, PASSWORD))


def asking(**answers: Answer | list[Answer]) -> Script:
    """Give a script of a server that offers PLAIN, LOGIN and CRAM-MD5."""
    return script(**{"EHLO": offering("AUTH PLAIN LOGIN CRAM-MD5"), **answers})


SECRETS = (PASSWORD, repr(PASSWORD)[1:-1], PLAIN.decode(), LOGIN[1].decode())


def assert_discreet(*shown: str) -> None:
    for text in shown:
        for secret in SECRETS:
            assert secret not in text


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
                assert_discreet(given_away(error), repr(pickle.dumps(error)))
            else:
                pytest.fail("it went well")
        assert_discreet(caplog.text, repr(client), repr(client._settings), repr(events))
        assert_discreet(*(repr(value) for value in vars(client).values()))
        said = b"".join(tap.octets for tap in server.taps)
        assert b"AUTH " in said


CHALLENGE = b"334 " + b64encode(b"<1@mail.test>") + b"\r\n"
NONCE = "rOprNGfwEbeRWgbNEkqO"
SCRAM_CHALLENGE = b64encode(f"r={NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=20001".encode())


@everywhere
@pytest.mark.parametrize(
    ("mechanism", "first"),
    [
        (CramMD5(USER, PASSWORD), CHALLENGE),
        (Scram(USER, PASSWORD), b"334 " + SCRAM_CHALLENGE + b"\r\n"),
    ],
)
@pytest.mark.parametrize(
    "last", [b"535 no\r\n", b"250 ok\r\n", b"334 AAAA\r\n", b"334 !\r\n", HANG]
)
async def test_U12_nor_do_messages_of_sasl(
    mechanism: CramMD5 | Scram,
    first: Answer,
    last: Answer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: NONCE)
    caplog.set_level(0)
    events: list[Event] = []
    options = by(mechanism)
    options["timeouts"] = Timeouts.each(1)
    options["on_event"] = events.append
    offer = offering("AUTH SCRAM-SHA-256 CRAM-MD5")
    hostile = asking(EHLO=offer, AUTH=first, RESPONSE=[last, b"501 cancelled\r\n"])
    async with serving(hostile) as server, server.client(**options) as client:
        error: BaseException
        try:
            await send(client)
        except SMTPError as caught:
            error = caught
        else:
            pytest.fail("it went well")
        said = server.heard[0].lines[2]
    shown = given_away(error) + caplog.text + repr(events)
    assert_discreet(shown)
    assert len(said) > 40
    assert said.decode() not in shown
    assert str(b64decode(said))[2:-1] not in shown


HEX = CramMD5(USER, PASSWORD)
DIGEST = hmac.new(PASSWORD.encode(), b"<1@mail.test>", "md5").hexdigest()
ECHOES: list[tuple[ClientOptions, dict[str, Answer | list[Answer]]]] = [
    (IN_CLEAR, {"AUTH": b"535 bad: AUTH PLAIN %b\r\n" % PLAIN}),
    (IN_CLEAR, {"AUTH": f"535 wrong password {PASSWORD}\r\n".encode()}),
    (IN_CLEAR, {"AUTH": b"535 %b\r\n" % b64decode(PLAIN)}),
    (IN_CLEAR, {"AUTH": b"535-x\r\n535-%b%b\r\n535 y\r\n" % (PLAIN, PLAIN)}),
    (IN_CLEAR, {"AUTH": b"421 %b\r\n" % PLAIN}),
    (IN_CLEAR, {"AUTH": b"250 %b\r\n" % PLAIN}),
    (IN_CLEAR, {"AUTH": b"535_%b\r\n" % PLAIN}),
    (IN_CLEAR, {"AUTH": b"535-%b\r\n550 %b\r\n" % (PLAIN, PLAIN)}),
    (IN_CLEAR, {"AUTH": b"535 %b" % (PLAIN * 2000)}),
    (IN_CLEAR, {"AUTH": b"334 \r\n", "RESPONSE": b"501 %b\r\n" % PLAIN}),
    (IN_CLEAR, {"MAIL": b"550 is it %b\r\n" % PLAIN}),
    (IN_CLEAR, {"MAIL": f"354 {PASSWORD}\r\n".encode()}),
    (IN_CLEAR, {"RCPT": f"550 {PASSWORD}\r\n".encode()}),
    (IN_CLEAR, {"CONTENT": b"451 %b\r\n" % PLAIN}),
    (
        LOGIN_ONLY,
        {
            "AUTH": USERNAME_PROMPT,
            "RESPONSE": [PASSWORD_PROMPT, f"535 {PASSWORD}\r\n".encode()],
        },
    ),
    (
        LOGIN_ONLY,
        {
            "AUTH": USERNAME_PROMPT,
            "RESPONSE": [PASSWORD_PROMPT, b"535 %b %b\r\n" % LOGIN],
        },
    ),
    (by(HEX), {"AUTH": CHALLENGE, "RESPONSE": b"535 not %b\r\n" % DIGEST.encode()}),
]


@everywhere
@pytest.mark.parametrize(("options", "answers"), ECHOES)
async def test_U13_what_a_server_repeats_is_redacted(
    options: ClientOptions,
    answers: dict[str, Answer | list[Answer]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(0)
    events: list[Event] = []
    noting: ClientOptions = {**options, "on_event": events.append}
    echoing = asking(**answers)
    async with serving(echoing) as server, server.client(**noting) as client:
        with pytest.raises(SMTPError) as caught:
            await send(client)
    error = caught.value
    shown = [str(error), repr(error.reply), repr(error.recipients), repr(events)]
    assert_discreet(given_away(error), caplog.text, *shown)
    assert DIGEST not in repr(shown)
    assert "<redacted>" in "".join(shown)


@everywhere
async def test_U13_in_the_words_of_the_rule() -> None:
    echo = b"535 bad: AUTH PLAIN %b\r\n" % PLAIN
    async with (
        serving(asking(AUTH=echo)) as server,
        server.client(**IN_CLEAR) as client,
    ):
        error = await failure(client, AuthenticationFailed)
        told = "the server refused AUTH PLAIN: 535 bad: AUTH PLAIN <redacted>"
        assert str(error).endswith(f": {told}")
        assert error.reply is not None
        assert error.reply.lines == (b"bad: AUTH PLAIN <redacted>",)


@everywhere
async def test_U13_a_later_reply_is_redacted_too() -> None:
    refusing = asking(MAIL=[b"250 ok\r\n", f"550 {USER} {PASSWORD}!\r\n".encode()])
    async with serving(refusing) as server, server.client(**IN_CLEAR) as client:
        receipt = await send(client)
        assert receipt.reply.text == "ok"
        error = await failure(client, SenderRefused)
        assert error.reply is not None
        # Who we are is no secret, and may be what it is about.
        assert error.reply.text == f"{USER} <redacted>!"


@everywhere
@pytest.mark.parametrize(
    "mechanism", [Login(USER, PASSWORD), External(USER), Anonymous(USER)]
)
async def test_U13_who_we_are_may_be_shown(mechanism: Mechanism) -> None:
    refusing = asking(
        EHLO=offering("AUTH LOGIN EXTERNAL ANONYMOUS"),
        AUTH=USERNAME_PROMPT if isinstance(mechanism, Login) else b"235 welcome\r\n",
        RESPONSE=[PASSWORD_PROMPT, b"235 welcome\r\n"],
        MAIL=b"550 %b %b\r\n" % (USER.encode(), LOGIN[0]),
    )
    async with serving(refusing) as server, server.client(**by(mechanism)) as client:
        error = await failure(client, SenderRefused)
        assert error.reply is not None
        assert error.reply.text == f"{USER} <redacted>"


@everywhere
async def test_U13_a_challenge_reaches_the_mechanism_as_it_came() -> None:
    echo = b"334 " + LOGIN[0] + b"\r\n"
    well = asking(AUTH=USERNAME_PROMPT, RESPONSE=[echo, b"235 welcome\r\n"])
    async with serving(well) as server, server.client(**LOGIN_ONLY) as client:
        await send(client)
        assert server.heard[0].lines[1:4] == [b"AUTH LOGIN", *LOGIN]


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
        lambda: SMTPClient(f"smtp://{USER}:2?{PASSWORD}@{host}"),
        lambda: SMTPClient(f"smtp://{USER}:2?max_idle={PASSWORD}@{host}"),
        lambda: SMTPClient(f"smtp://{USER}:{PASSWORD}\uff20{host}"),
        lambda: SMTPClient(f"smtp://{USER}:@{host}:{PASSWORD}"),
        lambda: SMTPClient(f"smtp://{USER}:[{PASSWORD}@{host}"),
        lambda: SMTPClient(
            f"smtp://{host}?max_idle=x", username=USER, password=PASSWORD
        ),
        lambda: SMTPClient.from_url(f"{USER}:{PASSWORD}@{host}"),
        lambda: SMTPClient.from_url(url.encode()),  # type: ignore[arg-type]
        lambda: SMTPClient(host, auth=(user, PASSWORD)),  # type: ignore[arg-type]
    )
    for make in makers:
        with pytest.raises(InvalidInput) as info:
            make()
        assert_discreet(given_away(info.value))


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
