"""Servers that hang up, servers that die, callers that go: nothing lost or doubled."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator
from typing import Final

import anyio
import pytest
from anyio import to_thread

from esmtp_async import Event, Outcome, SMTPClient, SMTPError, WayGivenUp
from tests.backends import everywhere

from ._accounts import Accounts
from ._mail import SENDER, client
from ._private import PrivateServer
from ._rows import ALL, ONE_EACH, parametrized
from .conftest import Running

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

_IDLE: Final = 1  # seconds, after which a server hangs up
_BODIES: Final = (b"short\r\n", b".a line\r\n" * 3000, b"x" * 998 + b"\r\n")
_SENDERS: Final = 4
_LIMIT: Final = 15  # seconds


async def send(sending: SMTPClient, accounts: Accounts, body: bytes = b"") -> None:
    address, octets = accounts.message(body)
    await sending.send(octets, sender=SENDER, recipients=address)


@everywhere
@parametrized([row for row in ALL if row.kind.TIMES_OUT])
async def test_an_idle_server_that_hung_up(
    server: PrivateServer, running: Running, pipelining: str, security: str
) -> None:
    """What lies in the pool is dead by then, and nobody need know."""
    impatient = running.impatient(type(server), _IDLE)
    accounts = Accounts()
    async with client(
        impatient, security=security, pipelining=pipelining, on_event=accounts.note
    ) as sending:
        for _ in range(2):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(send, sending, accounts)
            await anyio.sleep(_IDLE + 0.7)
        await send(sending, accounts)
    assert accounts.count(Outcome.ACCEPTED) == len(accounts.sent) == 7
    await accounts.check(impatient)


@everywhere
@parametrized([row for row in ALL if row.kind.TIMES_OUT])
async def test_a_batch_that_pauses_for_longer_than_the_server_waits(
    server: PrivateServer, running: Running, pipelining: str, security: str
) -> None:
    impatient = running.impatient(type(server), _IDLE)
    accounts = Accounts()

    async def messages() -> AsyncIterator[tuple[bytes, str, str]]:
        for number in range(9):
            if number % 3 == 2:
                await anyio.sleep(_IDLE + 0.7)
            address, octets = accounts.message()
            yield octets, SENDER, address

    async with (
        client(
            impatient, security=security, pipelining=pipelining, on_event=accounts.note
        ) as sending,
        sending.send_many(messages(), connections=1) as results,
    ):
        receipts = [result.unwrap() async for result in results]
    assert len(receipts) == accounts.count(Outcome.ACCEPTED) == 9
    await accounts.check(impatient)


@everywhere
@parametrized(ALL)
async def test_a_server_that_is_started_anew_under_a_pool_in_use(
    server: PrivateServer, pipelining: str, security: str
) -> None:
    accounts = Accounts()
    over = anyio.Event()

    async def go_on(sending: SMTPClient, number: int) -> None:
        turn = number
        while not over.is_set():
            try:
                await send(sending, accounts, _BODIES[turn % len(_BODIES)])
            except SMTPError:
                await anyio.sleep(0.05)
            turn += 1

    async with client(
        server,
        security=security,
        pipelining=pipelining,
        max_connections=_SENDERS - 1,
        on_event=accounts.note,
        timeouts=_LIMIT,  # for what nobody of the server before answers any more
    ) as sending:
        async with anyio.create_task_group() as group:
            for number in range(_SENDERS):
                group.start_soon(go_on, sending, number)
            for _ in range(2):
                await anyio.sleep(0.3)
                await to_thread.run_sync(server.restart)
            over.set()
        # Whatever the pool still held of the server before, it is over.
        await send(sending, accounts)
    assert accounts.count(Outcome.ACCEPTED) > 2
    assert accounts.told.keys() == accounts.sent.keys()
    await accounts.check(server)


@everywhere
@parametrized(ALL, quick=ONE_EACH)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.matrix)])
async def test_messages_that_are_cancelled_in_flight(
    server: PrivateServer, pipelining: str, security: str, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  # to be repeated, not to be secret
    accounts = Accounts()

    async def begin(sending: SMTPClient, body: bytes, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await send(sending, accounts, body)

    async with client(
        server,
        security=security,
        pipelining=pipelining,
        max_connections=_SENDERS,
        on_event=accounts.note,
    ) as sending:
        started = anyio.current_time()
        await send(sending, accounts)
        usual = anyio.current_time() - started
        for _ in range(10):
            within = [0.0, *(chance.uniform(0, 2) for _ in range(_SENDERS)), math.inf]
            async with anyio.create_task_group() as group:
                for times in within:
                    body = chance.choice(_BODIES)
                    group.start_soon(begin, sending, body, times * usual)
        await send(sending, accounts)
    assert 12 <= accounts.count(Outcome.ACCEPTED) <= len(accounts.sent) - 10
    await accounts.check(server)


@everywhere
@parametrized(ALL)
async def test_a_batch_that_is_left_early(
    server: PrivateServer, pipelining: str, security: str
) -> None:
    chance = random.Random(1)  # noqa: S311  # to be repeated, not to be secret
    accounts = Accounts()

    def messages() -> list[tuple[bytes, str, str]]:
        made = [accounts.message(chance.choice(_BODIES)) for _ in range(40)]
        return [(octets, SENDER, address) for address, octets in made]

    async with client(
        server, security=security, pipelining=pipelining, on_event=accounts.note
    ) as sending:
        for _ in range(4):
            enough = chance.randrange(1, 20)
            async with sending.send_many(messages(), connections=2) as results:
                async for result in results:
                    if result.index >= enough:
                        break
        await send(sending, accounts)
    assert accounts.count(Outcome.ACCEPTED) > 4
    await accounts.check(server)


@everywhere
@parametrized([row for row in ONE_EACH if not row.kind.TAKES_TRAINS])
async def test_a_batch_to_a_server_that_breaks_down_over_it(
    server: PrivateServer, pipelining: str, security: str
) -> None:
    """It does so once; one message is in doubt, and all others get through."""
    accounts = Accounts()
    given_up: list[str] = []

    def note(event: Event) -> None:
        accounts.note(event)
        if isinstance(event, WayGivenUp):
            given_up.append(event.way)

    messages = [accounts.message() for _ in range(60)]
    batch = [(octets, SENDER, address) for address, octets in messages]
    async with (
        client(
            server, security=security, pipelining=pipelining, on_event=note
        ) as sending,
        sending.send_many(batch) as results,
    ):
        indices = [result.index async for result in results]
    assert sorted(indices) == list(range(60))
    assert accounts.count(Outcome.UNKNOWN) == 1
    assert accounts.count(Outcome.ACCEPTED) == 59
    assert given_up == ["trains"]
    await accounts.check(server)
