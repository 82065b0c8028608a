"""Servers that break on what they offer get mail in a safer way, and none is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
import pytest
from anyio.abc import ByteStream

from esmtp_async import (
    ConnectionLost,
    Event,
    OutcomeUnknown,
    ProtocolViolation,
    RecipientsRefused,
    SMTPClient,
    StageTimeout,
    WayGivenUp,
)
from esmtp_async.testing import Rule, SMTPServer
from tests.backends import everywhere, in_virtual_time
from tests.client.checks import (
    ALICE,
    BOB,
    CAROL,
    MESSAGE,
    big_stream,
    failure,
    outcomes,
    send,
)
from tests.raw import EOF, HANG, offering, script, serving
from tests.taps import BLOCK, Tap

FULL: Final = ("PIPELINING", "8BITMIME", "SIZE", "CHUNKING")


class Fragile(Tap):
    """A line on which something cannot bear what comes in one piece.

    So does a firewall that looks into SMTP, or a server that throws away what it has
    not read yet.
    """

    def __init__(self, stream: ByteStream, unbearable: Callable[[bytes], bool]) -> None:
        super().__init__(stream)
        self._unbearable = unbearable
        self.broken = False

    def bears(self, octets: bytes) -> bool:
        self.broken = self.broken or self._unbearable(octets)
        return not self.broken


class HangsUp(Fragile):
    """It ends the connection, and nobody hears of what it could not bear."""

    async def send(self, item: bytes) -> None:
        if self.broken:
            raise anyio.BrokenResourceError
        if self.bears(item):
            await super().send(item)
        else:
            self.writes.append(item)

    async def receive(self, max_bytes: int = BLOCK) -> bytes:
        if self.broken:
            raise anyio.EndOfStream
        return await super().receive(max_bytes)


class Swallows(Fragile):
    """It passes the first line of a group on, and nothing else ever."""

    async def send(self, item: bytes) -> None:
        was_broken = self.broken
        if self.bears(item):
            await super().send(item)
        elif not was_broken:
            await super().send(item.partition(b"\r\n")[0] + b"\r\n")


def is_group(octets: bytes) -> bool:
    """Tell whether MAIL is not alone."""
    return octets.startswith((b"MAIL", b"RSET")) and octets.count(b"\r\n") > 1


def has_chunk(octets: bytes) -> bool:
    """Tell whether BDAT is said."""
    return b"BDAT" in octets


def is_train(octets: bytes) -> bool:
    """Tell whether an envelope follows mail data."""
    return b".\r\nMAIL" in octets or b".\r\nRSET" in octets


class Lines:
    """Connections to a server over such lines, and what the client tells of it."""

    def __init__(
        self,
        server: SMTPServer,
        kind: type[Fragile],
        unbearable: Callable[[bytes], bool],
        pipelining: str = "conformant",
    ) -> None:
        self.taps: list[Fragile] = []
        self.events: list[Event] = []

        async def connect() -> ByteStream:
            self.taps.append(kind(await server.connect(), unbearable))
            return self.taps[-1]

        self.client: SMTPClient = server.client(
            connect=connect, pipelining=pipelining, on_event=self.events.append
        )

    @property
    def given_up(self) -> list[str]:
        return [each.way for each in self.events if isinstance(each, WayGivenUp)]


@in_virtual_time
@pytest.mark.parametrize("kind", [HangsUp, Swallows])
async def test_a_server_that_breaks_on_groups_gets_one_command_at_a_time(
    kind: type[Fragile], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "esmtp_async")
    async with SMTPServer(extensions=FULL) as server:
        lines = Lines(server, kind, is_group)
        async with lines.client as client:
            receipts = [await send(client) for _ in range(3)]
            plan = await client.plan(MESSAGE, sender=ALICE, recipients=BOB)
        assert [receipt.attempts for receipt in receipts] == [2, 1, 1]
        assert [m.content for m in server.messages] == [MESSAGE] * 3
        assert server.violations == []
        assert [len(flight) for flight in plan.flights] == [1, 1, 1, 1]
        # Everything after the first try was said on the second connection.
        assert len(lines.taps) == 2
        said = [write for write in lines.taps[1].writes if not is_group(write)]
        assert said == lines.taps[1].writes
    assert lines.given_up == ["PIPELINING"]
    (record,) = caplog.records
    assert record.getMessage().endswith(
        "broke on PIPELINING: from now on it gets mail without"
    )


@everywhere
async def test_a_large_file_goes_by_data_where_chunks_break(tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(MESSAGE + b"x" * 78 * 10_000)
    async with SMTPServer(extensions=FULL) as server:
        lines = Lines(server, HangsUp, has_chunk)
        async with lines.client as client:
            for attempts in (2, 1):
                receipt = await send(client, path)
                assert receipt.attempts == attempts
                assert receipt.by == "DATA"
        contents = [m.content for m in server.messages]
        assert contents == [path.read_bytes() + b"\r\n"] * 2
    assert lines.given_up == ["CHUNKING"]


@everywhere
async def test_a_stream_that_is_read_cannot_go_another_way() -> None:
    async with SMTPServer(extensions=FULL) as server:
        lines = Lines(server, HangsUp, has_chunk)
        async with lines.client as client:
            for _ in range(2):
                error = await failure(client, ConnectionLost, big_stream())
                assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
                assert error.retry_safe
        assert server.messages == []
    assert lines.given_up == []


@everywhere
async def test_an_eager_flight_that_nobody_answers_is_in_doubt_once() -> None:
    async with SMTPServer(extensions=FULL) as server:
        lines = Lines(server, HangsUp, has_chunk, "eager")
        async with lines.client as client:
            error = await failure(client, OutcomeUnknown)
            assert outcomes(error.recipients) == [("bob", "UNKNOWN", None)]
            for _ in range(2):
                receipt = await send(client)
                assert (receipt.attempts, receipt.by) == (1, "DATA")
        assert len(server.messages) == 2
    assert lines.given_up == ["eager"]


@in_virtual_time
@pytest.mark.parametrize("kind", [HangsUp, Swallows])
@pytest.mark.parametrize("connections", [1, 3])
async def test_a_batch_goes_the_safer_way_too(
    kind: type[Fragile], connections: int
) -> None:
    messages = [
        (b"Subject: %d\r\n\r\nHello\r\n" % n, ALICE, f"r{n}@example.test")
        for n in range(30)
    ]
    async with SMTPServer(extensions=FULL) as server:
        lines = Lines(server, kind, is_group)
        async with (
            lines.client as client,
            client.send_many(messages, connections=connections) as results,
        ):
            told = [result.unwrap() async for result in results]
        assert len(told) == 30
        stored = sorted(m.content for m in server.messages)
        assert stored == sorted(content for content, _, _ in messages)
        assert server.violations == []
    assert lines.given_up == ["PIPELINING"]


@everywhere
@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize(
    ("pipelining", "unbearable", "given_up"),
    [("eager", has_chunk, "eager"), ("conformant", is_train, "trains")],
)
async def test_of_a_batch_one_message_is_in_doubt(
    pipelining: str,
    unbearable: Callable[[bytes], bool],
    given_up: str,
    connections: int,
) -> None:
    """However many connections there are, one tries what may leave it so."""
    messages = [(MESSAGE, ALICE, f"r{n}@example.test") for n in range(30)]
    async with SMTPServer(extensions=FULL) as server:
        lines = Lines(server, HangsUp, unbearable, pipelining)
        async with (
            lines.client as client,
            client.send_many(messages, connections=connections) as results,
        ):
            told = [result async for result in results]
        unknown = [r for r in told if isinstance(r.error, OutcomeUnknown)]
        assert len(unknown) == 1
        assert sum(r.receipt is not None for r in told) == 29
        paths = [m.recipients[0].path for m in server.messages]
        assert len(set(paths)) == len(paths) == 29
        assert server.violations == []
    assert lines.given_up == [given_up]


@everywhere
async def test_of_many_tasks_one_tries_what_may_leave_a_message_in_doubt() -> None:
    outcomes: list[str] = []

    async def one(client: SMTPClient) -> None:
        try:
            await send(client)
        except OutcomeUnknown:
            outcomes.append("unknown")
        else:
            outcomes.append("accepted")

    async with SMTPServer(extensions=FULL) as server:
        lines = Lines(server, HangsUp, has_chunk, "eager")
        async with lines.client as client, anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(one, client)
        assert sorted(outcomes) == ["accepted"] * 19 + ["unknown"]
        assert len(server.messages) == 19
    assert lines.given_up == ["eager"]


@everywhere
@pytest.mark.parametrize("code", [b"503 5.5.1 out of turn", b"500 what?", b"502 no"])
async def test_a_recipient_refused_out_of_turn_is_asked_for_again(code: bytes) -> None:
    confused = script(RCPT=[b"250 ok\r\n", code + b"\r\n", b"250 ok\r\n"])
    async with serving(confused) as server, server.client() as client:
        receipt = await send(client, recipients=[BOB, CAROL])
        assert receipt.accepted == (BOB, CAROL)
        assert len(server.heard) == 1
        assert server.heard[0].verbs[1:] == [
            *("MAIL", "RCPT", "RCPT", "DATA"),
            *("MAIL", "RCPT", "DATA"),
        ]
        assert server.taps[0].writes[3:] == [
            b"MAIL FROM:<alice@example.test>\r\n",
            b"RCPT TO:<carol@example.test>\r\n",
            b"DATA\r\n",
            MESSAGE + b".\r\n",
        ]
        assert server.heard[0].messages == [MESSAGE] * 2


@everywhere
async def test_who_is_refused_in_every_way_is_refused() -> None:
    events: list[Event] = []
    stern = script(RCPT=b"503 5.5.1 say HELO first\r\n", DATA=b"503 no\r\n")
    async with (
        serving(stern) as server,
        server.client(on_event=events.append) as client,
    ):
        for _ in range(2):
            error = await failure(client, RecipientsRefused)
            assert outcomes(error.recipients) == [("bob", "REFUSED", 503)]
        assert len(server.heard) == 1
    assert not [each for each in events if isinstance(each, WayGivenUp)]


@everywhere
@pytest.mark.parametrize("lmtp", [False, True])
async def test_a_chunk_refused_as_unknown_is_sent_by_data(*, lmtp: bool) -> None:
    offer = offering("PIPELINING", "CHUNKING")
    hello = "LHLO" if lmtp else "EHLO"
    unable = script(LAST=b"502 5.5.2 what?\r\n", **{hello: offer})
    async with (
        serving(unable) as server,
        server.client(pipelining="eager", scheme="lmtp" if lmtp else "smtp") as client,
    ):
        for _ in range(2):
            receipt = await send(client)
            assert receipt.accepted == (BOB,)
            assert receipt.by == "DATA"
        assert len(server.heard) == 1
        assert server.heard[0].verbs.count("BDAT") == 1
        assert server.heard[0].contents == [MESSAGE, *[MESSAGE + b".\r\n"] * 2]


@in_virtual_time
async def test_nothing_is_learnt_where_the_safest_way_fails_too() -> None:
    events: list[Event] = []
    dead = script(MAIL=HANG)
    async with (
        serving(dead, dead, script()) as server,
        server.client(on_event=events.append, timeouts=5) as client,
    ):
        await failure(client, StageTimeout)
        assert len(server.heard) == 2
        assert (await send(client)).attempts == 1
        assert server.heard[2].verbs[1:] == ["MAIL", "RCPT", "DATA"]
        assert server.taps[2].writes[1].count(b"\r\n") == 3
    assert not [each for each in events if isinstance(each, WayGivenUp)]


@everywhere
async def test_what_a_server_has_borne_is_not_what_it_breaks_on() -> None:
    async with SMTPServer(rules=[Rule("MAIL", close=True, skip=1, times=2)]) as server:
        async with server.client() as client:
            await send(client)
            await failure(client, ConnectionLost)
            assert (await send(client)).attempts == 1
        assert server.connections == 3
        assert len(server.messages) == 2


@everywhere
async def test_a_server_that_says_why_it_leaves_is_asked_nothing_more() -> None:
    full = script(RCPT=b"550 5.7.1 blocked\r\n", DATA=EOF)
    async with serving(full) as server, server.client() as client:
        error = await failure(client, RecipientsRefused)
        assert outcomes(error.recipients) == [("bob", "REFUSED", 550)]
        assert len(server.heard) == 1


@everywhere
async def test_a_server_that_breaks_the_protocol_is_not_tried_again() -> None:
    async with serving(script(MAIL=b"hello?\r\n")) as server, server.client() as client:
        await failure(client, ProtocolViolation)
        assert len(server.heard) == 1


@everywhere
async def test_all_or_nothing_is_so_in_the_safer_way() -> None:
    confused = script(RCPT=[b"250 ok\r\n", b"503 5.5.1 no\r\n", b"250 ok\r\n"])
    async with serving(confused) as server, server.client() as client:
        receipt = await send(client, recipients=[BOB, CAROL], all_or_nothing=True)
        assert receipt.accepted == (BOB, CAROL)
        assert server.heard[0].messages == [MESSAGE]
