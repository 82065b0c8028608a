"""One message over a connection of its own."""

from __future__ import annotations

from typing import Unpack

from esmtp_async._client import SMTPClient
from esmtp_async._messages import Recipients, Sendable
from esmtp_async._options import SendOptions
from esmtp_async._receipts import Receipt
from esmtp_async._settings import ClientOptions


async def send(
    message: Sendable,
    server: str = "localhost",
    port: int | None = None,
    *,
    sender: str | None = None,
    recipients: Recipients | None = None,
    options: SendOptions | None = None,
    all_or_nothing: bool = False,
    timeout: float | None = None,
    **client_options: Unpack[ClientOptions],
) -> Receipt:
    """Send one message over a connection of its own.

    Arguments and result are those of `SMTPClient` and its `send`; it raises what they
    raise.
    """
    try:
        client = SMTPClient(server, port, **client_options)
    finally:
        del server, client_options  # the password with them, out of any traceback
    async with client:
        return await client.send(
            message,
            sender=sender,
            recipients=recipients,
            options=options,
            all_or_nothing=all_or_nothing,
            timeout=timeout,
        )
