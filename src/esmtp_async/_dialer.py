"""From nothing to a session that is ready for mail, and the way out of it."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from time import perf_counter
from typing import Final

import anyio
from anyio import to_thread
from anyio.abc import ByteStream

from esmtp_async import _transport
from esmtp_async._connection import Connection
from esmtp_async._endpoint import Security
from esmtp_async._events import ConnectionFailed, ConnectionOpened, ConnectionReady
from esmtp_async._observer import Observer
from esmtp_async._progress import Progress
from esmtp_async._settings import Settings
from esmtp_async._tls import ClientTLS, Handshake
from esmtp_async._transport import STREAM_ERRORS
from esmtp_async.protocol._addresses import domain_name
from esmtp_async.protocol._commands import Quit
from esmtp_async.protocol._exceptions import (
    AuthenticationFailed,
    ConnectionLost,
    InvalidInput,
    SMTPError,
    StageTimeout,
)
from esmtp_async.protocol._exchange import Inquiry, Opening
from esmtp_async.protocol._outcomes import Stage
from esmtp_async.protocol._sasl import Mechanism, Renewable
from esmtp_async.protocol._session import Session
from esmtp_async.protocol._ways import GROUPS, Ways

#: Seconds to wait for this machine's own name; its address does as well.
_NAMING: Final = 5.0

#: Of no other refusal new credentials are a remedy (RFC 4954 §6).
_CREDENTIALS_INVALID: Final = 535


class Dialer:
    """Opens the connections of one client, all in the same way.

    What takes long and is the same for all (the system's trust, this machine's
    name) is found once, off the event loop.
    """

    def __init__(self, settings: Settings, ways: Ways, observe: Observer) -> None:
        self._settings = settings
        self._ways = ways
        self._observe = observe
        self._tls = ClientTLS(settings.ssl_context, settings.server_hostname)
        # None until it was looked for; empty if this machine has none.
        self._own_name = settings.client_hostname

    async def connect(self, progress: Progress) -> Connection:
        """Open a connection and a session on it, ready for mail.

        Credentials that the server calls invalid are renewed where they can be,
        and then tried once more, on another connection.

        Raises `ConnectFailed`, `TLSFailed`, `StageTimeout`, what `Opening`
        raises, and what renewing raises; the connection is closed then.
        """
        try:
            return await self._connect(progress, self._settings.mechanisms)
        except AuthenticationFailed as refusal:
            renewed = await self._renewed(refusal)
            if renewed is None:
                raise
        return await self._connect(progress, (renewed,))

    async def _renewed(self, refusal: AuthenticationFailed) -> Mechanism | None:
        """Renew the credentials that were refused; None where that is no help."""
        mechanisms = self._settings.mechanisms
        used = next((m for m in mechanisms if refusal.mechanism in m.names), None)
        code = None if refusal.reply is None else refusal.reply.code
        if code != _CREDENTIALS_INVALID or not isinstance(used, Renewable):
            return None
        limit = self._settings.timeouts.limit(Stage.AUTH)
        with anyio.move_on_after(limit):
            return await used.renewed()
        msg = f"no new credentials within {limit:g} s"
        raise StageTimeout(msg, stage=Stage.AUTH, temporary=True)

    async def _connect(
        self, progress: Progress, mechanisms: tuple[Mechanism, ...]
    ) -> Connection:
        observe = self._observe
        if not observe.active:
            return await self._reach(progress, mechanisms)
        begun = perf_counter()
        try:
            connection = await self._reach(progress, mechanisms)
        except BaseException as error:
            failed = progress.connection
            number = None if failed is None else failed.number
            took = perf_counter() - begun
            told = (observe.server, error, took, number, observe.protocol)
            observe(ConnectionFailed(*told))
            raise
        mechanism = connection.mechanism
        observe(ConnectionReady(connection.number, mechanism, perf_counter() - begun))
        return connection

    async def _reach(
        self, progress: Progress, mechanisms: tuple[Mechanism, ...]
    ) -> Connection:
        progress.connection = None
        progress.reach(Stage.CONNECT)
        stream = await self._dial()
        try:
            return await self._ready(stream, progress, mechanisms)
        except SMTPError as error:
            # What is wrong with a server's settings is told with its name.
            error.args = (f"{self._settings.route}: {error.args[0]}",)
            raise

    async def _ready(
        self, stream: ByteStream, progress: Progress, mechanisms: tuple[Mechanism, ...]
    ) -> Connection:
        limit = self._settings.timeouts.opening
        with anyio.move_on_after(limit):
            return await self._open(stream, progress, mechanisms)
        msg = f"not ready for mail within {limit:g} s (stage: {progress.stage.value})"
        raise StageTimeout(msg, stage=progress.stage, temporary=True)

    async def _open(
        self, stream: ByteStream, progress: Progress, mechanisms: tuple[Mechanism, ...]
    ) -> Connection:
        settings = self._settings
        at_once = settings.security is Security.TLS
        handshake = Handshake(self._tls, settings.advice(Stage.TLS))
        try:
            if at_once:
                progress.reach(Stage.TLS)
                stream = await self._in_time(handshake, stream)
            hello_name = await self._hello_name(stream)
        except BaseException:
            await _transport.abort(stream)
            raise
        tls = _transport.tls_info(stream)
        # A stream of the caller's may be anything, wherever the URL points.
        over_unix = _transport.is_unix_socket(stream)
        opening = Opening(
            hello_name,
            lmtp=settings.endpoint.lmtp,
            starttls=settings.starttls,
            mechanisms=mechanisms,
            secure=tls is not None
            or (over_unix and settings.endpoint.path is not None),
            allow_plaintext_auth=settings.allow_plaintext_auth,
            host=settings.server_hostname,
            port=settings.endpoint.port,
            peer_certificate=b"" if tls is None else tls.peer_certificate,
            xclient=settings.xclient,
        )
        session = Session(
            opening,
            lmtp=settings.endpoint.lmtp,
            tls=tls is not None,
            pipelining=self._ways.usable & GROUPS != 0,
        )
        connection = Connection(
            stream,
            session,
            settings.timeouts,
            upgrade=handshake.start,
            observer=self._observe,
        )
        progress.connection = connection
        if self._observe.active:
            self._tell_opened(connection, stream)
        try:
            await self._hold(opening, connection)
        except BaseException:
            await connection.aclose()
            raise
        if not session.reusable:
            await connection.aclose()
            msg = "the server closed the connection before it was ready for mail"
            raise ConnectionLost(msg, stage=connection.stage, temporary=True)
        handshake.keep_session()
        connection.greeting = opening.greeting
        connection.mechanism = opening.mechanism
        return connection

    def _tell_opened(self, connection: Connection, stream: ByteStream) -> None:
        observe, tls = self._observe, connection.tls
        version = None if tls is None else tls.version
        peer = _transport.peer_of(stream)
        told = (connection.number, observe.server, version, *peer, observe.protocol)
        observe(ConnectionOpened(*told))

    async def part(self, connection: Connection) -> None:
        """Say QUIT, and wait for no reply; `see_off` does."""
        with suppress(SMTPError):
            await connection.say(Inquiry(Quit()))

    async def see_off(self, connection: Connection) -> None:
        """Wait for the reply to QUIT; whatever comes, the connection is closed."""
        try:
            with suppress(SMTPError):  # it is gone already, which is what we wanted
                await connection.hear_out()
        finally:
            await connection.aclose()

    async def _dial(self) -> ByteStream:
        settings = self._settings
        endpoint, limit = settings.endpoint, settings.timeouts.limit(Stage.CONNECT)
        try:
            with anyio.move_on_after(limit):
                if settings.connect is not None:
                    return await settings.connect()
                return await _transport.dial(endpoint, settings.local_address)
        except SMTPError:
            raise
        except STREAM_ERRORS as error:
            raise _transport.connect_failed(endpoint, error) from error
        silence = settings.advice(Stage.CONNECT)
        msg = f"no connection to {settings.route} within {limit:g} s{silence}"
        raise StageTimeout(msg, stage=Stage.CONNECT, temporary=True)

    async def _in_time(self, handshake: Handshake, stream: ByteStream) -> ByteStream:
        limit = self._settings.timeouts.limit(Stage.TLS)
        with anyio.move_on_after(limit):
            return await handshake.start(stream)
        msg = f"no TLS within {limit:g} s{self._settings.advice(Stage.TLS)}"
        raise StageTimeout(msg, stage=Stage.TLS, temporary=True)

    async def _hold(self, opening: Opening, connection: Connection) -> None:
        """Hold the opening; tell more of one that fails by TLS, or for want of it."""
        try:
            await connection.run(opening)
        except (ConnectionLost, StageTimeout) as error:
            cause = error.__cause__
            if isinstance(cause, ssl.SSLError):
                # What a server has against our certificate it says, under TLS 1.3,
                # only behind the handshake.
                raise self._tls.failure(cause) from cause
            error.args = (f"{error}{self._settings.advice(error.stage)}",)
            raise

    async def _hello_name(self, stream: ByteStream) -> str:
        """Give this machine's full name, or the stream's address (RFC 5321 §4.1.4)."""
        if self._own_name is None:
            self._own_name = await _full_name()
        if self._own_name:
            return self._own_name
        address = _transport.local_ip(stream)
        if address is None:
            return "localhost"
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


async def _full_name() -> str:
    """Give the full name of this machine, or "" if it has none or that takes long."""
    name = ""
    with anyio.move_on_after(_NAMING):
        name = await to_thread.run_sync(socket.getfqdn, abandon_on_cancel=True)
    if "." in name and not name.startswith("localhost."):
        with suppress(InvalidInput):
            return domain_name(name)
    return ""
