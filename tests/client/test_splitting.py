"""More recipients than the server takes at once: several transactions, one receipt."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from esmtp_async import (
    ContentRefused,
    MessageFinished,
    NotSupported,
    Outcome,
    OutcomeUnknown,
    RecipientsRefused,
    Stage,
)
from esmtp_async.testing import Rule, SMTPServer
from tests.backends import everywhere
from tests.client.checks import MESSAGE, failure, outcomes, send
from tests.raw import EOF, HANG, RST, Act, Answer, offering, script, serving

FIVE = [f"r{number}@example.test" for number in range(5)]
OK = b"250 ok\r\n"
TOO_MANY = b"452 4.5.3 too many recipients\r\n"


def limited(*limits: str) -> bytes:
    return offering("PIPELINING", " ".join(["LIMITS", *limits]))


@everywhere
@pytest.mark.parametrize("pipelining", ["off", "conformant", "eager"])
async def test_rcptmax_is_kept_to(pipelining: str) -> None:
    extensions = ["PIPELINING", "CHUNKING", "LIMITS RCPTMAX=2"]
    async with SMTPServer(
        extensions=extensions, max_recipients=2, eager=True
    ) as server:
        finished: list[MessageFinished] = []
        async with server.client(
            pipelining=pipelining,
            on_event=lambda e: (
                finished.append(e) if isinstance(e, MessageFinished) else None
            ),
        ) as client:
            receipt = await send(client, recipients=FIVE)
        assert receipt.accepted == tuple(FIVE)
        assert [r.stage for r in receipt.recipients] == [Stage.FINAL] * 5
        stored = [[r.path for r in m.recipients] for m in server.messages]
        assert stored == [FIVE[:2], FIVE[2:4], FIVE[4:]]
        assert {m.content for m in server.messages} == {MESSAGE}
        assert receipt.queue_id == "00000003"
        assert receipt.attempts == 1
        assert server.connections == 1
        [told] = finished
        assert told.recipients == receipt.recipients
        assert server.violations == []


@everywhere
async def test_a_server_that_tells_no_limit_is_asked_again() -> None:
    async with SMTPServer(max_recipients=2) as server, server.client() as client:
        receipt = await send(client, recipients=FIVE)
        assert receipt.accepted == tuple(FIVE)
        stored = [[r.path for r in m.recipients] for m in server.messages]
        assert stored == [FIVE[:2], FIVE[2:4], FIVE[4:]]


@everywhere
@pytest.mark.parametrize("chunking", [True, False])
@pytest.mark.parametrize(
    ("limits", "told"),
    [([], "REFUSED"), (["LIMITS RCPTMAX=2"], "NOT_SENT")],
    ids=["452", "RCPTMAX"],
)
async def test_a_stream_goes_out_in_one_transaction(
    limits: list[str], told: str, *, chunking: bool
) -> None:
    """It can be read once: nobody gets what is left of it, which is nothing."""

    async def blocks() -> AsyncIterator[bytes]:
        yield MESSAGE

    extensions = ["PIPELINING", *limits, *["CHUNKING"] * chunking]
    async with SMTPServer(extensions=extensions, max_recipients=2) as server:
        async with server.client() as client:
            receipt = await send(client, blocks(), recipients=FIVE)
        assert [m.content for m in server.messages] == [MESSAGE]
        assert receipt.accepted == tuple(FIVE[:2])
        assert {r.outcome.name for r in receipt.refused} == {told}
        assert all(r.temporary for r in receipt.refused)


@everywhere
async def test_who_is_refused_for_himself_is_not_asked_again() -> None:
    async with SMTPServer(
        max_recipients=2, rules=[Rule("RCPT", "r1@", reply="550 5.1.1 nobody")]
    ) as server:
        async with server.client() as client:
            receipt = await send(client, recipients=FIVE)
        assert outcomes(receipt.recipients) == [
            ("r0", "ACCEPTED", 250),
            ("r1", "REFUSED", 550),
            *((f"r{n}", "ACCEPTED", 250) for n in (2, 3, 4)),
        ]
        said = [s.octets for s in server.transcript[0] if s.side == "C"]
        assert said.count(b"RCPT TO:<r1@example.test>\r\n") == 1


@everywhere
async def test_a_message_that_is_refused_is_not_said_twice() -> None:
    """Nobody has it, so there is no room that others took."""
    picky = script(RCPT=[OK, TOO_MANY], CONTENT=b"554 5.6.0 no\r\n")
    async with serving(picky) as server, server.client() as client:
        error = await failure(client, ContentRefused, recipients=FIVE[:2])
        assert outcomes(error.recipients) == [
            ("r0", "REFUSED", 554),
            ("r1", "REFUSED", 452),
        ]
        assert [r.temporary for r in error.recipients] == [False, True]
        assert server.heard[0].verbs.count("MAIL") == 1


@everywhere
async def test_all_or_nothing_is_not_for_more_than_the_server_takes() -> None:
    limit = script(EHLO=limited("RCPTMAX=2"))
    async with serving(limit) as server, server.client() as client:
        with pytest.raises(NotSupported, match="RCPTMAX") as info:
            await send(client, recipients=FIVE, all_or_nothing=True)
        assert info.value.extension == "LIMITS"
        assert {r.outcome for r in info.value.recipients} == {Outcome.NOT_SENT}
        assert "MAIL" not in server.heard[0].verbs
        receipt = await send(client, recipients=FIVE[:2], all_or_nothing=True)
        assert receipt.accepted == tuple(FIVE[:2])


@everywhere
async def test_all_or_nothing_asks_nobody_twice() -> None:
    picky = script(RCPT=[OK, TOO_MANY])
    async with serving(picky) as server, server.client() as client:
        error = await failure(
            client, RecipientsRefused, recipients=FIVE[:2], all_or_nothing=True
        )
        assert [r.outcome.name for r in error.recipients] == ["NOT_SENT", "REFUSED"]
        assert server.heard[0].verbs.count("MAIL") == 1


@everywhere
@pytest.mark.parametrize("end", [EOF, RST], ids=["eof", "rst"])
async def test_what_was_taken_stays_taken_where_the_second_one_is_lost(
    end: Act,
) -> None:
    lost: list[Answer] = [OK, end]
    breaking = script(EHLO=limited("RCPTMAX=2"), MAIL=lost)
    async with serving(breaking, script()) as server, server.client() as client:
        receipt = await send(client, recipients=FIVE[:4])
        # Nothing was decided in the second one, and its connection had been used.
        assert receipt.accepted == tuple(FIVE[:4])
        assert receipt.attempts == 2
        assert [len(heard.messages) for heard in server.heard] == [1, 1]


@everywhere
async def test_what_is_unknown_of_the_second_one_is_told_beside_the_first() -> None:
    slow = script(EHLO=limited("RCPTMAX=2"), CONTENT=[OK, (b"250", EOF)])
    async with serving(slow, script()) as server, server.client() as client:
        error = await failure(client, OutcomeUnknown, recipients=FIVE)
        assert outcomes(error.recipients) == [
            ("r0", "ACCEPTED", 250),
            ("r1", "ACCEPTED", 250),
            ("r2", "UNKNOWN", None),
            ("r3", "UNKNOWN", None),
            ("r4", "NOT_SENT", None),
        ]
        assert len(server.heard) == 1


@everywhere
async def test_time_that_is_up_in_the_second_one() -> None:
    slow = script(EHLO=limited("RCPTMAX=2"), MAIL=[OK, HANG])
    async with serving(slow) as server, server.client() as client:
        receipt = await send(client, recipients=FIVE[:3], timeout=0.5)
        assert outcomes(receipt.recipients) == [
            ("r0", "ACCEPTED", 250),
            ("r1", "ACCEPTED", 250),
            ("r2", "NOT_SENT", None),
        ]
        assert receipt.recipients[2].temporary


@everywhere
async def test_who_was_too_many_stays_refused_until_another_one_decides() -> None:
    slow = script(RCPT=[OK, TOO_MANY], MAIL=[OK, HANG])
    async with serving(slow) as server, server.client() as client:
        receipt = await send(client, recipients=FIVE[:2], timeout=0.5)
        assert outcomes(receipt.recipients) == [
            ("r0", "ACCEPTED", 250),
            ("r1", "REFUSED", 452),
        ]
        assert receipt.recipients[1].temporary
        assert server.heard[0].verbs.count("MAIL") == 2


@everywhere
async def test_a_connection_carries_no_more_than_mailmax() -> None:
    limit = script(EHLO=limited("MAILMAX=2"))
    async with serving(limit) as server, server.client() as client:
        for _ in range(5):
            await send(client)
        assert [len(heard.messages) for heard in server.heard] == [2, 2, 1]
