"""Servers that keep what they take in a directory: a program of ours around a library.

Each message is a file with the octets as they came, and beside it one with the
envelope, in JSON.  Mail is accepted once both are there.
"""

from __future__ import annotations

import json
import os
import subprocess
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from . import _installed
from ._private import BUSY, DOMAIN, REFUSED, PrivateServer

_REPLIES = {
    REFUSED: {"code": 550, "status": "5.1.1", "text": "No such mailbox"},
    BUSY: {"code": 450, "status": "4.2.1", "text": "Mailbox busy"},
}


class SpoolServer(PrivateServer):
    """Runs a program that is told in JSON where to listen and what to do."""

    NEEDS_ROOT: ClassVar[bool] = False

    def __init__(self, *, idle: int = 300) -> None:
        super().__init__(idle=idle)
        self._recipients: dict[str, list[str]] = {}

    @classmethod
    @abstractmethod
    def _program(cls) -> Sequence[str | Path]:
        """Give the command, which gets the JSON as one argument more."""

    @classmethod
    def _environment(cls) -> Mapping[str, str]:
        """Give what its environment has beside ours."""
        return {}

    def _job(self) -> dict[str, object]:
        """Give what the program is told."""
        return {
            "host": self.host,
            "submission": self.submission_port,
            "smtps": self.smtps_port,
            "plain": self.plain_port,
            "domain": DOMAIN,
            "replies": _REPLIES,
            "username": self.username,
            "password": self.password,
            "certificate": str(self._root / "server.pem"),
            "store": str(self._store),
            "log": str(self._root / self.LOG),
            "max_size": self.MAX_SIZE,
            "idle": self.idle,
        }

    @property
    def _store(self) -> Path:
        return self._root / "mail"

    def _lay_out(self) -> None:
        self._store.mkdir()

    def _launch(self) -> subprocess.Popen[bytes]:
        job = json.dumps(self._job())
        return _installed.start(
            [*_installed.LIMITED, *self._program(), job], self._environment()
        )

    def _under_way(self) -> bool:
        """Say no: what it accepts is stored."""
        return False

    def forget(self, address: str) -> None:
        """Remove messages with such a recipient."""
        for envelope in self._envelopes(address):
            envelope.with_suffix(".eml").unlink()
            envelope.unlink()

    def _delivered(self, address: str) -> list[bytes]:
        return [
            envelope.with_suffix(".eml").read_bytes()
            for envelope in self._envelopes(address)
        ]

    def _envelopes(self, address: str) -> list[Path]:
        names = {entry.name for entry in os.scandir(self._store)}
        for name in names - self._recipients.keys():
            if name.endswith(".json"):
                envelope = json.loads((self._store / name).read_bytes())
                self._recipients[name] = envelope["recipients"]
        return [
            self._store / name
            for name, recipients in sorted(self._recipients.items())
            if address in recipients and name in names
        ]
