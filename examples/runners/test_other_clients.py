"""Clients of any make: what sends the mail need not be esmtp_async."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage

import aiosmtplib
import pytest

from esmtp_async.testing import ThreadedServer, assert_sent

pytestmark = pytest.mark.smtp_server(starttls=True, users={"alice": "secret"})


def letter() -> EmailMessage:
    """Write a message."""
    message = EmailMessage()
    message["From"] = "alice@example.com"
    message["To"] = "bob@example.com"
    message["Subject"] = "Hello"
    message.set_content("Hello, Bob.")
    return message


def test_smtplib(smtp_server: ThreadedServer) -> None:
    """The standard library, under TLS and with a password."""
    with smtplib.SMTP(smtp_server.host, smtp_server.port) as client:
        client.starttls(context=smtp_server.client_context)
        client.login("alice", "secret")
        client.send_message(letter())
    message = assert_sent(smtp_server, to="bob@example.com")
    assert (message.username, message.tls) == ("alice", True)


@pytest.mark.asyncio
async def test_aiosmtplib(smtp_server: ThreadedServer) -> None:
    """Another client for asyncio."""
    await aiosmtplib.send(
        letter(),
        hostname=smtp_server.host,
        port=smtp_server.port,
        start_tls=True,
        tls_context=smtp_server.client_context,
        username="alice",
        password="secret",  # noqa: S106 - nobody's
    )
    message = assert_sent(smtp_server, to="bob@example.com")
    assert (message.username, message.tls) == ("alice", True)
