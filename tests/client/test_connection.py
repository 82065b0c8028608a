"""The driver: what goes out in one write, what a stage may take, who is heard last."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, NoReturn

import anyio
import pytest
from anyio.abc import ByteStream

from esmtp_async import (
    ConnectionLost,
    ContentRefused,
    Event,
    MessageFinished,
    Pipelining,
    ProtocolViolation,
    SenderRefused,
    SMTPError,
    Stage,
    StageTimeout,
    Timeouts,
)
from esmtp_async._connection import Connection
from esmtp_async.protocol import Inquiry, Opening, Quit, Session
from tests.backends import everywhere, in_virtual_time
from tests.client.certificates import client_context, server_context
from tests.client.checks import BOB, CAROL, MESSAGE, failure, outcomes, send
from tests.raw import (
    EOF,
    HANG,
    NAME,
    TLS,
    Act,
    After,
    Flood,
    Script,
    offering,
    script,
    serving,
)
from tests.taps import Tap

MANY: Final = [f"user{number}@example.test" for number in range(250)]
MAIL: Final = b"MAIL FROM:<alice@example.test>\r\n"
RCPT: Final = b"RCPT TO:<bob@example.test>\r\n"
RCPT_TOO: Final = b"RCPT TO:<carol@example.test>\r\n"
DATA: Final = b"DATA\r\n"
CONTENT: Final = MESSAGE + b".\r\n"
LAST: Final = b"BDAT %d LAST\r\n" % len(MESSAGE) + MESSAGE


async def halves(message: bytes) -> AsyncIterator[bytes]:
    """Give a message in two blocks."""
    middle = len(message) // 2
    yield message[:middle]
    yield message[middle:]


# Flights (design: what a message costs in writes)


@everywhere
@pytest.mark.parametrize(
    ("pipelining", "keywords", "flights"),
    [
        ("off", ["PIPELINING"], [MAIL, RCPT, RCPT_TOO, DATA, CONTENT]),
        ("conformant", [], [MAIL, RCPT, RCPT_TOO, DATA, CONTENT]),
        ("conformant", ["PIPELINING"], [MAIL + RCPT + RCPT_TOO + DATA, CONTENT]),
        (
            "conformant",
            ["PIPELINING", "CHUNKING"],
            [MAIL + RCPT + RCPT_TOO + DATA, CONTENT],
        ),
        ("eager", ["PIPELINING"], [MAIL + RCPT + RCPT_TOO + DATA, CONTENT]),
        ("eager", ["PIPELINING", "CHUNKING"], [MAIL + RCPT + RCPT_TOO + LAST]),
        ("eager", ["CHUNKING"], [MAIL, RCPT, RCPT_TOO, LAST]),
    ],
)
async def test_flights_of_a_message(
    pipelining: Pipelining, keywords: list[str], flights: list[bytes]
) -> None:
    async with serving(script(EHLO=offering(*keywords))) as server:
        async with server.client(pipelining=pipelining) as client:
            await client.probe()
            writes = server.taps[0].writes
            before = len(writes)
            for _ in range(3):
                await send(client, recipients=[BOB, CAROL])
                assert writes[before:] == flights
                before = len(writes)


@everywhere
async def test_flights_of_a_stream() -> None:
    half = len(MESSAGE) // 2
    first, second = MESSAGE[:half], MESSAGE[half:]
    chunks = [b"BDAT %d\r\n%b" % (len(part), part) for part in (first, second)]
    data = script(EHLO=offering("PIPELINING"))
    bdat = script(EHLO=offering("PIPELINING", "CHUNKING"))
    async with serving(data, bdat) as server:
        async with server.client(max_messages_per_connection=1) as client:
            await send(client, halves(MESSAGE))
            await send(client, halves(MESSAGE))
        # The end is a write of its own: the commit point is as late as can be.
        assert server.taps[0].writes[1:5] == [
            MAIL + RCPT + DATA,
            first,
            second,
            b".\r\n",
        ]
        # Chunks only after all replies to MAIL and RCPT (RFC 3030 section 2).
        assert server.taps[1].writes[1] == MAIL + RCPT
        assert b"".join(server.taps[1].writes[2:-1]) == b"".join(
            [*chunks, b"BDAT 0 LAST\r\n"]
        )


@everywhere
async def test_flights_of_eager_leave_large_messages_out() -> None:
    chunking = script(EHLO=offering("PIPELINING", "CHUNKING"))
    large = b"Subject: x\r\n\r\n" + b"x" * 65536 + b"\r\n"
    async with serving(chunking) as server:
        async with server.client(pipelining="eager") as client:
            await send(client, large)
            assert server.taps[0].writes[1] == MAIL + RCPT
            assert server.heard[0].messages == [large]


@everywhere
async def test_flights_within_the_window() -> None:
    async with serving(script()) as server, server.client() as client:
        receipt = await send(client, recipients=MANY)
        assert len(receipt.accepted) == 250
        groups = [write.count(b"\r\n") for write in server.taps[0].writes[1:-1]]
        assert groups[0] == 100
        assert sum(groups) == 252
        assert max(groups) == 100


# Writing and reading at once


class BrokenTap(Tap):
    """A stream that breaks at its n-th write, while it can still be read."""

    breaks_at = 2

    async def send(self, item: bytes) -> None:
        if len(self.writes) + 1 == self.breaks_at:
            await anyio.lowlevel.checkpoint()
            raise anyio.BrokenResourceError
        await super().send(item)


@everywhere
@pytest.mark.parametrize("words", [b"421 4.3.2 overloaded\r\n", b"554 go away\r\n"])
async def test_last_words_after_a_failed_write(words: bytes) -> None:
    leaving = script(EHLO=(offering("PIPELINING"), 0.05, words, EOF))
    async with serving(leaving) as server:

        async def connect() -> BrokenTap:
            return BrokenTap(await anyio.connect_tcp("127.0.0.1", server.port))

        async with server.client(connect=connect) as client:
            error = await failure(client, SenderRefused)
            assert outcomes(error.recipients) == [("bob", "REFUSED", int(words[:3]))]


@everywhere
@pytest.mark.parametrize("ending", [HANG, EOF])
async def test_no_last_words_after_a_failed_write(ending: Act) -> None:
    silent = script(EHLO=(offering("PIPELINING"), ending))
    async with serving(silent) as server:

        async def connect() -> BrokenTap:
            return BrokenTap(await anyio.connect_tcp("127.0.0.1", server.port))

        async with server.client(connect=connect) as client:
            start = anyio.current_time()
            error = await failure(client, ConnectionLost)
            assert anyio.current_time() - start < 4
            assert error.stage is Stage.MAIL
            assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]


@in_virtual_time
async def test_last_words_that_were_read_count_though_we_are_cancelled() -> None:
    """The server refuses, and does not hang up; nobody waits for that."""
    events: list[Event] = []
    leaving = script(EHLO=(offering("PIPELINING"), 0.05, b"550 no\r\n", HANG))
    async with serving(leaving) as server:

        async def connect() -> BrokenTap:
            return BrokenTap(await server.connect())

        async with server.client(connect=connect, on_event=events.append) as client:
            with anyio.move_on_after(0.5) as scope:
                await send(client)
            assert scope.cancelled_caught
    [finished] = [event for event in events if isinstance(event, MessageFinished)]
    assert outcomes(finished.recipients) == [("bob", "REFUSED", 550)]


@everywhere
async def test_last_words_that_decide_nothing() -> None:
    """All is answered, what was never heard as well; the message is not sent."""
    early = script(MAIL=(b"250 ok\r\n", 0.05, b"250 early\r\n", EOF))
    async with serving(early) as server:

        class Breaking(BrokenTap):
            breaks_at = 3

        async def connect() -> BrokenTap:
            return Breaking(await anyio.connect_tcp("127.0.0.1", server.port))

        async with server.client(connect=connect, pipelining="off") as client:
            error = await failure(client, ConnectionLost)
            assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
            assert error.stage is Stage.RCPT


@everywhere
async def test_nothing_more_is_read_of_a_message_that_cannot_be_written() -> None:
    leaving = script(
        EHLO=offering("PIPELINING", "CHUNKING"),
        RCPT=(b"250 ok\r\n", 0.05, b"421 4.3.2 overloaded\r\n", EOF),
    )
    asked = 0

    async def blocks() -> AsyncIterator[bytes]:
        nonlocal asked
        for asked in range(1, 9):  # noqa: B007  # counted for the test
            yield MESSAGE

    async with serving(leaving) as server:

        class Breaking(BrokenTap):
            breaks_at = 3

        async def connect() -> BrokenTap:
            return Breaking(await anyio.connect_tcp("127.0.0.1", server.port))

        async with server.client(connect=connect) as client:
            error = await failure(client, ContentRefused, blocks())
            assert outcomes(error.recipients) == [("bob", "REFUSED", 421)]
            assert asked == 1


@in_virtual_time
async def test_a_reply_overheard_as_the_last_octets_go_out() -> None:
    """The reply comes while the dot is still being written, and is not missed."""
    prompt = script(CONTENT=b"250 ok\r\n")
    async with serving(prompt) as server:

        class Lingering(Tap):
            async def send(self, item: bytes) -> None:
                await super().send(item)
                if item == b".\r\n":
                    await anyio.sleep(0.05)

        async def connect() -> Tap:
            return Lingering(await server.connect())

        async with server.client(connect=connect) as client:
            start = anyio.current_time()
            receipt = await send(client, halves(MESSAGE))
            assert outcomes(receipt.recipients) == [("bob", "ACCEPTED", 250)]
            assert anyio.current_time() - start <= 0.05


@in_virtual_time
async def test_part_of_a_reply_overheard_stops_the_upload() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    early: Script = script(
        DATA=(b"354 go\r\n", After(65536), b"55", 0.05, b"2 too big\r\n", HANG)
    )
    async with serving(early) as server, server.client() as client:
        with pytest.raises(SMTPError) as info:
            await send(client, endless())
        assert outcomes(info.value.recipients) == [("bob", "REFUSED", 552)]


@everywhere
async def test_a_flood_does_not_stop_the_deadline() -> None:
    flood = script(EHLO=(Flood(b"250-x\r\n", times=200), HANG))
    async with serving(flood) as server:
        async with server.client(timeouts=Timeouts(command=0.2)) as client:
            error = await failure(client, StageTimeout)
            assert error.stage is Stage.HELLO


@in_virtual_time
async def test_tls_records_are_no_progress_of_a_reply() -> None:
    talk = script(CONNECT=(TLS, b"220 x\r\n"), EHLO=(b"250-", 0.1, b"x", HANG))
    async with serving(talk, tls=server_context()) as server:
        async with server.client(
            security="tls", ssl_context=client_context(), timeouts=Timeouts(command=0.2)
        ) as client:
            start = anyio.current_time()
            await failure(client, StageTimeout)
            assert anyio.current_time() - start == pytest.approx(0.2)


# A session that takes a lone LF


@everywhere
@pytest.mark.parametrize("lenient", [True, False])
async def test_P8_but_for_a_whole_session_that_takes_it(lenient: bool) -> None:  # noqa: FBT001
    sloppy = script(
        CONNECT=b"220 hi\n", EHLO=b"250-mail\n250 SIZE 5\n", QUIT=(b"221 bye\n", EOF)
    )
    async with serving(sloppy) as server:
        opening = Opening(NAME)
        connection = Connection(
            await server.connect(),
            Session(opening, lenient_reply_eol=lenient),
            Timeouts.each(5),
            upgrade=never_upgrade,
        )
        if lenient:
            await connection.run(opening)
            assert connection.session.extensions.size == 5
            await connection.run(Inquiry(Quit()))
            assert server.heard[0].verbs == ["EHLO", "QUIT"]
        else:
            with pytest.raises(ProtocolViolation, match="LF without CR"):
                await connection.run(opening)
            assert server.taps[0].writes == []


async def never_upgrade(_stream: ByteStream) -> NoReturn:
    pytest.fail("no TLS was asked for")
