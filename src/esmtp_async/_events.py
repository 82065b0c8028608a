"""What happens, told to whoever wants to know.

Events carry no secret: a command is told as `str(command)`, which leaves out
SASL lines and mail data. Times are in seconds.
"""

from collections.abc import Callable
from typing import NamedTuple

from esmtp_async.protocol._outcomes import RecipientResult
from esmtp_async.protocol._replies import Reply
from esmtp_async.protocol._states import State


class MessageStarted(NamedTuple):
    """A message is ready, and is to be sent; told in the task that calls `send`.

    So what the caller keeps in context variables (a trace, the id of a request) is
    there to be read. One of `send_many` has those of whoever entered it. What cannot be
    made ready is never told of; of each other message a `MessageFinished` follows.
    """

    #: Counts the messages of this process.
    message: int
    #: The Message-ID, where the message has one.
    message_id: str | None
    #: How many recipients it has.
    recipients: int
    #: `host:port`, or the path of a socket.
    server: str
    #: `smtp` or `lmtp`.
    protocol: str
    #: Which one of `send_many`, counted from 0; None: `send` sends it.
    batch_index: int | None


class TransactionStarted(NamedTuple):
    """A message has a connection, and its envelope is to be said (RFC 5321 §3.3).

    There is one more for each retry, and for recipients that were too many for one.
    """

    #: As in `MessageStarted`.
    message: int
    #: As in `ConnectionOpened`.
    connection: int
    #: How many of its recipients this is for.
    recipients: int
    #: Octets of the mail data, as SIZE counts them (RFC 1870 §5); None if not known.
    size: int | None


class ConnectionOpened(NamedTuple):
    """A transport connection stands; nothing was said yet."""

    #: Counts the connections of this process.
    connection: int
    #: `host:port`, or the path of a socket.
    server: str
    #: The version of TLS, for example `TLSv1.3`; None in clear text.
    tls: str | None
    #: The IP address of the other end, be it the server or a proxy; the path of a
    #: socket; None where the stream does not tell.
    peer_address: str | None = None
    #: Its port; None where it has none, or the stream does not tell.
    peer_port: int | None = None
    #: `smtp` or `lmtp`.
    protocol: str = "smtp"


class TLSStarted(NamedTuple):
    """The handshake after STARTTLS succeeded."""

    #: Counts the connections of this process.
    connection: int
    #: The version of TLS, for example `TLSv1.3`.
    tls: str


class CommandSent(NamedTuple):
    """A command is about to be written."""

    #: Counts the connections of this process.
    connection: int
    #: The line as it may be shown; secrets and mail data are told by length.
    command: str
    #: Where the server is by the replies that have come so far.
    state: State | None = None


class ReplyReceived(NamedTuple):
    """A reply came, and led to a state."""

    #: Counts the connections of this process.
    connection: int
    #: What it answers, as in `CommandSent`; None: nobody asked.
    command: str | None
    #: What the server said; secrets in it are `<redacted>`.
    reply: Reply
    #: Where the server is now.
    state: State


class ConnectionReady(NamedTuple):
    """A session is ready for mail: greeting, EHLO, TLS and AUTH went well."""

    #: As in `ConnectionOpened`.
    connection: int
    #: The SASL mechanism that we authenticated by, for example `SCRAM-SHA-256`; None:
    #: we did not.
    mechanism: str | None
    #: Seconds from the first packet, or the look for an address, until now.
    duration: float


class ConnectionFailed(NamedTuple):
    """No session came about, or whoever wanted it was cancelled."""

    #: `host:port`, or the path of a socket.
    server: str
    #: What it failed of.
    error: BaseException
    #: Seconds until it failed.
    duration: float
    #: The connection, if one stood (`ConnectionOpened`); it is closed.
    connection: int | None
    #: `smtp` or `lmtp`.
    protocol: str


class ConnectionAcquired(NamedTuple):
    """Somebody has a connection of the pool, for a message or several."""

    #: As in `ConnectionOpened`.
    connection: int
    #: Seconds that it was waited for; to open it is part of that.
    waited: float
    #: Whether it was opened for somebody before.
    reused: bool


class ConnectionReleased(NamedTuple):
    """A connection came back to the pool."""

    #: As in `ConnectionOpened`.
    connection: int
    #: Whether it lies idle now, for the next one; else it goes.
    kept: bool


class ConnectionClosed(NamedTuple):
    """A connection is gone."""

    #: Counts the connections of this process.
    connection: int
    #: Whether it was cut off, not closed in order.
    aborted: bool


class MessageFinished(NamedTuple):
    """A message's fate is known, as far as it can be; told even if cancelled.

    Not of one that could not be made ready, or was given up before it was.
    """

    #: The Message-ID, where the message has one.
    message_id: str | None
    #: What became of each recipient, in the order given.
    recipients: tuple[RecipientResult, ...]
    #: What ended the attempt, if a failure did.
    error: BaseException | None
    #: As in `MessageStarted`.
    message: int = 0
    #: What `send` raises, or `SendResult.error` is; a cancellation, or what else gave
    #: it up. None: somebody accepted it.
    raised: BaseException | None = None
    #: That of the last transaction; None: there was none.
    connection: int | None = None
    #: How many transactions there were.
    transactions: int = 0
    #: Octets of the mail data in the last one, as SIZE counts them (RFC 1870 §5); of a
    #: stream those that were read. None: there was no transaction.
    size: int | None = None
    #: Seconds since `MessageStarted`.
    duration: float = 0.0
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
    MessageStarted
    | TransactionStarted
    | ConnectionOpened
    | TLSStarted
    | CommandSent
    | ReplyReceived
    | ConnectionReady
    | ConnectionFailed
    | ConnectionAcquired
    | ConnectionReleased
    | ConnectionClosed
    | MessageFinished
    | WayGivenUp
)

#: Who is told. One whose attribute `wants_lines` is False is not told of commands and
#: replies (`CommandSent`, `ReplyReceived`), and they are not made for it.
Listener = Callable[[Event], object]
