"""Commands on their way, replies, signals: what goes into a session and comes out."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Final, NamedTuple, Protocol

from esmtp_async.protocol._commands import Command
from esmtp_async.protocol._replies import Reply
from esmtp_async.protocol._states import State


class Signal(Enum):
    """What `next_event` says when no reply is there."""

    #: Read from the server, and give it to `receive_data`.
    NEED_DATA = "need data"
    #: The connection ended with every reply in.
    CLOSED = "closed"
    #: The connection ended with replies missing.
    LOST = "lost"


#: Read from the server, and give it to `receive_data`.
NEED_DATA: Final = Signal.NEED_DATA
#: The session is over, and everything is answered.
CLOSED: Final = Signal.CLOSED
#: The session is over, and something is not answered.
LOST: Final = Signal.LOST


class Owner(Protocol):
    """Whoever sends commands and wants their replies."""

    def replied(self, command: Command | None, reply: Reply, /) -> object:
        """Take a reply to a command; None is a 421 that nobody asked for."""
        ...


class Replied(NamedTuple):
    """A reply arrived, to the command at the head of the queue."""

    #: What it answers; None for a 421 that nobody asked for.
    command: Command | None
    #: What the server said.
    reply: Reply
    #: Whoever sent the command, as given to `send`.
    owner: Owner | None
    #: The state it led to.
    state: State
    #: False while LMTP owes more replies to the same command (RFC 2033 §4.2).
    final: bool


class Sent(NamedTuple):
    """A command that is on its way and whose replies are not all in."""

    #: What was sent.
    command: Command
    #: Who sent it, as `Session.send` was told.
    owner: Owner | None


# A `NamedTuple` is made by Python code; there is one for each command and one for each
# reply, and these are made without.
make_sent: Final[Callable[[tuple[Command, Owner | None]], Sent]] = partial(
    tuple.__new__, Sent
)
make_replied: Final[
    Callable[[tuple[Command | None, Reply, Owner | None, State, bool]], Replied]
] = partial(tuple.__new__, Replied)
