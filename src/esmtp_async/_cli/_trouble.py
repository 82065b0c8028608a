"""Trouble that a test server makes when it is told to, as rules of the model server."""

from __future__ import annotations

import argparse
import fnmatch
import math
import re
from typing import Final

from esmtp_async.testing import Rule
from esmtp_async.testing._faults import ANYWHERE, PLACES

_NO_SUCH_MAILBOX: Final = "550 5.1.1 no such mailbox here"
# Reply-code and text of a refusal (RFC 5321 §4.2).
_REFUSAL: Final = re.compile(r"[45][0-9]{2} [ -~]+")
_REFUSE: Final = re.compile(
    r"(?P<address>[^\s]*?@[^\s=]+|[^\s=@]+)(?:=(?P<reply>.*))?", re.DOTALL
)


def refuse(text: str) -> Rule:
    """Read `ADDRESS[=REPLY]`: a recipient, `*` standing for any characters."""
    match = _REFUSE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not ADDRESS or ADDRESS=REPLY")
    pattern = fnmatch.translate(match["address"].replace("[", "[[]"))
    # Parameters may follow it: its end is that of the path.
    inner = pattern.removesuffix(r"\Z").removesuffix(r"\z")
    reply = match["reply"]
    return Rule(
        "RCPT",
        argument=rf"\ATO:<{inner}>",
        reply=_NO_SUCH_MAILBOX if reply is None else _refusal(reply),
    )


def refuse_at(text: str) -> Rule:
    """Read `STAGE=REPLY`; a stage is what `SMTPServer.refuse(at=...)` takes."""
    stage, equals, reply = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not STAGE=REPLY")
    return Rule(_verbs(stage), reply=_refusal(reply))


def drop_at(text: str) -> Rule:
    """Read the stage at which a connection breaks off instead of a reply."""
    return Rule(_verbs(text), silent=True, drop=True)


def delays(seconds: float) -> list[Rule]:
    """Let each reply take so many seconds, whatever the rules behind it decide."""
    return [Rule(ANYWHERE, delay=seconds, goes_on=True)] if seconds else []


def seconds(text: str) -> float:
    """Read a time in seconds."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds")
    return value


def _verbs(stage: str) -> str:
    verbs = PLACES.get(stage.lower())
    if verbs is None:
        raise argparse.ArgumentTypeError(
            f"{stage!r} is no stage; stages are {', '.join(PLACES)}"
        )
    return verbs


def _refusal(reply: str) -> str:
    if not _REFUSAL.fullmatch(reply):
        raise argparse.ArgumentTypeError(
            f"{reply!r} is no refusal, such as '451 4.7.1 try again later'"
        )
    return reply
