"""Passwords, from a command or from whoever sits at the terminal."""

from __future__ import annotations

import getpass
import subprocess
import warnings

from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.protocol._replies import printable
from esmtp_async.protocol._sasl import Secret


def from_command(arguments: tuple[str, ...]) -> Secret:
    """Run a command, without a shell; its first line of output is the password.

    What it says to standard error is for the user to read. Of its output and its
    arguments nothing is shown, for both may be secret. Raises `InvalidInput`.
    """
    told = _told_by(arguments)
    if isinstance(told, Secret):
        return told
    program = printable(arguments[0].encode(errors="replace"))
    msg = f"the password command {program!r} {told}"
    raise InvalidInput(msg)


def _told_by(arguments: tuple[str, ...]) -> Secret | str:
    """Give the password, or what went wrong; no traceback goes through here."""
    try:
        run = subprocess.run(arguments, stdout=subprocess.PIPE, check=False)  # noqa: S603  # the user's own
    except OSError as error:
        return f"cannot be run: {error.strerror}"
    except ValueError:
        return "cannot be run: an argument of it holds a NUL"
    if run.returncode:
        how = "exit code" if run.returncode > 0 else "signal"
        return f"failed: {how} {abs(run.returncode)}"
    line = run.stdout.partition(b"\n")[0].removesuffix(b"\r")
    try:
        return Secret(line.decode()) if line else "told none: its first line is empty"
    except UnicodeDecodeError:
        return "told one that is not UTF-8"


def asked_for(whose: str, elsewhere: str) -> Secret:
    """Ask at the terminal, which does not show what is typed.

    `elsewhere` tells where else there is none. Raises `InvalidInput`.
    """
    try:
        with warnings.catch_warnings():
            # It would read from whatever else there is, and show what is typed.
            warnings.simplefilter("error", getpass.GetPassWarning)
            password = getpass.getpass(f"Password {whose}: ")
    except EOFError:
        problem = f"{elsewhere}, and nobody answers"
    except getpass.GetPassWarning:
        problem = f"{elsewhere}, and there is no terminal to ask at"
    except UnicodeDecodeError:
        problem = "what was typed is no text"
    else:
        if password:
            return Secret(password)
        problem = "what was typed is empty"
    msg = f"there is no password: {problem}"
    raise InvalidInput(msg)
