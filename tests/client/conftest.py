"""What the tests of the client share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from esmtp_async import _tls


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """Give a path for a unix socket: 108 octets at most, so not below `tmp_path`."""
    with tempfile.TemporaryDirectory(prefix="esmtp-", dir="/tmp") as folder:
        yield Path(folder) / "smtp.sock"


@pytest.fixture
def resuming(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resume TLS sessions, whatever Python loses by it."""
    monkeypatch.setattr(_tls, "_RESUMES", True)
