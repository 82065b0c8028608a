"""Through a proxy: what it is told, what comes of it, and what it may do."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmtp_async import (
    ConnectFailed,
    InvalidInput,
    SMTPClient,
    Stage,
    StageTimeout,
    Timeouts,
    TLSFailed,
    through_proxy,
)
from esmtp_async._proxy import parse_proxy
from esmtp_async.testing import SMTPServer
from tests.backends import everywhere
from tests.client.checks import BOB, failure, send
from tests.proxies import RelayingProxy, ScriptedProxy
from tests.raw import HANG, RST, Act
from tests.tracebacks import given_away

HOST: Final = "smtp.example.test"
USER: Final = "ursula"
PASSWORD: Final = "hunter2:@/Gruesse"
LOGIN: Final = f"{USER}:{quote(PASSWORD, safe='')}@"
#: What SOCKS5 answers to who may come without a name, and to who is let in.
NO_LOGIN: Final = b"\5\0"
LET_IN: Final = (b"\5\2", b"\1\0")
BEHIND: Final = b"\0\1\x7f\0\0\1\0\0"

KINDS: Final = ["socks5", "socks5h", "socks4a", "http"]
each_kind: Final = pytest.mark.parametrize("kind", KINDS)


def login(kind: str) -> tuple[str, str]:
    """Give user and password as they stand in a URL of a kind."""
    return (USER, "") if kind == "socks4a" else (USER, PASSWORD)


def url(kind: str, port: int, *, named: bool = True) -> str:
    username, password = login(kind)
    secret = f":{quote(password, safe='')}" if password else ""
    return f"{kind}://{f'{username}{secret}@' if named else ''}127.0.0.1:{port}"


@everywhere
@each_kind
@pytest.mark.parametrize("named", [False, True], ids=["anybody", "somebody"])
@pytest.mark.parametrize("glued", [False, True], ids=["apart", "glued"])
@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "tls"])
async def test_a_message_goes_through(
    kind: str, *, named: bool, glued: bool, implicit: bool
) -> None:
    glued = glued and not implicit  # then the server waits for the client
    server = SMTPServer(hostname=HOST, implicit_tls=implicit, starttls=not implicit)
    users = dict([login(kind)]) if named else None
    async with server.listen():
        assert server.port is not None
        proxy = RelayingProxy(server.port, users=users, glued=glued)
        async with proxy.listen():
            async with SMTPClient(
                HOST,
                security="tls" if implicit else None,
                ssl_context=server.client_context,
                proxy=url(kind, proxy.port, named=named),
            ) as client:
                receipts = [await send(client) for _ in range(2)]
        # The certificate is for the server; the proxy looks its name up.
        assert proxy.asked == [(HOST, 465 if implicit else 587)]
        assert not named or proxy.credentials[-1:] in ([login(kind)], [])
        assert all(receipt.tls for receipt in receipts)
        assert len(server.messages) == 2


@everywhere
@each_kind
async def test_a_factory_for_connect(kind: str) -> None:
    async with SMTPServer(hostname=HOST, starttls=True).listen() as server:
        assert server.port is not None
        proxy = RelayingProxy(server.port)
        async with proxy.listen():
            connect = through_proxy(
                url(kind, proxy.port, named=False), "192.0.2.25", 2525
            )
            trust = server.client_context
            async with SMTPClient(HOST, ssl_context=trust, connect=connect) as client:
                assert (await send(client)).accepted == (BOB,)
    assert proxy.asked == [("192.0.2.25", 2525)]
    assert repr(connect) == (
        f"<192.0.2.25:2525 through {kind.removesuffix('h')}://127.0.0.1:{proxy.port}>"
    )


@everywhere
@pytest.mark.parametrize("kind", ["socks5", "http"])
async def test_an_address_of_ipv6_is_asked_for(kind: str) -> None:
    async with SMTPServer().listen() as server:
        assert server.port is not None
        async with RelayingProxy(server.port).listen() as proxy:
            way = url(kind, proxy.port, named=False)
            async with SMTPClient(
                "[2001:db8::25]:25", security="plaintext", proxy=way
            ) as client:
                await send(client)
    asked = "[2001:db8::25]" if kind == "http" else "2001:db8::25"
    assert proxy.asked == [(asked, 25)]


@everywhere
async def test_the_certificate_is_the_servers_whatever_the_proxy_is_called() -> None:
    server = SMTPServer(hostname="127.0.0.1", starttls=True)
    async with server.listen():
        assert server.port is not None
        async with RelayingProxy(server.port).listen() as proxy:
            async with SMTPClient(
                HOST,
                ssl_context=server.client_context,
                proxy=url("socks5", proxy.port, named=False),
            ) as client:
                error = await failure(client, TLSFailed)
    assert "mismatch" in error.certificate_error
    assert HOST in error.certificate_error


@everywhere
async def test_a_password_of_http_is_sent_as_utf8() -> None:
    users = {"zoë": "Grüße"}
    async with SMTPServer().listen() as server:
        assert server.port is not None
        async with RelayingProxy(server.port, users=users).listen() as proxy:
            way = f"http://{quote('zoë')}:{quote('Grüße')}@127.0.0.1:{proxy.port}"
            async with SMTPClient(HOST, security="plaintext", proxy=way) as client:
                await send(client)
    assert proxy.credentials == [("zoë", "Grüße")]


# What goes wrong. `{}` stands for the proxy.

_LOGIN: Final = "proxy {} does not let us in"
_RULES: Final = "proxy {} refuses to connect to smtp.example.test:587"
_FAILURE: Final = "proxy {} cannot connect to smtp.example.test:587"
_LANGUAGE: Final = "proxy {} does not answer as such a proxy does"
_END: Final = "proxy {} hung up before it was through to smtp.example.test:587"

FAILURES: Final[list[tuple[str, tuple[bytes | Act, ...], str, bool]]] = [
    ("socks5", (b"\5\xff",), _LOGIN, False),
    ("socks5", (b"\5\2", b"\1\1"), _LOGIN, False),
    ("socks5", (NO_LOGIN, b"\5\1" + BEHIND), _FAILURE, True),
    ("socks5", (NO_LOGIN, b"\5\2" + BEHIND), _RULES, False),
    ("socks5", (*LET_IN, b"\5\2" + BEHIND), _RULES, False),
    ("socks5", (NO_LOGIN, b"\5\3" + BEHIND), _FAILURE, True),
    ("socks5", (NO_LOGIN, b"\5\4" + BEHIND), _FAILURE, True),
    ("socks5", (NO_LOGIN, b"\5\5" + BEHIND), _FAILURE, True),
    ("socks5", (NO_LOGIN, b"\5\6" + BEHIND), _FAILURE, True),
    ("socks5", (NO_LOGIN, b"\5\7" + BEHIND), _RULES, False),
    ("socks5", (NO_LOGIN, b"\5\x08" + BEHIND), _RULES, False),
    ("socks5", (NO_LOGIN, b"\5\x09" + BEHIND), _LANGUAGE, False),
    ("socks5", (NO_LOGIN, b"\5\0\1" + BEHIND), _LANGUAGE, False),
    ("socks5", (NO_LOGIN, b"\5\0\0\7aaaa"), _LANGUAGE, False),
    ("socks5", (NO_LOGIN, b"\5\0\0\3\1\xff\0\0"), _LANGUAGE, False),
    ("socks5", (b"\5\1",), _LANGUAGE, False),
    ("socks5", (b"220 smtp.example.test ESMTP\r\n",), _LANGUAGE, False),
    ("socks5", (b"\5\2", b"\2\0"), _LANGUAGE, False),
    ("socks5", (Act.EOF,), _END, True),
    ("socks5", (b"\5",), _END, True),
    ("socks5", (b"\5\2", b"\1"), _END, True),
    ("socks5", (NO_LOGIN,), _END, True),
    ("socks5", (NO_LOGIN, b"\5\0\0\1\x7f"), _END, True),
    ("socks5", (NO_LOGIN, RST), _END, True),
    ("socks4a", (b"\0\x5b" + bytes(6),), _FAILURE, True),
    ("socks4a", (b"\0\x5c" + bytes(6),), _LOGIN, False),
    ("socks4a", (b"\0\x5d" + bytes(6),), _LOGIN, False),
    ("socks4a", (b"\0\x5e" + bytes(6),), _LANGUAGE, False),
    ("socks4a", (b"\4\x5a" + bytes(6),), _LANGUAGE, False),
    ("socks4a", (b"\0\x5a",), _END, True),
    ("http", (b"HTTP/1.1 407 Who?\r\n\r\n",), _LOGIN, False),
    ("http", (b"HTTP/1.0 401 Unauthorized\r\n\r\n",), _LOGIN, False),
    ("http", (b"HTTP/1.1 403 Forbidden\r\n\r\n",), _RULES, False),
    ("http", (b"HTTP/1.0 405 No CONNECT\r\n\r\n",), _RULES, False),
    ("http", (b"HTTP/1.1 204 Nothing\r\n\r\n",), _RULES, False),
    ("http", (b"HTTP/1.1 429 Slower\r\n\r\n",), _FAILURE, True),
    ("http", (b"HTTP/1.1 502 Bad Gateway\r\n\r\n",), _FAILURE, True),
    ("http", (b"HTTP/1.1 503 Later\nVia: lines\n\n",), _FAILURE, True),
    ("http", (b"HTTP/1.1 504 Timeout\r\nContent-Length: 2\r\n\r\nno",), _FAILURE, True),
    ("http", (b"HTTP/1.1 505 Old\r\n\r\n",), _RULES, False),
    ("http", (b"220 smtp.example.test ESMTP\r\n", HANG), _LANGUAGE, False),
    ("http", (b"HTTP/1.1 ok\r\n\r\n",), _LANGUAGE, False),
    ("http", (b"HTTP/1.1\r\n\r\n",), _LANGUAGE, False),
    ("http", (b"HTTP/1.1 200 ok\r\n" + b"a: b\r\n" * 9999,), _LANGUAGE, False),
    ("http", (b"HTTP/1.1 200 ok\r\n",), _END, True),
    ("http", (Act.EOF,), _END, True),
    ("http", (RST,), _END, True),
]


@everywhere
@pytest.mark.parametrize(("kind", "script", "told", "temporary"), FAILURES)
async def test_a_proxy_that_is_no_help(
    kind: str, script: tuple[bytes | Act, ...], told: str, *, temporary: bool
) -> None:
    async with ScriptedProxy(*script).listen() as proxy:
        async with SMTPClient(HOST, proxy=url(kind, proxy.port)) as client:
            error = await failure(client, ConnectFailed)
        await all_ended(proxy)
    said = str(error)
    assert said.startswith(told.format(f"{kind}://127.0.0.1:{proxy.port}"))
    assert error.temporary is temporary
    assert error.stage is Stage.CONNECT
    assert len(said) < 400
    assert_discreet(kind, given_away(error), repr(client), repr(client._settings))


async def all_ended(proxy: ScriptedProxy) -> None:
    with anyio.fail_after(5):
        while proxy.ended < proxy.begun or not proxy.begun:
            await anyio.sleep(0.01)


def assert_discreet(kind: str, *shown: str) -> None:
    _, password = login(kind)
    secrets = (password, quote(password, safe=""), "dXJzdWxhOm") if password else ()
    for text in shown:
        for secret in secrets:
            assert secret not in text


def test_the_words_of_a_proxy_stand_behind() -> None:
    async def scenario() -> None:
        script = (NO_LOGIN, b"\5\2" + BEHIND)
        async with ScriptedProxy(*script).listen() as proxy:
            async with SMTPClient(HOST, proxy=url("socks5", proxy.port)) as client:
                error = await failure(client, ConnectFailed)
        assert str(error).endswith(":587: Connection not allowed by ruleset")

    anyio.run(scenario)


@everywhere
async def test_U13_what_a_proxy_repeats_is_redacted_and_safe_to_print() -> None:
    echo = b"HTTP/1.1 407 \x1b[2J %b Basic dXJzdWxhOmh1bnRlcjI6QC9HcnVlc3Nl %b\r\n\r\n"
    script = echo % (PASSWORD.encode(), b"x" * 5000)
    async with ScriptedProxy(script).listen() as proxy:
        async with SMTPClient(HOST, proxy=url("http", proxy.port)) as client:
            error = await failure(client, ConnectFailed)
    assert b"dXJzdWxhOmh1bnRlcjI6QC9HcnVlc3Nl" in proxy.heard
    said = str(error)
    assert ": 407 \\x1b[2J <redacted> Basic <redacted> xxx" in said
    assert len(said) < 400
    assert_discreet("http", given_away(error))


@everywhere
async def test_a_proxy_that_is_not_there() -> None:
    async with ScriptedProxy().listen() as proxy:
        pass
    async with SMTPClient(HOST, proxy=url("socks5", proxy.port)) as client:
        error = await failure(client, ConnectFailed)
    way = f"socks5://127.0.0.1:{proxy.port}"
    assert str(error).startswith(f"cannot connect to the proxy {way}: ")
    assert error.__cause__ is not None
    assert error.temporary
    assert_discreet("socks5", given_away(error))


@everywhere
@pytest.mark.parametrize("script", [(HANG,), (b"\5\2", HANG), (*LET_IN, HANG)])
async def test_a_slow_proxy_is_waited_for_as_long_as_for_a_server(
    script: tuple[bytes | Act, ...],
) -> None:
    async with ScriptedProxy(*script).listen() as proxy:
        async with SMTPClient(
            HOST, proxy=url("socks5", proxy.port), timeouts=Timeouts(connect=0.3)
        ) as client:
            error = await failure(client, StageTimeout)
        await all_ended(proxy)
    assert str(error) == (
        f"no connection to {HOST}:587 through socks5://127.0.0.1:{proxy.port} "
        "within 0.3 s"
    )
    assert error.stage is Stage.CONNECT
    assert_discreet("socks5", given_away(error))


@everywhere
@pytest.mark.parametrize(
    ("kind", "script"),
    [
        ("socks5", (HANG,)),
        ("socks5", (b"\5\2", HANG)),
        ("socks5", (*LET_IN, HANG)),
        ("socks4a", (HANG,)),
        ("http", (b"HTTP/1.1 200 O", HANG)),
    ],
)
async def test_a_cancelled_attempt_closes_the_socket_and_tells_nothing(
    kind: str, script: tuple[bytes | Act, ...]
) -> None:
    seen: list[BaseException] = []
    steps = len([step for step in script if isinstance(step, bytes)])

    async def attempt() -> None:
        try:
            await through_proxy(url(kind, proxy.port), HOST, 587)()
        except BaseException as error:
            seen.append(error)
            raise

    async with ScriptedProxy(*script).listen() as proxy:
        async with anyio.create_task_group() as group:
            group.start_soon(attempt)
            while len(proxy.heard) < 3 * steps + 1:
                await anyio.sleep(0.01)
            await anyio.sleep(0.05)
            group.cancel_scope.cancel()
        await all_ended(proxy)
    (error,) = seen
    assert isinstance(error, anyio.get_cancelled_exc_class())
    assert "in _ask" not in "".join(traceback.format_exception(error))
    assert_discreet(kind, given_away(error))


@pytest.mark.asyncio
async def test_asyncios_own_cancellation_closes_it_too() -> None:
    async with ScriptedProxy(b"\5\2", HANG).listen() as proxy:
        connect = through_proxy(url("socks5", proxy.port), HOST, 587)
        with pytest.raises(TimeoutError) as info:
            async with asyncio.timeout(0.2):
                await connect()
        await all_ended(proxy)
    assert_discreet("socks5", given_away(info.value))


@pytest.mark.parametrize(
    ("kind", "before"),
    [
        ("socks5", ()),
        ("socks5", (b"\5\2",)),
        ("socks5", LET_IN),
        ("socks4a", ()),
        ("http", ()),
    ],
)
@given(
    said=st.binary(max_size=40)
    | st.binary(max_size=30).map(b"\5\0\0".__add__)
    | st.binary(max_size=30).map(b"HTTP/1.1 ".__add__)
)
def test_whatever_a_proxy_says_is_a_connection_or_connect_failed(
    kind: str, before: tuple[bytes, ...], said: bytes
) -> None:
    async def scenario() -> None:
        async with ScriptedProxy(*before, said).listen() as proxy:
            try:
                stream = await through_proxy(url(kind, proxy.port), HOST, 587)()
            except ConnectFailed as error:
                assert_discreet(kind, given_away(error))
            else:
                await stream.aclose()

    anyio.run(scenario)


@everywhere
async def test_T11_clients_of_other_proxies_share_no_connection() -> None:
    users = {USER: PASSWORD, "eve": "other"}
    async with SMTPServer().listen() as server:
        assert server.port is not None
        one = RelayingProxy(server.port, users=users)
        two = RelayingProxy(server.port)
        address = f"127.0.0.1:{server.port}"
        async with one.listen(), two.listen():
            for proxy in (
                None,
                url("socks5", one.port),
                url("http", one.port),
                f"socks5://eve:other@127.0.0.1:{one.port}",
                url("socks5", two.port, named=False),
            ):
                async with SMTPClient(
                    address, security="plaintext", proxy=proxy
                ) as client:
                    await send(client)
        assert server.connections == 5
        assert one.credentials == [(USER, PASSWORD)] * 2 + [("eve", "other")]
        assert len(two.asked) == 1


@everywhere
async def test_the_local_address_is_that_of_the_way_to_the_proxy() -> None:
    peers: list[str] = []

    class Looking(RelayingProxy):
        async def _serve(self, near: anyio.abc.ByteStream) -> None:
            address = near.extra(anyio.abc.SocketAttribute.remote_address)
            peers.append(str(address[0]))
            await super()._serve(near)

    async with SMTPServer().listen() as server:
        assert server.port is not None
        async with Looking(server.port).listen() as proxy:
            async with SMTPClient(
                HOST,
                security="plaintext",
                local_address="127.0.0.2",
                proxy=url("socks5", proxy.port),
            ) as client:
                await send(client)
    assert peers == ["127.0.0.2"]


def test_what_is_local_to_a_proxy_is_elsewhere() -> None:
    for server in ("localhost", "127.0.0.1", "[::1]"):
        assert SMTPClient(server)._settings.security == "opportunistic"
        proxied = SMTPClient(server, proxy="socks5://127.0.0.1")
        assert proxied._settings.security == "starttls"
        assert proxied._settings.endpoint.port == 587


def test_no_variable_of_the_environment_stands_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "SMTP_PROXY"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "socks5://127.0.0.1:9")
    assert SMTPClient(HOST)._settings.connect is None


def test_a_url_of_the_server_can_name_it() -> None:
    way = quote(f"socks5://{LOGIN}proxy.example.test", safe="")
    client = SMTPClient(f"smtps://{HOST}?proxy={way}")
    assert repr(client._settings.connect) == (
        f"<{HOST}:465 through socks5://proxy.example.test:1080>"
    )
    assert_discreet("socks5", repr(client), repr(client._settings))
    proxy = parse_proxy(f"socks5h://{LOGIN}[2001:db8::1]")
    assert repr(proxy) == "<Proxy socks5://[2001:db8::1]:1080>"


@pytest.mark.parametrize(
    ("proxy", "told"),
    [
        (f"{LOGIN}proxy.test:1080", "proxy has no scheme"),
        (
            f"https://{LOGIN}proxy.test:443",
            "the scheme 'https' of the proxy URL is none",
        ),
        (f"socks4://{USER}@proxy.test", "the scheme 'socks4' of the proxy URL is none"),
        (f"socks5://{LOGIN}", "URL names no host"),
        (f"socks5://{LOGIN}proxy..test", "proxy URL: 'proxy..test' is not a domain"),
        (f"socks5://{LOGIN}proxy.test:99999", "the proxy URL has no host and port"),
        (f"socks5://{LOGIN}proxy.test:0", "port 0 is not"),
        (f"socks5://{LOGIN}proxy.test/path", "has a path, which means nothing"),
        (f"socks5://{LOGIN}proxy.test#x", "has a fragment, which means nothing"),
        (f"socks5://{LOGIN}proxy.test?dns=x", "has a query, which means nothing"),
        (f"socks5://{LOGIN}proxy.test\n", "holds a control character"),
        (f"socks5://{USER}:{PASSWORD}@proxy.test", "URL names no host"),
        (f"socks5://{USER}:{PASSWORD[:7]}?@proxy.test", "must be percent-encoded"),
        (f"http://{LOGIN}proxy.test", "names no port"),
        ("socks5://:p@proxy.test", "user name and password belong together"),
        (f"socks5://{USER}@proxy.test", "user name and password belong together"),
        (f"http://{USER}@proxy.test:8080", "user name and password belong together"),
        (f"socks4a://{LOGIN}proxy.test", "SOCKS4 has user names, but no password"),
        (f"http://a%3Ab:{PASSWORD[:7]}@proxy.test:80", "holds no colon"),
        (f"http://{USER}:a%0D%0Ab@proxy.test:80", "holds a control character"),
        (f"socks5://{USER}:a%00b@proxy.test", "is not visible ASCII"),
        (f"socks5://{USER}:Gr%C3%BC%C3%9Fe@proxy.test", "is not visible ASCII"),
        (f"socks5://{'u' * 256}:p@proxy.test", "is not visible ASCII"),
        (f"socks5://{USER}:%FF@proxy.test", "octets that are not UTF-8"),
        (b"socks5://proxy.test", "proxy is of type bytes, not str"),
        ("", "proxy has no scheme"),
    ],
)
def test_what_is_no_proxy(proxy: str, told: str) -> None:
    makers: tuple[Callable[[], object], ...] = (
        lambda: SMTPClient(HOST, proxy=proxy),
        lambda: through_proxy(proxy, HOST, 587),
    )
    for make in makers:
        with pytest.raises(InvalidInput) as info:
            make()
        assert told in str(info.value)
        assert_discreet("socks5", given_away(info.value))
        assert PASSWORD[:7] not in given_away(info.value)


@pytest.mark.parametrize(
    ("server", "kind", "told"),
    [
        ("smtp+unix:///run/smtp", "socks5", "/run/smtp cannot be reached through"),
        ("[fe80::1%25eth0]:25", "socks5", "an address with a zone"),
        ("[2001:db8::1]:25", "socks4a", "of which SOCKS4 knows nothing"),
    ],
)
def test_what_no_proxy_reaches(server: str, kind: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        SMTPClient(server.replace("%25", "%"), proxy=f"{kind}://proxy.test")


def test_what_a_factory_is_asked_for_is_checked() -> None:
    for host, port in (("a b", 25), ("", 25), (HOST, 0), (HOST, 65536)):
        with pytest.raises(InvalidInput):
            through_proxy("socks5://proxy.test", host, port)


def test_one_way_alone() -> None:
    connect = through_proxy("socks5://proxy.test", HOST, 587)
    with pytest.raises(InvalidInput, match="either connect or proxy, not both"):
        SMTPClient(HOST, connect=connect, proxy="socks5://proxy.test")


def test_the_extra_is_named_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("esmtp_async._proxy.find_spec", lambda _: None)
    with pytest.raises(InvalidInput) as info:
        SMTPClient(HOST, proxy=f"socks5://{LOGIN}proxy.test")
    assert str(info.value) == (
        "proxy needs python-socks: pip install 'esmtp-async[proxy]'"
    )
    assert_discreet("socks5", given_away(info.value))
