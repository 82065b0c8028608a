"""GSSAPI with real tickets of a real Kerberos, before the model server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
import spnego

from esmtp_async import AuthenticationFailed, Gssapi
from esmtp_async.testing import SMTPServer
from esmtp_async.testing import _sasl as servers_sasl
from tests.backends import everywhere
from tests.client.checks import BOB, failure, send

from ._kerberos import HOSTNAME, KeyCenter
from .conftest import require

pytestmark = [
    pytest.mark.interop,
    pytest.mark.kerberos,
    pytest.mark.timeout(120),
]

LAYERS: Final = b"\7\0\20\0"


@pytest.fixture(scope="module")
def center() -> Iterator[KeyCenter]:
    """Run one for all tests here; where there is none, say why."""
    require("Kerberos", KeyCenter.unavailable())
    with KeyCenter() as center:
        yield center


def accepting(_users: object) -> servers_sasl.Challenges:
    """GSSAPI, as a server has it that wants no security layer (RFC 4752 §3.2)."""
    context = spnego.server(hostname=HOSTNAME, service="smtp", protocol="kerberos")
    token = context.step((yield b""))
    assert context.complete
    assert token
    assert (yield token) == b""
    choice = yield context.wrap(LAYERS, encrypt=False).data
    assert context.unwrap(choice).data == b"\1\0\0\0"
    return str(context.client_principal)


@pytest.fixture
def server(center: KeyCenter, monkeypatch: pytest.MonkeyPatch) -> SMTPServer:
    for name, value in center.environment.items():
        monkeypatch.setenv(name, value)
    for module in ("_authentication", "_settings"):
        monkeypatch.setattr(
            f"esmtp_async.testing.{module}.MECHANISMS", {"GSSAPI": accepting}
        )
    center.log_out()
    return SMTPServer(
        hostname=HOSTNAME,
        users={"unused": "unused"},
        mechanisms=["GSSAPI"],
        auth_needs_tls=False,
    )


@everywhere
async def test_with_a_ticket_of_ours(server: SMTPServer, center: KeyCenter) -> None:
    center.log_in()
    async with server:
        async with server.client(auth=Gssapi(), allow_plaintext_auth=True) as client:
            assert (await send(client)).accepted == (BOB,)
    assert server.messages[0].username == center.user
    assert server.violations == []


@everywhere
async def test_with_a_password(server: SMTPServer, center: KeyCenter) -> None:
    auth = Gssapi(center.user, center.password)
    async with server, server.client(auth=auth, allow_plaintext_auth=True) as client:
        assert (await send(client)).accepted == (BOB,)
    assert server.messages[0].username == center.user
    assert server.violations == []


@everywhere
async def test_nobody_without_a_ticket(server: SMTPServer) -> None:
    async with server:
        async with server.client(auth=Gssapi(), allow_plaintext_auth=True) as client:
            error = await failure(client, AuthenticationFailed)
    assert ": GSSAPI: " in str(error)
    assert error.reply is None
    assert server.violations == []


@everywhere
async def test_nobody_with_a_wrong_password(
    server: SMTPServer, center: KeyCenter
) -> None:
    auth = Gssapi(center.user, "wrong-password")
    async with server, server.client(auth=auth, allow_plaintext_auth=True) as client:
        error = await failure(client, AuthenticationFailed)
    assert error.reply is None
    assert "wrong-password" not in str(error)


@everywhere
async def test_no_ticket_is_for_another_server(
    server: SMTPServer, center: KeyCenter
) -> None:
    center.log_in()
    async with (
        server,
        server.client(
            auth=Gssapi(),
            allow_plaintext_auth=True,
            server_hostname="other.example.test",
        ) as client,
    ):
        error = await failure(client, AuthenticationFailed)
    assert error.reply is None
