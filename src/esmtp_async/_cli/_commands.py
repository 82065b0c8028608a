"""What a command is made of, for `argparse`."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence

from esmtp_async._cli._exits import EXPLAINED


class Help(argparse.HelpFormatter):
    """Fills each paragraph to the width there is, but for one with lines set in."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(
            paragraph
            if "\n  " in paragraph
            else textwrap.fill(
                paragraph, width, initial_indent=indent, subsequent_indent=indent
            )
            for paragraph in text.split("\n\n")
        )


class Commands:
    """Where a command adds its parser; each of them is helpful in the same way."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parsers = parser.add_subparsers(
            title="commands", required=True, metavar="COMMAND", prog="esmtp"
        )

    def add(
        self,
        name: str,
        summary: str,
        description: str,
        *,
        arguments: str = "",
        examples: Sequence[str] = (),
        exits: str = EXPLAINED,
    ) -> argparse.ArgumentParser:
        """Add a command: one line of what it does, and a paragraph.

        `arguments` are what the options are followed by. `examples` are lines to type,
        shown at the end, before what the exit codes mean. What runs it is set as the
        default `run`: a function from the options to an exit code.
        """
        end = ["\n  ".join(("examples:", *examples)), exits]
        parser = self._parsers.add_parser(
            name,
            usage=f"esmtp {name} [options] {arguments}".rstrip(),
            allow_abbrev=False,  # --password is no --password-command
            help=summary,
            description=description,
            epilog="\n\n".join(end if examples else end[1:]),
            formatter_class=Help,
        )
        parser.set_defaults(command=parser)
        return parser


def parse(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> argparse.Namespace:
    """Parse all arguments; of one that is unknown the value may be a secret."""
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        names = [each.partition("=")[0] for each in unknown if each.startswith("-")]
        command: argparse.ArgumentParser = options.command
        command.error(f"unrecognized arguments: {' '.join(names or unknown)}")
    return options
