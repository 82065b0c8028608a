"""The command line in a process of its own, and what is sent by it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from esmtp_async.testing import SMTPServer

COMMAND = (sys.executable, "-m", "esmtp_async")
MESSAGE = b"From: a@example.test\r\nTo: b@example.test\r\n\r\nHello.\r\n"


def esmtp(
    *arguments: str, stdin: bytes = b"", cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run it to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        cwd=cwd,
        start_new_session=True,  # no terminal to ask for a password
        env={**os.environ, **environment},
        timeout=50,
    )


def url(server: SMTPServer) -> str:
    """Give what the command line is told of a server."""
    return f"smtp://127.0.0.1:{server.port}?client_hostname=client.example.test"
