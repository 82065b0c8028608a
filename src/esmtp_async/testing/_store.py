"""What a server keeps: messages, breaches of the protocol, and what was said."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from email import message_from_bytes, policy
from email.message import EmailMessage, MIMEPart
from threading import Condition
from typing import Literal, NamedTuple, Protocol

from esmtp_async.protocol._replies import printable

#: Parameters of MAIL or RCPT: keyword in upper case to value, None where it has none.
Parameters = Mapping[str, str | None]


class Said(NamedTuple):
    """Octets that one side sent: a line or the mail data, or a flight of replies."""

    #: `C` for the client, `S` for the server.
    side: Literal["C", "S"]
    #: As sent, except that secrets are shown by their length.
    octets: bytes


def lines_of(conversation: Iterable[Said]) -> list[str]:
    """Tell what was said, a line for each, as it can be printed."""
    return [
        f"{side}: {printable(line)}"
        for side, octets in conversation
        for line in octets.splitlines()
    ]


class Attachment(NamedTuple):
    """A part of a message that is a file."""

    #: Empty where it has no name.
    filename: str
    #: In lower case, for example `image/png`.
    content_type: str
    #: Decoded.
    octets: bytes


class StoredRecipient(NamedTuple):
    """A recipient whose message was taken."""

    #: The forward-path without its brackets.
    path: str
    #: Those of RCPT.
    parameters: Parameters


@dataclass(frozen=True, kw_only=True)
class StoredMessage:
    """A message that the server has taken, with its envelope."""

    #: As the final reply tells it.
    queue_id: str
    #: Without its brackets; empty for the null reverse-path.
    reverse_path: str
    #: Those of MAIL.
    mail_parameters: Parameters
    #: In the order of RCPT; with LMTP those whose final reply was 2yz.
    recipients: tuple[StoredRecipient, ...]
    #: The exact octets, without dot-stuffing.
    content: bytes
    #: Who was authenticated, if anybody.
    username: str | None
    #: Whether it came over TLS.
    tls: bool
    #: Which connection to the server it came on, counted from 1.
    connection: int
    #: The command that the mail data came by.
    via: Literal["DATA", "BDAT"]
    #: What XCLIENT and XFORWARD told of where it comes from.
    xclient: Mapping[str, str] = field(default_factory=dict)
    #: What XFORWARD told of where it comes from.
    xforward: Mapping[str, str] = field(default_factory=dict)

    @property
    def message(self) -> EmailMessage:
        """The content, parsed."""
        return message_from_bytes(
            self.content, _class=EmailMessage, policy=policy.default
        )

    @property
    def forward_paths(self) -> tuple[str, ...]:
        """Whom it is for: the addresses of the envelope, in the order of RCPT."""
        return tuple(recipient.path for recipient in self.recipients)

    @property
    def subject(self) -> str:
        """The Subject, decoded; empty if there is none."""
        return str(self.message.get("Subject", ""))

    @property
    def text(self) -> str:
        """The body as plain text, decoded, with LF; empty if there is none."""
        return self._body("plain")

    @property
    def html(self) -> str:
        """The body as HTML, decoded, with LF; empty if there is none."""
        return self._body("html")

    def _body(self, subtype: Literal["plain", "html"]) -> str:
        part = self.message.get_body(preferencelist=(subtype,))
        return "" if part is None else _decoded(part).replace("\r\n", "\n")

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The files with it, decoded; a message as octets."""
        return tuple(map(_attachment, self.message.iter_attachments()))


def _decoded(part: MIMEPart) -> str:
    """Give a text; of a charset that Python does not know, as UTF-8."""
    try:
        return str(part.get_content())
    except LookupError:
        octets = part.get_payload(decode=True)
        return octets.decode(errors="replace") if isinstance(octets, bytes) else ""


def _attachment(part: EmailMessage) -> Attachment:
    octets = part.get_payload(decode=True)
    if not isinstance(octets, bytes):  # it is a message, or has parts
        octets = b"".join(inner.as_bytes() for inner in part.iter_parts())
    return Attachment(part.get_filename(""), part.get_content_type(), octets)


class Tape(Protocol):
    """Where goes what is said on one connection; a list is one."""

    def append(self, said: Said, /) -> None:
        """Take what was said next."""
        ...


class Record(Protocol):
    """Where a server puts all that it sees, instead of keeping it in memory.

    It is called from the server's event loop, which waits meanwhile.
    """

    def tape(self, connection: int, /) -> Tape:
        """Give what takes the conversation on a connection, counted from 1."""
        ...

    def next_queue_id(self) -> str:
        """Give a name to a message that is about to be taken, unlike any other."""
        ...

    def store(self, message: StoredMessage, /) -> None:
        """Take a message, or one more recipient of a message that was taken already.

        The latter has the queue id of the message, and happens with LMTP alone. What
        raises OSError is answered by 452 (RFC 5321 §4.2.3).
        """
        ...

    def breach(self, connection: int, remark: str, /) -> None:
        """Take a breach of the RFCs by a client, in words."""
        ...

    def note(self, connection: int, remark: str, /) -> None:
        """Take what is odd, but allowed, in words."""
        ...


@dataclass
class Book:
    """A record, of which each connection has a page."""

    record: Record
    #: How many pages there are.
    pages: int = 0
    #: How often all of them were thrown away.
    edition: int = 0

    def forget(self) -> None:
        """Throw all pages away; whoever goes on writing begins another one."""
        self.pages = 0
        self.edition += 1


class Page:
    """Where is written what is said on one connection."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._turn()

    def _turn(self) -> None:
        self._book.pages += 1
        #: Counted from 1: the number of the connection.
        self.number: int = self._book.pages
        self._edition = self._book.edition
        self._tape = self._book.record.tape(self.number)

    def append(self, said: Said) -> None:
        """Write what was said next."""
        if self._edition != self._book.edition:
            self._turn()
        self._tape.append(said)


@dataclass
class Ledger:
    """Everything a server has seen, over all its connections: a `Record` in memory."""

    #: In the order in which they were taken.
    messages: list[StoredMessage] = field(default_factory=list)
    #: Every breach of the RFCs by a client, in words.
    violations: list[str] = field(default_factory=list)
    #: What is odd, but allowed.
    notes: list[str] = field(default_factory=list)
    #: What was said on each connection.
    transcript: list[list[Said]] = field(default_factory=list)
    #: Held while a message is taken, and notified of it: others may wait elsewhere.
    news: Condition = field(default_factory=Condition, repr=False, compare=False)
    _queued: int = 0

    def tape(self, _connection: int) -> list[Said]:
        """Give a new part of the transcript."""
        self.transcript.append([])
        return self.transcript[-1]

    def breach(self, _connection: int, remark: str) -> None:
        """Keep a breach."""
        self.violations.append(remark)

    def note(self, _connection: int, remark: str) -> None:
        """Keep what is odd."""
        self.notes.append(remark)

    def next_queue_id(self) -> str:
        """Give a name to a message that is about to be taken."""
        self._queued += 1
        return f"{self._queued:08X}"

    def clear(self) -> None:
        """Forget everything."""
        for each in (self.messages, self.violations, self.notes, self.transcript):
            each.clear()

    def store(self, message: StoredMessage) -> None:
        """Take a message, or one more recipient of a message that was taken already."""
        with self.news:
            self._put(message)
            self.news.notify_all()

    def _put(self, message: StoredMessage) -> None:
        for index, stored in enumerate(self.messages):
            if stored.queue_id == message.queue_id:
                recipients = stored.recipients + message.recipients
                self.messages[index] = replace(stored, recipients=recipients)
                return
        self.messages.append(message)
