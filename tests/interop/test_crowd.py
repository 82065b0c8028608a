"""Many recipients of one message, and many messages through one connection."""

from __future__ import annotations

from typing import Final

import pytest
from anyio import to_thread

from esmtp_async import ConnectionOpened, Event, Outcome, RecipientsRefused
from tests.backends import everywhere

from ._mail import SENDER, as_sent, client, full_message, mailbox, stored
from ._private import BUSY, REFUSED, PrivateServer
from ._rows import ALL, ONE_EACH, parametrized

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

_EVERY: Final = 20  # so many messages, of which one is refused
_TRAINS: Final = [
    row for row in ALL if row.kind.TAKES_TRAINS or row.pipelining != "conformant"
]


@everywhere
@parametrized(ALL, quick=ONE_EACH)
async def test_many_recipients(
    server: PrivateServer, pipelining: str, security: str
) -> None:
    addresses = [mailbox() for _ in range(148)]
    everybody = [*addresses[:40], REFUSED, *addresses[40:120], BUSY, *addresses[120:]]
    message = full_message(addresses[0], bcc=mailbox())
    async with client(server, security=security, pipelining=pipelining) as sending:
        receipt = await sending.send(message, recipients=everybody)
    assert [result.address for result in receipt.recipients] == everybody
    assert receipt.accepted == tuple(addresses)
    assert [(result.address, result.temporary) for result in receipt.refused] == [
        (REFUSED, False),
        (BUSY, True),
    ]
    for address in addresses:
        assert await stored(server, address) == [as_sent(message)]


@everywhere
@parametrized(_TRAINS, quick=ONE_EACH)
@pytest.mark.parametrize("count", [40, pytest.param(500, marks=pytest.mark.matrix)])
async def test_many_messages(
    server: PrivateServer, pipelining: str, security: str, count: int
) -> None:
    events: list[Event] = []
    bob = mailbox()
    messages = [
        f"Subject: {bob} {number}\r\n\r\n.{'x' * number}\r\n".encode()
        for number in range(count)
    ]
    addressed = [
        (message, SENDER, bob if number % _EVERY else REFUSED)
        for number, message in enumerate(messages)
    ]
    results = {}
    async with (
        client(
            server,
            security=security,
            pipelining=pipelining,
            max_messages_per_connection=None,
            on_event=events.append,
        ) as sending,
        sending.send_many(addressed, connections=1) as coming,
    ):
        async for result in coming:
            assert result.index not in results
            results[result.index] = result
    assert sum(isinstance(event, ConnectionOpened) for event in events) == 1
    refused = {
        index
        for index, result in results.items()
        if isinstance(result.error, RecipientsRefused)
    }
    assert refused == set(range(0, count, _EVERY))
    taken = sorted(results.keys() - refused)
    assert len(taken) == count - len(refused)
    for index in taken:
        receipt = results[index].unwrap()
        assert [each.outcome for each in receipt.recipients] == [Outcome.ACCEPTED]
        if receipt.queue_id is not None:
            assert await to_thread.run_sync(server.logs, receipt.queue_id)
    found = await stored(server, bob, len(taken))
    assert sorted(found) == sorted(messages[index] for index in taken)
