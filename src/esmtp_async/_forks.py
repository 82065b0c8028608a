"""What a forked process begins anew: it has no part in the threads of its parent."""

from __future__ import annotations

import os
import sys
from typing import Final, Protocol
from weakref import WeakSet


class Renewed(Protocol):
    """What cannot go on as it is in a forked process."""

    def begin_anew(self) -> None:
        """Depend on nothing that a parent process began."""
        ...


_KNOWN: Final[WeakSet[Renewed]] = WeakSet()


def begin_anew_in_children(renewed: Renewed) -> None:
    """Have it begin anew in each process that is forked, for as long as it is used."""
    _KNOWN.add(renewed)


def _begin_all_anew() -> None:
    for renewed in list(_KNOWN):
        renewed.begin_anew()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_begin_all_anew)
