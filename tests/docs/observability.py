"""The observability page's wire log, as a client writes it.

`python -m tests.docs.observability` writes it anew; a test compares.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import anyio

from esmtp_async import SMTPClient
from esmtp_async.testing import SMTPServer

from .pages import DOCS, write

PAGE: Final = DOCS / "howto" / "observability.md"
MESSAGE: Final = (
    b"From: alice@example.com\nTo: bob@example.com\nSubject: Hi\n\nHello.\n"
)

# What depends on what the process did before.
_NUMBERS: Final = re.compile(r"\A#[0-9]+ (.*?)(?: message [0-9]+)?\Z")


class _Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, with the numbers of a process that has just begun."""
        line = record.getMessage()
        again = " message 1" if " message " in line else ""
        self.lines.append(_NUMBERS.sub(rf"#1 \1{again}", line))


@contextmanager
def _logged() -> Iterator[list[str]]:
    logger, handler = logging.getLogger("esmtp_async.wire"), _Lines()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield handler.lines
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


async def _send() -> None:
    server = SMTPServer(
        hostname="smtp.example.com", starttls=True, users={"alice": "secret"}
    )
    async with server:
        client = SMTPClient(
            "smtp.example.com",
            username="alice",
            password="secret",
            ssl_context=server.client_context,
            client_hostname="client.example.com",
            connect=server.connect,
        )
        async with client:
            await client.send(MESSAGE)


def wire_log() -> str:
    """Send the page's message; give what is logged meanwhile."""
    with _logged() as lines:
        anyio.run(_send)
    return "\n".join(["```text", *lines, "```"])


PARTS: Final = {"wire log": wire_log}

if __name__ == "__main__":
    write(PAGE, PARTS)
