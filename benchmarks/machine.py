"""Where the bench ran, and of what versions everything was."""

from __future__ import annotations

import datetime as dt
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from benchmarks.peers import NODEMAILER
from benchmarks.sinks import SBIN

_PACKAGES: Final = ("esmtp-async", "anyio", "trio", "uvloop", "aiosmtplib", "smtpproto")
#: Program and arguments; the first line that it prints, and which word of it.
_PROGRAMS: Final = {
    "Node.js": (("node", "--version"), 0),
    "curl": (("curl", "--version"), 1),
    "Postfix (smtp-source, smtp-sink)": (("postconf", "-d", "-h", "mail_version"), 0),
}


def described() -> str:
    """Give the lines that name the machine and the versions."""
    today = dt.datetime.now(dt.UTC).date()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    system = f"{platform.system()} {platform.release()}"
    return (
        f"* {today:%-d %B %Y}, {_processor()}, {os.cpu_count()} processors,\n"
        f"  {system}, {python}\n"
        f"* {', '.join(versions())}"
    )


def versions() -> Iterator[str]:
    """Name everything that is there, with its version."""
    for package in _PACKAGES:
        try:
            yield f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
    if NODEMAILER.version:
        yield f"nodemailer {NODEMAILER.version}"
    for name, ((program, *arguments), word) in _PROGRAMS.items():
        if path := shutil.which(program, path=SBIN):
            said = subprocess.run(
                [path, *arguments], stdout=subprocess.PIPE, text=True, check=False
            ).stdout.split()
            if len(said) > word:
                yield f"{name} {said[word].removeprefix('v')}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
