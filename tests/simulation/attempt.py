"""One transaction, as the octets tell it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.simulation.reading import Reading

_STATUS: Final = re.compile(rb"([45])\d\d[ -](\1\.\d{1,3}\.\d{1,3})(?: |\r)")


def _means_too_many(code: int, status: bytes) -> bool:
    """Tell whether a refusal at RCPT is for the number of recipients alone."""
    if code == 452:
        return status in {b"", b"4.5.3"}
    return code == 552 and status not in {b"5.2.2", b"5.3.4"}


@dataclass(eq=False)
class Attempt:
    """What was said of a message on one line, and what was answered."""

    #: When its first command was said, by `Entry.moment`, and on which line.
    since: int
    line: Reading
    #: Empty until MAIL is said: RSET may come first.
    sender: str = ""
    #: Transactions that were under way then on this line, itself counted.
    beside: int = 1
    #: When it was over.
    until: float = math.inf
    mail: int = 0
    recipients: list[str] = field(default_factory=list)
    rcpt: dict[str, int] = field(default_factory=dict)
    #: Who was refused because there were too many already.
    too_many: set[str] = field(default_factory=set)
    data: int = 0
    finals: list[int] = field(default_factory=list)
    shutdown: bool = False
    #: Whether an octet of the mail data, or their end, was handed over.
    begun: bool = False
    committed: bool = False
    #: How it went that others need not: `groups`, `chunks`, `eager`.
    ways: set[str] = field(default_factory=set)
    #: Whether the last reply to the end of the mail data was read.
    answered: bool = False

    @property
    def accepted(self) -> list[str]:
        if self.mail // 100 != 2:
            return []
        return [path for path, code in self.rcpt.items() if code // 100 == 2]

    @property
    def postponed(self) -> set[str]:
        """Who is left for another transaction (RFC 5321 §4.5.3.1.10)."""
        taken = self.answered and any(code < 300 for code in self.finals)
        return self.too_many if taken else set()

    @property
    def refusals(self) -> list[int]:
        """The refusals before the mail data, but for 421."""
        codes = (self.mail, *self.rcpt.values(), self.data)
        return [code for code in codes if code >= 400]

    @property
    def is_out_of_step(self) -> bool:
        """Whether something was refused as unknown, or as out of turn."""
        codes = {*self.rcpt.values(), self.data, *self.finals}
        return bool(codes & {500, 502, 503})

    @property
    def settled(self) -> bool:
        """Whether nothing more was to be said."""
        none_left = bool(self.rcpt) and self.rcpt.keys() == set(self.recipients)
        return (
            self.answered
            or self.mail >= 400
            or self.data >= 400
            or (none_left and not self.accepted)
        )

    def decide(self, verb: str, path: str, code: int, line: bytes) -> None:
        """Take a reply to one of its commands."""
        if code == 421:
            self.shutdown = True
        elif verb == "MAIL":
            self.mail = code
        elif verb == "RCPT":
            self.rcpt[path] = code
            status = _STATUS.match(line)
            if self.accepted and _means_too_many(code, status[2] if status else b""):
                self.too_many.add(path)
        elif verb in {"CONTENT", "LAST"}:
            self.finals.append(code)
        elif code >= 400 and not self.data:
            self.data = code

    def outcome(self, recipient: str, *, lmtp: bool) -> str:
        """Tell what the sender must be told."""
        refusals = (self.mail, self.rcpt.get(recipient, 0), self.data)
        if any(code // 100 in {4, 5} and code != 421 for code in refusals):
            return "REFUSED"
        if recipient in self.accepted:
            place = self.accepted.index(recipient) if lmtp else 0
            if place < len(self.finals):
                return "ACCEPTED" if self.finals[place] < 300 else "REFUSED"
        if self.shutdown:
            return "REFUSED"
        return "UNKNOWN" if self.committed else "NOT_SENT"
