"""Whatever is sent to whichever server in whichever way, it stores that, once."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from email import policy
from typing import Final

import pytest

from esmtp_async import (
    AuthenticationFailed,
    ContentRefused,
    NotSupported,
    Outcome,
    Receipt,
    Refused,
    SMTPClient,
    SMTPError,
)
from tests.backends import everywhere

from ._mail import SENDER, as_sent, client, full_message, mailbox, stored
from ._private import BUSY, REFUSED, PrivateServer
from ._rows import ALL, SOME, parametrized

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

# A dot in front of everything is doubled as well.
_HEADER: Final = b".First: field\r\nFrom: alice@example.test\r\nSubject: octets\r\n\r\n"
#: What is in each body, by name; the longest line has 1000 octets with its CRLF.
_BODIES: Final = {
    "dots": b".\r\n..\r\n.\r\n\r\n.a\r\n a.\r\n....\r\n.\r\n",
    "the end in it": b"a\r\n.\r\nQUIT\r\n.\r\nRSET\r\n",
    "long lines": (b"x" * 998 + b"\r\n") * 3 + b"." + b"y" * 997 + b"\r\n",
    "8 bit": bytes(range(0xA0, 0x100)) + b"\r\n" + b"\xff.\r\n.\xfe\r\n",
    "UTF-8": "Gr\u00fc\u00dfe, \u65e5\u672c \U0001f4e7\r\n.\u00fc\r\n".encode(),
    "empty lines": b"\r\n\r\n\r\na\r\n\r\n\r\n",
    "spaces": b" \r\n\t\r\na \r\n-- \r\n",
    "nothing": b"",
}
_LARGE: Final = 20 * 1024 * 1024


async def blocks(octets: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(octets), size):
        yield octets[start : start + size]


async def send(sending: SMTPClient, octets: bytes, *to: str, size: int = 0) -> Receipt:
    """Send octets, or, given a `size`, blocks of that many."""
    message = blocks(octets, size) if size else octets
    return await sending.send(message, sender=SENDER, recipients=to)


@everywhere
@parametrized(ALL, quick=SOME)
async def test_octets_arrive_as_they_are(
    server: PrivateServer, pipelining: str, security: str
) -> None:
    async with client(server, security=security, pipelining=pipelining) as sending:
        for name, body in _BODIES.items():
            octets = _HEADER + body
            for size in (0, 7):
                bob = mailbox()
                receipt = await send(sending, octets, bob, size=size)
                assert receipt.accepted == (bob,)
                assert await stored(server, bob) == [octets], name


@everywhere
@parametrized(ALL, quick=SOME)
async def test_each_is_told_for_himself(
    server: PrivateServer, pipelining: str, security: str
) -> None:
    bob, carol = mailbox(), mailbox()
    message = full_message(bob, carol, bcc=mailbox())
    everybody = [bob, REFUSED, BUSY, carol]
    async with client(server, security=security, pipelining=pipelining) as sending:
        receipt = await sending.send(message, recipients=everybody)
    assert [
        (each.address, each.outcome, each.reply and each.reply.code, each.temporary)
        for each in receipt.recipients
    ] == [
        (bob, Outcome.ACCEPTED, 250, False),
        (REFUSED, Outcome.REFUSED, 550, False),
        (BUSY, Outcome.REFUSED, server.BUSY_CODE, True),
        (carol, Outcome.ACCEPTED, 250, False),
    ]
    for address in (bob, carol):
        assert await stored(server, address) == [as_sent(message)]
    for address in (REFUSED, BUSY):
        assert await stored(server, address, 0) == []


@everywhere
@parametrized([row for row in ALL if row.kind.UTF8], quick=SOME)
async def test_an_address_that_only_utf8_can_write(
    server: PrivateServer, pipelining: str, security: str
) -> None:
    jurg = f"j\u00fcrg.{mailbox()}"
    message = full_message(jurg, bcc=mailbox())
    async with client(server, security=security, pipelining=pipelining) as sending:
        receipt = await sending.send(message, recipients=jurg)
    assert receipt.accepted == (jurg,)
    del message["Bcc"]
    header, end, _ = message.as_bytes(policy=policy.SMTPUTF8).partition(b"\r\n\r\n")
    # The headers of its parts can do with ASCII.
    sent = header + end + as_sent(message).partition(end)[2]
    assert await stored(server, jurg) == [sent]


@everywhere
@parametrized([row for row in ALL if not row.kind.UTF8])
async def test_no_address_that_a_server_cannot_read(
    server: PrivateServer, pipelining: str, security: str
) -> None:
    message = full_message(f"j\u00fcrg.{mailbox()}", bcc=mailbox())
    async with client(server, security=security, pipelining=pipelining) as sending:
        with pytest.raises(NotSupported) as info:
            await sending.send(message)
    assert info.value.extension == "SMTPUTF8"


@everywhere
@parametrized(ALL)
async def test_twenty_megabytes(
    server: PrivateServer, pipelining: str, security: str
) -> None:
    bob = mailbox()
    lines = b"".join(b"." * n + b"\r\n" for n in range(1, 999))
    octets = (_HEADER + os.urandom(64).hex().encode() + b"\r\n") + lines * 42
    assert len(octets) > _LARGE
    async with client(server, security=security, pipelining=pipelining) as sending:
        for size in (0, 100_001):
            receipt = await send(sending, octets, bob, size=size)
            assert receipt.accepted == (bob,)
    found = await stored(server, bob, 2)
    server.forget(bob)
    assert len(found) == 2
    assert all(mail == octets for mail in found)


@everywhere
@parametrized([row for row in ALL if row.kind.MAX_SIZE])
async def test_more_than_a_server_takes(
    server: PrivateServer, pipelining: str, security: str
) -> None:
    """Who knows how much that is sends none of it, or not the end."""
    bob, carol = mailbox(), mailbox()
    assert server.MAX_SIZE is not None
    octets = _HEADER + (b"x" * 998 + b"\r\n") * (server.MAX_SIZE // 1000 + 1)
    errors: list[SMTPError] = []
    async with client(server, security=security, pipelining=pipelining) as sending:
        for size in (0, 100_000):
            with pytest.raises((NotSupported, Refused)) as info:
                await send(sending, octets, bob, size=size)
            errors.append(info.value)
        await send(sending, _HEADER, carol)
    for error in errors:
        assert not error.temporary
        assert [result.outcome for result in error.recipients] == [Outcome.REFUSED]
        assert isinstance(error, NotSupported) == server.TELLS_SIZE
        assert server.TELLS_SIZE or (error.reply and error.reply.code == 552)
    assert await stored(server, carol) == [_HEADER]
    assert await stored(server, bob, 0) == []


@everywhere
@parametrized([row for row in ALL if row.kind.LONGEST_LINE is None])
async def test_a_line_as_long_as_it_may_be(
    server: PrivateServer, pipelining: str, security: str
) -> None:
    bob = mailbox()
    octets = _HEADER + b"." + b"x" * 100_000 + b"\r\nend\r\n"
    async with client(server, security=security, pipelining=pipelining) as sending:
        await send(sending, octets, bob)
    assert await stored(server, bob) == [octets]


@everywhere
@parametrized([row for row in ALL if row.kind.LONGEST_LINE], quick=SOME)
async def test_a_line_that_is_too_long(
    server: PrivateServer, pipelining: str, security: str
) -> None:
    bob, carol = mailbox(), mailbox()
    assert server.LONGEST_LINE is not None
    octets = _HEADER + b"x" * server.LONGEST_LINE + b"\r\nend\r\n"
    async with client(server, security=security, pipelining=pipelining) as sending:
        with pytest.raises(ContentRefused):
            await send(sending, octets, bob)
        await send(sending, _HEADER, carol)
    assert await stored(server, carol) == [_HEADER]
    assert await stored(server, bob, 0) == []


@everywhere
@parametrized([row for row in ALL if row.kind.wants_auth(row.security)])
async def test_a_wrong_password(
    server: PrivateServer, pipelining: str, security: str
) -> None:
    bob = mailbox()
    async with client(
        server,
        security=security,
        pipelining=pipelining,
        allow_plaintext_auth=True,
        username=server.username,
        password="not it",
    ) as sending:
        with pytest.raises(AuthenticationFailed) as info:
            await send(sending, _HEADER, bob)
    assert info.value.reply is not None
    assert info.value.reply.code == 535
    assert [result.outcome for result in info.value.recipients] == [Outcome.NOT_SENT]
    assert await stored(server, bob, 0) == []
