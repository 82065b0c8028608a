"""A proxy that lets in whom it should, and one that says whatever a test wants."""

from __future__ import annotations

import ipaddress
from abc import ABC, abstractmethod
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final, Self

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, ByteStream, SocketAttribute
from anyio.streams.buffered import BufferedByteReceiveStream

from esmtp_async import _transport
from tests.raw import EOF, HANG, RST, Act

_BROKEN: Final = (
    *(anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream),
    OSError,
)
_LONGEST_HEAD: Final = 65536


class Unwelcome(Exception):
    """Somebody who is not let in; `args` is what he is told."""


class _Proxy(ABC):
    """Something on a loopback port."""

    port = 0

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[Self]:
        """Serve on a loopback port."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self.port = listener.extra(SocketAttribute.local_port)
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, self._serve)
            yield self
            group.cancel_scope.cancel()

    @abstractmethod
    async def _serve(self, stream: ByteStream, /) -> None:
        """Serve one connection."""


class RelayingProxy(_Proxy):
    """Speaks SOCKS5, SOCKS4a and HTTP, and leads to one port of this machine.

    Whatever server is asked for, it is that one: `asked` tells which names came.
    """

    def __init__(
        self,
        target: int,
        *,
        users: Mapping[str, str] | None = None,
        glued: bool = False,
    ) -> None:
        """Let in `users`, or everybody; `glued` puts a greeting into its answer."""
        self.target = target
        self.asked: list[tuple[str, int]] = []
        #: User and password of those who came, right or wrong.
        self.credentials: list[tuple[str, str]] = []
        self._users = users
        self._glued = glued

    async def _serve(self, near: ByteStream) -> None:
        reader = BufferedByteReceiveStream(near)
        with suppress(*_BROKEN, anyio.IncompleteRead):
            async with near:
                first = await reader.receive_exactly(1)
                by = {b"\5": self._socks5, b"\4": self._socks4a}.get(first, self._http)
                try:
                    welcome = await by(reader, near)
                except Unwelcome as refusal:
                    await near.send(refusal.args[0])
                    return
                async with await anyio.connect_tcp("127.0.0.1", self.target) as far:
                    if self._glued:
                        welcome += await far.receive()
                    await near.send(welcome)
                    await _relay(near, far)

    async def _socks5(
        self, reader: BufferedByteReceiveStream, near: ByteStream
    ) -> bytes:
        methods = await reader.receive_exactly((await reader.receive_exactly(1))[0])
        wanted = 0 if self._users is None else 2
        if wanted not in methods:
            raise Unwelcome(b"\5\xff")
        await near.send(bytes((5, wanted)))
        if wanted:
            await reader.receive_exactly(1)
            username, password = [await _short(reader) for _ in range(2)]
            self._check(username, password, b"\1\1")
            await near.send(b"\1\0")
        kind = (await reader.receive_exactly(4))[3]
        if kind == 3:
            host = await _short(reader)
        else:
            octets = await reader.receive_exactly(4 if kind == 1 else 16)
            host = str(ipaddress.ip_address(octets))
        self._note(host, await reader.receive_exactly(2))
        return b"\5\0\0\1\x7f\0\0\1\0\0"

    async def _socks4a(
        self, reader: BufferedByteReceiveStream, _near: ByteStream
    ) -> bytes:
        port = (await reader.receive_exactly(3))[1:]
        address = await reader.receive_exactly(4)
        username = (await reader.receive_until(b"\0", 256)).decode()
        self._check(username, "", b"\0\x5d" + bytes(6))
        host = str(ipaddress.ip_address(address))
        if host.startswith("0.0.0."):
            host = (await reader.receive_until(b"\0", 256)).decode()
        self._note(host, port)
        return b"\0\x5a" + bytes(6)

    async def _http(
        self, reader: BufferedByteReceiveStream, _near: ByteStream
    ) -> bytes:
        head = await reader.receive_until(b"\r\n\r\n", _LONGEST_HEAD)
        request, *fields = head.decode().split("\r\n")
        named = dict(field.split(": ", 1) for field in fields)
        basic = named.get("Proxy-Authorization", "Basic Og==").removeprefix("Basic ")
        username, _, password = b64decode(basic).decode().partition(":")
        told = (
            "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nNo."
        )
        self._check(username, password, told.encode())
        host, _, port = request.split(" ")[1].rpartition(":")
        self._note(host, int(port).to_bytes(2))
        return b"HTTP/1.1 200 Connection established\r\nProxy-agent: test\r\n\r\n"

    def _check(self, username: str, password: str, refusal: bytes) -> None:
        self.credentials.append((username, password))
        if self._users is not None and self._users.get(username) != password:
            raise Unwelcome(refusal)

    def _note(self, host: str, port: bytes) -> None:
        self.asked.append((host, int.from_bytes(port)))


async def _short(reader: BufferedByteReceiveStream) -> str:
    length = (await reader.receive_exactly(1))[0]
    return (await reader.receive_exactly(length)).decode()


async def _relay(near: ByteStream, far: ByteStream) -> None:
    async def pump(source: ByteReceiveStream, target: ByteSendStream) -> None:
        with suppress(*_BROKEN):
            while True:
                await target.send(await source.receive())
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(pump, near, far)
        group.start_soon(pump, far, near)


class ScriptedProxy(_Proxy):
    """Gives each piece of its script once something came, and notes what came.

    Behind the script it hangs up, unless that ends in `HANG` or `RST`.
    """

    def __init__(self, *script: bytes | Act) -> None:
        self.heard = bytearray()
        #: How many of its connections ended, and how many there were.
        self.ended = self.begun = 0
        self._script = script

    async def _serve(self, stream: ByteStream) -> None:
        self.begun += 1
        with suppress(*_BROKEN):
            async with stream:
                try:
                    await self._play(stream)
                finally:
                    self.ended += 1

    async def _play(self, stream: ByteStream) -> None:
        for step in self._script:
            if step is EOF:
                return
            if step is RST:
                await _transport.abort(stream)
                return
            if step is HANG:
                while True:
                    self.heard += await stream.receive()
            if isinstance(step, bytes):
                self.heard += await stream.receive()
                await stream.send(step)
