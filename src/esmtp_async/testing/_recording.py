"""What was said, written down as scripts that a client can play along with again.

What differs from one run to the next is told by its form alone: the name of the
client, the size of the message, SASL responses and the mail data. So no secret and no
message is in a script; addresses are. Each reply stands behind what it answers, which
suits a client whether it sends groups or waits for each reply.

A mechanism that answers a challenge of its own day (CRAM-MD5, SCRAM, GSSAPI, NTLM)
cannot play along.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from esmtp_async._events import (
    CommandSent,
    ConnectionClosed,
    ConnectionOpened,
    Event,
    ReplyReceived,
)
from esmtp_async.testing._script import Script
from esmtp_async.testing._store import Said

# What stands for mail data in the events of a client.
_MAIL_DATA: Final = re.compile(r"<mail data, \d+ octets>")
# What a client says that differs from run to run, and its form.
_FORMS: Final = (
    (re.compile(r"(?P<kept>(EHLO|HELO|LHLO) ).+"), r"\S+"),
    (re.compile(r"(?P<kept>AUTH \S+ ).+"), r"\S+"),
    (re.compile(r"(?P<kept>)<\d+ octets>"), r"\S*"),
    (re.compile(r"(?P<kept>BURL )<URL>(?P<rest>.*)"), r"\S+"),
    (re.compile(r"(?P<kept>BDAT )\d+(?P<rest>.*)"), r"\d+"),
    (re.compile(r"(?P<kept>MAIL FROM:.* SIZE=)\d+(?P<rest>.*)"), r"\d+"),
)
_SPECIAL: Final = re.compile(r"[.^$*+?{}\[\]\\|()]")
_CHUNK: Final = re.compile(r"BDAT (?P<size>\d+)(?P<last> LAST)?", re.IGNORECASE)


@dataclass
class _Turn:
    """What the client says at once, and the replies to it."""

    verb: str
    lines: list[str] = field(default_factory=list)
    #: How many replies are still to come; None before it is known.
    missing: int | None = None


class Writer:
    """Writes the script of one connection, turn by turn."""

    def __init__(self, *, tls: bool) -> None:
        self._turns = [_Turn("CONNECT", ["S! tls"] if tls else [])]
        self._open = deque(self._turns)
        self._lmtp = False
        self._accepted = 0  # recipients of the transaction that replies are about

    @property
    def lines(self) -> list[str]:
        """The script so far."""
        return [line for turn in self._turns for line in turn.lines]

    def say(self, line: str) -> None:
        """Write what the client says: a line, or what stands for mail data."""
        if _MAIL_DATA.fullmatch(line):
            self.say_mail_data()
            return
        verb = line.partition(" ")[0].upper()
        self._lmtp = self._lmtp or verb == "LHLO"
        turn = _Turn(verb, [_form(line)])
        chunk = _CHUNK.fullmatch(line)
        if chunk is not None:
            turn.verb = "END" if chunk["last"] else "BDAT"
            turn.lines.append("C! chunk")
        self._begin(turn)

    def say_mail_data(self) -> None:
        """Write that the client sends mail data, or some more of them."""
        if self._turns[-1].lines != ["C! data"]:
            self._begin(_Turn("END", ["C! data"]))

    def reply(self, lines: list[bytes]) -> None:
        """Write a reply, without its CRLFs, to what has waited longest for one."""
        turn = self._open[0] if self._open else self._turns[-1]
        turn.lines += [_exactly("S", line) for line in lines]
        code = lines[-1][:3].decode("ascii", "replace")
        if turn.verb == "MAIL":
            self._accepted = 0
        elif turn.verb == "RCPT":
            self._accepted += code.startswith("2")
        elif turn.verb == "STARTTLS" and code == "220":
            turn.lines.append("S! tls")
        if turn.missing is None:
            several = self._lmtp and turn.verb == "END"
            turn.missing = self._accepted if several else 1
        turn.missing -= 1
        if turn.missing <= 0 and self._open:
            self._open.popleft()

    def cut_off(self) -> None:
        """Write that the connection ended before everything was answered."""
        if self._open:
            self._turns[-1].lines.append("S! eof")

    def _begin(self, turn: _Turn) -> None:
        self._turns.append(turn)
        self._open.append(turn)

    def script(self, name: str) -> Script:
        """Give the script so far."""
        return Script.parse("\n".join(self.lines), name)


def _form(line: str) -> str:
    """Write a line of the client, by its form where it is another one next time."""
    for pattern, form in _FORMS:
        match = pattern.fullmatch(line)
        if match is not None:
            kept, rest = match["kept"], match.groupdict().get("rest") or ""
            return f"C~: {_literal(kept)}{form}{_literal(rest)}"
    return _exactly("C", line.encode())


def _exactly(side: str, line: bytes) -> str:
    """Write a line as it is, with escapes if it would not be seen otherwise."""
    with suppress(UnicodeDecodeError):
        if (text := line.decode()).isprintable():
            return f"{side}: {text}"
    escaped = line.decode("latin-1").encode("unicode_escape").decode("ascii")
    return rf"{side}| {escaped}\r\n"


def _literal(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)


class Recorder:
    """Writes down what a client and a real server say, as scripts to play again.

    ::

        recorder = Recorder()
        async with SMTPClient("smtp.example.com", on_event=recorder) as client:
            await client.send(message)
        recorder.scripts[0].save("tests/conversations/example.txt")

    It is told by the client, so that it hears what TLS hides from the network. A
    connection that ended with something unanswered ends in `S! eof`.
    """

    def __init__(self) -> None:
        self._writers: dict[int, Writer] = {}

    def __call__(self, event: Event) -> None:
        """Take an event; a callback for `on_event`."""
        match event:
            case ConnectionOpened(number, _, tls):
                self._writers[number] = Writer(tls=tls is not None)
            case CommandSent(number, command):
                self._writers[number].say(command)
            case ReplyReceived(number, _, reply, _):
                *others, last = reply.lines
                lines = [b"%d-%b" % (reply.code, line) for line in others]
                self._writers[number].reply([*lines, b"%d %b" % (reply.code, last)])
            case ConnectionClosed(number):
                self._writers[number].cut_off()

    @property
    def scripts(self) -> list[Script]:
        """A script for each connection so far, in their order."""
        return [
            writer.script(f"connection {number}")
            for number, writer in enumerate(self._writers.values(), 1)
        ]


def script_of(said: Iterable[Said], name: str, *, tls: bool = False) -> Script:
    """Write down one conversation of a server's transcript.

    Args:
        said: what was said, in its order.
        name: what errors call the script.
        tls: whether it began with a TLS handshake.
    """
    writer = Writer(tls=tls)
    chunk = data = False  # whether they are what the client says next
    for side, octets in said:
        if side == "S":
            for reply in _replies(octets):
                writer.reply(reply)
                data = reply[-1].startswith(b"354")
        elif chunk:
            chunk = False
        elif data:
            data = False
            writer.say_mail_data()
        else:
            line = octets.removesuffix(b"\r\n").decode("utf-8", "replace")
            writer.say(line)
            match = _CHUNK.fullmatch(line)
            chunk = match is not None and int(match["size"]) > 0
    return writer.script(name)


def _replies(flight: bytes) -> Iterator[list[bytes]]:
    """Take a flight of replies apart, into lines without their CRLFs."""
    lines: list[bytes] = []
    for line in flight.removesuffix(b"\r\n").split(b"\r\n"):
        lines.append(line)
        if line[3:4] != b"-":
            yield lines
            lines = []
