"""When a token function is asked, by whom, and what of what it does."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event as ThreadEvent
from typing import Any

import anyio
import pytest
from anyio import to_thread

from esmtp_async import ConnectionClosed, Event, InvalidInput, SMTPClient, XOAuth2
from esmtp_async._oauth import TokenSource
from tests.backends import everywhere
from tests.client.bearer import (
    MECHANISMS,
    NO,
    OTHER,
    TOKEN,
    USER,
    Gate,
    Maker,
    Tokens,
    all_ask,
    asking,
    client_of,
    line,
)
from tests.client.checks import BOB, failure, send
from tests.raw import serving
from tests.tracebacks import given_away


@everywhere
async def test_each_connection_asks() -> None:
    tokens = Tokens(TOKEN, OTHER)
    async with serving(asking()) as server:
        for _ in range(2):
            async with client_of(server, XOAuth2(USER, TOKEN)) as client:
                await send(client)
                await send(client)
        mechanism = XOAuth2(USER, tokens)
        for _ in range(2):
            async with client_of(server, mechanism) as client:
                await send(client)
                await send(client)
        assert [heard.lines[1] for heard in server.heard][2:] == [
            line(TOKEN),
            line(OTHER),
        ]
    assert tokens.calls == 2


@everywhere
async def test_those_who_ask_at_once_share_a_call() -> None:
    gate = Gate(TOKEN)
    async with serving(asking()) as server:
        async with client_of(server, XOAuth2(USER, gate)) as client:
            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(send, client)
                await all_ask(server, 8)
                gate.opened.set()
        assert {heard.lines[1] for heard in server.heard} == {line(TOKEN)}
    assert gate.calls == 1


@everywhere
async def test_those_who_are_refused_at_once_share_a_call() -> None:
    calls: list[int] = []
    async with serving(*[asking(AUTH=NO)] * 8, asking()) as server:

        async def token() -> str:
            calls.append(1)
            if len(calls) == 1:
                await all_ask(server, 8)
                return TOKEN
            for heard in server.heard:
                await heard.over()
            await anyio.wait_all_tasks_blocked()
            return OTHER

        async with client_of(server, XOAuth2(USER, token)) as client:
            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(send, client)
        assert [heard.lines[1] for heard in server.heard] == (
            [line(TOKEN)] * 8 + [line(OTHER)] * 8
        )
    # The second connections ask nobody: theirs is the new token.
    assert len(calls) == 2


@everywhere
async def test_a_cancelled_call_is_taken_over() -> None:
    gate = Gate(TOKEN)
    async with serving(asking()) as server:
        async with client_of(server, XOAuth2(USER, gate)) as client:
            async with anyio.create_task_group() as group:
                leading = anyio.CancelScope()

                async def lead() -> None:
                    with leading:
                        await send(client)

                group.start_soon(lead)
                await all_ask(server, 1)
                for _ in range(3):
                    group.start_soon(send, client)
                await all_ask(server, 4)
                leading.cancel()
                await server.heard[0].over()
                assert gate.calls == 2
                gate.opened.set()
        assert server.heard[0].verbs == ["EHLO"]
        assert [heard.lines[1] for heard in server.heard[1:]] == [line(TOKEN)] * 3
    assert gate.calls == 2


@everywhere
async def test_whoever_waits_can_be_cancelled() -> None:
    gate = Gate(TOKEN)
    async with serving(asking()) as server:
        async with client_of(server, XOAuth2(USER, gate)) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(send, client)
                await all_ask(server, 1)
                with anyio.move_on_after(0.05):
                    await send(client)
                gate.opened.set()
    assert gate.calls == 1


@everywhere
async def test_what_the_function_raises_comes_out_for_all() -> None:
    problem = LookupError("no such account")
    gate = Gate(problem, TOKEN)
    caught: list[Exception] = []
    events: list[Event] = []

    async def fail(client: SMTPClient) -> None:
        with pytest.raises(LookupError) as info:
            await send(client)
        caught.append(info.value)

    async with serving(asking()) as server:
        client = server.client(
            auth=XOAuth2(USER, gate), allow_plaintext_auth=True, on_event=events.append
        )
        async with client:
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(fail, client)
                await all_ask(server, 3)
                gate.opened.set()
            assert caught == [problem] * 3
            closed = [each for each in events if isinstance(each, ConnectionClosed)]
            assert [each.aborted for each in closed] == [False] * 3
            # Nothing of it is left: the next call is a new one.
            assert (await send(client)).accepted == (BOB,)
    assert gate.calls == 2


@everywhere
async def test_what_it_raises_at_renewal_comes_out() -> None:
    problem = LookupError("the account is gone")
    gate = Gate(TOKEN, problem)
    gate.opened.set()
    async with serving(asking(AUTH=NO)) as server:
        async with client_of(server, XOAuth2(USER, gate)) as client:
            with pytest.raises(LookupError) as info:
                await send(client)
        assert info.value is problem
        assert len(server.heard) == 1


def test_loops_do_not_wait_for_each_other() -> None:
    begun, finished = ThreadEvent(), ThreadEvent()

    async def token() -> str:
        if begun.is_set():
            return OTHER
        begun.set()
        await to_thread.run_sync(finished.wait, 10)
        return TOKEN

    mechanism = XOAuth2(USER, token)

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(mechanism.renewed)
            await to_thread.run_sync(begun.wait, 10)
            await to_thread.run_sync(anyio.run, mechanism.renewed)
            finished.set()

    anyio.run(both)


def give(value: Any) -> TokenSource:  # noqa: ANN401  # anything
    """Give an async function that gives this."""

    async def token() -> str:
        given: str = value
        return given

    return token


BAD_TOKENS: list[tuple[object, str]] = [
    ("", "the token is empty"),
    (f"{TOKEN}\1", "visible ASCII"),
    (f"{TOKEN} ", "visible ASCII"),
    (f"{TOKEN}\n", "visible ASCII"),
    (f"{TOKEN}ü", "visible ASCII"),
    (TOKEN.encode(), "the token is of type bytes"),
    (None, "the token is of type NoneType"),
]


@everywhere
@pytest.mark.parametrize(("value", "said"), BAD_TOKENS)
async def test_the_function_must_give_a_token(value: object, said: str) -> None:
    async with serving(asking()) as server:
        async with client_of(server, XOAuth2(USER, give(value))) as client:
            error = await failure(client, InvalidInput)
        assert said in str(error)
        assert TOKEN not in given_away(error)
        assert server.heard[0].verbs == ["EHLO"]


@everywhere
async def test_the_function_must_be_async() -> None:
    blocking: Any = lambda: TOKEN  # noqa: E731  # the mistake
    async with serving(asking()) as server:
        async with client_of(server, XOAuth2(USER, blocking)) as client:
            error = await failure(client, InvalidInput)
        assert "is it async?" in str(error)
        assert TOKEN not in given_away(error)
        assert server.heard[0].verbs == ["EHLO"]


@pytest.mark.parametrize("maker", MECHANISMS)
@pytest.mark.parametrize(("value", "said"), BAD_TOKENS)
def test_the_token_must_be_one(maker: Maker, value: object, said: str) -> None:
    untyped: dict[str, object] = {"token": value}
    with pytest.raises(InvalidInput, match=said) as info:
        make(maker, **untyped)
    assert TOKEN not in given_away(info.value)


@pytest.mark.parametrize("maker", MECHANISMS)
@pytest.mark.parametrize("username", ["", "a\1b", "a\0", "a\r\n", "\ud800", 5, None])
def test_the_username_must_be_one(maker: Maker, username: object) -> None:
    untyped: dict[str, object] = {"username": username}
    with pytest.raises(InvalidInput, match="the username") as info:
        make(maker, **untyped)
    assert TOKEN not in given_away(info.value)


def make(maker: Callable[..., object], **arguments: object) -> None:
    maker(**{"username": USER, "token": TOKEN, **arguments})
