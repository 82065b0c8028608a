"""What a message costs, in calls of functions: the same on every machine.

Each figure is what it was when it was written down. More is a step back; much less is
a step forward, and the figure is to be written down anew.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import timeit
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from esmtp_async import SMTPClient
from esmtp_async.protocol import (
    Content,
    Data,
    Ehlo,
    Envelope,
    Mail,
    Rcpt,
    Session,
)
from tests.client.canned import Canned
from tests.client.checks import ALICE, BOB
from tests.raw import NAME

MESSAGE = b"Subject: hello\r\n\r\n" + b"Hello, and here ends the line.\r\n" * 60
MANY = 200
#: In per cent, either way.
LEEWAY = 2

pytestmark = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="other versions inline other calls"
)


def calls_of(work: Callable[[], object]) -> int:
    """Count the calls of functions, of Python and of C, that something comes to."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


async def send(client: SMTPClient, count: int) -> None:
    for _ in range(count):
        await client.send(MESSAGE, sender=ALICE, recipients=BOB)


async def send_many(client: SMTPClient, count: int) -> None:
    messages = ((MESSAGE, ALICE, BOB) for _ in range(count))
    async with client.send_many(messages, connections=1) as results:
        async for result in results:
            result.unwrap()


def client_of(server: Canned, pipelining: str = "conformant") -> SMTPClient:
    return SMTPClient(
        security="plaintext",
        client_hostname=NAME,
        connect=server.connect,
        pipelining=pipelining,
        max_messages_per_connection=None,
    )


@contextmanager
def closing(client: SMTPClient, runner: asyncio.Runner) -> Iterator[SMTPClient]:
    try:
        yield client
    finally:
        runner.run(client.aclose())


@pytest.mark.parametrize(
    ("way", "pipelining", "figure"),
    [
        (send, "conformant", 484),
        (send, "eager", 412),
        (send_many, "conformant", 394),
        (send_many, "eager", 344),
    ],
)
def test_the_calls_of_a_message(
    way: Callable[[SMTPClient, int], Awaitable[None]], pipelining: str, figure: int
) -> None:
    server = Canned()
    with (
        asyncio.Runner() as runner,
        closing(client_of(server, pipelining), runner) as client,
    ):
        loop = runner.get_loop()
        loop.run_until_complete(way(client, 20))
        few = calls_of(lambda: loop.run_until_complete(way(client, MANY)))
        many = calls_of(lambda: loop.run_until_complete(way(client, 2 * MANY)))
    assert server.taken == 20 + 3 * MANY
    each = (many - few) / MANY
    assert abs(each - figure) < figure * LEEWAY / 100, each


def conversation() -> Callable[[], None]:
    """Give four commands and their replies, with nothing around them."""
    session = Session()
    hello = b"250-mail.example.test\r\n250 PIPELINING\r\n"
    for octets, command in ((b"220 x\r\n", Ehlo(NAME)), (hello, None)):
        session.receive_data(octets)
        session.next_event()
        if command is not None:
            session.send(command)
    envelope = Envelope.of(ALICE, BOB)
    group = [Mail(envelope.reverse_path), Rcpt(envelope.recipients[0].path), Data()]
    content = Content(b"hi\r\n")

    def hold() -> None:
        for command in group:
            session.send(command)
        session.receive_data(b"250 ok\r\n250 ok\r\n354 go\r\n")
        for _ in group:
            session.next_event()
        session.send(content)
        session.receive_data(b"250 ok\r\n")
        session.next_event()
        assert session.reusable

    hold()
    return hold


def test_the_calls_of_the_machine() -> None:
    assert calls_of(conversation()) == 80


def test_the_time_of_the_machine() -> None:
    """Four commands take no longer than so many empty calls, both at their best."""

    def nothing() -> None:
        pass

    def reference() -> None:
        for _ in range(300):
            nothing()

    machine, calls = (
        min(timeit.repeat(work, number=20, repeat=50))
        for work in (conversation(), reference)
    )
    assert machine < 2 * calls


@pytest.mark.parametrize("way", [send, send_many])
def test_what_a_message_leaves_behind_and_needs_meanwhile(
    way: Callable[[SMTPClient, int], Awaitable[None]],
) -> None:
    """In blocks of memory and in octets: nothing, and little more than itself."""
    server = Canned()
    with asyncio.Runner() as runner, closing(client_of(server), runner) as client:
        loop = runner.get_loop()
        loop.run_until_complete(way(client, 100))
        gc.collect()
        before = sys.getallocatedblocks()
        loop.run_until_complete(way(client, MANY))
        gc.collect()
        left = sys.getallocatedblocks() - before
        assert left < MANY / 10
        tracemalloc.start()
        try:
            held, _ = tracemalloc.get_traced_memory()
            loop.run_until_complete(way(client, 10 * MANY))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # The octets of a message that is under way stand in a few copies.
    assert peak - held < 180_000
