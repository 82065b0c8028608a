"""Completion by the shell: a script for it, which shtab writes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Final, NoReturn

from esmtp_async._cli._exits import MissingExtra
from esmtp_async._cli._output import tell

_SHELLS: Final = ("bash", "zsh", "tcsh")
# What arguments are called that files complete.
_FILES: Final = ("FILE", "PEM", "SOURCE")


class PrintCompletion(argparse.Action):
    """Prints the script for a shell, and ends the program."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(
            option_strings,
            dest,
            default=argparse.SUPPRESS,
            choices=_SHELLS,
            help="print what makes a shell complete this command, and exit",
        )

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        _namespace: argparse.Namespace,
        values: object,
        _option_string: str | None = None,
    ) -> NoReturn:
        """Print it; raises `MissingExtra`."""
        try:
            import shtab  # noqa: PLC0415  # it needs an extra
        except ModuleNotFoundError:
            raise MissingExtra("--print-completion", "shtab", "cli") from None
        files = dict.fromkeys(_FILES, shtab.FILE) | {"DIR": shtab.DIRECTORY}
        for action in _actions(parser):
            if action.metavar in files:
                # Where shtab looks for what completes an argument.
                vars(action)["complete"] = files[action.metavar]
        tell(shtab.complete(parser, str(values)))
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Go through all arguments, those of the commands too."""
    for action in parser._actions:  # noqa: SLF001  # as shtab itself does
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for told in action._choices_actions:  # noqa: SLF001
                command = action.choices[told.dest]
                # Of a description zsh would show as much as fits in its line.
                command.description = told.help
                yield from _actions(command)
