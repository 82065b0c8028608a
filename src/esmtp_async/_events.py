"""What happens, told to whoever wants to know.

Events carry no secret: a command is told as `str(command)`, which leaves out
SASL lines and mail data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from esmtp_async.protocol._outcomes import RecipientResult
from esmtp_async.protocol._replies import Reply
from esmtp_async.protocol._states import State

_log = logging.getLogger("esmtp_async")


class ConnectionOpened(NamedTuple):
    """A transport connection stands; nothing was said yet."""

    #: Counts the connections of this process.
    connection: int
    #: `host:port`, or the path of a socket.
    server: str
    #: The version of TLS, for example `TLSv1.3`; None in clear text.
    tls: str | None


class TLSStarted(NamedTuple):
    """The handshake after STARTTLS succeeded."""

    connection: int
    tls: str


class CommandSent(NamedTuple):
    """A command is about to be written."""

    connection: int
    #: The line as it may be shown; secrets and mail data are told by length.
    command: str


class ReplyReceived(NamedTuple):
    """A reply came, and led to a state."""

    connection: int
    #: What it answers, as in `CommandSent`; None: nobody asked.
    command: str | None
    reply: Reply
    state: State


class ConnectionClosed(NamedTuple):
    """A connection is gone."""

    connection: int
    #: Whether it was cut off, not closed in order.
    aborted: bool


class MessageFinished(NamedTuple):
    """A message's fate is known, as far as it can be; told even if cancelled.

    Not of one that could not be made ready, or was given up before it was.
    """

    message_id: str | None
    recipients: tuple[RecipientResult, ...]
    #: What ended the attempt, if a failure did.
    error: BaseException | None
    #: Which one of `send_many`'s, as `SendResult.index` has it; None for `send`.
    batch_index: int | None = None


class WayGivenUp(NamedTuple):
    """The server broke on a way to send; for this client's life it gets mail without.

    The message it broke on was sent in a safer way, if nobody could have it yet.
    """

    #: `host:port`, or the path of a socket.
    server: str
    #: `PIPELINING`, `CHUNKING`, `trains` (the next envelope behind the mail data), or
    #: `eager` (the mail data with the envelope).
    way: str


#: Everything `on_event` may be given.
Event = (
    ConnectionOpened
    | TLSStarted
    | CommandSent
    | ReplyReceived
    | ConnectionClosed
    | MessageFinished
    | WayGivenUp
)


class Observer:
    """Passes events on; what the callback raises is logged, never obeyed."""

    def __init__(self, on_event: Callable[[Event], None] | None = None) -> None:
        self._on_event = on_event
        #: Whether anybody listens: events are not even made otherwise.
        self.active = on_event is not None

    def __call__(self, event: Event) -> None:
        """Tell an event."""
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception:  # noqa: BLE001  # whatever it is, the mail goes on
            _log.exception("on_event failed on %s", type(event).__name__)
