"""`send_many`: messages in a row, their results, and what trouble does to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from io import BytesIO
from pathlib import Path
from typing import Final

import anyio
import anyio.lowlevel
import pytest

from esmtp_async import (
    AuthenticationFailed,
    CommandSent,
    ConnectFailed,
    ConnectionLost,
    ContentRefused,
    Event,
    InvalidInput,
    MessageFinished,
    NotDelivered,
    NotSupported,
    OutcomeUnknown,
    RateLimit,
    RecipientsRefused,
    ReplyReceived,
    SendResult,
    SMTPClient,
    SMTPError,
    StageTimeout,
    Timeouts,
)
from esmtp_async._batch import Batch, Entry
from esmtp_async._carrier import Window
from esmtp_async.testing import Rule, SMTPServer
from tests.backends import everywhere, in_virtual_time
from tests.client.checks import ALICE, BOB, MESSAGE
from tests.raw import EOF, HANG, RST, Act, offering, script, serving

EAGER: Final = offering("PIPELINING", "CHUNKING")
OK: Final = b"250 ok\r\n"
shapes = pytest.mark.parametrize("pipelining", ["off", "conformant", "eager"])


def letter(number: int, size: int = 0) -> Entry:
    text = b"Subject: %d\r\n\r\n.%d\r\n" % (number, number) + b"x" * size
    return (text, ALICE, [f"r{number}@example.test"])


#: Messages after which a server has borne trains of them, so that these are not what
#: it breaks on.
BORNE: Final = 12


def letters(count: int) -> list[Entry]:
    return [letter(number) for number in range(count)]


def envelope(number: int) -> bytes:
    return (
        b"MAIL FROM:<alice@example.test>\r\nRCPT TO:<r%d@example.test>\r\nDATA\r\n"
        % number
    )


async def collect(
    client: SMTPClient, messages: object, **options: object
) -> list[SendResult]:
    """Send them and give the results in the order of the messages."""
    results: list[SendResult] = []
    async with client.send_many(messages, **options) as batch:  # type: ignore[arg-type]
        results = [result async for result in batch]
    return sorted(results, key=lambda result: result.index)


def told(results: list[SendResult]) -> list[str]:
    """Give the outcome of the one recipient of each, or what its error is called."""
    names = []
    for result in results:
        if isinstance(result.error, InvalidInput):
            names.append("InvalidInput")
        else:
            told = result.receipt or result.error
            assert told is not None
            names += [r.outcome.name for r in told.recipients]
    return names


class Watch:
    """Counts what `on_event` tells of messages."""

    def __init__(self) -> None:
        self.finished: list[MessageFinished] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, MessageFinished):
            self.finished.append(event)

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(r.outcome.name for e in self.finished for r in e.recipients)


# What goes well


@everywhere
@shapes
@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize("lmtp", [False, True])
async def test_every_message_arrives_once_and_to_the_octet(
    pipelining: str, connections: int, *, lmtp: bool
) -> None:
    watch = Watch()
    async with SMTPServer(eager=True, lmtp=lmtp) as server:
        async with server.client(pipelining=pipelining, on_event=watch) as client:
            results = await collect(client, letters(120), connections=connections)
        assert [result.index for result in results] == [*range(120)]
        assert [r.unwrap().accepted for r in results] == [
            (f"r{number}@example.test",) for number in range(120)
        ]
        stored = {m.recipients[0].path: m.content for m in server.messages}
        assert len(server.messages) == len(stored) == 120
        for number in range(120):
            text = b"Subject: %d\r\n\r\n.%d\r\n" % (number, number)
            assert stored[f"r{number}@example.test"] == text
        assert watch.outcomes == {"ACCEPTED": 120}
        assert server.violations == []
        assert server.peak_connections <= connections


@everywhere
async def test_the_results_have_the_messages_and_come_in_order_if_wanted() -> None:
    messages = letters(40)
    async with SMTPServer(rules=[Rule("CONTENT", "r3@", delay=0.1)]) as server:
        async with server.client() as client:
            async with client.send_many(messages, ordered=True) as results:
                came = [result async for result in results]
            assert [result.index for result in came] == [*range(40)]
            assert [result.message for result in came] == messages
            async with client.send_many(messages) as results:
                free = [result.index async for result in results]
    assert sorted(free) == [*range(40)]
    assert free != sorted(free)


@everywhere
async def test_messages_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "letter.eml"
    path.write_bytes(b"From: a@example.test\nTo: bob@example.test\n\nfile\n")

    async def blocks() -> AsyncIterator[bytes]:
        yield b"Subject: x\r\n\r\n"
        yield b"blocks\r\n"

    async def source() -> AsyncIterator[Entry]:
        yield path
        await anyio.lowlevel.checkpoint()
        yield "From: a@example.test\nTo: bob@example.test\n\ntext\n"
        yield (blocks(), "a@example.test", BOB)
        yield (MESSAGE, "", [BOB])

    async with SMTPServer() as server, server.client() as client:
        results = await collect(client, source(), connections=1)
        assert told(results) == ["ACCEPTED"] * 4
        assert [m.content.split()[-1] for m in server.messages] == [
            *(b"file", b"text", b"blocks", b"Hello."),
        ]
        assert [m.reverse_path for m in server.messages][3] == ""


@everywhere
async def test_no_messages_make_no_connection() -> None:
    async with SMTPServer() as server, server.client() as client:
        assert await collect(client, []) == []
        assert await collect(client, iter(())) == []
        assert server.connections == 0


@everywhere
async def test_the_flights_of_a_stream() -> None:
    """The mail data of one and the envelope of the next go out in one write."""
    async with serving(script()) as server, server.client() as client:
        results = await collect(client, letters(3), connections=1)
        assert told(results) == ["ACCEPTED"] * 3
        assert server.taps[0].writes[1:5] == [
            envelope(0),
            b"Subject: 0\r\n\r\n..0\r\n.\r\n" + envelope(1),
            b"Subject: 1\r\n\r\n..1\r\n.\r\n" + envelope(2),
            b"Subject: 2\r\n\r\n..2\r\n.\r\n",
        ]


@everywhere
async def test_the_trains_of_eager_flights() -> None:
    """Each but the first begins with RSET: whatever the one before came to."""
    async with serving(script(EHLO=EAGER)) as server:
        async with server.client(pipelining="eager") as client:
            await collect(client, letters(BORNE), connections=1)
            before = len(server.taps[0].writes)
            results = await collect(client, letters(5), connections=1, window=2)
        assert told(results) == ["ACCEPTED"] * 5

        def train(number: int) -> bytes:
            text = b"Subject: %d\r\n\r\n.%d\r\n" % (number, number)
            return (
                b"MAIL FROM:<alice@example.test>\r\nRCPT TO:<r%d@example.test>\r\n"
                b"BDAT %d LAST\r\n%b" % (number, len(text), text)
            )

        # The first of all flies alone: the server has not borne that yet.
        assert server.taps[0].writes[1] == train(0)
        octets = b"".join(server.taps[0].writes[before:])
        assert octets.startswith(train(0) + b"RSET\r\n" + train(1))
        octets = octets.replace(b"RSET\r\n", b"").removesuffix(b"QUIT\r\n")
        assert octets == b"".join(map(train, range(5)))


# Refusals


@everywhere
@shapes
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA|LAST", "CONTENT|LAST"])
@pytest.mark.parametrize("lmtp", [False, True])
async def test_a_refused_message_disturbs_no_other(
    pipelining: str, verb: str, *, lmtp: bool
) -> None:
    rule = Rule(verb, reply="550 5.7.1 no", skip=3, times=2)
    async with SMTPServer(rules=[rule], eager=True, lmtp=lmtp) as server:
        async with server.client(pipelining=pipelining) as client:
            results = await collect(client, letters(12), connections=1)
        expected = ["ACCEPTED"] * 3 + ["REFUSED"] * 2 + ["ACCEPTED"] * 7
        assert told(results) == expected
        accepted = [n for n, outcome in enumerate(expected) if outcome == "ACCEPTED"]
        stored = [m.recipients[0].path for m in server.messages]
        assert stored == [f"r{n}@example.test" for n in accepted]
        for message, number in zip(server.messages, accepted, strict=True):
            assert message.content.startswith(b"Subject: %d\r\n" % number)
        assert server.violations == []
        assert server.connections == 1


@everywhere
@shapes
async def test_messages_that_cannot_be_sent_are_told_in_their_place(
    pipelining: str, tmp_path: Path
) -> None:
    messages: list[object] = [
        letter(0),
        (MESSAGE, "not an address", BOB),
        (MESSAGE, ALICE),
        tmp_path / "missing.eml",
        MESSAGE,
        17,
        ("Subject: ä\n\nx".encode(), ALICE, BOB),
        (b"x" * 5000, ALICE, BOB),
        letter(8),
    ]
    extensions = ["PIPELINING", "CHUNKING", "SIZE 4000"]
    async with SMTPServer(extensions=extensions, eager=True) as server:
        async with server.client(pipelining=pipelining) as client:
            results = await collect(client, messages, connections=1)
    assert told(results) == [
        *("ACCEPTED", "InvalidInput", "InvalidInput", "InvalidInput", "InvalidInput"),
        *("InvalidInput", "REFUSED", "REFUSED", "ACCEPTED"),
    ]
    errors = [result.error for result in results]
    assert "sender: " in str(errors[1])
    assert "a tuple of 2 is not (message, sender, recipients)" in str(errors[2])
    assert "missing.eml" in str(errors[3])
    assert isinstance(errors[3], InvalidInput)
    assert isinstance(errors[3].__cause__, FileNotFoundError)
    for error, extension in ((errors[6], "8BITMIME"), (errors[7], "SIZE")):
        assert isinstance(error, NotSupported)
        assert error.extension == extension
        with pytest.raises(NotSupported):
            results[6 if error is errors[6] else 7].unwrap()
    assert len(server.messages) == 2
    assert server.violations == []


@everywhere
async def test_what_only_shows_on_the_connection_is_told_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A message that cannot be made 7-bit, where the server lacks 8BITMIME."""

    def fail(_: object, *, eight_bit: bool) -> None:
        raise LookupError(f"no such codec, {eight_bit}")

    monkeypatch.setattr("esmtp_async._mime.Flattened._reencoded", fail)
    message = EmailMessage()
    message["From"], message["To"] = ALICE, BOB
    message.set_content("gr\xfc\xdfe\n", cte="8bit")
    async with SMTPServer(extensions=["PIPELINING"]) as server:
        async with server.client() as client:
            results = await collect(client, [letter(0), message, letter(2)])
            assert told(results) == ["ACCEPTED", "InvalidInput", "ACCEPTED"]
            assert "no such codec, False" in str(results[1].error)
            with pytest.raises(InvalidInput, match="cannot be made into octets"):
                await client.send(message)


@everywhere
async def test_recipients_that_are_too_many_go_in_a_further_transaction() -> None:
    many = [f"r{number}@example.test" for number in range(5)]
    messages = [(b"Subject: %d\r\n\r\n" % n, ALICE, many) for n in range(4)]
    async with SMTPServer(max_recipients=2) as server, server.client() as client:
        results = await collect(client, messages, connections=1)
        assert [r.unwrap().accepted for r in results] == [tuple(many)] * 4
        assert [len(m.recipients) for m in server.messages].count(2) == 8
        assert len(server.messages) == 12


@everywhere
async def test_a_stream_goes_out_in_one_transaction() -> None:
    """It can be read once: who was too many stays refused."""

    async def blocks() -> AsyncIterator[bytes]:
        yield MESSAGE

    many = [f"r{number}@example.test" for number in range(3)]
    async with SMTPServer(max_recipients=2) as server, server.client() as client:
        results = await collect(client, [(blocks(), ALICE, many), letter(1)])
    assert told(results) == ["ACCEPTED", "ACCEPTED", "REFUSED", "ACCEPTED"]
    assert [m.content for m in server.messages].count(MESSAGE) == 1
    assert len(server.messages) == 2


# Losses


@everywhere
@pytest.mark.parametrize("end", [EOF, RST], ids=["eof", "rst"])
async def test_a_connection_that_is_lost_takes_along_what_was_at_its_end(
    end: Act,
) -> None:
    """Conformant: the message whose end was on the wire; the next one goes again."""
    breaking = script(CONTENT=[OK, OK, end])
    async with serving(breaking, script()) as server, server.client() as client:
        results = await collect(client, letters(6), connections=1)
        assert told(results) == ["ACCEPTED"] * 2 + ["UNKNOWN"] + ["ACCEPTED"] * 3
        error = results[2].error
        assert isinstance(error, OutcomeUnknown)
        assert not error.retry_safe
        assert isinstance(error.__cause__, ConnectionLost)
        assert [len(heard.messages) for heard in server.heard] == [3, 3]
        assert results[3].unwrap().attempts == 2
        assert results[4].unwrap().attempts == 1


@everywhere
async def test_what_flew_is_unknown_where_the_connection_is_lost() -> None:
    """Eager: all whose end was on the wire; those behind go on."""
    breaking = script(EHLO=EAGER, LAST=[OK, OK, EOF])
    async with serving(breaking, script(EHLO=EAGER)) as server:
        async with server.client(pipelining="eager") as client:
            results = await collect(client, letters(30), connections=1, window=5)
        outcomes = told(results)
        unknown = outcomes.count("UNKNOWN")
        assert 1 <= unknown <= 5
        assert outcomes == (
            ["ACCEPTED"] * 2 + ["UNKNOWN"] * unknown + ["ACCEPTED"] * (28 - unknown)
        )
        assert len(server.heard[1].messages) == 28 - unknown


@everywhere
@pytest.mark.parametrize("pipelining", ["off", "conformant"])
async def test_who_is_lost_at_the_envelope_has_one_more_try(pipelining: str) -> None:
    breaking = script(MAIL=[OK, EOF])
    async with serving(breaking, breaking, script(MAIL=EOF), script()) as server:
        async with server.client(pipelining=pipelining) as client:
            results = await collect(client, letters(4), connections=1)
        # The second is lost on the first connection and sent on the second one, the
        # third lost on the second and on the third.
        assert told(results) == ["ACCEPTED", "ACCEPTED", "NOT_SENT", "ACCEPTED"]
        assert isinstance(results[2].error, ConnectionLost)
        assert results[2].error.retry_safe


@everywhere
async def test_421_between_messages_is_no_failure() -> None:
    leaving = script(MAIL=[OK, OK, (b"421 4.3.2 closing\r\n", EOF)])
    async with serving(leaving, script()) as server, server.client() as client:
        results = await collect(client, letters(5), connections=1)
        assert told(results) == ["ACCEPTED"] * 5
        assert [len(heard.messages) for heard in server.heard] == [2, 3]


@in_virtual_time
@pytest.mark.parametrize("pipelining", ["off", "conformant"])
async def test_of_connections_that_turn_out_dead_no_second_one_is_tried(
    pipelining: str,
) -> None:
    """They cannot be looked at, and the server has left both of them."""
    leaving = script(CONTENT=(b"250 ok\r\n", 5, b"421 4.4.2 idle\r\n", EOF))
    async with serving(leaving, leaving, script()) as server:
        async with server.client(pipelining=pipelining) as client:
            assert told(await collect(client, letters(2), connections=2)) == (
                ["ACCEPTED"] * 2
            )
            assert len(server.heard) == 2
            await anyio.sleep(10)
            results = await collect(client, letters(3), connections=1)
            assert told(results) == ["ACCEPTED"] * 3
            assert [r.unwrap().attempts for r in results] == [2, 1, 1]
            assert len(server.heard) == 3


@everywhere
async def test_a_violation_ends_the_connection_and_not_the_batch() -> None:
    lying = script(RCPT=[OK, OK, b"nonsense\r\n"])
    async with serving(lying, script()) as server, server.client() as client:
        results = await collect(client, letters(5), connections=1)
        assert told(results) == ["ACCEPTED"] * 5
        assert results[2].unwrap().attempts == 2


@in_virtual_time
async def test_whose_time_is_up_is_not_tried_again_and_the_next_is_sent() -> None:
    stuck = script(MAIL=[*[OK] * BORNE, HANG])
    async with serving(stuck, script()) as server:
        async with server.client(timeouts=Timeouts(command=20)) as client:
            results = await collect(client, letters(BORNE + 3), connections=1)
        assert told(results) == ["ACCEPTED"] * BORNE + ["NOT_SENT"] + ["ACCEPTED"] * 2
        assert isinstance(results[BORNE].error, StageTimeout)
        assert anyio.current_time() == pytest.approx(20)


@everywhere
async def test_a_source_of_blocks_that_breaks_ends_its_own_message_alone() -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        raise KeyError("gone")

    messages = [letter(0), (breaking(), ALICE, BOB), letter(2)]
    async with serving(script(), script()) as server, server.client() as client:
        results = await collect(client, messages, connections=1)
        assert told(results) == ["ACCEPTED", "NOT_SENT", "ACCEPTED"]
        error = results[1].error
        assert type(error) is NotDelivered
        assert isinstance(error.__cause__, KeyError)
        assert not error.temporary
        assert b"\r\n.\r\n" not in server.taps[0].octets.split(b"xxx")[-1]


@everywhere
@pytest.mark.parametrize("connections", [1, 2])
async def test_a_stream_that_turns_out_to_be_8bit_ends_itself_alone(
    connections: int,
) -> None:
    """Behind 354 nothing but mail data may be said: the connection is given up."""

    async def blocks() -> AsyncIterator[bytes]:
        yield b"Subject: x\r\n\r\n\xff\r\n"

    messages = [letter(0), (blocks(), ALICE, BOB), letter(2), letter(3)]
    async with SMTPServer(extensions=["PIPELINING"]) as server:
        async with server.client() as client:
            with anyio.fail_after(10):
                results = await collect(client, messages, connections=connections)
    assert told(results) == ["ACCEPTED", "REFUSED", "ACCEPTED", "ACCEPTED"]
    assert isinstance(results[1].error, NotSupported)
    assert len(server.messages) == 3


@in_virtual_time
async def test_who_was_lost_before_and_meets_421_to_another_is_told() -> None:
    """It stands behind a message that 421 ends, and has had its second try."""
    rules = [
        Rule("MAIL", "bob", close=True, times=1),
        Rule("DATA", delay=10, skip=BORNE, times=1),
        Rule("CONTENT", reply="421 4.3.2 closing", skip=BORNE),
        Rule("CONNECT", delay=60, skip=2),
    ]
    messages: list[Entry] = [(MESSAGE, ALICE, BOB), (MESSAGE, BOB, ALICE)]
    async with SMTPServer(rules=rules) as server, server.client() as client:
        await collect(client, letters(BORNE), connections=1)
        results = await collect(client, messages, connections=2)
    assert told(results) == ["REFUSED", "NOT_SENT"]
    assert isinstance(results[1].error, ConnectionLost)
    assert results[1].error.retry_safe


# Servers that are not to be had


@everywhere
async def test_a_server_that_cannot_be_reached_fails_each_message() -> None:
    async def connect() -> anyio.abc.ByteStream:
        raise ConnectionRefusedError

    async with serving() as server, server.client(connect=connect) as client:
        results = await collect(client, letters(7))
        assert told(results) == ["NOT_SENT"] * 7
        assert all(isinstance(result.error, ConnectFailed) for result in results)
        assert len({id(result.error) for result in results}) == 7


@everywhere
async def test_credentials_that_are_refused_are_shown_once() -> None:
    offer = offering("AUTH PLAIN")
    closed = script(EHLO=offer, AUTH=b"535 5.7.8 no\r\n")
    async with serving(closed) as server:
        async with server.client(
            username="u", password="p", allow_plaintext_auth=True
        ) as client:
            results = await collect(client, letters(30), connections=1)
        assert told(results) == ["NOT_SENT"] * 30
        assert all(isinstance(r.error, AuthenticationFailed) for r in results)
        for number, result in enumerate(results):
            assert result.error is not None
            [recipient] = result.error.recipients
            assert recipient.address == f"r{number}@example.test"
        assert len(server.heard) == 1


@everywhere
async def test_connections_that_the_server_does_not_want_are_done_without() -> None:
    away = script(CONNECT=(b"421 4.7.0 too many\r\n", EOF))
    well = script(CONTENT=(0.01, OK))
    async with serving(well, *[away] * 9) as server, server.client() as client:
        await client.noop()
        results = await collect(client, letters(40), connections=5)
        assert told(results) == ["ACCEPTED"] * 40
        assert len(server.heard[0].messages) == 40
        assert len(server.heard) <= 5


@everywhere
async def test_connections_that_cannot_be_had_are_done_without() -> None:
    async with serving(script(CONTENT=(0.01, OK))) as server:
        attempts = 0

        async def connect() -> anyio.abc.ByteStream:
            nonlocal attempts
            attempts += 1
            if attempts > 1:
                raise ConnectionRefusedError
            return await server.connect()

        async with server.client(connect=connect) as client:
            results = await collect(client, letters(40), connections=5)
        assert told(results) == ["ACCEPTED"] * 40
        assert len(server.heard) == 1
        assert attempts <= 5


# Bounds


@everywhere
async def test_no_connection_carries_more_than_it_may() -> None:
    async with SMTPServer(eager=True) as server:
        for pipelining in ("conformant", "eager"):
            server.transcript.clear()
            async with server.client(
                max_messages_per_connection=7, pipelining=pipelining
            ) as client:
                results = await collect(client, letters(30), connections=1)
            assert told(results) == ["ACCEPTED"] * 30
            counts = [
                sum(said.octets.startswith(b"MAIL") for said in connection)
                for connection in server.transcript
            ]
            assert counts == [7, 7, 7, 7, 2]


@in_virtual_time
async def test_no_connection_carries_messages_longer_than_it_may() -> None:
    slow = script(CONTENT=(1, OK))
    async with serving(slow) as server, server.client(max_age=2.5) as client:
        results = await collect(client, letters(7), connections=1)
        assert told(results) == ["ACCEPTED"] * 7
        # The third is begun before the second is taken.
        assert [len(heard.messages) for heard in server.heard] == [4, 3]


@everywhere
async def test_the_source_is_read_no_further_than_the_results_are_taken() -> None:
    taken = 0

    def source() -> Iterator[Entry]:
        nonlocal taken
        for number in range(10_000):
            taken += 1
            yield letter(number)

    async with SMTPServer() as server, server.client() as client:
        async with client.send_many(source(), connections=1) as results:
            await anyio.sleep(0.05)
            await anyio.wait_all_tasks_blocked()
            ahead = taken
            assert len(server.messages) <= ahead < 50
            for _ in range(100):
                await anext(results)
            assert taken <= 100 + ahead
        assert len(server.messages) <= taken


@everywhere
async def test_a_slow_source_holds_no_result_back() -> None:
    """Each result is there before the next message is made."""
    got: list[int] = []
    turn = anyio.Event()

    async def source() -> AsyncIterator[Entry]:
        nonlocal turn
        for number in range(5):
            yield letter(number)
            await turn.wait()
            turn = anyio.Event()

    async with SMTPServer() as server, server.client() as client:
        with anyio.fail_after(10):
            async with client.send_many(source()) as results:
                async for result in results:
                    got.append(result.index)
                    turn.set()
    assert got == [*range(5)]


@in_virtual_time
async def test_the_rate_limit_holds_for_a_batch() -> None:
    async with SMTPServer() as server:
        limit = RateLimit(2, 1)
        async with server.client(rate_limit=limit, client_hostname="c.test") as client:
            results = await collect(client, letters(12))
            assert told(results) == ["ACCEPTED"] * 12
            assert anyio.current_time() == pytest.approx(5)


@everywhere
async def test_whoever_sends_one_message_does_not_wait_for_a_batch() -> None:
    count = 0

    async def endless() -> AsyncIterator[Entry]:
        nonlocal count
        while True:
            count += 1
            yield letter(count)

    async with SMTPServer() as server, server.client(max_connections=1) as client:
        async with client.send_many(endless()) as results:
            async for result in results:
                assert result.receipt
                if result.index == 5:
                    break
            async with anyio.create_task_group() as group:

                async def drain() -> None:
                    async for _ in results:
                        pass

                group.start_soon(drain)
                for _ in range(3):
                    with anyio.fail_after(5):
                        receipt = await client.send(
                            MESSAGE, sender=ALICE, recipients=BOB
                        )
                    assert receipt.accepted == (BOB,)
                before = len(server.messages)
                while len(server.messages) < before + 10:
                    await anyio.sleep(0.001)
                group.cancel_scope.cancel()
        assert server.peak_connections == 1


# The end, before it and behind it


@everywhere
async def test_to_leave_early_gives_up_the_rest_and_tells_of_it() -> None:
    watch = Watch()
    slow = script(CONTENT=[OK, OK, HANG])
    async with serving(slow, script()) as server:
        async with server.client(on_event=watch) as client:
            async with client.send_many(letters(100), connections=1) as results:
                async for result in results:
                    if result.index == 1:
                        break
                while len(server.heard[0].messages) < 3:
                    await anyio.sleep(0.001)
            outcomes = watch.outcomes
            assert outcomes["ACCEPTED"] == 2
            assert outcomes["UNKNOWN"] == 1
            assert outcomes["NOT_SENT"] >= 1
            assert all(event.error for event in watch.finished[2:])
            with pytest.raises(RuntimeError, match="async with"):
                await anext(results)
            receipt = await client.send(MESSAGE, sender=ALICE, recipients=BOB)
            assert receipt.accepted == (BOB,)


@in_virtual_time
async def test_to_leave_tells_of_who_waits_for_his_turn_by_the_rate_limit() -> None:
    watch = Watch()
    async with SMTPServer() as server:
        async with server.client(
            rate_limit=RateLimit(1, 60), on_event=watch, client_hostname="c.test"
        ) as client:
            async with client.send_many(letters(9)) as results:
                await anext(results)
                await anyio.sleep(30)
        assert watch.outcomes == {"ACCEPTED": 1, "NOT_SENT": 1}
        assert len(server.messages) == 1


@everywhere
async def test_the_callers_own_exception_comes_out_as_it_is() -> None:
    async with SMTPServer() as server, server.client() as client:

        async def fail() -> None:
            async with client.send_many(letters(50)) as results:
                await anext(results)
                raise LookupError("mine")

        with pytest.raises(LookupError, match="mine"):
            await fail()
        assert told(await collect(client, letters(3))) == ["ACCEPTED"] * 3


@everywhere
async def test_what_the_source_raises_comes_behind_the_results() -> None:
    def source() -> Iterator[Entry]:
        yield from letters(5)
        raise LookupError("the database is gone")

    async with SMTPServer() as server, server.client() as client:
        async with client.send_many(source()) as results:
            came = [await anext(results) for _ in range(5)]
            assert told(came) == ["ACCEPTED"] * 5
            for _ in range(2):
                with pytest.raises(LookupError, match="the database is gone"):
                    await anext(results)
        assert len(server.messages) == 5


@everywhere
async def test_a_cancelled_batch_tells_of_what_it_had() -> None:
    watch = Watch()
    stuck = script(CONTENT=[OK, HANG])
    async with serving(stuck, script()) as server:
        async with server.client(on_event=watch) as client:
            with anyio.CancelScope() as scope:
                async with client.send_many(letters(9), connections=1) as results:
                    await anext(results)
                    while len(server.heard[0].messages) < 2:
                        await anyio.sleep(0.001)
                    scope.cancel()
                    await anext(results)
            assert scope.cancelled_caught
            assert watch.outcomes == {"ACCEPTED": 1, "UNKNOWN": 1, "NOT_SENT": 7}
            assert server.taps[0].closed == 1
            assert told(await collect(client, letters(2))) == ["ACCEPTED"] * 2


@everywhere
@pytest.mark.parametrize("endless", [True, False])
async def test_a_batch_that_is_cancelled_never_comes_to_its_end(
    *, endless: bool
) -> None:
    """Whoever cancels it from within sees no end of results that were not all."""

    async def source() -> AsyncIterator[Entry]:
        yield letter(0)
        yield letter(1)
        if endless:
            await anyio.sleep_forever()

    ended = False
    rules = [Rule("DATA", skip=1, delay=60)]
    async with SMTPServer(rules=rules) as server, server.client() as client:
        with anyio.CancelScope() as scope:
            async with client.send_many(source(), connections=1) as results:
                async for _ in results:
                    scope.cancel()
                ended = True
    assert not ended


@everywhere
async def test_sources_are_closed_where_they_are_left() -> None:
    closed: list[str] = []

    @asynccontextmanager
    async def noting(what: str) -> AsyncIterator[None]:
        try:
            yield
        finally:
            closed.append(what)

    async def blocks() -> AsyncIterator[bytes]:
        async with noting("message"):
            while True:
                yield b"x" * 100

    async def source() -> AsyncIterator[Entry]:
        async with noting("source"):
            while True:
                yield (blocks(), ALICE, BOB)

    refusing = script(EHLO=EAGER, RCPT=b"550 no\r\n")
    async with serving(refusing) as server, server.client() as client:
        async with client.send_many(source(), connections=1) as results:
            for _ in range(50):
                result = await anext(results)
                assert isinstance(result.error, RecipientsRefused)
    # A generator that was never asked for a block has nothing to close.
    assert closed == ["source"]

    refusing = script(EHLO=EAGER, BDAT=b"552 too much\r\n")
    closed.clear()
    async with serving(refusing) as server, server.client() as client:
        async with client.send_many(source(), connections=1) as results:
            for _ in range(50):
                result = await anext(results)
                assert isinstance(result.error, ContentRefused)
        assert closed.count("message") >= 50
        assert closed.count("source") == 1


@everywhere
async def test_a_closed_client_sends_no_batch() -> None:
    async with SMTPServer() as server:
        client = server.client()
        await client.aclose()
        with pytest.raises(RuntimeError, match="the client is closed"):
            await collect(client, letters(100))
        assert server.connections == 0


@everywhere
async def test_what_send_many_is_asked_for_is_checked() -> None:
    async with SMTPServer() as server, server.client() as client:
        for options in ({"window": 0}, {"connections": -1}, {"ordered": 1}):
            with pytest.raises(InvalidInput, match=next(iter(options))):
                client.send_many([], **options)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="messages is of type int"):
            client.send_many(3)  # type: ignore[arg-type]
        for one in (EmailMessage(), bytearray(b"x"), "Subject: x", BytesIO(b"x")):
            with pytest.raises(InvalidInput, match="messages is one message, of type"):
                client.send_many(one)  # type: ignore[arg-type]
        batch = client.send_many([])
        assert isinstance(batch, Batch)
        with pytest.raises(RuntimeError, match="async with client"):
            await anext(batch)


@in_virtual_time
async def test_the_window_narrows_after_trouble() -> None:
    """What fails for now halves it; each message that is taken widens it by one."""
    # How many had been answered, to the most that were under way then.
    under_way: dict[int, int] = {}
    sent = answered = 0

    def count(event: Event) -> None:
        nonlocal sent, answered
        if isinstance(event, CommandSent):
            sent += event.command.startswith("BDAT")
        elif isinstance(event, ReplyReceived):
            answered += (event.command or "").startswith("BDAT")
        under_way[answered] = max(sent - answered, under_way.get(answered, 0))

    later = Rule("LAST", reply="451 4.3.0 later", skip=BORNE + 20, times=1)
    async with SMTPServer(rules=[later, Rule("LAST", delay=1)], eager=True) as server:
        async with server.client(
            pipelining="eager", on_event=count, client_hostname="c.test"
        ) as client:
            await collect(client, letters(BORNE), connections=1)
            under_way.clear()
            sent = answered = 0
            results = await collect(client, letters(60), connections=1, window=8)
    assert told(results).count("ACCEPTED") == 59
    assert max(under_way.values()) == 8
    # The refusal comes with the reply before it; none is sent while there are too many.
    assert [under_way[n] for n in range(18, 28)] == [8, 8, 7, 6, 5, 6, 7, 8, 8, 8]


@pytest.mark.parametrize("temporary", [True, False])
def test_the_window(*, temporary: bool) -> None:
    window = Window(9)
    sizes = []
    for error in (SMTPError("", temporary=temporary), None, None):
        window.note(error)
        sizes.append(window.size)
    for _ in range(9):
        window.note(SMTPError("", temporary=temporary))
    assert sizes == ([4, 5, 6] if temporary else [9, 9, 9])
    assert window.size == (1 if temporary else 9)


def test_a_result_is_a_receipt_or_an_error() -> None:
    error = SMTPError("no")
    result = SendResult(3, b"x", error)
    assert (result.index, result.message, result.receipt) == (3, b"x", None)
    assert result.error is error
    with pytest.raises(SMTPError, match="no"):
        result.unwrap()
