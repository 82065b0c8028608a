"""What a server offers and demands, as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypedDict

from esmtp_async.testing._rules import Rule
from esmtp_async.testing._sasl import MECHANISMS
from esmtp_async.testing._store import Record

#: The EHLO lines of a server, apart from STARTTLS and AUTH.
DEFAULT_EXTENSIONS: Final = (
    "PIPELINING",
    "SIZE 10485760",
    "8BITMIME",
    "SMTPUTF8",
    "CHUNKING",
    "DSN",
    "ENHANCEDSTATUSCODES",
)


class ServerOptions(TypedDict, total=False):
    """The keyword arguments of `SMTPServer`."""

    #: How it introduces itself, and the name in its certificate.
    hostname: str
    #: Whether it speaks LMTP (RFC 2033).
    lmtp: bool
    #: Whether a TLS handshake comes first (RFC 8314 §3.3).
    implicit_tls: bool
    #: Whether it offers STARTTLS (RFC 3207).
    starttls: bool
    #: User name to password; AUTH is offered if there are any.
    users: Mapping[str, str] | None
    #: Those that it offers (RFC 4954).
    mechanisms: Sequence[str]
    #: Whether anybody is let in, where the mechanism shows the password.
    any_user: bool
    #: Whether MAIL needs authentication.
    require_auth: bool
    #: Whether AUTH is for TLS alone.
    auth_needs_tls: bool
    #: The lines of the EHLO reply besides STARTTLS and AUTH.
    extensions: Sequence[str]
    #: List name to members, for EXPN.
    lists: Mapping[str, Sequence[str]] | None
    #: Where to depart from serving.
    rules: Sequence[Rule]
    #: Whether BDAT in the group of MAIL and RCPT is no breach (RFC 3030 §2).
    eager: bool
    #: In octets, whatever SIZE says.
    max_message_size: int
    #: Of one message.
    max_recipients: int
    #: Seconds without input until it says 421 and closes.
    idle_timeout: float
    #: How many octets a piece of a reply has; None: it is sent whole.
    fragment: int | None
    #: Takes all that it sees, instead of its memory.
    record: Record | None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of `SMTPServer`, where each is explained."""

    hostname: str
    lmtp: bool
    implicit_tls: bool
    starttls: bool
    users: Mapping[str, str] = field(repr=False)
    mechanisms: Sequence[str]
    any_user: bool
    require_auth: bool
    auth_needs_tls: bool
    extensions: Sequence[str]
    lists: Mapping[str, Sequence[str]]
    eager: bool
    max_message_size: int
    max_recipients: int

    def __post_init__(self) -> None:
        """Refuse mechanisms that are not there."""
        unknown = set(self.mechanisms).difference(MECHANISMS)
        if unknown:
            raise ValueError(f"no such mechanisms: {', '.join(sorted(unknown))}")

    def offers(self, *, tls: bool) -> list[str]:
        """Give the lines of the EHLO reply behind the first."""
        lines = list(self.extensions)
        if self.starttls and not tls:
            lines.append("STARTTLS")
        if (self.users or self.any_user) and (tls or not self.auth_needs_tls):
            # Without TLS there is no channel to bind (RFC 5802 §4).
            usable = (m for m in self.mechanisms if tls or not m.endswith("-PLUS"))
            lines.append(" ".join(("AUTH", *usable)))
        return lines
