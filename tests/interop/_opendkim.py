"""OpenDKIM, which verifies messages in files by keys in a file; nothing is served."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

NAME: Final = "OpenDKIM"
_PROGRAM: Final = "opendkim"
_RUN_SECONDS: Final = 15.0


def unavailable() -> str | None:
    """Say in a sentence why it cannot run here; None if it can."""
    if shutil.which(_PROGRAM) is None:
        return f"Not installed: {_PROGRAM} (see docs/contributing.md)."
    return None


class OpenDKIM:
    """Verifies, with what it needs in a directory."""

    def __init__(self, directory: Path, records: Mapping[str, str]) -> None:
        self._message = directory / "message.eml"
        self._settings = directory / "opendkim.conf"
        keys = directory / "keys"
        keys.write_text("".join(f"{n} {record}\n" for n, record in records.items()))
        self._settings.write_text(f"Mode v\nSyslog no\nTestPublicKeys {keys}\n")

    def says(self, message: bytes) -> str:
        """Give what it says of the signatures of a message."""
        self._message.write_bytes(message)
        done = subprocess.run(
            (_PROGRAM, "-x", self._settings, "-v", "-t", self._message),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
            timeout=_RUN_SECONDS,
        )
        return done.stdout
