"""What `esmtp bulk` has come to, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from time import monotonic

from esmtp_async.protocol._outcomes import Outcome


class Tally:
    """What became of how many recipients, so far, and how fast."""

    def __init__(self) -> None:
        #: Of each attempt and those before it together.
        self.outcomes: Counter[Outcome] = Counter()
        #: Recipients whom the same command would try again.
        self.left = 0
        #: Messages that were tried, whatever became of them.
        self.messages = 0
        #: Those of them that could not be sent as they are.
        self.invalid = 0
        #: Messages that were left as they are, for what the log says.
        self.skipped = 0
        #: Octets of the sources that are done with.
        self.octets = 0
        self._started = monotonic()

    def count(self, outcomes: Sequence[Outcome], octets: int) -> None:
        """Count a message by what became of it; it is invalid if that is nothing."""
        self.outcomes.update(outcomes)
        self.messages += 1
        self.invalid += not outcomes
        self.octets += octets

    def skip(self, octets: int) -> None:
        """Count a message that is left as it is."""
        self.skipped += 1
        self.octets += octets

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return monotonic() - self._started

    @property
    def rate(self) -> float:
        """Messages a second, without those that were skipped."""
        return self.messages / max(self.seconds, 1e-3)

    def __str__(self) -> str:
        """Tell the outcomes, without those that there are none of."""
        parts = [
            f"{count:,} {outcome.value}"
            for outcome in Outcome
            if (count := self.outcomes[outcome])
        ]
        if self.invalid:
            parts.append(f"{self.invalid:,} invalid")
        return ", ".join(parts) or "nothing sent"


def counted(messages: int) -> str:
    """Tell how many messages there are."""
    return "1 message" if messages == 1 else f"{messages:,} messages"
