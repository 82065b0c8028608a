"""A server that says what a test wants, right or wrong, and notes what it hears.

A script tells the answer to each verb; what it leaves out is answered well. It listens
on loopback TCP, so that a reset is a reset. Its clients connect through a `Tap`, which
notes every single write: what never arrived was still written.
"""

from __future__ import annotations

import math
import re
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple, Self, Unpack

import anyio
from anyio.abc import ByteStream, Listener, SocketAttribute, SocketStream, TaskGroup
from anyio.streams.tls import TLSAttribute, TLSStream

from esmtp_async import ClientOptions, SMTPClient, Timeouts, _transport
from esmtp_async._endpoint import Endpoint
from esmtp_async.testing import MemoryStream, memory_pipe
from tests.clock import is_virtual
from tests.taps import BLOCK, Heard, Tap

NAME: Final = "client.example.test"
PIPE: Final = 16384
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)
_BROKEN: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)
_END_OF_DATA: Final = re.compile(rb"(?:\A|\r\n)\.\r\n")


class Act(Enum):
    """What a server does instead of speaking."""

    #: Close the connection.
    EOF = auto()
    #: Reset it.
    RST = auto()
    #: Say nothing more, but go on listening.
    HANG = auto()
    #: Neither speak nor listen any more.
    STALL = auto()
    #: Do the TLS handshake.
    TLS = auto()
    #: Close the TCP connection without a close_notify.
    CUT = auto()


EOF, RST, HANG, STALL, TLS, CUT = Act


class After(NamedTuple):
    """Wait until so many octets, not answered yet, have come."""

    octets: int


class Flood(NamedTuple):
    """Say the same again and again, as long as the client listens."""

    octets: bytes
    times: int


#: Octets to say, seconds to be silent, something to call, or something else to do.
Step = bytes | float | After | Flood | Act | Callable[[], object]
Answer = Step | tuple[Step, ...]
#: By verb: the answer; or a list of them, one each time, the last for ever.
Script = Mapping[str, Answer | list[Answer]]


def offering(*keywords: str) -> bytes:
    """Give the reply to EHLO that offers these."""
    lines = ("mail.example.test", *keywords)
    ends = "-" * len(keywords) + " "
    return b"".join(
        b"250%b%b\r\n" % (end.encode(), line.encode())
        for end, line in zip(ends, lines, strict=True)
    )


_WELL: Final[Script] = {
    "CONNECT": b"220 mail.example.test\r\n",
    "EHLO": offering("PIPELINING"),
    "HELO": b"250 mail.example.test\r\n",
    "LHLO": offering("PIPELINING"),
    "STARTTLS": (b"220 go\r\n", TLS),
    "AUTH": b"235 welcome\r\n",
    "RESPONSE": b"235 welcome\r\n",
    "DATA": b"354 go\r\n",
    "QUIT": (b"221 bye\r\n", EOF),
    **dict.fromkeys(("MAIL", "RCPT", "CONTENT", "BDAT", "LAST"), b"250 ok\r\n"),
    **dict.fromkeys(("RSET", "NOOP", "VRFY", "EXPN"), b"250 ok\r\n"),
}


def script(**answers: Answer | list[Answer]) -> Script:
    """Give a script; verbs are answered well unless it says otherwise."""
    if unknown := answers.keys() - _WELL.keys():
        raise ValueError(f"no verbs: {unknown}")
    return {**_WELL, **answers}


class _Ended(Exception):
    """The connection is over."""


class _Alerting(ssl.SSLContext):
    """Stands before a context and lets its alert be sent, which anyio does not."""

    def __new__(cls, _context: ssl.SSLContext) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.outgoing: ssl.MemoryBIO

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002  # as ssl has it
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        self.outgoing = outgoing
        return self._context.wrap_bio(
            incoming, outgoing, server_side, server_hostname, session
        )


class _Player:
    """Plays a script on one connection."""

    def __init__(
        self, stream: ByteStream, script: Script, heard: Heard, server: Server
    ) -> None:
        self._stream = stream
        self._script = script
        self._heard = heard
        self._server = server
        self._times: Counter[str] = Counter()
        self._chunks = bytearray()
        self._mute = False
        self._said = 0
        self._buffer = bytearray()
        self._collected = bytearray()

    async def play(self) -> None:
        """Play until the connection is over."""
        try:
            said = await self._answer("CONNECT")
            while True:
                said = await self._turn(said)
        except _Ended:
            pass
        finally:
            self._heard.end("")

    async def _turn(self, said: bytes) -> bytes:
        """Hear what the last answer allows the client to say, and answer it."""
        if said.startswith(b"354"):
            self._heard.contents.append(await self._data())
            self._heard.messages.append(self._heard.contents[-1][:-3])
            return await self._answer("CONTENT")
        line = await self._line()
        self._heard.lines.append(line)
        if said.startswith(b"334"):
            return await self._answer("RESPONSE")
        verb = re.split(rb"[ :]", line)[0].decode("latin-1").upper()
        if verb == "BDAT":
            _, size, *last = line.split()
            self._heard.contents.append(await self._take(int(size)))
            self._chunks += self._heard.contents[-1]
            verb = "LAST" if last else "BDAT"
            if last:
                self._heard.messages.append(bytes(self._chunks))
        elif verb in {"MAIL", "RSET"}:
            self._chunks.clear()
        return await self._answer(verb)

    async def _answer(self, verb: str) -> bytes:
        answer = self._script.get(verb, b"500 what?\r\n")
        if isinstance(answer, list):
            answer = answer[min(self._times[verb], len(answer) - 1)]
            self._times[verb] += 1
        if self._mute:
            return b""
        steps: tuple[Step, ...] = answer if isinstance(answer, tuple) else (answer,)
        for step in steps:
            await self._do(step)
        if not self._server.collects:
            await self._flush()
        first = steps[0]
        return first if isinstance(first, bytes) else b""

    async def _do(self, step: Step) -> None:
        if isinstance(step, bytes):
            self._collected += step
            return
        await self._flush()
        if isinstance(step, After):
            while len(self._buffer) < step.octets:
                await self._receive()
        elif isinstance(step, Flood):
            for _ in range(step.times):
                self._collected += step.octets
                await self._flush()
                self._heard.flooded += len(step.octets)
        elif isinstance(step, Act):
            await self._act(step)
        elif isinstance(step, (int, float)):
            await anyio.sleep(step)
        else:
            step()

    async def _act(self, act: Act) -> None:
        match act:
            case Act.TLS:
                await self._shake_hands()
                return
            case Act.HANG:
                self._mute = True
                return
            case Act.STALL:
                await anyio.sleep_forever()
            case Act.RST if isinstance(self._stream, MemoryStream):
                self._stream.reset()
            case Act.RST:
                raw = self._stream.extra(SocketAttribute.raw_socket)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            case Act.EOF if isinstance(self._stream, TLSStream):
                with suppress(*_BROKEN, anyio.EndOfStream):
                    await self._stream.unwrap()
            case Act.EOF:
                # Closing a socket with octets unread would be a reset.
                await self._stream.send_eof()
                self._heard.leave()
                while True:
                    await self._receive()
            case Act.CUT:
                pass
        await anyio.aclose_forcefully(self._stream)
        self._heard.leave()
        raise _Ended

    async def _shake_hands(self) -> None:
        assert self._server.tls is not None, "the script needs a TLS context"
        context = _Alerting(self._server.tls)
        try:
            self._stream = await TLSStream.wrap(
                self._stream,
                server_side=True,
                ssl_context=context,
                standard_compatible=False,
            )
        except ssl.SSLError:
            await self._stream.send(context.outgoing.read())
            await self._act(EOF)
        self._heard.tls = self._stream.extra(TLSAttribute.ssl_object)

    async def _flush(self) -> None:
        if not self._collected:
            return
        octets = bytes(self._collected)
        self._collected.clear()
        end, ending = self._server.end or (math.inf, HANG)
        if last_words := self._said + len(octets) >= end:
            octets = octets[: int(end) - self._said]
        borders = [cut - self._said for cut in self._server.cuts]
        inner = [border for border in sorted(borders) if 0 < border < len(octets)]
        self._said += len(octets)
        try:
            for start, end in pairwise((0, *inner, len(octets))):
                await self._stream.send(octets[start:end])
                await anyio.sleep(0.001 if inner else 0)
            if last_words:
                await self._act(ending)
        except _BROKEN:
            self._heard.end("reset")
            raise _Ended from None

    async def _receive(self) -> None:
        try:
            octets = await self._stream.receive(BLOCK)
        except anyio.EndOfStream:
            self._heard.end("eof")
            await anyio.aclose_forcefully(self._stream)
            raise _Ended from None
        except _BROKEN:
            self._heard.end("reset")
            await anyio.aclose_forcefully(self._stream)
            raise _Ended from None
        self._buffer += octets
        self._heard.octets += octets

    async def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            await self._flush()
            await self._receive()
        return (await self._take(end + 2))[:-2]

    async def _data(self) -> bytes:
        while (match := _END_OF_DATA.search(self._buffer)) is None:
            await self._flush()
            await self._receive()
        return await self._take(match.end())

    async def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            await self._flush()
            await self._receive()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken


class Server:
    """Plays a script on each connection: the n-th on the n-th, the last for ever."""

    def __init__(self, scripts: Sequence[Script], tls: ssl.SSLContext | None) -> None:
        self._scripts = scripts or [script()]
        #: Its side of TLS.
        self.tls = tls
        self.group: TaskGroup
        self.port = 25
        #: Where what it says on a connection is cut into several writes.
        self.cuts: Iterable[int] = ()
        #: Whether replies are collected until it has nothing more to answer.
        self.collects = True
        #: After how many octets it ends each connection, and how.
        self.end: tuple[int, Act] | None = None
        #: What was heard, one a connection.
        self.heard: list[Heard] = []
        #: What the clients wrote, one a connection.
        self.taps: list[Tap] = []

    async def serve(self, stream: ByteStream) -> None:
        """Play on one connection."""
        number = min(len(self.heard), len(self._scripts) - 1)
        heard = Heard()
        self.heard.append(heard)
        with suppress(*_BROKEN, anyio.EndOfStream):
            async with stream:
                await _Player(stream, self._scripts[number], heard, self).play()

    async def connect(self) -> Tap:
        """Connect to it, by a socket where time is real."""
        if is_virtual():
            return await self.connect_in_memory()
        stream = await _transport.dial(Endpoint("127.0.0.1", self.port))
        self.taps.append(Tap(stream))
        return self.taps[-1]

    async def connect_in_memory(self) -> Tap:
        """Connect to it by a pipe, whose buffers are small and bounded."""
        near, far = memory_pipe(PIPE)
        self.group.start_soon(self.serve, far)
        self.taps.append(Tap(near))
        return self.taps[-1]

    def client(
        self, *, scheme: str = "smtp", **options: Unpack[ClientOptions]
    ) -> SMTPClient:
        """Give a client of this server, impatient unless told otherwise."""
        options.setdefault("client_hostname", NAME)
        options.setdefault("timeouts", Timeouts(**dict.fromkeys(_LIMITS, 5.0)))
        options.setdefault("connect", self.connect)
        return SMTPClient(f"{scheme}://127.0.0.1:{self.port}", **options)


_LIMITS: Final = ("connect", "greeting", "command", "data", "block", "final", "quit")


@asynccontextmanager
async def serving(
    *scripts: Script, tls: ssl.SSLContext | None = None, path: Path | None = None
) -> AsyncIterator[Server]:
    """Serve on a loopback port, or on a unix socket, or in memory in virtual time."""
    server = Server(scripts, tls)
    if is_virtual():
        async with anyio.create_task_group() as server.group:
            yield server
            server.group.cancel_scope.cancel()
        return
    listener: Listener[SocketStream]
    if path is None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        server.port = listener.extra(SocketAttribute.local_port)
    else:
        listener = await anyio.create_unix_listener(path)
    async with listener, anyio.create_task_group() as group:
        server.group = group
        group.start_soon(listener.serve, server.serve)
        yield server
        group.cancel_scope.cancel()
