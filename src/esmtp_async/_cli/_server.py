"""Which server, and as whom: what options, environment and profiles tell together.

Each is an account, and the first that tells something wins: the options, the profile
that they name, the environment, the profile `default`. One that names a server of its
own is left out as a whole where a server was named before: its user and its password
are for that server, and not for another.
"""

from __future__ import annotations

import argparse
import os
import shlex
import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from esmtp_async._cli._mechanisms import MECHANISMS
from esmtp_async._cli._output import reason
from esmtp_async._cli._passwords import asked_for, from_command
from esmtp_async._cli._profiles import (
    DEFAULT,
    Account,
    config_path,
    has_password,
    read_profile,
)
from esmtp_async._endpoint import parse_server
from esmtp_async._settings import ClientOptions
from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.protocol._sasl import Secret

_T = TypeVar("_T")

_OPTIONS: Final = "the command line"
_READABLE: Final = (
    "others can read what stands on a command line; ESMTP_PASSWORD and "
    "--password-command are for that"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A server, and what a client of it is made with."""

    server: str
    port: int | None
    options: ClientOptions


class NoPassword(argparse.Action):
    """Refuses a password, and does not show it, as what is no option would be."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        _namespace: argparse.Namespace,
        _values: object,
        _option_string: str | None = None,
    ) -> NoReturn:
        """Refuse it; raises `InvalidInput`."""
        msg = f"a password is not given so; {_READABLE}"
        raise InvalidInput(msg)


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add the options that tell the server; the option `server` is another's."""
    group = parser.add_argument_group("the server")
    add = group.add_argument
    add(
        "--server",
        help="host, host:port or URL (or else of the profile, ESMTP_SERVER, localhost)",
    )
    add_account(group)


def add_account(group: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the options that tell how to talk to it, and as whom."""
    add = group.add_argument
    add("--profile", metavar="NAME", help="a profile of the configuration file")
    add(
        "--config",
        type=Path,
        metavar="FILE",
        help="the configuration file (~/.config/esmtp/config.toml)",
    )
    add(
        "--security",
        choices=["tls", "starttls", "opportunistic", "plaintext"],
        help="when TLS begins (by port and host)",
    )
    add(
        "--proxy",
        metavar="URL",
        help="go through socks5://, socks4a:// or http:// (or as ESMTP_PROXY)",
    )
    add(
        "--ca-file",
        type=Path,
        metavar="PEM",
        help="trust these certificates, and no others",
    )
    add("--username", help="authenticate (or as ESMTP_USERNAME)")
    add(
        "--password-command",
        metavar="COMMAND",
        help=(
            "what tells the password, in its first line; without, it is that of "
            "ESMTP_PASSWORD, or is asked for"
        ),
    )
    add("--auth", choices=list(MECHANISMS), help="the mechanism to use")
    add("--password", action=NoPassword, help=argparse.SUPPRESS)


def service(options: argparse.Namespace, *, anonymous: bool = False) -> Service:
    """Give the server, and what a client is made with; a password may be asked for.

    `anonymous` leaves out who we are. Raises `InvalidInput` and `OSError`.
    """
    accounts = _applicable(_accounts(options))
    server = _named(accounts)
    made_with = ClientOptions()
    for account in reversed(accounts):
        made_with.update(account.options)
    made_with["ssl_context"] = _trusting(accounts)
    if options.security is not None:
        made_with["security"] = options.security
    if anonymous:
        server = without_user(server)
    else:
        _authenticate(accounts, server, made_with)
    port = _first(accounts, lambda account: account.port)
    return Service(server=server, port=port, options=made_with)


def _accounts(options: argparse.Namespace) -> Iterator[Account]:
    """Give what each place tells, the one that wins first."""
    yield _of_options(options)
    path: Path = options.config or config_path()
    named: str | None = options.profile
    if named is not None:
        profile = read_profile(path, named)
        if profile is None:
            msg = f"{path} has no profile [{named}]"
            raise InvalidInput(msg)
        if options.server is not None and profile.server is not None:
            msg = f"the profile {named!r} is of a server, and --server names another"
            raise InvalidInput(msg)
        yield profile
    yield _of_environment()
    if named is None and (options.config is not None or path.exists()):
        default = read_profile(path, DEFAULT)
        if default is not None:
            yield default


def _of_options(options: argparse.Namespace) -> Account:
    server: str | None = options.server
    if server is not None and has_password(server):
        msg = f"the URL of the server holds a password; {_READABLE}"
        raise InvalidInput(msg)
    proxy: str | None = options.proxy
    if proxy is not None and has_password(proxy):
        msg = (
            "the URL of the proxy holds a password; others can read what stands on a "
            "command line, but not ESMTP_PROXY"
        )
        raise InvalidInput(msg)
    return Account(
        where=_OPTIONS,
        server=server,
        options=_by(proxy),
        username=options.username,
        password_command=_split(options.password_command),
        auth=options.auth,
        ca_file=options.ca_file,
    )


def _split(command: str | None) -> tuple[str, ...] | None:
    """Read a command as a shell would; it is not run by one."""
    if command is None:
        return None
    try:
        arguments = tuple(shlex.split(command))
    except ValueError as error:
        msg = f"--password-command cannot be read: {error}"
        raise InvalidInput(msg) from None
    if not arguments:
        msg = "--password-command is empty"
        raise InvalidInput(msg)
    return arguments


def _by(proxy: str | None) -> ClientOptions:
    return ClientOptions() if proxy is None else ClientOptions(proxy=proxy)


def _of_environment() -> Account:
    password = _variable("PASSWORD")
    return Account(
        where="the environment",
        server=_variable("SERVER"),
        options=_by(_variable("PROXY")),
        username=_variable("USERNAME"),
        password=None if password is None else Secret(password),
    )


def _variable(name: str) -> str | None:
    """Give a variable of the environment, unless it is empty."""
    return os.environ.get(f"ESMTP_{name}") or None


def _applicable(accounts: Iterable[Account]) -> list[Account]:
    """Leave out those that are of another server than the one that was named."""
    kept: list[Account] = []
    for account in accounts:
        if account.server is None or all(each.server is None for each in kept):
            kept.append(account)
    return kept


def _first(accounts: list[Account], tell: Callable[[Account], _T | None]) -> _T | None:
    return next((told for each in accounts if (told := tell(each)) is not None), None)


def _named(accounts: list[Account]) -> str:
    """Give the server that is named first; raises `InvalidInput`, and says where."""
    for account in accounts:
        if account.server is not None:
            try:
                parse_server(account.server)
            except InvalidInput as error:
                msg = f"{account.where}: {error}"
                raise InvalidInput(msg) from None
            return account.server
    return "localhost"


def _trusting(accounts: list[Account]) -> ssl.SSLContext | None:
    for account in accounts:
        if account.ca_file is not None:
            try:
                return ssl.create_default_context(cafile=account.ca_file)
            except OSError as error:
                given = account.where is _OPTIONS
                where = "--ca-file" if given else f"{account.where}: ca_file"
                problem = f"cannot be used: {reason(error)}"
                msg = f"{where} {str(account.ca_file)!r} {problem}"
                raise InvalidInput(msg) from None
    return None


def _authenticate(
    accounts: list[Account], server: str, made_with: ClientOptions
) -> None:
    target = parse_server(server)
    username = target.username or _first(accounts, lambda account: account.username)
    auth = _first(accounts, lambda account: account.auth)
    if username is None:
        if auth is not None and accounts[0].auth is not None:
            msg = "--auth needs --username"
            raise InvalidInput(msg)
        return
    if target.password is not None:
        return  # the client reads it there
    password = _password(accounts, username)
    if auth is not None:
        made_with["auth"] = MECHANISMS[auth](username, password)
        return
    made_with["password"] = password.reveal()
    if target.username is None:
        made_with["username"] = username


def _password(accounts: list[Account], username: str) -> Secret:
    """Get the password of a user: not that of another, where one is named with it."""
    for account in accounts:
        if account.username in {None, username}:
            if account.password_command is not None:
                return from_command(account.password_command)
            if account.password is not None:
                return account.password
    unset = "ESMTP_PASSWORD is not set, there is no password command"
    return asked_for(f"of {username}", unset)


def without_user(server: str) -> str:
    """Give a URL without user and password; what is no URL has none."""
    scheme, separator, rest = server.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
