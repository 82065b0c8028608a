"""Real proxies, private to whoever starts them: microsocks and tinyproxy."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from . import _installed

_START_SECONDS = 10.0


class RealProxy(ABC):
    """A proxy on a loopback port, for everybody or for one user."""

    #: What it is called.
    NAME: ClassVar[str]
    #: The scheme of its URLs.
    SCHEME: ClassVar[str]

    def __init__(self, *, user: str | None = None) -> None:
        self.user = user
        self.password = secrets.token_urlsafe(16)
        (self.port,) = _installed.free_ports(1)
        self._root = Path(tempfile.mkdtemp(prefix=f"{self.NAME}-"))
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def unavailable(cls) -> str | None:
        """Say in a sentence why it cannot run here; None if it can."""
        if shutil.which(cls.NAME) is None:
            return f"Not installed: {cls.NAME} (see docs/contributing.md)."
        return None

    def url(self, password: str | None = None) -> str:
        """Give its URL, with its user's password, or another one."""
        login = f"{self.user}:{password or self.password}@" if self.user else ""
        return f"{self.SCHEME}://{login}{_installed.HOST}:{self.port}"

    @property
    def shown(self) -> str:
        """How errors name it."""
        return f"{self.SCHEME}://{_installed.HOST}:{self.port}"

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            RuntimeError: it does not listen in time.
        """
        command = (*_installed.LIMITED, *self._command())
        self._process = _installed.start(command, {})
        if not _installed.wait_for(self._listens, _START_SECONDS):
            self._stop()
            raise RuntimeError(f"{self.NAME} does not listen")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    @abstractmethod
    def _command(self) -> Sequence[str | Path]:
        """Give what starts it in the foreground."""

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection((_installed.HOST, self.port)):
            return True
        return False

    def _stop(self) -> None:
        if self._process is not None:
            _installed.end(self._process)
        shutil.rmtree(self._root)


class Microsocks(RealProxy):
    """SOCKS5; it takes its password on the command line alone."""

    NAME = "microsocks"
    SCHEME = "socks5"

    def _command(self) -> Sequence[str | Path]:
        login = ("-u", self.user, "-P", self.password) if self.user else ()
        return (self.NAME, "-i", _installed.HOST, "-p", str(self.port), *login)


class Tinyproxy(RealProxy):
    """HTTP."""

    NAME = "tinyproxy"
    SCHEME = "http"
    #: The only port it connects to, where it is one.
    only: int | None = None

    def _command(self) -> Sequence[str | Path]:
        lines = [f"Port {self.port}", f"Listen {_installed.HOST}", "MaxClients 50"]
        lines.append(f'LogFile "{self._root / "log"}"')
        if self.user:
            lines.append(f"BasicAuth {self.user} {self.password}")
        if self.only is not None:
            lines.append(f"ConnectPort {self.only}")
        settings = self._root / "tinyproxy.conf"
        settings.touch(0o600)
        settings.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        return (self.NAME, "-d", "-c", settings)
