"""The observability page: its log is the client's, and so is the order of events."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Unpack, get_args

import anyio
import pytest

from esmtp_async import (
    AuthenticationFailed,
    ClientOptions,
    CommandSent,
    ConnectFailed,
    Event,
    MessageFinished,
    MessageStarted,
    RecipientsRefused,
    ReplyReceived,
    SMTPClient,
    StageTimeout,
    TransactionStarted,
)
from tests.backends import everywhere
from tests.client.certificates import client_context, server_context
from tests.client.checks import ALICE, BOB, CAROL, MESSAGE, failure, send
from tests.raw import EOF, HANG, Script, offering, script, serving

from .observability import MESSAGE as MESSAGE_OF_THE_PAGE
from .observability import PAGE, PARTS
from .pages import rendered

Events = list[Event]
Scenario = Callable[[Events], Awaitable[None]]

_TEXT: Final = PAGE.read_text("utf-8")
_TABLE: Final = _TEXT.partition("<!-- begin order -->")[2].partition("<!-- end")[0]
#: What happens, and the events that tell it.
ROWS: Final = {
    what.replace("`", ""): re.findall(r"`(\w+)`", events)
    for what, events in re.findall(r"^\| (.+?) \| (`.+`) \|$", _TABLE, re.MULTILINE)
}

OK: Final = b"250 ok\r\n"
NO: Final = b"550 no\r\n"
PLAIN: Final = offering("PIPELINING", "AUTH PLAIN")
IN_CLEAR: Final[ClientOptions] = {
    "username": "u",
    "password": "p",
    "allow_plaintext_auth": True,
}


@asynccontextmanager
async def new(
    events: Events, *scripts: Script, **options: Unpack[ClientOptions]
) -> AsyncIterator[SMTPClient]:
    """Give a client, and note what is told until the block ends, but no lines."""
    on = True

    def note(event: Event) -> None:
        if on and not isinstance(event, CommandSent | ReplyReceived):
            events.append(event)

    async with serving(*scripts, tls=server_context()) as server:
        options["on_event"] = note
        async with server.client(**options) as client:
            yield client
            on = False


@asynccontextmanager
async def pooled(
    events: Events, *scripts: Script, **options: Unpack[ClientOptions]
) -> AsyncIterator[SMTPClient]:
    """Give a client that has an idle connection; note what is told from then on."""
    async with new(events, *scripts, **options) as client:
        await send(client)
        events.clear()
        yield client


async def over_a_new_connection(events: Events) -> None:
    async with new(events, script()) as client:
        await send(client)


async def with_starttls(events: Events) -> None:
    talk = script(EHLO=[offering("STARTTLS"), offering("PIPELINING")])
    context = client_context()
    async with new(events, talk, security="starttls", ssl_context=context) as client:
        await send(client)


async def over_one_of_the_pool(events: Events) -> None:
    async with pooled(events, script()) as client:
        await send(client)


async def all_refused(events: Events) -> None:
    async with pooled(events, script(RCPT=[OK, NO])) as client:
        await failure(client, RecipientsRefused)


async def once_more(events: Events) -> None:
    async with pooled(events, script(MAIL=[OK, EOF]), script()) as client:
        assert (await send(client)).attempts == 2


async def too_many(events: Events) -> None:
    limited = script(EHLO=offering("PIPELINING", "LIMITS RCPTMAX=1"))
    async with pooled(events, limited) as client:
        await send(client, recipients=[BOB, CAROL])


async def nobody_answers(events: Events) -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with SMTPClient("127.0.0.1", port, on_event=events.append) as client:
        await failure(client, ConnectFailed)


async def auth_refused(events: Events) -> None:
    async with new(events, script(EHLO=PLAIN, AUTH=NO), **IN_CLEAR) as client:
        await failure(client, AuthenticationFailed)


async def cancelled(events: Events) -> None:
    async with pooled(events, script(MAIL=[OK, HANG])) as client:
        with anyio.move_on_after(0.1) as scope:
            await send(client)
        assert scope.cancelled_caught


async def timed_out(events: Events) -> None:
    async with pooled(events, script(MAIL=[OK, HANG])) as client:
        await failure(client, StageTimeout, timeout=0.1)


async def cancelled_while_it_waits(events: Events) -> None:
    slow = script(CONTENT=[OK, (0.2, OK)])
    async with pooled(events, slow, max_connections=1) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(send, client)
            await anyio.sleep(0.05)
            with anyio.move_on_after(0.05):
                await send(client)
    last = max(e.message for e in events if isinstance(e, MessageStarted))
    told = [e for e in events if isinstance(e, MessageStarted | MessageFinished)]
    events[:] = [event for event in told if event.message == last]
    assert not any(e.transactions for e in events if isinstance(e, MessageFinished))


async def inquiries(events: Events) -> None:
    async with pooled(events, script()) as client:
        await client.probe()
        told = list(events)
        events.clear()
        await client.noop()
        assert [type(event) for event in events] == [type(event) for event in told]


async def closing(events: Events) -> None:
    async with pooled(events, script()) as client:
        await client.aclose()


async def send_many(events: Events) -> None:
    async with new(events, script()) as client:
        many = [(MESSAGE, ALICE, BOB)] * 2
        async with client.send_many(many, connections=1) as results:
            assert len([result.unwrap() async for result in results]) == 2


async def one_of_many(events: Events) -> None:
    await send_many(events)
    kinds = (MessageStarted, TransactionStarted, MessageFinished)
    told = [event for event in events if isinstance(event, kinds)]
    first, second = (
        [event for event in told if event.message == number]
        for number in sorted({event.message for event in told})
    )
    assert [type(event) for event in first] == [type(event) for event in second]
    events[:] = first


async def connection_of_many(events: Events) -> None:
    await send_many(events)
    messages = (MessageStarted, MessageFinished)
    events[:] = [event for event in events if not isinstance(event, messages)]


async def left_early(events: Events) -> None:
    many = [(MESSAGE, ALICE, BOB)] * 9
    async with new(events, script(MAIL=HANG)) as client:
        async with client.send_many(many, connections=1):
            await anyio.sleep(0.1)
    last = max(e.message for e in events if isinstance(e, MessageStarted))
    told = [e for e in events if isinstance(e, MessageStarted | MessageFinished)]
    events[:] = [event for event in told if event.message == last]


SCENARIOS: Final[dict[str, tuple[Scenario, ...]]] = {
    "send over a new connection": (over_a_new_connection,),
    "the same with STARTTLS": (with_starttls,),
    "send over one of the pool": (over_one_of_the_pool,),
    "all recipients are refused": (all_refused,),
    "one of the pool was dead: once more over a new one": (once_more,),
    "more recipients than the server takes at once": (too_many,),
    "nobody answers at that port": (nobody_answers,),
    "AUTH is refused": (auth_refused,),
    "send is cancelled, or its time is up": (cancelled, timed_out),
    "it is cancelled while it waits for a connection": (cancelled_while_it_waits,),
    "probe, noop over one of the pool": (inquiries,),
    "aclose, of one idle connection": (closing,),
    "send_many: each message": (one_of_many,),
    "send_many: a connection that takes two messages along": (connection_of_many,),
    "send_many is left early: a message that waited": (left_early,),
}


def test_every_row_has_its_scenario() -> None:
    assert list(ROWS) == list(SCENARIOS)


@everywhere
@pytest.mark.parametrize("row", SCENARIOS)
async def test_the_events_come_in_the_order_of_the_page(row: str) -> None:
    for scenario in SCENARIOS[row]:
        events: Events = []
        await scenario(events)
        assert [type(event).__name__ for event in events] == ROWS[row]


def test_the_page_names_every_event() -> None:
    for kind in get_args(Event):
        assert re.search(rf"^\|.*`{kind.__name__}`.* \|", _TEXT, re.MULTILINE)


def test_the_log_is_the_clients() -> None:
    assert rendered(_TEXT, PARTS) == _TEXT, "run: python -m tests.docs.observability"
    assert f"MESSAGE = {MESSAGE_OF_THE_PAGE!r}".replace("'", '"') in _TEXT
