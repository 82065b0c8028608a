"""`esmtp probe`: what a server says of itself, and how mail would go there."""

from __future__ import annotations

import argparse
import json
from typing import Final

from esmtp_async._cli._commands import Commands
from esmtp_async._cli._exits import ACCEPTED, NOT_SENT, REFUSED
from esmtp_async._cli._findings import Findings, Listener, find_out
from esmtp_async._cli._output import complain, tell
from esmtp_async._cli._report import as_object, as_text
from esmtp_async._cli._server import Service, add_account, service
from esmtp_async._cli._signals import run
from esmtp_async._cli._would import would
from esmtp_async._client import SMTPClient
from esmtp_async._endpoint import Security, parse_server
from esmtp_async._settings import ClientOptions, Pipelining, resolve
from esmtp_async._timeouts import Timeouts
from esmtp_async.protocol._exceptions import Refused

_DESCRIPTION: Final = (
    "Connect to a server, and tell what it offers before and under TLS, its "
    "certificate, how far away it is, and how this client would send mail there. No "
    "mail is sent, and without --username nothing is told of who we are. A server "
    "without TLS is looked at all the same."
)
_EXITS: Final = (
    "Exit codes: 0 the server is ready for mail, 1 it refuses, 2 the command line "
    "makes no sense, 3 it cannot be reached as it must be."
)


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "probe",
        "tell what a server offers, and how mail would go there",
        _DESCRIPTION,
        arguments="[SERVER]",
        examples=("esmtp probe smtp.example.com", "esmtp probe --json localhost:2525"),
        exits=_EXITS,
    )
    parser.set_defaults(run=_run)
    add = parser.add_argument
    add(
        "server",
        nargs="?",
        metavar="SERVER",
        help="host, host:port or URL (or else of the profile, ESMTP_SERVER, localhost)",
    )
    add("--json", action="store_true", help="tell it as an object of JSON")
    add("--timeout", type=float, metavar="SECONDS", help="for each reply")
    add(
        "--pipelining",
        choices=[each.value for each in Pipelining],
        help="tell how mail would go so (conformant)",
    )
    add_account(parser)


def _run(options: argparse.Namespace) -> int:
    where = service(options, anonymous=options.username is None)
    made_with = where.options
    if options.timeout is not None:
        made_with["timeouts"] = options.timeout
    elif made_with.get("timeouts") is None:
        made_with["timeouts"] = Timeouts.interactive()
    if options.pipelining is not None:
        made_with["pipelining"] = options.pipelining
    usual = resolve(where.server, where.port, made_with)
    endpoint = usual.endpoint
    findings = Findings(str(endpoint), is_private=endpoint.path is not None)
    made_with["on_event"] = Listener(findings)
    port = where.port
    if usual.security is Security.STARTTLS and _is_free(where, options):
        # Nothing is told that TLS would have to protect.
        port = endpoint.port
        made_with["security"] = Security.OPPORTUNISTIC
    run(_probe, where.server, port, made_with, findings)
    told = would(findings, usual)
    if options.json:
        tell(json.dumps(as_object(findings, told), indent=2))
    else:
        for line in as_text(findings, told):
            tell(line)
    error = findings.error
    if error is None:
        return ACCEPTED
    complain(f"{type(error).__name__}: {error}")
    return REFUSED if isinstance(error, Refused) else NOT_SENT


def _is_free(where: Service, options: argparse.Namespace) -> bool:
    """Tell whether nobody has said what is to become of TLS, and nothing is secret."""
    target = parse_server(where.server)
    return (
        options.username is None
        and where.options.get("security") is None
        and target.security is None
        and "security" not in dict(target.options)
    )


async def _probe(
    server: str, port: int | None, made_with: ClientOptions, findings: Findings
) -> None:
    async with SMTPClient(server, port, **made_with) as client:
        await find_out(client, findings)
