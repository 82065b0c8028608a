"""What one seed stands for: a server, a client, messages, and what goes wrong."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from random import Random
from typing import Final

import anyio

from esmtp_async import Timeouts
from esmtp_async.testing import Rule
from tests.simulation.faults import ARRIVING, REPLYING, WRITING, Fault, Kind

#: Octets that a message's body is made of; the last is 8-bit.
WORDS: Final = (
    b"",
    b".",
    b"..",
    b".x",
    b"x",
    b"QUIT",
    b"y" * 70,
    b"gr\xc3\xbc\xc3\x9fe",
)
#: Octets of one write of mail data: what is larger comes in several.
MANY_LINES: Final = 1000
REFUSED: Final = "no"
OFFERS: Final = (
    *("PIPELINING", "CHUNKING", "SIZE 300000", "8BITMIME"),
    "ENHANCEDSTATUSCODES",
)

#: How many of the sessions send their letters by `send_many`.
BATCHES: Final = 0.25
#: How much more is said on one connection then.
LONGER: Final = 6

# Which verb meets a mood of the server's.
_VERBS: Final = (
    *("CONNECT", "EHLO|LHLO", "AUTH", "MAIL", "RCPT", "DATA|BDAT", "RSET", "QUIT"),
    *("CONTENT|LAST", "CONTENT|LAST", "CONTENT|LAST"),
)
_NO_REFUSAL: Final = frozenset({"RSET", "QUIT"})


class SourceFailed(Exception):
    """What a message is read from fails."""


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A message: what it is, when it is sent, and how long somebody waits for it."""

    number: int
    #: Seconds from the beginning; in a batch, from when the source is asked for it.
    start: float
    recipients: tuple[str, ...]
    octets: bytes
    #: Of a stream's blocks; None: the octets are given whole.
    block: int | None
    #: Seconds before each block of a stream.
    pause: float
    #: Whether a stream fails before its end.
    fails: bool
    all_or_nothing: bool
    #: Seconds, as given to `send`.
    timeout: float | None
    #: Seconds until its task is cancelled.
    patience: float
    #: Whether its task is cancelled when it is suspended for the n-th time; 0: never.
    suspension: int

    @property
    def sender(self) -> str:
        return f"sender-{self.number}@example.test"

    @property
    def canonical(self) -> bytes:
        """What the server must have if it has it."""
        return self.octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    async def blocks(self) -> AsyncIterator[bytes]:
        assert self.block is not None
        for start in range(0, len(self.octets), self.block):
            await anyio.sleep(self.pause)
            if self.fails and start * 2 > len(self.octets):
                raise SourceFailed
            yield self.octets[start : start + self.block]
        if self.fails:
            raise SourceFailed


@dataclass(frozen=True, kw_only=True)
class Batch:
    """How several messages are sent by `send_many`, and who loses patience."""

    #: As given to `send_many`.
    window: int
    connections: int
    ordered: bool
    #: Messages behind which the source fails; None: it does not.
    fails: int | None = None
    #: Results behind which whoever takes them leaves; None: nobody leaves.
    leaves: int | None = None
    #: Seconds until all of it is cancelled.
    patience: float = math.inf
    #: As with a letter, of the task that takes the results.
    suspension: int = 0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything a session is made of."""

    seed: int
    #: `plain`, `starttls` or `tls`.
    security: str
    lmtp: bool
    auth: bool
    extensions: tuple[str, ...]
    #: Recipients that the server takes in one transaction.
    max_recipients: int
    fragment: int | None
    #: Seconds until the server hangs up on a client that says nothing.
    idle: float
    grain: int
    rules: tuple[Rule, ...]
    pipelining: str
    max_connections: int
    max_messages: int | None
    max_idle: float
    timeouts: Timeouts
    letters: tuple[Letter, ...]
    #: How letters are sent together; None: each by a task of its own.
    batch: Batch | None
    #: How many of the letters, at their end, a batch leaves to tasks of their own.
    apart: int
    #: How many of the fault-free messages are sent together; 0: one by `send`.
    last: int
    faults: tuple[Fault, ...]


def plan(seed: int) -> Plan:
    """Make up a session; the same one for the same seed."""
    random = Random(seed)  # noqa: S311  # no secret
    security = random.choices(["plain", "starttls", "tls"], weights=[8, 1, 1])[0]
    max_connections = random.choice([1, 1, 2, 3])
    together = random.random() < BATCHES
    offered = 0.9 if together else 0.75
    many = random.randint(1, 12) if together else 0
    few = random.choice([0, 0, 0, 1, 2] if together else [1, 1, 1, 1, 2, 2, 3])
    most = random.choice([1000] * 6 + [1, 2, 3])
    return Plan(
        seed=seed,
        security=security,
        lmtp=random.random() < 0.25,
        auth=random.random() < 0.15,
        extensions=(
            *(line for line in OFFERS if random.random() < offered),
            *_limits(random, most),
        ),
        max_recipients=most,
        fragment=random.choices([None, 40, 5], weights=[14, 3, 1])[0],
        idle=random.choice([math.inf, math.inf, math.inf, 30.0]),
        grain=random.choices([65536, 40, 5], weights=[20, 3, 1])[0],
        rules=(
            Rule(
                "RCPT", f"{REFUSED}-", reply=random.choice(["450 no", "550 5.1.1 no"])
            ),
            *(
                _mood(random, 8 if together else 2)
                for _ in range(random.choice([0, 0, 0, 1, 1, 2]))
            ),
        ),
        pipelining=random.choice(["off", "conformant", "eager", "eager"]),
        max_connections=max_connections,
        max_messages=random.choice([None, None, None if together else 1, 2]),
        max_idle=random.choice([45.0, 45.0, 5.0]),
        timeouts=random.choice([Timeouts(), Timeouts(), Timeouts.interactive()]),
        letters=(
            *(_of_a_batch(random, letter(random, number)) for number in range(many)),
            *(letter(random, number) for number in range(many, many + few)),
        ),
        batch=_batch(random, max_connections) if together else None,
        apart=few,
        last=random.choice([0, 0, 1, 2]),
        faults=tuple(
            _fault(random, clear=security == "plain", longer=LONGER if together else 1)
            for _ in range(random.choice([0, 1, 1, 2, 2, 3, 4]))
        ),
    )


def letter(random: Random, number: int) -> Letter:
    """Make up a message."""
    size = random.choice([0, 1, 5, 5, 30, 30, MANY_LINES * random.choice([1, 6])])
    words = WORDS if random.random() < 0.2 else WORDS[:-1]
    end = random.choice([b"\r\n", b"\r\n", b"\n"])
    body = b"".join(random.choice(words) + end for _ in range(min(size, 40)))
    body *= max(1, size // 40)
    count = random.choice([1, 1, 1, 2, 2, 3, 4, 5] * 8 + [130])
    streamed = random.random() < 0.3
    octets = b"Message-ID: <%d@example.test>\r\n\r\n" % number + body
    return Letter(
        number=number,
        start=random.choice([0, 0, 0, 1, 20, 60]),
        recipients=tuple(
            f"{REFUSED if random.random() < 0.1 else 'yes'}-{n}-{number}@example.test"
            for n in range(count)
        ),
        octets=octets,
        block=max(100, len(octets) // random.choice([1, 2, 3])) if streamed else None,
        pause=random.choice([0, 0, 1, 50]),
        fails=random.random() < 0.1,
        all_or_nothing=random.random() < 0.1,
        timeout=random.choice([None] * 8 + [0.5, random.random() * 400]),
        patience=random.choice([math.inf] * 9 + [random.choice([0.5, 5, 50, 500])]),
        suspension=random.randrange(1, 120) if random.random() < 0.15 else 0,
    )


def _of_a_batch(random: Random, letter: Letter) -> Letter:
    """Leave out what only `send` takes."""
    return replace(
        letter,
        start=random.choice([0] * 8 + [1, 20, 60]),
        all_or_nothing=False,
        timeout=None,
        patience=math.inf,
        suspension=0,
    )


def _batch(random: Random, max_connections: int) -> Batch:
    """Make up how a batch is sent."""
    batch = Batch(
        window=random.randint(1, 8),
        connections=random.randint(1, max_connections),
        ordered=random.random() < 0.5,
    )
    match random.randrange(10):
        case 0:
            return replace(batch, patience=random.choice([0.5, 5, 50, 500]))
        case 1:
            return replace(batch, suspension=random.randrange(1, 60))
        case 2:
            return replace(batch, leaves=random.randint(1, 6))
        case 3:
            return replace(batch, fails=random.randrange(8))
    return batch


def _limits(random: Random, most: int) -> list[str]:
    """Make up what the server tells of its limits (RFC 9422)."""
    limits = []
    if random.random() < 0.5 and most < 1000:
        limits.append(f"RCPTMAX={most}")
    if random.random() < 0.1:
        limits.append(f"MAILMAX={random.choice([1, 2, 5])}")
    return [" ".join(["LIMITS", *limits])] if limits else []


def _mood(random: Random, latest: int) -> Rule:
    """Make up what goes wrong at the server itself."""
    verb = random.choice(_VERBS)
    skip = random.choice([0, random.randint(0, latest)])
    kind = random.choice(["refuse", "close", "drop", "slow", "silent", "mute"])
    if kind == "refuse" and verb not in _NO_REFUSAL:
        reply = random.choice(["450 4.2.0 later", "550 5.1.1 no", "421 4.3.2 closing"])
        return Rule(verb, reply=reply, skip=skip, times=1)
    if kind in {"silent", "mute"}:
        # Executed, but not told; then gone, or as if nothing had been.
        return Rule(verb, silent=True, close=kind == "silent", skip=skip, times=1)
    if kind == "slow":
        delay = random.choice([1, 50, 200, 1000])
        return Rule(verb, delay=delay, skip=skip, times=2)
    return Rule(verb, close=True, drop=kind == "drop", skip=skip, times=1)


def _fault(random: Random, *, clear: bool, longer: int) -> Fault:
    """Make up what goes wrong on the way; some strike that much later."""
    kinds, span = random.choices(
        [
            (ARRIVING, 450 if clear else 2500),
            (WRITING, 6 if clear else 9),
            (REPLYING, 12),
            ((Kind.EARLY,), 6),
            ((Kind.REFUSED, Kind.HANDSHAKE), 1),
        ],
        weights=[5, 3, 5, 1, 1],
    )[0]
    return Fault(
        kind=random.choice(kinds),
        connection=random.choice([0, 0, 0, 0, 1, 2]),
        position=random.randrange(span * random.choice([1, longer])),
        extent=random.randrange(400),
    )
