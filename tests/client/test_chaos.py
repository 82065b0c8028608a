"""Chaos: many tasks, a moody server, and receipts that equal its ledger exactly."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

import anyio
import pytest

from esmtp_async import (
    ConnectionClosed,
    ConnectionOpened,
    Event,
    MessageFinished,
    Outcome,
    RecipientResult,
    SMTPClient,
    SMTPError,
    Timeouts,
)
from esmtp_async.testing import Rule, SMTPServer
from tests.backends import everywhere
from tests.raw import NAME

MESSAGES: Final = 40
SEEDS: Final = range(4)
LIMITS: Final = Timeouts(final=1, command=5, data=5, block=5, greeting=5, quit=0.2)

REFUSALS: Final = ["450 4.2.0 later", "550 5.1.1 no", "421 4.3.2 closing"]


@dataclass
class Letter:
    """A message, who it is for, and what its sender was told."""

    number: int
    recipients: list[str]
    octets: bytes
    streamed: bool
    patience: float
    results: tuple[RecipientResult, ...] = field(default=())

    @property
    def message_id(self) -> str:
        return f"<{self.number}@example.test>"

    @property
    def sender(self) -> str:
        return f"sender-{self.number}@example.test"

    @property
    def canonical(self) -> bytes:
        lines = self.octets.replace(b"\r\n", b"\n").split(b"\n")
        return b"".join(line + b"\r\n" for line in lines[:-1])

    async def blocks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.octets), 1000):
            yield self.octets[start : start + 1000]


def letter(random: Random, number: int) -> Letter:
    """Make up a message: dots, odd line ends, few recipients or very many."""
    header = f"Message-ID: <{number}@example.test>\r\nSubject: {number}\n\n"
    words = [".", "..", "x", ".x", "", "QUIT", "y" * 70]
    size = random.choice([3, 30, 3000])
    body = "\r\n".join(random.choices(words, k=size)) + "\n"
    count = random.choice([1, 1, 2, 2, 3, 3, 4, 5, 6, 130])
    moods = random.choices(["fine", "moody"], weights=[9, 1], k=count)
    return Letter(
        number,
        [f"{mood}-{n}-{number}@example.test" for n, mood in enumerate(moods)],
        (header + body).encode(),
        streamed=random.random() < 0.3,
        patience=random.choice([math.inf] * 9 + [random.random() / 20]),
    )


def moods(random: Random) -> list[Rule]:
    """Make up what goes wrong at the server, and when."""
    rules = [Rule("RCPT", "moody", reply=random.choice(REFUSALS[:2]))]
    for _ in range(12):
        verb = random.choice(
            ["CONNECT", "EHLO|LHLO", "MAIL", "RCPT", "DATA", "CONTENT|LAST", "RSET"]
        )
        skip = random.randrange(1, MESSAGES)
        kind = random.choice(["refuse", "close", "drop", "slow", "silent"])
        if kind == "refuse" and verb not in {"CONNECT", "RSET"}:
            rule = Rule(verb, reply=random.choice(REFUSALS), skip=skip, times=1)
        elif kind == "slow":
            rule = Rule(verb, delay=0.01, skip=skip, times=3)
        elif kind == "silent":
            rule = Rule(verb, silent=True, close=True, skip=skip, times=1)
        else:
            rule = Rule(verb, close=True, drop=kind == "drop", skip=skip, times=1)
        rules.append(rule)
    return rules


async def deliver(client: SMTPClient, letter: Letter) -> None:
    """Send it; keep what the caller is told, unless the caller loses patience."""
    with anyio.move_on_after(letter.patience):
        try:
            receipt = await client.send(
                letter.blocks() if letter.streamed else letter.octets,
                sender=letter.sender,
                recipients=letter.recipients,
            )
        except SMTPError as error:
            letter.results = error.recipients
        else:
            letter.results = receipt.recipients


class Watch:
    """Counts the connections of a client, and keeps what it tells of each message."""

    def __init__(self) -> None:
        self.open = self.peak = 0
        self.told: dict[str | None, tuple[RecipientResult, ...]] = {}

    def __call__(self, event: Event) -> None:
        self.open += isinstance(event, ConnectionOpened)
        self.open -= isinstance(event, ConnectionClosed)
        self.peak = max(self.peak, self.open)
        if isinstance(event, MessageFinished) and event.message_id is not None:
            # What this raised would only be logged, so twice is kept as nothing.
            twice = event.message_id in self.told
            self.told[event.message_id] = () if twice else event.recipients


def moody_server(random: Random, *, lmtp: bool, eager: bool) -> SMTPServer:
    """Make up a server: what it offers, how it talks, what goes wrong."""
    offered = ["PIPELINING", "SIZE 1000000", "CHUNKING", "ENHANCEDSTATUSCODES"]
    return SMTPServer(
        lmtp=lmtp,
        starttls=random.random() < 0.2,
        extensions=[line for line in offered if random.random() < 0.8],
        eager=eager,
        fragment=random.choice([None, 2, 7, 50]),
        rules=moods(random),
    )


def audit(server: SMTPServer, letters: list[Letter]) -> None:
    """See that what the senders were told is what the ledger says, no more, no less."""
    stored = Counter(
        (message.reverse_path, recipient.path)
        for message in server.messages
        for recipient in message.recipients
    )
    # Twice is never right, known or unknown.
    assert set(stored.values()) <= {1}
    accepted = {
        (letter.sender, result.address)
        for letter in letters
        for result in letter.results
        if result.outcome is Outcome.ACCEPTED
    }
    # A stream's sender who lost patience was told nothing: that is unknown as well.
    unknown = {
        (letter.sender, result.address)
        for letter in letters
        for result in letter.results
        if result.outcome is Outcome.UNKNOWN
    } | {
        (letter.sender, address)
        for letter in letters
        if not letter.results
        for address in letter.recipients
    }
    assert accepted <= set(stored) <= accepted | unknown
    assert len(accepted) > MESSAGES / 2
    canonical = {letter.sender: letter.canonical for letter in letters}
    for message in server.messages:
        assert message.content == canonical[message.reverse_path]


@everywhere
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
@pytest.mark.parametrize("pipelining", ["off", "conformant", "eager"])
async def test_receipts_equal_the_ledger(
    seed: int, protocol: str, pipelining: str
) -> None:
    random = Random(f"{seed} {protocol} {pipelining}")  # noqa: S311  # no secret
    letters = [letter(random, number) for number in range(MESSAGES)]
    server = moody_server(random, lmtp=protocol == "lmtp", eager=pipelining == "eager")
    watch = Watch()
    connections = random.choice([1, 3, 8])
    async with server:
        async with (
            server.client(
                client_hostname=NAME,
                pipelining=pipelining,
                max_connections=connections,
                max_messages_per_connection=random.choice([None, 1, 7]),
                timeouts=LIMITS,
                on_event=watch,
            ) as client,
            anyio.create_task_group() as group,
        ):
            for each in letters:
                group.start_soon(deliver, client, each)
        await server.wait_closed()
    assert server.violations == []
    assert watch.open == 0
    assert watch.peak <= connections
    for each in letters:
        if not each.streamed:
            told = watch.told.pop(each.message_id)
            assert each.results in {(), told}
            each.results = told
            assert [result.address for result in told] == each.recipients
    assert watch.told == {}
    audit(server, letters)
