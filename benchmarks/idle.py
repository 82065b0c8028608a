"""Idle connections: ``python -m benchmarks.idle PORT COUNT LOOP`` opens that many.

It prints the octets that each holds in the pool: of resident memory, where what many
messages at once had needed and left behind counts too, and of Python's own objects.
"""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from typing import Final, NamedTuple

import anyio

from benchmarks import memory
from benchmarks.jobs import HOST, NAME, SENDER, Job
from benchmarks.processes import output
from benchmarks.sinks import Sink, all_arrive, far_away
from benchmarks.worker import LOOPS
from esmtp_async import SMTPClient

#: Connections that are opened first.
FEW: Final = 5


class Held(NamedTuple):
    """What an idle connection holds, in octets."""

    resident: float
    objects: float


def hold(sink: Sink, count: int, loop: str) -> Held:
    """Let a process hold so many connections, which a long line makes it open.

    Raises:
        RuntimeError: if it opened fewer.
    """
    opened = FEW + 2 * count
    before = sink.figures().connections
    with far_away(sink.port, 0.1) as port, all_arrive(sink, "idle", opened):
        held = Held(**json.loads(output("idle", port, count, loop)))
    if sink.figures().connections - before != opened:
        msg = f"messages shared a connection: not {opened} were opened"
        raise RuntimeError(msg)
    return held


async def pool(port: int, count: int, *, traced: bool) -> float:
    """Open the connections, and give the octets that each of them holds."""
    job = Job(port, 0)
    async with SMTPClient(
        HOST,
        port,
        security="plaintext",
        client_hostname=NAME,
        max_connections=count,
    ) as client:

        async def send() -> None:
            await client.send(job.message, sender=SENDER, recipients=job.forward_paths)

        gc.collect()
        held = memory.resident()
        if traced:
            tracemalloc.start()
        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(send)
        gc.collect()
        holds = (
            tracemalloc.get_traced_memory()[0] if traced else memory.resident() - held
        )
        tracemalloc.stop()
        return holds / count


async def probe(port: int, count: int) -> Held:
    """Hold a few first, for what is loaded once; then so many, twice."""
    await pool(port, FEW, traced=False)
    resident = await pool(port, count, traced=False)
    return Held(resident, await pool(port, count, traced=True))


def main() -> None:
    """Do what the command line says."""
    port, count, loop = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    backend, options = LOOPS[loop]
    held = anyio.run(probe, port, count, backend=backend, backend_options=options)
    print(json.dumps(held._asdict()))


if __name__ == "__main__":
    main()
