"""A conversation as text: who said what, and the state each reply led to."""

from __future__ import annotations

from typing import Protocol

from esmtp_async._events import (
    CommandSent,
    ConnectionClosed,
    ConnectionOpened,
    Event,
    MessageFinished,
    ReplyReceived,
    TLSStarted,
)
from esmtp_async.protocol._replies import printable

# Where the state stands; longer lines push it out.
_COLUMN = 64


class Output(Protocol):
    """What text can be written to."""

    def write(self, text: str, /) -> object:
        """Write text."""
        ...


class ConversationPrinter:
    """Prints events to an output, one line each; an `on_event` callback."""

    def __init__(self, stream: Output) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        """Print an event."""
        match event:
            case ConnectionOpened(_, server, tls):
                self._say(f"** connected to {server}" + (f", {tls}" if tls else ""))
            case TLSStarted(_, tls):
                self._say(f"** TLS handshake: {tls}", "GREETED")
            case CommandSent(_, command):
                self._say(f"C: {command}")
            case ReplyReceived(_, _, reply, state):
                *others, last = reply.lines
                for line in others:
                    self._say(f"S: {reply.code}-{printable(line)}")
                self._say(f"S: {reply.code} {printable(last)}", state.name)
            case ConnectionClosed(_, aborted):
                self._say("** connection " + ("cut off" if aborted else "closed"))
            case MessageFinished(_, recipients, _):
                for result in recipients:
                    who = printable(result.address.encode())
                    self._say(f"** {who}: {result.outcome.value}")

    def _say(self, line: str, state: str = "") -> None:
        if state:
            line = f"{line:<{_COLUMN}} -> {state}"
        print(line, file=self._stream)
