"""The configuration of a client, checked once, when the client is made."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Final, TypedDict, TypeVar

from esmtp_async._endpoint import (
    Endpoint,
    Security,
    Target,
    advice,
    check_host,
    check_port,
    parse_server,
)
from esmtp_async._events import Listener
from esmtp_async._observer import checked as checked_listeners
from esmtp_async._pace import RateLimit, check_count
from esmtp_async._proxy import Detour, parse_proxy
from esmtp_async._roster import PoolLimits
from esmtp_async._signing import Signer, Signers
from esmtp_async._signing import checked as checked_signers
from esmtp_async._timeouts import Timeouts, check_seconds
from esmtp_async._transport import Connect
from esmtp_async.protocol._addresses import domain_or_literal
from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.protocol._exchange import StartTLSPolicy
from esmtp_async.protocol._gateways import Attributes
from esmtp_async.protocol._gateways import checked as checked_attributes
from esmtp_async.protocol._outcomes import Stage
from esmtp_async.protocol._sasl import Login, Mechanism, Plain, Secret
from esmtp_async.protocol._scram import Scram, Unavailable


class Pipelining(StrEnum):
    """How much is sent before replies are read; see `SMTPClient`."""

    #: Each command waits for the reply to the one before.
    OFF = "off"
    #: Groups as RFC 2920 has them.
    CONFORMANT = "conformant"
    #: Mail data in the same group as the envelope, where CHUNKING is offered.
    EAGER = "eager"


class ClientOptions(TypedDict, total=False):
    """The keyword arguments of `SMTPClient`."""

    #: When TLS is used: `"tls"`, `"starttls"`, `"opportunistic"`, `"plaintext"`; None:
    #: by port and host (RFC 8314 §3.3).
    security: Security | str | None
    #: What is trusted, and our own certificate; None: the system's authorities.
    ssl_context: ssl.SSLContext | None
    #: The name for SNI and in the certificate; None: the host.
    server_hostname: str | None
    #: Who we are, with `password`.
    username: str | None
    #: Kept as a `Secret`.
    password: str | None
    #: The mechanisms, instead of `username` and `password`, in their order (RFC 4954).
    auth: Mechanism | Sequence[Mechanism] | None
    #: Whether credentials may go out without TLS; False unless given.
    allow_plaintext_auth: bool
    #: What EHLO says, a domain or an address literal; None: what this machine calls
    #: itself (RFC 5321 §4.1.1.1).
    client_hostname: str | None
    #: The address to connect from; None: the system chooses.
    local_address: str | None
    #: Makes the byte stream of a connection, in the place of TCP.
    connect: Connect | None
    #: The URL of a proxy to go through; a password in it is a secret.
    proxy: str | None
    #: Limits for the stages; a number is seconds for each but the final reply (RFC 5321
    #: §4.5.3.2).
    timeouts: Timeouts | float | None
    #: How many there are at once at most, 1 or more; 10 unless given.
    max_connections: int
    #: Behind so many messages a connection is closed; 100 unless given, None: never.
    max_messages_per_connection: int | None
    #: Seconds that a connection may lie idle; 45 unless given.
    max_idle: float
    #: Seconds that a connection is used for; None: for ever.
    max_age: float | None
    #: How many messages go in how much time, over the whole client.
    rate_limit: RateLimit | None
    #: Attributes of the client that a gateway speaks for (Postfix's XCLIENT).
    xclient: Attributes | None
    #: What signs each message.
    sign: Signer | Sequence[Signer] | None
    #: How much is sent before replies are read: `"off"`, `"conformant"` unless given,
    #: `"eager"` (RFC 2920, RFC 3030).
    pipelining: Pipelining | str
    #: Called with every `Event`, or several that are; what one raises is logged.
    on_event: Listener | Sequence[Listener] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`ClientOptions`, complete; what is derived from them is a property."""

    endpoint: Endpoint
    security: Security
    ssl_context: ssl.SSLContext | None
    server_hostname: str
    mechanisms: tuple[Mechanism, ...]
    allow_plaintext_auth: bool
    client_hostname: str | None
    local_address: str | None
    connect: Connect | None
    timeouts: Timeouts
    limits: PoolLimits
    rate_limit: RateLimit | None
    xclient: Attributes | None
    signers: Signers
    pipelining: Pipelining
    listeners: tuple[Listener, ...]

    @property
    def starttls(self) -> StartTLSPolicy:
        """What becomes of STARTTLS."""
        return _STARTTLS[self.security]

    @property
    def route(self) -> str:
        """The server, and the proxy on the way to it, if there is one."""
        way = self.connect
        through = f" through {way.proxy}" if isinstance(way, Detour) else ""
        return f"{self.endpoint}{through}"

    def advice(self, stage: Stage) -> str:
        """Tell what to try where the server does not speak at a stage as expected."""
        if stage is Stage.CONNECT and self.connect is not None:
            return ""  # we do not know where that goes
        return advice(self.endpoint, self.security, stage)


_STARTTLS: Final = {
    Security.TLS: StartTLSPolicy.NEVER,
    Security.STARTTLS: StartTLSPolicy.REQUIRED,
    Security.OPPORTUNISTIC: StartTLSPolicy.OPPORTUNISTIC,
    Security.PLAINTEXT: StartTLSPolicy.NEVER,
}

# RFC 8314 §3.3, §7.3; RFC 5321 §4.5.4.2; RFC 2033 §5 forbids LMTP on port 25.
_PORTS: Final = {
    Security.TLS: 465,
    Security.STARTTLS: 587,
    Security.OPPORTUNISTIC: 25,
    Security.PLAINTEXT: 25,
}
_LMTP_PORT: Final = 24
_SMTP_PORT: Final = 25
_SMTPS_PORT: Final = 465


def resolve(server: str, port: int | None, options: ClientOptions) -> Settings:
    """Check everything a caller may give; raises `InvalidInput`.

    Options in the query of a URL stand for arguments of the same name.
    """
    target = parse_server(server)
    options = _merge(options, target)
    _check_types(options)
    port = _one("port", port, target.port)
    if port is not None:
        check_port(port)
    given = _member(Security, "security", options.get("security"))
    endpoint = Endpoint(target.host, port or 0, target.path, target.lmtp)
    proxied = options.get("proxy") is not None
    security = _one("security", given, target.security) or _security(
        endpoint, proxied=proxied
    )
    if not endpoint.port:
        default = _LMTP_PORT if target.lmtp else _PORTS[security]
        endpoint = replace(endpoint, port=default)
    if target.lmtp and endpoint.port == _SMTP_PORT:
        msg = "LMTP must not be spoken on port 25 (RFC 2033 section 5)"
        raise InvalidInput(msg)
    name = options.get("client_hostname")
    certified = options.get("server_hostname")
    local = options.get("local_address")
    local = None if local is None else check_host("local_address", local)
    xclient, sign = options.get("xclient"), options.get("sign")
    return Settings(
        endpoint=endpoint,
        security=security,
        ssl_context=options.get("ssl_context"),
        # The zone of an IPv6 address means nothing beyond this machine.
        server_hostname=(target.host.partition("%")[0] or "localhost")
        if certified is None
        else check_host("server_hostname", certified),
        mechanisms=_mechanisms(options, target),
        allow_plaintext_auth=options.get("allow_plaintext_auth", False),
        client_hostname=None if name is None else _hello_name(name),
        local_address=local,
        connect=_connect(options, endpoint, local),
        timeouts=_timeouts(options.get("timeouts")),
        limits=_limits(options),
        rate_limit=options.get("rate_limit"),
        xclient=None if xclient is None else checked_attributes(xclient),
        signers=() if sign is None else checked_signers(sign),
        pipelining=_member(Pipelining, "pipelining", options.get("pipelining"))
        or Pipelining.CONFORMANT,
        listeners=checked_listeners(options.get("on_event")),
    )


def _one(what: str, given: _T | None, in_url: _T | None) -> _T | None:
    """Give the one of two values that is there."""
    if given is not None and in_url is not None and given != in_url:
        msg = f"{what} is given twice: beside the server and within it"
        raise InvalidInput(msg)
    return in_url if given is None else given


def _merge(options: ClientOptions, target: Target) -> ClientOptions:
    """Add the options of a URL; what stands there wins."""
    merged = options.copy()
    for name, text in target.options:
        if name not in _FROM_TEXT:
            msg = f"the server URL has the unknown option {name!r}"
            raise InvalidInput(msg)
        try:
            merged[name] = _FROM_TEXT[name](text)  # type: ignore[literal-required]
        except (ValueError, KeyError):
            msg = f"option {name} of the server URL is {text!r}, which cannot be read"
            raise InvalidInput(msg) from None
    return merged


_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}

# The arguments that can stand in a URL, and how they are read there.
_FROM_TEXT: Final[dict[str, Callable[[str], object]]] = {
    "security": str,
    "server_hostname": str,
    "allow_plaintext_auth": lambda text: _BOOLEANS[text.lower()],
    "client_hostname": str,
    "local_address": str,
    "proxy": str,
    "timeouts": float,
    "max_connections": int,
    "max_messages_per_connection": lambda text: None if text == "none" else int(text),
    "max_idle": float,
    "max_age": float,
    "rate_limit": RateLimit.parse,
    "pipelining": str,
}


# What the arguments must be that nothing else looks at.
_TYPES: Final[dict[str, type]] = {
    "ssl_context": ssl.SSLContext,
    "server_hostname": str,
    "username": str,
    "password": str,
    "allow_plaintext_auth": bool,
    "client_hostname": str,
    "local_address": str,
    "proxy": str,
    "rate_limit": RateLimit,
}


def _check_types(options: ClientOptions) -> None:
    for name, value in options.items():
        kind = _TYPES.get(name, object)
        callable_ = name != "connect" or callable(value)
        if value is not None and not (isinstance(value, kind) and callable_):
            expected = kind.__name__ if callable_ else "callable"
            msg = f"{name} is of type {type(value).__name__}, not {expected}"
            raise InvalidInput(msg)


def _security(endpoint: Endpoint, *, proxied: bool) -> Security:
    """Choose for a caller who did not: nothing in clear leaves the machine.

    What is local to a proxy is somewhere else.
    """
    if endpoint.port == _SMTPS_PORT:
        return Security.TLS
    here = endpoint.is_local and not proxied
    return Security.OPPORTUNISTIC if here else Security.STARTTLS


def _connect(
    options: ClientOptions, endpoint: Endpoint, local: str | None
) -> Connect | None:
    """Give what makes the stream, where that is not a connection of our own."""
    connect, proxy = options.get("connect"), options.get("proxy")
    if proxy is None:
        return connect
    if connect is not None:
        msg = "give either connect or proxy, not both"
        raise InvalidInput(msg)
    return Detour(parse_proxy(proxy), endpoint, local)


def _hello_name(name: str) -> str:
    try:
        return domain_or_literal(name)
    except InvalidInput as error:
        msg = f"client_hostname: {error}"
        raise InvalidInput(msg) from None


_E = TypeVar("_E", bound=Enum)
_T = TypeVar("_T")


def _member(kind: type[_E], what: str, value: _E | str | None) -> _E | None:
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError:
        choices = ", ".join(repr(member.value) for member in kind)
        msg = f"{what} is {value!r}, none of {choices}"
        raise InvalidInput(msg) from None


def _mechanisms(options: ClientOptions, target: Target) -> tuple[Mechanism, ...]:
    username = _one("username", options.get("username"), target.username)
    password = _one("password", options.get("password"), target.password)
    auth = options.get("auth")
    if auth is not None:
        if username is not None or password is not None:
            msg = "give either auth or username and password, not both"
            raise InvalidInput(msg)
        return _checked(tuple(auth) if isinstance(auth, Sequence) else (auth,))
    if username is None and password is None:
        return ()
    if not username or not password:
        missing = "password" if username else "username"
        msg = (
            f"{missing} is missing or empty: username and password belong together; "
            "without both (None) there is no authentication"
        )
        raise InvalidInput(msg)
    secret = Secret(password)
    in_clear = (Plain(username, secret), Login(username, secret))
    try:
        return (Scram(username, secret), *in_clear)
    except InvalidInput as problem:
        return (*in_clear, Unavailable(Scram.names, str(problem)))


def _checked(mechanisms: tuple[Mechanism, ...]) -> tuple[Mechanism, ...]:
    """Refuse what is no mechanism; nothing given may be shown, secrets are near."""
    for index, mechanism in enumerate(mechanisms):
        if not isinstance(mechanism, Mechanism):
            kind = type(mechanism).__name__
            msg = f"auth[{index}] is of type {kind}, not a mechanism such as Plain"
            raise InvalidInput(msg)
    if not mechanisms:
        msg = "auth names no mechanism"
        raise InvalidInput(msg)
    return mechanisms


def _timeouts(value: Timeouts | float | None) -> Timeouts:
    if value is None:
        return Timeouts()
    return value if isinstance(value, Timeouts) else Timeouts.each(value)


def _limits(options: ClientOptions) -> PoolLimits:
    connections = options.get("max_connections", 10)
    messages = options.get("max_messages_per_connection", 100)
    check_count("max_connections", connections)
    if messages is not None:
        check_count("max_messages_per_connection", messages)
    idle, age = options.get("max_idle", 45.0), options.get("max_age")
    check_seconds("max_idle", idle)
    if age is not None:
        check_seconds("max_age", age)
    return PoolLimits(
        max_connections=connections,
        max_messages=messages,
        max_idle=idle,
        max_age=age,
    )
