"""The help texts on the page about the command line, as the command tells them.

`python -m tests.docs.command_line` writes them anew; a test compares.
"""

from __future__ import annotations

import argparse
import os
from unittest.mock import patch

from esmtp_async._cli import parser

from .pages import DOCS, write

PAGE = DOCS / "howto" / "command-line.md"


def commands() -> dict[str, argparse.ArgumentParser]:
    """Give the parser of each command, in their order."""
    for action in parser()._actions:
        if isinstance(action.choices, dict):
            return dict(action.choices)
    raise LookupError("there are no commands")


def shown() -> str:
    """Give all help texts, at 80 columns."""
    with patch.dict(os.environ, {"COLUMNS": "80"}):
        texts = {"esmtp": parser().format_help()}
        for name, command in commands().items():
            texts[f"esmtp {name}"] = command.format_help()
    return "\n\n".join(
        f"### `{name}`\n\n```text\n{text.rstrip()}\n```" for name, text in texts.items()
    )


PARTS = {"help": shown}

if __name__ == "__main__":
    write(PAGE, PARTS)
