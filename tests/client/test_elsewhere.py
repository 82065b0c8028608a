"""A client in another event loop than its own: it says so, before it says anything."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import pytest

from esmtp_async import SMTPClient
from esmtp_async.testing import ThreadedServer

MESSAGE = b"From: alice@example.com\nTo: bob@example.com\n\nHello.\n"

USES: list[Callable[[SMTPClient], Awaitable[object]]] = [
    lambda client: client.send(MESSAGE),
    lambda client: client.noop(),
    lambda client: client.aclose(),
]


async def batch(client: SMTPClient) -> None:
    async with client.send_many([MESSAGE]) as results:
        async for result in results:
            result.unwrap()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("use", [*USES, batch])
def test_it_stays_with_its_own(
    use: Callable[[SMTPClient], Awaitable[object]], backend: str
) -> None:
    with ThreadedServer() as server, asyncio.Runner() as runner:
        client = SMTPClient(server.host, server.port)
        runner.run(client.send(MESSAGE))
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            anyio.run(partial(use, client), backend=backend)
        runner.run(client.send(MESSAGE))
        runner.run(client.aclose())
    assert len(server.messages) == 2
    (heard,) = server.transcript
    assert sum(said.octets.startswith(b"MAIL") for said in heard) == 2


def test_a_thread_with_a_loop_of_its_own() -> None:
    errors: list[RuntimeError] = []

    def elsewhere() -> None:
        try:
            asyncio.run(client.send(MESSAGE))
        except RuntimeError as error:
            errors.append(error)

    async def main() -> None:
        async with client:
            await client.send(MESSAGE)
            thread = threading.Thread(target=elsewhere)
            thread.start()
            await asyncio.to_thread(thread.join)

    with ThreadedServer() as server:
        client = SMTPClient(server.host, server.port)
        asyncio.run(main())
    assert "SyncSMTPClient for all threads" in str(*errors)
    assert len(server.messages) == 1


def test_where_nothing_is_open_it_may_be_closed() -> None:
    client = SMTPClient()
    asyncio.run(client.aclose())
    asyncio.run(client.aclose())
