"""What was said on a connection: heard by a server, written by a client."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final

import anyio
from anyio.abc import ByteStream

BLOCK: Final = 65536


class Heard:
    """What the server heard on one connection."""

    def __init__(self) -> None:
        #: Command lines, SASL lines included, without their CRLF.
        self.lines: list[bytes] = []
        #: Mail data, with the end of DATA's; each chunk of BDAT.
        self.contents: list[bytes] = []
        #: Whole messages: the end of DATA's, or `BDAT n LAST`, was heard.
        self.messages: list[bytes] = []
        #: Everything, once decrypted.
        self.octets = bytearray()
        #: `eof`, `reset`, or empty while the client is there.
        self.ending = ""
        #: Octets of a flood that went out.
        self.flooded = 0
        #: The server's side of TLS, once it stands.
        self.tls: ssl.SSLObject | None = None
        self._left = anyio.Event()
        self._over = anyio.Event()

    @property
    def verbs(self) -> list[str]:
        """The first word of each line."""
        return [re.split(rb"[ :]", line)[0].decode("latin-1") for line in self.lines]

    def end(self, ending: str) -> None:
        self.ending = self.ending or ending
        self._over.set()

    def leave(self) -> None:
        self._left.set()

    async def left(self) -> None:
        """Wait until the server has closed its side."""
        with anyio.fail_after(5):
            await self._left.wait()

    async def over(self) -> str:
        """Wait until the client or the server has ended it; tell how the client did."""
        with anyio.fail_after(5):
            await self._over.wait()
        return self.ending


class Tap(ByteStream):
    """A client's stream that notes each write."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.writes: list[bytes] = []
        self.reads: list[bytes] = []
        self.closed = 0

    @property
    def octets(self) -> bytes:
        return b"".join(self.writes)

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self._stream.extra_attributes

    async def receive(self, max_bytes: int = BLOCK) -> bytes:
        self.reads.append(await self._stream.receive(max_bytes))
        return self.reads[-1]

    async def send(self, item: bytes) -> None:
        self.writes.append(bytes(item))
        await self._stream.send(item)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        self.closed += 1
        await self._stream.aclose()
