"""`esmtp send`: one message, from a file or from options."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from esmtp_async._cli._commands import Commands
from esmtp_async._cli._compose import add_composing, message_of
from esmtp_async._cli._exits import NOT_SENT, code
from esmtp_async._cli._output import Output, complain, tell
from esmtp_async._cli._server import Service, add_server, service
from esmtp_async._cli._signals import run
from esmtp_async._client import SMTPClient
from esmtp_async._conversation import ConversationPrinter
from esmtp_async._events import Event, MessageFinished
from esmtp_async._messages import Sendable
from esmtp_async._options import SendOptions
from esmtp_async.protocol._exceptions import NotDelivered, OutcomeUnknown
from esmtp_async.protocol._replies import printable

_DESCRIPTION: Final = (
    "Send one message: the file FILE, standard input for '-' or nothing, or one "
    "composed from --from, --to, --subject, --text and --attach. The server and who we "
    "are come from options, from a profile, or from ESMTP_SERVER, ESMTP_USERNAME and "
    "ESMTP_PASSWORD. A password is never given on the command line, where others could "
    "read it."
)
_EXAMPLES: Final = (
    "esmtp send --server smtp.example.com --username alice message.eml",
    "esmtp send --from a@x.example --to b@y.example --subject Hi --text Hello",
    "git format-patch -1 --stdout | esmtp send --profile me --recipient l@x.test -",
)


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "send",
        "send one message",
        _DESCRIPTION,
        arguments="[FILE]",
        examples=_EXAMPLES,
    )
    parser.set_defaults(run=_run)
    add = parser.add_argument
    add("file", nargs="?", metavar="FILE", help="a message, or '-' for standard input")
    add("--sender", help="the reverse-path; '' for none (from the header)")
    add(
        "--recipient",
        action="append",
        help="a forward-path; may be repeated (from the header)",
    )
    add("--timeout", type=float, metavar="SECONDS", help="for all of it")
    add("-v", "--verbose", action="store_true", help="print the conversation")
    add_composing(parser)
    add_server(parser)


def _run(options: argparse.Namespace) -> int:
    message = message_of(options)
    outcome = _Outcome(verbose=options.verbose)
    # A password is asked for here, where an interrupt is still heard.
    where = service(options)
    where.options["on_event"] = outcome
    try:
        run(_send, options, where, message)
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


async def _send(options: argparse.Namespace, where: Service, message: Sendable) -> None:
    async with SMTPClient(where.server, where.port, **where.options) as client:
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
