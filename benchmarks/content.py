"""Large content: ``python -m benchmarks.content PORT LOOP FORM FILE`` sends it twice.

Once by hand, a raw socket and no more, and once by the client; it prints what each
took, how much memory the client needed, and how long it kept the loop from others.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple, Self

import anyio

from benchmarks import memory
from benchmarks.jobs import HOST, NAME, SENDER, Job
from benchmarks.processes import output
from benchmarks.sinks import Sink, all_arrive
from benchmarks.worker import LOOPS
from esmtp_async import SMTPClient

_BLOCK: Final = 1 << 16
#: Seconds between two looks at the loop.
_TICK: Final = 0.001


class Passage(NamedTuple):
    """How a large message went; seconds and octets."""

    raw: float
    client: float
    memory: int
    blocked: float


class Summary(NamedTuple):
    """What several passages come to."""

    #: How much of a raw socket's throughput the client reached.
    ratio: float
    memory: float
    blocked: float

    @classmethod
    def of(cls, passages: Iterable[Passage]) -> Self:
        """Take medians; of what others on the machine only add to, the least."""
        raw, client, memory_, blocked = zip(*passages, strict=True)
        ratios = (one / other for one, other in zip(raw, client, strict=True))
        return cls(median(ratios), median(memory_), min(blocked))


def send_file(sink: Sink, port: int, loop: str, form: str, file: Path) -> Passage:
    """Send a file in a process of its own, by the port that leads to the sink."""
    with all_arrive(sink, form, messages=3, octets=2 * file.stat().st_size):
        return Passage(**json.loads(output("content", port, loop, form, file)))


def blocks(file: Path) -> Iterator[bytes]:
    """Read a file as it is asked for."""
    with file.open("rb") as source:
        while block := source.read(_BLOCK):
            yield block


#: What the client is given.
FORMS: Final[dict[str, Callable[[Path], Path | Iterator[bytes]]]] = {
    "an iterable of blocks": blocks,
    "a `Path`": Path,
}


def write(file: Path, size: int) -> None:
    """Make a message that is as large as that, in lines of 78 octets."""
    message = Job(0, 0, size=1 << 20).message
    with file.open("wb") as out:
        out.writelines(_repeated(message, size))


def _repeated(message: bytes, size: int) -> Iterator[bytes]:
    while size > 0:
        yield message[:size]
        size -= len(message)


def by_hand(port: int, file: Path) -> float:
    """Copy the file into a raw socket, with what SMTP wants around it."""
    recipient = Job(port, 0).forward_paths[0]
    with socket.create_connection((HOST, port)) as raw, raw.makefile("rb") as replies:

        def say(line: str) -> None:
            raw.sendall(f"{line}\r\n".encode())
            while replies.readline()[3:4] == b"-":
                pass

        replies.readline()
        say(f"EHLO {NAME}")
        begun = time.perf_counter()
        for line in (f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{recipient}>", "DATA"):
            say(line)
        for block in blocks(file):
            raw.sendall(block)
        say("\r\n.")
        return time.perf_counter() - begun


class Watch:
    """Looks how long the loop is kept from others."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def look(self) -> None:
        """Look for ever."""
        while True:
            begun = time.perf_counter()
            await anyio.sleep(_TICK)
            self.longest = max(self.longest, time.perf_counter() - begun - _TICK)


async def by_client(port: int, message: Path | Iterator[bytes], raw: float) -> Passage:
    """Send it by `send`."""
    job = Job(port, 0)
    watch = Watch()
    async with SMTPClient(
        HOST, port, security="plaintext", client_hostname=NAME
    ) as client:
        send = partial(client.send, sender=SENDER, recipients=job.forward_paths)
        await send(job.message)
        memory.forget_peak()
        held = memory.resident()
        begun = time.perf_counter()
        async with anyio.create_task_group() as group:
            group.start_soon(watch.look)
            await send(message)
            group.cancel_scope.cancel()
        took = time.perf_counter() - begun
        return Passage(raw, took, memory.peak() - held, watch.longest)


def main() -> None:
    """Do what the command line says."""
    port, loop, form, file = int(sys.argv[1]), *sys.argv[2:4], Path(sys.argv[4])
    raw = by_hand(port, file)
    backend, options = LOOPS[loop]
    passage = anyio.run(
        by_client,
        *(port, FORMS[form](file), raw),
        backend=backend,
        backend_options=options,
    )
    print(json.dumps(passage._asdict()))


if __name__ == "__main__":
    main()
