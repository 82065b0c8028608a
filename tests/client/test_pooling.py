"""The pool of a client, over sockets."""

from __future__ import annotations

import anyio
import pytest

from esmtp_async import (
    CommandSent,
    Event,
    HelloRefused,
    Timeouts,
)
from tests.backends import everywhere, in_virtual_time
from tests.client.certificates import client_context, server_context
from tests.client.checks import BOB, MESSAGE, failure, send
from tests.raw import (
    EOF,
    STALL,
    TLS,
    Answer,
    offering,
    script,
    serving,
)


@everywhere
async def test_messages_share_a_connection() -> None:
    async with serving(script()) as server, server.client() as client:
        for _ in range(3):
            await send(client)
    assert [heard.messages for heard in server.heard] == [[MESSAGE] * 3]
    assert server.heard[0].verbs[-1] == "QUIT"


@everywhere
async def test_the_share_of_a_connection() -> None:
    async with serving(script()) as server:
        async with server.client(max_messages_per_connection=2) as client:
            for _ in range(5):
                await send(client)
    assert [len(heard.messages) for heard in server.heard] == [2, 2, 1]
    assert [heard.verbs[-1] for heard in server.heard] == ["QUIT"] * 3


@everywhere
@pytest.mark.parametrize("limit", ["max_idle", "max_age"])
async def test_old_connections_are_replaced(limit: str) -> None:
    async with serving(script()) as server:
        options = {"max_idle": 0.05} if limit == "max_idle" else {"max_age": 0.05}
        async with server.client(**options) as client:  # type: ignore[arg-type]
            await send(client)
            await anyio.sleep(0.1)
            await send(client)
        assert [len(heard.messages) for heard in server.heard] == [1, 1]
        assert server.taps[0].closed == 1


@in_virtual_time
async def test_expired_connections_hold_nobody_up() -> None:
    """Peers that never say good-bye are told QUIT, and wait for nobody."""
    deaf = script(CONNECT=(TLS, b"220 x\r\n"), CONTENT=(b"250 ok\r\n", STALL))
    events: list[Event] = []
    async with serving(
        *[deaf] * 4, script(CONNECT=(TLS, b"220 x\r\n")), tls=server_context()
    ) as server:
        async with server.client(
            security="tls",
            ssl_context=client_context(),
            max_connections=4,
            max_idle=0.1,
            timeouts=Timeouts(quit=0.2),
            on_event=events.append,
        ) as client:
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(send, client)
            assert len(server.heard) == 4
            await anyio.sleep(0.2)
            start = anyio.current_time()
            assert (await send(client)).accepted == (BOB,)
            assert anyio.current_time() - start <= 0.051
            # One had to make room; the others have time.
            assert [tap.closed for tap in server.taps].count(1) == 1
            told = [e.command for e in events if isinstance(e, CommandSent)]
            assert told.count("QUIT") == 4
        assert [tap.closed for tap in server.taps] == [1] * 5


@everywhere
async def test_an_idle_connection_that_died_is_not_used() -> None:
    dying = script(CONTENT=(b"250 ok\r\n", EOF))
    async with serving(dying, script()) as server, server.client() as client:
        await send(client)
        await server.heard[0].left()
        assert (await send(client)).attempts == 1
        assert [len(heard.messages) for heard in server.heard] == [1, 1]


@everywhere
async def test_a_closed_client() -> None:
    async with serving(script(CONTENT=(0.1, b"250 ok\r\n"))) as server:
        client = server.client()
        async with anyio.create_task_group() as group:
            group.start_soon(send, client)
            while not server.heard or not server.heard[0].messages:
                await anyio.sleep(0.01)
            await client.aclose()
        # What was under way was not disturbed, and left in order.
        assert server.heard[0].messages == [MESSAGE]
        assert await server.heard[0].over() != "reset"
        assert server.heard[0].verbs[-1] == "QUIT"
        for action in (send(client), client.noop(), client.probe()):
            with pytest.raises(RuntimeError, match="closed"):
                await action
        await client.aclose()
        assert len(server.heard) == 1


@in_virtual_time
async def test_closing_waits_for_nobody_for_long() -> None:
    stuck = script(QUIT=STALL)
    async with serving(stuck) as server:
        client = server.client(timeouts=0.2)
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(send, client)
        assert len(server.heard) == 5
        start = anyio.current_time()
        await client.aclose()
        assert anyio.current_time() - start == pytest.approx(0.2)
        assert [tap.closed for tap in server.taps] == [1] * 5


@everywhere
async def test_failures_use_nothing_up() -> None:
    refusing = script(EHLO=b"550 no\r\n", HELO=b"550 no\r\n")
    async with serving(*[refusing] * 8, script(EHLO=offering())) as server:
        async with server.client(max_connections=2) as client:
            for _ in range(8):
                await failure(client, HelloRefused)
            assert (await send(client)).accepted == (BOB,)
            assert [tap.closed for tap in server.taps[:8]] == [1] * 8


@in_virtual_time
async def test_nobody_waits_for_the_reply_to_quit() -> None:
    async with serving(script(QUIT=STALL)) as server:
        async with server.client(
            max_messages_per_connection=1, timeouts=Timeouts(quit=0.2)
        ) as client:
            start = anyio.current_time()
            for _ in range(3):
                assert (await send(client)).attempts == 1
            assert anyio.current_time() == start
            assert [tap.closed for tap in server.taps] == [0] * 3
            assert [heard.verbs[-1] for heard in server.heard[:2]] == ["QUIT"] * 2
        assert [tap.closed for tap in server.taps] == [1] * 3


@everywhere
@pytest.mark.parametrize(
    "turning_away",
    [
        {"CONNECT": (b"421 4.7.0 too many connections\r\n", EOF)},
        {"EHLO": b"450 4.7.1 too many connections\r\n"},
        {"EHLO": (b"421 4.7.0 too many connections\r\n", EOF)},
        {"AUTH": b"454 4.7.0 too many connections\r\n"},
    ],
)
async def test_a_server_that_has_enough_connections_is_left_alone(
    turning_away: dict[str, Answer],
) -> None:
    """What can wait for a connection that stands does not fail."""
    offered = offering("AUTH PLAIN")
    well = script(EHLO=offered, AUTH=b"235 ok\r\n", CONTENT=(0.05, b"250 ok\r\n"))
    away = script(**{"EHLO": offered, "AUTH": b"235 ok\r\n", **turning_away})
    async with serving(well, *[away] * 8) as server:
        async with server.client(
            username="u", password="p", allow_plaintext_auth=True
        ) as client:
            await client.noop()
            async with anyio.create_task_group() as group:
                for _ in range(6):
                    group.start_soon(send, client)
            assert len(server.heard[0].messages) == 6
            assert len(server.heard) <= 6  # those that were under way already
            dialled = len(server.heard)
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(send, client)
            assert len(server.heard[0].messages) == 10
            assert len(server.heard) == dialled


@in_virtual_time
async def test_closing_can_be_given_up_at_once() -> None:
    async with serving(script(QUIT=STALL)) as server:
        client = server.client()
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(send, client)
        start = anyio.current_time()
        with anyio.move_on_after(0.05) as scope:
            await client.aclose()
        assert scope.cancelled_caught
        assert anyio.current_time() - start == pytest.approx(0.05)
        assert [tap.closed for tap in server.taps] == [1] * 3
