"""Every real server takes and stores what was sent, octet for octet."""

from __future__ import annotations

import pytest
from anyio import to_thread

from tests.backends import everywhere

from ._mail import as_sent, client, full_message, mailbox, stored
from ._private import PrivateServer
from .conftest import each_server

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


@everywhere
@each_server
@pytest.mark.parametrize("pipelining", ["off", "conformant", "eager"])
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_message_with_everything_is_stored_as_it_was_sent(
    server: PrivateServer, security: str, pipelining: str
) -> None:
    bob, hidden = mailbox(), mailbox()
    message = full_message(bob, bcc=hidden)
    before = message.as_bytes()
    async with client(server, security=security, pipelining=pipelining) as sending:
        receipt = await sending.send(message)
    assert receipt.accepted == (bob, hidden)
    assert receipt.tls is not None
    assert receipt.tls.version in {"TLSv1.2", "TLSv1.3"}
    assert receipt.queue_id is not None
    assert await to_thread.run_sync(server.logs, receipt.queue_id)
    assert message.as_bytes() == before
    for address in (bob, hidden):
        assert await stored(server, address) == [as_sent(message)]
    assert b"Bcc" not in as_sent(message)
