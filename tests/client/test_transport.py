"""The transport: TCP, unix sockets, streams of one's own, TLS over any of them."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.stapled import StapledByteStream
from anyio.streams.tls import TLSStream

from esmtp_async import (
    ConnectFailed,
    NotDelivered,
    SMTPClient,
    Stage,
    TLSFailed,
    TLSInfo,
    _transport,
)
from esmtp_async._endpoint import Endpoint
from esmtp_async._transport import readable_by_poll, readable_by_select
from esmtp_async.testing import SMTPServer, memory_pipe
from tests.backends import everywhere
from tests.client.certificates import client_context, server_context
from tests.client.checks import ALICE, BOB, MESSAGE, failure, outcomes, send
from tests.raw import EOF, HANG, NAME, RST, TLS, Act, offering, script, serving
from tests.taps import Tap


def unused_port() -> int:
    """Give a port that nobody listens at: it was just closed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Dialling


@everywhere
async def test_a_port_nobody_listens_at() -> None:
    port = unused_port()
    async with SMTPClient("127.0.0.1", port, client_hostname=NAME) as client:
        error = await failure(client, ConnectFailed)
        assert error.stage is Stage.CONNECT
        assert error.temporary
        assert isinstance(error, ConnectionError)
        assert str(error).startswith(f"cannot connect to 127.0.0.1:{port}: ")
        assert "Connection refused" in str(error)
        assert "Errno" not in str(error)
        assert isinstance(error.__cause__, OSError)
        assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]


@everywhere
async def test_a_name_that_cannot_be_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    async with SMTPClient(
        "mail.nowhere.test", 25, security="plaintext", client_hostname=NAME
    ) as client:
        error = await failure(client, ConnectFailed)
        told = "cannot connect to mail.nowhere.test:25: Name or service not known"
        assert str(error) == told


def test_the_failures_of_all_addresses_are_told() -> None:
    failed = OSError("All connection attempts failed")
    causes = [OSError(111, "refused by one"), OSError(113, "no way to the other")]
    failed.__cause__ = ExceptionGroup("several", causes)
    error = _transport.connect_failed(Endpoint("two.example.test", 25), failed)
    assert str(error) == (
        "cannot connect to two.example.test:25: refused by one; no way to the other"
    )
    assert error.temporary


@everywhere
async def test_a_unix_socket_that_is_not_there(socket_path: Path) -> None:
    async with SMTPClient(f"smtp+unix://{socket_path}", client_hostname=NAME) as client:
        error = await failure(client, ConnectFailed)
        assert str(socket_path) in str(error)
        assert "No such file" in str(error)


@everywhere
async def test_unix_sockets(socket_path: Path) -> None:
    async with serving(script(), path=socket_path) as server:
        async with SMTPClient(f"lmtp+unix://{socket_path}") as client:
            receipt = await send(client)
            assert receipt.accepted == (BOB,)
            assert receipt.tls is None
        assert server.heard[0].verbs[0] == "LHLO"
        assert server.heard[0].messages == [MESSAGE]


@everywhere
async def test_the_local_address() -> None:
    async with serving(script(CONNECT=HANG)) as server:
        stream = await _transport.dial(Endpoint("127.0.0.1", server.port), "127.0.0.3")
        assert _transport.local_ip(stream) == "127.0.0.3"
        raw = stream.extra(SocketAttribute.raw_socket)
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        await _transport.abort(stream)


@everywhere
async def test_the_local_address_says_ehlo(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(script()) as server:
        for name, said in (
            ("machine", b"EHLO [127.0.0.1]"),
            ("localhost.localdomain", b"EHLO [127.0.0.1]"),
            ("bad_name.example", b"EHLO [127.0.0.1]"),
            ("machine.example.test", b"EHLO machine.example.test"),
        ):
            monkeypatch.setattr(socket, "getfqdn", lambda name=name: name)
            async with SMTPClient("127.0.0.1", server.port) as client:
                await send(client)
            assert server.heard[-1].lines[0] == said


@everywhere
async def test_a_machine_without_a_full_name_is_asked_for_it_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def name() -> str:
        asked.append(1)
        return "machine"

    monkeypatch.setattr(socket, "getfqdn", name)
    async with serving(script()) as server:
        async with SMTPClient(
            "127.0.0.1", server.port, max_messages_per_connection=1
        ) as client:
            for _ in range(3):
                await send(client)
    assert [heard.lines[0] for heard in server.heard] == [b"EHLO [127.0.0.1]"] * 3
    assert asked == [1]


def test_a_local_address_is_told_without_its_zone() -> None:
    class Scoped(Tap):
        @property
        def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
            return {SocketAttribute.local_address: lambda: ("fe80::1%lo", 25)}

    near, _ = memory_pipe()
    assert _transport.local_ip(Scoped(near)) == "fe80::1"


# Streams of the caller's


@everywhere
@pytest.mark.parametrize("error", [anyio.BrokenResourceError, anyio.EndOfStream])
async def test_a_stream_of_ones_own_that_cannot_be_had(error: type[Exception]) -> None:
    async def connect() -> ByteStream:
        raise error

    async with SMTPClient("mail.example.test", connect=connect) as client:
        failed = await failure(client, ConnectFailed)
    assert str(failed).startswith("cannot connect to mail.example.test:587: ")
    assert error.__name__ in str(failed)
    assert (failed.temporary, failed.retry_safe) == (True, True)


@everywhere
async def test_a_stream_of_ones_own() -> None:
    async with serving(script()) as server:
        near, far = memory_pipe()
        server.group.start_soon(server.serve, far)

        async def connect() -> ByteStream:
            return StapledByteStream(near, near)

        async with SMTPClient("mail.example.test", connect=connect) as client:
            error = await failure(client, TLSFailed)
            assert "STARTTLS" in str(error)
        near, far = memory_pipe()
        server.group.start_soon(server.serve, far)
        async with SMTPClient(
            "mail.example.test", connect=connect, security="plaintext"
        ) as client:
            assert (await send(client)).accepted == (BOB,)
            assert (await send(client)).accepted == (BOB,)
        assert server.heard[1].messages == [MESSAGE] * 2


@everywhere
@pytest.mark.parametrize(
    "error", [OSError(errno.ENETUNREACH, "Network is unreachable"), TimeoutError("x")]
)
async def test_a_stream_of_ones_own_that_fails(error: OSError) -> None:
    async def connect() -> ByteStream:
        raise error

    async with SMTPClient(connect=connect) as client:
        failed = await failure(client, ConnectFailed)
        assert failed.__cause__ is error
        assert outcomes(failed.recipients) == [("bob", "NOT_SENT", None)]


class ProxyFailed(Exception):
    """What a connect= of the caller's may raise."""


@everywhere
async def test_what_connect_raises_is_raised() -> None:
    async def connect() -> ByteStream:
        raise ProxyFailed

    async with SMTPClient(connect=connect) as client:
        for _ in range(12):  # more often than there are connections
            with pytest.raises(ProxyFailed):
                await send(client)


@everywhere
@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_tls_over_pipes(security: str) -> None:
    async with SMTPServer(
        implicit_tls=security == "tls",
        starttls=security == "starttls",
        users={"u": "p"},
    ) as server:
        async with server.client(client_hostname=NAME) as client:
            receipt = await send(client)
            assert receipt.tls is not None
            assert receipt.tls.version == "TLSv1.3"
            assert "AES" in receipt.tls.cipher or "CHACHA" in receipt.tls.cipher
            pem = ssl.DER_cert_to_PEM_cert(receipt.tls.peer_certificate)
            assert pem.startswith("-----BEGIN CERTIFICATE-----")
            assert (await client.probe()).tls == receipt.tls
        assert server.violations == []
        assert [m.username for m in server.messages] == ["u"]
        assert server.messages[0].tls


@everywhere
async def test_a_tls_stream_of_ones_own_carries_credentials() -> None:
    talk = script(CONNECT=(TLS, b"220 x\r\n"), EHLO=offering("AUTH PLAIN"))
    async with serving(talk, tls=server_context()) as server:

        async def connect() -> ByteStream:
            stream = await server.connect()
            return await TLSStream.wrap(
                stream, hostname="127.0.0.1", ssl_context=client_context()
            )

        async with server.client(connect=connect, username="u", password="p") as client:
            receipt = await send(client)
            assert receipt.tls is not None
            assert server.heard[0].verbs[:2] == ["EHLO", "AUTH"]


# TLS


@everywhere
async def test_tls_where_there_is_none() -> None:
    async with serving(script(CONNECT=(b"220 plain text\r\n", HANG))) as server:
        async with server.client(
            security="tls", ssl_context=client_context()
        ) as client:
            error = await failure(client, TLSFailed)
            assert error.stage is Stage.TLS
            assert "starttls" in str(error)
            assert not error.temporary
            assert b"EHLO" not in server.taps[0].octets
            assert server.taps[0].closed == 1


@everywhere
@pytest.mark.parametrize("ending", [EOF, RST], ids=["eof", "rst"])
@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_the_end_within_the_handshake(ending: Act, security: str) -> None:
    if security == "tls":
        talk = script(CONNECT=ending)
    else:
        talk = script(EHLO=offering("STARTTLS"), STARTTLS=(b"220 go\r\n", 0.02, ending))
    async with serving(talk) as server:
        async with server.client(
            security=security, ssl_context=client_context()
        ) as client:
            error = await failure(client, TLSFailed)
            assert error.stage is Stage.TLS
            assert error.temporary
            assert server.taps[0].closed == 1


# Ending


@everywhere
async def test_aborting_resets() -> None:
    async with serving(script(CONNECT=HANG)) as server:
        stream = await _transport.dial(Endpoint("127.0.0.1", server.port))
        await stream.send(b"NOOP\r\n")
        while not server.heard or not server.heard[0].octets:
            await anyio.sleep(0.001)
        await _transport.abort(stream)
        assert await server.heard[0].over() == "reset"
        await _transport.abort(stream)  # twice is nothing worse


@everywhere
async def test_closing_does_not() -> None:
    async with serving(script(CONNECT=HANG)) as server:
        stream = await _transport.dial(Endpoint("127.0.0.1", server.port))
        while not server.heard:
            await anyio.sleep(0.001)
        await _transport.close(stream)
        assert await server.heard[0].over() == "eof"
        await _transport.close(stream)


@everywhere
async def test_aborting_a_unix_socket(socket_path: Path) -> None:
    async with serving(script(CONNECT=HANG), path=socket_path) as server:
        stream = await _transport.dial(Endpoint("", path=str(socket_path)))
        await stream.send(b"x")
        await _transport.abort(stream)
        assert await server.heard[0].over() in {"eof", "reset"}


# Looking without waiting


@everywhere
async def test_quiet_and_not() -> None:
    for steps, quiet in (
        ((b"220 x\r\n", HANG), True),
        ((b"220 x\r\n", 0.01, b"4", HANG), False),
        ((b"220 x\r\n", 0.01, EOF), False),
        ((b"220 x\r\n", 0.01, RST), False),
    ):
        async with serving(script(CONNECT=steps)) as server:
            stream = await _transport.dial(Endpoint("127.0.0.1", server.port))
            assert await stream.receive() == b"220 x\r\n"
            with anyio.move_on_after(0.05 if quiet else 5):
                while _transport.is_quiet(stream):
                    await anyio.sleep(0.001)
            assert _transport.is_quiet(stream) is quiet
            await _transport.abort(stream)
            assert not _transport.is_quiet(stream)
            assert _transport.tls_info(stream) is None
            assert _transport.local_ip(stream) is None


@pytest.mark.parametrize("readable", [readable_by_poll, readable_by_select])
def test_both_ways_to_look_at_a_socket(
    readable: Callable[[socket.socket], bool],
) -> None:
    near, far = socket.socketpair()
    with near:
        assert not readable(near)
        far.send(b"x")
        assert readable(near)
        near.recv(1)
        assert not readable(near)
        far.close()
        assert readable(near)
    with pytest.raises((OSError, ValueError)):
        readable(near)


@everywhere
async def test_a_pipe_cannot_be_looked_at() -> None:
    near, far = memory_pipe()
    assert _transport.is_quiet(near)
    assert _transport.local_ip(near) is None
    assert _transport.tls_info(near) is None
    await far.aclose()
    await near.aclose()


@everywhere
@pytest.mark.parametrize("ending", [EOF, RST], ids=["eof", "rst"])
async def test_the_receipt_tells_of_tls_after_the_connection_is_gone(
    ending: Act,
) -> None:
    taken = (b"250 ok\r\n250 extra\r\n", ending)
    talk = script(CONNECT=(TLS, b"220 x\r\n"), CONTENT=taken)
    async with serving(talk, tls=server_context()) as server:
        async with server.client(
            security="tls", ssl_context=client_context()
        ) as client:
            receipt = await send(client)
            assert server.taps[0].closed == 1
            assert receipt.tls is not None


@everywhere
@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "MAIL", "CONTENT"])
async def test_a_reset_never_shows_as_an_error_of_the_event_loop(verb: str) -> None:
    well = script()[verb]
    assert isinstance(well, bytes)
    async with serving(script(**{verb: (well, RST)})) as server:
        async with server.client(client_hostname=None) as client:
            if verb == "CONTENT":
                assert (await send(client)).accepted == (BOB,)
            else:
                with pytest.raises(NotDelivered):
                    await client.send(MESSAGE, sender=ALICE, recipients=BOB)


def test_a_certificate_is_told_by_its_length() -> None:
    """Who prints a receipt has no use for the octets of one."""
    info = TLSInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", b"\x30" * 600)
    assert repr(info) == (
        "TLSInfo(version='TLSv1.3', cipher='TLS_AES_256_GCM_SHA384', "
        "peer_certificate=<600 octets>, resumed=False)"
    )
