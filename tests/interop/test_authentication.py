"""Real servers let in who has the right password, and nobody else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import pytest
from anyio import to_thread

from esmtp_async import (
    AuthenticationFailed,
    CommandSent,
    CramMD5,
    Event,
    Login,
    Mechanism,
    OAuthBearer,
    Plain,
    ScramSHA1,
    ScramSHA256,
    ScramSHA512,
    XOAuth2,
)
from tests.backends import everywhere

from ._aiosmtpd import AiosmtpdServer
from ._dovecot import DovecotServer
from ._exim import EximServer
from ._installed import wait_for
from ._mail import as_sent, client, full_message, mailbox, stored
from ._postfix import PostfixServer
from ._private import PrivateServer
from ._smtp_server import NodemailerServer
from .conftest import SERVERS, each_server

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

MECHANISMS: Final[dict[str, Callable[[str, str], Mechanism]]] = {
    "PLAIN": Plain,
    "LOGIN": Login,
    "CRAM-MD5": CramMD5,
    "SCRAM-SHA-1": ScramSHA1,
    "SCRAM-SHA-256": ScramSHA256,
    "SCRAM-SHA-512": ScramSHA512,
    "OAUTHBEARER": OAuthBearer,
    "XOAUTH2": XOAuth2,
}

# What is used for who gives a name and a password.
STRONGEST: Final = {
    PostfixServer: "SCRAM-SHA-512",
    DovecotServer: "SCRAM-SHA-256",
    EximServer: "PLAIN",
    AiosmtpdServer: "PLAIN",
    NodemailerServer: "PLAIN",
}

# Who refuses with which words.
REFUSALS: Final = {
    PostfixServer: {"5.7.8 Error: authentication failed: authentication failure"},
    DovecotServer: {"5.7.8 Authentication failed."},
    EximServer: {"Incorrect authentication data"},
    AiosmtpdServer: {"5.7.8 Authentication credentials invalid"},
    NodemailerServer: {
        "5.7.8 Error: Authentication credentials invalid",
        "5.7.8 Error: Username and Password not accepted",
    },
}

each_mechanism: Final = pytest.mark.parametrize(
    ("server", "mechanism"),
    [
        pytest.param(kind, name, id=f"{kind.NAME}-{name}")
        for kind in SERVERS
        for name in kind.MECHANISMS
    ],
    indirect=["server"],
)
each_security: Final = pytest.mark.parametrize("security", ["starttls", "tls"])


def attempts(events: list[Event]) -> list[str]:
    """Name the mechanisms that were tried."""
    said = (event.command.split() for event in events if isinstance(event, CommandSent))
    return [words[1] for words in said if words[0] == "AUTH"]


@everywhere
@each_mechanism
@each_security
async def test_who_authenticates_may_send(
    server: PrivateServer, mechanism: str, security: str
) -> None:
    events: list[Event] = []
    bob, hidden = mailbox(), mailbox()
    message = full_message(bob, bcc=hidden)
    auth = MECHANISMS[mechanism](server.username, server.secret(mechanism))
    async with client(
        server, auth=auth, security=security, on_event=events.append
    ) as sending:
        receipt = await sending.send(message)
    assert receipt.accepted == (bob, hidden)
    assert attempts(events) == [mechanism]
    for address in (bob, hidden):
        assert await stored(server, address) == [as_sent(message)]


@everywhere
@each_server
async def test_the_strongest_is_used(server: PrivateServer) -> None:
    events: list[Event] = []
    bob = mailbox()
    message = full_message(bob, bcc=mailbox())
    async with client(server, on_event=events.append) as sending:
        await sending.send(message)
    assert attempts(events) == [STRONGEST[type(server)]]
    assert await stored(server, bob) == [as_sent(message)]


@everywhere
@each_mechanism
@each_security
async def test_a_wrong_password_is_final(
    server: PrivateServer, mechanism: str, security: str
) -> None:
    """No other mechanism is tried, though it would do; and the next client may send."""
    events: list[Event] = []
    wrong = MECHANISMS[mechanism](server.username, "not-it")
    right = [
        MECHANISMS[name](server.username, server.secret(name))
        for name in server.MECHANISMS
    ]
    bob, before = mailbox(), server.failed_logins()
    message = full_message(bob, bcc=mailbox())

    async with client(
        server, auth=[wrong, *right], security=security, on_event=events.append
    ) as sending:
        with pytest.raises(AuthenticationFailed) as info:
            await sending.send(message)
    assert info.value.reply is not None
    assert info.value.reply.code == 535
    assert info.value.reply.text in REFUSALS[type(server)]
    assert not info.value.temporary
    assert attempts(events) == [mechanism]

    # Dovecot writes it down once the connection has ended.
    logged = partial(wait_for, lambda: server.failed_logins() > before, 10)
    assert await to_thread.run_sync(logged)
    async with client(server, auth=right, security=security) as sending:
        await sending.send(message)
    assert await stored(server, bob) == [as_sent(message)]
    assert server.failed_logins() == before + 1
