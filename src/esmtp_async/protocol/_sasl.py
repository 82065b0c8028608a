"""Authentication: SASL mechanisms as finite automata (RFC 4422, RFC 4954).

A mechanism is a generator whose states are its `yield`s, in the order of its
RFC: none loops, so none can be led around in circles by a server.
"""

from __future__ import annotations

import hmac
import stringprep
from collections.abc import Generator
from typing import Final, NamedTuple, NoReturn, Protocol, runtime_checkable

from esmtp_async.protocol._addresses import Mailbox
from esmtp_async.protocol._asks import Compute, Fetch
from esmtp_async.protocol._exceptions import AuthenticationFailed, InvalidInput
from esmtp_async.protocol._outcomes import Stage
from esmtp_async.protocol._redaction import Sealed

#: Yields responses, is sent challenges; see `Mechanism.respond`.
Responses = Generator[bytes | Fetch | Compute | None, bytes | None, None]


class Channel(NamedTuple):
    """What a mechanism may know of the connection it authenticates on."""

    #: The name it goes by here: one of `Mechanism.names`.
    mechanism: str
    #: The names of all mechanisms that the server offers.
    offered: tuple[str, ...]
    #: The server, as the caller named it; empty where it has no name.
    host: str
    #: The port of the server; 0 where there is none.
    port: int
    #: DER, for channel binding (RFC 5929 §4); empty without TLS.
    peer_certificate: bytes


# From the weakest: the secret itself is said; a hash of it that can be guessed
# at; one that is dear to guess at, by the strength of the function; one that is
# good on this connection alone.
_STRENGTHS: Final = {
    name: strength
    for strength, names in enumerate(
        (
            "PLAIN LOGIN XOAUTH2 OAUTHBEARER",
            "CRAM-MD5 NTLM",
            "SCRAM-SHA-1",
            "SCRAM-SHA-256",
            "SCRAM-SHA-512 GSSAPI",
            "SCRAM-SHA-1-PLUS",
            "SCRAM-SHA-256-PLUS",
            "SCRAM-SHA-512-PLUS",
        )
    )
    for name in names.split()
}


def is_as_strong(name: str, other: str) -> bool:
    """Tell whether a mechanism may stand in for another one.

    Whoever can refuse a mechanism could else have us use a weaker one.
    """
    strength, needed = _STRENGTHS.get(name), _STRENGTHS.get(other)
    return strength is not None and needed is not None and strength >= needed


class Secret:
    """Text that shows itself nowhere: not in repr, str, format, logs or pickles."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the text; the only way to it."""
        return self._text

    def __repr__(self) -> str:
        """Show that there is one."""
        return "Secret('***')"

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        """Hash by the text."""
        return hash(("Secret", self._text))

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied into anything that is."""
        msg = "a secret cannot be pickled"
        raise TypeError(msg)


@runtime_checkable
class Mechanism(Protocol):
    """What a SASL mechanism must be; anybody may write one."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its registered names, the best first; the first offered one is used.

        One that ends in `-PLUS` binds the channel (RFC 5802 §4), and is passed
        over where there is no certificate to bind.
        """
        ...

    def respond(self, channel: Channel, /) -> Responses:
        """Begin one authentication.

        The first `yield` gives the initial response, or None where the server
        speaks first. Each further one answers the challenge that the one
        before it returned. Once the server reports success, None is sent
        instead of a challenge, and the generator must return then: one that
        still waits for something has not been satisfied.

        A response is secret as a whole, unless it is `Sealed`: no reply of the
        server's is shown with it.

        What has to be awaited or takes long is asked for before a response, by
        a `yield` of `Fetch` or `Compute`, which returns the result.

        Raise `AuthenticationFailed` to refuse a challenge; the exchange is
        then cancelled with `*` (RFC 4954 §4). Where the server refuses, its
        refusal is thrown in, an `AuthenticationFailed` too; it may be given
        `details` before it goes on.
        """
        ...


@runtime_checkable
class Renewable(Mechanism, Protocol):
    """A mechanism whose credentials wear out, and can be had anew."""

    async def renewed(self) -> Mechanism | None:
        """Give what is worth trying after the server called them invalid.

        It is tried once, on a new connection. None if there is nothing new.
        Whatever is raised comes out where the connection was asked for.
        """
        ...


def refuse(problem: str) -> NoReturn:
    """End an authentication that cannot go well."""
    raise AuthenticationFailed(problem, command="AUTH", stage=Stage.AUTH)


def problem_with(text: object) -> str:
    """Tell why this cannot be said; "" where it can."""
    if not isinstance(text, str):
        return f"is of type {type(text).__name__}, not str"
    try:
        holds_nul = b"\0" in text.encode("utf-8")
    except UnicodeEncodeError:
        return "cannot be encoded as UTF-8"
    # NUL separates the fields of PLAIN (RFC 4616 §2).
    return "holds a NUL" if holds_nul else ""


class Credentials:
    """A user name and a password, checked; the base of what says them."""

    def __init__(self, username: str, password: str | Secret) -> None:
        #: Who we are.
        self.username: str = username
        self._password = password if isinstance(password, Secret) else Secret(password)
        del password  # from here on no traceback with variables shows it
        for what, problem in (
            ("username", problem_with(username)),
            ("password", problem_with(self._password.reveal())),
        ):
            if problem:
                msg = f"the {what} {problem}"
                raise InvalidInput(msg)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.username!r}, {self._password!r})"


class Plain(Credentials):
    """PLAIN: everything in one line (RFC 4616)."""

    #: The names that it is offered by (RFC 4422 §3.1).
    names: tuple[str, ...] = ("PLAIN",)

    def respond(self, _channel: Channel) -> Responses:
        """Give the one message: authzid, NUL, authcid, NUL, password."""
        yield Sealed(
            f"\0{self.username}\0{self._password.reveal()}".encode(),
            self._password.reveal().encode(),
        )


class Login(Credentials):
    """LOGIN: user name and password to two prompts (draft-murchison-sasl-login-00).

    Servers word the prompts as they like, so their order decides; but a prompt
    that clearly asks for the other one is not answered.
    """

    #: The names that it is offered by (RFC 4422 §3.1).
    names: tuple[str, ...] = ("LOGIN",)

    def respond(self, _channel: Channel) -> Responses:
        """Wait for both prompts in turn."""
        prompt = yield None
        if prompt is None or _asks_for(prompt, b"pass"):
            refuse("LOGIN: the server did not ask for the user name first")
        prompt = yield Sealed(self.username.encode())
        if prompt is None or _asks_for(prompt, b"user"):
            refuse("LOGIN: the server did not ask for the password after the name")
        yield self._password.reveal().encode()


def _asks_for(prompt: bytes, word: bytes) -> bool:
    return prompt.strip().lower().startswith(word)


class CramMD5(Credentials):
    """CRAM-MD5: the server's challenge, hashed with the password (RFC 2195).

    The password is not said, but whoever hears both can guess at it, and the
    server proves nothing: it is used only where it is asked for by name.
    """

    #: The names that it is offered by (RFC 4422 §3.1).
    names: tuple[str, ...] = ("CRAM-MD5",)

    def respond(self, _channel: Channel) -> Responses:
        """Answer the one challenge: user name, space, digest in hexadecimal."""
        challenge = yield None
        if challenge is None:
            refuse("CRAM-MD5: the server reported success without a challenge")
        key = hmac.new(self._password.reveal().encode(), challenge, "md5")
        yield Sealed(
            f"{self.username} {key.hexdigest()}".encode(), key.hexdigest().encode()
        )


class External:
    """EXTERNAL: the server knows us from outside SASL (RFC 4422 appendix A).

    By a certificate given in the TLS handshake, for example, or by a unix
    socket. `authzid` is whom to act for, if not for whoever the server takes us
    for.

    Raises `InvalidInput`.
    """

    #: The names that it is offered by (RFC 4422 §3.1).
    names: tuple[str, ...] = ("EXTERNAL",)

    def __init__(self, authzid: str = "") -> None:
        if problem := problem_with(authzid):
            msg = f"the authzid {problem}"
            raise InvalidInput(msg)
        #: Whom to act for; empty for whom the certificate names (RFC 4422 Appendix A).
        self.authzid: str = authzid

    def __repr__(self) -> str:
        return f"External({self.authzid!r})"

    def respond(self, _channel: Channel) -> Responses:
        """Say whom to act for; nothing for oneself."""
        yield Sealed(self.authzid.encode())


class Anonymous:
    """ANONYMOUS: nobody in particular (RFC 4505).

    `trace` tells the server's people whom to turn to: a mail address, or a word
    of at most 255 characters without "@".

    Raises `InvalidInput`.
    """

    #: The names that it is offered by (RFC 4422 §3.1).
    names: tuple[str, ...] = ("ANONYMOUS",)

    def __init__(self, trace: str = "") -> None:
        if problem := problem_with(trace) or _problem_with_trace(trace):
            msg = f"the trace {problem}"
            raise InvalidInput(msg)
        #: What the server may write down of who it is (RFC 4505 §2).
        self.trace: str = trace

    def __repr__(self) -> str:
        return f"Anonymous({self.trace!r})"

    def respond(self, _channel: Channel) -> Responses:
        """Say the trace."""
        yield Sealed(self.trace.encode())


# message = [ email / token ]; token = 1*255TCHAR, TCHAR any character but "@"
#                                                       (RFC 4505 §2)
_MAX_TRACE: Final = 255
# What the profile "trace" of stringprep prohibits        (RFC 4505 §3)
_PROHIBITED: Final = (
    *(stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4),
    *(stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c8),
    stringprep.in_table_c9,
)


def _problem_with_trace(trace: str) -> str:
    if "@" in trace:
        try:
            Mailbox.parse(trace)
        except InvalidInput:
            return "holds an @ and is no mail address"
    elif len(trace) > _MAX_TRACE:
        return f"has more than {_MAX_TRACE} characters"
    prohibited = any(in_table(char) for char in trace for in_table in _PROHIBITED)
    return "holds a character that is prohibited there" if prohibited else ""
