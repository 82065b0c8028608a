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

from esmtp_async import (
    NotDelivered,
    OutcomeUnknown,
    Pipelining,
    SendOptions,
    SMTPClient,
    SMTPError,
    Stage,
    Timeouts,
)
from esmtp_async._connection import Connection
from esmtp_async._tls import ClientTLS, Handshake
from esmtp_async.protocol import Exchange, Opening
from tests.backends import everywhere
from tests.client.certificates import client_context
from tests.client.played import Played
from tests.conversation import (
    Conversation,
    Ending,
    Lines,
    account,
    mechanisms,
    problem,
)
from tests.playing import (
    Cut,
    accounts,
    by_message,
    by_the_flight,
    by_the_line,
    by_the_octet,
    cuts,
    joined,
)
from tests.transcript import Message, Transcript, transcripts

TRANSCRIPTS: Final = transcripts()

NAME: Final = "127.0.0.1"
#: Seconds for a whole conversation.
LIMIT: Final = 10.0
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


_SECURITY: Final = {
    "never": "plaintext",
    "required": "starttls",
    "opportunistic": "opportunistic",
}


def client_of(
    transcript: Transcript, connect: Callable[[], Awaitable[ByteStream]]
) -> SMTPClient:
    """Give the client that a transcript tells of."""
    eager = any(message.eager for message in transcript.messages)
    pipelining = Pipelining.EAGER if eager else Pipelining.CONFORMANT
    return SMTPClient(
        f"{'lmtp' if transcript.lmtp else 'smtp'}://{NAME}",
        security=_SECURITY[transcript.starttls],
        ssl_context=client_context(),
        auth=mechanisms(transcript) or None,
        allow_plaintext_auth=transcript.allow_plaintext_auth,
        client_hostname=transcript.client,
        connect=connect,
        timeouts=LIMIT,
        pipelining=pipelining if transcript.pipelining else Pipelining.OFF,
    )


async def send(client: SMTPClient, message: Message) -> list[str]:
    """Send a message; give what is reported of it."""
    words = {p.keyword: p.value for p in message.parameters}
    try:
        receipt = await client.send(
            Lines(message) if message.stream else message.octets,
            sender=message.sender,
            recipients=message.recipients,
            options=SendOptions(ret=words.get("RET"), envid=words.get("ENVID")),
            all_or_nothing=message.all_or_nothing,
        )
    except SMTPError as error:
        causes = [error]
        if isinstance(error, OutcomeUnknown) and isinstance(error.__cause__, SMTPError):
            causes.append(error.__cause__)
        return [*map(problem, causes), *map(account, error.recipients)]
    return [*map(account, receipt.recipients)]


def fits_the_client(transcript: Transcript) -> bool:
    """Tell whether a client can be told all that a transcript tells.

    It is eager or not for all messages, and of MAIL's parameters `SendOptions` has
    those of DSN.
    """
    keywords = {p.keyword for m in transcript.messages for p in m.parameters}
    eager = {message.eager for message in transcript.messages}
    return keywords <= {"RET", "ENVID"} and len(eager) <= 1


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


def everybody(message: Message, failure: str) -> list[str]:
    """Give everybody the failure of the connection for an outcome."""
    _, name, code, stage = failure.split()
    lasting = code[0] == "5" or (code == "-" and name == "TLSFailed")
    why = f"{code} {stage}" if lasting else f"{code} {stage} temporary"
    return [f"= {recipient.address} NOT_SENT {why}" for recipient in message.recipients]


def ended_early(lines: list[str]) -> bool:
    """Tell whether the connection ended before the mail data of a message."""
    broken = lines[0].startswith(("! ConnectionLost", "! ProtocolViolation"))
    final = Stage.FINAL.value
    left = any(" 421 " in line for line in lines)
    return (broken or left) and not any(final in line.split() for line in lines)


#: Which error a refusal is, by its stage; later ones are nearer to the message.
_REFUSALS: Final = {
    "local": "RecipientsRefused",
    "command": "Refused",
    "rset": "Refused",
    "mail": "SenderRefused",
    "rcpt": "RecipientsRefused",
    "data": "ContentRefused",
    "final": "ContentRefused",
}


def raised(lines: list[str]) -> list[str]:
    """Tell which error is raised, if one is.

    What is unknown goes before what was accepted, and that before what ended the
    attempt, which counts if it left somebody undecided; else the last refusal does.
    """
    results = accounts(lines)
    outcomes = {result.outcome for result in results}
    cause = lines[0]
    if "UNKNOWN" in outcomes:
        return ["! OutcomeUnknown - final", cause]
    if "ACCEPTED" in outcomes:
        return []
    if cause[0] == "!" and ("NOT_SENT" in outcomes or "NotSupported" in cause):
        return [cause]
    refused = [result for result in results if result.outcome == "REFUSED"]
    last = max(refused, key=lambda result: [*_REFUSALS].index(result.stage))
    return [f"! {_REFUSALS[last.stage]} {last.code} {last.stage}"]


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

    Each flight is one write, but that a chunk of a stream is one too.
    """
    assert stream.is_over
    assert stream.closed == 1
    assert stream.handshakes == sum(f.handshake for f in transcript.flights)
    for flight, writes in zip(transcript.flights, stream.writes, strict=True):
        assert writes == (flight.said.count(b"BDAT ") or bool(flight.said))


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


@everywhere
@both
async def test_the_client_says_its_part(play: Play, transcript: Transcript) -> None:
    for cut in (by_the_flight, by_the_line, by_the_octet):
        await play(transcript, cut)


@everywhere
@both
async def test_what_nobody_asked_for_yet_is_no_answer(
    play: Play, transcript: Transcript
) -> None:
    for early in joined(transcript):
        await play(early, by_the_flight)


@everywhere
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


def test_the_client_plays_nearly_all_of_them() -> None:
    assert sum(map(fits_the_client, TRANSCRIPTS)) >= 58
