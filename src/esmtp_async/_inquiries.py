"""What a client may ask a server beside sending: one command, one reply."""

from __future__ import annotations

from typing import NamedTuple

from esmtp_async._certificates import Certificate
from esmtp_async._connection import Connection
from esmtp_async._pool import Pool
from esmtp_async._progress import Progress
from esmtp_async._transport import TLSInfo
from esmtp_async.protocol._commands import Command, Expn, Help, Noop, Vrfy
from esmtp_async.protocol._exceptions import ConnectionLost
from esmtp_async.protocol._exchange import Inquiry
from esmtp_async.protocol._extensions import Extensions
from esmtp_async.protocol._gateways import Etrn
from esmtp_async.protocol._outcomes import Stage
from esmtp_async.protocol._replies import Reply


class ServerInfo(NamedTuple):
    """What a server says of itself."""

    #: The greeting.
    greeting: Reply | None
    #: What it offers on a connection that is ready for mail.
    extensions: Extensions
    #: What protects the connection; None in clear text.
    tls: TLSInfo | None
    #: What its certificate says; None in clear text, or if it was not verified.
    certificate: Certificate | None = None

    @property
    def auth(self) -> tuple[str, ...]:
        """The SASL mechanisms that it offers."""
        return self.extensions.auth


async def ask_for_more(connection: Connection) -> None:
    """Say EHLO once more where the server may offer more than it has.

    A refusal is no error: what was offered before stays.
    """
    peer = connection.session.peer
    if peer.may_offer_more:
        await connection.run(Inquiry(peer.hello))


class Inquirer:
    """Asks over the connections of a pool."""

    _pool: Pool

    async def probe(self) -> ServerInfo:
        """Connect, authenticate if so configured, and tell what the server offers.

        Raises a `NotDelivered` if no session comes about, or it ends: `ConnectFailed`,
        `TLSFailed`, `GreetingRefused`, `AuthenticationFailed` and the like.
        """
        pooled = await self._pool.acquire(Progress())
        connection = pooled.connection
        try:
            await ask_for_more(connection)
            return ServerInfo(
                connection.greeting,
                connection.session.extensions,
                connection.tls,
                connection.certificate,
            )
        finally:
            await self._pool.release(pooled)

    async def noop(self) -> Reply:
        """Say NOOP; give the reply, whatever it says (RFC 5321 §4.1.1.9).

        Raises as `probe` does.
        """
        return await self._inquire(Noop())

    async def verify(self, address: str) -> Reply:
        """Say VRFY; give the reply, whatever it says (RFC 5321 §4.1.1.6).

        Raises as `probe` does; `InvalidInput` for what cannot be asked, `NotSupported`
        for text outside ASCII where SMTPUTF8 is not offered.
        """
        return await self._inquire(Vrfy(address))

    async def help(self, topic: str = "") -> Reply:
        """Say HELP; give the reply, whatever it says (RFC 5321 §4.1.1.8).

        Raises as `verify` does.
        """
        return await self._inquire(Help(topic))

    async def etrn(self, node: str) -> Reply:
        """Ask for the mail that waits for a host; give the reply (RFC 1985).

        `node` is its name, `@domain` for all below a domain, or `#queue`. Raises as
        `verify` does.
        """
        return await self._inquire(Etrn(node))

    async def expand(self, name: str) -> Reply:
        """Say EXPN; give the reply, whatever it says (RFC 5321 §4.1.1.7).

        Raises as `verify` does.
        """
        return await self._inquire(Expn(name))

    async def _inquire(self, command: Command) -> Reply:
        """Ask; once more where a pooled connection turns out dead."""
        inquiry = Inquiry(command)
        for again in (False, True):
            pooled = await self._pool.acquire(Progress(), fresh=again)
            try:
                await pooled.connection.run(inquiry)
            except ConnectionLost:
                if again or not pooled.reused:
                    raise
            finally:
                await self._pool.release(pooled)
            if inquiry.reply is not None:
                return inquiry.reply
        msg = f"the server closed the connection before it answered {command}"
        raise ConnectionLost(msg, stage=Stage.COMMAND, temporary=True)
