"""Exchanges: what is said in which order, apart from who reads and writes.

An exchange is a generator of commands and a sink of replies. Its driver asks
for the next command only when some command may be sent, so an exchange knows,
behind a command that ends a group, every reply up to it. A command that turns
out not to be sendable ends the exchange: that one rule serves lockstep and
pipelining alike.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Generator, Sequence
from contextlib import suppress
from enum import Enum
from typing import Final, NoReturn, Protocol

from esmtp_async.protocol._asks import UPGRADE, Ask, Compute, Fetch
from esmtp_async.protocol._commands import (
    MAX_AUTH_LINE,
    MAX_COMMAND_LINE,
    STAGES,
    Auth,
    Command,
    Ehlo,
    Helo,
    Lhlo,
    Response,
    StartTLS,
    Verb,
)
from esmtp_async.protocol._exceptions import (
    AuthenticationFailed,
    GreetingRefused,
    HelloRefused,
    NotDelivered,
    Refused,
    TLSFailed,
)
from esmtp_async.protocol._outcomes import Stage
from esmtp_async.protocol._replies import Reply, Severity
from esmtp_async.protocol._sasl import (
    Channel,
    Mechanism,
    Responses,
    is_as_strong,
)
from esmtp_async.protocol._session import Session
from esmtp_async.protocol._states import State

#: What an exchange yields; what is asked for is answered by its result, or b"".
Commands = Generator[Command | Ask | Fetch | Compute, bytes, None]


class Exchange(Protocol):
    """A part of the conversation."""

    def commands(self, session: Session, /) -> Commands:
        """Yield the commands in their order, and what is asked between them."""
        ...

    def replied(self, command: Command | None, reply: Reply, /) -> None:
        """Take the reply to a command; None is a 421 that nobody asked for."""
        ...


class Inquiry:
    """One command and its reply: NOOP, VRFY, EXPN, HELP, RSET, QUIT."""

    def __init__(self, command: Command) -> None:
        self._command = command
        #: The reply, once it has come.
        self.reply: Reply | None = None

    def commands(self, _session: Session) -> Commands:
        """Yield the one command."""
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


#: The challenges answered in one authentication: no mechanism here needs more than
#: three.
MAX_ROUNDS: Final = 4

# What is refused is the mechanism, not who we are (RFC 4954 §4, §6).
_MECHANISM_REFUSED: Final = frozenset({504, 534})

# EHLO unknown to the server: HELO may do (RFC 5321 §3.2, §4.1.1.1).
_EHLO_UNKNOWN: Final = frozenset({500, 502})

# Verb to error, and to what was refused; None: the command's own first word.
_REFUSALS: Final[dict[Verb, tuple[type[Refused], str | None]]] = {
    Verb.CONNECT: (GreetingRefused, "the connection"),
    Verb.HELLO: (HelloRefused, None),
    Verb.AUTH: (AuthenticationFailed, "AUTH"),
    Verb.RESPONSE: (AuthenticationFailed, "AUTH"),
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
    `peer_certificate` (DER) are what mechanisms are told of the server.
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
    ) -> None:
        self._hello: Command = (Lhlo if lmtp else Ehlo)(client_hostname)
        # HELO brings no extension, so it can only do where none is needed.
        self._fallback = (
            None
            if lmtp or mechanisms or starttls is StartTLSPolicy.REQUIRED
            else Helo(client_hostname)
        )
        self._starttls = starttls
        self._mechanisms = mechanisms
        self._secure = secure
        self._allow_plaintext_auth = allow_plaintext_auth
        self._host = host
        self._port = port
        self._peer_certificate = peer_certificate
        #: The greeting, once it has come.
        self.greeting: Reply | None = None
        self._mechanism = ""
        # The latest answer, and what to; the greeting is in before anything else.
        self._command: Command
        self._reply: Reply

    def replied(self, command: Command | None, reply: Reply) -> None:
        """Keep the reply; raise if it shuts the channel down."""
        if command is None:
            self._raise_shutdown(reply)
        self._command, self._reply = command, reply
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
        if self._mechanisms:
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

    def _authenticate(self, session: Session) -> Commands:
        refused: str | None = None
        for name, mechanism in self._candidates(session.extensions.auth):
            if refused is None or is_as_strong(name, refused):
                if (yield from self._hold(session, name, mechanism)):
                    return
                refused = name
        raise self._refused()

    def _hold(
        self, session: Session, name: str, mechanism: Mechanism
    ) -> Generator[Command | Ask | Fetch | Compute, bytes, bool]:
        """Authenticate; tell whether the server knows and wants the mechanism."""
        self._mechanism = name
        responses = mechanism.respond(
            Channel(
                mechanism=name,
                offered=session.extensions.auth,
                host=self._host,
                port=self._port,
                peer_certificate=self._peer_certificate,
            )
        )
        auth, held = _begin(name, (yield from _respond(responses, None)))
        yield auth
        if self._reply.code in _MECHANISM_REFUSED:
            return False
        for _ in range(MAX_ROUNDS):
            if session.state is not State.AUTH:
                break
            try:
                response = held or (yield from _answer(responses, session.challenge))
            except AuthenticationFailed as problem:
                yield Response(None)
                raise self._unsatisfied(str(problem)) from problem
            held = None
            yield response
        if self._reply.refused or session.state is State.AUTH:
            raise _explained(self._refused(), responses)
        try:
            ended = held is None and _has_ended(responses)
        except AuthenticationFailed as problem:
            raise self._unsatisfied(str(problem)) from problem
        if not ended:
            msg = f"the server reported success before {name} was complete"
            raise self._unsatisfied(msg)
        return True

    def _refused(self) -> AuthenticationFailed:
        return self._unsatisfied(f"the server refused AUTH: {self._reply}")

    def _unsatisfied(self, problem: str) -> AuthenticationFailed:
        """Tell why we do not go on, whatever the server says."""
        return AuthenticationFailed(
            problem,
            mechanism=self._mechanism,
            command="AUTH",
            stage=Stage.AUTH,
            reply=self._reply,
        )

    def _candidates(self, offered: Sequence[str]) -> list[tuple[str, Mechanism]]:
        """Give the mechanisms that are offered and can be used, in our order."""
        if not (self._secure or self._allow_plaintext_auth):
            msg = (
                "credentials are not sent over an unprotected connection; use "
                "security='starttls' or 'tls', or allow_plaintext_auth=True"
            )
            raise AuthenticationFailed(msg, command="AUTH", stage=Stage.AUTH)
        wanted = [(name, each) for each in self._mechanisms for name in each.names]
        candidates = [
            (name, mechanism)
            for name, mechanism in wanted
            # The suffix says that the channel is bound (RFC 5802 §4).
            if name in offered
            and (self._peer_certificate or not name.endswith("-PLUS"))
        ]
        if candidates:
            return candidates
        msg = (
            f"the server offers {' '.join(offered) or 'no mechanism'} for AUTH, "
            f"and none of {', '.join(name for name, _ in wanted)} is among them"
        )
        raise AuthenticationFailed(msg, command="AUTH", stage=Stage.AUTH)

    def _raise_shutdown(self, reply: Reply) -> NoReturn:
        """Raise for a 421 that nobody asked for; a refusal before it is the reason."""
        if self._reply.refused:
            self._raise_refusal()
        msg = f"the server shut the connection down: {reply}"
        raise Refused(msg, stage=STAGES[self._command.verb], reply=reply)

    def _raise_refusal(self) -> NoReturn:
        raise _refusal(self._command, self._reply)


def _begin(mechanism: str, initial: bytes | None) -> tuple[Auth, Response | None]:
    """Give AUTH, and the initial response if it does not fit behind it.

    It then answers the server's first challenge, an empty one (RFC 4954 §4).
    """
    auth = Auth(mechanism, initial)
    if initial is None or len(auth.wire) <= MAX_COMMAND_LINE:
        return auth, None
    return Auth(mechanism), Response(initial)


def _answer(
    responses: Responses, challenge: Sequence[bytes]
) -> Generator[Fetch | Compute, bytes, Response]:
    """Give the response to a challenge (RFC 4954 §4)."""
    response = yield from _respond(responses, _decoded(challenge))
    return Response(response or b"")


def _respond(
    responses: Responses, challenge: bytes | None
) -> Generator[Fetch | Compute, bytes, bytes | None]:
    """Give a mechanism's next response, and what it asks for until then."""
    try:
        step = responses.send(challenge)
        while isinstance(step, (Fetch, Compute)):
            step = responses.send((yield step))
    except StopIteration:
        msg = "the server goes on asking after the mechanism has ended"
        raise AuthenticationFailed(msg, command="AUTH", stage=Stage.AUTH) from None
    return step


def _decoded(challenge: Sequence[bytes]) -> bytes:
    """Decode a challenge: one line of base64, and not a long one."""
    line, *others = challenge
    problem = "a SASL challenge of several lines" if others else ""
    if len(line) > MAX_AUTH_LINE:
        problem = f"a SASL challenge of more than {MAX_AUTH_LINE} octets"
    if not problem:
        try:
            return b64decode(line, validate=True)
        except (binascii.Error, ValueError):
            problem = "a SASL challenge that is not base64"
    msg = f"the server sent {problem}"
    raise AuthenticationFailed(msg, command="AUTH", stage=Stage.AUTH)


def _explained(
    refusal: AuthenticationFailed, responses: Responses
) -> AuthenticationFailed:
    """Tell a mechanism that it was refused; it may know more of the reason."""
    with suppress(AuthenticationFailed, StopIteration):
        responses.throw(refusal)
    return refusal.with_traceback(None)


def _has_ended(responses: Responses) -> bool:
    """Tell whether the mechanism is satisfied with the server's success."""
    try:
        responses.send(None)
    except StopIteration:
        return True
    return False
