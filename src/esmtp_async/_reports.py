"""What servers report of a message that they took (RFC 3464, RFC 6533).

A report comes as mail to whoever the envelope names as sender. It tells which
transaction it is about (ENVID) and which recipients (ORCPT), and these are what a
program finds its own record by.

All text in a report is somebody else's: it is escaped as a reply is, so that it can
always be printed, logged and encoded.
"""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final, NamedTuple, Self

from esmtp_async._report_parts import Fields, Part, groups, octets_of, without_comments
from esmtp_async.protocol import _grammar
from esmtp_async.protocol._addresses import ForwardPath
from esmtp_async.protocol._exceptions import InvalidInput, check_type
from esmtp_async.protocol._replies import EnhancedStatus, printable

_STATUS_PARTS: Final = frozenset(
    {"message/delivery-status", "message/global-delivery-status"}
)
_RETURNED: Final = frozenset(
    {
        "message/rfc822",
        "text/rfc822-headers",
        "message/global",
        "message/global-headers",
    }
)
_RECIPIENT: Final = frozenset({"final-recipient", "original-recipient"})

# Behind or between whatever a server says beside it.
_STATUS: Final = re.compile(
    r"(?<![0-9.])([245])\.([0-9]{1,3})\.([0-9]{1,3})(?!\.?[0-9])"
)
# A reply code, with what may follow one (RFC 5321 §4.2).
_REPLY: Final = re.compile(r"[2-5][0-9]{2}(?![0-9.])")
_HEXCHAR: Final = re.compile(r"\+([0-9A-F]{2})")
# EmbeddedUnicodeChar = "\x{" HEXPOINT "}"                (RFC 6533 §3)
_EMBEDDED: Final = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
#: How much of a value is told in an error.
_SHORT: Final = 60


class Action(Enum):
    """What the reporting server did for a recipient (RFC 3464 §2.3.3)."""

    #: It gave up: the message was not delivered.
    FAILED = "failed"
    #: It could not deliver yet, and goes on trying.
    DELAYED = "delayed"
    #: It delivered the message.
    DELIVERED = "delivered"
    #: It passed the message on to where nobody reports success.
    RELAYED = "relayed"
    #: It delivered the message, and passed it on to more recipients.
    EXPANDED = "expanded"


class Diagnostic(NamedTuple):
    """Why, as whoever decided it put it (RFC 3464 §2.3.6)."""

    #: In lower case, for example `smtp` or `x-postfix`; empty where none is told.
    type: str
    #: The words, which for `smtp` begin with a reply code.
    text: str

    @property
    def code(self) -> int | None:
        """The reply code of an SMTP server, if there is one to be read."""
        match = _REPLY.match(self.text) if self.type in {"smtp", ""} else None
        return int(match[0]) if match else None


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """What became of a recipient (RFC 3464 §2.3); text is safe to print.

    What a server left out, or wrote so that it cannot be read, is None; as it stood
    it is in `fields`.
    """

    #: Who it was for in the end; the original recipient where a server omits it.
    final_recipient: str
    #: What `Recipient(orcpt=...)` took, without its type; None if not reported.
    original_recipient: str | None
    #: What happened to the message for it (RFC 3464 §2.3.3).
    action: Action | None
    #: Why, in three numbers; None where none is told (RFC 3464 §2.3.4).
    status: EnhancedStatus | None
    #: The host that decided.
    remote_mta: str | None = None
    #: Why, in the words of who failed; None where none are told (RFC 3464 §2.3.6).
    diagnostic: Diagnostic | None = None
    #: When delivery was tried last; aware.
    last_attempt: datetime | None = None
    #: When a server that goes on trying gives up; aware.
    will_retry_until: datetime | None = None
    #: What the final server's log names it by.
    final_log_id: str | None = None
    #: All fields of the group, in order: name and value.
    fields: Fields = field(default=(), repr=False)

    @property
    def address(self) -> str:
        """The recipient as the sender named it, as far as the report tells."""
        return self.original_recipient or self.final_recipient

    @property
    def temporary(self) -> bool:
        """Whether the same message may go through later, by status or reply code."""
        if self.status is not None:
            return self.status.class_ == 4
        code = self.diagnostic.code if self.diagnostic else None
        return self.action is Action.DELAYED or (code is not None and code // 100 == 4)

    def is_for(self, address: str) -> bool:
        """Whether it is about this address, a plain one or `addr-type;address`.

        Domains have no case, local parts do; original and final recipient both count.
        """
        check_type("address", address, str)
        kind, plain = _typed(address)
        wanted = _identity(_unescaped(plain) if kind == "utf-8" else plain)
        group = _Group(self.fields)
        known = {self.original_recipient, self.final_recipient}
        for name in _RECIPIENT:
            written = _written(group.bare(name))[1]
            known |= {written, _unhexed(written)}
        return any(_identity(each) == wanted for each in known if each)


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """A delivery status notification (RFC 3464, RFC 6533); text is safe to print."""

    #: What `SendOptions(envid=...)` took; None if not reported.
    envid: str | None
    #: The host that reports.
    reporting_mta: str | None
    #: One group each, in order; at least one.
    recipients: tuple[ReportedRecipient, ...]
    #: The gateway that made the report out of a foreign one.
    dsn_gateway: str | None = None
    #: The host that the message came from.
    received_from_mta: str | None = None
    #: When the message came to the reporting host; aware.
    arrival_date: datetime | None = None
    #: The Message-ID of the message that came back, as `Receipt.message_id` tells it.
    message_id: str | None = None
    #: The message that came back, or its header section: octets with CRLF.
    returned: bytes | None = field(default=None, repr=False)
    #: What the report tells people, if that is plain text; lines end in LF.
    text: str = field(default="", repr=False)
    #: All fields about the message, in order: name and value.
    fields: Fields = field(default=(), repr=False)

    @classmethod
    def parse(cls, message: Message | bytes | bytearray | memoryview | str) -> Self:
        """Read a report.

        The message itself must be the report: one that is attached to another, as when
        somebody forwards it, is parsed by giving that part. A `Message` is not changed.

        Raises `InvalidInput`, which tells what is missing: a multipart/report of the
        report type delivery-status (RFC 6522 §3), its delivery-status part, or a
        recipient in that. Nothing else in a report makes it fail.
        """
        whole = Part(octets_of("the report", message))
        parts = _checked(whole)
        place = next(
            (at for at, each in enumerate(parts) if each.type in _STATUS_PARTS), -1
        )
        if place < 0:
            msg = (
                "the report has no part of the type message/delivery-status (RFC 3464)"
            )
            raise InvalidInput(msg)
        about, recipients = _told(groups(parts[place].octets))
        if not recipients:
            msg = "the report tells of no recipient: no Final-Recipient (RFC 3464)"
            raise InvalidInput(msg)
        back = next((each for each in parts[place:] if each.type in _RETURNED), None)
        returned = None if back is None else back.octets
        return cls(
            envid=_decoded(about.text("original-envelope-id") or "") or None,
            reporting_mta=about.name("reporting-mta"),
            recipients=tuple(map(_recipient, recipients)),
            dsn_gateway=about.name("dsn-gateway"),
            received_from_mta=about.name("received-from-mta"),
            arrival_date=about.date("arrival-date"),
            message_id=(Part(returned or b"").field("message-id")) or None,
            returned=returned,
            text=parts[0].plain,
            fields=about.fields,
        )

    def has_envid(self, envid: str) -> bool:
        """Whether it is about what was sent with `SendOptions(envid=...)`.

        Unlike a comparison with `envid` this never errs on a server that reports what
        it was told as it was encoded (Exim), instead of decoded (RFC 3461 §6.3).
        """
        check_type("envid", envid, str)
        reported = _Group(self.fields).text("original-envelope-id")
        return reported is not None and envid.strip() in {reported, _unhexed(reported)}

    def for_recipient(self, address: str) -> tuple[ReportedRecipient, ...]:
        """Give what is reported of an address, a plain one or `addr-type;address`.

        None, or one; more where an alias or a list stands for several.
        """
        return tuple(each for each in self.recipients if each.is_for(address))


class _Group:
    """The fields of a group, by name."""

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        self.fields = tuple(fields)
        self._first = {name.lower(): value for name, value in reversed(self.fields)}

    def text(self, name: str) -> str | None:
        """Give the value as it stands; None if there is none."""
        return self._first.get(name) or None

    def bare(self, name: str) -> str:
        """Give the value without comments; nothing if there is none."""
        return without_comments(self.text(name) or "")

    def name(self, name: str) -> str | None:
        """Give what stands behind the type: a host's name (RFC 3464 §2.1.2)."""
        return _typed(self.bare(name))[1] or None

    def date(self, name: str) -> datetime | None:
        """Give a time; one without a zone is taken for UTC."""
        try:
            date = parsedate_to_datetime(self.bare(name))
        except (ValueError, OverflowError):
            return None
        return date if date.tzinfo else date.replace(tzinfo=UTC)


def _checked(whole: Part) -> list[Part]:
    """Give the parts of a report, or tell why it is none."""
    if whole.type != "multipart/report":
        msg = f"the message is of the type {_short(whole.type)}, not multipart/report"
        raise InvalidInput(f"{msg} (RFC 6522)")
    kind = whole.parameter("report-type")
    if kind.lower() != "delivery-status":
        msg = f"its report-type is {_short(kind)}, not delivery-status (RFC 3464)"
        raise InvalidInput(msg)
    return list(whole.parts)


def _short(value: str) -> str:
    return repr(value if len(value) <= _SHORT else f"{value[:_SHORT]}...")


def _told(told: Iterable[Fields]) -> tuple[_Group, list[_Group]]:
    """Tell the group about the message from those about a recipient (RFC 3464 §2.1).

    Servers forget the blank line between, or put one too many: the first group may be
    both, and what names no recipient belongs to the group in front.
    """
    message: list[tuple[str, str]] = []
    recipients: list[list[tuple[str, str]]] = []
    for group in told:
        is_first = not message
        is_recipient = not _RECIPIENT.isdisjoint(name.lower() for name, _ in group)
        if is_recipient:
            recipients.append(list(group))
        if is_first or not (is_recipient or recipients):
            message.extend(group)
        elif not is_recipient:
            recipients[-1].extend(group)
    return _Group(message), list(map(_Group, recipients))


def _recipient(group: _Group) -> ReportedRecipient:
    original = group.bare("original-recipient")
    final = group.bare("final-recipient")
    # A final recipient is never encoded, so neither is an original one like it.
    same = _written(original) == _written(final)
    return ReportedRecipient(
        final_recipient=_address(final or original, plain=bool(final)),
        original_recipient=_address(original, plain=same) or None,
        action=_action(group.bare("action")),
        status=_status(group.bare("status")),
        remote_mta=group.name("remote-mta"),
        diagnostic=_diagnostic(group.text("diagnostic-code")),
        last_attempt=group.date("last-attempt-date"),
        will_retry_until=group.date("will-retry-until"),
        final_log_id=group.text("final-log-id"),
        fields=group.fields,
    )


def _action(value: str) -> Action | None:
    return next((each for each in Action if each.value == value.lower()), None)


def _status(value: str) -> EnhancedStatus | None:
    match = _STATUS.search(value)
    return EnhancedStatus(*map(int, match.groups())) if match else None


def _diagnostic(value: str | None) -> Diagnostic | None:
    return None if value is None else Diagnostic(*_typed(value))


def _typed(value: str) -> tuple[str, str]:
    """Take `type; text` apart; the type is empty where there is none."""
    kind, semicolon, text = value.partition(";")
    if semicolon and _grammar.ADDR_TYPE.fullmatch(kind.strip()):
        return kind.strip().lower(), text.strip()
    return "", value.strip()


def _address(value: str, *, plain: bool) -> str:
    """Give the address behind a type, decoded; a plain one cannot be xtext."""
    kind, text = _written(value)
    if kind == "utf-8":
        return _unescaped(text)
    if plain:
        return text
    decoded = _decoded(text)
    # In a sub-address xtext would make another character of a number behind the plus.
    return decoded if kind not in {"rfc822", ""} or _is_mailbox(decoded) else text


def _written(value: str) -> tuple[str, str]:
    """Give the type and the address as it stands, but for brackets around it."""
    kind, text = _typed(value)
    return kind, text[1:-1] if text.startswith("<") and text.endswith(">") else text


def _unescaped(text: str) -> str:
    r"""Give an address with the characters that `\x{HEX}` stands for (RFC 6533 §3)."""
    return _EMBEDDED.sub(_character, text)


def _character(match: re.Match[str]) -> str:
    """Give a character for its number, if it is one that may be shown."""
    point = int(match[1], 16)
    if point > sys.maxunicode:
        return match[0]
    octets = chr(point).encode("utf-8", "surrogatepass")
    return chr(point) if printable(octets) == chr(point) else match[0]


def _decoded(value: str) -> str:
    """Decode what is xtext, by all signs.

    A report has text that was xtext on the wire, decoded (RFC 3461 §6.3); Postfix does
    so, Exim leaves it encoded. It is taken for encoded only if encoding gives the same
    again: each plus sign is then the beginning of a character that must be encoded.
    """
    decoded = _unhexed(value)
    is_encoded = decoded.isprintable() and _grammar.xtext(decoded) == value
    return decoded if is_encoded else value


def _unhexed(value: str) -> str:
    return _HEXCHAR.sub(lambda match: chr(int(match[1], 16)), value)


def _is_mailbox(text: str) -> bool:
    try:
        ForwardPath.parse(text)
    except InvalidInput:
        return False
    return True


def _identity(address: str) -> tuple[str, str]:
    """Give what two spellings of an address have in common."""
    try:
        return ForwardPath.parse(address).identity
    except InvalidInput:
        local_part, _, domain = address.rpartition("@")
        return local_part, domain.lower()
