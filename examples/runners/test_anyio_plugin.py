"""The plugin of anyio: each test on asyncio and on trio."""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from esmtp_async import RecipientsRefused, SMTPClient
from esmtp_async.testing import ThreadedServer, assert_sent


@pytest.mark.anyio
async def test_a_refused_recipient(
    smtp_server: ThreadedServer, smtp_client: SMTPClient
) -> None:
    """The fixtures are the same for every runner."""
    smtp_server.refuse("bob@example.com")
    message = EmailMessage()
    message["From"] = "alice@example.com"
    message["To"] = "bob@example.com, carol@example.com"
    message["Subject"] = "Hello"
    message.set_content("Hello, you two.")
    receipt = await smtp_client.send(message)
    assert [result.address for result in receipt.refused] == ["bob@example.com"]
    with pytest.raises(RecipientsRefused):
        await smtp_client.send(message, recipients="bob@example.com")
    assert_sent(smtp_server, to=["carol@example.com"], subject="Hello")
