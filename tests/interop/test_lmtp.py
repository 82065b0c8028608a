"""A real LMTP server answers for each recipient by himself."""

from __future__ import annotations

import pytest

from esmtp_async import Outcome, RecipientsRefused
from tests.backends import everywhere

from ._dovecot_lmtp import DovecotLmtpSocketServer
from ._mail import as_sent, client, full_message, mailbox, stored
from ._private import REFUSED
from .conftest import Running

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


@everywhere
@pytest.mark.parametrize("security", ["plaintext", "starttls"])
async def test_each_mailbox_gets_the_message(running: Running, security: str) -> None:
    server = running[DovecotLmtpSocketServer]
    bob, carol = mailbox(), mailbox()
    message = full_message(bob, REFUSED, carol, bcc=mailbox())
    async with client(server, security=security) as sending:
        receipt = await sending.send(message, recipients=[bob, REFUSED, carol])
        assert receipt.accepted == (bob, carol)
        for result in receipt.recipients:
            assert result.reply is not None
            assert f"<{result.address}>" in result.reply.text
        (refused,) = receipt.refused
        assert (refused.address, refused.outcome) == (REFUSED, Outcome.REFUSED)
        assert refused.reply is not None
        assert str(refused.reply.enhanced_status) == "5.1.1"
        with pytest.raises(RecipientsRefused):
            await sending.send(message, recipients=REFUSED)
    for address in (bob, carol):
        assert await stored(server, address) == [as_sent(message)]
