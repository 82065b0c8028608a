"""What a command is made of, for `argparse`."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from typing import Final

from esmtp_async._cli._exits import EXPLAINED

#: Columns of a help text's paragraphs.
_WIDTH: Final = 79


class Commands:
    """Where a command adds its parser; each of them is helpful in the same way."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parsers = parser.add_subparsers(
            title="commands", required=True, metavar="COMMAND", prog=parser.prog
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
        end = filled(exits)
        if examples:
            lines = "\n".join(f"  {example}" for example in examples)
            end = f"examples:\n{lines}\n\n{end}"
        return self._parsers.add_parser(
            name,
            usage=f"esmtp {name} [options] {arguments}".rstrip(),
            allow_abbrev=False,  # --password is no --password-command
            help=summary,
            description=filled(description),
            epilog=end,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )


def filled(text: str) -> str:
    """Break a paragraph into lines."""
    return textwrap.fill(text, _WIDTH)
