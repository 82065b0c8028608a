"""The client: what an app sends its mail with."""

from __future__ import annotations

import math
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final, Self, Unpack

import anyio

from esmtp_async import _endings
from esmtp_async._batch import WINDOW, Batch, Source, check_source
from esmtp_async._deadline import until
from esmtp_async._delivery import Delivery
from esmtp_async._dialer import Dialer
from esmtp_async._endpoint import Security
from esmtp_async._events import Listener, WayGivenUp
from esmtp_async._inquiries import Inquirer, ask_for_more
from esmtp_async._logs import warn
from esmtp_async._messages import Outgoing, Recipients, Sendable, prepare
from esmtp_async._observer import Observer
from esmtp_async._options import NO_OPTIONS, SendOptions
from esmtp_async._pace import Pace, RateLimit, check_count
from esmtp_async._plan import Plan, plan
from esmtp_async._pool import Pool
from esmtp_async._progress import Progress
from esmtp_async._receipts import Receipt, SendResult
from esmtp_async._settings import ClientOptions, Pipelining, resolve
from esmtp_async._signing import Signer
from esmtp_async._timeouts import Timeouts, check_seconds
from esmtp_async._transport import Connect
from esmtp_async.protocol._exceptions import (
    InvalidInput,
    SMTPError,
    bare,
    check_type,
)
from esmtp_async.protocol._gateways import Attributes
from esmtp_async.protocol._outcomes import Stage
from esmtp_async.protocol._sasl import Mechanism
from esmtp_async.protocol._ways import CHUNKS, EAGER, GROUPS, TRAINS, Ways


class SMTPClient(Inquirer):
    """Sends mail through one server, from any number of tasks (RFC 5321, RFC 2033).

    One client is meant to be shared by a whole app. It connects when there is
    something to send, keeps connections for a while and never uses one for two
    messages at once. `async with` closes it; without, `aclose()` must. It belongs to
    the event loop that it is first used in: elsewhere, and once it is closed, it
    raises `RuntimeError`.

    `server` is a host, `host:port`, `[address]:port`, or a URL: `smtp://`,
    `smtps://`, `submission://`, `submissions://`, `lmtp://`, `smtp+unix:///path`,
    `lmtp+unix:///path`, with user and password, and with arguments of this
    constructor as its query. `ClientOptions` tells of each argument by itself.

    `security` is `"tls"` (from the first octet), `"starttls"` (or no mail),
    `"opportunistic"` (STARTTLS where offered) or `"plaintext"`. None means TLS
    on port 465; STARTTLS where offered on this very machine; and STARTTLS
    required everywhere else. Certificates are always verified, against
    `server_hostname` (the host, unless given) and with `ssl_context` (the
    system's trust and TLS 1.2 at least, unless given); it is never modified, and
    its `load_cert_chain` gives the client a certificate of its own. Connections
    of one client resume each other's TLS sessions, where Python does not leak them.

    `username` and `password` authenticate by the first offered of SCRAM (the
    strongest, and `-PLUS` first; it needs the extra `scram`), PLAIN and LOGIN;
    `auth` names mechanisms instead. The first offered one is used; the next
    only if the server refuses the mechanism itself (504, 534), and never a
    weaker one. Credentials go out only under TLS or over a unix socket, unless
    `allow_plaintext_auth`.

    `client_hostname` is what EHLO says: this machine's full name if it has one,
    else its address. `connect` makes the byte stream instead of a TCP
    connection from `local_address`; `proxy` is the URL of a proxy to go through, as
    `through_proxy` has it, and no environment variable stands for it.

    `timeouts` are a `Timeouts`, or seconds for every stage but the final reply.
    `max_connections` and the three limits after it bound the pool; times are in
    seconds. A server that turns further connections away gets fewer of them.
    `rate_limit` bounds how many messages go in how much time, over the whole client.

    `pipelining` is `"conformant"` (RFC 2920), `"off"`, or `"eager"`: small messages in
    one round trip where CHUNKING is offered, past the letter of RFC 3030 §2. A server
    that breaks on one of them gets its mail in the next safer way (`WayGivenUp`).

    `sign` signs each message, over exactly the octets that are sent: a `DkimSigner`, or
    any `Signer`, or several. `xclient` are attributes of the client that a gateway
    speaks for (XCLIENT). `on_event` is called with every `Event`, from the task that
    causes it; several listeners are each told of it.

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
        proxy: str | None = None,
        timeouts: Timeouts | float | None = None,
        max_connections: int = 10,
        max_messages_per_connection: int | None = 100,
        max_idle: float = 45.0,
        max_age: float | None = None,
        rate_limit: RateLimit | None = None,
        xclient: Attributes | None = None,
        sign: Signer | Sequence[Signer] | None = None,
        pipelining: Pipelining | str = Pipelining.CONFORMANT,
        on_event: Listener | Sequence[Listener] | None = None,
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
            proxy=proxy,
            timeouts=timeouts,
            max_connections=max_connections,
            max_messages_per_connection=max_messages_per_connection,
            max_idle=max_idle,
            max_age=max_age,
            rate_limit=rate_limit,
            xclient=xclient,
            sign=sign,
            pipelining=pipelining,
            on_event=on_event,
        )
        try:
            self._settings = resolve(server, port, options)
        except InvalidInput as error:
            # Nor may a traceback with variables show a password.
            raise bare(error) from None
        finally:
            del server, password, auth, proxy, options
        endpoint = self._settings.endpoint
        self._observe = Observer(
            self._settings.listeners,
            server=str(endpoint),
            protocol="lmtp" if endpoint.lmtp else "smtp",
        )
        self._ways = Ways(_WAYS[self._settings.pipelining], self._gave_up)
        self._pace = Pace(self._settings.rate_limit)
        dialer = Dialer(self._settings, self._ways, self._observe)
        self._pool = Pool(
            self._settings.limits,
            dialer.connect,
            dialer.part,
            dialer.see_off,
            self._observe,
        )

    @classmethod
    def from_url(cls, url: str, **options: Unpack[ClientOptions]) -> Self:
        """Make a client from a URL; options in its query win over the others.

        Raises `InvalidInput`.
        """
        try:
            check_type("url", url, str)
            if "://" not in url:
                msg = "the URL has no scheme, such as smtps://"
                raise InvalidInput(msg)
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
        iterable of bytes. Line ends become CRLF. A file of more than 512 KiB that can
        be read again is gone through once and then sent piece by piece; it must not
        change meanwhile, or `OSError` or `ValueError` is raised and nobody gets it.

        `sender` (`""` for the null reverse-path) and `recipients` come from the
        header fields unless given; an iterable has none. With `all_or_nothing`
        nobody gets the message if a recipient is refused. `timeout` bounds the
        call, in seconds. Recipients that are too many for the server get the
        message in further transactions, but for an iterable, which is read once.

        Returns a `Receipt` with what became of each recipient. Raises
        `InvalidInput` before any octet is sent; `NotDelivered`, by its
        subclasses, if nobody got it; `OutcomeUnknown` if that cannot be known.
        What reading the message raises is raised as it is.
        """
        if timeout is not None:
            check_seconds("timeout", timeout)
        check_type("all_or_nothing", all_or_nothing, bool)
        options = NO_OPTIONS if options is None else options
        deadline = math.inf if timeout is None else anyio.current_time() + timeout
        outgoing: Outgoing | None = None
        with until(deadline):
            outgoing = await prepare(
                message, sender, recipients, options, self._settings.signers
            )
        if outgoing is None:
            raise self._too_late(Stage.LOCAL, timeout)
        delivery = Delivery(outgoing, self._ways, all_or_nothing=all_or_nothing)
        if self._observe.active:
            delivery.announce(self._observe)
        failure: SMTPError | None = None
        try:
            with until(deadline) as scope:
                try:
                    await delivery.run(self._pool, self._pace)
                except SMTPError as error:
                    failure = error
        except BaseException as error:
            # Cancelled, or the message could not be read: what is known is told
            # before that goes on.
            if delivery.chronicle is not None:
                delivery.chronicle.end(delivery.results(), error, error)
            raise
        if scope is not None and scope.cancelled_caught:
            failure = self._too_late(delivery.stage, timeout)
        results = delivery.results(failure)
        told = delivery.conclude(results, failure)
        if delivery.chronicle is not None:
            raised = None if isinstance(told, Receipt) else told
            delivery.chronicle.end(results, failure, raised)
        if isinstance(told, Receipt):
            return told
        raise told

    def _too_late(self, stage: Stage, timeout: float | None) -> SMTPError:
        to, advice = self._settings.route, self._settings.advice(stage)
        return _endings.too_late(stage, timeout, to, advice)

    def send_many(
        self,
        messages: Source,
        *,
        window: int | None = None,
        connections: int | None = None,
        ordered: bool = False,
        options: SendOptions | None = None,
        on_begin: Callable[[int, tuple[str, ...]], object] | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[SendResult]]:
        """Send many messages; give the result of each as it is known.

        ::

            async with client.send_many(messages) as results:
                async for result in results:
                    print(result.index, result.unwrap().queue_id)

        `messages` is an iterable or async iterable of what `send` takes, or of
        tuples `(message, sender, recipients)`. It is read no further ahead than
        the connections and whoever takes the results can follow. Results come as
        they are known, or, if `ordered`, in the order of the messages.

        Up to `connections` connections of the pool are used (`max_connections`
        unless given), and given up between two messages when `send` wants one. On
        each the envelope of a message goes out with the mail data of the one
        before it (RFC 2920 §3.1): one round trip a message. With
        `pipelining="eager"` and CHUNKING up to `window` messages (20 unless given)
        are under way at once; the window is halved by what fails for the time
        being, and widens again.

        `options` are what is asked for beside each of them. `on_begin` is called with
        the index of a message and the addresses that it is for, before any of it is
        said to the server, and again where it is tried once more: to keep an account
        that survives this process. What it raises is raised behind all results, and
        no further message goes out.

        Every message has a `SendResult`, with a `Receipt` or with the error that
        `send` would raise. A message that is refused does not disturb the others.
        Where a connection is lost, those are UNKNOWN whose end was under way; the
        others go on over a fresh one. What `messages` raises is raised behind all
        results; to leave early gives up what is not finished. Raises
        `InvalidInput`.
        """
        most = self._settings.limits.max_connections
        if window is not None:
            check_count("window", window)
        if connections is not None:
            check_count("connections", connections)
        check_type("ordered", ordered, bool)
        options = NO_OPTIONS if options is None else options
        check_type("options", options, SendOptions)
        check_source(messages)
        return Batch(
            messages,
            self._pool,
            self._pace,
            self._observe,
            self._ways,
            window=WINDOW if window is None else window,
            connections=most if connections is None else min(connections, most),
            ordered=ordered,
            options=options,
            signers=self._settings.signers,
            begin=on_begin,
        )

    async def plan(
        self,
        message: Sendable,
        *,
        sender: str | None = None,
        recipients: Recipients | None = None,
        options: SendOptions | None = None,
        all_or_nothing: bool = False,
    ) -> Plan:
        """Tell what `send` would come to, and send nothing.

        A connection is made, if none stands, to know what the server offers. The
        arguments are those of `send`; of a stream no block is read. Raises
        `InvalidInput`, and the errors of `send` that belong to connecting.
        """
        check_type("all_or_nothing", all_or_nothing, bool)
        options = NO_OPTIONS if options is None else options
        settings = self._settings
        outgoing = await prepare(message, sender, recipients, options, settings.signers)
        pooled = await self._pool.acquire(Progress())
        try:
            await ask_for_more(pooled.connection)
            return plan(
                outgoing,
                pooled.connection.session,
                ways=self._ways.usable,
                all_or_nothing=all_or_nothing,
            )
        finally:
            await self._pool.release(pooled)

    def _gave_up(self, way: str) -> None:
        server = self._observe.server
        warn("%s broke on %s: from now on it gets mail without", server, way)
        if self._observe.active:
            self._observe(WayGivenUp(server, way))


#: How it may send to begin with.
_WAYS: Final = {
    Pipelining.OFF: CHUNKS,
    Pipelining.CONFORMANT: GROUPS | CHUNKS | TRAINS,
    Pipelining.EAGER: GROUPS | CHUNKS | TRAINS | EAGER,
}
