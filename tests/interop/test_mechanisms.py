"""The mechanisms against Cyrus SASL, which is behind a real Postfix."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator

import pytest

from esmtp_async import (
    AuthenticationFailed,
    CommandSent,
    CramMD5,
    Event,
    Login,
    Mechanism,
    Plain,
    Scram,
    ScramSHA1,
    ScramSHA256,
    ScramSHA512,
    SMTPClient,
)
from tests.backends import everywhere

from ._postfix import PostfixServer

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

OFFERED = (
    *("PLAIN", "LOGIN", "CRAM-MD5"),
    *("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"),
)


@pytest.fixture(scope="module")
def postfix() -> Iterator[PostfixServer]:
    """Run one server for all tests here; where there is none, say why."""
    reason = PostfixServer.unavailable()
    if reason is not None:
        if os.environ.get("ESMTP_REQUIRE_INTEROP"):
            pytest.fail(f"a real Postfix is required here: {reason}")
        pytest.skip(reason)
    with PostfixServer(mechanisms=OFFERED) as server:
        yield server


def client(
    postfix: PostfixServer, auth: Mechanism, events: list[Event], security: str
) -> SMTPClient:
    port = postfix.smtps_port if security == "tls" else postfix.submission_port
    return SMTPClient(
        *(postfix.host, port),
        security=security,
        ssl_context=ssl.create_default_context(cafile=str(postfix.ca_pem)),
        auth=auth,
        on_event=events.append,
    )


def said(events: list[Event]) -> list[str]:
    lines = [event.command for event in events if isinstance(event, CommandSent)]
    return [line.split()[1] for line in lines if line.startswith("AUTH ")]


MECHANISMS = pytest.mark.parametrize(
    ("make", "name"),
    [
        *((Plain, "PLAIN"), (Login, "LOGIN"), (CramMD5, "CRAM-MD5")),
        *((ScramSHA1, "SCRAM-SHA-1"), (ScramSHA256, "SCRAM-SHA-256")),
        *((ScramSHA512, "SCRAM-SHA-512"), (Scram, "SCRAM-SHA-512")),
    ],
)


@everywhere
@MECHANISMS
@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_each_authenticates(
    postfix: PostfixServer,
    make: Callable[[str, str], Mechanism],
    name: str,
    security: str,
) -> None:
    events: list[Event] = []
    auth = make(postfix.username, postfix.password)
    async with client(postfix, auth, events, security) as probing:
        assert name in (await probing.probe()).auth
    assert said(events) == [name]


@everywhere
@MECHANISMS
async def test_none_with_a_wrong_password(
    postfix: PostfixServer, make: Callable[[str, str], Mechanism], name: str
) -> None:
    events: list[Event] = []
    auth = make(postfix.username, "not it")
    async with client(postfix, auth, events, "tls") as probing:
        with pytest.raises(AuthenticationFailed) as caught:
            await probing.probe()
    assert caught.value.reply is not None
    assert caught.value.reply.code == 535
    assert said(events) == [name]
