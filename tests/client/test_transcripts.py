"""The transcripts again, played over a stream: by the driver, and by the client.

Each flight is one write, made when the server has said its last octet and not before;
a stream's blocks are written one by one. What the two report differs from what the
protocol says of itself in a few ways, each stated here as a rule.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import anyio
import pytest
from anyio.abc import ByteStream

from esmtp_async import NotDelivered, Timeouts
from esmtp_async._connection import Connection
from esmtp_async._tls import ClientTLS, Handshake
from esmtp_async.protocol import Exchange, Opening
from tests.backends import in_virtual_time
from tests.client.certificates import client_context
from tests.client.played import Played
from tests.client.telling import (
    LIMIT,
    NAME,
    client_of,
    ended_early,
    everybody,
    fits_the_client,
    raised,
    send,
)
from tests.conversation import Conversation, Ending, problem
from tests.playing import (
    Cut,
    by_message,
    by_the_flight,
    by_the_line,
    by_the_octet,
    cuts,
    joined,
)
from tests.transcript import Flight, Transcript, transcripts

TRANSCRIPTS: Final = transcripts()

#: Of so many offsets one is cut at, where every one would take too long.
STRIDE: Final = 7

#: Plays a transcript, and sees that all is as it should be.
Play = Callable[[Transcript, Cut], Awaitable[None]]


# The driver


async def play_driver(transcript: Transcript, cut: Cut) -> None:
    """Hold the conversation over one connection."""
    conversation = Conversation(transcript)
    stream = Played(transcript, cut)
    connection = Connection(
        stream, conversation.session, Timeouts.each(LIMIT), upgrade=start_tls
    )
    exchanges = conversation.exchanges()
    exchange = next(exchanges)
    with anyio.fail_after(LIMIT):
        while True:
            ending = await hold(connection, exchange)
            try:
                exchange = exchanges.send(ending)
            except StopIteration:
                break
        await connection.aclose()
    assert conversation.outcomes == by_the_driver(transcript)
    assert conversation.session.state is transcript.state
    assert_played(transcript, stream)


async def hold(connection: Connection, exchange: Exchange) -> Ending:
    """Hold one exchange; a failed opening is the end, as for who dials."""
    try:
        await connection.run(exchange)
    except NotDelivered as error:
        if isinstance(exchange, Opening):
            await connection.aclose()
        return Ending(problem(error), connection.stage)
    return Ending(None, connection.stage)


async def start_tls(stream: ByteStream) -> ByteStream:
    return await Handshake(ClientTLS(client_context(), NAME)).start(stream)


def by_the_driver(transcript: Transcript) -> list[str]:
    """Tell what the driver reports: a violation is no delivery, or no TLS."""
    return [
        line.replace(
            "! RemoteProtocolError - starttls", "! TLSFailed - starttls"
        ).replace("! RemoteProtocolError", "! ProtocolViolation")
        for line in transcript.outcomes
    ]


# The client


async def play_client(transcript: Transcript, cut: Cut) -> None:
    """Send the messages by a client that can connect once."""
    stream = Played(transcript, cut)
    streams = [stream]

    async def connect() -> ByteStream:
        if not streams:
            raise ConnectionRefusedError
        return streams.pop()

    outcomes: list[str] = []
    with anyio.fail_after(LIMIT):
        async with client_of(transcript, connect) as client:
            for message in transcript.messages:
                if not stream.closed:
                    outcomes += await send(client, message)
    assert outcomes == by_the_client(transcript)
    assert_played(transcript, stream)


def by_the_client(transcript: Transcript) -> list[str]:
    """Tell what the client reports of the messages.

    * Where the opening fails, so does the message that connected for it.
    * A connection that had a message before and ends ahead of the mail data of this
      one is replaced; here that is refused.
    * Otherwise what becomes of the recipients decides which error is raised.
    """
    told = by_message(replace(transcript, outcomes=by_the_driver(transcript)))
    if not told:
        [failure] = by_the_driver(transcript)
        return [failure, *everybody(transcript.messages[0], failure)]
    reported: list[str] = []
    for number, (message, lines) in enumerate(
        zip(transcript.messages, told, strict=False)
    ):
        if number and ended_early(lines):
            failure = "! ConnectFailed - connect"
            reported += [failure, *everybody(message, failure)]
        else:
            reported += raised(lines) + [line for line in lines if line[0] == "="]
    return reported


# Both


def without_leave(transcript: Transcript) -> Transcript:
    """Leave out QUIT behind an opening that failed: the connection is just closed."""
    failed = not by_message(transcript)
    left = transcript.flights[-1].said == b"QUIT\r\n"
    return replace(
        transcript, flights=transcript.flights[: -1 if failed and left else None]
    )


def assert_played(transcript: Transcript, stream: Played) -> None:
    """See that all was said, and that the stream is closed.

    Each flight is one write, but that a chunk or a block of a stream is one too.
    """
    assert stream.is_over
    assert stream.closed == 1
    assert stream.handshakes == sum(f.handshake for f in transcript.flights)
    for flight, writes in zip(transcript.flights, stream.writes, strict=True):
        assert writes == blocks(transcript, flight)


def blocks(transcript: Transcript, flight: Flight) -> int:
    """Count the writes that a flight comes in."""
    for message in transcript.messages:
        lines = [b"." * line.startswith(b".") + line for line in message.lines]
        if message.stream and flight.said == b"".join(lines) + b".\r\n":
            return len(lines) + 1
    return flight.said.count(b"BDAT ") or int(bool(flight.said))


driver = pytest.mark.parametrize(
    "transcript",
    [without_leave(transcript) for transcript in TRANSCRIPTS],
    ids=[transcript.name for transcript in TRANSCRIPTS],
)
both = pytest.mark.parametrize(
    ("play", "transcript"),
    [
        pytest.param(play, without_leave(transcript), id=f"{who}-{transcript.name}")
        for who, play in (("driver", play_driver), ("client", play_client))
        for transcript in TRANSCRIPTS
        if play is play_driver or fits_the_client(transcript)
    ],
)


@in_virtual_time
@both
async def test_the_client_says_its_part(play: Play, transcript: Transcript) -> None:
    for cut in (by_the_flight, by_the_line, by_the_octet):
        await play(transcript, cut)


@in_virtual_time
@both
async def test_what_nobody_asked_for_yet_is_no_answer(
    play: Play, transcript: Transcript
) -> None:
    for early in joined(transcript):
        await play(early, by_the_flight)


@in_virtual_time
@both
async def test_it_does_so_wherever_what_it_hears_is_cut(
    play: Play, transcript: Transcript
) -> None:
    for cut in cuts(transcript, STRIDE):
        await play(transcript, cut)


@pytest.mark.asyncio
@driver
async def test_the_driver_does_so_at_every_offset(transcript: Transcript) -> None:
    for cut in cuts(transcript):
        await play_driver(transcript, cut)


@in_virtual_time
async def test_the_client_asks_who_somebody_is() -> None:
    """RFC 5321, appendix D.4: no message, so the rules above have no place for it."""
    [transcript] = [each for each in TRANSCRIPTS if each.verify]
    [message] = transcript.messages
    for cut in (by_the_flight, *cuts(transcript)):
        stream = Played(transcript, cut)
        streams = [stream]

        async def connect(streams: list[Played] = streams) -> ByteStream:
            return streams.pop()

        async with client_of(transcript, connect) as client:
            reply = await client.verify(transcript.verify)
            assert reply.text == "Mark Crispin <Admin.MRC@foo.com>"
            assert await send(client, message) == transcript.outcomes
        assert_played(transcript, stream)


def test_the_client_plays_nearly_all_of_them() -> None:
    assert sum(map(fits_the_client, TRANSCRIPTS)) >= 75
