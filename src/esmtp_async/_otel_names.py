"""What OpenTelemetry calls what a client does: the attributes of spans and metrics.

The names are those of its semantic conventions, 1.44 (their package is 0.66b2), where
these have one. They know nothing of mail: the others begin with `smtp.`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from esmtp_async._events import ConnectionOpened, MessageFinished
from esmtp_async.protocol._exceptions import SMTPError
from esmtp_async.protocol._outcomes import ACCEPTED, Outcome
from esmtp_async.protocol._replies import Reply

SCHEMA: Final = "https://opentelemetry.io/schemas/1.44.0"
#: The name that tracer and meter go by.
SCOPE: Final = "esmtp_async"

#: Servers whose attributes are not made anew for each message.
_KEPT: Final = 256

#: What an attribute may be.
Value = str | int | Sequence[str]
Attributes = Mapping[str, Value]

_OUTCOMES: Final = {outcome: outcome.name.lower() for outcome in Outcome}

# The class of a cancellation depends on the event loop.
_CANCELLATIONS: Final = frozenset({"CancelledError", "Cancelled"})


@lru_cache(_KEPT)
def server(text: str, protocol: str) -> Attributes:
    """Give where mail goes, from `host:port` or the path of a socket."""
    named: dict[str, Value] = {"network.protocol.name": protocol}
    host, _, port = text.rpartition(":")
    if text.startswith("/") or not port.isdecimal():
        named["server.address"] = text
    else:
        named["server.address"] = host.strip("[]")
        named["server.port"] = int(port)
    return named


@lru_cache(_KEPT)
def sending(text: str, protocol: str) -> Attributes:
    """Give what all messages to a server have in common."""
    return {
        "messaging.system": "smtp",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        **server(text, protocol),
    }


def peer(event: ConnectionOpened) -> dict[str, Value]:
    """Give what is known of the other end."""
    known: dict[str, Value] = {}
    if event.peer_address is not None:
        known["network.peer.address"] = event.peer_address
        known["network.transport"] = "unix" if event.peer_port is None else "tcp"
    if event.peer_port is not None:
        known["network.peer.port"] = event.peer_port
    if event.tls is not None:
        known.update(tls(event.tls))
    return known


def tls(version: str) -> dict[str, Value]:
    """Give what protects a connection, from for example `TLSv1.3`."""
    return {
        "tls.protocol.name": "tls",
        "tls.protocol.version": version.removeprefix("TLSv"),
    }


def error_type(error: BaseException) -> str:
    """Give the class of an error; `cancelled` whatever the event loop calls it."""
    name = type(error).__name__
    return "cancelled" if name in _CANCELLATIONS else name


def recipients(event: MessageFinished) -> dict[str, int]:
    """Count the recipients by what became of the message for them."""
    counts: dict[str, int] = {}
    for result in event.recipients:
        name = _OUTCOMES[result.outcome]
        counts[name] = counts.get(name, 0) + 1
    return counts


def outcome(counts: Mapping[str, int]) -> str:
    """Give what became of a message, in one word, from what `recipients` counted."""
    if "unknown" in counts:
        return "unknown"
    if "accepted" in counts:
        return "accepted" if len(counts) == 1 else "partial"
    return "refused" if "refused" in counts else "not_sent"


def reply_to(event: MessageFinished) -> Reply | None:
    """Give the reply that decided about a message."""
    if event.raised is not None:
        return reply_of(event.raised)
    return next(r.reply for r in event.recipients if r.outcome is ACCEPTED)


def reply_of(error: BaseException) -> Reply | None:
    """Give the reply that an error tells of."""
    return error.reply if isinstance(error, SMTPError) else None


def told_by(reply: Reply | None) -> dict[str, Value]:
    """Give what a reply says, but for its text."""
    if reply is None:
        return {}
    said: dict[str, Value] = {"smtp.reply.code": reply.code}
    if reply.enhanced_status is not None:
        said["smtp.reply.enhanced_status"] = str(reply.enhanced_status)
    return said
