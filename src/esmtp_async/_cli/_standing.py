"""What is known of each recipient of each message, by the log of `esmtp bulk`."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from esmtp_async.protocol._outcomes import (
    ACCEPTED,
    NOT_SENT,
    REFUSED,
    UNKNOWN,
    Outcome,
    RecipientResult,
)


class Standing:
    """What became of one message for one recipient, over all attempts of all runs."""

    __slots__ = ("_begun", "_doubtful", "_last", "_temporary")

    def __init__(self) -> None:
        self._last: Outcome = NOT_SENT
        self._temporary = True
        self._begun = 0  # the run with an attempt of which nothing more is known
        self._doubtful = False  # an attempt that ended so, or is known to have

    def begin(self, run: int) -> None:
        """Note that an attempt may have come to anything from here on."""
        self._doubtful = self._is_doubtful
        self._begun = run

    def conclude(self, run: int, outcome: Outcome, *, temporary: bool) -> None:
        """Note what an attempt of a run came to."""
        if self._begun == run:
            self._begun = 0
        # What another run began did not come to this.
        self._doubtful = self._is_doubtful or outcome is UNKNOWN
        self._begun = 0
        if self._last is not ACCEPTED:
            self._last, self._temporary = outcome, temporary

    @property
    def outcome(self) -> Outcome:
        """What is known.

        A doubt outlives what a later attempt came to, unless that was accepted: it
        does not tell what became of the first.
        """
        return UNKNOWN if UNKNOWN in self.lasting else self._last

    @property
    def lasting(self) -> set[Outcome]:
        """What stands against another attempt: a doubt, a refusal for good, or both."""
        if self._last is ACCEPTED:
            return {ACCEPTED}
        lasting: set[Outcome] = set()
        if self._is_doubtful:
            lasting.add(UNKNOWN)
        if self._last is REFUSED and not self._temporary:
            lasting.add(REFUSED)
        return lasting

    @property
    def _is_doubtful(self) -> bool:
        return self._doubtful or self._begun > 0


class Standings:
    """All of them, by message and address."""

    def __init__(self, *, again: Collection[Outcome] = ()) -> None:
        #: Outcomes after which an attempt is made all the same.
        self._again = frozenset(again)
        self._known: dict[str, dict[str, Standing]] = {}
        self._run = 1

    def __contains__(self, key: str) -> bool:
        """Tell whether anything is known of a message."""
        return key in self._known

    def begin_run(self) -> None:
        """Note that what follows is of another run than what there is."""
        self._run += 1

    def begin(self, key: str, addresses: Iterable[str]) -> None:
        """Note that a message is about to go out."""
        for address in addresses:
            self._of(key, address).begin(self._run)

    def conclude(
        self, key: str, address: str, outcome: Outcome, *, temporary: bool
    ) -> None:
        """Note what became of it for a recipient."""
        self._of(key, address).conclude(self._run, outcome, temporary=temporary)

    def follow(self, key: str, result: RecipientResult) -> Outcome:
        """Tell what came of all attempts, now that this was the last of them.

        It is noted only where there were others: nobody asks for the rest again.
        """
        if key not in self._known:
            return result.outcome
        address, outcome, temporary = result.address, result.outcome, result.temporary
        self.conclude(key, address, outcome, temporary=temporary)
        return self.outcome(key, address)

    def outcome(self, key: str, address: str) -> Outcome:
        """Tell what is known."""
        standing = self._known.get(key, {}).get(_identity(address))
        return NOT_SENT if standing is None else standing.outcome

    def is_due(self, key: str, address: str) -> bool:
        """Tell whether a recipient is to be tried, at first or again."""
        standing = self._known.get(key, {}).get(_identity(address))
        return standing is None or standing.lasting <= self._again

    def _of(self, key: str, address: str) -> Standing:
        of_message = self._known.setdefault(key, {})
        return of_message.setdefault(_identity(address), Standing())


def _identity(address: str) -> str:
    """Give what two ways to write an address have in common."""
    local_part, _, domain = address.rpartition("@")
    return f"{local_part}@{domain.lower()}"
