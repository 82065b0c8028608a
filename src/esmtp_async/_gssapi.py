"""Kerberos and NTLM: the mechanisms GSSAPI (RFC 4752) and NTLM (MS-SMTPNTLM).

Tokens are made and read by pyspnego, an extra of the package, off the event
loop: it may look for a server's tickets over the network.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from functools import partial
from importlib.util import find_spec
from typing import Final, Protocol

from esmtp_async.protocol._asks import Compute
from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.protocol._outcomes import Stage
from esmtp_async.protocol._replies import printable
from esmtp_async.protocol._sasl import (
    Channel,
    Credentials,
    Responses,
    Secret,
    refuse,
)

#: The service that a server's ticket is for (RFC 4954 §4).
_SERVICE: Final = "smtp"
#: Tokens of ours until a context must stand; Kerberos needs one.
_MAX_TOKENS: Final = 4
#: Four octets: the layers that are offered or chosen, and a size (RFC 4752 §3.3).
_NO_LAYER: Final = 1
_CHOICE: Final = bytes((_NO_LAYER, 0, 0, 0))

# The modules that are needed; Windows has Kerberos of its own.
_KERBEROS: Final = (
    ("spnego",) if sys.platform == "win32" else ("spnego", "gssapi", "krb5")
)


class _Wrapped(Protocol):
    """Octets on their way in or out of a context."""

    @property
    def data(self) -> bytes: ...


class _SecurityContext(Protocol):
    """What is used of pyspnego's contexts."""

    @property
    def complete(self) -> bool: ...

    def step(self, in_token: bytes | None = None) -> bytes | None: ...

    def wrap(self, data: bytes, *, encrypt: bool = True) -> _Wrapped: ...

    def unwrap(self, data: bytes) -> _Wrapped: ...


#: Asks for an answer that takes long, and gives it.
_Asked = Generator[Compute, bytes | None, bytes]


class _Dialogue:
    """Asks a context, which is made at the first question.

    What goes wrong is told by its text alone: a traceback that came from there
    could show a password.
    """

    def __init__(self, channel: Channel, make: Callable[[], _SecurityContext]) -> None:
        self._mechanism = channel.mechanism
        self._make = make
        self._context: _SecurityContext | None = None
        self._problem = ""

    @property
    def complete(self) -> bool:
        """Whether the context stands."""
        return self._context is not None and self._context.complete

    def step(self, challenge: bytes | None) -> _Asked:
        """Give our next token."""
        return self._ask(lambda context: context.step(challenge) or b"")

    def unwrap(self, challenge: bytes) -> _Asked:
        """Give what the server said under the context's protection."""
        return self._ask(lambda context: context.unwrap(challenge).data)

    def wrap(self, octets: bytes) -> _Asked:
        """Protect what we say: it can be read, and not be changed."""
        return self._ask(lambda context: context.wrap(octets, encrypt=False).data)

    def _ask(self, question: Callable[[_SecurityContext], bytes]) -> _Asked:
        answer = yield Compute(Stage.AUTH, partial(self._answer, question))
        if self._problem:
            refuse(f"{self._mechanism}: {self._problem}")
        return answer or b""

    def _answer(self, question: Callable[[_SecurityContext], bytes]) -> bytes:
        try:
            if self._context is None:
                self._context = self._make()
            return question(self._context)
        except Exception as error:  # noqa: BLE001  # it reads what a server sends
            told = str(error) or type(error).__name__
            self._problem = printable(told.encode("utf-8", "surrogateescape"))
            return b""


class Gssapi:
    """GSSAPI: Kerberos, by the tickets of whoever runs us (RFC 4752).

    With `username` (a principal) and `password`, tickets are fetched for them.
    The server must be named as its principal is: smtp/host. No security layer is
    used; that is TLS's task.

    Raises `InvalidInput` without the extra `gssapi`, and for a user name
    without a password, or the other way round.
    """

    #: The names that it is offered by (RFC 4422 §3.1).
    names: tuple[str, ...] = ("GSSAPI",)

    def __init__(
        self, username: str | None = None, password: str | Secret | None = None
    ) -> None:
        #: Whose ticket it is; None for that of the process.
        self.username: str | None = username
        self._password = (
            password
            if password is None or isinstance(password, Secret)
            else Secret(password)
        )
        del password  # from here on no traceback with variables shows it
        _demand("GSSAPI", "gssapi", _KERBEROS)
        if (username is None) is not (self._password is None):
            msg = "username and password belong together"
            raise InvalidInput(msg)
        if username is not None and self._password is not None:
            Credentials(username, self._password)  # it checks both

    def __repr__(self) -> str:
        if self.username is None:
            return "Gssapi()"
        return f"Gssapi({self.username!r}, {self._password!r})"

    def respond(self, channel: Channel) -> Responses:
        """Establish the context, then decline security layers (RFC 4752 §3.1)."""
        if not channel.host:
            refuse("GSSAPI: the server has no name that a ticket could be for")
        dialogue = _Dialogue(channel, partial(self._context, channel.host))
        token = yield from dialogue.step(None)
        for _ in range(_MAX_TOKENS):
            challenge = yield token
            if challenge is None:
                refuse("GSSAPI: the server reported success before it proved itself")
            if dialogue.complete:
                break
            token = yield from dialogue.step(challenge)
        else:
            refuse(f"GSSAPI: no context after {_MAX_TOKENS} tokens")
        layers = yield from dialogue.unwrap(challenge)
        if len(layers) != len(_CHOICE) or not layers[0] & _NO_LAYER:
            refuse("GSSAPI: the server insists on a security layer")
        yield (yield from dialogue.wrap(_CHOICE))

    def _context(self, host: str) -> _SecurityContext:
        import spnego  # noqa: PLC0415  # an extra of the package

        return spnego.client(
            self.username,
            None if self._password is None else self._password.reveal(),
            hostname=host,
            service=_SERVICE,
            protocol="kerberos",
            context_req=spnego.ContextReq.mutual_auth
            | spnego.ContextReq.sequence_detect
            | spnego.ContextReq.integrity,
        )


class Ntlm(Credentials):
    r"""NTLM: what Microsoft's servers had before Kerberos (MS-SMTPNTLM).

    `username` may name a domain: `DOMAIN\user` or `user@domain`. Its
    cryptography is old, and the server proves nothing: it is used only where it
    is asked for by name.

    Raises `InvalidInput` without the extra `ntlm`, and where user name or
    password hold what cannot be sent.
    """

    #: The names that it is offered by (RFC 4422 §3.1).
    names: tuple[str, ...] = ("NTLM",)

    def __init__(self, username: str, password: str | Secret) -> None:
        secret = password if isinstance(password, Secret) else Secret(password)
        del password  # from here on no traceback with variables shows it
        super().__init__(username, secret)
        _demand("NTLM", "ntlm", ("spnego",))

    def respond(self, channel: Channel) -> Responses:
        """Say what we can, and answer the challenge (MS-SMTPNTLM 3.1.5)."""
        dialogue = _Dialogue(channel, partial(self._context, channel.host))
        challenge = yield (yield from dialogue.step(None))
        if challenge is None:
            refuse("NTLM: the server reported success without a challenge")
        yield (yield from dialogue.step(challenge))

    def _context(self, host: str) -> _SecurityContext:
        import spnego  # noqa: PLC0415  # an extra of the package

        return spnego.client(
            self.username,
            self._password.reveal(),
            hostname=host or "unspecified",
            service=_SERVICE,
            protocol="ntlm",
            options=spnego.NegotiateOptions.use_ntlm,
        )


def _demand(mechanism: str, extra: str, modules: tuple[str, ...]) -> None:
    for module in modules:
        if find_spec(module) is None:
            msg = f"{mechanism} needs {module}: pip install 'esmtp-async[{extra}]'"
            raise InvalidInput(msg)
