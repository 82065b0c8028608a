"""A real Postfix takes, stores and gives back what was sent, octet for octet."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from email import message_from_bytes, policy
from email.message import EmailMessage

import anyio
import pytest
from anyio import to_thread

from esmtp_async import (
    AuthenticationFailed,
    CommandSent,
    ConnectFailed,
    ConnectionLost,
    ConnectionOpened,
    Event,
    Outcome,
    Recipient,
    RecipientsRefused,
    SMTPClient,
)
from tests.backends import everywhere

from ._mail import PICTURE, SENDER, as_sent, client, full_message, mailbox, stored
from ._postfix import PostfixServer
from ._private import BUSY, REFUSED

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


@everywhere
async def test_who_is_refused_does_not_keep_the_message_from_the_others(
    postfix: PostfixServer,
) -> None:
    bob, carol = mailbox(), mailbox()
    message = full_message(bob, REFUSED, carol, bcc=mailbox())
    async with client(postfix) as sending:
        receipt = await sending.send(message, recipients=[bob, REFUSED, carol])
        assert receipt.accepted == (bob, carol)
        (refused,) = receipt.refused
        assert (refused.address, refused.outcome) == (REFUSED, Outcome.REFUSED)
        assert refused.reply is not None
        assert refused.reply.code == 550
        with pytest.raises(RecipientsRefused) as info:
            receipt.raise_for_refused()
        assert info.value.recipients == receipt.recipients
        with pytest.raises(RecipientsRefused):
            await sending.send(message, recipients=[bob, REFUSED], all_or_nothing=True)
        with pytest.raises(RecipientsRefused):
            await sending.send(message, recipients=REFUSED)
    assert await stored(postfix, bob) == [as_sent(message)]


@everywhere
async def test_a_mailbox_that_is_busy_is_worth_another_try(
    postfix: PostfixServer,
) -> None:
    message = full_message(mailbox(), bcc=mailbox())
    async with client(postfix) as sending:
        with pytest.raises(RecipientsRefused) as info:
            await sending.send(message, recipients=BUSY)
    assert info.value.temporary
    assert info.value.reply is not None
    assert str(info.value.reply.enhanced_status) == "4.2.1"


@everywhere
async def test_what_a_message_lacks_is_added(postfix: PostfixServer) -> None:
    """Boundaries, Date and Message-ID; and long lines are encoded."""
    bob, text = mailbox(), f".{'long ' * 999}\nna\u00efve\n"
    message = full_message(bob, bcc=mailbox())
    del message["Date"]
    del message["Message-ID"]
    message.clear_content()
    message.set_content(text, cte="8bit")
    message.add_attachment(PICTURE, "image", "png")
    async with client(postfix) as sending:
        receipt = await sending.send(message, recipients=bob)
    (octets,) = await stored(postfix, bob)
    arrived = message_from_bytes(octets, policy=policy.default)
    assert arrived["Message-ID"] == receipt.message_id
    assert receipt.message_id is not None
    assert receipt.message_id.endswith("@example.test>")
    assert arrived["Date"].datetime is not None
    assert arrived["To"].addresses == message["To"].addresses
    body, picture = arrived.iter_parts()
    assert isinstance(body, EmailMessage)
    assert isinstance(picture, EmailMessage)
    assert body.get_content().replace("\r\n", "\n") == text
    assert picture.get_content() == PICTURE


@everywhere
async def test_an_address_that_only_utf8_can_write(postfix: PostfixServer) -> None:
    jurg, bob = f"j\u00fcrg.{mailbox()}", mailbox()
    message = full_message(jurg, bob, bcc=mailbox())
    async with client(postfix) as sending:
        receipt = await sending.send(message, recipients=[jurg, bob])
    assert receipt.accepted == (jurg, bob)
    del message["Bcc"]
    header, end, _ = message.as_bytes(policy=policy.SMTPUTF8).partition(b"\r\n\r\n")
    assert f"<{jurg}>".encode() in header
    # The headers of its parts can do with ASCII.
    sent = header + end + as_sent(message).partition(end)[2]
    for address in (jurg, bob):
        assert await stored(postfix, address) == [sent]


@everywhere
async def test_a_wrong_password_is_final(postfix: PostfixServer) -> None:
    events: list[Event] = []
    context = ssl.create_default_context(cafile=str(postfix.ca_pem))
    async with SMTPClient(
        *(postfix.host, postfix.submission_port),
        security="starttls",
        ssl_context=context,
        username=postfix.username,
        password="not it",
        on_event=events.append,
    ) as sending:
        with pytest.raises(AuthenticationFailed) as info:
            await sending.send(full_message(mailbox(), bcc=mailbox()))
    assert info.value.reply is not None
    assert info.value.reply.code == 535
    assert not info.value.temporary
    said = [event.command for event in events if isinstance(event, CommandSent)]
    assert sum(line.startswith("AUTH") for line in said) == 1


@everywhere
@pytest.mark.parametrize("pipelining", ["conformant", "eager"])
async def test_large_and_streamed_messages(
    postfix: PostfixServer, pipelining: str
) -> None:
    bob = mailbox()
    octets = b"Subject: large\r\n\r\n" + b".a line of some length\r\n" * 200_000

    async def blocks() -> AsyncIterator[bytes]:
        for start in range(0, len(octets), 100_001):
            yield octets[start : start + 100_001]

    async with client(postfix, pipelining=pipelining) as sending:
        for source in (octets, blocks(), octets.splitlines(keepends=True)):
            receipt = await sending.send(source, sender=SENDER, recipients=bob)
            assert receipt.accepted == (bob,)
    assert await stored(postfix, bob, 3) == [octets] * 3


@everywhere
async def test_many_recipients_and_their_options(postfix: PostfixServer) -> None:
    addresses = [mailbox() for _ in range(150)]
    message = full_message(addresses[0], bcc=mailbox())
    recipients = [Recipient(address, notify="NEVER") for address in addresses]
    async with client(postfix) as sending:
        receipt = await sending.send(message, recipients=recipients)
    assert receipt.accepted == tuple(addresses)
    for address in (addresses[0], addresses[-1]):
        assert await stored(postfix, address) == [as_sent(message)]


@everywhere
async def test_many_tasks_share_few_connections(postfix: PostfixServer) -> None:
    events: list[Event] = []
    bob, before = mailbox(), postfix.connections()
    async with (
        client(postfix, max_connections=3, on_event=events.append) as sending,
        anyio.create_task_group() as group,
    ):
        for _ in range(20):
            group.start_soon(sending.send, full_message(bob, bcc=mailbox()))
    opened = [event for event in events if isinstance(event, ConnectionOpened)]
    assert 1 <= len(opened) <= 3
    assert len(await stored(postfix, bob, 20)) == 20
    assert postfix.connections() - before == len(opened)


@everywhere
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_an_idle_connection_is_used_again(
    postfix: PostfixServer, security: str
) -> None:
    bob, before = mailbox(), postfix.connections()
    messages = [full_message(bob, bcc=mailbox()) for _ in range(3)]
    async with client(postfix, security=security) as sending:
        for message in messages:
            receipt = await sending.send(message, recipients=bob)
            assert receipt.attempts == 1
            await anyio.sleep(0.05)
    assert await stored(postfix, bob, 3) == [as_sent(message) for message in messages]
    assert postfix.connections() - before == 1


@everywhere
@pytest.mark.usefixtures("postfix")
async def test_a_server_that_is_gone() -> None:
    other = await to_thread.run_sync(PostfixServer().start)
    try:
        sending = client(other, timeouts=10)
        receipt = await sending.send(full_message(mailbox(), bcc=mailbox()))
        assert receipt.attempts == 1
    finally:
        await to_thread.run_sync(other.stop)
    with anyio.fail_after(20), pytest.raises(ConnectFailed) as info:
        await sending.send(full_message(mailbox(), bcc=mailbox()))
    assert {result.outcome for result in info.value.recipients} == {Outcome.NOT_SENT}
    await sending.aclose()


@everywhere
@pytest.mark.usefixtures("postfix")
async def test_a_server_that_goes_while_a_message_is_on_its_way() -> None:
    other = await to_thread.run_sync(PostfixServer().start)
    try:

        async def blocks() -> AsyncGenerator[bytes, None]:
            yield b"Subject: cut\r\n\r\n"
            await to_thread.run_sync(other.stop)
            while True:
                yield b"x" * 998 + b"\r\n"

        async with client(other, timeouts=10) as sending, aclosing(blocks()) as source:
            with anyio.fail_after(20), pytest.raises(ConnectionLost) as info:
                await sending.send(source, sender=SENDER, recipients=mailbox())
    finally:
        await to_thread.run_sync(other.stop)
    assert [r.outcome for r in info.value.recipients] == [Outcome.NOT_SENT]
    assert info.value.retry_safe
