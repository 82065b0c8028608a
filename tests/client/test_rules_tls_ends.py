"""Rows T10-T13: connections that were not to be, that are not shared, that end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import anyio
import pytest

from esmtp_async import (
    ClientOptions,
    ConnectionLost,
    Event,
    OutcomeUnknown,
    SMTPClient,
    Timeouts,
    TLSFailed,
    _transport,
)
from esmtp_async._events import ConnectionOpened
from esmtp_async.protocol import Stage
from tests.backends import everywhere, in_virtual_time
from tests.client.cancelling import CancelledAt
from tests.client.certificates import (
    client_context,
    fresh_client_context,
    server_context,
)
from tests.client.checks import BOB, MESSAGE, failure, outcomes, send
from tests.raw import (
    CUT,
    NAME,
    STALL,
    TLS,
    Answer,
    Flood,
    Script,
    Server,
    offering,
    script,
    serving,
)

# No way in has more places to be cancelled at.

pytestmark = pytest.mark.usefixtures("resuming")

MANY: Final = 100

AUTH: Final = offering("PIPELINING", "AUTH PLAIN")
SECURE: Final[ClientOptions] = {
    "ssl_context": client_context(),
    "username": "u",
    "password": "p",
}
WAYS: Final[Mapping[str, tuple[Script, ClientOptions]]] = {
    "plaintext": (script(EHLO=AUTH), {"allow_plaintext_auth": True}),
    "starttls": (script(EHLO=[offering("STARTTLS"), AUTH]), {}),
    "tls": (script(CONNECT=(TLS, b"220 x\r\n"), EHLO=AUTH), {}),
}


def protected(way: str = "starttls", **answers: Answer | list[Answer]) -> Script:
    """Give the script of a way in, with other answers."""
    return {**WAYS[way][0], **answers}


def client_of(server: Server, way: str, **others: object) -> SMTPClient:
    options: ClientOptions = {**SECURE, **WAYS[way][1], "security": way}
    options.update(others)  # type: ignore[typeddict-item]
    return server.client(**options)


async def gone(server: Server, count: int) -> None:
    """Wait until the first connections are over, as the server sees it."""
    for heard in server.heard[:count]:
        await heard.over()


@everywhere
@pytest.mark.parametrize("way", WAYS)
async def test_T10_no_connection_is_left_of_a_cancelled_set_up(way: str) -> None:
    async with serving(WAYS[way][0], tls=server_context()) as server:
        for k in range(1, MANY):
            before = len(server.taps)
            client = client_of(server, way)
            cancelled = await CancelledAt(client.probe(), k).run()
            if not cancelled:
                break
            half_open = server.taps[before:]
            assert [tap.closed for tap in half_open] == [1] * len(half_open)
            writes = [len(tap.writes) for tap in half_open]
            assert (await send(client)).accepted == (BOB,)
            assert len(server.taps) == before + len(half_open) + 1
            assert [len(tap.writes) for tap in half_open] == writes
            await client.aclose()
            await gone(server, len(server.heard))
            assert [heard.messages for heard in server.heard[-1:]] == [[MESSAGE]]
        else:
            pytest.fail("no end in sight")
        await client.aclose()
    # At least once for each read and each write.
    assert k > {"plaintext": 5, "starttls": 12, "tls": 8}[way]


@everywhere
@pytest.mark.parametrize("way", ["starttls", "tls"])
async def test_T10_no_connection_is_left_of_a_failed_set_up(way: str) -> None:
    failing = protected(way, AUTH=b"535 no\r\n")
    async with serving(failing, protected(way), tls=server_context()) as server:
        async with client_of(server, way) as client:
            with pytest.raises(Exception, match="535"):
                await send(client)
            assert server.taps[0].closed == 1
            assert (await send(client)).accepted == (BOB,)
            await gone(server, 1)
            assert len(server.taps) == 2


# T11: the pool is the client's own, so nothing has to be compared to keep apart what
# differs. What this row must see is that it stays so.

#: In what a second client differs from the first.
DIFFERENCES: Final[Mapping[str, ClientOptions]] = {
    "nothing": {},
    "security": {"security": "tls"},
    "context": {"ssl_context": fresh_client_context()},
    "server name": {"server_hostname": "localhost"},
    "user": {"username": "eve"},
    "password": {"password": "other"},
    "no credentials": {"username": None, "password": None},
    "EHLO name": {"client_hostname": "other.example.test"},
    "local address": {"local_address": "127.0.0.2"},
    "timeouts": {"timeouts": Timeouts.interactive()},
    "limits": {"max_connections": 1},
    "pipelining": {"pipelining": "off"},
}


@everywhere
@pytest.mark.parametrize("difference", DIFFERENCES)
async def test_T11_clients_share_no_connection(difference: str) -> None:
    context = server_context("127.0.0.1")
    way = "tls" if difference == "security" else "starttls"
    events: list[Event] = []
    async with serving(protected(), protected(way), tls=context) as server:
        first: ClientOptions = {
            **SECURE,
            "security": "starttls",
            "client_hostname": NAME,
            "on_event": events.append,
        }
        second: ClientOptions = {**first, **DIFFERENCES[difference]}
        address = f"127.0.0.1:{server.port}"
        async with SMTPClient(address, **first) as one:
            async with SMTPClient(address, **second) as two:
                tls = (await send(one)).tls
                assert tls is not None
                assert not tls.resumed
                if difference == "server name":
                    await failure(two, TLSFailed)
                else:
                    tls = (await send(two)).tls
                    assert tls is not None
                    assert not tls.resumed
                assert (await send(one)).accepted == (BOB,)
        opened = [event for event in events if isinstance(event, ConnectionOpened)]
        assert len(server.heard) == len(opened) == 2
        assert server.heard[0].messages == [MESSAGE] * 2


@everywhere
async def test_T11_nor_with_another_server_port_protocol_or_stream() -> None:
    async with serving(protected(), tls=server_context()) as server:
        async with serving(protected(LHLO=AUTH), tls=server_context()) as other:
            async with client_of(server, "starttls") as one:
                await send(one)
                lmtp = other.client(scheme="lmtp", security="plaintext")
                tcp = SMTPClient("127.0.0.1", server.port, **SECURE)
                other_port = SMTPClient("127.0.0.1", other.port, **SECURE)
                other_host = SMTPClient("localhost", other.port, **SECURE)
                async with lmtp, tcp, other_port, other_host:
                    await send(lmtp)
                    await send(tcp)
                    await send(other_port)
                    await failure(other_host, TLSFailed)
                await send(one)
        assert [heard.verbs.count("MAIL") for heard in server.heard] == [2, 1]
        assert [heard.verbs.count("MAIL") for heard in other.heard] == [1, 1, 0]


# T12


@everywhere
@pytest.mark.parametrize("way", ["starttls", "tls"])
@pytest.mark.parametrize("said", [(), (b"250 queued as 1",)], ids=["none", "half"])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "CONTENT"])
async def test_T12_truncation_is_no_reply(
    verb: str, said: tuple[bytes, ...], way: str
) -> None:
    answers: dict[str, Answer | list[Answer]] = {verb: (*said, CUT)}
    cut = protected(way, **answers)
    async with serving(cut, protected(way), tls=server_context()) as server:
        async with client_of(server, way, pipelining="off") as client:
            if verb == "CONTENT":
                unknown = await failure(client, OutcomeUnknown)
                assert outcomes(unknown.recipients) == [("bob", "UNKNOWN", None)]
            else:
                error = await failure(client, ConnectionLost)
                assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
            assert (await send(client)).accepted == (BOB,)


@everywhere
@pytest.mark.parametrize("said", [b"", b"250-mail.example.test\r\n250 AUTH PL"])
async def test_T12_truncation_of_what_is_offered(said: bytes) -> None:
    cut = protected(EHLO=[offering("STARTTLS"), (said, CUT)])
    async with serving(cut, protected(), tls=server_context()) as server:
        async with client_of(server, "starttls") as client:
            error = await failure(client, ConnectionLost)
            assert error.stage is Stage.HELLO
            assert server.heard[0].verbs == ["EHLO", "STARTTLS", "EHLO"]
            assert (await send(client)).accepted == (BOB,)


@everywhere
@pytest.mark.parametrize("way", ["starttls", "tls"])
async def test_T12_missing_close_notify_behind_a_reply_changes_nothing(
    way: str,
) -> None:
    bye: Answer = (b"221 bye\r\n", CUT)
    cut = protected(way, CONTENT=(b"250 ok\r\n", CUT), QUIT=bye)
    async with serving(cut, protected(way, QUIT=bye), tls=server_context()) as server:
        async with client_of(server, way) as client:
            assert (await send(client)).accepted == (BOB,)
            await server.heard[0].left()
            assert (await send(client)).accepted == (BOB,)
        assert server.heard[1].contents == [MESSAGE + b".\r\n"]
        assert server.heard[1].verbs[-1] == "QUIT"


# T13


@everywhere
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "end",
    [(STALL,), (Flood(b"x" * 65536, 10_000), STALL), (b"250 more\r\n", STALL)],
    ids=["silence", "flood", "more"],
)
async def test_T13_a_server_that_never_lets_go(way: str, end: Answer) -> None:
    steps = end if isinstance(end, tuple) else (end,)
    stuck = protected(way, QUIT=(b"221 bye\r\n", *steps))
    async with serving(stuck, tls=server_context()) as server:
        client = client_of(server, way)
        await send(client)
        start = anyio.current_time()
        await client.aclose()
        # One second of grace; the rest is for a machine that is busy.
        assert anyio.current_time() - start < 4
        assert server.taps[0].closed == 1


@in_virtual_time
@pytest.mark.parametrize("way", WAYS)
async def test_T13_no_grace_where_there_was_no_goodbye(way: str) -> None:
    silent = protected(way, QUIT=STALL)
    async with serving(silent, tls=server_context()) as server:
        client = client_of(server, way, timeouts=Timeouts(quit=0.1))
        await send(client)
        start = anyio.current_time()
        await client.aclose()
        assert anyio.current_time() - start < 0.2
        assert server.taps[0].closed == 1


@everywhere
async def test_T13_cancelled_while_it_takes_leave() -> None:
    stuck = protected(QUIT=(b"221 bye\r\n", STALL))
    async with serving(stuck, tls=server_context()) as server:
        client = client_of(server, "starttls")
        await send(client)
        with anyio.move_on_after(0.05):
            await client.aclose()
        assert server.taps[0].closed == 1


@pytest.mark.asyncio
async def test_T13_cancelled_as_asyncio_does_while_it_takes_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_transport, "_GRACE", 5)  # time enough to be cancelled in
    stuck = script(CONNECT=(TLS, b"421 4.3.2 not now\r\n", STALL))
    async with serving(stuck, tls=server_context()) as server:
        async with client_of(server, "tls") as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(send(client), 0.5)
            assert server.taps[0].closed == 1
