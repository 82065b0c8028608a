"""The servers that messages are sent to, as the bench sees them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.jobs import HOST
from benchmarks.processes import servant

#: Where Debian has smtp-sink and smtp-source.
SBIN: Final = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin"


class Figures(NamedTuple):
    """What a server has counted so far."""

    messages: int
    octets: int = 0
    connections: int = 0
    #: Seconds of processor time.
    cpu: float = 0.0


class Sink(NamedTuple):
    """A server in a process of its own."""

    port: int
    figures: Callable[[], Figures]


class Lost(Exception):
    """Not everything that was sent arrived, or more did."""


@contextmanager
def all_arrive(
    sink: Sink, who: str, messages: int, octets: int = 0, patience: float = 5.0
) -> Iterator[None]:
    """See that so many messages arrive, and at least so many octets.

    The last of them may come a moment after the client is gone.

    Raises:
        Lost: if they do not.
    """
    before = sink.figures()
    yield
    deadline = time.monotonic() + patience
    while (after := sink.figures()).messages < before.messages + messages:
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    arrived = after.messages - before.messages
    if arrived != messages or after.octets - before.octets < octets:
        msg = f"{who}: {arrived} of {messages} messages arrived whole"
        raise Lost(msg)


@contextmanager
def own_sink() -> Iterator[Sink]:
    """Run the one of this package: PIPELINING, CHUNKING, 8BITMIME."""
    with servant("sink") as process:
        yield Sink(int(process.hear()), lambda: Figures(**json.loads(process.ask())))


@contextmanager
def smtp_sink() -> Iterator[Sink]:
    """Run Postfix's: PIPELINING, 8BITMIME and more, but no CHUNKING."""
    program = shutil.which("smtp-sink", path=SBIN)
    if program is None:
        msg = "smtp-sink is not installed (Debian's package postfix)"
        raise FileNotFoundError(msg)
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
    as_nobody = ("-u", "nobody") if os.geteuid() == 0 else ()
    with tempfile.TemporaryFile() as counters:
        process = subprocess.Popen(
            [program, "-4", "-c", *as_nobody, f"inet:{HOST}:{port}", "512"],
            stdout=counters,
            cwd="/",
        )
        try:
            _await_listener(port)
            yield Sink(port, lambda: _counted(process.pid, counters.fileno()))
        finally:
            process.terminate()
            process.wait()


def _await_listener(port: int, patience: float = 10.0) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            socket.create_connection((HOST, port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _counted(pid: int, counters: int) -> Figures:
    """Read the last of ``sess=1 quit=1 mesg=10``, each behind a carriage return."""
    end = os.fstat(counters).st_size
    tail = os.pread(counters, 200, max(0, end - 200)).decode().split("\r")
    last = next((line for line in reversed(tail) if "mesg=" in line), "mesg=0")
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return Figures(
        messages=int(last.partition("mesg=")[2].split()[0]),
        cpu=ticks / os.sysconf("SC_CLK_TCK"),
    )


@contextmanager
def far_away(port: int, round_trip: float) -> Iterator[int]:
    """Give the port that leads to another one, over a line of that many seconds."""
    with servant("relay", port, round_trip) as process:
        yield int(process.hear())
