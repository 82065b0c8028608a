"""Rows E16-E21 and E25-E29: one transaction after another, and within each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import anyio
import pytest

from esmtp_async import (
    ConnectionLost,
    ContentRefused,
    Event,
    MessageFinished,
    OutcomeUnknown,
    RecipientsRefused,
    SenderRefused,
    SMTPError,
    StageTimeout,
    Timeouts,
)
from tests.backends import everywhere
from tests.client.checks import (
    BOB,
    CAROL,
    MESSAGE,
    assert_poisoned,
    big_stream,
    failure,
    outcomes,
    send,
)
from tests.raw import (
    EOF,
    HANG,
    RST,
    Act,
    After,
    Answer,
    offering,
    script,
    serving,
)

BOTH: Final = [BOB, CAROL]
ENDINGS: Final = pytest.mark.parametrize("ending", [EOF, RST], ids=["eof", "rst"])


SHUTDOWN: Final = b"421 4.3.2 closing now\r\n"


@everywhere
@pytest.mark.parametrize(
    "answer",
    [
        (SHUTDOWN, EOF),
        b"500 what\r\n",
        EOF,
        RST,
        b"250 ok\r\n250 extra\r\n",
        b"354 x\r\n",
    ],
    ids=["421", "500", "eof", "rst", "extra", "354"],
)
@pytest.mark.parametrize("pipelining", ["off", "conformant"])
async def test_E16_only_250_to_rset_makes_it_reusable(
    answer: Answer, pipelining: str
) -> None:
    failing = script(DATA=[b"554 no\r\n", b"354 go\r\n"], RSET=answer)
    async with serving(failing, script()) as server:
        async with server.client(pipelining=pipelining) as client:
            await failure(client, ContentRefused)
            receipt = await send(client)
            assert outcomes(receipt.recipients) == [("bob", "ACCEPTED", 250)]
            assert receipt.attempts == 2
            assert server.heard[0].contents == []
            assert server.heard[1].contents == [MESSAGE + b".\r\n"]


@everywhere
@pytest.mark.parametrize("stray", [b"250 x\r\n", b"2", b"\r\n", b"550 no\r\n"])
async def test_E17_what_is_said_to_an_idle_connection(stray: bytes) -> None:
    poisoned = script(EHLO=(offering(), 0.02, stray, HANG))
    async with serving(poisoned, script()) as server, server.client() as client:
        await client.probe()
        await anyio.sleep(0.1)
        receipt = await send(client)
        assert receipt.attempts == 1
        assert server.heard[0].verbs == ["EHLO"]
        assert server.taps[0].closed == 1
        assert server.heard[1].contents == [MESSAGE + b".\r\n"]


@everywhere
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    "answer", [EOF, RST, (SHUTDOWN, EOF)], ids=["eof", "rst", "421"]
)
@pytest.mark.parametrize("pipelining", ["off", "conformant"])
async def test_E18_a_dead_pooled_connection_is_replaced_once(
    verb: str, answer: Answer, pipelining: str
) -> None:
    well = script()[verb]
    assert isinstance(well, bytes)
    dying = {**script(), verb: [well, answer]}
    async with serving(dying) as server:
        async with server.client(pipelining=pipelining) as client:
            assert (await send(client)).attempts == 1
            receipt = await send(client)
            assert receipt.attempts == 2
            assert [len(heard.contents) for heard in server.heard] == [1, 1]


@everywhere
@ENDINGS
async def test_E18_a_fresh_connection_is_not_replaced(ending: Act) -> None:
    """But once, for a way to send that may be what the server broke on."""
    for pipelining, opened in (("off", 1), ("conformant", 2)):
        async with (
            serving(script(MAIL=ending)) as server,
            server.client(pipelining=pipelining) as client,
        ):
            await failure(client, ConnectionLost)
            assert len(server.heard) == opened
    dying = script(MAIL=[b"250 ok\r\n", ending])
    async with serving(dying, script(MAIL=ending)) as server, server.client() as client:
        await send(client)
        error = await failure(client, ConnectionLost)
        assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
        assert len(server.heard) == 2


@everywhere
@pytest.mark.parametrize("answer", [EOF, RST, b"oops\r\n", (SHUTDOWN, EOF)])
@pytest.mark.parametrize("pipelining", ["off", "conformant"])
async def test_E18_nothing_is_repeated_once_somebody_was_refused(
    answer: Answer, pipelining: str
) -> None:
    dying = script(RCPT=[b"250 ok\r\n", b"550 5.1.1 no\r\n", answer])
    async with serving(dying) as server, server.client(pipelining=pipelining) as client:
        await send(client)
        with pytest.raises(SMTPError) as info:
            await send(client, recipients=BOTH)
        first, second = outcomes(info.value.recipients)
        assert first == ("bob", "REFUSED", 550)
        assert second[:2] in {("carol", "NOT_SENT"), ("carol", "REFUSED")}
        assert len(server.heard) == 1


@everywhere
@ENDINGS
async def test_E18_nothing_is_repeated_once_the_mail_data_began(ending: Act) -> None:
    dying = script(CONTENT=[b"250 ok\r\n", ending])
    async with serving(dying) as server, server.client() as client:
        await send(client)
        await failure(client, OutcomeUnknown)
        assert len(server.heard) == 1
    dying = script(DATA=[b"354 go\r\n", (b"354 go\r\n", After(70000), ending)])
    async with serving(dying) as server, server.client() as client:
        await send(client)
        error = await failure(client, ConnectionLost, big_stream())
        assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
        assert len(server.heard) == 1


@everywhere
@pytest.mark.parametrize("connections", [1, 7])
async def test_E19_fifty_tasks(connections: int) -> None:
    async with serving(script()) as server:
        async with server.client(max_connections=connections) as client:
            async with anyio.create_task_group() as group:
                for number in range(50):
                    message = f"Subject: {number}\r\n\r\n{number}\r\n".encode()
                    group.start_soon(send, client, message)
            assert len(server.heard) <= connections
            whole = sorted(c for heard in server.heard for c in heard.contents)
            assert whole == sorted(
                f"Subject: {n}\r\n\r\n{n}\r\n.\r\n".encode() for n in range(50)
            )
            for heard in server.heard:
                count = len(heard.contents)
                assert heard.verbs == ["EHLO", *["MAIL", "RCPT", "DATA"] * count]


@everywhere
@pytest.mark.parametrize("code", [251, 551])
async def test_E20_redirects_are_not_followed(code: int) -> None:
    redirecting = script(RCPT=b"%d try <evil@x.test>\x1b\r\n" % code)
    async with serving(redirecting) as server, server.client() as client:
        if code == 251:
            results = (await send(client)).recipients
        else:
            error = await failure(client, RecipientsRefused)
            results = error.recipients
            assert "<evil@x.test>\\x1b" in str(error)
        outcome = "ACCEPTED" if code == 251 else "REFUSED"
        assert [entry[:2] for entry in outcomes(results)] == [("bob", outcome)]
        assert server.heard[0].verbs.count("RCPT") == 1
        assert b"evil" not in server.taps[0].octets


@everywhere
@pytest.mark.parametrize(
    ("reply", "temporary"),
    [
        (b"450 4.7.1 greylisted", True),
        (b"451 4.7.0 come back", True),
        (b"452 4.2.2 over quota", True),
        (b"552 5.2.2 over quota", False),
        (b"552 5.3.4 too big", False),
        (b"550 5.1.1 nobody", False),
    ],
)
async def test_E21_what_may_succeed_later(reply: bytes, temporary: bool) -> None:  # noqa: FBT001
    picky = script(RCPT=[b"250 ok\r\n", reply + b"\r\n"])
    async with serving(picky) as server, server.client() as client:
        receipt = await send(client, recipients=BOTH)
        code = int(reply[:3])
        assert outcomes(receipt.recipients)[1] == ("carol", "REFUSED", code)
        assert receipt.recipients[1].temporary is temporary
        error = await failure(client, RecipientsRefused)
        assert error.temporary is (code < 500)


@everywhere
@pytest.mark.parametrize(
    "reply", [b"452 too many", b"452 4.5.3 too many", b"552 too many", b"552 5.5.3 no"]
)
async def test_E21_too_many_recipients_go_in_another_transaction(reply: bytes) -> None:
    picky = script(RCPT=[b"250 ok\r\n", reply + b"\r\n", b"250 ok\r\n"])
    async with serving(picky) as server, server.client() as client:
        receipt = await send(client, recipients=BOTH)
        assert receipt.accepted == tuple(BOTH)
        assert receipt.attempts == 1
        assert server.heard[0].messages == [MESSAGE, MESSAGE]
        assert server.heard[0].verbs.count("MAIL") == 2
    picky = script(RCPT=[b"250 ok\r\n", reply + b"\r\n"])
    async with serving(picky) as server, server.client() as client:
        receipt = await send(client, recipients=BOTH)
        code = int(reply[:3])
        assert outcomes(receipt.recipients)[1] == ("carol", "REFUSED", code)
        # Where nobody was accepted before, it cannot mean "too many".
        assert receipt.recipients[1].temporary is (code < 500)
        assert server.heard[0].verbs.count("MAIL") == 2


@everywhere
async def test_E25_lmtp_answers_for_each() -> None:
    three = [BOB, CAROL, "dave@example.test"]
    for end, last in ((EOF, "UNKNOWN"), (b"550 no\r\n", "REFUSED")):
        short = script(CONTENT=(b"250 ok\r\n452 full\r\n", end))
        async with serving(short, script()) as server:
            async with server.client(scheme="lmtp") as client:
                if last == "UNKNOWN":
                    error = await failure(client, OutcomeUnknown, recipients=three)
                    results = error.recipients
                else:
                    results = (await send(client, recipients=three)).recipients
                assert [o[:2] for o in outcomes(results)] == [
                    ("bob", "ACCEPTED"),
                    ("carol", "REFUSED"),
                    ("dave", last),
                ]
                assert results[1].temporary


@everywhere
async def test_E25_lmtp_one_reply_too_many() -> None:
    many = script(
        RCPT=[b"250 ok\r\n", b"550 no\r\n"],
        CONTENT=(b"250 ok\r\n250 extra\r\n", HANG),
    )
    async with serving(many, script(CONTENT=b"250 ok\r\n")) as server:
        async with server.client(scheme="lmtp") as client:
            receipt = await send(client, recipients=BOTH)
            assert outcomes(receipt.recipients) == [
                ("bob", "ACCEPTED", 250),
                ("carol", "REFUSED", 550),
            ]
            verbs = ["LHLO", "MAIL", "RCPT", "RCPT", "DATA"]
            await assert_poisoned(server, client, *verbs)


@everywhere
async def test_E25_lmtp_421_for_the_rest() -> None:
    short = script(CONTENT=(b"250 ok\r\n421 closing\r\n", EOF))
    async with serving(short) as server, server.client(scheme="lmtp") as client:
        receipt = await send(client, recipients=BOTH)
        assert outcomes(receipt.recipients) == [
            ("bob", "ACCEPTED", 250),
            ("carol", "REFUSED", 421),
        ]


@everywhere
@pytest.mark.parametrize("keywords", [["CHUNKING"], ["CHUNKING", "PIPELINING"]])
async def test_E26_a_chunk_refused(keywords: list[str]) -> None:
    full = script(
        EHLO=offering(*keywords),
        BDAT=[b"250 ok\r\n", b"452 full\r\n", b"503 no\r\n"],
        LAST=b"503 no\r\n",
    )
    async with serving({**full, "LAST": [b"503 no\r\n", b"250 ok\r\n"]}) as server:
        async with server.client() as client:
            error = await failure(client, ContentRefused, big_stream(40))
            assert outcomes(error.recipients) == [("bob", "REFUSED", 452)]
            assert error.temporary
            chunks = server.heard[0].verbs.count("BDAT")
            assert chunks == 2 if keywords == ["CHUNKING"] else chunks < 40
            assert b"LAST" not in server.taps[0].octets
            await send(client)
            assert server.heard[0].verbs[3 + chunks : 5 + chunks] == ["RSET", "MAIL"]
            assert server.heard[0].contents[chunks:] == [MESSAGE + b".\r\n"]


@everywhere
async def test_E26_a_refusal_stops_the_chunks_long_before_the_window_is_full() -> None:
    full = script(
        EHLO=offering("PIPELINING", "CHUNKING"),
        BDAT=[(b"452 4.3.1 full\r\n", 0.0), b"503 no\r\n"],
        LAST=b"250 ok\r\n",
    )
    async with serving(full) as server, server.client() as client:
        error = await failure(client, ContentRefused, big_stream(4000))
        assert outcomes(error.recipients) == [("bob", "REFUSED", 452)]
        assert len(server.taps[0].octets) < 600_000
        assert (await send(client)).accepted == (BOB,)
        assert len(server.heard) == 1


@everywhere
@pytest.mark.parametrize("source", ["bytes", "stream"])
async def test_chunks_wait_for_no_reply_before_the_window_is_full(source: str) -> None:
    """Over a long line a round trip for each would take most of the time."""
    slow = script(
        EHLO=offering("PIPELINING", "CHUNKING"),
        BDAT=[(After(900_000), b"250 ok\r\n"), b"250 ok\r\n"],
    )
    async with serving(slow) as server:
        async with server.client(pipelining="eager", timeouts=2) as client:
            message = big_stream(100) if source == "stream" else b"x\r\n" * 500_000
            receipt = await send(client, message)
            assert receipt.accepted == (BOB,)
            # In blocks all the same: each has a time limit of its own.
            assert max(map(len, server.taps[0].writes)) < 2 * 65536


@everywhere
async def test_E27_all_replies_of_a_group_count() -> None:
    odd = script(MAIL=[b"550 no\r\n", b"250 ok\r\n"])
    async with serving(odd) as server, server.client() as client:
        error = await failure(client, SenderRefused, recipients=BOTH)
        assert outcomes(error.recipients) == [
            ("bob", "REFUSED", 550),
            ("carol", "REFUSED", 550),
        ]
        assert server.heard[0].contents == [b".\r\n"]
        await send(client)
        assert server.heard[-1].contents[-1] == MESSAGE + b".\r\n"


@everywhere
async def test_E28_a_server_that_reads_only_when_its_replies_are_read() -> None:
    wordy = script(RCPT=b"250 2.1.5 " + b"x" * 400 + b"\r\n")
    recipients = [f"user{number}@example.test" for number in range(4000)]
    async with serving(wordy) as server, server.client() as client:
        server.collects = False
        receipt = await send(client, recipients=recipients)
        assert len(receipt.accepted) == 4000
        assert server.heard[0].verbs.count("RCPT") == 4000
        assert max(map(len, server.taps[0].writes)) < 4096


class BodyFailed(Exception):
    """What a caller's iterable may raise."""


async def failing_stream(source: str) -> AsyncIterator[bytes]:
    for _ in range(16):
        yield b"x" * 65534 + b"\r\n"
    if source == "raises":
        raise BodyFailed
    await anyio.sleep_forever()


@everywhere
@pytest.mark.parametrize("keywords", [[], ["CHUNKING"], ["PIPELINING", "CHUNKING"]])
@pytest.mark.parametrize("source", ["raises", "stalls"])
async def test_E29_a_message_that_cannot_be_read(
    keywords: list[str], source: str
) -> None:
    events: list[Event] = []
    talk = script(EHLO=offering(*keywords))
    async with serving(talk, script()) as server:
        async with server.client(
            timeouts=Timeouts(block=0.3), on_event=events.append
        ) as client:
            kind = BodyFailed if source == "raises" else StageTimeout
            with pytest.raises(kind) as info:
                await send(client, failing_stream(source))
            finished = [e for e in events if isinstance(e, MessageFinished)]
            assert [outcomes(e.recipients) for e in finished] == [
                [("bob", "NOT_SENT", None)]
            ]
            assert finished[0].error is info.value
            assert b"\r\n.\r\n" not in server.taps[0].octets
            assert b"LAST" not in server.taps[0].octets
            assert len(server.taps[0].octets) > 900_000
            receipt = await send(client)
            assert receipt.accepted == (BOB,)
            assert server.heard[-1].contents[-1] == MESSAGE + b".\r\n"
            assert sum(MESSAGE in c for h in server.heard for c in h.contents) == 1
