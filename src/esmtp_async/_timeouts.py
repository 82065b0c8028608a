"""How long each stage may take (RFC 5321 §4.5.3.2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import inf
from sys import float_info
from typing import Final, Self

from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.protocol._outcomes import Stage

# The limit of each stage; a handshake counts as a command, a wait for the pool
# is bounded by the caller's own `timeout` only.
_FIELDS: Final = {
    Stage.CONNECT: "connect",
    Stage.TLS: "command",
    Stage.GREETING: "greeting",
    Stage.HELLO: "command",
    Stage.STARTTLS: "command",
    Stage.AUTH: "command",
    Stage.RSET: "command",
    Stage.MAIL: "command",
    Stage.RCPT: "command",
    Stage.DATA: "data",
    Stage.CONTENT: "block",
    Stage.FINAL: "final",
    Stage.COMMAND: "command",
    Stage.QUIT: "quit",
}


_QUIT: Final = 5.0

#: As many steps of an opening as may each take all its time.
_STEPS: Final = 3


def check_seconds(what: str, value: object) -> None:
    """Refuse what is no duration; True and False are no numbers here."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not (0 < value <= float_info.max or value == inf)
    ):
        msg = f"{what} is {value!r}, not a number of seconds above 0"
        raise InvalidInput(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Limits in seconds, each from the start of its stage to the end of it.

    The defaults are the minima of RFC 5321 §4.5.3.2, which servers rely on:
    a shorter `final` makes duplicates, for the server may have taken the
    message and be about to say so (RFC 1047).

    Raises `InvalidInput`.
    """

    #: The transport connection, names resolved.
    connect: float = 30.0
    #: The greeting.
    greeting: float = 300.0
    #: The reply to a command; a TLS handshake.
    command: float = 300.0
    #: The 354 to DATA, the reply to a chunk.
    data: float = 120.0
    #: One block of the mail data, written.
    block: float = 180.0
    #: The reply to the end of the mail data.
    final: float = 600.0
    #: The reply to QUIT.
    quit: float = _QUIT
    #: All from the transport connection to being ready for mail: who takes his
    #: time at every step of it does not take that of all steps together.
    opening: float = _STEPS * 300.0

    _by_stage: Mapping[Stage, float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what is no duration."""
        for each in fields(self):
            if each.init:
                check_seconds(f"timeouts.{each.name}", getattr(self, each.name))
        by_stage = {stage: getattr(self, name) for stage, name in _FIELDS.items()}
        object.__setattr__(self, "_by_stage", by_stage)

    @classmethod
    def interactive(cls) -> Self:
        """Give limits for a person who waits; the final reply keeps its own."""
        return cls(
            connect=5,
            greeting=10,
            command=10,
            data=20,
            block=20,
            quit=1,
            opening=_STEPS * 10,
        )

    @classmethod
    def each(cls, seconds: float) -> Self:
        """Give one limit for every stage but the final reply."""
        check_seconds("timeouts", seconds)
        return cls(
            connect=seconds,
            greeting=seconds,
            command=seconds,
            data=seconds,
            block=seconds,
            quit=min(seconds, _QUIT),
            opening=_STEPS * seconds,
        )

    def limit(self, stage: Stage) -> float:
        """Give the limit of a stage in seconds."""
        return self._by_stage[stage]
