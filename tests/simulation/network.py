"""The lines of a client, and the tap in its TLS."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from esmtp_async.testing._pipes import MemoryStream
from tests.simulation.faults import Fault, Kind
from tests.simulation.line import Line

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

#: The line that this task has opened last, for the TLS that goes over it.
_opened: Final[ContextVar[Line]] = ContextVar("opened")


class Tapped(ssl.SSLObject):
    """The client's TLS, which lets its line hear what is said."""

    _line: Line | None = None

    def do_handshake(self) -> None:
        if self._line is None:
            self._line = _opened.get()
            self._line.secure()
        super().do_handshake()
        self._line.note("tls")

    def write(self, data: ReadableBuffer) -> int:
        assert self._line is not None
        self._line.say(bytes(data))
        return super().write(data)

    def read(
        self,
        len: int = 1024,  # noqa: A002  # it is so named
        buffer: WriteableBuffer | None = None,
    ) -> bytes:
        assert self._line is not None
        assert buffer is None
        if forged := self._line.hear(b""):
            return forged
        octets = super().read(len)
        if not octets:
            return octets
        if not (heard := self._line.hear(octets)):
            raise ssl.SSLWantReadError
        return heard


class Network:
    """Makes the lines of a client, each to a connection of the server's own."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[ByteStream]],
        faults: Iterable[Fault],
        grain: int,
    ) -> None:
        self._connect = connect
        self._faults = list(faults)
        self._grain = grain
        self._tried = 0
        self.lines: list[Line] = []
        #: Connections that did not come about.
        self.refused = 0

    async def connect(self) -> ByteStream:
        """Open a connection for the client."""
        await checkpoint()
        number, self._tried = self._tried, self._tried + 1
        mine = [fault for fault in self._faults if fault.connection == number]
        if any(fault.kind is Kind.REFUSED for fault in mine):
            self.refused += 1
            raise ConnectionRefusedError("connection refused")
        inner = await self._connect()
        assert isinstance(inner, MemoryStream)
        line = Line(inner, mine, grain=self._grain)
        self.lines.append(line)
        _opened.set(line)
        return line

    def calm(self) -> None:
        """Let nothing more go wrong."""
        self._faults.clear()
        for line in self.lines:
            line.calm()
