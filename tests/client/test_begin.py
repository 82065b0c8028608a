"""`send_many(on_begin=)`: what a record needs that outlives the process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest

from esmtp_async import Event, MessageFinished, Outcome, SendResult
from esmtp_async.testing import Rule, SMTPServer
from tests.backends import everywhere
from tests.client.checks import ALICE

Begun = list[tuple[int, tuple[str, ...]]]
ADDRESSES = [f"r{number}@example.test" for number in range(12)]
LETTERS = [(b"Subject: x\r\n\r\nx\r\n", ALICE, [address]) for address in ADDRESSES]


async def drain(
    batch: AbstractAsyncContextManager[AsyncIterator[SendResult]], done: list[int]
) -> None:
    """Note each result, up to whatever is raised."""
    async with batch as results:
        while (result := await anext(results, None)) is not None:
            done.append(result.index)


shapes = pytest.mark.parametrize("pipelining", ["off", "conformant", "eager"])


@everywhere
@shapes
async def test_each_message_is_told_before_any_of_it_is_said(pipelining: str) -> None:
    begun: Begun = []
    async with SMTPServer(eager=True) as server:

        def begin(index: int, addresses: tuple[str, ...]) -> None:
            begun.append((index, addresses))
            said = b"".join(
                said.octets for lines in server.transcript for said in lines
            )
            assert addresses[0].encode() not in said

        async with server.client(pipelining=pipelining) as client:
            async with client.send_many(LETTERS, on_begin=begin) as results:
                done = [result.unwrap().accepted async for result in results]
    assert sorted(begun) == [(n, (a,)) for n, a in enumerate(ADDRESSES)]
    assert sorted(done) == sorted((address,) for address in ADDRESSES)


@everywhere
@shapes
async def test_what_it_raises_ends_the_batch_behind_what_is_under_way(
    pipelining: str,
) -> None:
    finished: list[MessageFinished] = []

    def note(event: Event) -> None:
        if isinstance(event, MessageFinished):
            finished.append(event)

    def begin(index: int, _addresses: tuple[str, ...]) -> None:
        if index == 5:
            raise OSError("the disk is full")

    async with SMTPServer(eager=True) as server:
        async with server.client(pipelining=pipelining, on_event=note) as client:
            done: list[int] = []
            with pytest.raises(OSError, match="the disk is full"):
                await drain(
                    client.send_many(LETTERS, connections=1, on_begin=begin), done
                )
        assert sorted(done) == [0, 1, 2, 3, 4]
        assert [m.recipients[0].path for m in server.messages] == ADDRESSES[:5]
    told = {
        event.batch_index: event.recipients[0]
        for event in finished
        if event.batch_index is not None
    }
    assert [told[n].address for n in sorted(told)] == ADDRESSES[: len(told)]
    assert {told[n].outcome for n in range(5)} == {Outcome.ACCEPTED}
    assert told[5].outcome is Outcome.NOT_SENT
    assert {result.outcome for n, result in told.items() if n > 5} <= {Outcome.NOT_SENT}


@everywhere
async def test_a_second_attempt_is_told_with_those_who_are_left() -> None:
    begun: Begun = []
    too_many = Rule("RCPT", "r1@", reply="452 4.5.3 too many recipients", times=1)
    async with SMTPServer(rules=[too_many]) as server:
        async with server.client() as client:
            letter = (b"Subject: x\r\n\r\nx\r\n", ALICE, ADDRESSES[:3])
            async with client.send_many(
                [letter], on_begin=lambda *told: begun.append(told)
            ) as results:
                assert (await anext(results)).unwrap().accepted == (*ADDRESSES[:3],)
    assert begun == [(0, tuple(ADDRESSES[:3])), (0, ("r1@example.test",))]


@everywhere
async def test_a_message_of_send_has_no_index() -> None:
    finished: list[Event] = []
    async with SMTPServer() as server:
        async with server.client(on_event=finished.append) as client:
            await client.send(b"x", sender=ALICE, recipients=ADDRESSES[:1])
    (told,) = [event for event in finished if isinstance(event, MessageFinished)]
    assert told.batch_index is None
