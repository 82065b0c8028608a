"""A real smtp-server, nodemailer's, private to whoever starts it."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ._spool import SpoolServer

# Names the directory that npm installed it into.
_VARIABLE: Final = "ESMTP_SMTP_SERVER"


class NodemailerServer(SpoolServer):
    """smtp-server of npm; its program is `_smtp_server_process.cjs`.

    The user's token is one of its own, which is compared.
    """

    NAME = "smtp-server"
    MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2")

    def __init__(self, *, idle: int = 300) -> None:
        super().__init__(idle=idle)
        self._token = secrets.token_urlsafe(16)

    def secret(self, mechanism: str) -> str:
        """Give the token to the mechanism that takes one."""
        return self._token if mechanism == "XOAUTH2" else super().secret(mechanism)

    def failed_logins(self) -> int:
        """Count "Authentication failed for", and "Authentication error for"."""
        return len(re.findall(r" Authentication (?:failed|error) for ", self.log()))

    @classmethod
    def version(cls) -> str:
        """Read it in the package."""
        package = _directory() / "node_modules" / cls.NAME / "package.json"
        return str(json.loads(package.read_text("utf-8"))["version"])

    @classmethod
    def _missing(cls) -> Iterable[str]:
        for name in ("node", f"node_modules/{cls.NAME}"):
            if not (_directory() / name).exists():
                yield f"{name} in the directory that {_VARIABLE} names"

    @classmethod
    def _program(cls) -> Sequence[str | Path]:
        return (
            _directory() / "node",
            Path(__file__).with_name("_smtp_server_process.cjs"),
        )

    @classmethod
    def _environment(cls) -> Mapping[str, str]:
        return {"NODE_PATH": str(_directory() / "node_modules")}

    def _job(self) -> dict[str, object]:
        return super()._job() | {
            "token": self._token,
            "mechanisms": self.MECHANISMS,
        }


def _directory() -> Path:
    return Path(os.environ.get(_VARIABLE, "/nonexistent"))
