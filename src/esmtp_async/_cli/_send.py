"""`esmtp send`: one message, from a file or from options."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

import anyio

from esmtp_async._cli._commands import Commands
from esmtp_async._cli._compose import composed, given
from esmtp_async._cli._exits import NOT_SENT, code
from esmtp_async._cli._output import Output, complain, tell
from esmtp_async._cli._server import MECHANISMS, client_options
from esmtp_async._client import SMTPClient
from esmtp_async._conversation import ConversationPrinter
from esmtp_async._events import Event, MessageFinished
from esmtp_async._messages import Sendable
from esmtp_async._options import SendOptions
from esmtp_async._settings import ClientOptions
from esmtp_async.protocol._exceptions import NotDelivered, OutcomeUnknown
from esmtp_async.protocol._replies import printable

_SEND: Final = (
    "Send one message: the file FILE, standard input for '-', or, without FILE, one "
    "composed from --from, --to, --subject, --text and --attach. A password comes "
    "from the environment variable ESMTP_PASSWORD or is asked for; never from the "
    "command line, where others could read it."
)


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add("send", "send one message", _SEND)
    parser.set_defaults(run=_run)
    add = parser.add_argument
    add("file", nargs="?", metavar="FILE", help="a message, or '-' for standard input")
    add(
        "--server",
        # Not shown as a default: a URL may hold a password.
        default=os.environ.get("ESMTP_SERVER", "localhost"),
        help="host, host:port or URL (from ESMTP_SERVER, or else localhost)",
    )
    add("--security", choices=["tls", "starttls", "opportunistic", "plaintext"])
    add("--ca-file", metavar="PEM", help="trust these certificates, and no others")
    add("--username", help="authenticate; the password is asked for")
    add("--auth", choices=list(MECHANISMS), help="the mechanism to use")
    add("--sender", help="the reverse-path; '' for none (from the header)")
    add("--recipient", action="append", help="a forward-path (from the header)")
    add("--from", dest="author", metavar="ADDRESS", help="the From field")
    add("--to", action="append", default=[], metavar="ADDRESS", help="a To field")
    add("--cc", action="append", default=[], metavar="ADDRESS", help="a Cc field")
    add("--bcc", action="append", default=[], metavar="ADDRESS", help="kept off it")
    add("--subject", default="", help="the Subject field")
    add("--text", help="the body")
    add("--attach", action="append", default=[], type=Path, metavar="FILE")
    add("--x-mailer", help="the X-Mailer field, of a composed message")
    add("--timeout", type=float, metavar="SECONDS", help="for all of it")
    add("-v", "--verbose", action="store_true", help="print the conversation")


def _run(options: argparse.Namespace) -> int:
    message = composed(options) if options.file is None else given(options)
    outcome = _Outcome(verbose=options.verbose)
    # A password is asked for here, where an interrupt is still heard.
    for_client = client_options(options)
    for_client["on_event"] = outcome
    try:
        anyio.run(_send, options, for_client, message)
    except KeyboardInterrupt:
        complain("interrupted")
    return NOT_SENT if outcome.code is None else outcome.code


class _Outcome:
    """Learns from the events what became of the message; prints it at the end."""

    def __init__(self, *, verbose: bool) -> None:
        #: The exit code; None while nothing is known.
        self.code: int | None = None
        self._print = ConversationPrinter(Output(sys.stderr)) if verbose else None

    def __call__(self, event: Event) -> None:
        if isinstance(event, MessageFinished):
            self.code = code(r.outcome for r in event.recipients)
            for result in event.recipients:
                who = printable(result.address.encode())
                why = f": {result.reply}" if result.reply else ""
                tell(f"{who}: {result.outcome.value}{why}")
        elif self._print is not None:
            self._print(event)


async def _send(
    options: argparse.Namespace, for_client: ClientOptions, message: Sendable
) -> None:
    async with SMTPClient(options.server, **for_client) as client:
        try:
            receipt = await client.send(
                message,
                sender=options.sender,
                recipients=options.recipient,
                options=SendOptions(x_mailer=options.x_mailer),
                timeout=options.timeout,
            )
        except (NotDelivered, OutcomeUnknown) as error:
            complain(f"{type(error).__name__}: {error}")
        else:
            tell(f"{receipt.queue_id or receipt.reply}")
