"""Profiles: what a file of the user's tells of servers, and of who we are there.

::

    [default]                           # unless a server is named otherwise
    server = "smtp.example.com"
    username = "alice"
    password_command = ["pass", "show", "mail/alice"]

    [work]                              # --profile work
    server = "submissions://smtp.work.example"
    timeouts = { connect = 5, command = 30 }

The file holds no password: it names a command that tells one.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Final, TypeVar

from esmtp_async._cli._mechanisms import MECHANISMS
from esmtp_async._pace import RateLimit
from esmtp_async._settings import ClientOptions, resolve
from esmtp_async._timeouts import Timeouts
from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.protocol._sasl import Secret

#: The profile that is used unless another is named.
DEFAULT: Final = "default"

_NOT_KEPT: Final = (
    "a password is not kept in a file; password_command names what tells it"
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What one place tells of a server and of who we are there; None: nothing."""

    #: Which place that is, for complaints.
    where: str
    server: str | None = None
    port: int | None = None
    username: str | None = None
    password: Secret | None = None
    #: Arguments of a program whose first line of output is the password.
    password_command: tuple[str, ...] | None = None
    #: The name of a SASL mechanism.
    auth: str | None = None
    ca_file: Path | None = None
    options: ClientOptions = field(default_factory=ClientOptions)


def config_path() -> Path:
    """Give where the user's file is, if there is one (XDG Base Directory)."""
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    # Without a home, or relative to wherever we are, it is nobody's.
    return Path("/") / _expanded(home) / "esmtp" / "config.toml"


def _expanded(path: str) -> str:
    """Put in a user's home for `~`, if he has one."""
    return os.path.expanduser(path)  # noqa: PTH111  # which raises where he has none


def read_profile(path: Path, name: str) -> Account | None:
    """Read a profile; None if there is none of that name.

    Raises `InvalidInput`, which names the file and the key, and `OSError`.
    """
    try:
        profiles = tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:
        msg = f"{path} is not TOML: {error}"
        raise InvalidInput(msg) from None
    for key, values in profiles.items():
        if not isinstance(values, dict):
            msg = f"{path}: {key!r} stands outside of a profile, such as [{DEFAULT}]"
            raise InvalidInput(msg)
    if name not in profiles:
        return None
    account = _account(_Table(f"{path}: [{name}]", profiles[name]), path.parent)
    if account.password_command is not None:
        _check_owner(path)
    return account


def _account(table: _Table, folder: Path) -> Account:
    if table.has("password"):
        raise table.wrong("password", _NOT_KEPT)
    auth = table.text("auth")
    if auth is not None and auth not in MECHANISMS:
        problem = f"{auth!r} is none of {', '.join(MECHANISMS)}"
        raise table.wrong("auth", problem)
    ca_file = table.text("ca_file")
    account = Account(
        where=table.where,
        server=table.text("server"),
        port=table.whole("port"),
        username=table.text("username"),
        password_command=table.words("password_command"),
        auth=auth,
        ca_file=None if ca_file is None else folder / _expanded(ca_file),
        options=_options(table),
    )
    table.finish()
    for key, url in (
        ("server", account.server),
        ("proxy", account.options.get("proxy")),
    ):
        if url is not None and has_password(url):
            raise table.wrong(key, _NOT_KEPT)
    try:
        resolve(account.server or "localhost", account.port, account.options)
    except InvalidInput as error:
        msg = f"{table.where}: {error}"
        raise InvalidInput(msg) from None
    return account


def _options(table: _Table) -> ClientOptions:
    """Read the arguments of `SMTPClient` that a file can hold."""
    options = ClientOptions(
        security=table.text("security"),
        server_hostname=table.text("server_hostname"),
        client_hostname=table.text("client_hostname"),
        local_address=table.text("local_address"),
        pipelining=table.text("pipelining") or "conformant",
        timeouts=_timeouts(table),
        max_age=table.number("max_age"),
        rate_limit=_rate(table),
        allow_plaintext_auth=table.flag("allow_plaintext_auth") or False,
    )
    if (proxy := table.text("proxy")) is not None:
        options["proxy"] = proxy
    if (connections := table.whole("max_connections")) is not None:
        options["max_connections"] = connections
    if (messages := table.whole("max_messages_per_connection")) is not None:
        options["max_messages_per_connection"] = messages
    if (idle := table.number("max_idle")) is not None:
        options["max_idle"] = idle
    return options


def _timeouts(table: _Table) -> Timeouts | float | None:
    inner = table.table("timeouts")
    if inner is None:
        return table.number("timeouts")
    limits = Timeouts()
    given = {
        each.name: value
        for each in fields(limits)
        if each.init and (value := inner.number(each.name)) is not None
    }
    inner.finish()
    try:
        return Timeouts(**given)
    except InvalidInput as error:
        msg = f"{table.where}: {error}"
        raise InvalidInput(msg) from None


def _rate(table: _Table) -> RateLimit | None:
    text = table.text("rate_limit")
    if text is None:
        return None
    try:
        return RateLimit.parse(text)
    except ValueError:
        problem = f"{text!r} is not MESSAGES/SECONDS, such as '100/60'"
        raise table.wrong("rate_limit", problem) from None


def has_password(server: str) -> bool:
    """Tell whether a URL holds a password, whatever else is wrong with it."""
    user, at, _ = server.rpartition("@")
    return bool(at) and ":" in user.replace("://", "", 1)


def _check_owner(path: Path) -> None:
    """Refuse a file whose command somebody else could have written."""
    found = path.stat()
    if os.name == "posix" and (
        found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        or found.st_uid not in {0, os.getuid()}
    ):
        msg = (
            f"{path}: password_command is not run, for others can write to this "
            "file, or own it; chmod go-w"
        )
        raise InvalidInput(msg)


class _Table:
    """A table of the file, out of which each key is taken once, as what it must be."""

    def __init__(self, where: str, values: Mapping[str, object]) -> None:
        self.where = where
        self._values = values
        self._known: set[str] = set()

    def has(self, key: str) -> bool:
        """Tell whether a key stands there."""
        return key in self._values

    def wrong(self, key: str, problem: str) -> InvalidInput:
        """Tell what is wrong with a key."""
        return InvalidInput(f"{self.where}: {key}: {problem}")

    def text(self, key: str) -> str | None:
        """Take a string."""
        return self._taken(key, str, "a string")

    def whole(self, key: str) -> int | None:
        """Take a whole number."""
        return self._taken(key, int, "a whole number")

    def flag(self, key: str) -> bool | None:
        """Take true or false."""
        return self._taken(key, bool, "true or false")

    def number(self, key: str) -> float | None:
        """Take a number."""
        if isinstance(self._values.get(key), float):
            return self._taken(key, float, "a number")
        return self._taken(key, int, "a number")

    def words(self, key: str) -> tuple[str, ...] | None:
        """Take a list of strings that is not empty."""
        what = "a list of strings"
        words = self._taken(key, list, what)
        if words is None:
            return None
        texts = tuple(word for word in words if isinstance(word, str))
        if len(texts) < len(words) or not texts:
            raise self.wrong(key, f"it is not {what}, such as ['pass', 'show', 'x']")
        return texts

    def table(self, key: str) -> _Table | None:
        """Take a table; None where there is something else."""
        values = self._values.get(key)
        if not isinstance(values, dict):
            return None
        self._known.add(key)
        return _Table(f"{self.where}: {key}", values)

    def finish(self) -> None:
        """Refuse what nobody has asked for."""
        for key in self._values.keys() - self._known:
            problem = "there is no such key"
            if close := get_close_matches(key, self._known, 1):
                problem += f"; {close[0]} is one"
            raise self.wrong(key, problem)

    def _taken(self, key: str, kind: type[_T], what: str) -> _T | None:
        self._known.add(key)
        value = self._values.get(key)
        if value is None:
            return None
        # To Python true is a number, to nobody else.
        if not isinstance(value, kind) or (
            isinstance(value, bool) and kind is not bool
        ):
            raise self.wrong(key, f"it is not {what}")
        return value
