"""The transport: byte streams, dialled, looked at and cut off.

What a driver does with them. A stream of the caller's own serves as well:
what a stream cannot tell is taken as unknown, never as an error.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSStream

from esmtp_async import _attempts, _sockets
from esmtp_async._endpoint import Endpoint
from esmtp_async._sockets import SocketByteStream
from esmtp_async.protocol._exceptions import ConnectFailed
from esmtp_async.protocol._outcomes import Stage

#: Makes a stream to the server.
Connect = Callable[[], Awaitable[ByteStream]]

#: What a broken, closed or failing stream raises.
STREAM_ERRORS: Final = (
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    OSError,  # ssl.SSLError is one
)

# What a stream raises that is closed and asked about itself: uvloop's sockets
# ValueError, and anyio over uvloop, whose socket is then gone, AttributeError.
_FORGOTTEN: Final = (OSError, ValueError, AttributeError)

#: Seconds for a peer to take its leave under TLS.
_GRACE: Final = 0.05

#: Octets of one TLS record, at most.
_RECORD: Final = 16384

# Windows has none that Python knows.
_UNIX: Final = getattr(socket, "AF_UNIX", None)

_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


class TLSInfo(NamedTuple):
    """What protects a connection."""

    #: For example `TLSv1.3`.
    version: str
    #: For example `TLS_AES_256_GCM_SHA384`.
    cipher: str
    #: The server's certificate, DER.
    peer_certificate: bytes
    #: Whether the session of an earlier connection was resumed.
    resumed: bool = False

    def __repr__(self) -> str:
        """Show all but the certificate, which is long and for programs."""
        return (
            f"{type(self).__name__}(version={self.version!r}, cipher={self.cipher!r}, "
            f"peer_certificate=<{len(self.peer_certificate)} octets>, "
            f"resumed={self.resumed})"
        )


async def dial(endpoint: Endpoint, local_address: str | None = None) -> ByteStream:
    """Open a TCP or unix connection; raises `OSError`."""
    if endpoint.path is not None:
        return await anyio.connect_unix(endpoint.path)
    host, port = endpoint.host, endpoint.port
    stream: ByteStream
    if _sockets.in_charge():
        connected = await _attempts.connect_tcp(host, port, local_address)
        stream = SocketByteStream(connected)
    else:
        stream = await anyio.connect_tcp(host, port, local_host=local_address)
    with suppress(*_FORGOTTEN):
        raw = stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return stream


def connect_failed(endpoint: Endpoint, error: Exception) -> ConnectFailed:
    """Tell why no connection came about."""
    msg = f"cannot connect to {endpoint}: {reasons_of(error)}"
    return ConnectFailed(msg, stage=Stage.CONNECT, temporary=True)


def reasons_of(error: Exception) -> str:
    """Tell the innermost reasons of an error of dialling.

    "All connection attempts failed" tells none; the attempts' own errors do.
    """
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    reasons = cause.exceptions if isinstance(cause, BaseExceptionGroup) else (cause,)
    return "; ".join(dict.fromkeys(map(_reason, reasons)))


def _reason(error: BaseException) -> str:
    """Give an error's words; what stands in front of the system's is for programs."""
    words = error.strerror if isinstance(error, OSError) else None
    return words or str(error) or repr(error)


def tls_info(stream: ByteStream) -> TLSInfo | None:
    """Tell what protects a stream; None in clear text, or if it is closed."""
    try:
        version = stream.extra(TLSAttribute.tls_version, None)
        if version is None:
            return None
        cipher = stream.extra(TLSAttribute.cipher)[0]
        certificate = stream.extra(TLSAttribute.peer_certificate_binary, None)
    except _FORGOTTEN:
        return None
    records = tls_records(stream)
    resumed = records is not None and bool(records.session_reused)
    return TLSInfo(version, cipher, certificate or b"", resumed)


def tls_records(stream: ByteStream) -> ssl.SSLObject | None:
    """Give what turns octets into TLS records and back; None in clear text."""
    try:
        return stream.extra(TLSAttribute.ssl_object, None)
    except _FORGOTTEN:
        return None


async def receive(stream: ByteStream, records: ssl.SSLObject | None) -> bytes:
    """Wait for octets, and give all that came together.

    TLS gives one record at a time. Those that came with it would lie unseen in its
    buffer, where no look at the socket finds them, and pass for replies to what is
    said later.
    """
    first = await stream.receive()
    if records is None:
        return first
    octets = [first]
    with suppress(ssl.SSLError):  # no more; what is wrong shows at the next read
        while octets[-1]:
            octets.append(records.read(_RECORD))
    return b"".join(octets)


def is_quiet(stream: ByteStream) -> bool:
    """Tell without waiting that nothing has come: no octet, no end, no error.

    A server has nothing to say to an idle client but goodbye, so an idle
    connection that is not quiet is dead. True where the stream has no socket
    to look at.
    """
    try:
        raw = stream.extra(SocketAttribute.raw_socket, None)
        if raw is None:
            return True
        return not _readable(raw)
    except _FORGOTTEN:
        return False


def readable_by_poll(raw: socket.socket) -> bool:
    """Look whether something can be read; there may be any number of descriptors."""
    poll = select.poll()
    poll.register(raw, select.POLLIN)
    return bool(poll.poll(0))


def readable_by_select(raw: socket.socket) -> bool:
    """Look whether something can be read, as Windows lets one."""
    return bool(select.select([raw], [], [], 0)[0])


_readable: Final = readable_by_poll if hasattr(select, "poll") else readable_by_select


def is_unix_socket(stream: ByteStream) -> bool:
    """Tell whether a stream is known not to leave this machine."""
    try:
        raw = stream.extra(SocketAttribute.raw_socket, None)
    except _FORGOTTEN:
        return False
    return raw is not None and raw.family == _UNIX


def peer_of(stream: ByteStream) -> tuple[str | None, int | None]:
    """Give address and port of the other end, or the path of a socket.

    None stands for what the stream does not tell.
    """
    try:
        address = stream.extra(SocketAttribute.remote_address, None)
    except _FORGOTTEN:
        return None, None
    if isinstance(address, tuple):
        return address[0], address[1]
    return address or None, None


def local_ip(stream: ByteStream) -> str | None:
    """Give the local IP address of a stream, or None where it has none."""
    try:
        address = stream.extra(SocketAttribute.local_address, None)
    except _FORGOTTEN:
        return None
    # Behind "%" stands which of our own interfaces it belongs to.
    return address[0].partition("%")[0] if isinstance(address, tuple) else None


async def close(stream: ByteStream) -> None:
    """Close a stream in order, waiting for the peer for a moment at most."""
    try:
        with anyio.move_on_after(_GRACE, shield=True), suppress(*STREAM_ERRORS):
            if isinstance(stream, TLSStream):
                await stream.unwrap()
    finally:  # asyncio's own cancellation knows no shield
        await anyio.aclose_forcefully(stream)


async def abort(stream: ByteStream) -> None:
    """Cut a stream off: what was written and is not yet out stays unsent.

    A TCP connection is reset (SO_LINGER 0), so the kernel drops its buffer too
    and the peer cannot take the end of the stream for an orderly one.
    """
    with suppress(*_FORGOTTEN):
        raw = stream.extra(SocketAttribute.raw_socket, None)
        if raw is not None and raw.family != _UNIX:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    with suppress(*STREAM_ERRORS):
        await anyio.aclose_forcefully(stream)
