"""What a client is asked to do, and what it cost: both travel as JSON."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterable
from typing import Final, NamedTuple, Self

HOST: Final = "127.0.0.1"
#: What every client calls itself in EHLO: looking its own name up costs time.
NAME: Final = "client.test"
SENDER: Final = "alice@sender.test"

_HEAD: Final = (
    f"From: Alice <{SENDER}>\r\n"
    "To: Bob <bob@recipient.test>\r\n"
    "Subject: The weekly report\r\n"
    "Date: Thu, 26 Nov 2026 09:00:00 +0000\r\n"
    "Message-ID: <1@sender.test>\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=us-ascii\r\n"
    "\r\n"
).encode()
_LINE: Final = (
    b"Seventy octets of what people tell each other, week in and week out..\r\n"
)


class Job(NamedTuple):
    """Messages to be sent to a port of this machine."""

    port: int
    #: How many are measured.
    messages: int
    #: How many go ahead of them, over the same connection; an even number.
    warm: int = 10
    recipients: int = 1
    #: Octets of a message.
    size: int = 2048
    #: How many are on their way at once, where a client sends ahead of the replies.
    window: int = 20
    #: How many tasks send.
    tasks: int = 1

    @property
    def sent(self) -> int:
        """How many messages arrive in all."""
        return self.messages + self.warm

    @property
    def forward_paths(self) -> list[str]:
        """To whom each message goes."""
        return [f"bob{number}@recipient.test" for number in range(self.recipients)]

    @property
    def message(self) -> bytes:
        """Header and body, in lines that end in CRLF."""
        lines, rest = divmod(self.size - len(_HEAD), len(_LINE))
        return _HEAD + _LINE * lines + _LINE[len(_LINE) - rest :]

    def dumps(self) -> str:
        """Give it as JSON."""
        return json.dumps(self._asdict())

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read it from JSON."""
        return cls(**json.loads(text))


class Sample(NamedTuple):
    """What a number of messages cost a client, in seconds."""

    cpu: float
    wall: float

    @classmethod
    def now(cls) -> Self:
        """Read both clocks."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return cls(used.ru_utime + used.ru_stime, time.perf_counter())

    @classmethod
    def least(cls, samples: Iterable[Sample]) -> Self:
        """Take the least of each: what the machine does beside only adds to it."""
        return cls(*map(min, zip(*samples, strict=True)))

    def since(self, earlier: Sample) -> Sample:
        """Give what has passed between two readings."""
        return Sample(self.cpu - earlier.cpu, self.wall - earlier.wall)

    def each(self, messages: int) -> Sample:
        """Give the share of one message."""
        return Sample(self.cpu / messages, self.wall / messages)

    def dumps(self) -> str:
        """Give it as JSON."""
        return json.dumps(self._asdict())

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read it from JSON."""
        return cls(**json.loads(text))
