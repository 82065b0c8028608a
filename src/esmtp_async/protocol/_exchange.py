"""Exchanges: what is said in which order, apart from who reads and writes.

An exchange is a generator of commands and a sink of replies. Its driver asks
for the next command only when some command may be sent, so an exchange knows,
behind a command that ends a group, every reply up to it. A command that turns
out not to be sendable ends the exchange: that one rule serves lockstep and
pipelining alike.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from enum import Enum
from typing import Final, NamedTuple, NoReturn, Protocol

from esmtp_async.protocol._asks import UPGRADE, Ask, Compute, Fetch
from esmtp_async.protocol._authentication import Authentication
from esmtp_async.protocol._commands import Command, Ehlo, Helo, Lhlo, StartTLS
from esmtp_async.protocol._events import Owner
from esmtp_async.protocol._exceptions import (
    AuthenticationFailed,
    GreetingRefused,
    HelloRefused,
    NotDelivered,
    NotSupported,
    Refused,
    TLSFailed,
)
from esmtp_async.protocol._gateways import Attributes, Xclient
from esmtp_async.protocol._outcomes import Stage
from esmtp_async.protocol._replies import Reply, Severity
from esmtp_async.protocol._sasl import (
    Mechanism,
)
from esmtp_async.protocol._session import Session
from esmtp_async.protocol._states import State
from esmtp_async.protocol._verbs import STAGES, Verb


class OnBehalfOf(NamedTuple):
    """What follows is said for somebody else, who gets the replies."""

    #: Who gets the replies.
    owner: Owner


class OutOfTurn(Exception):
    """Raised where an exchange yields a command that may not be sent: it has ended.

    Mostly the one before it was refused. A part of an exchange may catch it and go on.
    """


#: What an exchange may yield.
Step = Command | Ask | Fetch | Compute | OnBehalfOf
#: What it is: what is asked for is answered by its result, or b"".
Commands = Generator[Step, bytes, None]


class Exchange(Protocol):
    """A part of the conversation."""

    def commands(self, session: Session, /) -> Commands:
        """Yield the commands in their order, and what is asked between them."""
        ...

    def replied(self, command: Command | None, reply: Reply, /) -> None:
        """Take the reply to a command; None is a 421 that nobody asked for."""
        ...


class Inquiry:
    """One command and its reply: NOOP, VRFY, EXPN, HELP, ETRN, RSET, QUIT."""

    def __init__(self, command: Command) -> None:
        self._command = command
        #: The reply, once it has come.
        self.reply: Reply | None = None

    def commands(self, session: Session) -> Commands:
        """Yield the one command; raises `NotSupported` for text that cannot be said."""
        if not self._command.wire.isascii() and "SMTPUTF8" not in session.extensions:
            msg = f"{self._command} needs SMTPUTF8, which the server does not offer"
            raise NotSupported(msg, extension="SMTPUTF8", stage=Stage.COMMAND)
        yield self._command

    def replied(self, _command: Command | None, reply: Reply) -> None:
        """Keep the reply."""
        self.reply = reply


class StartTLSPolicy(Enum):
    """What becomes of STARTTLS."""

    #: TLS, or an error.
    REQUIRED = "required"
    #: TLS where it is offered and granted.
    OPPORTUNISTIC = "opportunistic"
    #: None: there is TLS already, or it is not wanted.
    NEVER = "never"


# EHLO unknown to the server: HELO may do (RFC 5321 §3.2, §4.1.1.1).
_EHLO_UNKNOWN: Final = frozenset({500, 502})

# Verb to error, and to what was refused; None: the command's own first word.
_REFUSALS: Final[dict[Verb, tuple[type[Refused], str | None]]] = {
    Verb.CONNECT: (GreetingRefused, "the connection"),
    Verb.HELLO: (HelloRefused, None),
    Verb.AUTH: (AuthenticationFailed, "AUTH"),
    Verb.RESPONSE: (AuthenticationFailed, "AUTH"),
    Verb.XCLIENT: (Refused, "XCLIENT"),
}


def _refusal(command: Command, reply: Reply) -> NotDelivered:
    verb = command.verb
    stage = STAGES[verb]
    if verb is Verb.STARTTLS:
        msg = f"the server refused STARTTLS: {reply}"
        return TLSFailed(msg, stage=stage, reply=reply, temporary=reply.temporary)
    error, what = _REFUSALS[verb]
    what = what or str(command).partition(" ")[0]
    return error(
        f"the server refused {what}: {reply}",
        command="" if verb is Verb.CONNECT else what,
        stage=stage,
        reply=reply,
    )


class Opening:
    """From the greeting to a session that is ready for mail.

    Greeting, EHLO, STARTTLS and EHLO again, AUTH (RFC 5321 §3.1-§3.2, RFC 3207,
    RFC 4954): as much of it as is asked for. It raises what ends it:
    `GreetingRefused`, `HelloRefused`, `TLSFailed`, `AuthenticationFailed`.

    `secure` tells that the transport protects what is said from the start: TLS
    or a unix socket. `mechanisms` are held against the offer in their order,
    and the first that is offered is used; another one only where the server
    refuses the mechanism itself, and only one that is not weaker. `host`, `port` and
    `peer_certificate` (DER) are what mechanisms are told of the server. `xclient` are
    attributes of the client that the server shall take us for.
    """

    def __init__(
        self,
        client_hostname: str,
        *,
        lmtp: bool = False,
        starttls: StartTLSPolicy = StartTLSPolicy.NEVER,
        mechanisms: Sequence[Mechanism] = (),
        secure: bool = False,
        allow_plaintext_auth: bool = False,
        host: str = "",
        port: int = 0,
        peer_certificate: bytes = b"",
        xclient: Attributes | None = None,
    ) -> None:
        self._xclient = None if xclient is None else Xclient(xclient)
        self._hello: Command = (Lhlo if lmtp else Ehlo)(client_hostname)
        # HELO brings no extension, so it can only do where none is needed.
        self._fallback = (
            None
            if lmtp or mechanisms or starttls is StartTLSPolicy.REQUIRED
            else Helo(client_hostname)
        )
        self._starttls = starttls
        self._authenticates = bool(mechanisms)
        self._authentication = Authentication(mechanisms, host=host, port=port)
        self._secure = secure
        self._allow_plaintext_auth = allow_plaintext_auth
        self._peer_certificate = peer_certificate
        #: The greeting, once it has come.
        self.greeting: Reply | None = None
        # The latest answer, and what to; the greeting is in before anything else.
        self._command: Command
        self._reply: Reply

    @property
    def mechanism(self) -> str | None:
        """The SASL mechanism that was used last, for example `PLAIN`; None: none."""
        return self._authentication.mechanism

    def replied(self, command: Command | None, reply: Reply) -> None:
        """Keep the reply; raise if it shuts the channel down."""
        if command is None:
            self._raise_shutdown(reply)
        self._command, self._reply = command, reply
        self._authentication.replied(reply)
        if command.verb is Verb.CONNECT:
            self.greeting = reply
        if reply.severity is Severity.SHUTDOWN:
            self._raise_refusal()

    def commands(self, session: Session) -> Commands:
        """Yield what is to be said until the session is ready."""
        if session.state is State.REFUSED:
            self._raise_refusal()
        yield from self._introduce()
        if self._starttls is not StartTLSPolicy.NEVER:
            yield from self._secure_channel(session)
        if self._xclient is not None:
            yield from self._stand_for_another(session, self._xclient)
        if self._authenticates:
            yield from self._authenticate(session)

    def _introduce(self) -> Commands:
        yield self._hello
        if self._fallback is not None and self._reply.code in _EHLO_UNKNOWN:
            yield self._fallback
        if self._reply.refused:
            self._raise_refusal()

    def _secure_channel(self, session: Session) -> Commands:
        required = self._starttls is StartTLSPolicy.REQUIRED
        if "STARTTLS" in session.extensions:
            yield StartTLS()
            if session.state is State.TLS:
                self._peer_certificate = yield UPGRADE
                self._secure = True
                yield from self._introduce()
            elif required:
                self._raise_refusal()
        elif required:
            msg = (
                "TLS is required and the server does not offer STARTTLS on this "
                "port; where mail is submitted it does on port 587, or it speaks "
                "TLS from the first octet on port 465: security='tls'"
            )
            raise TLSFailed(msg, stage=Stage.STARTTLS)

    def _stand_for_another(self, session: Session, xclient: Xclient) -> Commands:
        if "XCLIENT" not in session.extensions:
            msg = "xclient needs XCLIENT, which the server does not offer us"
            raise NotSupported(msg, extension="XCLIENT", stage=Stage.COMMAND)
        yield xclient
        if self._reply.refused:
            self._raise_refusal()
        yield from self._introduce()

    def _authenticate(self, session: Session) -> Commands:
        if not (self._secure or self._allow_plaintext_auth):
            msg = (
                "credentials are not sent over an unprotected connection; use "
                "security='starttls' or 'tls', or allow_plaintext_auth=True"
            )
            raise AuthenticationFailed(msg, command="AUTH", stage=Stage.AUTH)
        yield from self._authentication.commands(session, self._peer_certificate)

    def _raise_shutdown(self, reply: Reply) -> NoReturn:
        """Raise for a 421 that nobody asked for; a refusal before it is the reason."""
        if self._reply.refused:
            self._raise_refusal()
        msg = f"the server shut the connection down: {reply}"
        raise Refused(msg, stage=STAGES[self._command.verb], reply=reply)

    def _raise_refusal(self) -> NoReturn:
        raise _refusal(self._command, self._reply)
