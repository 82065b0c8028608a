"""What is sent to the servers here, and what must arrive."""

from __future__ import annotations

import os
import ssl
from copy import deepcopy
from email.message import EmailMessage
from typing import Final, Unpack

from anyio import to_thread

from esmtp_async import ClientOptions, SMTPClient

from ._private import PrivateServer

SENDER: Final = "alice@example.test"
PICTURE: Final = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8

_counter = iter(range(1_000_000))


def mailbox() -> str:
    """Give an address that nobody used before."""
    return f"user{next(_counter)}.{os.getpid()}@example.test"


def client(server: PrivateServer, **options: Unpack[ClientOptions]) -> SMTPClient:
    """Give a client that trusts the server's authority, and authenticates if it must.

    It does so as the server's user, unless `options` say otherwise.
    """
    security = str(options.setdefault("security", "starttls"))
    options["ssl_context"] = ssl.create_default_context(cafile=str(server.ca_pem))
    if server.wants_auth(security) and options.keys().isdisjoint({"auth", "username"}):
        options["username"], options["password"] = server.username, server.password
        options["allow_plaintext_auth"] = security == "plaintext"
    return SMTPClient(server.url(security), **options)


def full_message(*to: str, bcc: str) -> EmailMessage:
    """Make a message with all that people send, and nothing left to be added."""
    message = EmailMessage()
    message["Date"] = "Mon, 23 Nov 2026 12:00:00 +0000"
    message["Message-ID"] = f"<{next(_counter)}.{os.getpid()}@example.test>"
    message["From"] = f"\u00c4lice Gr\u00fcn <{SENDER}>"
    message["To"] = ", ".join(f"B\u00f6b \u65e5\u672c <{address}>" for address in to)
    message["Bcc"] = bcc
    message["Subject"] = "Gr\u00fc\u00dfe \u2013 \u3053\u3093\u306b\u3061\u306f"
    message.set_content(
        ".\n.. two\n.dot at the start\nna\u00efve caf\u00e9\n\n.\n\nend\n", cte="8bit"
    )
    message.add_alternative("<p>Hello <img src='cid:logo'></p>\n", subtype="html")
    parts = message.get_payload()
    assert isinstance(parts, list)
    html = parts[1]
    assert isinstance(html, EmailMessage)
    html.add_related(PICTURE, "image", "png", cid="<logo>", filename="logo.png")
    message.add_attachment(
        b"1,2\r\n" * 2000, maintype="text", subtype="csv", filename="z\u00e4hler.csv"
    )
    for number, part in enumerate(p for p in message.walk() if p.is_multipart()):
        part.set_boundary(f"part-{number}")
    return message


def as_sent(message: EmailMessage) -> bytes:
    """Give what must arrive: the message by its own policy, without Bcc."""
    visible = deepcopy(message)
    del visible["Bcc"]
    return visible.as_bytes(policy=message.policy.clone(linesep="\r\n"))


async def stored(server: PrivateServer, address: str, count: int = 1) -> list[bytes]:
    """Wait for what the server stored for an address."""
    return await to_thread.run_sync(server.stored, address, count)
