"""The servers: each is started once, when the first test asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

import pytest

from ._dovecot import DovecotServer
from ._exim import EximServer
from ._postfix import PostfixServer
from ._private import PrivateServer

SERVERS: Final = (PostfixServer, DovecotServer, EximServer)

each_server: Final = pytest.mark.parametrize(
    "server", [pytest.param(kind, id=kind.NAME) for kind in SERVERS], indirect=True
)


def require(name: str, reason: str | None) -> None:
    """Skip where a server cannot run, for this reason; fail where it must run."""
    if reason:
        if os.environ.get("ESMTP_REQUIRE_INTEROP"):
            pytest.fail(f"a real {name} is required here: {reason}")
        pytest.skip(reason)


@pytest.fixture(scope="session")
def postfix() -> Iterator[PostfixServer]:
    require(PostfixServer.NAME, PostfixServer.unavailable())
    with PostfixServer() as server:
        yield server


@pytest.fixture(scope="session")
def dovecot() -> Iterator[DovecotServer]:
    require(DovecotServer.NAME, DovecotServer.unavailable())
    with DovecotServer() as server:
        yield server


@pytest.fixture(scope="session")
def exim() -> Iterator[EximServer]:
    require(EximServer.NAME, EximServer.unavailable())
    with EximServer() as server:
        yield server


@pytest.fixture
def server(request: pytest.FixtureRequest) -> PrivateServer:
    """Give the server of the kind that a test is parametrised with."""
    found = request.getfixturevalue(request.param.NAME.lower())
    assert isinstance(found, PrivateServer)
    return found
