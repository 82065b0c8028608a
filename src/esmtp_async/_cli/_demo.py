"""`esmtp demo`: one message through a server of our own."""

from __future__ import annotations

import argparse
import sys

from esmtp_async._cli._commands import Commands
from esmtp_async._cli._exits import ACCEPTED, MissingExtra
from esmtp_async._cli._output import Output
from esmtp_async._cli._signals import run


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "demo",
        "send a message through a server of our own, and show the conversation",
        "Start the model server on loopback with STARTTLS and AUTH LOGIN, send one "
        "message through it, and print the conversation with the state that each "
        "reply led to. Needs the extra [testing].",
    )
    parser.set_defaults(run=_run)


def _run(_options: argparse.Namespace) -> int:
    try:
        from esmtp_async._demo import demo  # noqa: PLC0415  # it needs an extra

        run(demo, Output(sys.stdout))
    except ModuleNotFoundError as error:
        raise MissingExtra("esmtp demo", str(error.name), "testing") from None
    return ACCEPTED
