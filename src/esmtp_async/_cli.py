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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from email.message import EmailMessage
from importlib.metadata import version
from mimetypes import guess_type
from pathlib import Path
from typing import Final, TextIO

import anyio

from esmtp_async._client import SMTPClient
from esmtp_async._conversation import ConversationPrinter
from esmtp_async._events import Event, MessageFinished
from esmtp_async._messages import Sendable
from esmtp_async._options import SendOptions
from esmtp_async._settings import ClientOptions
from esmtp_async.protocol._exceptions import (
    InvalidInput,
    NotDelivered,
    OutcomeUnknown,
)
from esmtp_async.protocol._outcomes import Outcome, RecipientResult
from esmtp_async.protocol._replies import printable
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
    except KeyboardInterrupt:
        _complain("interrupted")
        return NOT_SENT
    except (InvalidInput, OSError) as error:
        _complain(error)
    except ModuleNotFoundError as error:
        _complain(f"{error}; it comes with pip install 'esmtp-async[testing]'")
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

    anyio.run(demo, _Output(sys.stdout))
    return ACCEPTED


def _run_send(options: argparse.Namespace) -> int:
    message = _composed(options) if options.file is None else _given(options)
    outcome = _Outcome(verbose=options.verbose)
    # A password is asked for here, where an interrupt is still heard.
    client_options = _client_options(options)
    client_options["on_event"] = outcome
    try:
        anyio.run(_send, options, client_options, message)
    except KeyboardInterrupt:
        _complain("interrupted")
    return NOT_SENT if outcome.code is None else outcome.code


class _Output:
    """A standard stream, which may be closed and whose reader may be gone.

    The mail goes on without them, and the exit code tells what became of it.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write at once what can be written, other characters as escapes."""
        stream = self._stream
        if stream is None:
            return
        octets = text.encode(stream.encoding, "backslashreplace")
        try:
            stream.write(octets.decode(stream.encoding))
            stream.flush()
        except OSError:
            # What it still holds must not fail once more at the end of Python.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _tell(line: str) -> None:
    print(line, file=_Output(sys.stdout))


def _complain(problem: object) -> None:
    print(f"esmtp: {problem}", file=_Output(sys.stderr))


class _Outcome:
    """Learns from the events what became of the message; prints it at the end."""

    def __init__(self, *, verbose: bool) -> None:
        #: The exit code; None while nothing is known.
        self.code: int | None = None
        self._print = ConversationPrinter(_Output(sys.stderr)) if verbose else None

    def __call__(self, event: Event) -> None:
        if isinstance(event, MessageFinished):
            self.code = _code(event.recipients)
            for result in event.recipients:
                who = printable(result.address.encode())
                why = f": {result.reply}" if result.reply else ""
                _tell(f"{who}: {result.outcome.value}{why}")
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
    options: argparse.Namespace, client_options: ClientOptions, message: Sendable
) -> None:
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
            _complain(f"{type(error).__name__}: {error}")
        else:
            _tell(f"{receipt.queue_id or receipt.reply}")


def _client_options(options: argparse.Namespace) -> ClientOptions:
    client_options = ClientOptions(security=options.security)
    if options.ca_file is not None:
        try:
            context = ssl.create_default_context(cafile=options.ca_file)
        except OSError as error:
            msg = f"--ca-file {options.ca_file!r} cannot be used: {error}"
            raise InvalidInput(msg) from None
        client_options["ssl_context"] = context
    if options.username is not None:
        _authenticate(options, client_options)
    elif options.auth is not None:
        msg = "--auth needs --username"
        raise InvalidInput(msg)
    return client_options


def _authenticate(options: argparse.Namespace, client_options: ClientOptions) -> None:
    password = os.environ.get("ESMTP_PASSWORD")
    if password is None:
        try:
            password = getpass.getpass(f"Password of {options.username}: ")
        except EOFError:
            msg = "there is no password: ESMTP_PASSWORD is not set, and nobody answers"
            raise InvalidInput(msg) from None
    if options.auth is None:
        client_options["username"] = options.username
        client_options["password"] = password
    else:
        client_options["auth"] = _MECHANISMS[options.auth](options.username, password)


# The options that a message is composed from, and where they are kept.
_COMPOSING: Final = {
    "--from": "author",
    "--to": "to",
    "--cc": "cc",
    "--bcc": "bcc",
    "--subject": "subject",
    "--text": "text",
    "--attach": "attach",
    "--x-mailer": "x_mailer",
}


def _given(options: argparse.Namespace) -> bytes:
    for option, name in _COMPOSING.items():
        if getattr(options, name):
            msg = f"{option} is for a message composed here, and FILE is given"
            raise InvalidInput(msg)
    if options.file != "-":
        return Path(options.file).read_bytes()
    if sys.stdin is None:
        msg = "standard input is closed"
        raise InvalidInput(msg)
    return sys.stdin.buffer.read()


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
    for name, values in fields.items():
        if values:
            text = ", ".join(values)
            with _composing(f"{name} {text!r}"):
                message[name] = text
    with _composing("--text"):
        message.set_content(options.text)
    for path in options.attach:
        octets = path.read_bytes()
        maintype, _, subtype = _media_type(path.name).partition("/")
        with _composing(f"--attach {str(path)!r}"):
            message.add_attachment(
                octets, maintype=maintype, subtype=subtype, filename=path.name
            )
    return message


@contextmanager
def _composing(what: str) -> Iterator[None]:
    """Say what cannot be used; the standard library fails in any way there is."""
    try:
        yield
    except Exception as error:
        msg = f"{what} cannot be used: {error}"
        raise InvalidInput(msg) from error


def _media_type(name: str) -> str:
    """Tell from its name what a file is; any file can be octets.

    A compressed file is not what its name without the suffix says, and a
    message or multipart may not be encoded (RFC 2045 §6.4).
    """
    kind, compression = guess_type(name)
    if kind is None or compression or kind.startswith(("message/", "multipart/")):
        return "application/octet-stream"
    return kind
