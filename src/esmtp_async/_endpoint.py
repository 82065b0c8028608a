"""Where the server is and how it is spoken to: hosts, ports, URLs."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from esmtp_async.protocol._addresses import domain_name
from esmtp_async.protocol._exceptions import InvalidInput, check_type
from esmtp_async.protocol._outcomes import Stage


class Security(StrEnum):
    """How a connection is protected; see `SMTPClient`."""

    #: TLS from the first octet (RFC 8314 §3.3).
    TLS = "tls"
    #: STARTTLS, or no mail (RFC 3207).
    STARTTLS = "starttls"
    #: STARTTLS where it is offered; no credentials without it.
    OPPORTUNISTIC = "opportunistic"
    #: No TLS; no credentials, unless allowed by name.
    PLAINTEXT = "plaintext"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server: TCP host and port, or the path of a unix socket."""

    host: str = "localhost"
    port: int = 0
    #: The unix socket; None for TCP.
    path: str | None = None
    #: Whether LMTP is spoken (RFC 2033).
    lmtp: bool = False

    @property
    def is_local(self) -> bool:
        """Whether nothing leaves this machine: a unix socket or a loopback address."""
        if self.path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        """Give `host:port` or the path."""
        if self.path is not None:
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


# What the ports are for that have a meaning (RFC 8314 §3.3, §7.3).
_USUAL: Final = {
    25: Security.STARTTLS,
    465: Security.TLS,
    587: Security.STARTTLS,
}


# Where nobody answers (RFC 8314 §3.3: mail is submitted on 465 and 587).
_UNREACHED: Final = {
    25: "; many networks let nothing out to port 25: submit mail on 587 or 465"
}
_UNREACHED_ELSEWHERE: Final = "; nobody answers, as where a firewall stands between"
_CROWDED: Final = "; every connection was in use: max_connections says how many"


def advice(endpoint: Endpoint, security: Security, stage: Stage) -> str:
    """Tell what to try where a server does not speak at a stage as was expected.

    It is the end of a message, and empty where there is nothing to try.
    """
    if stage is Stage.POOL:
        return _CROWDED
    if endpoint.path is not None:
        return ""
    if stage is Stage.CONNECT:
        unreached = _UNREACHED.get(endpoint.port, _UNREACHED_ELSEWHERE)
        return "" if endpoint.is_local else unreached
    at_once = security is Security.TLS
    expected = Stage.TLS if at_once else Stage.GREETING
    return _other_security(endpoint.port, at_once=at_once) if stage is expected else ""


def _other_security(port: int, *, at_once: bool) -> str:
    usual = _USUAL.get(port)
    if usual is None:
        if at_once:
            return "; if TLS begins with STARTTLS on this port: security='starttls'"
        return "; if this port speaks TLS from the first octet: security='tls'"
    if (usual is Security.TLS) is at_once:
        return ""
    return f"; port {port} is for security='{usual.value}'"


@dataclass(frozen=True, slots=True)
class Target:
    """What the text of a server comes to, with what a URL may hold beside it."""

    host: str
    port: int | None = None
    path: str | None = None
    lmtp: bool = False
    security: Security | None = None
    username: str | None = None
    password: str | None = None
    options: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        """Show no password."""
        return f"<Target {self.host or self.path}>"


# Scheme to: LMTP?, unix socket?, security.
_SCHEMES: Final = {
    "smtp": (False, False, None),
    "smtps": (False, False, Security.TLS),
    "submission": (False, False, Security.STARTTLS),
    "submissions": (False, False, Security.TLS),
    "lmtp": (True, False, None),
    "lmtp+unix": (True, True, None),
    "smtp+unix": (False, True, None),
}

_MAX_PORT: Final = 65535
_DIGITS: Final = re.compile(r"[0-9]{1,5}")

# What urlsplit() takes out of a URL without a word.
_TAKEN_OUT: Final = re.compile(r"[\0-\x1f]|\A | \Z")

# ZoneID = 1*( unreserved / pct-encoded )              (RFC 6874 §2)
_ZONE: Final = re.compile(r"[A-Za-z0-9._~-]+")


def check_host(what: str, text: str) -> str:
    """Check a host: an address, or a name, which comes back as A-labels.

    One trailing dot only says that a name is absolute (RFC 1034 §3.1).
    """
    try:
        return _host(text)
    except InvalidInput as error:
        msg = f"{what}: {error}"
        raise InvalidInput(msg) from None


def _host(text: str) -> str:
    name = text.removesuffix(".")
    address, percent, zone = name.strip("[]").partition("%")
    try:
        # The standard library takes any zone, line ends included.
        if not percent or (":" in address and _ZONE.fullmatch(zone)):
            return f"{ipaddress.ip_address(address)}{percent}{zone}"
    except ValueError:
        pass
    # Names that a resolver takes, though DNS host names may not have "_".
    if name.isascii() and "_" in name:
        domain_name(name.replace("_", "-"))
        return name.lower()
    return domain_name(name).lower()


def check_port(port: object) -> int:
    """Refuse what is no TCP port."""
    check_type("port", port, int)
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port <= _MAX_PORT:
        msg = f"port {port!r} is not a number from 1 to {_MAX_PORT}"
        raise InvalidInput(msg)
    return port


def parse_server(text: str) -> Target:
    """Read a host, `host:port`, `[address]:port` or URL; raises `InvalidInput`."""
    check_type("server", text, str)
    if not text:
        msg = "server is '', not a host name, an address or a URL"
        raise InvalidInput(msg)
    if "://" in text:
        return parse_url(text)
    if "@" in text:
        msg = "server has an @ but no scheme, such as smtps://user:password@host"
        raise InvalidInput(msg)
    host, colon, port = text.rpartition(":")
    if text.count(":") > 1 and not text.startswith("["):
        host, colon, port = text, "", ""  # an IPv6 address without a port
    elif not colon or port.endswith("]"):
        host, port = text, ""
    if colon and not port and host != text:
        msg = f"server {text!r} ends in a colon without a port"
        raise InvalidInput(msg)
    return Target(check_host("server", host), _port(port, text) if port else None)


def _port(text: str, where: str) -> int:
    if not _DIGITS.fullmatch(text):
        msg = f"port {text!r} of server {where!r} is not a number"
        raise InvalidInput(msg)
    return check_port(int(text))


def parse_url(url: str) -> Target:
    """Read a URL of `SMTPClient.from_url`; no error shows its password."""
    parts, port = split_url("server URL", url)
    scheme = parts.scheme.lower()
    if scheme not in _SCHEMES:
        msg = f"URL scheme {parts.scheme!r} is none of {', '.join(_SCHEMES)}"
        raise InvalidInput(msg)
    lmtp, unix, security = _SCHEMES[scheme]
    check_rest(parts, unix=unix)
    try:
        return Target(
            host="" if unix else check_host("server URL", zoned(parts.hostname or "")),
            port=None if port is None else check_port(port),
            path=decoded(parts.path) if unix else None,
            lmtp=lmtp,
            security=security,
            username=None if parts.username is None else decoded(parts.username),
            password=None if parts.password is None else decoded(parts.password),
            options=tuple(
                parse_qsl(parts.query, keep_blank_values=True, errors="strict")
            ),
        )
    except UnicodeDecodeError:
        msg = "the server URL has octets that are not UTF-8 behind a %"
        raise InvalidInput(msg) from None


def zoned(host: str) -> str:
    """Give a host of a URL, where the % before a zone is encoded (RFC 6874 §2)."""
    return host.replace("%25", "%", 1) if ":" in host else host


def decoded(text: str) -> str:
    """Undo the percent-encoding of a part of a URL; raises `UnicodeDecodeError`."""
    return unquote(text, errors="strict")


def split_url(what: str, url: str) -> tuple[SplitResult, int | None]:
    """Split a URL into its parts, and give its port; no error shows its password."""
    if _TAKEN_OUT.search(url):
        msg = f"the {what} holds a control character, or a space at an end"
        raise InvalidInput(msg)
    with suppress(ValueError):
        parts = urlsplit(url)
        # An @ behind ? or # ends a password that holds one of them.
        if "@" not in parts.query + parts.fragment:
            return parts, parts.port
    msg = (
        f"the {what} has no host and port that can be read; / ? # @ : [ ] and % "
        "in user and password must be percent-encoded"
    )
    raise InvalidInput(msg)


def check_rest(parts: SplitResult, *, unix: bool) -> None:
    """Refuse a URL whose path or fragment means nothing, or that names no place."""
    problem = ""
    if unix and (parts.hostname or not parts.path.strip("/")):
        problem = f"needs a path, {parts.scheme}:///path"
    elif unix and "%00" in parts.path:
        problem = "has a NUL in its path"
    elif not unix and not parts.hostname:
        problem = "names no host"
    elif not unix and parts.path.strip("/"):
        problem = "has a path, which means nothing"
    elif parts.fragment:
        problem = "has a fragment, which means nothing"
    if problem:
        msg = f"the {parts.scheme} URL {problem}"
        raise InvalidInput(msg)
