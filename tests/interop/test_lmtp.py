"""A real LMTP server answers for each recipient by himself."""

from __future__ import annotations

import ssl

import pytest

from esmtp_async import Outcome, RecipientsRefused, SMTPClient
from tests.backends import everywhere

from ._dovecot import DovecotServer
from ._mail import as_sent, full_message, mailbox

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


@everywhere
@pytest.mark.parametrize("security", ["plaintext", "starttls"])
async def test_each_mailbox_gets_the_message(
    dovecot: DovecotServer, security: str
) -> None:
    bob, carol = dovecot.mailboxes
    nobody = mailbox()
    message = full_message(bob, nobody, carol, bcc=mailbox())
    before = len(dovecot.stored_in(bob)), len(dovecot.stored_in(carol))
    context = ssl.create_default_context(cafile=str(dovecot.ca_pem))
    server = f"lmtp+unix://{dovecot.lmtp_socket}"
    async with SMTPClient(server, security=security, ssl_context=context) as sending:
        receipt = await sending.send(message, recipients=[bob, nobody, carol])
        assert receipt.accepted == (bob, carol)
        for result in receipt.recipients:
            assert result.reply is not None
            assert f"<{result.address}>" in result.reply.text
        (refused,) = receipt.refused
        assert (refused.address, refused.outcome) == (nobody, Outcome.REFUSED)
        assert refused.reply is not None
        assert str(refused.reply.enhanced_status) == "5.1.1"
        with pytest.raises(RecipientsRefused):
            await sending.send(message, recipients=nobody)
    for address, count in zip((bob, carol), before, strict=True):
        assert dovecot.stored_in(address)[count:] == [as_sent(message)]
