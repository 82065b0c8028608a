"""The client's side of a conversation, octet by octet."""

from __future__ import annotations

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from esmtp_async.testing import ScriptedServer, SMTPServer

#: Seconds that the server may take for anything.
SOON = 5.0


class Talk:
    """A stream to a server, and the replies that come on it."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self._received = b""

    async def send(self, octets: bytes) -> None:
        """Send octets as they are."""
        with anyio.fail_after(SOON):
            await self.stream.send(octets)

    async def reply(self) -> bytes:
        """Give the next reply, all its lines and their CRLF."""
        lines = b""
        while True:
            line = await self._line()
            lines += line
            if line[3:4] != b"-":
                return lines

    async def _line(self) -> bytes:
        with anyio.fail_after(SOON):
            while b"\r\n" not in self._received:
                self._received += await self.stream.receive()
        line, _, self._received = self._received.partition(b"\r\n")
        return line + b"\r\n"

    async def say(self, line: str) -> bytes:
        """Send a line, and give the reply."""
        assert self._received == b"", "a reply too many"
        await self.send(line.encode() + b"\r\n")
        return await self.reply()

    async def group(self, octets: bytes, replies: int) -> list[bytes]:
        """Send a group of commands, and give the replies."""
        await self.send(octets)
        return [await self.reply() for _ in range(replies)]

    async def rest(self) -> bytes:
        """Give what comes until the server closes."""
        with anyio.fail_after(SOON):
            while True:
                try:
                    self._received += await self.stream.receive()
                except anyio.EndOfStream:
                    return self._received

    async def start_tls(self, server: SMTPServer | ScriptedServer) -> None:
        """Shake hands."""
        assert self._received == b""
        with anyio.fail_after(SOON):
            self.stream = await TLSStream.wrap(
                self.stream,
                hostname="mail.example.test",
                ssl_context=server.client_context,
                standard_compatible=False,
            )


async def talk_to(server: SMTPServer, *lines: str) -> Talk:
    """Connect in memory, take the greeting, say lines that must be answered well."""
    talk = Talk(await server.connect())
    assert (await talk.reply()).startswith(b"220 mail.example.test ")
    for line in lines:
        assert (await talk.say(line))[:1] in {b"2", b"3"}, line
    return talk
