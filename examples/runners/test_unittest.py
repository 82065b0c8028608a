"""unittest: the server is a context manager, which setUp enters."""

from __future__ import annotations

import smtplib
import unittest
from email.message import EmailMessage

from esmtp_async.testing import ThreadedServer, assert_sent


def letter() -> EmailMessage:
    """Write a message."""
    message = EmailMessage()
    message["From"] = "alice@example.com"
    message["To"] = "bob@example.com"
    message["Subject"] = "Hello"
    message.set_content("Hello, Bob.")
    return message


class TestMail(unittest.IsolatedAsyncioTestCase):
    """One server for each test."""

    def setUp(self) -> None:
        """Start it."""
        self.server = self.enterContext(ThreadedServer())

    def test_in_a_function(self) -> None:
        """Whatever sends, sends to it: here the standard library."""
        with smtplib.SMTP(self.server.host, self.server.port) as client:
            client.send_message(letter())
        assert_sent(self.server, to="bob@example.com", subject="Hello")

    async def test_in_a_coroutine(self) -> None:
        """Its client is for the event loop that it is used in."""
        async with self.server.client() as client:
            await client.send(letter())
        assert_sent(self.server, to="bob@example.com", text="Hello, Bob.")
