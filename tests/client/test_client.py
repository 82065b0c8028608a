"""The client: time limits, events, inquiries, and what it shows of itself."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import anyio
import pytest

from esmtp_async import (
    CommandSent,
    ConnectionClosed,
    ConnectionLost,
    ConnectionOpened,
    Event,
    InvalidInput,
    MessageFinished,
    MessageStarted,
    OutcomeUnknown,
    ProtocolViolation,
    ReplyReceived,
    SenderRefused,
    SMTPClient,
    Stage,
    StageTimeout,
    TLSStarted,
    WayGivenUp,
)
from esmtp_async import send as send_once
from tests.backends import everywhere, in_virtual_time
from tests.client.certificates import client_context, server_context
from tests.client.checks import (
    ADDRESSED,
    BOB,
    CAROL,
    MESSAGE,
    failure,
    outcomes,
    send,
)
from tests.raw import (
    EOF,
    HANG,
    NAME,
    RST,
    Answer,
    Step,
    offering,
    script,
    serving,
)

# Time limits


@in_virtual_time
@pytest.mark.parametrize(
    ("answers", "stage"),
    [
        ({"CONNECT": HANG}, Stage.GREETING),
        ({"EHLO": HANG}, Stage.HELLO),
        ({"MAIL": HANG}, Stage.MAIL),
        ({"DATA": HANG}, Stage.DATA),
        ({"CONTENT": HANG}, Stage.FINAL),
    ],
)
async def test_timeout_of_a_call(answers: dict[str, Answer], stage: Stage) -> None:
    events: list[Event] = []
    async with serving(script(**answers), script()) as server:
        async with server.client(pipelining="off", on_event=events.append) as client:
            start = anyio.current_time()
            if stage is Stage.FINAL:
                unknown = await failure(client, OutcomeUnknown, timeout=0.2)
                assert outcomes(unknown.recipients) == [("bob", "UNKNOWN", None)]
                assert not unknown.retry_safe
                assert type(unknown.__cause__) is StageTimeout
            else:
                error = await failure(client, StageTimeout, timeout=0.2)
                assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
                assert error.stage is stage
                assert error.retry_safe
                assert error.temporary
                assert "0.2 s" in str(error)
            assert anyio.current_time() - start == pytest.approx(0.2)
            assert server.taps[0].closed == 1
            # Told once and as what it is, though the limit works by cancellation.
            (told,) = [e for e in events if isinstance(e, MessageFinished)]
            assert type(told.error) is StageTimeout
            assert (await send(client, timeout=5)).accepted == (BOB,)
            assert server.heard[1].messages == [MESSAGE]


@everywhere
async def test_timeout_within_the_mail_data() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000
            await anyio.sleep(0.01)

    async with serving(script(), script()) as server, server.client() as client:
        error = await failure(client, StageTimeout, endless(), timeout=0.2)
        assert error.stage is Stage.CONTENT
        assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
        assert b"\r\n.\r\n" not in server.taps[0].octets


@in_virtual_time
async def test_timeout_while_waiting_for_a_connection() -> None:
    errors: list[StageTimeout] = []
    async with serving(script(CONTENT=(0.3, b"250 ok\r\n"))) as server:
        async with server.client(max_connections=1) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(send, client)
                await anyio.sleep(0.05)
                errors.append(await failure(client, StageTimeout, timeout=0.05))
            (error,) = errors
            assert error.stage is Stage.POOL
            assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
        assert server.heard[0].messages == [MESSAGE]


@in_virtual_time
async def test_cancellation_from_outside_is_no_timeout() -> None:
    async with serving(script(MAIL=HANG)) as server, server.client() as client:
        with anyio.move_on_after(0.1) as scope:
            await send(client, timeout=5)
        assert scope.cancelled_caught


# Events


@everywhere
async def test_events_tell_the_conversation() -> None:
    events: list[Event] = []
    talk = script(
        EHLO=[offering("STARTTLS"), offering("PIPELINING", "AUTH PLAIN")],
        RCPT=[b"250 ok\r\n", b"550 no\r\n"],
    )
    async with serving(talk, tls=server_context()) as server:
        async with server.client(
            security="starttls",
            ssl_context=client_context(),
            username="u",
            password="p",
            on_event=events.append,
        ) as client:
            await send(client, recipients=[BOB, CAROL])
    (number,) = {e.connection for e in events if isinstance(e, ConnectionOpened)}
    told: list[str] = []
    for event in events:
        if not isinstance(event, MessageStarted | WayGivenUp):
            assert event.connection == number
        match event:
            case ConnectionOpened(_, server_name, tls):
                assert (server_name, tls) == (f"127.0.0.1:{server.port}", None)
                told.append("opened")
            case TLSStarted(_, version):
                assert version.startswith("TLSv1.")
                told.append("tls")
            case CommandSent(_, command):
                told.append(f"C {command.partition(' ')[0]}")
            case ReplyReceived(_, _, reply, state):
                told.append(f"S {reply.code} {state.name}")
            case MessageFinished(message_id, recipients, error):
                assert message_id is None
                assert error is None
                told.extend(f"{o[0]} {o[1]}" for o in outcomes(recipients))
            case ConnectionClosed(_, aborted):
                assert not aborted
                told.append("closed")
    assert told == [
        *("opened", "S 220 GREETED"),
        *("C EHLO", "S 250 READY", "C STARTTLS", "S 220 TLS", "tls"),
        *("C EHLO", "S 250 READY", "C AUTH", "S 235 READY"),
        *("C MAIL", "C RCPT", "C RCPT", "C DATA"),
        *("S 250 MAIL", "S 250 RCPT", "S 550 RCPT", "S 354 DATA"),
        *("C <mail", "S 250 READY", "bob ACCEPTED", "carol REFUSED"),
        *("C QUIT", "S 221 CLOSED", "closed"),
    ]


@everywhere
async def test_a_callback_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: Event) -> None:
        raise ValueError(type(event).__name__)

    async with serving(script()) as server:
        async with server.client(on_event=fail) as client:
            assert (await send(client)).accepted == (BOB,)
        assert server.heard[0].messages == [MESSAGE]
    told = [r for r in caplog.records if r.name == "esmtp_async"]
    assert {r.levelno for r in told} == {logging.ERROR}
    assert "MessageFinished" in caplog.text
    assert len(told) > 10


@everywhere
async def test_failures_are_told_with_their_error() -> None:
    events: list[Event] = []
    async with serving(script(MAIL=b"550 no\r\n")) as server:
        async with server.client(on_event=events.append) as client:
            await failure(client, SenderRefused)
    (finished,) = [e for e in events if isinstance(e, MessageFinished)]
    assert outcomes(finished.recipients) == [("bob", "REFUSED", 550)]


@everywhere
async def test_cancellation_is_told_before_it_goes_on() -> None:
    told: list[str] = []

    def tell(event: Event) -> None:
        if isinstance(event, MessageFinished):
            told.append(event.recipients[0].outcome.name)

    async with serving(script(MAIL=HANG)) as server:
        async with server.client(on_event=tell) as client:
            with anyio.move_on_after(0.1):
                try:
                    await send(client)
                finally:
                    told.append("cancelled")
    assert told == ["NOT_SENT", "cancelled"]


# Inquiries


@everywhere
async def test_probe() -> None:
    offers = offering("SIZE 1000", "AUTH PLAIN LOGIN", "PIPELINING")
    async with serving(script(EHLO=offers)) as server, server.client() as client:
        info = await client.probe()
        assert info.greeting is not None
        assert str(info.greeting) == "220 mail.example.test"
        assert info.extensions.size == 1000
        assert set(info.extensions) == {"SIZE", "AUTH", "PIPELINING"}
        assert info.auth == ("PLAIN", "LOGIN")
        assert info.tls is None
        await send(client)
        assert len(server.heard) == 1


@everywhere
async def test_inquiries() -> None:
    answers = script(
        NOOP=b"250 still here\r\n",
        VRFY=[b"252 perhaps\r\n", b"550 no\r\n"],
        EXPN=b"250-a@x.test\r\n250 b@x.test\r\n",
    )
    async with serving(answers) as server, server.client() as client:
        assert str(await client.noop()) == "250 still here"
        assert (await client.verify("bob")).code == 252
        assert (await client.verify("bob")).code == 550
        assert (await client.expand("staff")).lines == (b"a@x.test", b"b@x.test")
        assert server.heard[0].lines[1:] == [
            b"NOOP",
            b"VRFY bob",
            b"VRFY bob",
            b"EXPN staff",
        ]
        await send(client)
        assert len(server.heard) == 1


@everywhere
@pytest.mark.parametrize("end", [(EOF,), (b"421 bye\r\n", EOF), (b"25x\r\n", HANG)])
async def test_inquiries_that_fail(end: tuple[Step, ...]) -> None:
    async with serving(script(NOOP=end), script()) as server:
        async with server.client() as client:
            if end[0] == b"421 bye\r\n":
                assert (await client.noop()).code == 421
            else:
                with pytest.raises((ConnectionLost, ProtocolViolation)) as info:
                    await client.noop()
                assert info.value.stage is Stage.COMMAND
            assert (await client.noop()).code == 250
            assert server.taps[0].closed == 1
            assert len(server.taps) == 2


@everywhere
@pytest.mark.parametrize("end", [EOF, RST])
async def test_inquiries_of_a_pooled_connection_that_died(end: Step) -> None:
    dying = script(NOOP=[b"250 ok\r\n", end])
    async with serving(dying, script(), script()) as server:
        async with server.client() as client:
            assert (await client.noop()).code == 250
            assert (await client.noop()).code == 250
            assert [heard.verbs for heard in server.heard] == [
                ["EHLO", "NOOP", "NOOP"],
                ["EHLO", "NOOP"],
            ]


# One shot, URLs, lifetime


@everywhere
async def test_one_shot() -> None:
    async with serving(script()) as server:
        receipt = await send_once(
            ADDRESSED, "127.0.0.1", server.port, client_hostname=NAME, timeout=5
        )
        assert receipt.accepted == (BOB,)
        assert server.heard[0].verbs == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]
        with pytest.raises(InvalidInput):
            await send_once(ADDRESSED, "127.0.0.1", server.port, security="bogus")


@everywhere
async def test_from_url() -> None:
    async with serving(script(EHLO=offering("AUTH PLAIN"))) as server:
        url = (
            f"smtp://ursula:s%2Fe%40cret@127.0.0.1:{server.port}"
            f"?client_hostname={NAME}&allow_plaintext_auth=true&pipelining=off"
        )
        async with SMTPClient.from_url(url) as client:
            await send(client)
            assert "s/e@cret" not in repr(client)
            assert repr(client) == f"<SMTPClient 127.0.0.1:{server.port} opportunistic>"
        # base64 of NUL ursula NUL s/e@cret
        assert server.heard[0].lines[1] == b"AUTH PLAIN AHVyc3VsYQBzL2VAY3JldA=="
    with pytest.raises(InvalidInput, match="scheme"):
        SMTPClient.from_url("mail.example.test")


@everywhere
async def test_without_async_with() -> None:
    async with serving(script()) as server:
        client = server.client()
        await send(client)
        await client.aclose()
        await client.aclose()
        assert server.heard[0].verbs[-1] == "QUIT"
        unused = server.client()
        await unused.aclose()
        assert len(server.heard) == 1


@everywhere
async def test_nothing_is_connected_to_without_a_message() -> None:
    async with serving(script()) as server:
        async with server.client():
            await anyio.sleep(0.01)
        assert server.heard == []
