"""The message that `esmtp send` is given, or makes of its options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from io import BytesIO
from mimetypes import guess_type
from pathlib import Path
from typing import Final

from esmtp_async._cli import _mbox
from esmtp_async.protocol._exceptions import InvalidInput


def add_composing(parser: argparse.ArgumentParser) -> None:
    """Add the options that a message is composed from."""
    add = parser.add_argument_group("a message composed here").add_argument
    add("--from", dest="author", metavar="ADDRESS", help="the From field")
    for option, told in (
        ("--to", "of the To field; may be repeated"),
        ("--cc", "of the Cc field; may be repeated"),
        ("--bcc", "gets it too, and no field tells so; may be repeated"),
    ):
        add(option, action="append", default=[], metavar="ADDRESS", help=told)
    add("--subject", default="", help="the Subject field")
    add("--text", help="the body")
    add(
        "--attach",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a file to go with it; may be repeated",
    )
    add("--x-mailer", help="the X-Mailer field")


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


def message_of(options: argparse.Namespace) -> bytes | EmailMessage:
    """Read the message from its file or from standard input, or make it of options.

    Without a file and such options it is what comes in, but for what is typed.
    """
    composing = [each for each, name in _COMPOSING.items() if getattr(options, name)]
    if options.file is None and (composing or not _is_fed()):
        return _composed(options)
    if composing:
        msg = f"{composing[0]} is for a message composed here, and FILE is given"
        raise InvalidInput(msg)
    if options.file not in (None, "-"):
        return _only(Path(options.file).read_bytes(), options.file)
    if sys.stdin is None:
        msg = "standard input is closed"
        raise InvalidInput(msg)
    return _only(sys.stdin.buffer.read(), "standard input")


def _only(octets: bytes, where: str) -> bytes:
    """Take a message out of an mbox, such as git writes; it must be the only one."""
    if not octets.startswith(_mbox.MAGIC):
        return octets
    try:
        found = [(each.read(), each.doubt) for each in _mbox.messages(BytesIO(octets))]
    except ValueError as error:
        msg = f"{where}: {error}"
        raise InvalidInput(msg) from None
    (content, problem), *others = found
    if others:
        problem = f"it is an mbox with {len(found)} messages, which esmtp bulk sends"
    if problem:
        msg = f"{where}: {problem}"
        raise InvalidInput(msg)
    return content


def _is_fed() -> bool:
    return sys.stdin is not None and not sys.stdin.isatty()


def _composed(options: argparse.Namespace) -> EmailMessage:
    if options.author is None or options.text is None:
        msg = (
            "there is no message: give FILE, '-' for standard input, or at least "
            "--from and --text"
        )
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
                _check_text(text)
                message[name] = text
                # An address that could not be read is not there any more.
                addresses = getattr(message[name], "addresses", ())
                if not all(address.domain for address in addresses):
                    raise ValueError("not every address has a domain")
    with _composing("--text"):
        _check_text(options.text)
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


def _check_text(text: str) -> None:
    """Refuse octets that were no text in the encoding of this terminal."""
    try:
        text.encode()
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        raise ValueError(f"it is not text in {encoding}, as this locale is") from None


def _media_type(name: str) -> str:
    """Tell from its name what a file is; any file can be octets.

    A compressed file is not what its name without the suffix says, and a
    message or multipart may not be encoded (RFC 2045 §6.4).
    """
    kind, compression = guess_type(name)
    if kind is None or compression or kind.startswith(("message/", "multipart/")):
        return "application/octet-stream"
    return kind
