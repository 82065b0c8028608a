"""What is said to a proxy, by python-socks, which is an extra of the package.

It is given a connection that stands. All that can be wrong with what the proxy answers
is told in one way, as a `Refusal`: a traceback from there could show a password.
"""

from __future__ import annotations

import math
from typing import Final

import anyio
from anyio.abc import ByteStream
from python_socks import ProxyError, ProxyType
from python_socks.async_.anyio.v2 import Proxy

# What a proxy gives that others are reached through: there is no other name for it.
from python_socks.async_.anyio.v2._stream import AnyioSocketStream

from esmtp_async._proxy_refusal import Reason, Refusal
from esmtp_async._transport import STREAM_ERRORS, reasons_of

#: Octets of the head of an answer of HTTP, at most.
_MAX_HEAD: Final = 16384
_HTTP: Final = b"HTTP/1."
_ENDS: Final = (b"\r\n\r\n", b"\n\n")

_KINDS: Final = {
    "socks5": ProxyType.SOCKS5,
    "socks4a": ProxyType.SOCKS4,
    "http": ProxyType.HTTP,
}

# It tried in vain, or may try again. The rest is a matter of rules.
_SOCKS_FOR_NOW: Final = frozenset({1, 3, 4, 5, 6, 0x5B})
_HTTP_FOR_NOW: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
# Those of HTTP (of which tinyproxy says 401) and of SOCKS4, which asks an identd.
_WHO_ARE_YOU: Final = frozenset({401, 407, 0x5C, 0x5D})
# Of these python-socks tells no code.
_NOT_LET_IN: Final = frozenset(
    {
        "No acceptable authentication methods were offered",
        "Username and password authentication failure",
    }
)
_HUNG_UP: Final = frozenset(
    {"Connection closed unexpectedly", "Invalid proxy response"}
)


class _Line(AnyioSocketStream):
    """The connection to the proxy, of which only what the proxy says is read.

    What comes behind that is the server's, which in SMTP speaks first.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._line = stream

    async def write(self, data: bytes) -> None:
        await self._line.send(data)

    async def read(self, max_bytes: int = 1) -> bytes:
        try:
            return await self._line.receive(max_bytes)
        except anyio.EndOfStream:
            return b""

    async def close(self) -> None:
        """Leave that to whose stream it is."""


class _HeadLine(_Line):
    """As `_Line`, for HTTP, whose answer has no length.

    python-socks would take whatever comes in one piece for the answer: of one in two
    pieces the second half, or with it the server's greeting, would be mistaken or lost.
    """

    async def read(self, max_bytes: int = 1) -> bytes:
        head = bytearray()
        while not head.endswith(_ENDS):
            octet = await super().read(max_bytes)
            if not octet:
                return b""
            head += octet
            if len(head) > _MAX_HEAD:
                msg = f"an answer of more than {_MAX_HEAD} octets"
                raise ValueError(msg)
            if head[: len(_HTTP)] != _HTTP[: len(head)]:
                return bytes(head)
        return bytes(head)


class _Standing(Proxy):
    """A connection that stands already, in the place of another proxy on the way."""

    def __init__(self, line: _Line) -> None:
        self._held = line

    async def connect(self, *_: object, **__: object) -> _Line:
        return self._held


async def ask(
    stream: ByteStream, kind: str, host: str, port: int, *, username: str, password: str
) -> Refusal | None:
    """Have the proxy at the other end connect; None if from now on it is the server.

    A traceback from here shows the password.
    """
    line = (_HeadLine if kind == "http" else _Line)(stream)
    proxy = Proxy(
        _KINDS[kind],
        "",
        0,
        # Of HTTP it makes Latin-1, and is to make UTF-8; of SOCKS, ASCII.
        username=username.encode().decode("latin-1"),
        password=password.encode().decode("latin-1"),
        rdns=True,
        forward=_Standing(line),
    )
    try:
        # Whoever waits for it has a limit of his own.
        await proxy.connect(host, port, timeout=math.inf)
    except ProxyError as error:
        return _judged(kind, error)
    except STREAM_ERRORS as error:
        return Refusal(Reason.END, reasons_of(error))
    except ValueError as error:  # of octets that are no text
        return Refusal(Reason.LANGUAGE, str(error))
    return None


def _judged(kind: str, error: ProxyError) -> Refusal:
    words, code = str(error), error.error_code
    if words in _HUNG_UP:
        return Refusal(Reason.END, "")
    if words in _NOT_LET_IN or code in _WHO_ARE_YOU:
        return Refusal(Reason.LOGIN, words)
    if code is None:
        return Refusal(Reason.LANGUAGE, words)
    for_now = code in (_HTTP_FOR_NOW if kind == "http" else _SOCKS_FOR_NOW)
    return Refusal(Reason.FAILURE if for_now else Reason.RULES, words)
