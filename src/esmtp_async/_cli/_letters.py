"""The messages of `esmtp bulk` that are due, by what its log knows of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from esmtp_async._cli._sources import Found
from esmtp_async._cli._standing import Standings
from esmtp_async._cli._tally import Tally
from esmtp_async._headers import Header
from esmtp_async.protocol._content import canonical
from esmtp_async.protocol._envelope import Envelope
from esmtp_async.protocol._exceptions import InvalidInput

#: Octets of a large message that its header section is looked for in.
_BEGINNING: Final = 512 * 1024


class Letter(NamedTuple):
    """A message, and who is due to get it."""

    #: What it goes by in the log: its digest, and which one of those with that digest.
    key: str
    found: Found
    #: None: everybody that its header fields name.
    recipients: tuple[str, ...] | None


class Letters:
    """Gives one message after the other; it blocks, and is for one thread at a time.

    A message is known by its content, wherever it lies and whatever it is called by
    now; several with the same content are told apart by their number alone.
    """

    def __init__(
        self,
        found: Iterable[Found],
        standings: Standings,
        tally: Tally,
        *,
        recipients: Sequence[str] | None,
    ) -> None:
        self._found = iter(found)
        self._standings = standings
        self._tally = tally
        self._recipients = None if recipients is None else tuple(recipients)
        self._seen: Counter[str] = Counter()

    def following(self) -> Letter | None:
        """Give the next one that is due for somebody; None at the end."""
        for found in self._found:
            self._seen[found.digest] += 1
            key = f"{found.digest}:{self._seen[found.digest]}"
            if found.problem or key not in self._standings:
                return Letter(key, found, self._recipients)
            try:
                recipients = self._due(key, found)
            except (InvalidInput, OSError) as error:
                # Some may have it; so nobody gets it until it can be told who.
                return Letter(key, found._replace(problem=str(error)), ())
            if recipients:
                return Letter(key, found, recipients)
            self._tally.skip(found.size)
            found.close()
        return None

    def _due(self, key: str, found: Found) -> tuple[str, ...]:
        """Give those who are to get a message that the log knows."""
        addresses = self._recipients or _recipients(found)
        recipients = Envelope.of("", addresses).recipients
        wanted = [recipient.address for recipient in recipients]
        due = [each for each in wanted if self._standings.is_due(key, each)]
        for address in set(wanted).difference(due):
            self._tally.outcomes[self._standings.outcome(key, address)] += 1
        return tuple(due)


def _recipients(found: Found) -> list[str]:
    """Read who a message is for by its header fields."""
    content = found.content
    if isinstance(content, bytes):
        beginning = content
    elif isinstance(content, Path):
        with content.open("rb") as file:
            beginning = file.read(_BEGINNING)
    else:
        beginning = content.read(_BEGINNING)
        content.seek(0)
    return Header.of_octets(canonical(beginning)).recipients
