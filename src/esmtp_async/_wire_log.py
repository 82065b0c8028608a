"""The wire log: what is said over each connection, a line for each command and reply.

A line tells the number of the connection, the server, where the server is in the
conversation, and what is said. It is made of events, which carry no secret, and no
octet of a message. What the server says within AUTH is left out as well: from SCRAM's
challenges and its signature passwords can be guessed by who has time (RFC 5802 §9).
"""

from __future__ import annotations

from typing import Final

from esmtp_async._events import (
    CommandSent,
    ConnectionClosed,
    ConnectionOpened,
    Event,
    ReplyReceived,
    TLSStarted,
    TransactionStarted,
)
from esmtp_async._logs import WIRE
from esmtp_async.protocol._replies import Reply, printable
from esmtp_async.protocol._states import State

#: A challenge (RFC 4954 §4).
_CHALLENGE: Final = 334


class WireLog:
    """Writes a client's conversations to `esmtp_async.wire`; an `on_event` callback."""

    def __init__(self, server: str) -> None:
        self._server = printable(server.encode())

    def __call__(self, event: Event) -> None:
        """Log an event, if something is said by it."""
        match event:
            case CommandSent(number, command, state):
                self._log(number, state, f"C: {command}")
            case ReplyReceived(number, _, reply, state):
                self._log(number, state, f"S: {_shown(reply)}")
            case ConnectionOpened(number, _, tls, address, port):
                peer = "" if address is None else f" to {printable(address.encode())}"
                peer += "" if port is None else f" port {port}"
                protected = f", {tls}" if tls else ""
                self._log(number, State.CONNECTED, f"** connected{peer}{protected}")
            case TLSStarted(number, version):
                self._log(number, State.GREETED, f"** TLS handshake: {version}")
            case TransactionStarted(message, number):
                self._log(number, None, f"** message {message}")
            case ConnectionClosed(number, aborted):
                how = "cut off" if aborted else "closed"
                self._log(number, State.CLOSED, f"** {how}")

    def _log(self, number: int, state: State | None, what: str) -> None:
        where = "-" if state is None else state.name
        WIRE.debug("#%d %s %s %s", number, self._server, where, what)


def _shown(reply: Reply) -> str:
    """Give a reply in one line, of a challenge the length."""
    if reply.code == _CHALLENGE:
        return f"{reply.code} <{sum(map(len, reply.lines))} octets>"
    return str(reply)
