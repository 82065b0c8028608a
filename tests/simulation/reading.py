"""A second reading of what passed on a line: what the octets amount to.

It knows nothing of the client's own session. It counts: the n-th reply answers the
n-th command (RFC 2920 §3.1); and it judges as RFC 5321 has it, in the simplest way.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from esmtp_async import Timeouts
from tests.simulation.attempt import Attempt
from tests.simulation.line import Entry

MAX_LINE: Final = 2048
#: Of the clocks, in seconds.
TOLERANCE: Final = 0.001

_REPLY_LINE: Final = re.compile(rb"([2-5]\d\d)(?:([ -])([^\n]*))?\r\n", re.DOTALL)
_PATH: Final = re.compile(rb"(MAIL FROM|RCPT TO):<([^>]*)>", re.IGNORECASE)
_CHUNK: Final = re.compile(rb"BDAT (\d+)( LAST)?")
_DOT: Final = re.compile(rb"(?:^|\r\n)\.\r\n")


# Verb to the codes that may answer it, where the first digit does not decide.
_LEGAL: Final = {
    "CONNECT": rb"220|[45]..",
    "STARTTLS": rb"220|[45]..",
    "AUTH": rb"235|334|[45]..",
    "DATA": rb"354|[45]..",
    "RSET": rb"2..|421",
}
#: What nothing may follow before it is answered (RFC 2920 §3.1).
_ALONE: Final = frozenset({"CONNECT", "EHLO", "LHLO", "HELO", "AUTH", "DATA", "QUIT"})
# Verb to the field of `Timeouts` that bounds its reply.
_LIMITS: Final = {
    "CONNECT": "greeting",
    "DATA": "data",
    "BDAT": "data",
    "CONTENT": "final",
    "LAST": "final",
    "QUIT": "quit",
}
#: Seconds that a connection may live on, to hear last words.
_LAST_WORDS: Final = 1.01


@dataclass
class _Sent:
    """A command, and how many replies it still waits for."""

    verb: str
    attempt: Attempt | None
    path: str = ""
    due: int | None = None

    @property
    def over(self) -> bool:
        """Whether its transaction is over, whatever the reply will be."""
        return self.verb == "CONTENT" or (
            self.attempt is not None and self.attempt.mail >= 400
        )


class Reading:
    """What passed on one line, understood."""

    def __init__(
        self,
        record: Sequence[Entry],
        timeouts: Timeouts,
        calls: Mapping[str, Hashable],
        *,
        lmtp: bool,
    ) -> None:
        self.attempts: list[Attempt] = []
        #: What the client did that it may not.
        self.problems: list[str] = []
        #: The lines of the last reply to EHLO.
        self.offers: tuple[bytes, ...] = ()
        #: When the client said something last, by `Entry.moment`.
        self.said = 0
        #: Seconds that were left for the reply awaited when the client hung up.
        self.left = 0.0
        self._calls = calls  # which call of the client's sends what a sender sends
        self._lmtp = lmtp
        self._timeouts = timeouts
        self._outstanding: deque[_Sent] = deque([_Sent("CONNECT", None)])
        self._attempt: Attempt | None = None
        self._over = ""  # why nothing more may be written, nor counts if read
        self._failed = False  # nothing more may be written; last words count
        self._read = b""
        self._lines: list[bytes] = []
        self._written = b""
        self._content: bytes | None = None  # of DATA, once 354 was read
        self._chunk = 0  # octets of a chunk that are still to come
        self._challenged = False
        self._since = record[0].time if record else 0.0
        handlers = {"C": self._say, "S": self._hear, "failed": self._fail}
        for entry in record:
            self._check_time(entry)
            if entry.what in handlers:
                handlers[entry.what](entry.octets)
            if entry.what in {"C", "sent", "tls"}:
                self._since = entry.time
        for sent in self._outstanding:
            if sent.attempt is not None:
                sent.attempt.until = self._moment

    @property
    def head(self) -> Attempt | None:
        """The transaction whose reply was awaited when the line ended."""
        return self._outstanding[0].attempt if self._outstanding else self._attempt

    @property
    def ran_out(self) -> bool:
        """Whether the time for the reply awaited was up when the line ended."""
        return bool(self._outstanding) and self.left < TOLERANCE

    @property
    def limits(self) -> dict[str, int]:
        """What the server told of its limits (RFC 9422)."""
        pairs = b" ".join(self.offers).split()
        return {
            name.decode(): int(number)
            for name, number in (pair.split(b"=") for pair in pairs if b"=" in pair)
        }

    def _check_time(self, entry: Entry) -> None:
        self._now, self._moment = entry.time, entry.moment
        if not self._outstanding:
            self.left = 0.0
            return
        verb = self._outstanding[0].verb
        name = "block" if self._content is not None else _LIMITS.get(verb, "command")
        self.left = self._since + getattr(self._timeouts, name) - entry.time
        # Nobody waits for the reply to QUIT: the connection only lies there.
        if self.left < -_LAST_WORDS and verb != "QUIT":
            self._since = entry.time
            self.problems.append(f"waited longer than `{name}` for {verb}")

    def _end(self, why: str) -> None:
        if not self._over:
            self._over = why

    # The client

    def _fail(self, _octets: bytes) -> None:
        self._failed = True

    def _say(self, octets: bytes) -> None:
        if self._over or self._failed:
            why = self._over or "a write failed"
            self.problems.append(f"{octets[:60]!r} written although {why}")
        elif not self._outstanding and (self._read or self._lines):
            self.problems.append(f"{octets[:60]!r} written behind octets unasked for")
        self._written += octets
        self.said = self._moment
        before = None
        while self._written and self._written != before:
            before = self._written
            if self._chunk:
                self._take_chunk()
            elif self._content is not None:
                self._take_content()
            else:
                self._take_command()

    def _take_chunk(self) -> None:
        taken = self._written[: self._chunk]
        self._written = self._written[len(taken) :]
        self._chunk -= len(taken)
        if not self._chunk:
            self._end_chunk()

    def _end_chunk(self) -> None:
        if self._outstanding[-1].verb == "LAST" and self._attempt is not None:
            self._attempt.committed = True

    def _take_content(self) -> None:
        content = self._content
        assert content is not None
        assert self._attempt is not None
        if not content:
            self._outstanding.append(_Sent("CONTENT", self._attempt))
        self._attempt.begun = True
        content += self._written
        self._written = b""
        self._content = content
        if end := _DOT.search(content):
            self._attempt.committed = True
            self._written = content[end.end() :]
            self._content = None
            self._settle()

    def _take_command(self) -> None:
        line, end, rest = self._written.partition(b"\r\n")
        if not end:
            return
        self._written = rest
        if self._challenged:
            self._challenged = False
            self._outstanding.append(_Sent("AUTH", None))
            return
        verb = line.split(b" ")[0].upper().decode("latin-1")
        self._check_group(verb)
        if path := _PATH.match(line):
            address = path[2].decode("latin-1")
            if verb == "MAIL":
                self._take_mail(address)
            elif self._attempt is not None:
                self._attempt.recipients.append(address)
            self._outstanding.append(_Sent(verb, self._attempt, address))
        elif chunk := _CHUNK.match(line):
            assert self._attempt is not None
            verb = "LAST" if chunk[2] else "BDAT"
            self._outstanding.append(_Sent(verb, self._attempt))
            self._attempt.begun = True
            self._attempt.ways.add("chunks")
            self._chunk = int(chunk[1])
            if not self._chunk:
                self._end_chunk()
        elif verb == "RSET":
            self._begin()
            self._outstanding.append(_Sent(verb, self._attempt))
        else:
            attempt = self._attempt if verb == "DATA" else None
            self._outstanding.append(_Sent(verb, attempt))
            # What comes behind QUIT is nobody's.
            self._attempt = None if verb == "QUIT" else self._attempt

    def _check_group(self, verb: str) -> None:
        """See that a command may follow what is not answered (RFC 2920 §3.1)."""
        if not self._outstanding:
            return
        grouped = [sent.verb for sent in self._outstanding]
        pipelining = any(line.upper() == b"PIPELINING" for line in self.offers)
        if not pipelining or verb == "QUIT" or grouped[-1] in _ALONE:
            self.problems.append(f"{verb} written with {grouped} unanswered")
        if self._attempt is not None and self._outstanding[-1].attempt:
            self._attempt.ways.add("eager" if verb == "BDAT" else "groups")

    def _begin(self) -> Attempt:
        self._attempt = attempt = Attempt(self._moment, self)
        self.attempts.append(attempt)
        return attempt

    def _take_mail(self, sender: str) -> None:
        attempt = self._attempt
        if attempt is None or attempt.sender:
            attempt = self._begin()
        attempt.sender = sender
        before = [sent for sent in self._outstanding if sent.attempt is not attempt]
        others = list(dict.fromkeys(sent.attempt for sent in before))
        attempt.beside = len(others) + 1
        for one in (*others, attempt) if others else ():
            if one is not None:
                one.ways.add("trains")
        # Behind a chunk that may be refused, only RSET leads on (RFC 3030 §2).
        anew = bool(self._outstanding) and self._outstanding[-1].verb == "RSET"
        strangers = [
            other.sender
            for other in others
            if other and self._calls.get(other.sender) != self._calls.get(sender)
        ]
        if strangers or not (anew or all(sent.over for sent in before)):
            verbs = [sent.verb for sent in before]
            self.problems.append(f"MAIL of {sender} with {verbs} unanswered")

    # The server

    def _hear(self, octets: bytes) -> None:
        self._read += octets
        while not self._over:
            line, end, rest = self._read.partition(b"\n")
            if len(line + end) > MAX_LINE:
                self._end("a line was too long")
            elif end:
                self._read = rest
                self._hear_line(line + end)
            else:
                return

    def _hear_line(self, line: bytes) -> None:
        match = _REPLY_LINE.fullmatch(line)
        if match is None or (self._lines and self._lines[0][:3] != match[1]):
            self._end(f"{line[:60]!r} was read")
            return
        self._lines.append(line)
        if match[2] != b"-":
            lines, self._lines = self._lines, []
            self._since = self._now
            self._take_reply(int(match[1]), lines)

    def _take_reply(self, code: int, lines: list[bytes]) -> None:
        if not self._outstanding:
            if code == 421 and self._attempt is not None:
                self._attempt.shutdown = True
            self._end(f"{lines[0][:60]!r} was read, which nobody asked for")
            return
        sent = self._outstanding[0]
        early = sent.verb == "CONTENT" and self._content is not None
        if not self._is_legal(sent, code) or (early and code < 300):
            self._end(f"{code} was read as the reply to {sent.verb}")
            return
        if code == 421 or early:
            self._end("the server has ended it")
        if sent.attempt is not None:
            sent.attempt.decide(sent.verb, sent.path, code, lines[0])
        if sent.verb in {"EHLO", "LHLO", "HELO"} and code < 300:
            self.offers = tuple(line[4:].strip() for line in lines[1:])
        self._challenged = code == 334
        self._content = b"" if code == 354 else self._content
        sent.due = (self._due(sent) if sent.due is None else sent.due) - 1
        if not sent.due or self._over:
            self._outstanding.popleft()
            if sent.attempt is not None:
                sent.attempt.answered |= sent.verb in {"CONTENT", "LAST"}
                sent.attempt.until = self._moment
            self._settle()

    def _is_legal(self, sent: _Sent, code: int) -> bool:
        """Tell whether a server may answer so."""
        if sent.verb in {"BDAT", "LAST"} and code < 300 and not self._expected(sent):
            return False
        legal = _LEGAL.get(sent.verb, rb"[245]..")
        return re.fullmatch(legal, b"%d" % code) is not None

    def _expected(self, sent: _Sent) -> bool:
        """Tell whether the server can take mail data."""
        attempt = sent.attempt
        return attempt is not None and bool(attempt.accepted) and not attempt.data

    def _due(self, sent: _Sent) -> int:
        """Count the replies to the command at the head (RFC 2033 §4.2)."""
        if not self._lmtp or sent.verb not in {"CONTENT", "LAST"}:
            return 1
        assert sent.attempt is not None
        if sent.verb == "LAST" and not self._expected(sent):
            return 1
        return len(sent.attempt.accepted)

    def _settle(self) -> None:
        """See whether the head of the queue waits for no reply at all."""
        if self._outstanding and self._outstanding[0].verb == "CONTENT":
            head = self._outstanding[0]
            head.due = self._due(head)
            if not head.due:
                self._outstanding.clear()
                self._end("no reply will tell that it was understood")
