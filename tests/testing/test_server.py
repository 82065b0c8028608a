"""Running the model server: in memory, over TCP, for foreign clients and our own."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import anyio
import pytest
from anyio import to_thread

from esmtp_async import ClientOptions, Login, SMTPClient
from esmtp_async.testing import Rule, SMTPServer, _hosting
from esmtp_async.testing._hosting import GRACE, Host
from esmtp_async.testing._store import Page
from esmtp_async.testing._wire import Wire
from tests.backends import everywhere, in_virtual_time
from tests.testing.talk import SOON, Talk, talk_to

HELLO = "EHLO c.test"


def message() -> EmailMessage:
    it = EmailMessage()
    it["From"] = "a@example.test"
    it["To"] = "b@example.test, c@example.test"
    it.set_content("Hello.\n.dot\n")
    return it


async def dial(server: Host) -> Talk:
    assert server.port is not None
    return Talk(await anyio.connect_tcp("127.0.0.1", server.port))


@everywhere
async def test_octets_over_tcp() -> None:
    server = SMTPServer()
    assert server.port is None
    async with server.listen() as same:
        assert same is server
        talk = await dial(server)
        assert (await talk.reply())[:3] == b"220"
        await talk.say(HELLO)
        await talk.group(b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n", 3)
        await talk.group(b"hi\r\n.\r\nQUIT\r\n", 2)
        assert await talk.rest() == b""
        await talk.stream.aclose()
        in_memory = await talk_to(server, HELLO)
        assert (await in_memory.say("QUIT"))[:3] == b"221"
    assert server.port is None
    assert server.messages[0].content == b"hi\r\n"
    assert (server.connections, server.peak_connections) == (2, 1)
    assert server.violations == []


@everywhere
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_the_address_and_port_can_be_chosen(host: str) -> None:
    with socket.create_server((host, 0), family=_family(host)) as free:
        port = free.getsockname()[1]
    async with SMTPServer().listen(host, port) as server:
        assert server.port == port
        talk = Talk(await anyio.connect_tcp(host, port))
        assert (await talk.reply())[:3] == b"220"
        await talk.stream.aclose()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@everywhere
async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_running() -> None:
    async with SMTPServer().listen() as server:
        other = SMTPServer()
        with pytest.raises(OSError, match="in use"):
            await other.listen(port=server.port or 0).__aenter__()
        with pytest.raises(RuntimeError, match="not running"):
            await other.connect()


@everywhere
async def test_a_reset_over_tcp_is_a_reset() -> None:
    async with SMTPServer(
        rules=[Rule("NOOP", drop=True, silent=True)]
    ).listen() as server:
        talk = await dial(server)
        await talk.reply()
        with pytest.raises(anyio.BrokenResourceError) as caught:
            await talk.say("NOOP")
        assert isinstance(caught.value.__cause__, ConnectionResetError)
        await talk.stream.aclose()


@everywhere
async def test_the_last_reply_arrives_although_octets_were_left_unread() -> None:
    async with SMTPServer(rules=[Rule("NOOP", reply="421 bye")]).listen() as server:
        talk = await dial(server)
        await talk.reply()
        await talk.send(b"NOOP\r\n" + b"x" * 5_000_000)
        assert await talk.rest() == b"421 bye\r\n"
        await talk.stream.aclose()


@everywhere
async def test_a_server_can_be_used_again_but_not_twice_at_once() -> None:
    server = SMTPServer()
    with pytest.raises(RuntimeError, match="not running"):
        await server.connect()
    for _ in range(2):
        async with server:
            with pytest.raises(RuntimeError, match="running already"):
                await server.__aenter__()
            await talk_to(server, HELLO)
    async with server.listen():
        talk = await dial(server)
        await talk.reply()
        await talk.stream.aclose()
    assert (server.connections, server.peak_connections) == (3, 1)


@everywhere
async def test_connections_are_counted() -> None:
    async with SMTPServer() as server:
        first, second = await talk_to(server), await talk_to(server)
        assert server.open_connections == 2
        await first.stream.aclose()
        # Known at once, whatever the server's task has seen yet.
        assert server.open_connections == 1
        third = await talk_to(server)
        for talk in (second, third):
            assert (await talk.say("QUIT"))[:3] == b"221"
        await server.wait_closed()
        assert server.open_connections == 0
    assert (server.connections, server.peak_connections) == (3, 2)
    assert [len(lines) for lines in server.transcript] == [1, 3, 3]


@everywhere
@pytest.mark.parametrize("tcp", [False, True])
async def test_leaving_serves_what_was_sent_before(
    monkeypatch: pytest.MonkeyPatch, *, tcp: bool
) -> None:
    monkeypatch.setattr(_hosting, "GRACE", 30.0)
    server = SMTPServer()
    async with server.listen() if tcp else server:
        talk = await dial(server) if tcp else Talk(await server.connect())
        await talk.reply()
        await talk.say(HELLO)
        await talk.group(b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n", 3)
        await talk.send(b"hi\r\n.\r\n")
        started = anyio.current_time()
    assert anyio.current_time() - started < 10
    assert len(server.messages) == 1
    await talk.stream.aclose()


LONG_HELP = Rule("HELP", reply="\n".join(["214-" + "x" * 500] * 1000 + ["214 x"]))


@in_virtual_time
async def test_a_client_that_does_not_read_is_dropped() -> None:
    async with SMTPServer(rules=[LONG_HELP]) as server:
        talk = await talk_to(server)
        await talk.send(b"HELP\r\n")
        await anyio.wait_all_tasks_blocked()
        started = anyio.current_time()
    assert anyio.current_time() - started == GRACE


@everywhere
async def test_a_server_that_is_left_takes_no_more_connections() -> None:
    async with anyio.create_task_group() as tasks:
        async with SMTPServer(rules=[LONG_HELP]).listen() as server:
            assert server.port is not None
            talk = await talk_to(server)
            await talk.send(b"HELP\r\n")
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(be_late, server.port)


async def be_late(port: int) -> None:
    await anyio.sleep(GRACE / 5)
    with pytest.raises(OSError, match="attempts failed"):
        await anyio.connect_tcp("127.0.0.1", port)


@everywhere
async def test_an_error_of_the_body_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        await divide_by_zero()


async def divide_by_zero() -> None:
    async with SMTPServer().listen() as server:
        await talk_to(server)
        raise ZeroDivisionError


@everywhere
async def test_cancellation_goes_through() -> None:
    with anyio.move_on_after(0.05) as scope:
        async with SMTPServer().listen() as server:
            talk = await dial(server)
            await talk.reply()
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await talk.stream.aclose()
    assert scope.cancelled_caught


class Broken(Host):
    """A server with a mistake in it."""

    async def _converse(self, wire: Wire, page: Page) -> None:
        await wire.fill()
        raise LookupError(f"mistake {page.number}")


@everywhere
@pytest.mark.parametrize("listening", [False, True])
async def test_a_mistake_of_the_server_fails_the_test(*, listening: bool) -> None:
    with pytest.raises(LookupError, match="mistake 1") as caught:
        await suffer(Broken(), listening=listening)
    assert isinstance(caught.value.__context__, ValueError)


async def suffer(server: Broken, *, listening: bool) -> None:
    async with server.listen() if listening else server:
        talk = await dial(server) if listening else Talk(await server.connect())
        await talk.send(b"x")
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await talk.reply()
        await talk.stream.aclose()
        raise ValueError("the consequence")


@everywhere
async def test_several_mistakes_come_as_a_group() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await suffer_twice()
    mistakes = {str(error) for error in caught.value.exceptions}
    assert mistakes == {"mistake 1", "mistake 2"}


async def suffer_twice() -> None:
    async with Broken() as server:
        for _ in range(2):
            await (await server.connect()).send(b"x")


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no extensions": {"extensions": []},
    "STARTTLS": {"starttls": True},
    "TLS": {"implicit_tls": True},
    "PLAIN": {"starttls": True, "users": {"al": "pw"}, "require_auth": True},
    "LOGIN": {"users": {"al": "pw"}, "auth_needs_tls": False, "mechanisms": ["LOGIN"]},
    "fragments": {"implicit_tls": True, "users": {"al": "pw"}, "fragment": 1},
}


def by_smtplib(server: SMTPServer, options: dict[str, Any]) -> Callable[[], None]:
    """Send with the standard library, which is to run in a thread."""
    where: dict[str, Any] = {"host": "localhost", "port": server.port, "timeout": SOON}

    def send() -> None:
        context = server.client_context if server_has_tls(options) else None
        with (
            smtplib.SMTP_SSL(**where, context=context)
            if options.get("implicit_tls")
            else smtplib.SMTP(**where)
        ) as client:
            if options.get("starttls"):
                client.starttls(context=context)
            if "users" in options:
                client.login("al", "pw")
            assert client.send_message(message()) == {}

    return send


def server_has_tls(options: dict[str, Any]) -> bool:
    return bool(options.get("starttls") or options.get("implicit_tls"))


@everywhere
@pytest.mark.parametrize("name", OPTIONS)
async def test_smtplib(name: str) -> None:
    options = OPTIONS[name]
    server = SMTPServer(**options)
    async with server.listen():
        await to_thread.run_sync(by_smtplib(server, options))
    (stored,) = server.messages
    assert [path for path, _ in stored.recipients] == [
        "b@example.test",
        "c@example.test",
    ]
    assert stored.message.get_content() == "Hello.\r\n.dot\r\n"
    assert stored.username == ("al" if "users" in options else None)
    assert stored.tls is server_has_tls(options)
    assert server.violations == []


@everywhere
@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("name", [*OPTIONS, "LMTP"])
async def test_our_own_client(name: str, *, tcp: bool) -> None:
    options = OPTIONS.get(name, {"lmtp": True})
    server = SMTPServer(**options)
    async with (
        server.listen() if tcp else server,
        server.client(client_hostname="c.test") as client,
    ):
        receipt = await client.send(message())
    (stored,) = server.messages
    assert receipt.queue_id == stored.queue_id
    assert receipt.accepted == ("b@example.test", "c@example.test")
    assert stored.username == ("al" if "users" in options else None)
    assert stored.tls is server_has_tls(options)
    assert (server.violations, server.notes) == ([], [])


@everywhere
async def test_options_of_the_client_win() -> None:
    users = {"al": "pw", "bo": "wp"}
    async with SMTPServer(users=users, starttls=True) as server:
        for options in (
            ClientOptions(username="bo", password="wp"),
            ClientOptions(auth=Login("bo", "wp")),
        ):
            async with server.client(**options) as client:
                assert isinstance(client, SMTPClient)
                await client.send(message())
    assert [stored.username for stored in server.messages] == ["bo", "bo"]
