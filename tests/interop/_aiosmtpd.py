"""A real aiosmtpd, private to whoever starts it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from ._spool import SpoolServer


class AiosmtpdServer(SpoolServer):
    """aiosmtpd of PyPI; its program is `_aiosmtpd_process.py`."""

    NAME = "aiosmtpd"
    MECHANISMS = ("PLAIN", "LOGIN")
    LONGEST_LINE = 1000

    def failed_logins(self) -> int:
        """Count "authentication failed"."""
        return self.log().count(" authentication failed\n")

    @classmethod
    def version(cls) -> str:
        """Ask its metadata."""
        return metadata.version(cls.NAME)

    @classmethod
    def _missing(cls) -> Iterable[str]:
        if find_spec("aiosmtpd") is None:
            yield cls.NAME

    @classmethod
    def _program(cls) -> Sequence[str | Path]:
        return (sys.executable, Path(__file__).with_name("_aiosmtpd_process.py"))
