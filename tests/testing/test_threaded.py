"""The server in a thread: for functions and coroutines, for clients of any make."""

from __future__ import annotations

import inspect
import os
import smtplib
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from email.message import EmailMessage
from pathlib import Path

import anyio
import pytest

from esmtp_async import ConnectFailed, RecipientsRefused, SMTPClient, send
from esmtp_async.testing import (
    ServerOptions,
    SMTPServer,
    StoredMessage,
    ThreadedServer,
    assert_sent,
)
from tests.backends import everywhere

BOB, CAROL = "bob@example.com", "carol@example.com"


def letter(to: str = BOB) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "alice@example.com"
    message["To"] = to
    message["Subject"] = "Hi"
    message.set_content("Hello.")
    return message


@pytest.fixture
def server() -> Iterator[ThreadedServer]:
    with ThreadedServer() as running:
        yield running


def post(server: ThreadedServer, to: str = BOB) -> None:
    """Send by the standard library."""
    with smtplib.SMTP(server.host, server.port, timeout=5) as client:
        client.send_message(letter(to))


def test_its_options_are_those_of_the_server() -> None:
    parameters = inspect.signature(SMTPServer).parameters
    assert list(ServerOptions.__annotations__) == list(parameters)


def test_the_standard_library_sends_to_it(server: ThreadedServer) -> None:
    post(server)
    (message,) = server.wait_for(1)
    assert isinstance(message, StoredMessage)
    assert assert_sent(server, to=BOB, subject="Hi", text="Hello.") is message
    assert server.violations == []
    assert server.connections == 1


def test_the_standard_library_under_tls() -> None:
    with ThreadedServer(
        starttls=True, users={"alice": "secret"}, require_auth=True
    ) as server:
        with smtplib.SMTP(server.host, server.port, timeout=5) as client:
            client.starttls(context=server.client_context)
            client.login("alice", "secret")
            client.send_message(letter())
        context = ssl.create_default_context(cafile=server.ca_file)
        with smtplib.SMTP(server.host, server.port, timeout=5) as client:
            client.starttls(context=context)
    assert server.messages[0].tls
    assert server.messages[0].username == "alice"


@everywhere
@pytest.mark.parametrize(
    ("options", "start", "end"),
    [
        ({}, "smtp://127.0.0.1:", ""),
        ({"starttls": True}, "submission://127.0.0.1:", ""),
        (
            {"implicit_tls": True, "users": {"a/x": "p/w"}},
            "smtps://a%2Fx:p%2Fw@127.0.0.1:",
            "",
        ),
        (
            {"users": {"a": "b", "c": "d"}, "auth_needs_tls": False},
            "smtp://a:b@127.0.0.1:",
            "?allow_plaintext_auth=true",
        ),
        ({"lmtp": True}, "lmtp://127.0.0.1:", ""),
        ({"lmtp": True, "starttls": True}, "lmtp://127.0.0.1:", "?security=starttls"),
        ({"lmtp": True, "implicit_tls": True}, "lmtp://127.0.0.1:", "?security=tls"),
    ],
)
async def test_its_url_is_all_that_a_client_needs(
    options: ServerOptions, start: str, end: str
) -> None:
    with ThreadedServer(**options) as server:
        assert server.url == f"{start}{server.port}{end}"
        tls = options.get("starttls") or options.get("implicit_tls")
        context = server.client_context if tls else None
        await send(
            letter(), server.url, ssl_context=context, client_hostname="client.test"
        )
        async with server.client() as client:
            await client.send(letter())
        first, second = server.wait_for(2)
    users = list(options.get("users") or {"": ""})
    for message in (first, second):
        assert (message.username or "") == users[0]
        assert message.tls is bool(tls)


@everywhere
async def test_client_options_are_for_a_client_of_ones_own() -> None:
    with ThreadedServer(starttls=True, users={"alice": "secret"}) as server:
        options = server.client_options(max_connections=1)
        assert options.get("max_connections") == 1
        async with SMTPClient(server.host, server.port, **options) as client:
            await client.send(letter())
        other = server.client_options(username="x", password="y")
        assert other.get("username") == "x"
    assert server.messages[0].username == "alice"


def test_a_program_of_its_own_trusts_it_by_a_variable() -> None:
    program = """
import smtplib, ssl, sys
with smtplib.SMTP("127.0.0.1", int(sys.argv[1]), timeout=5) as client:
    client.starttls(context=ssl.create_default_context())
    client.sendmail("a@example.com", ["bob@example.com"], "Subject: x\\n\\nx")
"""
    with ThreadedServer(starttls=True) as server:
        path = Path(server.ca_file)
        assert path.read_text().startswith("-----BEGIN CERTIFICATE-----")
        subprocess.run(
            [sys.executable, "-c", program, str(server.port)],
            check=True,
            env={**os.environ, "SSL_CERT_FILE": server.ca_file},
            timeout=50,
        )
        assert_sent(server, to=BOB)
    assert not path.exists()


@everywhere
async def test_a_client_in_the_loop_of_the_test(server: ThreadedServer) -> None:
    async with server.client() as client:
        server.refuse(CAROL)
        with pytest.raises(RecipientsRefused):
            await client.send(letter(CAROL))
        await client.send(letter())
    assert [message.forward_paths for message in server.messages] == [(BOB,)]
    assert "client.example.test" in str(server.transcript[0])
    assert server.scripts[0].text.startswith("S: 220 mail.example.test ESMTP ready")


def test_messages_are_waited_for(server: ThreadedServer) -> None:
    timer = threading.Timer(0.1, post, (server,))
    timer.start()
    start = time.monotonic()
    assert len(server.wait_for(1, timeout=10)) == 1
    assert time.monotonic() - start < 5
    timer.join()
    assert len(server.wait_for(0)) == 1


def test_what_came_instead_is_told(server: ThreadedServer) -> None:
    post(server)
    with pytest.raises(TimeoutError) as late:
        server.wait_for(2, timeout=0.01)
    assert str(late.value).split("\n") == [
        "1 of 2 messages came within 0.01 s",
        "  1: to bob@example.com: 'Hi'",
    ]


@everywhere
async def test_a_coroutine_waits_and_lets_others_run(server: ThreadedServer) -> None:
    async def post_later() -> None:
        await anyio.sleep(0.05)
        async with server.client() as client:
            await client.send(letter())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(post_later)
        (message,) = await server.await_for(1)
        assert message.forward_paths == (BOB,)
    with pytest.raises(TimeoutError, match="1 of 2 messages"):
        await server.await_for(2, timeout=0.01)


def somebody_waits() -> bool:
    """Tell whether a thread stands in a wait for a message."""
    return any(
        frame.f_code is ThreadedServer._wait.__code__
        for top in sys._current_frames().values()
        for frame, _ in traceback.walk_stack(top)
    )


@everywhere
async def test_a_coroutine_that_is_cancelled_waits_no_longer(
    server: ThreadedServer,
) -> None:
    with anyio.move_on_after(0.05) as scope:
        await server.await_for(1, timeout=3600)
    assert scope.cancelled_caught
    with anyio.fail_after(5):
        while somebody_waits():
            await anyio.sleep(0.01)


@everywhere
async def test_down_refuses_and_comes_back_where_it_was(server: ThreadedServer) -> None:
    port = server.port
    async with server.client() as client:
        await client.send(letter())
        with server.down():
            with pytest.raises(ConnectFailed):
                await client.send(letter(CAROL))
            assert server.port == port
        await client.send(letter())
    assert server.port == port
    assert [message.forward_paths for message in server.messages] == [(BOB,), (BOB,)]


def test_it_comes_back_also_where_the_test_fails(server: ThreadedServer) -> None:
    with pytest.raises(ZeroDivisionError), server.down():
        _ = 1 / 0
    post(server)


def test_its_port_may_be_taken_while_it_is_down() -> None:
    before = set(threading.enumerate())
    with ThreadedServer() as server, socket.socket() as other:
        down = ExitStack()
        down.enter_context(server.down())
        other.bind((server.host, server.port))
        other.listen()
        with pytest.raises(OSError, match="in use"):
            down.close()
        assert server.open_connections == 0
    assert set(threading.enumerate()) <= before  # of which others may have ended


def test_reset_makes_it_as_new(server: ThreadedServer) -> None:
    post(server)
    server.refuse(BOB)
    server.delay(0.0)
    server.reset()
    assert (server.messages, server.rules, server.transcript) == ([], [], [])
    assert (server.violations, server.notes, server.connections) == ([], [], 0)
    post(server)
    assert len(server.wait_for(1)) == 1


def test_what_it_gives_is_a_copy(server: ThreadedServer) -> None:
    post(server)
    server.messages.clear()
    server.transcript[0].clear()
    server.violations.append("x")
    server.notes.append("x")
    assert len(server.messages) == 1
    assert server.transcript[0]
    assert (server.violations, server.notes) == ([], [])


def test_who_talks_is_counted(server: ThreadedServer) -> None:
    with socket.create_connection((server.host, server.port), timeout=5) as raw:
        assert raw.recv(100).startswith(b"220 ")
        assert server.open_connections == 1
    assert repr(server) == f"<ThreadedServer 127.0.0.1:{server.port}>"


def test_it_runs_once_at_a_time_and_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    server = ThreadedServer()
    assert repr(server) == "<ThreadedServer not listening>"
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.port
    for _ in range(2):
        with server:
            with pytest.raises(RuntimeError, match="running already"), server:
                pass
            post(server)
            path = Path(server.ca_file)
            assert path.exists()
        assert not path.exists()
    assert len(server.messages) == 2
    with pytest.raises(RuntimeError, match="not running"):
        server.reset()
    assert set(threading.enumerate()) <= before


def test_a_forked_process_may_forget_it() -> None:
    program = """
        import gc, os, sys
        from esmtp_async.testing import ThreadedServer
        server = ThreadedServer()
        server.__enter__()
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            server.__exit__(None, None, None)
            sys.exit(status)
        del server
        gc.collect()
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    subprocess.run(command, check=True, timeout=30)


def test_a_port_that_is_taken_elsewhere_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    with ThreadedServer() as one:
        other = ThreadedServer()
        other._port = one.port
        with pytest.raises(OSError, match="in use"), other:
            pass
        with pytest.raises(RuntimeError, match="not running"):
            _ = other.port
    assert set(threading.enumerate()) <= before


def test_a_failure_of_the_server_itself_is_raised_at_the_end() -> None:
    server = ThreadedServer()

    def fail(*_: object) -> None:
        raise LookupError("a mistake of the server")

    server._server._rules.match = fail  # type: ignore[method-assign,assignment]
    with pytest.raises(LookupError, match="a mistake"), server:
        with socket.create_connection((server.host, server.port), timeout=5) as raw:
            assert raw.recv(100) == b""


def test_tls_without_its_extra_tells_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with ThreadedServer(starttls=True) as server:
        post(server)  # it is not needed before
        with pytest.raises(ModuleNotFoundError, match=r"'esmtp-async\[testing\]'"):
            _ = server.client_context
