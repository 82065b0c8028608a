"""What it saves to resume a session: round trips and octets."""

from __future__ import annotations

import re
from itertools import product
from typing import Final, NamedTuple

import anyio
import pytest

from esmtp_async import (
    CommandSent,
    Event,
)
from tests.backends import everywhere
from tests.client.test_tls import VERSIONS, WAYS, certified, client_of
from tests.docs.pages import DOCS
from tests.raw import serving
from tests.taps import BLOCK, Tap

pytestmark = pytest.mark.usefixtures("resuming")


class Meter(Tap):
    """Counts the octets of a connection, and the times that a reply is waited for."""

    rounds = 0
    received = 0
    _said = False

    async def send(self, item: bytes) -> None:
        self._said = True
        await super().send(item)

    async def receive(self, max_bytes: int = BLOCK) -> bytes:
        octets = await super().receive(max_bytes)
        self.received += len(octets)
        self.rounds += self._said
        self._said = False
        return octets


class Cost(NamedTuple):
    """What it took until a session was ready for mail."""

    rounds: int
    received: int
    sent: int


async def measured(version: str, way: str) -> list[Cost]:
    """Open a session twice, the second time with a session resumed."""
    meters: list[Meter] = []
    costs: list[Cost] = []

    def note(event: Event) -> None:
        if isinstance(event, CommandSent) and event.command == "QUIT":
            meter = meters[-1]
            costs.append(Cost(meter.rounds, meter.received, len(meter.octets)))

    async with serving(WAYS[way], tls=certified(version)) as server:

        async def connect() -> Meter:
            meters.append(Meter(await anyio.connect_tcp("127.0.0.1", server.port)))
            return meters[-1]

        async with client_of(server, way, connect=connect, on_event=note) as client:
            for resumed in (False, True):
                info = await client.probe()
                assert info.tls is not None
                assert info.tls.resumed is resumed
    return costs


_ROW: Final = re.compile(r"\| `(\w+)` \| (TLSv1\.\d) \| (\d+) \| (\d+) \| .*")


@everywhere
async def test_the_page_tells_what_resuming_saves() -> None:
    page = (DOCS / "explanation" / "tls.md").read_text("utf-8")
    rows = {tuple(match[:2]): match[2:] for match in _ROW.findall(page)}
    assert len(rows) == 4
    for way, version in product(WAYS, VERSIONS):
        full, short = await measured(version, way)
        assert rows[way, version] == (str(full.rounds), str(short.rounds))
        # Certificates are most of a handshake.
        assert full.received - short.received > 400
