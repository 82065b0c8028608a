"""The client: what an app sends its mail with."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Self, Unpack

import anyio
from anyio import to_thread
from anyio.abc import ByteStream

from esmtp_async import _transport
from esmtp_async._connection import Connection
from esmtp_async._delivery import Delivery
from esmtp_async._endpoint import Security
from esmtp_async._events import ConnectionOpened, Event, MessageFinished, Observer
from esmtp_async._messages import Recipients, Sendable, SendOptions, prepare
from esmtp_async._pool import Pool
from esmtp_async._receipts import Receipt
from esmtp_async._settings import ClientOptions, Pipelining, resolve
from esmtp_async._timeouts import Timeouts
from esmtp_async._transport import Connect, TLSInfo
from esmtp_async.protocol._addresses import domain_name
from esmtp_async.protocol._commands import Command, Expn, Noop, Quit, Vrfy
from esmtp_async.protocol._exceptions import (
    ConnectionLost,
    InvalidInput,
    SMTPError,
    StageTimeout,
)
from esmtp_async.protocol._exchange import Inquiry, Opening
from esmtp_async.protocol._extensions import Extensions
from esmtp_async.protocol._outcomes import RecipientResult, Stage
from esmtp_async.protocol._replies import Reply
from esmtp_async.protocol._sasl import Mechanism
from esmtp_async.protocol._session import Session


class ServerInfo(NamedTuple):
    """What a server says of itself."""

    #: The greeting.
    greeting: Reply | None
    #: What it offers on a connection that is ready for mail.
    extensions: Extensions
    #: What protects the connection; None in clear text.
    tls: TLSInfo | None

    @property
    def auth(self) -> tuple[str, ...]:
        """The SASL mechanisms that it offers."""
        return self.extensions.auth


class SMTPClient:
    """Sends mail through one server, from any number of tasks (RFC 5321, RFC 2033).

    One client is meant to be shared by a whole app. It connects when there is
    something to send, keeps connections for a while and never uses one for two
    messages at once. `async with` closes it; without, `aclose()` must.

    `server` is a host, `host:port`, `[address]:port`, or a URL: `smtp://`,
    `smtps://`, `submission://`, `submissions://`, `lmtp://`, `smtp+unix:///path`,
    `lmtp+unix:///path`, with user and password, and with arguments of this
    constructor as its query.

    `security` is `"tls"` (from the first octet), `"starttls"` (or no mail),
    `"opportunistic"` (STARTTLS where offered) or `"plaintext"`. None means TLS
    on port 465; STARTTLS where offered on this very machine; and STARTTLS
    required everywhere else. Certificates are always verified, against
    `server_hostname` (the host, unless given) and with `ssl_context` (the
    system's trust, unless given).

    `username` and `password` authenticate by the first offered of PLAIN and
    LOGIN; `auth` names mechanisms instead. Credentials go out only under TLS
    or over a unix socket, unless `allow_plaintext_auth`.

    `client_hostname` is what EHLO says: this machine's full name if it has one,
    else its address. `connect` makes the byte stream instead of a TCP
    connection from `local_address`. `timeouts` are a `Timeouts`, or seconds
    for every stage but the final reply. `max_connections` and the three limits
    after it bound the pool; times are in seconds. `pipelining` is
    `"conformant"` (RFC 2920), `"off"`, or `"eager"`: small messages in one
    round trip where CHUNKING is offered, past the letter of RFC 3030 §2.
    `on_event` is called with every `Event`, from the task that causes it.

    Raises `InvalidInput` where an argument makes no sense.
    """

    def __init__(
        self,
        server: str = "localhost",
        port: int | None = None,
        *,
        security: Security | str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        username: str | None = None,
        password: str | None = None,
        auth: Mechanism | Sequence[Mechanism] | None = None,
        allow_plaintext_auth: bool = False,
        client_hostname: str | None = None,
        local_address: str | None = None,
        connect: Connect | None = None,
        timeouts: Timeouts | float | None = None,
        max_connections: int = 10,
        max_messages_per_connection: int | None = 100,
        max_idle: float = 45.0,
        max_age: float | None = None,
        pipelining: Pipelining | str = Pipelining.CONFORMANT,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        options = ClientOptions(
            security=security,
            ssl_context=ssl_context,
            server_hostname=server_hostname,
            username=username,
            password=password,
            auth=auth,
            allow_plaintext_auth=allow_plaintext_auth,
            client_hostname=client_hostname,
            local_address=local_address,
            connect=connect,
            timeouts=timeouts,
            max_connections=max_connections,
            max_messages_per_connection=max_messages_per_connection,
            max_idle=max_idle,
            max_age=max_age,
            pipelining=pipelining,
            on_event=on_event,
        )
        try:
            self._settings = resolve(server, port, options)
        except InvalidInput as error:
            # Nor may a traceback with variables show a password.
            raise error.with_traceback(None) from None
        finally:
            del server, password, options
        self._observe = Observer(on_event)
        self._pool = Pool(self._settings.limits, self._connect, self._leave)
        self._context = self._settings.ssl_context
        self._own_name = self._settings.client_hostname

    @classmethod
    def from_url(cls, url: str, **options: Unpack[ClientOptions]) -> Self:
        """Make a client from a URL; options in its query win over the others."""
        if "://" not in url:
            msg = "the URL has no scheme, such as smtps://"
            raise InvalidInput(msg)
        try:
            return cls(url, **options)
        finally:
            del url, options  # the password with them, out of any traceback

    def __repr__(self) -> str:
        """Show where it sends to."""
        if not hasattr(self, "_settings"):
            return "<SMTPClient that was not to be>"
        settings = self._settings
        return f"<SMTPClient {settings.endpoint} {settings.security.value}>"

    async def __aenter__(self) -> Self:
        """Give the client; nothing is connected yet."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client."""
        await self.aclose()

    async def aclose(self) -> None:
        """Say QUIT on every idle connection and close it; send no more.

        Waits for the replies at most `timeouts.quit`. Messages still being sent
        by other tasks are not disturbed; their connections close behind them.
        """
        await self._pool.aclose()

    async def send(
        self,
        message: Sendable,
        *,
        sender: str | None = None,
        recipients: Recipients | None = None,
        options: SendOptions | None = None,
        all_or_nothing: bool = False,
        timeout: float | None = None,
    ) -> Receipt:
        """Send one message; return once the server has taken it for somebody.

        `message` is an `email.message.Message` (never modified; Bcc stays off
        the wire, Date and Message-ID are added if missing), octets or text of a
        whole message, a `Path` or binary file with one, or an iterable or async
        iterable of bytes. Line ends become CRLF.

        `sender` (`""` for the null reverse-path) and `recipients` come from the
        header fields unless given; an iterable has none. With `all_or_nothing`
        nobody gets the message if a recipient is refused. `timeout` bounds the
        call, in seconds.

        Returns a `Receipt` with what became of each recipient. Raises
        `InvalidInput` before any octet is sent; `NotDelivered`, by its
        subclasses, if nobody got it; `OutcomeUnknown` if that cannot be known.
        What reading the message raises is raised as it is.
        """
        if timeout is not None and not timeout > 0:
            msg = f"timeout is {timeout!r}, not a number of seconds above 0"
            raise InvalidInput(msg)
        outgoing = await prepare(message, sender, recipients, options or SendOptions())
        delivery = Delivery(
            outgoing,
            all_or_nothing=all_or_nothing,
            eager=self._settings.pipelining is Pipelining.EAGER,
        )
        failure: SMTPError | None = None
        with anyio.move_on_after(timeout) as scope:
            try:
                await delivery.run(self._pool)
            except SMTPError as error:
                failure = error
            except BaseException as error:
                # Cancelled, or the message could not be read: what is known is
                # told before that goes on.
                self._finished(outgoing.message_id, delivery.results(), error)
                raise
        if scope.cancelled_caught:
            stage = delivery.stage
            msg = f"not sent within {timeout:g} s (stage: {stage.value})"
            failure = StageTimeout(msg, stage=stage, temporary=True)
        results = delivery.results(failure)
        if not scope.cancelled_caught:
            self._finished(outgoing.message_id, results, failure)
        return delivery.conclude(results, failure)

    async def probe(self) -> ServerInfo:
        """Connect, authenticate if so configured, and tell what the server offers.

        Raises the errors of `send` that belong to connecting.
        """
        pooled = await self._pool.acquire()
        connection = pooled.connection
        info = ServerInfo(
            connection.greeting,
            connection.session.extensions,
            connection.tls,
        )
        await self._pool.release(pooled)
        return info

    async def noop(self) -> Reply:
        """Say NOOP; give the reply, whatever it says (RFC 5321 §4.1.1.9)."""
        return await self._inquire(Noop())

    async def verify(self, address: str) -> Reply:
        """Say VRFY; give the reply, whatever it says (RFC 5321 §4.1.1.6)."""
        return await self._inquire(Vrfy(address))

    async def expand(self, name: str) -> Reply:
        """Say EXPN; give the reply, whatever it says (RFC 5321 §4.1.1.7)."""
        return await self._inquire(Expn(name))

    async def _inquire(self, command: Command) -> Reply:
        inquiry = Inquiry(command)
        pooled = await self._pool.acquire()
        try:
            await pooled.connection.run(inquiry)
        finally:
            await self._pool.release(pooled)
        if inquiry.reply is None:
            msg = f"the server closed the connection before it answered {command}"
            raise ConnectionLost(msg, stage=Stage.COMMAND, temporary=True)
        return inquiry.reply

    def _finished(
        self,
        message_id: str | None,
        results: tuple[RecipientResult, ...],
        error: BaseException | None,
    ) -> None:
        if self._observe.active:
            self._observe(MessageFinished(message_id, results, error))

    async def _connect(self) -> Connection:
        """Open a connection and a session on it, ready for mail."""
        settings = self._settings
        stream = await self._dial()
        try:
            if settings.security is Security.TLS:
                stream = await self._start_tls(stream)
            hello_name = self._own_name or await self._hello_name(stream)
        except BaseException:
            await _transport.abort(stream)
            raise
        tls = _transport.tls_info(stream)
        opening = Opening(
            hello_name,
            lmtp=settings.endpoint.lmtp,
            starttls=settings.starttls,
            mechanisms=settings.mechanisms,
            secure=tls is not None or settings.endpoint.path is not None,
            allow_plaintext_auth=settings.allow_plaintext_auth,
        )
        session = Session(
            opening,
            lmtp=settings.endpoint.lmtp,
            pipelining=settings.pipelining is not Pipelining.OFF,
        )
        connection = Connection(
            stream,
            session,
            settings.timeouts,
            upgrade=self._start_tls,
            observer=self._observe,
        )
        if self._observe.active:
            version = None if tls is None else tls.version
            server = str(settings.endpoint)
            self._observe(ConnectionOpened(connection.number, server, version))
        try:
            await connection.run(opening)
        except BaseException:
            await connection.aclose()
            raise
        if not session.reusable:
            await connection.aclose()
            msg = "the server closed the connection before it was ready for mail"
            raise ConnectionLost(msg, stage=connection.stage, temporary=True)
        connection.greeting = opening.greeting
        return connection

    async def _dial(self) -> ByteStream:
        settings = self._settings
        endpoint, limit = settings.endpoint, settings.timeouts.connect
        stream: ByteStream | None = None
        try:
            with anyio.move_on_after(limit):
                if settings.connect is not None:
                    stream = await settings.connect()
                else:
                    stream = await _transport.dial(endpoint, settings.local_address)
        except SMTPError:
            raise
        except OSError as error:
            raise _transport.connect_failed(endpoint, error) from error
        if stream is None:
            msg = f"no connection to {endpoint} within {limit:g} s"
            raise StageTimeout(msg, stage=Stage.CONNECT, temporary=True)
        return stream

    async def _start_tls(self, stream: ByteStream) -> ByteStream:
        """Shake hands; the context is made once, off the event loop."""
        if self._context is None:
            self._context = await to_thread.run_sync(ssl.create_default_context)
        return await _transport.start_tls(
            stream, self._context, self._settings.server_hostname
        )

    async def _hello_name(self, stream: ByteStream) -> str:
        """Give this machine's full name, or the stream's address (RFC 5321 §4.1.4)."""
        limit = self._settings.timeouts.connect
        name = ""
        with anyio.move_on_after(limit):
            name = await to_thread.run_sync(socket.getfqdn, abandon_on_cancel=True)
        try:
            if "." in name and not name.startswith("localhost."):
                self._own_name = domain_name(name)
                return self._own_name
        except InvalidInput:
            pass
        address = _transport.local_ip(stream)
        if address is None:
            return "localhost"
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

    async def _leave(self, connection: Connection) -> None:
        """Say QUIT; whatever comes of it, the connection is closed."""
        try:
            await connection.run(Inquiry(Quit()))
        except SMTPError:
            pass  # it is gone already, which is what we wanted
        finally:
            await connection.aclose()


async def send(
    message: Sendable,
    server: str = "localhost",
    port: int | None = None,
    *,
    sender: str | None = None,
    recipients: Recipients | None = None,
    options: SendOptions | None = None,
    all_or_nothing: bool = False,
    timeout: float | None = None,
    **client_options: Unpack[ClientOptions],
) -> Receipt:
    """Send one message over a connection of its own.

    Arguments, result and errors are those of `SMTPClient` and its `send`.
    """
    try:
        client = SMTPClient(server, port, **client_options)
    finally:
        del server, client_options  # the password with them, out of any traceback
    async with client:
        return await client.send(
            message,
            sender=sender,
            recipients=recipients,
            options=options,
            all_or_nothing=all_or_nothing,
            timeout=timeout,
        )
