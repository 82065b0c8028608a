"""TLS spoken too early, too late or not at all: the error says what to try."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import anyio
import pytest

from esmtp_async import (
    ClientOptions,
    ConnectionLost,
    GreetingRefused,
    ProtocolViolation,
    Security,
    SMTPClient,
    Stage,
    StageTimeout,
    Timeouts,
    TLSFailed,
    _transport,
)
from esmtp_async._endpoint import Endpoint, advice
from tests.backends import everywhere, in_virtual_time
from tests.client.certificates import client_context, server_context
from tests.client.checks import failure, send
from tests.raw import (
    EOF,
    HANG,
    NAME,
    RST,
    TLS,
    Act,
    Script,
    Server,
    offering,
    script,
    serving,
)

AT_ONCE: Final = "if this port speaks TLS from the first octet: security='tls'"
LATER: Final = "if TLS begins with STARTTLS on this port: security='starttls'"
IMPATIENT: Final = Timeouts(greeting=0.2, command=0.2)
# What a server says that waits for a ClientHello, and what one that loses patience.
TLS_PORT: Final = script(CONNECT=(TLS, b"220 x\r\n"))
ALERT: Final = b"\x15\x03\x01\x00\x02\x02\x46"
NOT_AT_ONCE: Final = [s for s in Security if s is not Security.TLS]


@pytest.mark.parametrize(
    ("port", "security", "told"),
    [
        (2525, Security.TLS, LATER),
        (2525, Security.STARTTLS, AT_ONCE),
        (2525, Security.OPPORTUNISTIC, AT_ONCE),
        (2525, Security.PLAINTEXT, AT_ONCE),
        (465, Security.TLS, ""),
        (465, Security.STARTTLS, "port 465 is for security='tls'"),
        (465, Security.OPPORTUNISTIC, "port 465 is for security='tls'"),
        (465, Security.PLAINTEXT, "port 465 is for security='tls'"),
        (587, Security.TLS, "port 587 is for security='starttls'"),
        (587, Security.STARTTLS, ""),
        (587, Security.PLAINTEXT, ""),
        (25, Security.TLS, "port 25 is for security='starttls'"),
        (25, Security.OPPORTUNISTIC, ""),
    ],
)
def test_what_is_advised(port: int, security: Security, told: str) -> None:
    stage = Stage.TLS if security is Security.TLS else Stage.GREETING
    said = advice(Endpoint("mail.example.test", port), security, stage)
    assert said == (f"; {told}" if told else "")
    assert advice(Endpoint(port=port, path="/run/s"), security, stage) == ""


@pytest.mark.parametrize("security", Security)
def test_where_nobody_answers(security: Security) -> None:
    for host, port, told in (
        ("mail.example.test", 25, "many networks let nothing out to port 25: submit"),
        ("mail.example.test", 587, "nobody answers, as where a firewall stands"),
        ("127.0.0.1", 25, ""),
        ("localhost", 587, ""),
    ):
        said = advice(Endpoint(host, port), security, Stage.CONNECT)
        assert said.startswith(f"; {told}" if told else "")
        assert bool(said) is bool(told)


@in_virtual_time
async def test_a_message_whose_time_is_up() -> None:
    async with serving(TLS_PORT, tls=server_context()) as server:
        async with client_of(server, "starttls") as client:
            error = await failure(client, StageTimeout, timeout=0.1)
    assert str(error) == (
        f"mail.example.test:2525: not sent within 0.1 s (stage: greeting); {AT_ONCE}"
    )
    async with serving(script(MAIL=HANG)) as server:
        async with server.client(max_connections=1) as client:
            async with anyio.create_task_group() as others:
                others.start_soon(send, client)
                await anyio.sleep(0.1)
                error = await failure(client, StageTimeout, timeout=0.1)
                others.cancel_scope.cancel()
    assert str(error).endswith(
        "(stage: pool); every connection was in use: max_connections says how many"
    )


@in_virtual_time
async def test_a_connection_that_does_not_come_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_transport, "dial", lambda *_: anyio.sleep_forever())
    options = ClientOptions(timeouts=IMPATIENT, security="plaintext")
    async with SMTPClient("mail.example.test", **options) as client:
        error = await failure(client, StageTimeout)
    assert str(error) == (
        "no connection to mail.example.test:25 within 30 s; many networks let nothing "
        "out to port 25: submit mail on 587 or 465"
    )


def client_of(server: Server, security: str, port: int = 2525) -> SMTPClient:
    """Give a client that believes it is at some port."""
    return SMTPClient(
        "mail.example.test",
        port,
        security=security,
        connect=server.connect,
        ssl_context=client_context(),
        client_hostname=NAME,
        timeouts=IMPATIENT,
    )


@in_virtual_time
@pytest.mark.parametrize("security", NOT_AT_ONCE)
async def test_a_server_that_waits_for_us_to_begin_tls(security: Security) -> None:
    async with serving(TLS_PORT, tls=server_context()) as server:
        for port, told in ((2525, AT_ONCE), (465, "port 465 is for security='tls'")):
            async with client_of(server, security, port) as client:
                error = await failure(client, StageTimeout)
                assert error.stage is Stage.GREETING
                assert error.temporary
                assert str(error) == (
                    f"mail.example.test:{port}: no progress within 0.2 s "
                    f"(stage: greeting); {told}"
                )


@in_virtual_time
@pytest.mark.parametrize("security", NOT_AT_ONCE)
@pytest.mark.parametrize("ending", [EOF, RST])
async def test_a_server_that_hangs_up_before_it_greets(
    security: Security, ending: Act
) -> None:
    async with serving(script(CONNECT=ending)) as server:
        async with client_of(server, security) as client:
            error = await failure(client, ConnectionLost)
            assert error.stage is Stage.GREETING
            assert str(error).endswith(f"(stage: greeting); {AT_ONCE}")


@in_virtual_time
@pytest.mark.parametrize("security", NOT_AT_ONCE)
@pytest.mark.parametrize(
    "record", [ALERT, ALERT[:2], b"\x16\x03\x03\x00\x7a\x02\n..", b"\x16\x03\n"]
)
async def test_a_server_that_speaks_tls_to_us(
    security: Security, record: bytes
) -> None:
    for answer in (record, (record[:1], 0.01, record[1:], HANG)):
        async with serving(script(CONNECT=answer)) as server:
            server.collects = False
            with anyio.fail_after(5):
                async with client_of(server, security) as client:
                    error = await failure(client, ProtocolViolation)
            assert "the server speaks TLS where a reply is due" in str(error)
            assert "security='tls'" in str(error)
            assert server.taps[0].octets == b""


PLAIN: Final = script(EHLO=offering("STARTTLS"))
# postscreen greets late and has no patience with whoever does not wait.
LATE: Final = script(CONNECT=(0.05, b"550 5.5.1 Protocol error\r\n", EOF))


@in_virtual_time
@pytest.mark.parametrize("talk", [PLAIN, LATE], ids=["plain", "late"])
async def test_a_server_that_speaks_no_tls_yet(talk: Script) -> None:
    async with serving(talk) as server:
        for port, told in (
            (2525, f"; {LATER}"),
            (587, "; port 587 is for security='starttls'"),
            (25, "; port 25 is for security='starttls'"),
            (465, ""),
        ):
            async with client_of(server, "tls", port) as client:
                error = await failure(client, TLSFailed)
                assert error.stage is Stage.TLS
                assert not error.temporary
                assert not error.certificate_error
                assert str(error) == (
                    f"mail.example.test:{port}: the TLS handshake with "
                    "mail.example.test failed: "
                    f"what the server says is not TLS{told}"
                )


@in_virtual_time
async def test_a_server_that_says_nothing_to_tls() -> None:
    async with serving(script(CONNECT=HANG)) as server:
        async with client_of(server, "tls", 587) as client:
            timed_out = await failure(client, StageTimeout)
            assert timed_out.stage is Stage.TLS
            assert "port 587 is for security='starttls'" in str(timed_out)
    async with serving(script(CONNECT=EOF)) as server:
        async with client_of(server, "tls", 587) as client:
            error = await failure(client, TLSFailed)
            assert "port 587 is for security='starttls'" in str(error)


@in_virtual_time
async def test_a_server_without_starttls() -> None:
    async with serving(script()) as server:
        async with client_of(server, "starttls") as client:
            error = await failure(client, TLSFailed)
            assert error.stage is Stage.STARTTLS
            assert not error.temporary
            assert re.search("does not offer STARTTLS on this port", str(error))
            assert "port 587" in str(error)
            assert "port 465: security='tls'" in str(error)


# Where TLS has nothing to do with it, nothing is said of it.


@everywhere
async def test_no_advice_over_a_unix_socket(socket_path: Path) -> None:
    async with serving(script(CONNECT=EOF), path=socket_path):
        async with SMTPClient(f"smtp+unix://{socket_path}") as client:
            assert "security" not in str(await failure(client, ConnectionLost))


@in_virtual_time
async def test_no_advice_where_tls_is_not_the_matter() -> None:
    async with serving(script(CONNECT=b"554 no\r\n")) as server:
        async with client_of(server, "starttls") as client:
            assert "security" not in str(await failure(client, GreetingRefused))
    async with serving(script(EHLO=HANG), script(EHLO=EOF)) as server:
        async with client_of(server, "starttls") as client:
            assert "security" not in str(await failure(client, StageTimeout))
            assert "security" not in str(await failure(client, ConnectionLost))
    async with serving(script(CONNECT=b"SSH-2.0-x\r\n")) as server:
        async with client_of(server, "starttls") as client:
            assert "security" not in str(await failure(client, ProtocolViolation))
    behind = script(
        STARTTLS=(b"220 go\r\n", 0.05, b"250 x\r\n", HANG), EHLO=PLAIN["EHLO"]
    )
    async with serving(behind) as server:
        async with client_of(server, "starttls") as client:
            assert "security" not in str(await failure(client, TLSFailed))
    late = script(CONNECT=(TLS, HANG))
    async with serving(late, tls=server_context("mail.example.test")) as server:
        async with client_of(server, "tls") as client:
            error = await failure(client, StageTimeout)
            assert error.stage is Stage.GREETING
            assert "security" not in str(error)
