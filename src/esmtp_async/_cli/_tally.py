"""What `esmtp bulk` has come to, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from time import monotonic

from esmtp_async.protocol._outcomes import Outcome, RecipientResult


class Tally:
    """What became of how many recipients, so far, and how fast."""

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        #: Messages that were tried, whatever became of them.
        self.messages = 0
        #: Those of them that could not be sent as they are.
        self.invalid = 0
        #: Messages that were left as they are, for what the log says.
        self.skipped = 0
        #: Octets of the sources that are done with.
        self.octets = 0
        self._started = monotonic()

    def count(self, results: Iterable[RecipientResult], octets: int) -> None:
        """Count a message by its results; it is invalid if it has none."""
        outcomes = [result.outcome for result in results]
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
