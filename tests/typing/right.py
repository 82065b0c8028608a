"""What users write, with the types that it has; nothing here runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from email.message import EmailMessage
from pathlib import Path
from typing import Unpack, assert_type

from anyio.abc import ByteStream

from esmtp_async import (
    AuthenticationFailed,
    ClientOptions,
    CommandSent,
    ConnectFailed,
    DeliveryReport,
    EnhancedStatus,
    Event,
    Extensions,
    InvalidInput,
    Mechanism,
    MessageFinished,
    NotDelivered,
    NotSupported,
    Outcome,
    OutcomeUnknown,
    Plan,
    Problem,
    RateLimit,
    Receipt,
    Recipient,
    RecipientResult,
    Refused,
    Renewable,
    Reply,
    ReplyReceived,
    Scram,
    Security,
    SendOptions,
    SendResult,
    ServerInfo,
    Severity,
    Signer,
    SMTPClient,
    SMTPError,
    Stage,
    StageTimeout,
    Timeouts,
    TLSFailed,
    TLSInfo,
    XOAuth2,
    compose,
    send,
    through_proxy,
)
from esmtp_async.protocol import (
    NEED_DATA,
    Channel,
    Ehlo,
    Fetch,
    Noop,
    Opening,
    Replied,
    Responses,
    Session,
    Signal,
    State,
)
from esmtp_async.testing import (
    Rule,
    Said,
    ScriptedServer,
    SMTPServer,
    StoredMessage,
    StoredRecipient,
    check_mechanism,
    memory_pipe,
)


async def receipts(client: SMTPClient, message: EmailMessage) -> None:
    receipt = await client.send(message)
    assert_type(receipt, Receipt)
    assert_type(receipt.accepted, tuple[str, ...])
    assert_type(receipt.refused, tuple[RecipientResult, ...])
    assert_type(receipt.recipients, tuple[RecipientResult, ...])
    assert_type(receipt.reply, Reply)
    assert_type(receipt.queue_id, str | None)
    assert_type(receipt.message_id, str | None)
    assert_type(receipt.tls, TLSInfo | None)
    assert_type(receipt.attempts, int)
    for result in receipt.recipients:
        assert_type(result.address, str)
        assert_type(result.outcome, Outcome)
        assert_type(result.reply, Reply | None)
        assert_type(result.stage, Stage)
        assert_type(result.temporary, bool)
    assert_type(receipt.reply.code, int)
    assert_type(receipt.reply.lines, tuple[bytes, ...])
    assert_type(receipt.reply.text, str)
    assert_type(receipt.reply.severity, Severity)
    assert_type(receipt.reply.enhanced_status, EnhancedStatus | None)


async def everything_that_can_be_sent(client: SMTPClient, path: Path) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        yield b"Subject: Hello\r\n\r\n"

    to: list[str | Recipient] = [
        "bob@example.com",
        Recipient("carol@example.com", notify="NEVER"),
    ]
    await client.send(b"Subject: Hello\r\n\r\n", sender="", recipients=to)
    await client.send("Subject: Hello\n\n", recipients="bob@example.com")
    await client.send(path, options=SendOptions(ret="HDRS"), timeout=30)
    await client.send(blocks(), sender="alice@example.com", recipients=iter(to))
    await client.send(iter([b""]), sender="", recipients=to, all_or_nothing=True)
    with path.open("rb") as file:
        await client.send(file)
    made = compose("alice@example.com", "bob@example.com", "Hello", text="Hello.\n")
    assert_type(made, EmailMessage)
    assert_type(
        await send(made, "smtp.example.com", username="a", password="b"), Receipt
    )


async def many(client: SMTPClient, messages: Iterable[EmailMessage]) -> None:
    sending = client.send_many(messages, window=10, ordered=True)
    assert_type(sending, AbstractAsyncContextManager[AsyncIterator[SendResult]])
    async with sending as results:
        async for result in results:
            assert_type(result, SendResult)
            assert_type(result.index, int)
            assert_type(result.receipt, Receipt | None)
            assert_type(result.error, SMTPError | None)
            assert_type(result.unwrap(), Receipt)
    envelopes = (
        (message, "alice@example.com", ["bob@example.com"]) for message in messages
    )
    async with client.send_many(envelopes) as results:
        assert_type([result.index async for result in results], list[int])


def on_event(event: Event) -> None:
    match event:
        case ReplyReceived(connection, command, reply, state):
            assert_type(connection, int)
            assert_type(command, str | None)
            assert_type(reply, Reply)
            assert_type(state, State)
        case CommandSent():
            assert_type(event.command, str)
        case MessageFinished():
            assert_type(event.recipients, tuple[RecipientResult, ...])
            assert_type(event.error, BaseException | None)
        case _:
            pass


async def errors(client: SMTPClient, message: bytes) -> None:
    try:
        await client.send(message)
    except InvalidInput as error:
        value_error: ValueError = error
        raise value_error from None
    except (Refused, AuthenticationFailed) as error:
        assert_type(error.command, str)
        assert_type(error.reply, Reply | None)
    except NotSupported as error:
        assert_type(error.extension, str)
    except TLSFailed as error:
        assert_type(error.certificate_error, str)
    except (ConnectFailed, StageTimeout) as error:
        os_error: OSError = error
        raise os_error from None
    except NotDelivered as error:
        assert_type(error.temporary, bool)
        assert_type(error.stage, Stage)
    except OutcomeUnknown as error:
        assert_type(error.retry_safe, bool)
        assert_type(error.recipients, tuple[RecipientResult, ...])
    try:
        await client.probe()
    except AuthenticationFailed as error:
        assert_type(error.details, Mapping[str, str])


async def questions(client: SMTPClient, message: bytes) -> None:
    info = await client.probe()
    assert_type(info, ServerInfo)
    assert_type(info.greeting, Reply | None)
    assert_type(info.extensions, Extensions)
    assert_type(info.auth, tuple[str, ...])
    assert_type(await client.verify("bob@example.com"), Reply)
    assert_type(await client.expand("friends"), Reply)
    assert_type(await client.noop(), Reply)
    plan = await client.plan(message)
    assert_type(plan, Plan)
    assert_type(plan.problems, tuple[Problem, ...])
    assert_type(plan.round_trips, int)
    report = DeliveryReport.parse(message)
    assert_type([each.address for each in report.recipients], list[str])


class ByTicket:
    """A mechanism of one's own."""

    names = ("X-TICKET",)

    def respond(self, channel: Channel, /) -> Responses:
        ticket = yield Fetch(Stage.AUTH, self._ticket)
        challenge = yield ticket
        assert_type(channel.host, str)
        assert_type(challenge, bytes | None)

    async def renewed(self) -> Mechanism | None:
        return None

    async def _ticket(self) -> bytes:
        return b"ticket"


class Stamp:
    """A signer of one's own."""

    def sign(self, header: bytes, body: Iterable[bytes], /) -> bytes:
        return b"X-Length: %d\r\n" % (len(header) + sum(map(len, body)))


async def token() -> str:
    return "token"


def clients(**options: Unpack[ClientOptions]) -> None:
    connect = through_proxy("socks5://proxy.example.com", "smtp.example.com", 587)
    assert_type(connect, Callable[[], Awaitable[ByteStream]])
    mechanism: Mechanism = ByTicket()
    renewable: Renewable = ByTicket()
    signer: Signer = Stamp()
    client = SMTPClient(
        "smtp.example.com",
        587,
        security="starttls",
        auth=[mechanism, renewable, XOAuth2("alice", token), Scram("alice", "secret")],
        connect=connect,
        timeouts=Timeouts.interactive(),
        rate_limit=RateLimit(10, 1),
        sign=[signer],
        pipelining="eager",
        on_event=on_event,
    )
    assert_type(client, SMTPClient)
    url = "smtps://smtp.example.com"
    assert_type(SMTPClient.from_url(url, security=Security.TLS), SMTPClient)
    SMTPClient("smtp.example.com", **options)


async def servers() -> None:
    await check_mechanism(ByTicket())
    rules = [Rule("RCPT", "bob", reply="550 5.1.1 no such user")]
    async with SMTPServer(
        starttls=True, users={"alice": "secret"}, rules=rules
    ) as server:
        assert_type(server.client(max_connections=1), SMTPClient)
        assert_type(server.messages, list[StoredMessage])
        assert_type(server.messages[0].message, EmailMessage)
        assert_type(server.messages[0].recipients, tuple[StoredRecipient, ...])
        assert_type(server.transcript, list[list[Said]])
        assert_type(server.violations, list[str])
    async with server.listen():
        assert_type(server.port, int | None)
    async with ScriptedServer("S: 220 hello\nC: QUIT\nS: 221 bye\n") as scripted:
        assert_type(scripted.client(), SMTPClient)
    near, _far = memory_pipe()
    stream: ByteStream = near
    await stream.aclose()


def machine(received: bytes) -> bytes:
    session = Session(Opening("client.example.com"))
    session.receive_data(received)
    while (event := session.next_event()) is not NEED_DATA:
        if isinstance(event, Replied):
            assert_type(event.reply, Reply)
        else:
            signal: Signal = event
            raise ConnectionError(signal.name)
    assert_type(session.state, State)
    assert_type(Ehlo("client.example.com").wire, bytes)
    return session.send(Noop())
