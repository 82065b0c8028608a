"""Commands in, answers out: what is the same for every command.

A dialogue reads command lines strictly, answers them by the rules the server was
given, and keeps the record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from esmtp_async.protocol._replies import printable
from esmtp_async.testing._answers import Answer, Breach, Refusal
from esmtp_async.testing._arguments import (
    MAIL_PARAMETERS,
    RCPT_PARAMETERS,
    line_allowance,
)
from esmtp_async.testing._rules import RuleBook
from esmtp_async.testing._store import Page, Record
from esmtp_async.testing._wire import Hangup, LineTooLong, Wire

#: RFC 4954 §4: the longest line of all, CRLF included.
MAX_AUTH_LINE: Final = 12288
#: RFC 5321 §4.5.3.1.4: any other, where no extension says more.
MAX_LINE: Final = 512

# RFC 2920 §3.1; RFC 3207 §4 and RFC 4954 §4 for STARTTLS and AUTH.
_LAST_IN_GROUP: Final = frozenset(
    {
        *("EHLO", "HELO", "LHLO", "STARTTLS", "AUTH", "RESPONSE", "DATA"),
        *("NOOP", "VRFY", "EXPN", "HELP", "ETRN", "XCLIENT", "QUIT"),
    }
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_INITIAL_RESPONSE: Final = re.compile(
    rb"(AUTH\s+\S+\s+)(\S.*)", re.IGNORECASE | re.DOTALL
)
#: How much of a command line a violation quotes.
_SHOWN: Final = 120


@dataclass
class Client:
    """What the server knows of the client."""

    #: Where is written what it says.
    page: Page
    #: Whether it has said EHLO, HELO or LHLO.
    introduced: bool = False
    #: Who has been authenticated.
    username: str | None = None
    #: Whether TLS is up.
    tls: bool = False
    #: Whom it stands for, as XCLIENT told.
    xclient: Mapping[str, str] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Which connection to the server it has, counted from 1."""
        return self.page.number

    def secured(self) -> None:
        """Forget everything but that TLS is up now (RFC 3207 §4.2)."""
        self.introduced = False
        self.username = None
        self.tls = True


class CommandLine(NamedTuple):
    """A command line as read."""

    #: In upper case.
    verb: str
    argument: str
    #: What is wrong with the line, whatever its verb.
    fault: Breach | None = None


class Dialogue:
    """The exchange of lines and answers on one connection."""

    def __init__(
        self, record: Record, rules: RuleBook, wire: Wire, client: Client
    ) -> None:
        self._record = record
        self._rules = rules
        self._wire = wire
        self._client = client
        self._shown = ""
        #: What the last EHLO reply said: keyword in upper case to its parameters.
        self.offered: dict[str, str] = {}
        #: Whether the client sent the command before it could see all earlier replies.
        self.in_group = False

    def breach(self, problem: str) -> None:
        """Put a breach of the RFCs on record."""
        self._record.breach(self._client.number, self._remark(problem))

    def note(self, oddity: str) -> None:
        """Put something odd on record."""
        self._record.note(self._client.number, self._remark(oddity))

    def _remark(self, text: str) -> str:
        return f"connection {self._client.number}, at '{self._shown}': {text}"

    async def command(self) -> CommandLine:
        """Read a command line."""
        try:
            octets = await self._wire.line(MAX_AUTH_LINE)
        except LineTooLong:
            self._hear(b"<too many octets>\r\n")
            return CommandLine("", "", Breach(500, "5.5.6", "the line is too long"))
        secret = _INITIAL_RESPONSE.fullmatch(octets)
        if secret is None or not secret[2].strip():
            self._hear(octets)
        else:
            self._hear(b"%b<%d octets>\r\n" % (secret[1], len(secret[2].rstrip())))
        line = self._read(octets)
        self._check_group(line.verb)
        return line

    def _read(self, octets: bytes) -> CommandLine:
        text = octets.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
        verb, _, argument = text.partition(" ")
        line = CommandLine(verb.upper(), argument)
        if not octets.endswith(b"\r\n"):
            problem = "the line ends in LF without CR"
        elif _CONTROL.search(text):
            problem = "the line holds a control character"
        elif len(octets) > (limit := self._limit(line.verb)):
            problem = f"the line exceeds {limit} octets"
        elif not octets.isascii() and "SMTPUTF8" not in self.offered:
            problem = "octets above 127 though SMTPUTF8 is not offered"
        elif "\ufffd" in text:
            problem = "the line is not UTF-8"
        else:
            return line
        return line._replace(fault=Breach(500, "5.5.2", problem))

    def _limit(self, verb: str) -> int:
        if verb == "AUTH":
            return MAX_AUTH_LINE
        parameters = {"MAIL": MAIL_PARAMETERS, "RCPT": RCPT_PARAMETERS}.get(verb, {})
        return MAX_LINE + line_allowance(parameters, self.offered)

    async def response(self) -> bytes:
        """Read a line of the client within AUTH, and give it without its end.

        Raises:
            Breach: if it cannot be one.
        """
        try:
            octets = await self._wire.line(MAX_AUTH_LINE)
        except LineTooLong:
            raise Breach(500, "5.5.6", "the response is too long") from None
        response = octets.removesuffix(b"\n").removesuffix(b"\r")
        self._hear(b"<%d octets>\r\n" % len(response))
        self._check_group("RESPONSE")
        if not octets.endswith(b"\r\n"):
            raise Breach(501, "5.5.2", "the response ends in LF without CR")
        return response

    def heard(self, octets: bytes | None, end: bytes = b"") -> None:
        """Put mail data on record; None if there were too many to keep."""
        self._wire.hear(b"<too many octets>" if octets is None else octets + end)

    def _hear(self, octets: bytes) -> None:
        self._wire.hear(octets)
        self._shown = printable(octets[:_SHOWN].rstrip(b"\r\n"))

    def _check_group(self, verb: str) -> None:
        self.in_group = self._wire.collected
        if self.in_group and "PIPELINING" not in self.offered:
            self.breach("sent before the reply to the command before it")
        if verb in _LAST_IN_GROUP and self._wire.pending:
            self.breach(f"{verb} must be the last of its group")

    async def answer(
        self, verb: str, argument: str, act: Callable[[], Answer]
    ) -> bytes:
        """Execute a command as far as the rules allow, and give what was answered.

        A `Breach` of `act` goes on record; it and any other `Refusal` become replies.

        Raises:
            Hangup: if this was the last thing that the server says.
        """
        rule = self._rules.match(verb, argument)
        if rule.delay:
            await self._wire.listen(rule.delay)
        octets = self._perform(act) if rule.executes else b""
        said = rule.octets or octets
        if not rule.silent:
            self._wire.reply(said)
        if rule.drop:
            await self._wire.flush()
            await self._wire.reset()
        if rule.drop or rule.close or said.startswith(b"421"):
            raise Hangup
        return said

    def _perform(self, act: Callable[[], Answer]) -> bytes:
        try:
            answer = act()
        except Refusal as refusal:
            answer = refusal.answer
            if isinstance(refusal, Breach):
                self.breach(answer.text)
        return answer.octets(enhanced="ENHANCEDSTATUSCODES" in self.offered)
