"""Each mechanism against the model server, which reads its RFC by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import ByteStream, TaskGroup
from anyio.streams.tls import TLSStream

from esmtp_async import (
    Anonymous,
    AuthenticationFailed,
    CommandSent,
    CramMD5,
    Event,
    External,
    Login,
    Mechanism,
    Plain,
    Scram,
    ScramSHA1,
    ScramSHA256,
    ScramSHA512,
)
from esmtp_async.testing import SMTPServer, memory_pipe
from tests.backends import everywhere
from tests.client.certificates import client_context, server_context
from tests.client.checks import BOB, failure, send

PLAIN_SCRAM = ("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512")
EVERY = (
    *("PLAIN", "LOGIN", "CRAM-MD5", "EXTERNAL", "ANONYMOUS"),
    *PLAIN_SCRAM,
    *(f"{name}-PLUS" for name in PLAIN_SCRAM),
)
USER, PASSWORD = "jürgen=a,b", "hunter2-Grüße"
USERS = {USER: PASSWORD}


def said(events: list[Event]) -> list[str]:
    """Give the mechanisms that were tried."""
    lines = [event.command for event in events if isinstance(event, CommandSent)]
    return [line.split()[1] for line in lines if line.startswith("AUTH ")]


@everywhere
@pytest.mark.parametrize(
    ("auth", "taken", "user"),
    [
        (None, "SCRAM-SHA-512-PLUS", USER),
        (Scram(USER, PASSWORD), "SCRAM-SHA-512-PLUS", USER),
        (ScramSHA1(USER, PASSWORD), "SCRAM-SHA-1-PLUS", USER),
        (ScramSHA256(USER, PASSWORD), "SCRAM-SHA-256-PLUS", USER),
        (ScramSHA512(USER, PASSWORD), "SCRAM-SHA-512-PLUS", USER),
        (CramMD5(USER, PASSWORD), "CRAM-MD5", USER),
        (Plain(USER, PASSWORD), "PLAIN", USER),
        (Login(USER, PASSWORD), "LOGIN", USER),
        (External(), "EXTERNAL", USER),
        (External(USER), "EXTERNAL", USER),
        (Anonymous("sirhc"), "ANONYMOUS", "anonymous"),
        (Anonymous(), "ANONYMOUS", "anonymous"),
    ],
)
@pytest.mark.parametrize("implicit", [True, False])
async def test_each_mechanism_authenticates(
    auth: Mechanism | None, taken: str, user: str, *, implicit: bool
) -> None:
    events: list[Event] = []
    async with SMTPServer(
        users=USERS, mechanisms=EVERY, starttls=not implicit, implicit_tls=implicit
    ) as server:
        async with (
            server.client(on_event=events.append)
            if auth is None
            else server.client(on_event=events.append, auth=auth)
        ) as client:
            assert (await send(client)).accepted == (BOB,)
        assert said(events) == [taken]
        assert server.messages[0].username == user
        assert server.violations == []


@everywhere
@pytest.mark.parametrize("name", PLAIN_SCRAM)
async def test_scram_without_tls(name: str) -> None:
    events: list[Event] = []
    async with SMTPServer(
        users=USERS, mechanisms=["PLAIN", name], auth_needs_tls=False
    ) as server:
        async with server.client(on_event=events.append) as client:
            await send(client)
        assert said(events) == [name]
        assert server.violations == []


@everywhere
@pytest.mark.parametrize(
    "kind", [Scram, ScramSHA1, ScramSHA256, ScramSHA512, CramMD5, Plain, Login]
)
@pytest.mark.parametrize(
    ("username", "password"), [(USER, "wrong"), ("mallory", PASSWORD)]
)
async def test_wrong_credentials_do_not(
    kind: Callable[[str, str], Mechanism], username: str, password: str
) -> None:
    async with SMTPServer(users=USERS, mechanisms=EVERY, starttls=True) as server:
        async with server.client(auth=kind(username, password)) as client:
            error = await failure(client, AuthenticationFailed)
        assert error.reply is not None
        assert error.reply.code == 535
        assert server.messages == []
        assert server.violations == []


@everywhere
async def test_external_acts_for_nobody_else() -> None:
    async with SMTPServer(users=USERS, mechanisms=EVERY, starttls=True) as server:
        async with server.client(auth=External("mallory")) as client:
            await failure(client, AuthenticationFailed)


class Middle:
    """Somebody between both, whose certificate the client has come to trust."""

    def __init__(self, server: SMTPServer, change: Callable[[bytes], bytes]) -> None:
        self.tasks: TaskGroup
        self._server = server
        self._change = change

    async def connect(self) -> ByteStream:
        """Stand between a client and the server."""
        theirs, ours = memory_pipe()
        self.tasks.start_soon(self._relay, ours)
        return theirs

    async def _relay(self, stream: ByteStream) -> None:
        client = await TLSStream.wrap(
            stream,
            server_side=True,
            ssl_context=server_context("mail.example.test"),
            standard_compatible=False,
        )
        server = await TLSStream.wrap(
            await self._server.connect(),
            hostname="mail.example.test",
            ssl_context=self._server.client_context,
            standard_compatible=False,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._pass_on, server, client)
            tasks.start_soon(self._pass_on, client, server)

    async def _pass_on(self, source: ByteStream, sink: ByteStream) -> None:
        try:
            while True:
                await sink.send(self._change(await source.receive()))
        except (
            anyio.EndOfStream,
            anyio.BrokenResourceError,
            anyio.ClosedResourceError,
        ):
            await anyio.aclose_forcefully(sink)


@asynccontextmanager
async def standing_between(
    server: SMTPServer, change: Callable[[bytes], bytes] = bytes
) -> AsyncIterator[Middle]:
    middle = Middle(server, change)
    async with anyio.create_task_group() as middle.tasks:
        yield middle
        middle.tasks.cancel_scope.cancel()


@everywhere
async def test_U10_nobody_can_stand_between_both() -> None:
    """The binding is to another certificate than the server's own."""
    events: list[Event] = []
    async with SMTPServer(users=USERS, mechanisms=EVERY, implicit_tls=True) as server:
        async with standing_between(server) as middle:
            async with server.client(
                ssl_context=client_context(),
                connect=middle.connect,
                on_event=events.append,
            ) as client:
                error = await failure(client, AuthenticationFailed)
        assert "channel bindings don't match" in str(error)
        assert said(events) == ["SCRAM-SHA-512-PLUS"]
        assert server.messages == []


@everywhere
async def test_U10_nor_take_the_offer_of_a_binding_away() -> None:
    events: list[Event] = []
    async with SMTPServer(users=USERS, mechanisms=EVERY, implicit_tls=True) as server:
        async with (
            standing_between(
                server, lambda said: said.replace(b"-PLUS", b"-XXXX")
            ) as m,
            server.client(
                ssl_context=client_context(), connect=m.connect, on_event=events.append
            ) as client,
        ):
            error = await failure(client, AuthenticationFailed)
        assert "server-does-support-channel-binding" in str(error)
        assert said(events) == ["SCRAM-SHA-512"]
        assert server.messages == []


@everywhere
async def test_in_clear_somebody_between_both_gets_through() -> None:
    """The tests above would prove nothing if this one failed."""
    async with SMTPServer(
        users=USERS, mechanisms=["PLAIN"], implicit_tls=True
    ) as server:
        async with (
            standing_between(server) as middle,
            server.client(
                ssl_context=client_context(), connect=middle.connect
            ) as client,
        ):
            await send(client)
        assert len(server.messages) == 1


@everywhere
async def test_a_password_that_saslprep_refuses_goes_by_another_mechanism() -> None:
    events: list[Event] = []
    async with SMTPServer(
        users={"alice": "\N{KEY}"}, mechanisms=EVERY, starttls=True
    ) as server:
        async with server.client(on_event=events.append) as client:
            await send(client)
    assert said(events) == ["PLAIN"]
