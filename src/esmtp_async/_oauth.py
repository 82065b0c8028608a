"""Authentication by OAuth 2.0 bearer tokens: OAUTHBEARER (RFC 7628), XOAUTH2.

The token may come from a function of the caller's, which is asked at each new
connection. Connections are often opened several at a time: those who ask while
a call is on its way share its result.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, Self

import anyio
from anyio.lowlevel import RunVar

from esmtp_async.protocol._asks import Fetch
from esmtp_async.protocol._exceptions import (
    AuthenticationFailed,
    InvalidInput,
    bare,
)
from esmtp_async.protocol._outcomes import Stage
from esmtp_async.protocol._redaction import Sealed
from esmtp_async.protocol._replies import printable
from esmtp_async.protocol._sasl import (
    Channel,
    Responses,
    Secret,
    problem_with,
    refuse,
)

#: Gives a token; it is its part to keep one for as long as it is good.
TokenSource = Callable[[], Awaitable[str]]

#: Octets of a server's account of its refusal that are looked at.
_MAX_ACCOUNT: Final = 4096

# A b64token (RFC 6750 §2.1) and what else is seen; never a separator.
_TOKEN: Final = re.compile(r"[!-~]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
# What separates the fields of a GS2 header (RFC 5801 §4).
_SASLNAME: Final = str.maketrans({",": "=2C", "=": "=3D"})


class _Call:
    """A call that is on its way, for whoever waits for it."""

    def __init__(self) -> None:
        self.over = anyio.Event()
        #: What came of it; None if it was cancelled.
        self.result: Secret | Exception | None = None


class _Shared:
    """Asks a function, once for all who ask at the same time on an event loop."""

    def __init__(self, function: TokenSource) -> None:
        self._function = function
        self._call = RunVar[_Call | None]("token", None)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: what the function holds may be secret."""
        msg = "what asks for tokens cannot be pickled"
        raise TypeError(msg)

    async def token(self) -> Secret:
        """Give a token, or raise what the function raises.

        Where the one whose call it is was cancelled, another one of those who
        wait calls in its place.
        """
        while (call := self._call.get()) is not None:
            await call.over.wait()
            if isinstance(call.result, Exception):
                raise call.result
            if call.result is not None:
                return call.result
        call = _Call()
        self._call.set(call)
        try:
            call.result = token = _checked(await self._begin())
        except Exception as error:
            call.result = error
            raise
        finally:
            self._call.set(None)
            call.over.set()
        return token

    def _begin(self) -> Awaitable[str]:
        begun: object = self._function()
        if isinstance(begun, Awaitable):
            return begun
        kind = type(begun).__name__
        del begun  # it may be a token
        msg = f"the token function gave a {kind}, not an awaitable: is it async?"
        raise InvalidInput(msg)


class _Fixed:
    """Always has the same token."""

    def __init__(self, token: str | Secret) -> None:
        self._token = token if isinstance(token, Secret) else _checked(token)

    async def token(self) -> Secret:
        """Give it."""
        return self._token


def _checked(token: object) -> Secret:
    if not isinstance(token, str):
        problem = f"is of type {type(token).__name__}, not str"
    elif not _TOKEN.fullmatch(token):
        problem = "is not made of visible ASCII characters" if token else "is empty"
    else:
        return Secret(token)
    del token  # from here on no traceback with variables shows it
    msg = f"the token {problem}"
    raise InvalidInput(msg)


class _Bearer(ABC):
    """What the two have in common: a message with a token, and a way to be refused."""

    names: tuple[str, ...]
    #: What the server's account of its refusal is answered with.
    _acknowledgement: bytes

    def __init__(self, username: str, token: str | Secret | TokenSource) -> None:
        #: Who we are.
        self.username: str = username
        try:
            _check_username(username)
            self._source = _Shared(token) if callable(token) else _Fixed(token)
        except InvalidInput as error:
            # Nor may a traceback with variables show a token.
            raise bare(error) from None
        finally:
            del token
        self._refused: Secret | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.username!r}, Secret('***'))"

    def respond(self, channel: Channel) -> Responses:
        """Give the one message; acknowledge what the server tells of a refusal."""
        token = Secret(((yield Fetch(Stage.AUTH, self._fetch)) or b"").decode())
        account: bytes | None = None
        try:
            account = yield Sealed(
                self._message(channel, token), token.reveal().encode()
            )
            if account is not None:
                yield self._acknowledgement
        except AuthenticationFailed as refusal:
            self._refused = token
            refusal.details = _details(account or b"", self._message(channel, token))
            raise
        if account is not None:
            refuse(
                f"{channel.mechanism}: the server told of a failure, then of success"
            )

    async def renewed(self) -> Self | None:
        """Ask for the token again; None where it is the one that was refused."""
        token = await self._source.token()
        return None if token == self._refused else type(self)(self.username, token)

    async def _fetch(self) -> bytes:
        return (await self._source.token()).reveal().encode()

    @abstractmethod
    def _message(self, channel: Channel, token: Secret, /) -> bytes:
        """Give what the server is to know."""


class XOAuth2(_Bearer):
    """XOAUTH2: a user and a bearer token, as Google and Microsoft have it.

    `token` is the token, or an async function that gives one: it is asked at
    each new connection, and once more where the server refuses its token. If it
    then gives another one, that is tried on a new connection, once.

    Raises `InvalidInput` where user name or token hold what cannot be sent.
    """

    #: The names that it is offered by (RFC 4422 §3.1).
    names: tuple[str, ...] = ("XOAUTH2",)
    _acknowledgement = b""

    def _message(self, _channel: Channel, token: Secret, /) -> bytes:
        fields = (f"user={self.username}", f"auth=Bearer {token.reveal()}", "", "")
        return "\1".join(fields).encode()


class OAuthBearer(_Bearer):
    """OAUTHBEARER: a user and a bearer token (RFC 7628, RFC 6750).

    `token` is the token, or an async function that gives one: it is asked at
    each new connection, and once more where the server refuses its token. If it
    then gives another one, that is tried on a new connection, once.

    Raises `InvalidInput` where user name or token hold what cannot be sent.
    """

    #: The names that it is offered by (RFC 4422 §3.1).
    names: tuple[str, ...] = ("OAUTHBEARER",)
    _acknowledgement = b"\1"  # RFC 7628 §3.2.3

    def _message(self, channel: Channel, token: Secret, /) -> bytes:
        """Give the GS2 header and the key/value pairs (RFC 7628 §3.1)."""
        fields = [f"n,a={self.username.translate(_SASLNAME)},"]
        if channel.host:
            fields.append(f"host={channel.host}")
        if channel.port:
            fields.append(f"port={channel.port}")
        return "\1".join((*fields, f"auth=Bearer {token.reveal()}", "", "")).encode()


def _check_username(username: object) -> None:
    problem = "is empty" if username == "" else problem_with(username)
    if not problem and _CONTROL.search(str(username)):
        problem = "holds a control character"  # U+0001 separates the fields
    if problem:
        msg = f"the username {problem}"
        raise InvalidInput(msg)


def _details(account: bytes, message: bytes) -> dict[str, str]:
    """Read a server's account of its refusal (RFC 7628 §3.2.2), as far as it is one.

    That is a JSON object; its strings are given, safe to print, without what we
    said ourselves.
    """
    if len(account) > _MAX_ACCOUNT:
        return {}
    try:
        told: object = json.loads(
            account.decode(), object_pairs_hook=_each_once, parse_constant=_no_number
        )
    except (ValueError, RecursionError):
        return {}
    if not isinstance(told, dict):
        return {}
    ours = (message.partition(b"Bearer ")[2].rstrip(b"\1"), b64encode(message))
    return {
        _shown(name, ours): _shown(value, ours)
        for name, value in told.items()
        if isinstance(value, str)
    }


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        msg = "a member stands there twice"
        raise ValueError(msg)
    return members


def _no_number(name: str) -> NoReturn:
    msg = f"{name} is no JSON"
    raise ValueError(msg)


def _shown(text: str, ours: tuple[bytes, ...]) -> str:
    octets = text.encode("utf-8", "surrogatepass")
    for secret in ours:
        octets = octets.replace(secret, b"<redacted>")
    return printable(octets)
