"""Contexts, made once and left alone; sessions, resumed, and what that saves."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Unpack

import anyio
import pytest

from esmtp_async import (
    ClientOptions,
    SMTPClient,
    TLSFailed,
    TLSInfo,
    _tls,
)
from esmtp_async._tls import (
    ClientTLS,
    Handshake,
    ResumingContext,
    default_context,
)
from esmtp_async.testing import memory_pipe
from tests.backends import everywhere
from tests.client.certificates import (
    fresh_client_context,
    only,
    server_context,
    special_context,
)
from tests.client.checks import BOB, failure, send
from tests.raw import TLS, Script, Server, offering, script, serving

pytestmark = pytest.mark.usefixtures("resuming")

WAYS: Final[Mapping[str, Script]] = {
    "tls": script(CONNECT=(TLS, b"220 x\r\n")),
    "starttls": script(EHLO=[offering("STARTTLS"), offering("PIPELINING")]),
}
VERSIONS: Final = {
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
both_ways = pytest.mark.parametrize("way", WAYS)
both_versions = pytest.mark.parametrize("version", VERSIONS)


def certified(version: str) -> ssl.SSLContext:
    """Give a server's side that nobody else has, with keys for tickets of its own."""
    return only(special_context("127.0.0.1"), VERSIONS[version])


def client_of(server: Server, way: str, **options: Unpack[ClientOptions]) -> SMTPClient:
    """Give a client that connects anew for each message."""
    options.setdefault("security", way)
    options.setdefault("ssl_context", fresh_client_context())
    options.setdefault("max_messages_per_connection", 1)
    return server.client(**options)


async def tls_of(client: SMTPClient) -> TLSInfo:
    receipt = await send(client)
    assert receipt.accepted == (BOB,)
    assert receipt.tls is not None
    return receipt.tls


# Contexts


@everywhere
@both_ways
async def test_the_default_context_is_made_once_and_in_a_thread(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    makers: list[int] = []

    def slow() -> ssl.SSLContext:
        makers.append(threading.get_ident())
        time.sleep(0.05)  # others come by meanwhile
        return fresh_client_context()

    monkeypatch.setattr(ssl, "create_default_context", slow)
    async with serving(WAYS[way], tls=server_context()) as server:
        async with client_of(server, way, ssl_context=None) as client:
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(send, client)
            await send(client)
        assert len(server.heard) == 6
    assert len(makers) == 1
    assert makers[0] != threading.get_ident()


@everywhere
async def test_no_context_is_made_where_there_is_no_tls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(ssl, "create_default_context")
    async with serving(script()) as server:
        async with server.client() as client:
            assert (await send(client)).tls is None


def test_the_default_context_takes_tls_1_2_at_least(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for allowed, least in (
        (ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_2),
        (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2),
        (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3),
    ):
        context = fresh_client_context()
        context.minimum_version = allowed
        monkeypatch.setattr(ssl, "create_default_context", lambda made=context: made)
        assert default_context().minimum_version == least
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert not context.hostname_checks_common_name


def looks(context: ssl.SSLContext) -> dict[str, object]:
    """Tell all that can be seen of a context."""
    names = (name for name in dir(context) if not name.startswith("__"))
    values = ((name, getattr(context, name)) for name in names)
    told = {name: value for name, value in values if not callable(value)}
    store = sorted(context.get_ca_certs(binary_form=True))
    return {**told, "store": store, "ciphers": context.get_ciphers()}


@everywhere
@both_ways
async def test_a_context_of_the_callers_is_never_modified(way: str) -> None:
    context = fresh_client_context()
    before = looks(context)
    async with serving(WAYS[way], tls=server_context()) as server:
        async with client_of(server, way, ssl_context=context) as client:
            for _ in range(2):
                await send(client)
    assert looks(context) == before
    assert len(before) > 15


class Delegate(ssl.SSLContext):
    """A context as truststore's: its own class, which asks another one."""

    def __init__(self, *_: object) -> None:
        self.behind = fresh_client_context()
        self.calls = 0

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002  # as ssl has it
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        self.calls += 1
        return self.behind.wrap_bio(
            incoming, outgoing, server_side, server_hostname, session
        )


@everywhere
async def test_a_context_of_another_class() -> None:
    context = Delegate(ssl.PROTOCOL_TLS_CLIENT)
    async with serving(WAYS["starttls"], tls=server_context()) as server:
        async with client_of(server, "starttls", ssl_context=context) as client:
            assert not (await tls_of(client)).resumed
            assert (await tls_of(client)).resumed
    assert context.calls == 2


# Sessions (RFC 5077, RFC 8446 section 2.2)


@everywhere
@both_versions
@both_ways
async def test_the_next_connection_resumes_the_session(version: str, way: str) -> None:
    async with serving(WAYS[way], tls=certified(version)) as server:
        async with client_of(server, way) as client:
            first = await tls_of(client)
            assert not first.resumed
            again = first._replace(resumed=True)
            for _ in range(3):
                assert await tls_of(client) == again
            assert (await client.probe()).tls == again
    theirs = [heard.tls.session_reused for heard in server.heard if heard.tls]
    assert theirs == [False, True, True, True, True]


class Meeting:
    """A client's and a server's side of TLS, and nothing between them."""

    def __init__(self, client: ssl.SSLContext, server: ssl.SSLContext) -> None:
        here, there = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = "127.0.0.1"
        self.client = client.wrap_bio(here, there, server_hostname=name)
        self.server = server.wrap_bio(there, here, server_side=True)

    def shake_hands(self) -> bool:
        """Shake hands, say something; tell whether a session was resumed."""
        for side in (self.client, self.server) * 2:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
        self.server.write(b"220 x\r\n")
        assert self.client.read() == b"220 x\r\n"
        return bool(self.client.session_reused)


def shaken(client: ssl.SSLContext, server: ssl.SSLContext) -> Meeting:
    meeting = Meeting(client, server)
    meeting.shake_hands()
    return meeting


@pytest.mark.parametrize(
    ("version", "sound"),
    [
        ((3, 11, 14), False),
        *(((3, 12, 7), False), ((3, 12, 8), True), ((3, 12, 12), True)),
        *(((3, 13, 0), False), ((3, 13, 1), True), ((3, 14, 0), True)),
    ],
)
def test_which_python_loses_sessions(version: tuple[int, ...], *, sound: bool) -> None:
    assert _tls.resumes(version) is sound


@everywhere
async def test_a_session_that_python_would_lose_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_tls, "_RESUMES", False)
    looks = 0

    def look(_: ssl.SSLObject) -> None:
        nonlocal looks
        looks += 1

    monkeypatch.setattr(ssl.SSLObject, "session", property(look))
    async with serving(WAYS["tls"], tls=certified("TLSv1.3")) as server:
        async with client_of(server, "tls") as client:
            for _ in range(3):
                assert not (await tls_of(client)).resumed
            assert looks == 0
            monkeypatch.setattr(_tls, "_RESUMES", True)
            await tls_of(client)
            assert looks == 1


@both_versions
def test_each_session_is_resumed_once(version: str) -> None:
    server = certified(version)
    context = ResumingContext(fresh_client_context())
    count = 0
    for more in (3, 4, 20):
        meetings = [Meeting(context, server) for _ in range(more)]
        resumed = [meeting.shake_hands() for meeting in meetings]
        assert resumed == [number < count for number in range(more)]
        for meeting in meetings:
            context.keep(meeting.client, context.verification)
        count = min(more, 16)  # no more are kept
    meetings = [Meeting(context, server) for _ in range(20)]
    assert [meeting.shake_hands() for meeting in meetings] == [True] * 16 + [False] * 4


@everywhere
@both_versions
@both_ways
async def test_a_session_that_is_refused_costs_nothing(version: str, way: str) -> None:
    async with serving(WAYS[way], tls=certified(version)) as server:
        async with client_of(server, way) as client:
            await send(client)
            server.tls = certified(version)  # it knows nothing of what was
            renewed = await tls_of(client)
            assert not renewed.resumed
            assert (await tls_of(client)) == renewed._replace(resumed=True)
        assert len(server.heard) == 3


@everywhere
@both_versions
async def test_no_session_outlives_how_its_server_was_verified(version: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with serving(WAYS["tls"], tls=certified(version)) as server:
        async with client_of(server, "tls", ssl_context=context) as client:
            assert not (await tls_of(client)).resumed
            context.verify_mode = ssl.CERT_REQUIRED
            error = await failure(client, TLSFailed)
            assert error.certificate_error
            context.verify_mode = ssl.CERT_NONE
            # Behind a failure everything begins anew.
            assert not (await tls_of(client)).resumed
            assert (await tls_of(client)).resumed


@everywhere
async def test_nor_one_that_began_before_its_server_was_to_be_verified() -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    def verify() -> None:
        context.verify_mode = ssl.CERT_REQUIRED

    late = script(CONNECT=(TLS, verify, b"220 x\r\n"))
    async with serving(late, tls=certified("TLSv1.3")) as server:
        async with client_of(server, "tls", ssl_context=context) as client:
            assert not (await tls_of(client)).resumed
            assert (await failure(client, TLSFailed)).certificate_error


@everywhere
@both_versions
async def test_no_session_outlives_the_certificate(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(WAYS["tls"], tls=certified(version)) as server:
        async with client_of(server, "tls") as client:
            assert not (await tls_of(client)).resumed
            assert (await tls_of(client)).resumed
            # It has the certificate of the first one still.
            monkeypatch.setattr("esmtp_async._tls.time", lambda: time.time() + 1e10)
            assert not (await tls_of(client)).resumed


@everywhere
async def test_no_session_is_kept_of_an_opening_that_failed() -> None:
    refusing = script(CONNECT=(TLS, b"554 no\r\n"))
    async with serving(refusing, WAYS["tls"], tls=certified("TLSv1.3")) as server:
        async with client_of(server, "tls") as client:
            with pytest.raises(Exception, match="554"):
                await send(client)
            assert not (await tls_of(client)).resumed


def test_a_connection_without_a_session_leaves_the_others() -> None:
    context = ResumingContext(fresh_client_context())
    server = certified("TLSv1.3")
    context.keep(Meeting(context, server).client, context.verification)
    assert not shaken(context, server).client.session_reused
    context.keep(shaken(context, server).client, context.verification)
    context.keep(Meeting(fresh_client_context(), server).client, context.verification)
    assert shaken(context, server).client.session_reused


@both_versions
def test_the_latest_session_is_resumed_first(version: str) -> None:
    context = ResumingContext(fresh_client_context())
    before, behind = certified(version), certified(version)
    for server in (before, behind):
        context.keep(shaken(context.behind, server).client, context.verification)
    assert shaken(context, behind).client.session_reused
    assert shaken(context, before).client.session_reused


@everywhere
async def test_behind_a_handshake_that_failed_no_session_is_resumed() -> None:
    tls = ClientTLS(fresh_client_context(), "127.0.0.1")
    context = await tls.context()
    server = certified("TLSv1.3")
    for _ in range(3):
        context.keep(shaken(context.behind, server).client, context.verification)
    near, far = memory_pipe()
    await far.send(b"220 x\r\n")
    with pytest.raises(TLSFailed):
        await Handshake(tls).start(near)
    await near.aclose()
    await far.aclose()
    assert not shaken(context, server).client.session_reused
