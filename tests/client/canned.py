"""A server that is never waited for: what a send costs beside it can be counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from anyio.abc import ByteStream

_EHLO = (
    b"250-mail.example.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-8BITMIME\r\n"
    b"250 SIZE 10485760\r\n"
)
_OK = b"250 2.1.0 Ok\r\n"
_TAKEN = b"250 2.0.0 Ok: queued as 4F2KD\r\n"
_GO = b"354 End data with <CR><LF>.<CR><LF>\r\n"


class Canned(ByteStream):
    """Has the replies ready before it is asked for them; takes every message."""

    def __init__(self) -> None:
        self._replies = [b"220 mail.example.test\r\n"]
        #: How many messages it took.
        self.taken = 0

    async def connect(self) -> Canned:
        """Connect to it, once."""
        return self

    async def send(self, item: bytes) -> None:
        """Make up the replies to what is written."""
        if item.startswith(b"EHLO"):
            self._replies.append(_EHLO)
            return
        envelopes = item.count(b"RCPT TO:")
        chunks, ends = item.count(b" LAST\r\n"), item.count(b"\r\n.\r\n")
        self.taken += chunks + ends
        if chunks:
            resets = item.count(b"RSET\r\n")
            replies = _OK * resets + (_OK * 2 + _TAKEN) * chunks
        else:
            replies = _TAKEN * ends + (_OK * 2 + _GO) * envelopes
        self._replies.append(replies)

    async def receive(self, max_bytes: int = 65536) -> bytes:  # noqa: ARG002  # never so many
        """Give them."""
        return self._replies.pop(0)

    async def send_eof(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Have no socket."""
        return {}
