"""Rows E1-E9: what became of each recipient.

E14 and E15, cancellation, are in test_cancellation.py.
"""

from __future__ import annotations

from typing import Final

import anyio
import pytest

from esmtp_async import (
    AuthenticationFailed,
    ConnectionLost,
    ContentRefused,
    GreetingRefused,
    HelloRefused,
    NotDelivered,
    NotSupported,
    OutcomeUnknown,
    ProtocolViolation,
    RecipientsRefused,
    SenderRefused,
    SendOptions,
    SMTPClient,
    Stage,
    StageTimeout,
    Timeouts,
    TLSFailed,
)
from tests.backends import everywhere, in_virtual_time
from tests.client.checks import (
    BOB,
    CAROL,
    MESSAGE,
    big_stream,
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
    Server,
    Step,
    offering,
    script,
    serving,
)
from tests.taps import Tap

BOTH: Final = [BOB, CAROL]
BIG: Final = b"Subject: big\r\n\r\n" + b"x" * 62 + b"\r\n"
ENDINGS: Final = pytest.mark.parametrize("ending", [EOF, RST], ids=["eof", "rst"])


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
async def test_E1_all_or_nothing_where_one_cannot_be_asked_for() -> None:
    """Nothing was said of this message, whatever was said before."""
    async with serving(script()) as server, server.client() as client:
        await send(client)
        error = await failure(
            client, NotSupported, recipients=[BOB, "ü@x.test"], all_or_nothing=True
        )
        told = [(result.outcome.name, result.stage) for result in error.recipients]
        assert told == [("NOT_SENT", Stage.LOCAL), ("REFUSED", Stage.LOCAL)]


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
async def test_E4_421_to_ehlo_before_the_transaction() -> None:
    """It is said once more for what was not offered before AUTH."""
    closing = script(EHLO=[offering("AUTH PLAIN"), (SHUTDOWN, EOF)])
    async with serving(closing, script(EHLO=offering("AUTH PLAIN"))) as server:
        async with server.client(
            username="u", password="p", allow_plaintext_auth=True
        ) as client:
            wish = SendOptions(priority=3)
            error = await failure(client, HelloRefused, recipients=BOTH, options=wish)
            assert outcomes(error.recipients) == [
                ("bob", "REFUSED", 421),
                ("carol", "REFUSED", 421),
            ]
            assert error.temporary
            assert error.command == "EHLO"
            assert server.taps[0].closed == 1
            assert (await send(client)).accepted == (BOB,)


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
@pytest.mark.parametrize("failing", [False, True], ids=["cut", "failed"])
async def test_E6_nothing_follows_a_dot_that_may_not_be_out(failing: bool) -> None:  # noqa: FBT001
    """The refusal comes while the dot is being written, and it never gets out."""
    early = script(DATA=(b"354 go\r\n", After(1024), 0.05, b"552 too big\r\n", HANG))
    async with serving(early, script()) as server:

        class Stuck(Tap):
            async def send(self, item: bytes) -> None:
                if item == b".\r\n" and len(server.heard) == 1:
                    if failing:
                        raise anyio.BrokenResourceError
                    await anyio.sleep_forever()
                await super().send(item)

        async def connect() -> Tap:
            stream = await anyio.connect_tcp("127.0.0.1", server.port)
            server.taps.append(Stuck(stream))
            return server.taps[-1]

        async with server.client(connect=connect) as client:
            error = await failure(client, ContentRefused, big_stream(1))
            assert outcomes(error.recipients) == [("bob", "REFUSED", 552)]
            await assert_aborted_and_replaced(server, client)


@in_virtual_time
async def test_E6_half_a_reply_within_the_mail_data_is_not_waited_for_long() -> None:
    early = script(DATA=(b"354 go\r\n", After(1024), b"55", HANG))
    async with serving(early, script()) as server:
        async with server.client(timeouts=Timeouts(block=0.2)) as client:
            with anyio.fail_after(5):
                error = await failure(client, StageTimeout, big_stream())
            assert error.stage is Stage.CONTENT
            assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
            await assert_aborted_and_replaced(server, client)


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
    opened = 0
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
            # A group that nobody has borne yet may be what the server broke on.
            in_group = pipelining == "conformant" and offset >= len(greeting + hello)
            again = in_group and offset < committed
            opened += 2 if again else 1
            assert len(server.taps) == opened


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
    # Long enough for what comes, and for the next message, on a busy machine.
    limits = Timeouts(final=0.5 if cause is StageTimeout else 10)
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
