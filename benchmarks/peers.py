"""The clients that are compared, and why one of them may be left out."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.jobs import HOST, NAME, SENDER, Job, Sample
from benchmarks.processes import PATIENCE, output
from benchmarks.sinks import SBIN, Sink, all_arrive

#: How often a program does its two runs.
_RUNS: Final = 3

#: Octets of the header that smtp-source puts before what it is asked for.
_HEADER_OF_SMTP_SOURCE: Final = 145


class Peer(NamedTuple):
    """A client, and how it does a job in a process of its own."""

    name: str
    work: Callable[[Job], Sample]
    #: Says why it cannot; nothing if it can.
    missing: Callable[[], str] = str
    #: How many times over it sends the messages.
    runs: int = 1

    def __repr__(self) -> str:
        """Show its name."""
        return self.name


def measure(peer: Peer, sink: Sink, job: Job) -> Sample:
    """Let a peer do a job; give what a message cost, once all have arrived."""
    with all_arrive(sink, peer.name, job.sent * peer.runs):
        sample = peer.work(job)
    return sample.each(job.messages)


def _library(name: str, loop: str, job: Job) -> Sample:
    return Sample.loads(output("worker", name, loop, job.dumps()))


def _no_module(name: str) -> str:
    return "" if importlib.util.find_spec(name) else "not installed"


def _no_program(name: str) -> str:
    return "" if shutil.which(name, path=SBIN) else "not installed"


def _program(command: Callable[[Job, Path], Sequence[str]], job: Job) -> Sample:
    """Run a program twice: the longer run less the shorter is what was to be measured.

    Half of the messages ahead go in each run, so starting, connecting and ending
    cancel out; but for what else delays them, so each is the best of some runs.
    """
    short = job._replace(messages=job.warm // 2)
    long = short._replace(messages=job.messages + short.messages)
    costs = [(_cost(command, short), _cost(command, long)) for _ in range(_RUNS)]
    first, second = map(Sample.least, zip(*costs, strict=True))
    return second.since(first)


def _cost(command: Callable[[Job, Path], Sequence[str]], job: Job) -> Sample:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        arguments = command(job, Path(folder))
        begun = time.perf_counter()
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    return Sample(used.ru_utime + used.ru_stime, wall)


def _smtp_source(job: Job, _folder: Path) -> list[str]:
    return [
        shutil.which("smtp-source", path=SBIN) or "",
        *("-4", "-d", "-M", NAME, "-f", SENDER, "-t", job.forward_paths[0]),
        *("-r", str(job.recipients), "-m", str(job.messages)),
        *("-l", str(job.size - _HEADER_OF_SMTP_SOURCE), f"{HOST}:{job.port}"),
    ]


def _curl(job: Job, folder: Path) -> list[str]:
    message, config = folder / "message", folder / "config"
    message.write_bytes(job.message)
    each = [
        f'url = "smtp://{HOST}:{job.port}/{NAME}"',
        f'mail-from = "{SENDER}"',
        *(f'mail-rcpt = "{path}"' for path in job.forward_paths),
        f'upload-file = "{message}"',
    ]
    config.write_text("\nnext\n".join(["\n".join(each)] * job.messages), "utf-8")
    return ["curl", "--silent", "--show-error", "--config", str(config)]


class Nodemailer:
    """The package of npm, installed into a folder that goes with this process."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-npm-")
        self.version = ""

    @cache  # noqa: B019  # there is one
    def missing(self) -> str:
        """Install it, once; tell why that failed."""
        if _no_program("npm") or _no_program("node"):
            return "npm is not installed"
        npm = ["npm", "install", "--no-audit", "--no-fund", "--prefix"]
        done = subprocess.run(
            [*npm, self._folder.name, "nodemailer"],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        if done.returncode:
            return "npm cannot install it"
        package = Path(self._folder.name) / "node_modules/nodemailer/package.json"
        self.version = json.loads(package.read_text("utf-8"))["version"]
        return ""

    def work(self, job: Job) -> Sample:
        """Do a job, by a pool of one connection."""
        wanted = job._asdict() | {
            "host": HOST,
            "name": NAME,
            "sender": SENDER,
            "to": job.forward_paths,
            "raw": job.message.decode(),
        }
        done = subprocess.run(
            [
                "node",
                str(Path(__file__).with_name("nodemailer.cjs")),
                json.dumps(wanted),
            ],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=PATIENCE,
            env=os.environ | {"NODE_PATH": f"{self._folder.name}/node_modules"},
        )
        return Sample.loads(done.stdout)


NODEMAILER: Final = Nodemailer()


def _ours(name: str, loop: str = "asyncio") -> Peer:
    label = f"**esmtp_async** {name}" + ("" if loop == "asyncio" else f", {loop}")
    return Peer(label, partial(_library, name, loop))


def _theirs(name: str, loop: str = "asyncio") -> Peer:
    label = name + ("" if loop == "asyncio" else f", {loop}")
    return Peer(label, partial(_library, name, loop), partial(_no_module, name))


SEND: Final = _ours("send")
SEND_EAGER: Final = _ours("send, eager")
SEND_MANY: Final = _ours("send_many")
SEND_MANY_EAGER: Final = _ours("send_many, eager")
AIOSMTPLIB: Final = _theirs("aiosmtplib")
SMTP_SOURCE: Final = Peer(
    "smtp-source (C)",
    partial(_program, _smtp_source),
    partial(_no_program, "smtp-source"),
    _RUNS,
)

#: Those that send ahead of the replies, and so are measured by the stream.
STREAMS: Final = (SEND_MANY, SEND_MANY_EAGER)
OURS: Final = (SEND, SEND_MANY, SEND_EAGER, SEND_MANY_EAGER)
OURS_ELSEWHERE: Final = tuple(
    _ours(name, loop) for loop in ("uvloop", "trio") for name in ("send", "send_many")
)
OTHERS: Final = (
    AIOSMTPLIB,
    _theirs("smtplib"),
    _theirs("smtpproto"),
    Peer("nodemailer (Node.js)", NODEMAILER.work, NODEMAILER.missing),
    Peer("curl", partial(_program, _curl), partial(_no_program, "curl"), _RUNS),
    SMTP_SOURCE,
)
AIOSMTPLIB_ON_UVLOOP: Final = _theirs("aiosmtplib", "uvloop")
#: What send_many writes, and nothing else: the least that its transport can cost.
BY_HAND: Final = Peer("*its transport alone*", partial(_library, "by hand", "asyncio"))
