"""Authentication: SASL mechanisms as finite automata (RFC 4422, RFC 4954).

A mechanism is a generator whose states are its `yield`s, in the order of its
RFC: none loops, so none can be led around in circles by a server.
"""

from __future__ import annotations

from collections.abc import Generator
from hmac import compare_digest
from typing import NamedTuple, NoReturn, Protocol

from esmtp_async.protocol._asks import Compute, Fetch
from esmtp_async.protocol._exceptions import AuthenticationFailed, InvalidInput
from esmtp_async.protocol._outcomes import Stage

#: Yields responses, is sent challenges; see `Mechanism.respond`.
Responses = Generator[bytes | Fetch | Compute | None, bytes | None, None]


class Channel(NamedTuple):
    """What a mechanism may know of the connection it authenticates on."""

    #: The name it goes by here: one of `Mechanism.names`.
    mechanism: str
    #: The names of all mechanisms that the server offers.
    offered: tuple[str, ...]
    #: The server, as the caller named it; "" where it has no name.
    host: str
    port: int
    #: DER, for channel binding (RFC 5929 §4); empty without TLS.
    peer_certificate: bytes


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
        return compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        """Hash by the text."""
        return hash(("Secret", self._text))

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied into anything that is."""
        msg = "a secret cannot be pickled"
        raise TypeError(msg)


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

        What has to be awaited or takes long is asked for before a response, by
        a `yield` of `Fetch` or `Compute`, which returns the result.

        Raise `AuthenticationFailed` to refuse a challenge; the exchange is
        then cancelled with `*` (RFC 4954 §4).
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
        self.username = username
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

    names: tuple[str, ...] = ("PLAIN",)

    def respond(self, _channel: Channel) -> Responses:
        """Give the one message: authzid, NUL, authcid, NUL, password."""
        yield f"\0{self.username}\0{self._password.reveal()}".encode()


class Login(Credentials):
    """LOGIN: user name and password to two prompts (draft-murchison-sasl-login-00).

    Servers word the prompts as they like, so their order decides; but a prompt
    that clearly asks for the other one is not answered.
    """

    names: tuple[str, ...] = ("LOGIN",)

    def respond(self, _channel: Channel) -> Responses:
        """Wait for both prompts in turn."""
        prompt = yield None
        if prompt is None or _asks_for(prompt, b"pass"):
            refuse("LOGIN: the server did not ask for the user name first")
        prompt = yield self.username.encode()
        if prompt is None or _asks_for(prompt, b"user"):
            refuse("LOGIN: the server did not ask for the password after the name")
        yield self._password.reveal().encode()


def _asks_for(prompt: bytes, word: bytes) -> bool:
    return prompt.strip().lower().startswith(word)
