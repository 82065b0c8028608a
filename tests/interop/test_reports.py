"""What real servers report of a message is found by what it was sent with."""

from __future__ import annotations

import pytest

from esmtp_async import Action, DeliveryReport, Recipient, SendOptions
from tests.backends import everywhere

from ._exim import EximServer
from ._mail import client, full_message, mailbox, stored
from ._postfix import PostfixServer
from ._private import GONE, GONE_TOO, PrivateServer

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

# With all that xtext must encode, and what only looks as if it had been.
ENVID = "order 4711=a+b+2B+20"


async def failed(server: PrivateServer, address: str, envid: str) -> DeliveryReport:
    """Send to who is not there, and read what comes back."""
    sender = mailbox()
    message = full_message(address, bcc=mailbox())
    bob = Recipient(address, notify="FAILURE", orcpt=address)
    async with client(server) as sending:
        receipt = await sending.send(
            message,
            sender=sender,
            recipients=bob,
            options=SendOptions(envid=envid, ret="HDRS"),
        )
    assert receipt.accepted == (address,)
    (octets,) = await stored(server, sender)
    report = DeliveryReport.parse(octets)
    assert report.message_id == receipt.message_id
    assert report.returned is not None
    assert b"\r\nna\xc3\xafve" not in report.returned
    assert report.has_envid(envid)
    assert not report.has_envid("order 4711")
    assert report.reporting_mta == "mx.example.test"
    assert address in report.text
    (recipient,) = report.recipients
    assert recipient.final_recipient == recipient.original_recipient == address
    assert report.for_recipient(address) == (recipient,)
    assert recipient.action is Action.FAILED
    assert recipient.status is not None
    assert recipient.status.class_ == 5
    assert not recipient.temporary
    return report


@everywhere
@pytest.mark.parametrize("address", [GONE, GONE_TOO])
async def test_postfix_reports_what_it_cannot_deliver(
    postfix: PostfixServer, address: str
) -> None:
    report = await failed(postfix, address, ENVID)
    assert report.envid == ENVID
    assert report.arrival_date is not None
    names = [name for name, _ in report.fields]
    assert {"X-Postfix-Queue-ID", "X-Postfix-Sender"} <= set(names)
    (recipient,) = report.recipients
    assert str(recipient.status) == "5.1.1"
    assert recipient.diagnostic == ("x-postfix", f'unknown user: "{address}"')


@everywhere
async def test_postfix_reports_success(postfix: PostfixServer) -> None:
    sender, bob, carol = mailbox(), mailbox(), mailbox()
    recipients = [
        Recipient(bob, notify="SUCCESS", orcpt=f"rfc822;{bob}"),
        Recipient(carol, notify=("SUCCESS", "FAILURE")),
    ]
    async with client(postfix) as sending:
        await sending.send(
            full_message(bob, bcc=mailbox()),
            sender=sender,
            recipients=recipients,
            options=SendOptions(envid="4711"),
        )
    (octets,) = await stored(postfix, sender)
    report = DeliveryReport.parse(octets)
    assert report.envid == "4711"
    assert {each.address for each in report.recipients} == {bob, carol}
    for address in (bob, carol.replace("example", "EXAMPLE")):
        (recipient,) = report.for_recipient(address)
        assert recipient.action is Action.DELIVERED
        assert str(recipient.status) == "2.0.0"


@everywhere
@pytest.mark.parametrize("address", [GONE, GONE_TOO])
async def test_exim_reports_what_it_cannot_deliver(
    exim: EximServer, address: str
) -> None:
    report = await failed(exim, address, ENVID)
    assert report.envid == ENVID
    # It leaves xtext as it came, which RFC 3461 does not (section 6.3).
    assert (
        dict(report.fields)["Original-Envelope-ID"] == "order+204711+3Da+2Bb+2B2B+2B20"
    )
