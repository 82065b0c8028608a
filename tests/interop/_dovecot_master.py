"""Dovecot's master, whatever services it starts."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from . import _installed
from ._private import PrivateServer

DOVECOT: Final = Path("/usr/sbin/dovecot")


class DovecotMaster(PrivateServer):
    """A Dovecot that is configured by `dovecot.conf` in its directory."""

    @classmethod
    def version(cls) -> str:
        """Ask it."""
        return _installed.run([DOVECOT, "--version"]).split()[0]

    def _launch(self) -> subprocess.Popen[bytes]:
        configuration = self._root / "dovecot.conf"
        # One that was killed leaves this, and may itself lie unburied.
        (self._root / "run/master.pid").unlink(missing_ok=True)
        return _installed.start(
            [*_installed.LIMITED, DOVECOT, "-F", "-c", configuration], {}
        )
