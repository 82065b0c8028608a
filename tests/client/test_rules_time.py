"""Rows E10, E11, E13 and E30: time, and what is left behind. In virtual time."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import anyio
import pytest
from anyio.abc import ByteStream

from esmtp_async import (
    Outcome,
    OutcomeUnknown,
    Receipt,
    SMTPClient,
    SMTPError,
    Stage,
    StageTimeout,
)
from esmtp_async.testing import Rule, SMTPServer
from tests.client.checks import ALICE, BOB, MESSAGE, outcomes
from tests.clock import BACKENDS, run
from tests.raw import NAME
from tests.taps import Tap

each_backend = pytest.mark.parametrize("backend", BACKENDS)


@each_backend
@pytest.mark.parametrize("pipelining", ["off", "conformant", "eager"])
def test_E10_the_final_reply_may_take_ten_minutes(
    backend: str, pipelining: str
) -> None:
    async def scenario(delay: float) -> tuple[list[tuple[str, str, int | None]], float]:
        rule = Rule("CONTENT|LAST", delay=delay, times=1)
        async with SMTPServer(rules=[rule], eager=True) as server:
            async with server.client(
                client_hostname=NAME, pipelining=pipelining
            ) as client:
                start = anyio.current_time()
                try:
                    told = (await send(client)).recipients
                except OutcomeUnknown as error:
                    told = error.recipients
                took = anyio.current_time() - start
                assert (await send(client)).accepted == (BOB,)
        return outcomes(told), took

    assert run(lambda: scenario(599), backend) == ([("bob", "ACCEPTED", 250)], 599)
    assert run(lambda: scenario(601), backend) == ([("bob", "UNKNOWN", None)], 600)


class Silent(Tap):
    """A connection whose other end is gone, without a word: half open."""

    gone = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        octets = await super().receive(max_bytes)
        if self.gone:
            await anyio.sleep_forever()
        return octets

    async def send(self, item: bytes) -> None:
        if not self.gone:
            await super().send(item)


STAGES: Final[Mapping[Stage, tuple[int, float]]] = {
    # After how many reads nothing comes any more, and how long that is waited for.
    Stage.GREETING: (0, 300),
    Stage.HELLO: (1, 300),
    Stage.MAIL: (2, 300),
    Stage.FINAL: (3, 600),
}


@each_backend
@pytest.mark.parametrize("stage", STAGES)
def test_E13_a_peer_that_is_gone_is_waited_for_as_long_as_its_stage(
    backend: str, stage: Stage
) -> None:
    reads, limit = STAGES[stage]

    class Vanishing(Silent):
        async def receive(self, max_bytes: int = 65536) -> bytes:
            self.gone = self.gone or len(self.reads) >= reads
            return await super().receive(max_bytes)

    async def scenario() -> tuple[SMTPError, float, int]:
        async with SMTPServer() as server:
            taps: list[Tap] = []

            async def connect() -> ByteStream:
                stream = await server.connect()
                taps.append(Vanishing(stream) if not taps else Tap(stream))
                return taps[-1]

            # A group that broke would be tried once more without.
            pipelining = "off" if stage is Stage.MAIL else "conformant"
            async with server.client(
                client_hostname=NAME, connect=connect, pipelining=pipelining
            ) as client:
                start = anyio.current_time()
                with pytest.raises(SMTPError) as info:
                    await send(client)
                took = anyio.current_time() - start
                assert (await send(client)).accepted == (BOB,)
            return info.value, took, taps[0].closed

    error, took, closed = run(scenario, backend)
    assert took == pytest.approx(limit)
    assert closed == 1
    assert error.stage is stage
    if stage is Stage.FINAL:
        assert isinstance(error, OutcomeUnknown)
    else:
        assert isinstance(error, StageTimeout)
        assert error.recipients[0].outcome is Outcome.NOT_SENT


@each_backend
def test_E11_a_reply_in_drops_has_one_deadline(backend: str) -> None:
    async def scenario() -> float:
        async with SMTPServer(rules=[Rule("RCPT", reply="250 " + "x" * 400)]) as server:
            stream = await server.connect()

            class Dripping(Tap):
                async def receive(self, max_bytes: int = 65536) -> bytes:
                    if len(self.reads) > 2:
                        await anyio.sleep(149)
                        max_bytes = 1
                    return await super().receive(max_bytes)

            async def connect() -> ByteStream:
                return Dripping(stream)

            async with server.client(
                client_hostname=NAME, connect=connect, pipelining="off"
            ) as client:
                start = anyio.current_time()
                with pytest.raises(StageTimeout) as info:
                    await send(client)
                assert info.value.stage is Stage.RCPT
                return anyio.current_time() - start

    # One octet every 149 seconds is progress, and none to the deadline of 300.
    assert run(scenario, backend) == pytest.approx(300)


FAULTS: Final = [
    Rule("CONNECT", close=True, drop=True),
    Rule("EHLO", reply="421 4.3.2 closing"),
    Rule("MAIL", reply="250-no end"),
    Rule("MAIL", close=True, drop=True),
    Rule("RCPT", reply="25x"),
    Rule("DATA", silent=True),
    Rule("CONTENT", silent=True, close=True),
    Rule("CONTENT", reply="2", close=True, drop=True),
]


def left_behind() -> tuple[int, int]:
    """Count descriptors and threads."""
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


@each_backend
def test_E30_nothing_is_left_behind(backend: str) -> None:
    async def sessions(client: SMTPClient, server: SMTPServer, count: int) -> None:
        for number in range(count):
            server.rules[:] = [FAULTS[number % len(FAULTS)]]
            with pytest.raises(SMTPError):
                await send(client)
            server.transcript.clear()
            server.messages.clear()

    async def scenario() -> None:
        async with SMTPServer() as server:
            async with server.client(client_hostname=NAME) as client:
                await sessions(client, server, 100)
                gc.collect()
                before, memory = left_behind(), tracemalloc.get_traced_memory()[0]
                await sessions(client, server, 400)
                gc.collect()
                # Threads of tests before this one may end meanwhile.
                descriptors, threads = left_behind()
                assert descriptors <= before[0]
                assert threads <= before[1]
                grown = tracemalloc.get_traced_memory()[0] - memory
                assert grown < 50_000
                assert server.open_connections <= 1

    tracemalloc.start()
    try:
        run(scenario, backend)
    finally:
        tracemalloc.stop()


async def send(client: SMTPClient) -> Receipt:
    return await client.send(MESSAGE, sender=ALICE, recipients=BOB)
