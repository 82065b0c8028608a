"""Rows D1-D4: what comes that nothing asked for."""

from __future__ import annotations

import pytest

from esmtp_async import (
    ProtocolViolation,
    Stage,
)
from tests.backends import everywhere
from tests.client.checks import (
    assert_poisoned,
    failure,
    outcomes,
    send,
)
from tests.client.test_rules_replies import assert_fails
from tests.raw import EOF, HANG, offering, script, serving


@everywhere
@pytest.mark.parametrize("extra", [b"250-f\r\n250 x\r\n", b"250-f\r\n", b"2"])
async def test_D1_octets_behind_the_greeting(extra: bytes) -> None:
    hostile = script(CONNECT=(b"220 hi\r\n" + extra, HANG))
    async with serving(hostile, script()) as server, server.client() as client:
        error = await failure(client, ProtocolViolation)
        assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
        assert server.taps[0].writes == []
        await assert_poisoned(server, client)


@everywhere
@pytest.mark.parametrize("verb", ["EHLO", "MAIL", "RCPT"])
async def test_D1_two_replies_to_one_command(verb: str) -> None:
    await assert_fails(ProtocolViolation, verb, b"250 ok\r\n250 extra\r\n")


@everywhere
async def test_D1_two_replies_to_mail_of_a_group() -> None:
    # The second passes for that of RCPT, and RCPT's own for that of DATA.
    hostile = script(MAIL=b"250 ok\r\n250 extra\r\n")
    async with serving(hostile, script()) as server, server.client() as client:
        error = await failure(client, ProtocolViolation)
        assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
        assert error.stage is Stage.DATA
        await assert_poisoned(server, client, "EHLO", "MAIL", "RCPT", "DATA")


@everywhere
@pytest.mark.parametrize("extra", [b"250 extra\r\n", b"25", b"550 no\r\n", b"\n"])
async def test_D1_octets_behind_the_final_reply(extra: bytes) -> None:
    hostile = script(CONTENT=(b"250 ok\r\n" + extra, HANG))
    async with serving(hostile, script()) as server, server.client() as client:
        receipt = await send(client)
        assert outcomes(receipt.recipients) == [("bob", "ACCEPTED", 250)]
        assert await server.heard[0].over() == "reset"
        await assert_poisoned(server, client, "EHLO", "MAIL", "RCPT", "DATA")


@everywhere
async def test_D2_garbage_is_not_skipped_to_the_next_reply() -> None:
    await assert_fails(ProtocolViolation, "CONTENT", b"garbage\r\n221 bye\r\n")


@everywhere
@pytest.mark.parametrize("farewell", [b"421 bye\r\n", b"", b"250 x\r\n", b"4"])
async def test_D3_what_comes_while_idle(farewell: bytes) -> None:
    hostile = script(CONTENT=(b"250 ok\r\n", 0.02, farewell, EOF))
    async with serving(hostile, script()) as server, server.client() as client:
        await send(client)
        await server.heard[0].left()
        receipt = await send(client)
        assert outcomes(receipt.recipients) == [("bob", "ACCEPTED", 250)]
        assert receipt.attempts == 1
        assert server.heard[0].verbs == ["EHLO", "MAIL", "RCPT", "DATA"]
        assert [len(heard.contents) for heard in server.heard] == [1, 1]


@everywhere
async def test_D3_421_with_the_final_reply() -> None:
    hostile = script(CONTENT=(b"250 ok\r\n421 bye\r\n", EOF))
    async with serving(hostile, script()) as server, server.client() as client:
        receipt = await send(client)
        assert outcomes(receipt.recipients) == [("bob", "ACCEPTED", 250)]
        assert (await send(client)).attempts == 1
        assert [len(heard.contents) for heard in server.heard] == [1, 1]


@everywhere
@pytest.mark.parametrize(
    ("verb", "reply"),
    [
        ("EHLO", offering("PIPELINING", "AUTH PLAIN") + b"250 early\r\n"),
        ("AUTH", b"235 ok\r\n250 early\r\n"),
        ("DATA", b"354 go\r\n250 early\r\n"),
    ],
)
async def test_D4_a_reply_before_its_command(verb: str, reply: bytes) -> None:
    well = script(EHLO=offering("AUTH PLAIN"))
    hostile = {**well, verb: (reply, HANG)}
    async with serving(hostile, well) as server:
        async with server.client(
            username="u", password="p", allow_plaintext_auth=True
        ) as client:
            error = await failure(client, ProtocolViolation)
            assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
            assert server.heard[0].contents == []
            verbs = ["EHLO", "AUTH", "MAIL", "RCPT", "DATA"]
            await assert_poisoned(server, client, *verbs[: verbs.index(verb) + 1])
