"""Connections through a proxy: SOCKS5 (RFC 1928), SOCKS4a, HTTP's CONNECT (RFC 9110).

The proxy is asked for the server by its name, which is looked up there. What comes of
it is a stream as any other: TLS goes through it, between this machine and the server.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final
from urllib.parse import SplitResult

import anyio
from anyio.abc import ByteStream

from esmtp_async import _transport
from esmtp_async._endpoint import (
    Endpoint,
    check_host,
    check_port,
    check_rest,
    decoded,
    split_url,
    zoned,
)
from esmtp_async._transport import STREAM_ERRORS, Connect, reasons_of
from esmtp_async.protocol._exceptions import (
    ConnectFailed,
    InvalidInput,
    bare,
    check_type,
)
from esmtp_async.protocol._outcomes import Stage
from esmtp_async.protocol._redaction import Redaction
from esmtp_async.protocol._replies import printable
from esmtp_async.protocol._sasl import Secret

#: Characters of what a proxy says that are shown, at most.
_SHOWN: Final = 200

# Scheme to: what is spoken, and the port that is taken where the URL names none.
_SCHEMES: Final = {
    "socks5": ("socks5", 1080),
    "socks5h": ("socks5", 1080),  # what curl calls it, with names looked up there
    "socks4a": ("socks4a", 1080),
    "http": ("http", 0),  # on no port more than on another
}

# What may stand in user name and password: of SOCKS 1 to 255 octets (RFC 1929), which
# python-socks wants to be ASCII; of HTTP all but controls (RFC 7617 §2).
_ASCII: Final = re.compile(r"[ -~]{0,255}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def through_proxy(proxy: str, host: str, port: int) -> Connect:
    """Make what `SMTPClient(connect=)` wants: a function that connects by a proxy.

    `SMTPClient(server, proxy=)` does all of it; this is for a server that the proxy
    knows by another name or address than the client is to verify.

    Args:
        proxy: `socks5://user:password@host:port`, `socks4a://user@host:port` or
            `http://user:password@host:port` (by its method CONNECT). SOCKS has port
            1080 unless told otherwise. `socks5h` is `socks5`. User and password are
            percent-encoded; they go to the proxy in clear.
        host: what the proxy is asked for, and looks up: a name or an address.
        port: the TCP port there.

    Returns:
        A function whose streams go to `host`. It raises `ConnectFailed`, in whose text
        the proxy is named: `temporary` is false where the proxy wants another user or
        password, does not allow the server, or is none.

    Raises:
        InvalidInput: for what cannot be used so, and without the extra `proxy`.
    """
    try:
        return Detour(parse_proxy(proxy), Endpoint(check_host("host", host), port))
    except InvalidInput as error:
        # Nor may a traceback with variables show a password.
        raise bare(error) from None
    finally:
        del proxy


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and what it is to be told of us."""

    kind: str
    endpoint: Endpoint
    username: str
    password: Secret

    def __repr__(self) -> str:
        """Show where it is, and no password."""
        return f"<Proxy {self}>"

    def __str__(self) -> str:
        """Give its URL, without user and password."""
        return f"{self.kind}://{self.endpoint}"


def parse_proxy(url: str) -> Proxy:
    """Read the URL of a proxy; raises `InvalidInput`, which shows no password."""
    check_type("proxy", url, str)
    if "://" not in url:
        msg = "proxy has no scheme, such as socks5://"
        raise InvalidInput(msg)
    parts, port = split_url("proxy URL", url)
    if parts.scheme not in _SCHEMES:
        known = ", ".join(_SCHEMES)
        msg = f"the scheme {parts.scheme!r} of the proxy URL is none of {known}"
        raise InvalidInput(msg)
    check_rest(parts, unix=False)
    if parts.query:
        msg = f"the {parts.scheme} URL of the proxy has a query, which means nothing"
        raise InvalidInput(msg)
    kind, usual = _SCHEMES[parts.scheme]
    if not usual and port is None:
        msg = "the proxy URL names no port; http:// proxies have no usual one"
        raise InvalidInput(msg)
    host = check_host("proxy URL", zoned(parts.hostname or ""))
    at = Endpoint(host, check_port(usual if port is None else port))
    if find_spec("python_socks") is None:
        msg = "proxy needs python-socks: pip install 'esmtp-async[proxy]'"
        raise InvalidInput(msg)
    return Proxy(kind, at, *_credentials(kind, parts))


def _credentials(kind: str, parts: SplitResult) -> tuple[str, Secret]:
    try:
        username = decoded(parts.username or "")
        password = decoded(parts.password or "")
    except UnicodeDecodeError:
        msg = "the proxy URL has octets that are not UTF-8 behind a %"
        raise InvalidInput(msg) from None
    problem = ""
    both = username + password
    if kind == "socks4a" and password:
        problem = "SOCKS4 has user names, but no password"
    elif kind != "socks4a" and bool(username) is not bool(password):
        problem = "user name and password belong together"
    elif kind == "http" and ":" in username:
        problem = "a user name of HTTP holds no colon"
    elif kind == "http" and _CONTROL.search(both):
        problem = "user name or password holds a control character"
    elif kind != "http" and not all(map(_ASCII.fullmatch, (username, password))):
        problem = "user name or password is not visible ASCII of 255 characters at most"
    if problem:
        msg = f"the proxy URL cannot be used: {problem}"
        raise InvalidInput(msg)
    return username, Secret(password)


class Detour:
    """Connects to a server by a proxy, as often as it is called."""

    def __init__(
        self, proxy: Proxy, server: Endpoint, local_address: str | None = None
    ) -> None:
        """Check that this proxy can be asked for this server; raises `InvalidInput`."""
        check_port(server.port)
        problem = ""
        if server.path is not None:
            problem = "a unix socket"
        elif "%" in server.host:
            problem = "an address with a zone, which means nothing elsewhere"
        elif proxy.kind == "socks4a" and ":" in server.host:
            problem = "an IPv6 address, of which SOCKS4 knows nothing"
        if problem:
            msg = f"{server} cannot be reached through {proxy}: it is {problem}"
            raise InvalidInput(msg)
        self.proxy = proxy
        self.server = server
        self._local_address = local_address

    def __repr__(self) -> str:
        """Show both ends."""
        return f"<{self.server} through {self.proxy}>"

    async def __call__(self) -> ByteStream:
        """Connect; raises `ConnectFailed`, and leaves no connection behind."""
        stream = await self._dial()
        try:
            failed = await self._ask(stream)
        except BaseException as error:  # noqa: BLE001  # all of it goes on
            with anyio.CancelScope(shield=True):
                await _transport.abort(stream)
            # What it went through had the password in variables.
            error.__context__ = None
            raise error.with_traceback(None) from None
        if failed is None:
            return stream
        await _transport.abort(stream)
        raise failed

    async def _dial(self) -> ByteStream:
        try:
            return await _transport.dial(self.proxy.endpoint, self._local_address)
        except STREAM_ERRORS as error:
            msg = f"cannot connect to the proxy {self.proxy}: {reasons_of(error)}"
            raise ConnectFailed(msg, stage=Stage.CONNECT, temporary=True) from error

    async def _ask(self, stream: ByteStream) -> ConnectFailed | None:
        """Have the proxy connect; give the error if it does not."""
        from esmtp_async._proxy_dialogue import ask  # noqa: PLC0415  # an extra

        proxy, server = self.proxy, self.server
        refusal = await ask(
            stream,
            proxy.kind,
            server.host,
            server.port,
            username=proxy.username,
            password=proxy.password.reveal(),
        )
        if refusal is None:
            return None
        phrase, temporary = refusal.reason.value
        msg = f"proxy {proxy} {phrase.format(server=server)}"
        if refusal.words:
            msg = f"{msg}: {self._shown(refusal.words)}"
        return ConnectFailed(msg, stage=Stage.CONNECT, temporary=temporary)

    def _shown(self, words: str) -> str:
        """Give what a proxy says, safe to print, without what we said in confidence."""
        username, password = self.proxy.username, self.proxy.password.reveal()
        redact = Redaction()
        redact.add((password.encode(), b64encode(f"{username}:{password}".encode())))
        return printable(redact(words.encode("utf-8", "surrogateescape")))[:_SHOWN]
