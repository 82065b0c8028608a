"""Rows E1-E9, E16-E21 and E25-E29: what became of each recipient.

E14 and E15, cancellation, are in test_cancellation.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import anyio
import pytest

from esmtp_async import (
    AuthenticationFailed,
    ConnectionLost,
    ContentRefused,
    Event,
    GreetingRefused,
    HelloRefused,
    MessageFinished,
    NotDelivered,
    OutcomeUnknown,
    ProtocolViolation,
    RecipientsRefused,
    SenderRefused,
    SMTPClient,
    Stage,
    StageTimeout,
    Timeouts,
    TLSFailed,
)
from tests.backends import everywhere
from tests.client.checks import (
    BOB,
    CAROL,
    MESSAGE,
    assert_poisoned,
    failure,
    outcomes,
    send,
)
from tests.raw import (
    EOF,
    HANG,
    RST,
    STALL,
    Act,
    After,
    Answer,
    Server,
    Step,
    offering,
    script,
    serving,
)

BOTH: Final = [BOB, CAROL]
BIG: Final = b"Subject: big\r\n\r\n" + b"x" * 62 + b"\r\n"
ENDINGS: Final = pytest.mark.parametrize("ending", [EOF, RST], ids=["eof", "rst"])


async def big_stream(count: int = 80) -> AsyncIterator[bytes]:
    """Give 5 MB in blocks."""
    for _ in range(count):
        yield b"x" * 65534 + b"\r\n"


@everywhere
async def test_E1_partial_refusal() -> None:
    picky = script(RCPT=[b"550 no\r\n", b"250 ok\r\n"])
    async with serving(picky) as server, server.client() as client:
        receipt = await send(client, recipients=BOTH)
        assert outcomes(receipt.recipients) == [
            ("bob", "REFUSED", 550),
            ("carol", "ACCEPTED", 250),
        ]
        assert receipt.accepted == (CAROL,)
        assert [result.address for result in receipt.refused] == [BOB]
        assert not receipt.refused[0].temporary
        assert receipt.refused[0].stage is Stage.RCPT


@everywhere
@pytest.mark.parametrize("pipelining", ["off", "conformant", "eager"])
async def test_E1_all_or_nothing(pipelining: str) -> None:
    picky = script(
        EHLO=offering("PIPELINING", "CHUNKING"),
        RCPT=[b"550 no\r\n", b"250 ok\r\n"],
    )
    async with serving(picky) as server:
        async with server.client(pipelining=pipelining) as client:
            error = await failure(
                client, RecipientsRefused, recipients=BOTH, all_or_nothing=True
            )
            assert outcomes(error.recipients) == [
                ("bob", "REFUSED", 550),
                ("carol", "NOT_SENT", None),
            ]
            assert server.heard[0].contents == []
            assert server.heard[0].verbs == ["EHLO", "MAIL", "RCPT", "RCPT"]
            await send(client, all_or_nothing=True)
            assert server.heard[0].verbs[4:6] == ["RSET", "MAIL"]
            assert len(server.heard) == 1
            assert len(server.heard[0].contents) == 1


@everywhere
async def test_E2_all_refused_and_354_anyway() -> None:
    odd = script(RCPT=[b"550 no\r\n", b"451 later\r\n", b"250 ok\r\n"])
    async with serving(odd) as server, server.client() as client:
        error = await failure(client, RecipientsRefused, recipients=BOTH)
        assert outcomes(error.recipients) == [
            ("bob", "REFUSED", 550),
            ("carol", "REFUSED", 451),
        ]
        assert [result.temporary for result in error.recipients] == [False, True]
        assert server.heard[0].contents == [b".\r\n"]
        assert b"Hello" not in server.taps[0].octets
        await send(client)
        assert len(server.heard) == 1
        assert server.heard[0].contents[1:] == [MESSAGE + b".\r\n"]


@everywhere
@pytest.mark.parametrize("code", [450, 452, 550, 554])
async def test_E3_data_refused(code: int) -> None:
    refusing = script(DATA=[b"%d no\r\n" % code, b"354 go\r\n"])
    async with serving(refusing) as server, server.client() as client:
        error = await failure(client, ContentRefused, recipients=BOTH)
        assert outcomes(error.recipients) == [
            ("bob", "REFUSED", code),
            ("carol", "REFUSED", code),
        ]
        assert error.temporary is (code < 500)
        assert error.stage is Stage.DATA
        await send(client)
        assert server.heard[0].verbs[5:7] == ["RSET", "MAIL"]
        assert server.heard[0].contents == [MESSAGE + b".\r\n"]


SHUTDOWN: Final = b"421 4.3.2 closing now\r\n"


@everywhere
@pytest.mark.parametrize(
    ("verb", "kind", "outcome"),
    [
        ("CONNECT", GreetingRefused, "NOT_SENT"),
        ("EHLO", HelloRefused, "NOT_SENT"),
        ("STARTTLS", TLSFailed, "NOT_SENT"),
        ("AUTH", AuthenticationFailed, "NOT_SENT"),
        ("MAIL", SenderRefused, "REFUSED"),
        ("RCPT", RecipientsRefused, "REFUSED"),
        ("DATA", ContentRefused, "REFUSED"),
        ("CONTENT", ContentRefused, "REFUSED"),
    ],
)
@pytest.mark.parametrize("steps", [(EOF,), (HANG,), (RST,)], ids=["eof", "open", "rst"])
async def test_E4_421_anywhere(
    verb: str, kind: type[NotDelivered], outcome: str, steps: tuple[Act]
) -> None:
    offer = offering("AUTH PLAIN", *(["STARTTLS"] if verb == "STARTTLS" else []))
    closing = {**script(EHLO=offer), verb: (SHUTDOWN, *steps)}
    async with serving(closing, script(EHLO=offering("AUTH PLAIN"))) as server:
        async with server.client(
            username="u", password="p", allow_plaintext_auth=True
        ) as client:
            error = await failure(client, kind, recipients=BOTH)
            assert outcomes(error.recipients) == [
                ("bob", outcome, 421),
                ("carol", outcome, 421),
            ]
            assert error.temporary
            assert all(result.temporary for result in error.recipients)
            assert "closing now" in str(error)
            written = len(server.taps[0].writes)
            assert server.taps[0].closed == 1
            receipt = await send(client)
            assert receipt.accepted == (BOB,)
            assert len(server.taps[0].writes) == written


@everywhere
async def test_E4_421_to_rset() -> None:
    closing = script(DATA=b"554 no\r\n", RSET=(SHUTDOWN, EOF))
    async with serving(closing, script()) as server, server.client() as client:
        await failure(client, ContentRefused)
        receipt = await send(client)
        assert receipt.attempts == 2
        assert [heard.contents for heard in server.heard] == [[], [MESSAGE + b".\r\n"]]


@everywhere
@ENDINGS
async def test_E5_refusal_and_end_at_once(ending: Act) -> None:
    abrupt = script(RCPT=[b"250 ok\r\n", (b"550 no\r\n", ending)])
    async with serving(abrupt) as server:
        async with server.client(pipelining="off") as client:
            error = await failure(client, ConnectionLost, recipients=BOTH)
        assert outcomes(error.recipients) == [
            ("bob", "NOT_SENT", None),
            ("carol", "REFUSED", 550),
        ]


@everywhere
@ENDINGS
@pytest.mark.parametrize("code", [250, 451, 554])
async def test_E5_final_reply_and_end_at_once(ending: Act, code: int) -> None:
    abrupt = script(CONTENT=(b"%d x\r\n" % code, ending))
    async with serving(abrupt) as server, server.client() as client:
        if code == 250:
            results = (await send(client)).recipients
        else:
            results = (await failure(client, ContentRefused)).recipients
        outcome = "ACCEPTED" if code == 250 else "REFUSED"
        assert outcomes(results) == [("bob", outcome, code)]


@everywhere
@pytest.mark.parametrize(
    "ending", [HANG, STALL, EOF, RST], ids=["open", "stall", "eof", "rst"]
)
@pytest.mark.parametrize("source", ["bytes", "stream"])
async def test_E6_early_refusal_stops_the_upload(ending: Act, source: str) -> None:
    early = script(DATA=(b"354 go\r\n", After(65536), b"552 5.3.4 too big\r\n", ending))
    async with serving(early, script()) as server, server.client() as client:
        message = BIG * 80000 if source == "bytes" else big_stream()
        start = anyio.current_time()
        error = await failure(client, ContentRefused, message)
        assert anyio.current_time() - start < 3
        assert outcomes(error.recipients) == [("bob", "REFUSED", 552)]
        assert not error.temporary
        assert len(server.taps[0].octets) < 512 * 1024
        assert b"\r\n.\r\n" not in server.taps[0].octets
        await assert_aborted_and_replaced(server, client)


async def assert_aborted_and_replaced(server: Server, client: SMTPClient) -> None:
    """See that nothing more was said there, and that the next message goes out."""
    written = len(server.taps[0].writes)
    assert server.taps[0].closed == 1
    assert (await send(client)).accepted == (BOB,)
    assert len(server.taps) == 2
    assert len(server.taps[0].writes) == written


@everywhere
async def test_E7_early_success_is_none() -> None:
    early = script(DATA=(b"354 go\r\n", After(1024), b"250 ok\r\n", HANG))
    async with serving(early, script()) as server, server.client() as client:
        error = await failure(client, ProtocolViolation, big_stream())
        assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
        assert error.stage is Stage.CONTENT
        assert b"\r\n.\r\n" not in server.taps[0].octets
        await assert_aborted_and_replaced(server, client)


@everywhere
@ENDINGS
@pytest.mark.parametrize("pipelining", ["off", "conformant", "eager"])
async def test_E8_the_end_at_every_octet(ending: Act, pipelining: str) -> None:
    chunking = ["CHUNKING"] if pipelining == "eager" else []
    greeting, hello = b"220 hi\r\n", offering("PIPELINING", *chunking)
    before = len(greeting) + len(hello) + len(b"250 ok\r\n250 ok\r\n")
    last = b"" if chunking else b"354 go\r\n"
    committed = len(greeting) + len(hello) if chunking else before + len(last)
    length = before + len(last) + len(b"250 taken\r\n")
    talk = script(
        CONNECT=greeting, EHLO=hello, CONTENT=b"250 taken\r\n", LAST=b"250 taken\r\n"
    )
    async with serving(talk) as server:
        for offset in range(1, length + 1):
            server.end = (offset, ending)
            async with server.client(pipelining=pipelining) as client:
                if offset == length:
                    results = (await send(client)).recipients
                    assert outcomes(results) == [("bob", "ACCEPTED", 250)]
                elif offset >= committed:
                    unknown = await failure(client, OutcomeUnknown)
                    assert outcomes(unknown.recipients) == [("bob", "UNKNOWN", None)]
                else:
                    error = await failure(client, ConnectionLost)
                    assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
                    assert b"Hello" not in server.taps[-1].octets
            assert len(server.taps) == offset


@everywhere
@pytest.mark.parametrize(
    ("steps", "cause"),
    [
        ((EOF,), ConnectionLost),
        ((RST,), ConnectionLost),
        ((HANG,), StageTimeout),
        ((STALL,), StageTimeout),
        ((b"garbage\r\n", HANG), ProtocolViolation),
        ((b"354 more\r\n", HANG), ProtocolViolation),
        ((b"250-ok\r\n", EOF), ConnectionLost),
    ],
)
@pytest.mark.parametrize("source", ["bytes", "stream", "chunks"])
async def test_E9_unknown(
    steps: tuple[Step, ...], cause: type[NotDelivered], source: str
) -> None:
    verb = "LAST" if source == "chunks" else "CONTENT"
    offer = offering("CHUNKING") if source == "chunks" else offering()
    silent = {**script(EHLO=offer), verb: steps}
    limits = Timeouts(final=0.2)
    async with serving(silent, script()) as server:
        async with server.client(timeouts=limits) as client:
            message = MESSAGE if source == "bytes" else big_stream(3)
            error = await failure(client, OutcomeUnknown, message, recipients=BOTH)
            assert outcomes(error.recipients) == [
                ("bob", "UNKNOWN", None),
                ("carol", "UNKNOWN", None),
            ]
            assert not isinstance(error, NotDelivered)
            assert not error.retry_safe
            assert error.stage is Stage.FINAL
            assert type(error.__cause__) is cause
            assert len(server.taps) == 1
            await assert_aborted_and_replaced(server, client)


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
    async with serving(script(MAIL=ending)) as server, server.client() as client:
        await failure(client, ConnectionLost)
        assert len(server.heard) == 1
    dying = script(MAIL=[b"250 ok\r\n", ending])
    async with serving(dying, script(MAIL=ending)) as server, server.client() as client:
        await send(client)
        error = await failure(client, ConnectionLost)
        assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
        assert len(server.heard) == 2


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
        (b"452 4.5.3 too many", True),
        (b"552 5.5.3 too many", True),
        (b"552 too many", True),
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
        # Before anybody was accepted a 552 cannot mean "too many".
        error = await failure(client, RecipientsRefused)
        assert error.temporary is (code < 500)


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
