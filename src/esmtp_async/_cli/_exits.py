"""Exit codes, and what is meant for one: how a command ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from esmtp_async.protocol._outcomes import Outcome

ACCEPTED: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
NOT_SENT: Final = 3
UNKNOWN: Final = 4

#: For the end of a help text.
EXPLAINED: Final = (
    "Exit codes: 0 everybody was accepted, 1 somebody was refused, 2 the command line "
    "or the message makes no sense, 3 nothing was sent, 4 it is unknown whether the "
    "message was taken."
)

_CODES: Final = {
    Outcome.ACCEPTED: ACCEPTED,
    Outcome.REFUSED: REFUSED,
    Outcome.NOT_SENT: NOT_SENT,
    Outcome.UNKNOWN: UNKNOWN,
}
# The worst first: what is told is what there is most to do about. What was not sent
# only has to be sent again.
_BY_WEIGHT: Final = (UNKNOWN, REFUSED, USAGE, NOT_SENT)


class MissingExtra(Exception):
    """Something that was asked for needs a package that is not installed."""

    def __init__(self, what: str, module: str, extra: str) -> None:
        super().__init__(f"{what} needs {module}: pip install 'esmtp-async[{extra}]'")


def code(outcomes: Iterable[Outcome], *, invalid: bool = False) -> int:
    """Give the exit code that the outcomes of all recipients amount to.

    `invalid`: there was a message besides that could not be sent as it is.
    """
    present = {_CODES[outcome] for outcome in outcomes}
    if invalid:
        present.add(USAGE)
    return next((worst for worst in _BY_WEIGHT if worst in present), ACCEPTED)
