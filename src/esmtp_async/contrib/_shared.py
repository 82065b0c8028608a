"""Clients that a whole process shares, one for each configuration."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from esmtp_async._forks import begin_anew_in_children
from esmtp_async._sync import SyncSMTPClient

#: Clients that are kept while nobody sends by them.
MOST: Final = 16


class _Shared:
    """A client, and how many are sending by it."""

    def __init__(self, client: SyncSMTPClient) -> None:
        self.client = client
        self.leases = 0


class SharedClients:
    """Clients by what they are made of; those used least lately go when many lie idle.

    They are closed at the end of the process. A forked process has the same ones,
    which have no part in the connections of its parent.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._shared: dict[Hashable, _Shared] = {}
        self._lock = threading.Lock()
        atexit.register(self.close)
        begin_anew_in_children(self)

    @contextmanager
    def lease(
        self, key: Hashable, make: Callable[[], SyncSMTPClient]
    ) -> Iterator[SyncSMTPClient]:
        """Give the client of a key, made if there is none; it stays open meanwhile."""
        with self._lock:
            shared = self._shared.pop(key, None) or _Shared(make())
            self._shared[key] = shared  # behind all others, as the one used last
            shared.leases += 1
        try:
            yield shared.client
        finally:
            with self._lock:
                shared.leases -= 1
                spare = self._spare()
            for each in spare:
                each.client.close()

    def close(self) -> None:
        """Close all of them; each is made anew by whoever asks for it."""
        with self._lock:
            shared, self._shared = self._shared, {}
        with ExitStack() as stack:
            for each in shared.values():
                stack.callback(each.client.close)

    def _spare(self) -> list[_Shared]:
        """Take out what is idle and too many."""
        idle = [key for key, shared in self._shared.items() if not shared.leases]
        return [self._shared.pop(key) for key in idle[: -self._most]]

    def begin_anew(self) -> None:
        """Depend on no thread of a parent process."""
        self._lock = threading.Lock()
        for shared in self._shared.values():
            shared.leases = 0
