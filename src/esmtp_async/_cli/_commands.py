"""What a command is made of, for `argparse`."""

from __future__ import annotations

import argparse

from esmtp_async._cli._exits import EXPLAINED


class Commands:
    """Where a command adds its parser; each of them is helpful in the same way."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parsers = parser.add_subparsers(
            title="commands", required=True, metavar="COMMAND"
        )

    def add(self, name: str, summary: str, description: str) -> argparse.ArgumentParser:
        """Add a command: one line of what it does, and a paragraph.

        What runs it is set as the default `run`: a function from the options to an
        exit code.
        """
        return self._parsers.add_parser(
            name, help=summary, description=description, epilog=EXPLAINED
        )
