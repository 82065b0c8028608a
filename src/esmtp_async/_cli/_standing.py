"""What is known of each recipient of each message, by the log of `esmtp bulk`."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from esmtp_async.protocol._outcomes import ACCEPTED, NOT_SENT, UNKNOWN, Outcome


class Standing:
    """What became of one message for one recipient, over all attempts."""

    __slots__ = ("_begun", "_doubtful", "_last", "_temporary")

    def __init__(self) -> None:
        self._last: Outcome = NOT_SENT
        self._temporary = True
        self._begun = False  # an attempt of which nothing more is known
        self._doubtful = False  # an attempt that ended so, or is known to have

    def begin(self) -> None:
        """Note that an attempt may have come to anything from here on."""
        self._doubtful = self._doubtful or self._begun
        self._begun = True

    def conclude(self, outcome: Outcome, *, temporary: bool) -> None:
        """Note what an attempt came to."""
        self._begun = False
        self._doubtful = self._doubtful or outcome is UNKNOWN
        if self._last is not ACCEPTED:
            self._last, self._temporary = outcome, temporary

    @property
    def outcome(self) -> Outcome:
        """What is known.

        A doubt outlives a later attempt that came to nothing, for that does not tell
        what became of the first.
        """
        if self._last is ACCEPTED or self.is_refused:
            return self._last
        return UNKNOWN if self._begun or self._doubtful else self._last

    @property
    def is_refused(self) -> bool:
        """Whether the server has refused for good."""
        return self._last is Outcome.REFUSED and not self._temporary


class Standings:
    """All of them, by message and address."""

    def __init__(self, *, again: Collection[Outcome] = ()) -> None:
        #: Outcomes after which an attempt is made all the same.
        self._again = frozenset(again)
        self._known: dict[str, dict[str, Standing]] = {}

    def __contains__(self, key: str) -> bool:
        """Tell whether anything is known of a message."""
        return key in self._known

    def begin(self, key: str, addresses: Iterable[str]) -> None:
        """Note that a message is about to go out."""
        for address in addresses:
            self._of(key, address).begin()

    def conclude(
        self, key: str, address: str, outcome: Outcome, *, temporary: bool
    ) -> None:
        """Note what became of it for a recipient."""
        self._of(key, address).conclude(outcome, temporary=temporary)

    def outcome(self, key: str, address: str) -> Outcome:
        """Tell what is known."""
        standing = self._known.get(key, {}).get(_identity(address))
        return NOT_SENT if standing is None else standing.outcome

    def is_due(self, key: str, address: str) -> bool:
        """Tell whether a recipient is to be tried, at first or again."""
        standing = self._known.get(key, {}).get(_identity(address))
        if standing is None:
            return True
        outcome = standing.outcome
        if outcome is ACCEPTED:
            return False
        lasting = outcome is UNKNOWN or standing.is_refused
        return not lasting or outcome in self._again

    def _of(self, key: str, address: str) -> Standing:
        of_message = self._known.setdefault(key, {})
        return of_message.setdefault(_identity(address), Standing())


def _identity(address: str) -> str:
    """Give what two ways to write an address have in common."""
    local_part, _, domain = address.rpartition("@")
    return f"{local_part}@{domain.lower()}"
