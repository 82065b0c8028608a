"""Ways to send that save round trips, and which of them a server bears.

A server may offer PIPELINING or CHUNKING and break on it all the same, or have a
firewall before it that does. The message at hand shows it: it goes once more, without
the way that is suspected, and where that goes well the server is spared it for good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

#: Several commands on their way at once (RFC 2920).
GROUPS: Final = 1
#: Mail data by BDAT (RFC 3030).
CHUNKS: Final = 2
#: Mail data on their way with the envelope.
EAGER: Final = 4
#: Several messages on their way at once: mail data, and the next envelope behind them.
TRAINS: Final = 8

#: What they are called. The first that was used is suspected first: a message goes
#: without it by those behind it.
NAMES: Final = {
    EAGER: "eager",
    TRAINS: "trains",
    CHUNKS: "CHUNKING",
    GROUPS: "PIPELINING",
}
#: Those that leave a message in doubt where the server breaks on them.
RISKY: Final = EAGER | TRAINS
# How often a way must have gone well. Some servers break on a train now and then.
_PROOF: Final = {EAGER: 1, TRAINS: 10, CHUNKS: 1, GROUPS: 1}


class Ways:
    """What is known of one server; several ways are the sum of them.

    `given_up` is told the name of each way that the server is spared from then on.
    """

    def __init__(self, usable: int, given_up: Callable[[str], object]) -> None:
        #: Those that may be used.
        self.usable: int = usable
        #: Those that are not to blame any more: what breaks is something else.
        self.proven: int = 0
        self._times: Counter[int] = Counter()  # that they went well, so far
        self._given_up = given_up
        self._pioneers: dict[int, object] = {}

    def may_try(self, way: int, who: object) -> bool:
        """Tell whether somebody may be the first to use a way that is not proven.

        Nobody else is until he has `tried`: the messages of one are in doubt then, not
        those of everybody who sends at that time.
        """
        return self._pioneers.setdefault(way, who) is who

    def tried(self, who: object) -> None:
        """Let somebody else be the first, if he was."""
        for way in [way for way, one in self._pioneers.items() if one is who]:
            del self._pioneers[way]

    def went_well(self, ways: int) -> None:
        """Note that a message went so, and all of it was answered."""
        self._times.update(way for way in NAMES if ways & way)
        for way, times in self._times.items():
            if times >= _PROOF[way]:
                self.proven |= way

    def suspect(self, ways: int) -> int:
        """Give the one of them that the server may have broken on; 0 for none."""
        suspects = ways & ~self.proven
        return next((way for way in NAMES if suspects & way), 0)

    def give_up(self, ways: int) -> None:
        """Spare the server what it broke on, but nothing that is proven."""
        guilty = ways & self.usable & ~self.proven
        self.usable &= ~guilty
        for way, name in NAMES.items():
            if guilty & way:
                self._given_up(name)
