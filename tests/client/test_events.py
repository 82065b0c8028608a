"""What is told of messages and connections, to whom, and when."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import ClassVar, TypeVar

import anyio
import pytest

from esmtp_async import (
    AuthenticationFailed,
    ClientOptions,
    CommandSent,
    ConnectFailed,
    ConnectionAcquired,
    ConnectionClosed,
    ConnectionFailed,
    ConnectionLost,
    ConnectionOpened,
    ConnectionReady,
    ConnectionReleased,
    Event,
    InvalidInput,
    MessageFinished,
    MessageStarted,
    Outcome,
    OutcomeUnknown,
    RecipientsRefused,
    ReplyReceived,
    SMTPClient,
    SMTPError,
    TLSFailed,
    TransactionStarted,
    WayGivenUp,
    _chronicle,
    _connection,
    _dialer,
    _pool,
)
from esmtp_async.protocol import State
from tests.backends import everywhere, in_virtual_time
from tests.client.certificates import client_context, server_context
from tests.client.checks import ALICE, BOB, CAROL, MESSAGE, failure, send, simple
from tests.raw import EOF, HANG, NAME, TLS, Script, offering, script, serving

E = TypeVar("E")

REQUEST: ContextVar[str] = ContextVar("REQUEST", default="none")


def only(events: list[Event], kind: type[E]) -> list[E]:
    """Give the events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def names(events: list[Event]) -> list[str]:
    return [
        type(event).__name__
        for event in events
        if not isinstance(event, CommandSent | ReplyReceived)
    ]


# Messages


@everywhere
async def test_a_message_from_its_beginning_to_its_end() -> None:
    events: list[Event] = []
    async with serving(script(RCPT=[b"250 ok\r\n", b"550 no\r\n"])) as server:
        async with server.client(on_event=events.append) as client:
            receipt = await send(client, simple(), recipients=[BOB, CAROL])
        (started,) = only(events, MessageStarted)
        (begun,) = only(events, TransactionStarted)
        (finished,) = only(events, MessageFinished)
        (opened,) = only(events, ConnectionOpened)
        assert started == MessageStarted(
            started.message,
            receipt.message_id,
            2,
            f"127.0.0.1:{server.port}",
            "smtp",
            None,
        )
        size = len(server.heard[0].messages[0])
        assert begun == TransactionStarted(started.message, opened.connection, 2, size)
        assert finished.message == started.message
        assert finished.message_id == receipt.message_id
        assert finished.recipients == receipt.recipients
        assert finished.error is finished.raised is None
        assert finished.connection == opened.connection
        assert (finished.transactions, finished.size) == (1, size)
        assert 0 < finished.duration < 60


@everywhere
async def test_messages_are_numbered_and_begin_in_the_context_of_their_caller() -> None:
    seen: dict[str, list[int]] = {}
    ended: dict[int, str] = {}

    def note(event: Event) -> None:
        if isinstance(event, MessageStarted):
            seen.setdefault(REQUEST.get(), []).append(event.message)
        elif isinstance(event, MessageFinished):
            ended[event.message] = REQUEST.get()

    async def request(name: str, client: SMTPClient) -> None:
        REQUEST.set(name)
        await send(client)
        await send(client)

    async with serving(script()) as server:
        async with server.client(on_event=note, max_connections=2) as client:
            async with anyio.create_task_group() as group:
                for name in "abc":
                    group.start_soon(request, name, client)
    assert seen.keys() == {"a", "b", "c"}
    numbers = [number for each in seen.values() for number in each]
    assert len(set(numbers)) == 6
    assert ended == {n: name for name, each in seen.items() for n in each}


@everywhere
async def test_those_of_send_many_have_their_place_and_its_context() -> None:
    events: list[Event] = []
    contexts: Counter[str] = Counter()

    def note(event: Event) -> None:
        contexts[REQUEST.get()] += 1
        events.append(event)

    bad = (b"x", "not an address", BOB)
    async with serving(script()) as server, server.client(on_event=note) as client:
        REQUEST.set("batch")
        messages = [(MESSAGE, ALICE, BOB), bad, (MESSAGE, ALICE, CAROL)]
        async with client.send_many(messages, connections=1) as results:
            REQUEST.set("another")
            told = [result async for result in results]
    started = only(events, MessageStarted)
    assert [event.batch_index for event in started] == [0, 2]
    finished = {event.message: event for event in only(events, MessageFinished)}
    for begun in started:
        end = finished.pop(begun.message)
        (result,) = [each for each in told if each.index == begun.batch_index]
        assert end.recipients == result.unwrap().recipients
        assert end.size == len(MESSAGE)
    assert not finished
    # All but the last QUIT, which the client's own end says.
    assert set(contexts) == {"batch", "another"}
    assert contexts["another"] <= 4


@everywhere
@pytest.mark.parametrize("lmtp", [False, True])
async def test_which_protocol(*, lmtp: bool) -> None:
    events: list[Event] = []
    scheme = "lmtp" if lmtp else "smtp"
    async with serving(script()) as server:
        async with server.client(scheme=scheme, on_event=events.append) as client:
            await send(client)
    (started,), (opened,) = only(events, MessageStarted), only(events, ConnectionOpened)
    assert started.protocol == opened.protocol == scheme


@everywhere
async def test_a_stream_is_as_long_as_what_was_read_of_it() -> None:
    async def blocks() -> AsyncIterator[bytes]:
        yield b"Subject: x\n\n"
        yield b"abc\n"

    async def broken() -> AsyncIterator[bytes]:
        yield b"Subject: x\r\n"
        raise OSError("no more")

    events: list[Event] = []
    async with serving(script()) as server:
        async with server.client(on_event=events.append) as client:
            await send(client, blocks())
            with pytest.raises(OSError, match="no more") as info:
                await send(client, broken())
    assert [event.size for event in only(events, TransactionStarted)] == [None, None]
    whole, part = only(events, MessageFinished)
    assert whole.size == len(server.heard[0].messages[0]) == 19
    assert part.size == 12
    assert part.raised is part.error is info.value


@everywhere
async def test_what_is_raised_is_told_even_where_no_failure_ended_it() -> None:
    events: list[Event] = []
    async with serving(script(RCPT=b"550 no\r\n")) as server:
        async with server.client(on_event=events.append) as client:
            error = await failure(client, RecipientsRefused)
            with pytest.raises(InvalidInput):
                await send(client, sender="nobody at all")
    (finished,) = only(events, MessageFinished)
    assert finished.error is None
    assert finished.raised is error


@everywhere
async def test_what_nobody_knows() -> None:
    events: list[Event] = []
    async with serving(script(CONTENT=EOF)) as server:
        async with server.client(on_event=events.append) as client:
            unknown = await failure(client, OutcomeUnknown)
    (finished,) = only(events, MessageFinished)
    assert finished.raised is unknown
    assert type(finished.error) is ConnectionLost
    assert finished.error is unknown.__cause__


@in_virtual_time
async def test_a_cancelled_one_is_finished_before_that_goes_on() -> None:
    events: list[Event] = []
    noticed: list[tuple[BaseException, list[MessageFinished]]] = []
    async with serving(script(MAIL=HANG)) as server:
        async with server.client(on_event=events.append) as client:
            with anyio.move_on_after(0.1):
                try:
                    await send(client)
                except BaseException as error:
                    noticed.append((error, only(events, MessageFinished)))
                    raise
    ((caught, (finished,)),) = noticed
    assert finished.raised is finished.error is caught
    assert finished.transactions == 1
    assert names(events)[-2:] == ["ConnectionReleased", "MessageFinished"]


@everywhere
async def test_recipients_that_are_too_many_make_a_second_transaction() -> None:
    events: list[Event] = []
    limited = script(EHLO=offering("PIPELINING", "LIMITS RCPTMAX=1"))
    async with serving(limited) as server:
        async with server.client(on_event=events.append) as client:
            await send(client, recipients=[BOB, CAROL])
    first, second = only(events, TransactionStarted)
    assert (first.recipients, second.recipients) == (1, 1)
    assert first.message == second.message
    (finished,) = only(events, MessageFinished)
    assert finished.transactions == 2


@everywhere
async def test_all_that_begin_have_an_end_however_a_batch_is_left() -> None:
    events: list[Event] = []

    async def endless() -> AsyncIterator[tuple[bytes, str, str]]:
        while True:
            yield MESSAGE, ALICE, BOB
            await anyio.lowlevel.checkpoint()

    async with serving(script()) as server:
        async with server.client(on_event=events.append) as client:
            async with client.send_many(endless(), connections=2) as results:
                (await anext(results)).unwrap()
    started = Counter(event.message for event in only(events, MessageStarted))
    finished = Counter(event.message for event in only(events, MessageFinished))
    assert len(started) > 1
    assert started == finished
    assert set(started.values()) == {1}
    waiting = [e.raised for e in only(events, MessageFinished) if e.transactions == 0]
    assert {type(error).__name__ for error in waiting} <= {"GivenUp"}


# Connections


@everywhere
async def test_a_connection_from_its_beginning_to_its_end() -> None:
    events: list[Event] = []
    talk = script(EHLO=[offering("STARTTLS"), offering("PIPELINING", "AUTH PLAIN")])
    async with serving(talk, tls=server_context()) as server:
        async with server.client(
            security="starttls",
            ssl_context=client_context(),
            username="u",
            password="p",
            on_event=events.append,
        ) as client:
            await send(client)
            await send(client)
        (opened,) = only(events, ConnectionOpened)
        where = f"127.0.0.1:{server.port}"
        peer = ("127.0.0.1", server.port)
        assert opened[1:] == (where, None, *peer, "smtp")
    number = opened.connection
    (ready,) = only(events, ConnectionReady)
    assert ready[:2] == (number, "PLAIN")
    assert 0 < ready.duration < 60
    first, second = only(events, ConnectionAcquired)
    assert (first.connection, first.reused) == (number, False)
    assert (second.connection, second.reused) == (number, True)
    assert first.waited > ready.duration > 0 <= second.waited
    assert only(events, ConnectionReleased) == [(number, True)] * 2
    assert only(events, ConnectionClosed) == [(number, False)]
    assert names(events)[-1] == "ConnectionClosed"


@everywhere
async def test_commands_tell_where_the_server_is() -> None:
    events: list[Event] = []
    async with serving(script()) as server:
        async with server.client(on_event=events.append) as client:
            await send(client)
    told = [(e.command.partition(" ")[0], e.state) for e in only(events, CommandSent)]
    assert told == [
        ("EHLO", State.GREETED),
        *(("MAIL", State.READY), ("RCPT", State.READY), ("DATA", State.READY)),
        ("<mail", State.DATA),
        ("QUIT", State.READY),
    ]


@everywhere
async def test_the_other_end_of_a_unix_socket(tmp_path: Path) -> None:
    events: list[Event] = []
    path = tmp_path / "s"
    async with serving(script(), path=path):
        client = SMTPClient(
            f"smtp+unix://{path}", client_hostname=NAME, on_event=events.append
        )
        async with client:
            await send(client)
    (opened,) = only(events, ConnectionOpened)
    assert opened[1:] == (str(path), None, str(path), None, "smtp")


@everywhere
async def test_a_server_that_is_not_there() -> None:
    events: list[Event] = []
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with SMTPClient("127.0.0.1", port, on_event=events.append) as client:
        error = await failure(client, ConnectFailed)
    assert names(events) == ["MessageStarted", "ConnectionFailed", "MessageFinished"]
    (failed,) = only(events, ConnectionFailed)
    assert failed.server == f"127.0.0.1:{port}"
    assert failed.error is error
    assert failed.connection is None
    assert 0 < failed.duration < 60
    (finished,) = only(events, MessageFinished)
    assert (finished.connection, finished.size, finished.transactions) == (
        None,
        None,
        0,
    )


OPENINGS: dict[str, tuple[Script, ClientOptions, type[SMTPError]]] = {
    "credentials": (
        script(EHLO=offering("AUTH PLAIN"), AUTH=b"535 no\r\n"),
        {"username": "u", "password": "p", "allow_plaintext_auth": True},
        AuthenticationFailed,
    ),
    "no STARTTLS": (script(), {"security": "starttls"}, TLSFailed),
    "it hangs up": (script(EHLO=EOF), {}, ConnectionLost),
}


@everywhere
@pytest.mark.parametrize("why", OPENINGS)
async def test_an_opening_that_fails(why: str) -> None:
    talk, options, kind = OPENINGS[why]
    events: list[Event] = []
    options = {**options, "on_event": events.append}
    async with serving(talk) as server, server.client(**options) as client:
        error = await failure(client, kind)
    assert names(events) == [
        *("MessageStarted", "ConnectionOpened", "ConnectionClosed"),
        *("ConnectionFailed", "MessageFinished"),
    ]
    (opened,), (failed,) = (
        only(events, ConnectionOpened),
        only(events, ConnectionFailed),
    )
    assert failed.connection == opened.connection
    assert failed.error is error


@in_virtual_time
async def test_an_opening_that_is_cancelled() -> None:
    events: list[Event] = []
    async with serving(script(CONNECT=HANG)) as server:
        async with server.client(on_event=events.append) as client:
            with anyio.move_on_after(0.1):
                await send(client)
    (failed,) = only(events, ConnectionFailed)
    assert not isinstance(failed.error, Exception)
    assert failed.connection is not None


@everywhere
async def test_a_handshake_that_fails_has_no_connection_yet() -> None:
    events: list[Event] = []
    async with serving(script(CONNECT=TLS), tls=server_context()) as server:
        async with server.client(security="tls", on_event=events.append) as client:
            await failure(client, TLSFailed)
    (failed,) = only(events, ConnectionFailed)
    assert failed.connection is None
    assert not only(events, ConnectionOpened)


@everywhere
async def test_a_connection_that_is_lost_is_not_kept() -> None:
    events: list[Event] = []
    async with serving(script(MAIL=EOF)) as server:
        async with server.client(pipelining="off", on_event=events.append) as client:
            await failure(client, ConnectionLost)
    (released,) = only(events, ConnectionReleased)
    assert not released.kept


@everywhere
async def test_waiting_for_a_connection_is_measured() -> None:
    events: list[Event] = []
    async with serving(script(CONTENT=(0.2, b"250 ok\r\n"))) as server:
        async with server.client(max_connections=1, on_event=events.append) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(send, client)
                group.start_soon(send, client)
    first, second = only(events, ConnectionAcquired)
    assert second.waited > 0.15 > first.waited
    assert second.reused


# Who is told


@everywhere
async def test_every_listener_is_told_whatever_others_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first: list[Event] = []
    last: list[Event] = []

    def fail(_: Event) -> None:
        raise LookupError

    async with serving(script()) as server:
        listeners = [first.append, fail, last.append]
        async with server.client(on_event=listeners) as client:
            assert (await send(client)).accepted == (BOB,)
    assert first == last
    assert len(caplog.records) == len(first) > 10


class Broken(logging.Handler):
    """Raises whatever it is to write."""

    def emit(self, record: logging.LogRecord) -> None:
        raise ZeroDivisionError(record.getMessage())


@pytest.fixture
def broken() -> Iterator[None]:
    """Have a handler that raises behind all loggers of the package."""
    handler = Broken()
    logging.getLogger("esmtp_async").addHandler(handler)
    yield
    logging.getLogger("esmtp_async").removeHandler(handler)


@everywhere
@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("wire_log", ["on", "off"])
async def test_what_a_logging_handler_raises_stops_no_mail(
    wire_log: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Event) -> None:
        raise LookupError

    caplog.set_level("DEBUG" if wire_log == "on" else "INFO", "esmtp_async.wire")
    async with serving(script()) as server:
        async with server.client(on_event=fail) as client:
            assert (await send(client)).accepted == (BOB,)
        assert server.heard[0].messages == [MESSAGE]


@everywhere
@pytest.mark.usefixtures("broken")
async def test_nor_does_it_hide_that_a_way_was_given_up() -> None:
    events: list[Event] = []
    async with serving(script(), script()) as server:
        async with server.client(on_event=events.append) as client:
            client._gave_up("CHUNKING")
            await send(client)
    assert only(events, WayGivenUp)


class Quiet:
    """Wants no lines."""

    wants_lines: ClassVar[bool] = False

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)


@everywhere
async def test_who_wants_no_lines_is_told_the_rest() -> None:
    quiet, events = Quiet(), list[Event]()
    async with serving(script()) as server:
        async with server.client(on_event=(quiet, events.append)) as client:
            await send(client)
    rest = [e for e in events if not isinstance(e, CommandSent | ReplyReceived)]
    assert quiet.events == rest
    assert len(rest) < len(events)


@everywhere
async def test_what_nobody_wants_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        pytest.fail("an event was made")

    monkeypatch.setattr(_connection, "CommandSent", never)
    monkeypatch.setattr(_connection, "ReplyReceived", never)
    async with serving(script()) as server:
        async with server.client(on_event=Quiet()) as client:
            await send(client)
        for module, kinds in (
            (_connection, ("ConnectionClosed",)),
            (_dialer, ("ConnectionOpened", "ConnectionReady", "ConnectionFailed")),
            (_pool, ("ConnectionAcquired", "ConnectionReleased")),
            (_chronicle, ("MessageStarted", "TransactionStarted", "MessageFinished")),
        ):
            for kind in kinds:
                monkeypatch.setattr(module, kind, never)
        async with server.client() as client:
            await send(client)
            many = [(MESSAGE, ALICE, BOB)] * 3
            async with client.send_many(many) as results:
                told = [result.unwrap() async for result in results]
    assert len(told) == 3


class Slow:
    async def __call__(self, event: Event) -> None:
        """Take its time."""


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ([print, 5], r"on_event\[1\] is of type int, not callable"),
        ("print", r"on_event\[0\] is of type str, not callable"),
        ((), "on_event is of type tuple, not callable"),
        (5, "on_event is of type int, not callable"),
        (anyio.sleep, "on_event is a coroutine function, which nobody would await"),
        ([print, anyio.Event().wait], r"on_event\[1\] is a coroutine function"),
        (Slow(), "on_event is a coroutine function"),
    ],
)
def test_what_cannot_listen(given: object, problem: str) -> None:
    options: dict[str, object] = {"on_event": given}
    with pytest.raises(InvalidInput, match=problem):
        SMTPClient(**options)  # type: ignore[arg-type]


def test_an_outcome_can_be_told_by_its_event() -> None:
    """Fields added later have values for those who make events in tests of theirs."""
    event = MessageFinished(None, (), None)
    assert event[3:] == (0, None, None, 0, None, 0.0, None)
    assert Outcome.ACCEPTED not in {r.outcome for r in event.recipients}
    assert ConnectionOpened(1, "h:25", None)[3:] == (None, None, "smtp")
    assert CommandSent(1, "NOOP").state is None
