"""Rows U1, U2, U11 and U12 for bearer tokens."""

from __future__ import annotations

import pickle
from base64 import b64encode
from functools import partial

import anyio
import pytest

from esmtp_async import (
    AuthenticationFailed,
    ClientOptions,
    Event,
    OAuthBearer,
    Plain,
    SMTPError,
    Stage,
    StageTimeout,
    Timeouts,
    XOAuth2,
)
from tests.backends import everywhere
from tests.client.bearer import (
    ACKNOWLEDGED,
    MECHANISMS,
    NO,
    OTHER,
    TOKEN,
    USER,
    Maker,
    Tokens,
    asking,
    client_of,
    line,
    told,
)
from tests.client.checks import BOB, failure, outcomes, send
from tests.raw import HANG, Answer, Server, offering, serving
from tests.tracebacks import given_away


@everywhere
@pytest.mark.parametrize("maker", MECHANISMS)
@pytest.mark.parametrize("security", ["plaintext", "opportunistic"])
async def test_U1_no_token_in_clear_text(maker: Maker, security: str) -> None:
    tokens = Tokens(TOKEN)
    async with serving(asking()) as server:
        async with server.client(auth=maker(USER, tokens), security=security) as client:
            error = await failure(client, AuthenticationFailed)
        assert "unprotected" in str(error)
        assert server.heard[0].verbs == ["EHLO"]
    assert tokens.calls == 0


@everywhere
@pytest.mark.parametrize("maker", MECHANISMS)
async def test_U11_the_failure_flow(maker: Maker) -> None:
    account = {"status": "invalid_token", "scope": "mail\x1b[2J", "depth": 3}
    refusing = asking(AUTH=told(account), RESPONSE=NO)
    async with serving(refusing) as server:
        async with client_of(server, maker(USER, TOKEN)) as client:
            error = await failure(client, AuthenticationFailed)
        assert server.heard[0].verbs[:2] == ["EHLO", "AUTH"]
        assert server.heard[0].lines[2:] == [ACKNOWLEDGED[maker]]
        assert len(server.heard) == 1
    assert error.reply is not None
    assert error.reply.code == 535
    assert error.mechanism in maker.names
    assert error.details == {"status": "invalid_token", "scope": "mail\\x1b[2J"}
    assert str(error).partition(": ")[2] == (
        f"the server refused AUTH {error.mechanism}: 535 5.7.8 no "
        "(status=invalid_token, scope=mail\\x1b[2J)"
    )
    assert outcomes(error.recipients) == [("bob", "NOT_SENT", 535)]
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own
    assert vars(copied) == vars(error)
    assert str(copied) == str(error)


@everywhere
@pytest.mark.parametrize("maker", MECHANISMS)
@pytest.mark.parametrize(
    "account",
    [
        b"",
        b"no",
        b"\xff",
        b'"status"',
        b"[" * 4096,
        b'{"status": "' + b"a" * 4096 + b'"}',
        b"[]",
        b"NaN",
        b'{"status": "a", "depth": NaN}',
        b'{"status": 401}',
        b'{"status": "a", "status": "b"}',
        b'{"status": "a"} ',
    ],
)
async def test_U11_whatever_the_account_is(maker: Maker, account: bytes) -> None:
    refusing = asking(AUTH=told(account), RESPONSE=NO)
    async with serving(refusing) as server:
        async with client_of(server, maker(USER, TOKEN)) as client:
            error = await failure(client, AuthenticationFailed)
        assert server.heard[0].lines[2:] == [ACKNOWLEDGED[maker]]
    assert error.reply is not None
    assert error.reply.code == 535
    well = account.endswith(b'"a"} ')
    assert error.details == ({"status": "a"} if well else {})


@everywhere
@pytest.mark.parametrize("maker", MECHANISMS)
async def test_U13_a_token_that_is_repeated_is_redacted(maker: Maker) -> None:
    refusing = asking(AUTH=f"535 5.7.8 {USER}: bad token {TOKEN}\r\n".encode())
    async with serving(refusing) as server:
        async with client_of(server, maker(USER, TOKEN)) as client:
            error = await failure(client, AuthenticationFailed)
    assert error.reply is not None
    assert error.reply.text == f"5.7.8 {USER}: bad token <redacted>"
    assert TOKEN not in given_away(error)


@everywhere
@pytest.mark.parametrize("maker", MECHANISMS)
async def test_U11_a_failure_never_ends_well(maker: Maker) -> None:
    async with serving(asking(AUTH=told({}))) as server:
        async with client_of(server, maker(USER, TOKEN)) as client:
            error = await failure(client, AuthenticationFailed)
        assert "then of success" in str(error)
        assert "MAIL" not in server.heard[0].verbs


@everywhere
@pytest.mark.parametrize("maker", MECHANISMS)
async def test_U11_a_failure_is_acknowledged_once(maker: Maker) -> None:
    endless = asking(AUTH=told({}), RESPONSE=told({}))
    async with serving(endless) as server:
        async with client_of(server, maker(USER, TOKEN)) as client:
            await failure(client, AuthenticationFailed)
        assert server.heard[0].lines[2:] == [ACKNOWLEDGED[maker], b"*"]


@everywhere
@pytest.mark.parametrize("maker", MECHANISMS)
@pytest.mark.parametrize("answers", [{"AUTH": NO}, {"AUTH": told({}), "RESPONSE": NO}])
async def test_U11_a_refused_token_is_renewed_once(
    maker: Maker, answers: dict[str, Answer]
) -> None:
    tokens = Tokens(TOKEN, OTHER)
    async with serving(asking(**answers), asking()) as server:
        async with client_of(server, maker(USER, tokens)) as client:
            receipt = await send(client)
        assert receipt.accepted == (BOB,)
        assert tokens.calls == 2
        assert len(server.heard) == 2
        assert await server.heard[0].over()
        assert server.heard[0].verbs.count("AUTH") == 1
        assert server.heard[1].lines[1] != server.heard[0].lines[1]
        assert server.heard[1].verbs[-1] == "QUIT"


@everywhere
async def test_U11_and_not_a_second_time() -> None:
    tokens = Tokens(TOKEN, OTHER, "third")
    async with serving(asking(AUTH=NO)) as server:
        async with client_of(server, XOAuth2(USER, tokens)) as client:
            error = await failure(client, AuthenticationFailed)
        assert [heard.lines[1] for heard in server.heard] == [line(TOKEN), line(OTHER)]
    assert tokens.calls == 2
    assert error.reply is not None
    assert error.reply.code == 535


@everywhere
async def test_U11_the_same_token_is_not_tried_again() -> None:
    tokens = Tokens(TOKEN)
    async with serving(asking(AUTH=NO)) as server:
        async with client_of(server, XOAuth2(USER, tokens)) as client:
            await failure(client, AuthenticationFailed)
            assert (tokens.calls, len(server.heard)) == (2, 1)
            # What the server thinks may have changed by the next connection.
            await failure(client, AuthenticationFailed)
            assert (tokens.calls, len(server.heard)) == (4, 2)


@everywhere
@pytest.mark.parametrize(
    "answers",
    [{"AUTH": b"454 later\r\n"}, {"AUTH": b"504 no\r\n"}, {"EHLO": offering("AUTH X")}],
)
async def test_U11_no_other_refusal_is_the_tokens_fault(
    answers: dict[str, Answer],
) -> None:
    tokens = Tokens(TOKEN, OTHER)
    async with serving(asking(**answers)) as server:
        async with client_of(server, XOAuth2(USER, tokens)) as client:
            await failure(client, AuthenticationFailed)
        assert len(server.heard) == 1
    assert tokens.calls <= 1


@everywhere
async def test_U11_a_password_is_not_renewed() -> None:
    tokens = Tokens(TOKEN, OTHER)
    mechanisms = (Plain("a", "b"), XOAuth2(USER, tokens))
    async with serving(asking(AUTH=NO)) as server:
        async with client_of(server, *mechanisms) as client:
            await failure(client, AuthenticationFailed)
        assert len(server.heard) == 1
    assert tokens.calls == 0


@everywhere
async def test_U11_it_is_the_token_that_was_refused_which_is_renewed() -> None:
    tokens = Tokens(TOKEN, OTHER)
    mechanisms = (OAuthBearer(USER, "t"), XOAuth2(USER, tokens))
    offer = offering("AUTH XOAUTH2")
    refusing, taking = asking(EHLO=offer, AUTH=NO), asking(EHLO=offer)
    async with serving(refusing, taking) as server:
        async with client_of(server, *mechanisms) as client:
            await send(client)
        assert [heard.lines[1] for heard in server.heard] == [line(TOKEN), line(OTHER)]


@everywhere
async def test_U11_renewing_has_a_limit() -> None:
    calls: list[int] = []

    async def token() -> str:
        calls.append(1)
        if len(calls) > 1:
            await anyio.sleep_forever()
        return TOKEN

    async with serving(asking(AUTH=NO)) as server:
        client = server.client(
            auth=XOAuth2(USER, token),
            allow_plaintext_auth=True,
            timeouts=Timeouts(command=0.2),
        )
        async with client:
            error = await failure(client, StageTimeout)
    assert error.stage is Stage.AUTH
    assert len(calls) == 2


def secrets_of(server: Server) -> tuple[str, ...]:
    """Give what must show nowhere: the token, and what was said with it."""
    _, _, message = server.heard[0].lines[1].split()
    return (TOKEN, b64encode(TOKEN.encode()).decode()[:-4], message.decode())


@everywhere
@pytest.mark.parametrize("maker", MECHANISMS)
@pytest.mark.parametrize("by", ["text", "function"])
@pytest.mark.parametrize(
    "answers",
    [
        {"AUTH": NO},
        {"AUTH": told({"status": "invalid_token"}), "RESPONSE": NO},
        {"AUTH": told({}), "RESPONSE": b"235 ok\r\n"},
        {"AUTH": told({}), "RESPONSE": told({})},
        {"AUTH": b"334 !!!\r\n"},
        {"AUTH": b"250 ok\r\n"},
        {"AUTH": b"421 bye\r\n"},
        {"AUTH": HANG},
        {"MAIL": b"530 no\r\n"},
    ],
)
async def test_U12_tokens_show_nowhere(
    maker: Maker,
    by: str,
    answers: dict[str, Answer],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(0)
    events: list[Event] = []
    mechanism = maker(USER, TOKEN if by == "text" else partial(_echo, TOKEN))
    options: ClientOptions = {
        "auth": mechanism,
        "allow_plaintext_auth": True,
        "timeouts": Timeouts.each(0.5),
        "on_event": events.append,
    }
    async with serving(asking(**answers)) as server:
        client = server.client(**options)
        async with client:
            with pytest.raises(SMTPError) as info:
                await send(client)
        shown = [
            given_away(info.value),
            repr(pickle.dumps(info.value)),
            caplog.text,
            repr((client, client._settings, events, mechanism, vars(mechanism))),
            *(repr(value) for value in vars(client).values()),
        ]
        for secret in secrets_of(server):
            assert [text for text in shown if secret in text] == []


async def _echo(token: str) -> str:
    return token
