"""The server's end of a connection: strict lines in, collected replies out.

Replies are collected and written when the server has to wait for input, so the
answers to a pipelined group leave in one write (RFC 2920 §3.2).
"""

from __future__ import annotations

import math
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.lowlevel import checkpoint
from anyio.streams.tls import TLSStream

from esmtp_async.testing._pipes import MemoryStream
from esmtp_async.testing._store import Said, Tape

#: Octets that are read at once, and read ahead while the server takes its time.
BLOCK: Final = 64 * 1024
#: Seconds that a closed connection waits for the peer to close as well.
LINGER: Final = 0.5

# What a connection that is closed raises when its socket is asked for; the second is
# anyio's over uvloop, which has none then.
_FORGOTTEN: Final = (OSError, AttributeError)

_CRLF: Final = b"\r\n"
_END_OF_MAIL_DATA: Final = b"\r\n.\r\n"


class Gone(Exception):
    """The client has closed, reset or broken the connection."""


class Hangup(Exception):
    """The server ends the connection."""


class Idle(Exception):
    """The client has sent nothing for longer than the server waits."""


class LineTooLong(Exception):
    """A line exceeded its limit; it was read to its end and thrown away."""


@contextmanager
def _peer() -> Iterator[None]:
    """Tell the end of the connection from the server's own mistakes."""
    try:
        yield
    except (anyio.EndOfStream, anyio.BrokenResourceError, OSError) as error:
        raise Gone(repr(error)) from error


class Wire:
    """A stream with a buffer before and behind it, and a record of what was said."""

    def __init__(
        self,
        stream: ByteStream,
        tape: Tape,
        *,
        idle_timeout: float = math.inf,
        fragment: int | None = None,
    ) -> None:
        self._transport = stream
        self._stream = stream
        self._tape = tape
        self._idle_timeout = idle_timeout
        self._fragment = fragment
        self._received = bytearray()
        self._collected = bytearray()
        self._closed = False

    @property
    def abandoned(self) -> bool:
        """Whether the client is known to have closed its end."""
        return isinstance(self._transport, MemoryStream) and self._transport.abandoned

    @property
    def pending(self) -> bool:
        """Whether the client has sent octets that were not yet asked for."""
        return bool(self._received)

    @property
    def received(self) -> bytes:
        """The octets that were not yet asked for."""
        return bytes(self._received)

    @property
    def collected(self) -> bool:
        """Whether there are replies that have not been written yet."""
        return bool(self._collected)

    def hear(self, octets: bytes) -> None:
        """Put octets of the client on record, as they may be shown."""
        if octets:
            self._tape.append(Said("C", octets))

    def reply(self, octets: bytes) -> None:
        """Collect a reply; it is written before the next wait for input."""
        self._collected += octets

    async def flush(self) -> None:
        """Write what was collected."""
        octets = bytes(self._collected)
        self._collected.clear()
        if octets:
            self._tape.append(Said("S", octets))
        step = self._fragment or len(octets) or 1
        with _peer():
            for start in range(0, len(octets), step):
                await self._stream.send(octets[start : start + step])
                await checkpoint()

    async def fill(self) -> None:
        """Write what was collected, then wait for octets.

        Raises:
            Gone: if the client sends no more.
            Idle: if it sends nothing for too long.
        """
        await self.flush()
        with anyio.move_on_after(self._idle_timeout):
            with _peer():
                self._received += await self._stream.receive(BLOCK)
            return
        raise Idle

    async def listen(self, seconds: float) -> None:
        """Take the time given, noticing what the client does meanwhile."""
        await self.flush()
        with anyio.move_on_after(seconds):
            while len(self._received) < BLOCK:
                with _peer():
                    self._received += await self._stream.receive(BLOCK)
            await anyio.sleep_forever()

    async def line(self, limit: int) -> bytes:
        """Give one line of at most `limit` octets, whatever ends in LF.

        Raises:
            LineTooLong: behind the end of a longer one.
        """
        thrown_away = searched = 0
        while (end := self._received.find(b"\n", searched)) < 0:
            if len(self._received) > limit:
                thrown_away += len(self._received)
                self._received.clear()
            searched = len(self._received)
            await self.fill()
        line = self.take(end + 1)
        if thrown_away + len(line) > limit:
            raise LineTooLong
        return line

    async def octets(self, count: int, limit: int) -> bytes | None:
        """Give `count` octets; None if they were more than `limit`, thrown away."""
        kept = bytearray()
        missing = count
        while missing:
            if not self._received:
                await self.fill()
            piece = self.take(min(missing, len(self._received)))
            missing -= len(piece)
            if count <= limit:
                kept += piece
        return bytes(kept) if count <= limit else None

    async def mail_data(self, limit: int) -> bytes | None:
        """Give the lines before the lone dot, still stuffed (RFC 5321 §4.5.2).

        None if they were more than `limit` octets, which were thrown away.
        """
        # The line end of DATA itself may be the first of the five octets.
        self._received[:0] = _CRLF
        within = True
        searched = 0
        while (end := self._received.find(_END_OF_MAIL_DATA, searched)) < 0:
            searched = max(0, len(self._received) - len(_END_OF_MAIL_DATA) + 1)
            if len(self._received) >= limit + len(_END_OF_MAIL_DATA):
                within = False
                del self._received[:searched]
                searched = 0
            await self.fill()
        data = self.take(end + len(_END_OF_MAIL_DATA))
        lines = data[len(_CRLF) : end + len(_CRLF)]
        return lines if within and len(lines) <= limit else None

    def take(self, count: int) -> bytes:
        """Give the first octets of those received."""
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Do the server's half of a TLS handshake.

        Raises:
            Gone: if it fails.
            Idle: if it takes too long.
        """
        await self.flush()
        with anyio.move_on_after(self._idle_timeout), _peer():
            self._stream = await TLSStream.wrap(
                self._stream,
                server_side=True,
                ssl_context=context,
                standard_compatible=False,
            )
            return
        raise Idle

    async def close(self) -> None:
        """Write what was collected, say good-bye and close.

        The client gets some time to read: to close a socket that holds unread octets
        would destroy the last reply on its way.
        """
        if self._closed:
            return
        self._closed = True
        try:
            with suppress(Gone), anyio.move_on_after(LINGER):
                await self.flush()
                await self._take_leave()
        finally:
            await anyio.aclose_forcefully(self._transport)

    async def _take_leave(self) -> None:
        with _peer():
            if isinstance(self._stream, TLSStream):
                await self._stream.unwrap()
            await self._transport.send_eof()
            while True:
                await self._transport.receive()

    def end_input(self) -> None:
        """Take nothing more from the client but what it has sent already."""
        if isinstance(self._transport, MemoryStream):
            self._transport.end_input()
        else:
            with suppress(*_FORGOTTEN), self._socket() as duplicate:
                duplicate.shutdown(socket.SHUT_RD)

    async def reset(self) -> None:
        """Break the connection off, with RST where there is one."""
        self._closed = True
        if isinstance(self._transport, MemoryStream):
            self._transport.reset()
        else:
            on_for_no_time = struct.pack("ii", 1, 0)
            with suppress(*_FORGOTTEN), self._socket() as duplicate:
                duplicate.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, on_for_no_time
                )
        await anyio.aclose_forcefully(self._transport)

    def _socket(self) -> socket.socket:
        """Duplicate the socket: uvloop lets nobody at the original."""
        raw = self._transport.extra(SocketAttribute.raw_socket)
        return socket.fromfd(raw.fileno(), raw.family, raw.type)
