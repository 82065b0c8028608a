"""What `esmtp probe` finds out about a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from time import perf_counter
from typing import Final

from esmtp_async._certificates import Certificate
from esmtp_async._client import SMTPClient
from esmtp_async._events import (
    ConnectionOpened,
    Event,
    ReplyReceived,
    TLSStarted,
)
from esmtp_async._plan import Plan
from esmtp_async._transport import TLSInfo
from esmtp_async.protocol._exceptions import SMTPError
from esmtp_async.protocol._extensions import Extensions
from esmtp_async.protocol._replies import Reply
from esmtp_async.protocol._states import State

#: How many times the way there and back is gone.
_TRIPS: Final = 5
#: Days before its end when a certificate is worth a warning.
_SOON: Final = 14
_DAY: Final = 86400

_HELLOS: Final = ("EHLO ", "LHLO ")
# Mechanisms that say the password as it is, or as good as.
_IN_CLEAR: Final = frozenset({"PLAIN", "LOGIN"})

# A message that is never sent, to ask what would be said for it.
_SAMPLE: Final = b"Subject: a sample\r\n\r\nOne line.\r\n"
_SENDER: Final = "sender@example.com"
_RECIPIENT: Final = "recipient@example.com"


@dataclass(slots=True)
class Findings:
    """What was found out, up to where it came to an end; None: not known."""

    #: Where that was.
    server: str
    #: Whether it is a unix socket, where nobody listens in.
    is_private: bool = False
    greeting: Reply | None = None
    #: What was offered in clear text, and under TLS.
    before_tls: Extensions | None = None
    under_tls: Extensions | None = None
    tls: TLSInfo | None = None
    #: Whether TLS began with the connection, not by STARTTLS.
    is_implicit: bool = False
    certificate: Certificate | None = None
    #: Seconds of each NOOP.
    trips: list[float] = field(default_factory=list)
    #: What sending a small message to one recipient would come to.
    plan: Plan | None = None
    #: What ended it.
    error: SMTPError | None = None

    @property
    def extensions(self) -> Extensions:
        """What is offered to whoever sends mail."""
        return self.under_tls or self.before_tls or Extensions()

    @property
    def round_trip(self) -> float | None:
        """Seconds to the server and back, the median of what was measured."""
        return median(self.trips) if self.trips else None

    @property
    def days_left(self) -> int | None:
        """Whole days until the certificate ends."""
        if self.certificate is None:
            return None
        left = self.certificate.not_after - datetime.now(UTC)
        return int(left.total_seconds() // _DAY)

    def warnings(self) -> Iterator[str]:
        """Tell what whoever runs the server should look at, or who sends by it."""
        before = self.before_tls
        if before is not None and not self.is_private:
            in_clear = _IN_CLEAR.intersection(before.auth)
            if in_clear and (self.tls is not None or "STARTTLS" in before):
                names = " and ".join(sorted(in_clear))
                yield f"before STARTTLS, in clear text, AUTH offers {names}"
            elif in_clear:
                yield "AUTH is offered, and TLS is not: passwords go in clear text"
            elif "STARTTLS" not in before:
                yield "TLS is not offered: all mail goes in clear text"
        if self.under_tls is not None and "STARTTLS" in self.under_tls:
            yield "STARTTLS is offered once more, under TLS"
        if (days := self.days_left) is not None and days < _SOON:
            yield f"the certificate ends in {days} days"
        if self.greeting is not None and self.error is None:
            if "PIPELINING" not in self.extensions:
                yield "PIPELINING is not offered: each command waits for its reply"
            if "8BITMIME" not in self.extensions:
                yield "8BITMIME is not offered: some messages cannot be sent"


class Listener:
    """Learns from events what a server says before it is ready for mail."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._is_protected = False

    def __call__(self, event: Event) -> None:
        """Note an event; what `on_event` is for."""
        findings = self._findings
        match event:
            case ConnectionOpened(_, server, tls):
                findings.server = server
                self._is_protected = findings.is_implicit = tls is not None
            case TLSStarted():
                self._is_protected = True
            case ReplyReceived(_, command, reply, state):
                if findings.greeting is None:
                    findings.greeting = reply
                elif state is State.READY and (command or "").startswith(_HELLOS):
                    self._offered(Extensions.from_reply(reply))

    def _offered(self, extensions: Extensions) -> None:
        if self._is_protected:
            self._findings.under_tls = extensions
        else:
            self._findings.before_tls = extensions


async def find_out(client: SMTPClient, findings: Findings) -> None:
    """Talk to the server, and note all it tells; what ends that is noted, too."""
    try:
        info = await client.probe()
        findings.tls, findings.certificate = info.tls, info.certificate
        for _ in range(_TRIPS):
            started = perf_counter()
            await client.noop()
            findings.trips.append(perf_counter() - started)
        findings.plan = await client.plan(
            _SAMPLE, sender=_SENDER, recipients=_RECIPIENT
        )
    except SMTPError as error:
        findings.error = error
