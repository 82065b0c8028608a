"""The command line: `esmtp`, or `python -m esmtp_async`; a module each command."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from importlib.metadata import version

from esmtp_async._cli import _bulk, _demo, _probe, _send, _serve
from esmtp_async._cli._commands import Commands, Help, parse
from esmtp_async._cli._completion import PrintCompletion
from esmtp_async._cli._exits import EXPLAINED, NOT_SENT, USAGE, MissingExtra
from esmtp_async._cli._output import complain
from esmtp_async._cli._server import NoPassword
from esmtp_async.protocol._exceptions import InvalidInput


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give the exit code."""
    try:
        options = parse(parser(), arguments)
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except KeyboardInterrupt:
        complain("interrupted")
        return NOT_SENT
    except (InvalidInput, MissingExtra, OSError) as error:
        complain(error)
    return USAGE


def parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line."""
    whole = argparse.ArgumentParser(
        prog="esmtp",
        usage="esmtp [options] COMMAND ...",
        description="Send mail by SMTP or LMTP, and see how it is done.",
        epilog=EXPLAINED,
        formatter_class=Help,
        allow_abbrev=False,
    )
    whole.add_argument(
        "--version", action="version", version=f"esmtp-async {version('esmtp-async')}"
    )
    whole.add_argument("--print-completion", action=PrintCompletion)
    whole.add_argument("--password", action=NoPassword, help=argparse.SUPPRESS)
    commands = Commands(whole)
    for command in (_demo, _send, _bulk, _probe, _serve):
        command.add_to(commands)
    return whole
