"""How fast messages may go: so many in so much time, over a whole client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import anyio

from esmtp_async._timeouts import check_seconds
from esmtp_async.protocol._exceptions import InvalidInput


def check_count(what: str, value: object) -> None:
    """Refuse what is no number of things; True and False are no numbers here."""
    if isinstance(value, bool) or not isinstance(value, int) or not value > 0:
        msg = f"{what} is {value!r}, not a whole number above 0"
        raise InvalidInput(msg)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many messages in so many seconds, evenly; after a pause, as many at once.

    Behind those that went at once others fall due, so in one such stretch of
    time nearly twice as many can go. Each call of `send` counts, whatever
    becomes of it. Raises `InvalidInput`.
    """

    #: How many messages, at least 1.
    messages: int
    #: In how many seconds, above 0.
    seconds: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no rate."""
        check_count("rate_limit.messages", self.messages)
        check_seconds("rate_limit.seconds", self.seconds)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `messages/seconds`, or `messages` for one second."""
        messages, _, seconds = text.partition("/")
        return cls(int(messages), float(seconds or 1))


class Pace:
    """Keeps to a rate: whoever is too early waits, in turn.

    It knows when the messages so far would all have gone at an even pace; they may
    be ahead of that by as many as go at once.
    """

    def __init__(self, limit: RateLimit | None) -> None:
        self._interval = 0.0 if limit is None else limit.seconds / limit.messages
        self._ahead = 0.0 if limit is None else limit.seconds - self._interval
        self._due = 0.0
        self._turn = anyio.Lock(fast_acquire=True)

    async def keep(self) -> None:
        """Wait until another message may go; a cancellation uses nothing up."""
        if not self._interval:
            return
        async with self._turn:
            early = self._due - self._ahead - anyio.current_time()
            if early > 0:
                await anyio.sleep(early)
            self._due = max(self._due, anyio.current_time()) + self._interval
