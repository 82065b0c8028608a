"""Through real proxies: SOCKS5 by microsocks, CONNECT by tinyproxy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from esmtp_async import ConnectFailed, SMTPClient, TLSFailed
from esmtp_async.testing import SMTPServer
from tests.backends import everywhere
from tests.client.checks import BOB, failure, send
from tests.tracebacks import given_away

from . import _installed
from ._proxies import Microsocks, RealProxy, Tinyproxy
from .conftest import require

pytestmark = [pytest.mark.interop, pytest.mark.timeout(60)]

Start = Callable[[RealProxy], RealProxy]

USER: Final = "ursula"
each_proxy: Final = pytest.mark.parametrize(
    "kind", [pytest.param(kind, id=kind.NAME) for kind in (Microsocks, Tinyproxy)]
)


@pytest.fixture
def start() -> Iterator[Start]:
    """Give what starts a proxy, which runs until the test is over."""
    with ExitStack() as stack:

        def begin(proxy: RealProxy) -> RealProxy:
            require(proxy.NAME, proxy.unavailable())
            return stack.enter_context(proxy)

        yield begin


def client(server: SMTPServer, proxy: str) -> SMTPClient:
    return SMTPClient(
        f"localhost:{server.port}", ssl_context=server.client_context, proxy=proxy
    )


@everywhere
@each_proxy
@pytest.mark.parametrize("user", [None, USER], ids=["anybody", "somebody"])
@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "tls"])
async def test_messages_go_through(
    start: Start, kind: type[RealProxy], user: str | None, *, implicit: bool
) -> None:
    proxy = start(kind(user=user))
    server = SMTPServer(
        hostname="localhost", implicit_tls=implicit, starttls=not implicit
    )
    async with server.listen():
        async with SMTPClient(
            f"localhost:{server.port}",
            security="tls" if implicit else "starttls",
            ssl_context=server.client_context,
            proxy=proxy.url(),
            max_messages_per_connection=1,
        ) as sending:
            receipts = [await send(sending) for _ in range(3)]
    assert [receipt.accepted for receipt in receipts] == [(BOB,)] * 3
    assert all(receipt.tls for receipt in receipts)
    assert server.connections == 3


@everywhere
@each_proxy
async def test_the_certificate_is_the_servers(
    start: Start, kind: type[RealProxy]
) -> None:
    proxy = start(kind())
    async with SMTPServer(starttls=True).listen() as server:
        async with SMTPClient(
            f"localhost:{server.port}",
            server_hostname="other.example.test",
            ssl_context=server.client_context,
            proxy=proxy.url(),
        ) as sending:
            error = await failure(sending, TLSFailed)
    assert "other.example.test" in error.certificate_error


@everywhere
@each_proxy
@pytest.mark.parametrize("named", [False, True], ids=["nobody", "impostor"])
async def test_who_is_not_let_in(
    start: Start, kind: type[RealProxy], *, named: bool
) -> None:
    proxy = start(kind(user=USER))
    wrong = "wrong-password"
    url = proxy.url(wrong) if named else proxy.shown
    async with SMTPServer(starttls=True).listen() as server:
        async with client(server, url) as sending:
            error = await failure(sending, ConnectFailed)
    assert str(error).startswith(f"proxy {proxy.shown} does not let us in: ")
    assert not error.temporary
    assert wrong not in given_away(error)
    assert server.connections == 0


@everywhere
@each_proxy
async def test_a_server_that_is_not_there(start: Start, kind: type[RealProxy]) -> None:
    proxy = start(kind())
    (port,) = _installed.free_ports(1)
    async with SMTPClient(f"127.0.0.1:{port}", proxy=proxy.url()) as sending:
        error = await failure(sending, ConnectFailed)
    told = f"proxy {proxy.shown} cannot connect to 127.0.0.1:{port}: "
    assert str(error).startswith(told)
    assert error.temporary


@everywhere
async def test_a_port_that_is_not_allowed(start: Start) -> None:
    proxy = Tinyproxy()
    proxy.only = 587
    start(proxy)
    async with SMTPClient("localhost:25", proxy=proxy.url()) as sending:
        error = await failure(sending, ConnectFailed)
    told = f"proxy {proxy.shown} refuses to connect to localhost:25: 403"
    assert str(error).startswith(told)
    assert not error.temporary


@everywhere
async def test_socks_taken_for_http(start: Start) -> None:
    proxy = start(Microsocks())
    url = f"http://127.0.0.1:{proxy.port}"
    async with SMTPClient("localhost", proxy=url) as sending:
        error = await failure(sending, ConnectFailed)
    assert str(error).startswith(f"proxy {url} does not answer as such")
