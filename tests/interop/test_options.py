"""What real servers make of what is asked for beside the message."""

from __future__ import annotations

import pytest

from esmtp_async import Recipient, SendOptions
from tests.backends import everywhere

from ._dovecot import DovecotServer
from ._mail import SENDER, client, full_message, mailbox, stored
from ._postfix import PostfixServer

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


@everywhere
async def test_dovecot_offers_more_to_whom_it_knows(dovecot: DovecotServer) -> None:
    bob = mailbox()
    reported = Recipient(bob, notify="FAILURE", orcpt=bob)
    async with client(dovecot) as sending:
        receipt = await sending.send(
            full_message(bob, bcc=mailbox()),
            sender=SENDER,
            recipients=reported,
            options=SendOptions(ret="HDRS", envid="4711"),
        )
        assert receipt.accepted == (bob,)
        assert "DSN" in (await sending.probe()).extensions
    assert await stored(dovecot, bob)


@everywhere
async def test_postfix_is_told_where_a_message_came_from(
    postfix: PostfixServer,
) -> None:
    bob = mailbox()
    name = bob.partition("@")[0]
    told = {
        "NAME": "far.example.net",
        "ADDR": "192.0.2.7",
        "PORT": "2525",
        "PROTO": "ESMTP",
        "HELO": "h\u00e9lo",
        "IDENT": f"id+{name}",
        "SOURCE": None,
    }
    async with client(postfix) as sending:
        receipt = await sending.send(
            full_message(bob, bcc=mailbox()),
            sender=SENDER,
            recipients=bob,
            options=SendOptions(xforward=told),
        )
    assert receipt.left_out == frozenset()
    assert await stored(postfix, bob)
    origin = f"orig_queue_id=id+{name}, orig_client=far.example.net[192.0.2.7]"
    assert origin in postfix.log()


@everywhere
async def test_postfix_takes_a_gateway_for_its_client(postfix: PostfixServer) -> None:
    bob = mailbox()
    name = f"{bob.partition('@')[0]}.example.net"
    told = {"NAME": name, "ADDR": "192.0.2.9", "PORT": None}
    async with client(postfix, xclient=told) as sending:
        receipt = await sending.send(
            full_message(bob, bcc=mailbox()), sender=SENDER, recipients=bob
        )
        assert receipt.accepted == (bob,)
    assert await stored(postfix, bob)
    assert f"client={name}[192.0.2.9]" in postfix.log()


@everywhere
async def test_postfix_takes_etrn(postfix: PostfixServer) -> None:
    async with client(postfix) as sending:
        reply = await sending.etrn("example.test")
        assert reply.code in {250, 458, 459}
        assert (await sending.noop()).code == 250
