"""Programs the machine has installed: run, awaited, and ended by process id."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

HOST = "127.0.0.1"

# Below the range from which the kernel numbers sockets by itself, so that no other
# socket takes the port between the look and the server's bind.
_PORTS = range(20000, 32000)
# After this a server ends by itself, should nobody have lived to stop it.
LIFETIME = "3600"
# For a server that knows no such limit.
LIMITED = ("timeout", LIFETIME)
_RUN_SECONDS = 15.0
_STOP_SECONDS = 5.0
POLL_SECONDS = 0.02
# TIME_WAIT and LISTEN, as /proc/net/tcp has them.
_OVER = {"06", "0A"}


def free_ports(count: int) -> list[int]:
    """Return that many TCP ports of `HOST` on which nobody listens."""
    ports: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if len(ports) == count:
            break
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            ports.append(port)
    return ports


def run(command: Sequence[str | Path], given: str = "") -> str:
    """Run a command to its end, with `given` as its input; give what it said.

    Raises:
        RuntimeError: it failed; the message holds what it said.

    """
    done = subprocess.run(
        command,
        input=given,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=_RUN_SECONDS,
    )
    if done.returncode != 0:
        said = done.stdout + done.stderr
        raise RuntimeError(f"{command[0]}: exit code {done.returncode}\n{said}")
    return done.stdout


def start(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
) -> subprocess.Popen[bytes]:
    """Start a server as the leader of a process group of its own.

    Its environment is ours and, over that, the one given.
    """
    return subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def end(leader: subprocess.Popen[bytes]) -> None:
    """End a server that `start` started, and see its whole process group gone.

    The leader is asked to terminate, and to pass that on; whatever has not gone with
    it is killed.
    """
    leader.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        leader.wait(_STOP_SECONDS)
    kill(leader)


def kill(leader: subprocess.Popen[bytes]) -> None:
    """End it as a crash does: no process of it can do anything any more."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
    leader.wait()
    wait_for(lambda: not _is_alive(leader.pid), _STOP_SECONDS)


def connected(ports: Collection[int]) -> bool:
    """Say whether any TCP connection stands to one of these ports of ours."""
    lines = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    ends = (line.split()[1:4] for line in lines)
    return any(
        int(local.partition(":")[2], 16) in ports and state not in _OVER
        for local, _, state in ends
    )


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask again and again until the condition holds; False if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _is_alive(group: int) -> bool:
    """Say whether a process of the group runs; who is dead but unburied does not."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            entry = (process / "stat").read_text("utf-8", "replace")
            state, _parent, its_group = entry.rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                return True
    return False
