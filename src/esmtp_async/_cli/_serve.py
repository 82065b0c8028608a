"""`esmtp serve`: a test server that stores mail and shows it on a page."""

from __future__ import annotations

import argparse
import ipaddress
import os
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from esmtp_async._cli import _trouble
from esmtp_async._cli._commands import Commands
from esmtp_async._cli._output import complain
from esmtp_async._cli._passwords import asked_for
from esmtp_async._cli._running import Work, work
from esmtp_async._cli._signals import run
from esmtp_async._serve._maildir import MailDirectory
from esmtp_async.protocol._addresses import domain_or_literal
from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.testing import DEFAULT_EXTENSIONS, ServerOptions
from esmtp_async.testing._faults import PLACES

_SERVE: Final = (
    "Run a server for tests: it takes all mail, prints a line for each message, stores "
    "it in a directory, and shows it at http://localhost:1080/. Nothing leaves it. The "
    "first line of its output is one of JSON with the addresses, the directory and the "
    "certificate to trust; it is there once mail can be sent. Ctrl-C stops it."
)
_EXAMPLES: Final = (
    "esmtp serve",
    "esmtp serve --directory mail --starttls --user alice --require-auth",
    "esmtp serve --refuse '*@example.net=451 4.7.1 try again later' --delay 2",
    "esmtp serve --port 0 --http-port auto --once 1",
)
_EXITS: Final = (
    "Exit codes: 0 it was stopped, or has what --once waited for, 2 the command line "
    "makes no sense or a port is taken, 3 it was stopped before --once had enough."
)
#: Messages that stay in a directory that does not stay itself.
_FEW: Final = 1000
#: The mechanisms, and those among them that show the password.
_MECHANISMS: Final = ("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER")
_SHOWING: Final = ("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER")
# ehlo-keyword, and parameters (RFC 5321 §4.1.1.1)
_EXTENSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(?: [!-~]+)*")
#: What options of their own are for.
_OWN: Final = {"AUTH": "--user or --any-auth", "STARTTLS": "--starttls"}


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "serve",
        "run a test server, with a page to read its mail",
        _SERVE,
        examples=_EXAMPLES,
        exits=_EXITS,
    )
    parser.set_defaults(run=_run)
    _add_places(parser)
    _add_protocol(parser)
    _add_trouble(parser)


def _add_places(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("where, and how long").add_argument
    add(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="to listen at (127.0.0.1)",
    )
    add(
        "--expose",
        action="store_true",
        help="let --host be an address that other machines reach",
    )
    add("--port", type=_port, default=1025, help="0 takes a free one (1025)")
    add(
        "--http-port",
        type=_http_port,
        default=1080,
        metavar="PORT",
        help="of the page, on this machine alone; 0 for none, 'auto' for a free one "
        "(1080)",
    )
    add(
        "--directory",
        type=Path,
        metavar="DIR",
        help="a Maildir to store mail in; without it, one that is gone at the end",
    )
    add(
        "--keep",
        type=_count,
        metavar="N",
        help=f"messages that stay, the newest (all; without --directory {_FEW})",
    )
    add(
        "--once",
        type=_count,
        metavar="N",
        help="stop after that many messages; exit code 3 if it is stopped before",
    )
    how_much = parser.add_mutually_exclusive_group()
    how_much.add_argument(
        "-q", "--quiet", action="store_true", help="print the first line alone"
    )
    how_much.add_argument(
        "-v", "--verbose", action="store_true", help="print the conversations"
    )


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what it speaks").add_argument
    add("--hostname", default="localhost", help="in greeting and certificate")
    add("--lmtp", action="store_true", help="LMTP instead of SMTP")
    add("--tls", action="store_true", help="TLS from the first octet")
    add("--starttls", action="store_true", help="offer STARTTLS")
    add(
        "--user",
        metavar="NAME",
        help="who may authenticate; the password comes from the environment variable "
        "ESMTP_SERVE_PASSWORD or is asked for",
    )
    add("--any-auth", action="store_true", help="let anybody authenticate")
    add("--require-auth", action="store_true", help="take mail from nobody else")
    add(
        "--extensions",
        type=_extensions,
        default=DEFAULT_EXTENSIONS,
        metavar="LIST",
        help=f"lines of the EHLO reply ({', '.join(DEFAULT_EXTENSIONS)})",
    )
    add(
        "--without",
        action="append",
        default=[],
        metavar="EXTENSION",
        help="not to offer one of them; may be repeated",
    )
    add("--max-size", type=_count, metavar="OCTETS", help="of a message")


def _add_trouble(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "trouble",
        f"A STAGE is one of {', '.join(PLACES)}; message is the end of the mail data.",
    )
    group.add_argument(
        "--refuse",
        type=_trouble.refuse,
        action="append",
        default=[],
        metavar="ADDRESS[=REPLY]",
        help="a recipient; * stands for any characters; may be repeated",
    )
    group.add_argument(
        "--refuse-at",
        type=_trouble.refuse_at,
        action="append",
        default=[],
        metavar="STAGE=REPLY",
        help="such as 'mail=451 4.7.1 later'; may be repeated",
    )
    group.add_argument(
        "--drop-at",
        type=_trouble.drop_at,
        action="append",
        default=[],
        metavar="STAGE",
        help="break the connection instead of replying; at 'message' the message "
        "is taken nevertheless",
    )
    group.add_argument(
        "--delay",
        type=_trouble.seconds,
        default=0.0,
        metavar="SECONDS",
        help="before each reply",
    )


def _run(options: argparse.Namespace) -> int:
    _check(options)
    server = _server(options)
    with ExitStack() as stack:
        directory, keep = options.directory, options.keep
        if directory is None:
            temporary = TemporaryDirectory(prefix="esmtp-serve-")
            directory = Path(stack.enter_context(temporary))
            keep = keep or _FEW
        mail = MailDirectory(directory.absolute(), keep=keep)
        if options.expose:
            complain("warning: whoever reaches this machine can send to this server")
        job = Work(
            mail=mail,
            host=options.host,
            port=options.port,
            http_port=options.http_port,
            server=server,
            once=options.once,
            quiet=options.quiet,
            verbose=options.verbose,
        )
        return run(work, job)


def _server(options: argparse.Namespace) -> ServerOptions:
    """Give how the server is to be; a password may be asked for."""
    server = ServerOptions(
        hostname=options.hostname,
        lmtp=options.lmtp,
        implicit_tls=options.tls,
        starttls=options.starttls,
        users=_users(options.user),
        any_user=options.any_auth,
        mechanisms=_SHOWING if options.any_auth else _MECHANISMS,
        require_auth=options.require_auth,
        auth_needs_tls=options.tls or options.starttls,
        extensions=_offered(options),
        rules=[
            *_trouble.delays(options.delay),
            *(*options.refuse, *options.refuse_at, *options.drop_at),
        ],
    )
    if options.max_size is not None:
        server["max_message_size"] = options.max_size
    return server


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together; raises `InvalidInput`."""
    options.host = "127.0.0.1" if options.host == "localhost" else options.host
    try:
        address = ipaddress.ip_address(options.host)
    except ValueError:
        raise InvalidInput(f"--host {options.host!r} is no IP address") from None
    if not address.is_loopback and not options.expose:
        raise InvalidInput(
            f"--host {options.host} can be reached by other machines; if that is what "
            "you want, add --expose"
        )
    if options.tls and options.starttls:
        raise InvalidInput("--tls and --starttls exclude each other")
    if options.user is not None and options.any_auth:
        raise InvalidInput("--user and --any-auth exclude each other")
    if options.require_auth and options.user is None and not options.any_auth:
        raise InvalidInput("--require-auth needs --user or --any-auth")
    try:
        domain_or_literal(options.hostname)
    except InvalidInput as error:
        raise InvalidInput(f"--hostname: {error}") from None
    if options.hostname.startswith("["):
        raise InvalidInput("--hostname is a name, and no address")


def _offered(options: argparse.Namespace) -> Sequence[str]:
    lines: list[str] = list(options.extensions)
    for name in options.without:
        kept = [line for line in lines if _keyword(line) != name.upper()]
        if len(kept) == len(lines):
            raise InvalidInput(f"--without {name!r}: it is not offered anyway")
        lines = kept
    if options.max_size is not None:
        lines = [
            f"SIZE {options.max_size}" if _keyword(line) == "SIZE" else line
            for line in lines
        ]
    return lines


def _keyword(line: str) -> str:
    return line.partition(" ")[0].upper()


def _users(name: str | None) -> dict[str, str]:
    """Give who may authenticate; a password may be asked for."""
    return {} if name is None else {name: _password(name)}


def _password(user: str) -> str:
    password = os.environ.get("ESMTP_SERVE_PASSWORD")
    if password is not None:
        return password
    unset = "ESMTP_SERVE_PASSWORD is not set"
    return asked_for(f"that {user} shall have", unset).reveal()


def _extensions(text: str) -> tuple[str, ...]:
    lines = tuple(line.strip() for line in text.split(",") if line.strip())
    for line in lines:
        if not _EXTENSION.fullmatch(line):
            raise argparse.ArgumentTypeError(f"{line!r} is no line of an EHLO reply")
        if _keyword(line) in _OWN:
            own = _OWN[_keyword(line)]
            raise argparse.ArgumentTypeError(f"{line!r} is offered by {own}")
    return lines


def _number(least: int, most: float, what: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no {what}")
        return int(text)

    return read


_count = _number(1, 10**12, "number of at least 1")
_port = _number(0, 65535, "port")


def _http_port(text: str) -> int | None:
    """Read a port: None where there is to be no page, 0 where any is right."""
    return 0 if text == "auto" else _port(text) or None
