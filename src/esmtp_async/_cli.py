"""The command line: `esmtp`, or `python -m esmtp_async`.

Exit codes: 0 everybody was accepted, 1 somebody was refused, 2 the command
line or the message makes no sense, 3 nothing was sent, 4 it is unknown whether
the message was taken.
"""

from __future__ import annotations

import argparse
import getpass
import os
import ssl
import sys
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from importlib.metadata import version
from mimetypes import guess_type
from pathlib import Path
from typing import Final

import anyio

from esmtp_async._client import SMTPClient
from esmtp_async._conversation import ConversationPrinter
from esmtp_async._events import Event, MessageFinished
from esmtp_async._messages import Sendable, SendOptions
from esmtp_async._settings import ClientOptions
from esmtp_async.protocol._exceptions import (
    InvalidInput,
    NotDelivered,
    OutcomeUnknown,
)
from esmtp_async.protocol._outcomes import Outcome, RecipientResult
from esmtp_async.protocol._sasl import CramMD5, Login, Mechanism, Plain
from esmtp_async.protocol._scram import ScramSHA1, ScramSHA256, ScramSHA512

ACCEPTED: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
NOT_SENT: Final = 3
UNKNOWN: Final = 4

_MECHANISMS: Final[dict[str, Callable[[str, str], Mechanism]]] = {
    "PLAIN": Plain,
    "LOGIN": Login,
    "CRAM-MD5": CramMD5,
    "SCRAM-SHA-1": ScramSHA1,
    "SCRAM-SHA-256": ScramSHA256,
    "SCRAM-SHA-512": ScramSHA512,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give the exit code."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except (InvalidInput, OSError) as error:
        print(f"esmtp: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        hint = "pip install 'esmtp-async[testing]'"
        print(f"esmtp: {error}; it comes with {hint}", file=sys.stderr)
    return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="esmtp",
        description="Send mail by SMTP or LMTP, and see how it is done.",
        epilog=(
            "Exit codes: 0 everybody was accepted, 1 somebody was refused, 2 the "
            "command line or the message makes no sense, 3 nothing was sent, "
            "4 it is unknown whether the message was taken."
        ),
    )
    parser.add_argument(
        "--version", action="version", version=f"esmtp-async {version('esmtp-async')}"
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="send a message through a server of our own, and show the conversation",
        description=(
            "Start the model server on loopback with STARTTLS and AUTH LOGIN, send "
            "one message through it, and print the conversation with the state that "
            "each reply led to. Needs the extra [testing]."
        ),
    )
    demo.set_defaults(run=_run_demo)
    _add_send(commands.add_parser("send", help="send one message", description=_SEND))
    return parser


_SEND: Final = (
    "Send one message: the file FILE, standard input for '-', or, without FILE, one "
    "composed from --from, --to, --subject, --text and --attach. A password comes "
    "from the environment variable ESMTP_PASSWORD or is asked for; never from the "
    "command line, where others could read it."
)


def _add_send(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_run_send)
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
    add("--auth", choices=list(_MECHANISMS), help="the mechanism to use")
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


def _run_demo(_options: argparse.Namespace) -> int:
    from esmtp_async._demo import demo  # noqa: PLC0415  # it needs an extra

    anyio.run(demo, sys.stdout)
    return ACCEPTED


def _run_send(options: argparse.Namespace) -> int:
    message = _composed(options) if options.file is None else _read(options.file)
    outcome = _Outcome(verbose=options.verbose)
    try:
        anyio.run(_send, options, message, outcome)
    except KeyboardInterrupt:
        print("esmtp: interrupted", file=sys.stderr)
    return NOT_SENT if outcome.code is None else outcome.code


class _Outcome:
    """Learns from the events what became of the message; prints it at the end."""

    def __init__(self, *, verbose: bool) -> None:
        #: The exit code; None while nothing is known.
        self.code: int | None = None
        self._print = ConversationPrinter(sys.stderr) if verbose else None

    def __call__(self, event: Event) -> None:
        if isinstance(event, MessageFinished):
            self.code = _code(event.recipients)
            for result in event.recipients:
                why = f": {result.reply}" if result.reply else ""
                print(f"{result.address}: {result.outcome.value}{why}")
        elif self._print is not None:
            self._print(event)


def _code(results: Sequence[RecipientResult]) -> int:
    outcomes = {result.outcome for result in results}
    if Outcome.UNKNOWN in outcomes:
        return UNKNOWN
    if Outcome.REFUSED in outcomes:
        return REFUSED
    return NOT_SENT if Outcome.NOT_SENT in outcomes else ACCEPTED


async def _send(
    options: argparse.Namespace, message: Sendable, outcome: _Outcome
) -> None:
    client_options = ClientOptions(security=options.security, on_event=outcome)
    if options.ca_file is not None:
        client_options["ssl_context"] = ssl.create_default_context(
            cafile=options.ca_file
        )
    _authenticate(options, client_options)
    async with SMTPClient(options.server, **client_options) as client:
        try:
            receipt = await client.send(
                message,
                sender=options.sender,
                recipients=options.recipient,
                options=SendOptions(x_mailer=options.x_mailer),
                timeout=options.timeout,
            )
        except (NotDelivered, OutcomeUnknown) as error:
            print(f"esmtp: {type(error).__name__}: {error}", file=sys.stderr)
        else:
            print(f"{receipt.queue_id or receipt.reply}")


def _authenticate(options: argparse.Namespace, client_options: ClientOptions) -> None:
    if options.username is None:
        return
    password = os.environ.get("ESMTP_PASSWORD")
    if password is None:
        password = getpass.getpass(f"Password of {options.username}: ")
    if options.auth is None:
        client_options["username"] = options.username
        client_options["password"] = password
    else:
        client_options["auth"] = _MECHANISMS[options.auth](options.username, password)


def _read(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _composed(options: argparse.Namespace) -> EmailMessage:
    if options.author is None or options.text is None:
        msg = "without FILE, --from and --text are needed to compose a message"
        raise InvalidInput(msg)
    message = EmailMessage()
    fields = {
        "From": [options.author],
        "To": options.to,
        "Cc": options.cc,
        "Bcc": options.bcc,
        "Subject": [options.subject] if options.subject else [],
    }
    try:
        for name, values in fields.items():
            if values:
                message[name] = ", ".join(values)
    except ValueError as error:
        msg = f"the message cannot be composed: {error}"
        raise InvalidInput(msg) from None
    message.set_content(options.text)
    for path in options.attach:
        kind = guess_type(path.name)[0] or "application/octet-stream"
        maintype, _, subtype = kind.partition("/")
        message.add_attachment(
            path.read_bytes(), maintype=maintype, subtype=subtype, filename=path.name
        )
    return message
