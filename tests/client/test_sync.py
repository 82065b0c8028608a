"""`send_sync` and `SyncSMTPClient`: what programs without an event loop send by."""

from __future__ import annotations

import asyncio
import gc
import inspect
import math
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from importlib import util

import anyio
import pytest
from anyio import to_thread
from anyio.abc import ByteStream
from anyio.lowlevel import current_token

from esmtp_async import (
    ConnectFailed,
    Event,
    InvalidInput,
    MessageFinished,
    Outcome,
    RecipientsRefused,
    SMTPClient,
    SyncSMTPClient,
    send,
    send_sync,
)
from esmtp_async._sync import Backend
from esmtp_async.testing import Rule, SMTPServer
from tests.backends import everywhere
from tests.client.checks import ADDRESSED, BOB
from tests.serving import address, heard, held, served, wait_until
from tests.tracebacks import given_away

BACKENDS: tuple[Backend, ...] = ("asyncio", "uvloop", "trio")
PASSWORD = "hunter2-Grüße"
FORKING = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def server() -> Iterator[SMTPServer]:
    with served() as running:
        yield running
    assert running.violations == []


def watched(seen: list[object]) -> Callable[[Event], None]:
    """Give an observer that keeps what becomes of messages."""

    def keep(event: Event) -> None:
        if isinstance(event, MessageFinished):
            seen.append([result.outcome for result in event.recipients])

    return keep


@contextmanager
def interrupted(condition: Callable[[], object]) -> Iterator[None]:
    """Press Ctrl-C once something has happened, and see it raised."""

    def press() -> None:
        wait_until(condition, "nothing to interrupt")
        os.kill(os.getpid(), signal.SIGINT)

    with ThreadPoolExecutor() as others:
        pressed = others.submit(press)
        with pytest.raises(KeyboardInterrupt):
            yield
        pressed.result()


# One message


def test_it_takes_what_send_takes() -> None:
    one = dict(inspect.signature(send).parameters)
    other = dict(inspect.signature(send_sync).parameters)
    assert other.pop("backend").default == "asyncio"
    assert list(other.values()) == list(one.values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_message_goes_and_the_connection_with_it(
    server: SMTPServer, backend: Backend
) -> None:
    receipt = send_sync(ADDRESSED, address(server), backend=backend)
    assert receipt.accepted == (BOB,)
    assert [stored.content for stored in server.messages] == [ADDRESSED]
    assert heard(server)[-1] == "QUIT"


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_loop_is_the_one_that_is_named(
    server: SMTPServer, backend: Backend
) -> None:
    loops: list[str] = []

    async def connect() -> ByteStream:
        native = current_token().native_token
        loops.append(type(native).__module__.partition(".")[0])
        return await anyio.connect_tcp("127.0.0.1", server.port or 0)

    send_sync(ADDRESSED, connect=connect, backend=backend)
    with SyncSMTPClient(connect=connect, backend=backend) as client:
        client.send(ADDRESSED)
    assert loops == [backend] * 2


def test_a_refusal_is_raised_as_it_is(server: SMTPServer) -> None:
    server.rules.append(Rule("RCPT", reply="550 5.1.1 nobody"))
    with pytest.raises(RecipientsRefused) as info:
        send_sync(ADDRESSED, address(server))
    assert info.value.reply is not None
    assert info.value.reply.code == 550
    assert server.messages == []


@everywhere
async def test_in_an_event_loop_it_says_what_to_do_there() -> None:
    with pytest.raises(
        RuntimeError, match=r"await esmtp_async\.send\(\.\.\.\) instead"
    ):
        send_sync(ADDRESSED, "127.0.0.1:1")


def test_in_a_callback_of_an_event_loop_as_well() -> None:
    raised: list[BaseException] = []

    async def main() -> None:
        def call() -> None:
            try:
                send_sync(ADDRESSED, "127.0.0.1:1")
            except RuntimeError as error:
                raised.append(error)

        asyncio.get_running_loop().call_soon(call)
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert "await" in str(raised[0])


@everywhere
async def test_in_a_thread_of_an_event_loop_it_sends() -> None:
    async with SMTPServer().listen() as server:
        sending = partial(send_sync, ADDRESSED, address(server))
        receipt = await to_thread.run_sync(sending)
        assert receipt.accepted == (BOB,)


def test_in_a_thread_of_asyncio_within_anyio_it_sends(server: SMTPServer) -> None:
    async def main() -> None:
        await asyncio.to_thread(send_sync, ADDRESSED, address(server))

    anyio.run(main)
    assert len(server.messages) == 1


@pytest.mark.parametrize(
    ("verb", "outcome"), [("DATA", "NOT_SENT"), ("CONTENT", "UNKNOWN")]
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_interrupt_gives_the_message_up(
    server: SMTPServer, backend: Backend, verb: str, outcome: str
) -> None:
    server.rules.append(Rule(verb, delay=math.inf))
    seen: list[object] = []
    with interrupted(lambda: len(heard(server)) >= (4 if verb == "DATA" else 5)):
        send_sync(ADDRESSED, address(server), backend=backend, on_event=watched(seen))
    assert seen == [[Outcome[outcome]]]
    assert server.messages == []


def test_a_backend_that_is_none() -> None:
    with pytest.raises(InvalidInput, match="'curio', none of 'asyncio', 'uvloop', 't"):
        send_sync(ADDRESSED, backend="curio")  # type: ignore[arg-type]


def test_a_backend_that_is_missing_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(util, "find_spec", lambda _name: None)
    monkeypatch.setattr("esmtp_async._sync.find_spec", lambda _name: None)
    with pytest.raises(InvalidInput, match=r"pip install 'esmtp-async\[trio\]'"):
        SyncSMTPClient(backend="trio")


def test_no_traceback_shows_the_password() -> None:
    with pytest.raises(InvalidInput) as wrong:
        send_sync(ADDRESSED, username="ursula", password=PASSWORD, max_connections=0)
    with pytest.raises(ConnectFailed) as nowhere:
        send_sync(ADDRESSED, "127.0.0.1:1", username="ursula", password=PASSWORD)
    with pytest.raises(InvalidInput) as at_once:
        SyncSMTPClient(username="ursula", password=PASSWORD, max_connections=0)
    for info in (wrong, nowhere, at_once):
        assert PASSWORD not in given_away(info.value)


@everywhere
async def test_nor_the_one_of_a_call_in_an_event_loop() -> None:
    with pytest.raises(RuntimeError) as info:
        send_sync(ADDRESSED, f"smtp://ursula:{PASSWORD}@127.0.0.1:1")
    assert PASSWORD not in given_away(info.value)


# A client


def portals() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if "SyncSMTPClient" in each.name]


def test_messages_share_a_connection_until_the_client_is_closed(
    server: SMTPServer,
) -> None:
    with SyncSMTPClient(address(server)) as client:
        assert portals() == []
        for _ in range(5):
            client.send(ADDRESSED)
        assert len(portals()) == 1
    assert server.connections == 1
    assert len(server.messages) == 5
    assert heard(server)[-1] == "QUIT"
    assert portals() == []
    client.close()
    with pytest.raises(RuntimeError, match="the client is closed"):
        client.send(ADDRESSED)


def test_threads_share_a_client(server: SMTPServer) -> None:
    with SyncSMTPClient(address(server), max_connections=3) as client:
        with ThreadPoolExecutor(16) as others:
            sent = list(others.map(client.send, [ADDRESSED] * 64))
    assert len({receipt.queue_id for receipt in sent}) == len(server.messages) == 64
    assert server.peak_connections <= 3


def test_to_close_waits_for_the_messages_of_other_threads(server: SMTPServer) -> None:
    server.rules.append(Rule("CONTENT", delay=0.2))
    client = SyncSMTPClient(address(server))
    with ThreadPoolExecutor() as others:
        sent = others.submit(client.send, ADDRESSED)
        wait_until(lambda: "DATA" in heard(server), "nothing was sent")
        client.close()
        assert sent.result().accepted == (BOB,)
    assert portals() == []


def test_an_interrupt_gives_up_the_message_and_no_other(server: SMTPServer) -> None:
    server.rules.append(Rule("DATA", delay=math.inf, times=1))
    seen: list[object] = []
    keep = watched(seen)

    def keep_slowly(event: Event) -> None:
        time.sleep(0.1 * isinstance(event, MessageFinished))
        keep(event)

    with SyncSMTPClient(address(server), on_event=keep_slowly) as client:
        with interrupted(lambda: "DATA" in heard(server)):
            client.send(ADDRESSED)
        # It has come to its end before the interrupt was raised.
        assert seen == [[Outcome.NOT_SENT]]
        client.send(ADDRESSED)
    assert seen == [[Outcome.NOT_SENT], [Outcome.ACCEPTED]]
    assert len(server.messages) == 1


def test_many_messages_are_read_in_this_thread_a_hundred_at_a_time(
    server: SMTPServer,
) -> None:
    read: list[int] = []

    def letters() -> Iterator[bytes]:
        for number in range(250):
            read.append(threading.get_ident())
            yield ADDRESSED + b"%d\r\n" % number

    with SyncSMTPClient(address(server)) as client:
        results = client.send_many(letters(), ordered=True)
        assert read == []
        first = next(results)
        assert len(read) == 100
        indexes = [first.index, *(result.index for result in results)]
    assert indexes == list(range(250))
    assert set(read) == {threading.get_ident()}
    numbers = sorted(int(m.content.splitlines()[-1]) for m in server.messages)
    assert numbers == list(range(250))


def test_of_many_each_has_its_own_result(server: SMTPServer) -> None:
    server.rules.append(Rule("RCPT", "carol", reply="550 5.1.1 nobody"))
    letters = [
        (ADDRESSED, "a@example.test", f"{who}@example.test")
        for who in ("bob", "carol", "dave")
    ]
    with SyncSMTPClient(address(server)) as client:
        told = {r.index: r for r in client.send_many(letters)}
    assert told[0].receipt is not None
    assert isinstance(told[1].error, RecipientsRefused)
    assert told[2].receipt is not None


def test_it_shows_where_it_sends_to_and_no_password() -> None:
    client = SyncSMTPClient("mail.example.test", username="u", password=PASSWORD)
    assert repr(client) == "<SyncSMTPClient mail.example.test:587 starttls>"
    assert PASSWORD not in f"{client!r} {vars(client)}"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(client)


def test_it_takes_what_the_client_takes() -> None:
    one = dict(inspect.signature(SMTPClient.send).parameters)
    other = dict(inspect.signature(SyncSMTPClient.send).parameters)
    assert list(one.values()) == list(other.values())


@FORKING
def test_a_forked_process_has_connections_of_its_own(server: SMTPServer) -> None:
    with SyncSMTPClient(address(server)) as client:
        client.send(ADDRESSED)
        child = os.fork()
        if not child:
            code = 1
            try:
                client.send(ADDRESSED)
                client.close()
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        client.send(ADDRESSED)
    assert status == 0
    assert [stored.connection for stored in server.messages] == [1, 2, 1]


@FORKING
def test_a_fork_amid_a_message_does_not_hang(server: SMTPServer) -> None:
    server.rules.append(Rule("CONTENT", delay=0.5, times=1))
    with SyncSMTPClient(address(server)) as client, ThreadPoolExecutor() as others:
        sent = others.submit(client.send, ADDRESSED)
        wait_until(lambda: "DATA" in heard(server), "nothing was sent")
        with held(client._lock):
            child = os.fork()
        if not child:
            code = 1
            try:
                client.send(ADDRESSED)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert sent.result().accepted == (BOB,)
    assert status == 0
    assert sorted(m.connection for m in server.messages) == [1, 2]


# The end of a process, and of a client that nobody closes


def program(server: SMTPServer, backend: Backend, rest: str = "") -> None:
    """Run a program that sends by a client of its own, to its end."""
    begun = f"""
        import os
        from esmtp_async import SyncSMTPClient
        client = SyncSMTPClient({address(server)!r}, backend={backend!r})
        client.send({ADDRESSED!r})
    """
    code = textwrap.dedent(begun) + textwrap.dedent(rest)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_process_ends_though_a_client_is_open(
    server: SMTPServer, backend: Backend
) -> None:
    program(server, backend)
    assert len(server.messages) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_forked_process_ends_as_any_other(
    server: SMTPServer, backend: Backend
) -> None:
    program(
        server,
        backend,
        f"""
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            client.send({ADDRESSED!r})
            client.close()
            raise SystemExit(status)
        """,
    )
    assert [stored.connection for stored in server.messages] == [1, 1]


def test_of_a_forgotten_client_the_thread_ends() -> None:
    SyncSMTPClient()._started()
    gc.collect()
    wait_until(lambda: not portals(), "its thread goes on")


def test_what_a_fork_leaves_behind_stays_as_it_is() -> None:
    client = SyncSMTPClient()
    of_the_parent = weakref.ref(client._client)
    client.begin_anew()
    gc.collect()
    assert of_the_parent() not in {None, client._client}


def test_its_thread_takes_nothing_over_from_who_starts_it(
    server: SMTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Inheriting(threading.Thread):
        """A thread as Python 3.14 may have them."""

        def start(self) -> None:
            inherited = copy_context()
            run = self.run
            monkeypatch.setattr(self, "run", lambda: inherited.run(run))
            super().start()

    async def main() -> None:
        await asyncio.to_thread(client.send, ADDRESSED)

    monkeypatch.setattr("esmtp_async._portal.Thread", Inheriting)
    with SyncSMTPClient(address(server)) as client:
        anyio.run(main)
    assert len(server.messages) == 1
