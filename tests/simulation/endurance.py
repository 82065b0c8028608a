"""Many failures in a row over real sockets, and what is left behind by them.

``python -m tests.simulation.endurance 100000`` prints what one process holds, counted
ten times on the way: nothing of it may grow.
"""

from __future__ import annotations

import gc
import itertools
import sys
import threading
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import anyio

from esmtp_async import SMTPClient, SMTPError
from esmtp_async.testing import Rule, SMTPServer
from tests.client.cancelling import CancelledAt
from tests.client.checks import send
from tests.clock import BACKENDS

#: Sessions of the full run.
FULL: Final = 100_000

#: What the server does, one after the other.
FAULTS: Final = (
    Rule("CONNECT", close=True, drop=True),
    Rule("CONNECT", reply="554 5.3.2 no"),
    Rule("EHLO", reply="421 4.3.2 closing"),
    Rule("EHLO", close=True, drop=True),
    Rule("MAIL", reply="250-no end"),
    Rule("MAIL", close=True, drop=True),
    Rule("RCPT", reply="25x"),
    Rule("RCPT", reply="550 5.1.1 no"),
    Rule("DATA", close=True),
    Rule("CONTENT", silent=True, close=True),
    Rule("CONTENT", reply="2", close=True, drop=True),
    Rule("CONTENT", reply="250 ok\n250 ok"),
    Rule("CONTENT", reply="451 4.3.0 later"),
)
#: At how many suspensions a call is cancelled, in turn; 0 for not at all.
_CANCELLED_AT: Final = (0, 0, 1, 0, 3, 0, 0, 5, 0, 8, 0)


class Held(NamedTuple):
    """What a process holds; each but the memory is a count."""

    descriptors: int
    tasks: int
    threads: int
    objects: int
    #: KiB that are resident.
    memory: int

    @classmethod
    def now(cls) -> Held:
        """Count, garbage left out."""
        gc.collect()
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return cls(
            len(list(Path("/proc/self/fd").iterdir())),
            len(anyio.get_running_tasks()),
            threading.active_count(),
            len(gc.get_objects()),
            int(status.partition("VmRSS:")[2].split()[0]),
        )


class Stand:
    """A server that fails in turn in every way, and its client."""

    def __init__(self, server: SMTPServer, client: SMTPClient) -> None:
        self._server = server
        self._client = client
        self._faults = itertools.cycle(FAULTS)
        self._cancelled = itertools.cycle(_CANCELLED_AT)
        self.failures = 0

    async def fail(self) -> None:
        """Send a message that meets the next fault, or is cancelled before."""
        self._server.rules[:] = [next(self._faults)]
        sending = self._send()
        k = next(self._cancelled)
        if k and await CancelledAt(sending, k).run():
            self.failures += 1
        elif not k:
            await sending
        server = self._server
        for record in (server.transcript, server.messages, server.notes):
            record.clear()

    async def _send(self) -> None:
        try:
            await send(self._client)
        except SMTPError:
            self.failures += 1


async def endure(count: int, samples: int = 10) -> list[tuple[int, Held]]:
    """Fail so often, half of it under TLS; give what is held on the way.

    The first sample is taken after a hundredth, or a hundred, when all has been
    imported and every cache is filled.
    """
    taken: list[tuple[int, Held]] = []
    first = max(100, count // 100)
    marks = {first, *(count * n // samples for n in range(1, samples + 1))}
    async with AsyncExitStack() as stack:
        stands: list[Stand] = []
        for starttls in (False, True):
            server = SMTPServer(starttls=starttls)
            await stack.enter_async_context(server.listen())
            client = server.client(client_hostname="c.test")
            stands.append(Stand(server, await stack.enter_async_context(client)))
        for number, stand in zip(range(1, count + 1), itertools.cycle(stands)):
            await stand.fail()
            if number in marks:
                taken.append((number, Held.now()))
    return taken


def main() -> None:
    """Print what is held on either loop."""
    count = int(sys.argv[1]) if sys.argv[1:] else FULL
    print(f"| loop | sessions | {' | '.join(Held._fields)} |")
    print("|---|" + "--:|" * (1 + len(Held._fields)))
    for backend in BACKENDS:
        for number, held in anyio.run(partial(endure, count), backend=backend):
            figures = " | ".join(f"{figure:,}" for figure in held)
            print(f"| {backend} | {number:,} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
