"""The command line: `esmtp`, or `python -m esmtp_async`; a module each command."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from importlib.metadata import version

from esmtp_async._cli import _demo, _send, _serve
from esmtp_async._cli._commands import Commands
from esmtp_async._cli._exits import EXPLAINED, NOT_SENT, USAGE, MissingExtra
from esmtp_async._cli._output import complain
from esmtp_async.protocol._exceptions import InvalidInput


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give the exit code."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except KeyboardInterrupt:
        complain("interrupted")
        return NOT_SENT
    except (InvalidInput, MissingExtra, OSError) as error:
        complain(error)
    return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="esmtp",
        description="Send mail by SMTP or LMTP, and see how it is done.",
        epilog=EXPLAINED,
    )
    parser.add_argument(
        "--version", action="version", version=f"esmtp-async {version('esmtp-async')}"
    )
    commands = Commands(parser)
    for command in (_demo, _send, _serve):
        command.add_to(commands)
    return parser
