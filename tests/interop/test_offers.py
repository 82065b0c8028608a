"""What each server offers: in clear text, under TLS, and to whom it knows."""

from __future__ import annotations

from typing import Final

import anyio
import pytest

from esmtp_async import Event, ReplyReceived

from ._mail import SENDER, client
from ._page import OFFERS, PAGE, Record
from ._private import PrivateServer
from ._rows import EVERY

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

_MESSAGE: Final = b"Subject: offers\r\n\r\n"
# When EHLO is said.
_WHEN: Final = {"plaintext": ("clear",), "starttls": ("clear", "tls", "auth")}


async def offered(server: PrivateServer, security: str) -> dict[str, list[str]]:
    """Give the lines of EHLO, by when it was said."""
    heard: list[list[str]] = []

    def note(event: Event) -> None:
        if isinstance(event, ReplyReceived):
            verb, _, _ = (event.command or "").partition(" ")
            if verb in {"EHLO", "LHLO"}:
                lines = event.reply.text.splitlines()
                heard.append([line.strip() for line in lines[1:]])

    async with client(server, security=security, on_event=note) as sending:
        # It is told what comes with AUTH as well.
        await sending.plan(_MESSAGE, sender=SENDER, recipients=SENDER)
    return dict(zip(_WHEN[security], heard, strict=False))


@pytest.mark.parametrize("server", EVERY, indirect=True, ids=lambda kind: kind.NAME)
def test_what_is_offered_stands_in_the_page(
    server: PrivateServer, record_property: Record
) -> None:
    """The page may be of another version; then it is told what this one offers."""
    security = "starttls" if "starttls" in server.SECURITIES else "plaintext"
    lists = anyio.run(offered, server, security)
    assert lists["clear"]
    version = server.version()
    record_property(OFFERS, [server.NAME, version, *lists.items()])
    page = PAGE.read_text("utf-8")
    row = next(
        (line for line in page.splitlines() if line.startswith(f"| {server.NAME} | ")),
        "",
    )
    if f" | {version} | " in row:
        for line in (line for lines in lists.values() for line in lines):
            assert line in row
