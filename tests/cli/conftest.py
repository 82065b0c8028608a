"""Servers that run in a thread while the command line runs in a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from esmtp_async.testing import SMTPServer


@pytest.fixture(autouse=True)
def _at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep away what whoever runs the tests has told of servers of his own."""
    for name in ("SERVER", "USERNAME", "PASSWORD", "PROXY"):
        monkeypatch.delenv(f"ESMTP_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    """Run an event loop in a thread."""
    with start_blocking_portal() as running:
        yield running


@pytest.fixture
def server(portal: BlockingPortal) -> Iterator[SMTPServer]:
    """Serve on loopback TCP, without TLS."""
    model = SMTPServer()
    with portal.wrap_async_context_manager(model.listen()):
        yield model
