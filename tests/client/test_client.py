"""The client: sources, time limits, events, inquiries, and what it shows of itself."""

from __future__ import annotations

import io
import logging
import pickle
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from esmtp_async import (
    AuthenticationFailed,
    ClientOptions,
    CommandSent,
    ConnectFailed,
    ConnectionClosed,
    ConnectionLost,
    ConnectionOpened,
    ContentRefused,
    Event,
    GreetingRefused,
    HelloRefused,
    InvalidInput,
    MessageFinished,
    NotSupported,
    OutcomeUnknown,
    ProtocolViolation,
    RecipientsRefused,
    ReplyReceived,
    Sendable,
    SenderRefused,
    SMTPClient,
    SMTPError,
    Stage,
    StageTimeout,
    Timeouts,
    TLSFailed,
    TLSStarted,
)
from esmtp_async import send as send_once
from tests.backends import everywhere
from tests.client.certificates import client_context, server_context
from tests.client.checks import (
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
    After,
    Answer,
    Step,
    offering,
    script,
    serving,
)

ADDRESSED: Final = (
    b"From: Alice <alice@example.test>\r\n"
    b"To: bob@example.test\r\n"
    b"Subject: hello\r\n"
    b"\r\n"
    b"Hello.\r\n"
)


def email_message() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Alice <alice@example.test>"
    message["To"] = "Bob <bob@example.test>"
    message["Cc"] = "carol@example.test"
    message["Subject"] = "hello"
    message.set_content("Hello.\n")
    return message


async def asynchronous(octets: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(octets), 10):
        await anyio.lowlevel.checkpoint()
        yield octets[start : start + 10]


def generator(octets: bytes) -> Iterator[bytes]:
    for start in range(0, len(octets), 10):
        yield octets[start : start + 10]


# Sources


WITH_PASSWORD: Final = ClientOptions(
    username="u", password="p", allow_plaintext_auth=True
)


@everywhere
async def test_an_email_message() -> None:
    message = email_message()
    before = bytes(message)
    async with serving(script()) as server, server.client() as client:
        receipt = await client.send(message)
        assert receipt.accepted == (BOB, CAROL)
        assert server.heard[0].lines[1] == b"MAIL FROM:<alice@example.test>"
        assert receipt.message_id is not None
        content = server.heard[0].contents[0]
        assert f"Message-ID: {receipt.message_id}\r\n".encode() in content
        assert b"\r\nDate: " in content
        assert content.endswith(b"\r\n\r\nHello.\r\n.\r\n")
    assert bytes(message) == before


@everywhere
@pytest.mark.parametrize(
    "make",
    [bytes, bytearray, memoryview, lambda octets: octets.decode()],
    ids=["bytes", "bytearray", "memoryview", "str"],
)
async def test_octets_and_text(make: Callable[[bytes], Sendable]) -> None:
    async with serving(script()) as server, server.client() as client:
        await client.send(make(ADDRESSED))
        await client.send(make(ADDRESSED.replace(b"\r\n", b"\n")))
        assert server.heard[0].messages == [ADDRESSED] * 2
        assert server.heard[0].lines[1:3] == [
            b"MAIL FROM:<alice@example.test>",
            b"RCPT TO:<bob@example.test>",
        ]


@everywhere
async def test_files(tmp_path: Path) -> None:
    path = tmp_path / "message.eml"
    path.write_bytes(ADDRESSED)
    async with serving(script()) as server, server.client() as client:
        await client.send(path)
        await client.send(io.BytesIO(ADDRESSED))
        with path.open("rb") as opened:
            await client.send(opened)
        with tempfile.NamedTemporaryFile() as temporary:
            temporary.write(ADDRESSED)
            temporary.seek(0)
            await client.send(temporary)
        async with await anyio.open_file(path, "rb") as file:
            await send(client, file)
        assert server.heard[0].messages == [ADDRESSED] * 5
        with pytest.raises(FileNotFoundError):
            await client.send(tmp_path / "none.eml")
        assert (await client.send(path)).accepted == (BOB,)
    assert len(server.heard) == 1


@everywhere
@pytest.mark.parametrize("keywords", [[], ["CHUNKING"], ["CHUNKING", "PIPELINING"]])
async def test_iterables(keywords: list[str]) -> None:
    async with serving(script(EHLO=offering(*keywords))) as server:
        async with server.client() as client:
            await send(client, [MESSAGE])
            await send(client, generator(MESSAGE))
            await send(client, asynchronous(MESSAGE))
            await send(client, asynchronous(MESSAGE.replace(b"\r\n", b"\n")))
            await send(client, [b""])
            await send(client, [])
        assert server.heard[0].messages == [*[MESSAGE] * 4, b"", b""]
        assert len(server.heard) == 1


@everywhere
async def test_an_iterable_of_something_else() -> None:
    async with serving(script()) as server, server.client() as client:
        wrong: Any = ["text"]
        error = await failure(client, InvalidInput, wrong)
        assert "gave a str, not bytes" in str(error)
        assert all(heard.messages == [] for heard in server.heard)
        assert (await send(client)).accepted == (BOB,)


@everywhere
async def test_large_messages_arrive_whole() -> None:
    body = b"".join(b".%06d\r\n" % number for number in range(100_000))
    for keywords, pipelining in (
        (["PIPELINING"], "conformant"),
        (["PIPELINING", "CHUNKING"], "eager"),
    ):
        async with serving(script(EHLO=offering(*keywords))) as server:
            async with server.client(pipelining=pipelining) as client:
                await send(client, ADDRESSED + body)
                await send(client, asynchronous_blocks(ADDRESSED + body))
            whole, streamed = server.heard[0].messages
            assert whole == streamed
            kept = ADDRESSED + body
            assert whole.replace(b"\r\n..", b"\r\n.") == kept


async def asynchronous_blocks(octets: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(octets), 50_001):
        yield octets[start : start + 50_001]


@everywhere
async def test_the_envelope_given_wins() -> None:
    async with serving(script()) as server, server.client() as client:
        await client.send(ADDRESSED, sender="", recipients=[CAROL, "Postmaster", CAROL])
        assert server.heard[0].lines[1:4] == [
            b"MAIL FROM:<>",
            b"RCPT TO:<carol@example.test>",
            b"RCPT TO:<Postmaster>",
        ]


# Time limits


@everywhere
@pytest.mark.parametrize(
    ("answers", "stage"),
    [
        ({"CONNECT": HANG}, Stage.POOL),
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
            assert 0.19 < anyio.current_time() - start < 1
            assert server.taps[0].closed == 1
            # Told once, though the limit works by cancellation.
            assert sum(isinstance(e, MessageFinished) for e in events) == 1
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


@everywhere
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


@everywhere
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
    number = events[0][0]
    told: list[str] = []
    for event in events:
        if not isinstance(event, MessageFinished):
            assert event[0] == number
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


# Errors, as they travel


@everywhere
@pytest.mark.parametrize(
    ("answers", "kind", "options"),
    [
        ({"CONNECT": b"554 no\r\n"}, GreetingRefused, {}),
        ({"EHLO": b"550 no\r\n"}, HelloRefused, {}),
        ({"CONNECT": b"oops\r\n"}, ProtocolViolation, {}),
        ({"CONNECT": EOF}, ConnectionLost, {}),
        ({}, TLSFailed, {"security": "starttls"}),
        ({"EHLO": offering("AUTH X")}, AuthenticationFailed, WITH_PASSWORD),
        ({"MAIL": b"451 4.3.0 later\r\n"}, SenderRefused, {}),
        ({"RCPT": b"550 5.1.1 no\r\n"}, RecipientsRefused, {}),
        ({"CONTENT": b"554 5.6.0 no\r\n"}, ContentRefused, {}),
        ({"CONTENT": EOF}, OutcomeUnknown, {}),
        ({"EHLO": offering("SIZE 1")}, NotSupported, {}),
        ({"MAIL": HANG}, StageTimeout, {"timeouts": Timeouts(command=0.1)}),
    ],
)
async def test_errors_can_be_pickled(
    answers: dict[str, Answer], kind: type[SMTPError], options: ClientOptions
) -> None:
    async with serving(script(**answers)) as server:
        async with server.client(**options) as client:
            error = await failure(client, kind, recipients=[BOB, CAROL])
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own
    assert type(copied) is kind
    assert str(copied) == str(error)
    assert repr(copied) == repr(error)
    assert vars(copied) == vars(error)
    assert len(copied.recipients) == 2
    assert copied.stage is error.stage
    assert copied.reply == error.reply
    assert type(copied).__module__ == "esmtp_async"


@everywhere
async def test_other_errors_can_be_pickled() -> None:
    async with SMTPClient("127.0.0.1", 1, client_hostname=NAME) as client:
        refused = await failure(client, ConnectFailed)
        invalid = await failure(client, InvalidInput, recipients="bad")
    for error in (refused, invalid):
        copied = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own
        assert type(copied) is type(error)
        assert str(copied) == str(error)
        assert vars(copied) == vars(error)


@everywhere
async def test_receipts_can_be_pickled() -> None:
    async with serving(script()) as server, server.client() as client:
        receipt = await send(client)
        assert pickle.loads(pickle.dumps(receipt)) == receipt  # noqa: S301  # our own
        assert pickle.loads(pickle.dumps(await client.probe()))  # noqa: S301


@everywhere
async def test_one_client_in_two_conversations_of_a_stream_and_a_message() -> None:
    """A message can be sent from within the stream of another."""
    async with serving(script()) as server, server.client() as client:

        async def nested() -> AsyncIterator[bytes]:
            await send(client)
            yield MESSAGE

        await send(client, nested())
        messages = [text for heard in server.heard for text in heard.messages]
        assert messages == [MESSAGE] * 2


@everywhere
async def test_the_mail_data_are_read_only_if_wanted() -> None:
    read: list[int] = []

    async def source() -> AsyncIterator[bytes]:
        read.append(1)
        yield MESSAGE

    async with serving(script(RCPT=b"550 no\r\n", DATA=b"503 no\r\n")) as server:
        async with server.client() as client:
            await failure(client, RecipientsRefused, source())
    assert read == []


@everywhere
async def test_a_stalled_upload_can_be_cancelled_at_once() -> None:
    stalling = script(DATA=(b"354 go\r\n", After(1), HANG))
    async with serving(stalling) as server, server.client() as client:

        async def source() -> AsyncIterator[bytes]:
            yield b"x" * 1000
            await anyio.sleep_forever()

        start = anyio.current_time()
        with anyio.move_on_after(0.1):
            await send(client, source())
        assert anyio.current_time() - start < 0.5
        assert await server.heard[0].over() == "reset"
