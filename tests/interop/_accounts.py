"""What the client said became of messages, held against what the server has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from anyio import to_thread

from esmtp_async import Event, MessageFinished, Outcome

from ._mail import mailbox
from ._private import PrivateServer

#: How many times a message may be stored, by what became of it.
_TIMES: Final[Mapping[Outcome, tuple[int, ...]]] = {
    Outcome.ACCEPTED: (1,),
    Outcome.REFUSED: (0,),
    Outcome.NOT_SENT: (0,),
    Outcome.UNKNOWN: (0, 1),
}


class Accounts:
    """Messages that have one recipient each, and what was told of them by events."""

    def __init__(self) -> None:
        #: What was sent to whom.
        self.sent: dict[str, bytes] = {}
        #: What was told of him.
        self.told: dict[str, Outcome] = {}

    def message(self, body: bytes = b"") -> tuple[str, bytes]:
        """Make a message like no other; give its recipient, too."""
        address = mailbox()
        octets = b"Subject: " + address.encode() + b"\r\n\r\n" + body
        self.sent[address] = octets
        return address, octets

    def note(self, event: Event) -> None:
        """Take an event of the client: a message is told of once."""
        if isinstance(event, MessageFinished):
            (result,) = event.recipients
            assert result.address not in self.told
            self.told[result.address] = result.outcome

    def count(self, outcome: Outcome) -> int:
        """Count the messages that this became of."""
        return list(self.told.values()).count(outcome)

    async def check(self, server: PrivateServer) -> None:
        """See that nothing is lost, nothing doubled, nothing mutilated.

        Who was not told of was given up before anything was said of him.
        """
        await to_thread.run_sync(server.settle)
        for address, octets in self.sent.items():
            outcome = self.told.get(address, Outcome.NOT_SENT)
            found = await to_thread.run_sync(server.stored, address, 0)
            assert len(found) in _TIMES[outcome], (address, outcome, server.log())
            assert set(found) <= {octets}
