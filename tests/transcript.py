"""Conversations as plain text files, `tests/transcripts/*.txt`.

A file is blocks of lines with an empty line between them. First a title. Then what
the client is told, `# key: value`, with an `M:` for each line of a message: first
the keys of the client, then each `# sender:` begins another message, and the keys
behind it are that message's. Then come the flights::

    C: MAIL FROM:<alice@example.test>     what the client writes at once
    C: RCPT TO:<bob@example.test>
    S: 250 ok                             what the server says to it
    S: 550 no
    EOF                                   it closes the connection

    TLS                                   the handshake goes before this flight
    C: EHLO client.example.test

The last block is what must come of it, in its order::

    ! TLSFailed 454 starttls              the error that ended something, its reply
                                          code or `-`, and its stage
    = bob@example.test REFUSED 550 rcpt   each recipient of each message: outcome,
                                          reply code or `-`, stage, `temporary`
    @ CLOSED                              the state of the session
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from esmtp_async.protocol import Parameter, Recipient, State

FOLDER: Final = Path(__file__).parent / "transcripts"


@dataclass
class Message:
    """A message to send, and how."""

    sender: str
    recipients: list[Recipient] = field(default_factory=list)
    #: Parameters of MAIL that the caller asks for.
    parameters: list[Parameter] = field(default_factory=list)
    #: Each with its CRLF; a stream yields them one by one.
    lines: list[bytes] = field(default_factory=list)
    eager: bool = False
    all_or_nothing: bool = False
    stream: bool = False
    #: Whether its octets are BINARYMIME.
    binary: bool = False

    @property
    def octets(self) -> bytes:
        """The whole message."""
        return b"".join(self.lines)


@dataclass
class Flight:
    """What the client writes at once, and what the server says to that."""

    said: bytes
    #: The lines of the replies, each with its CRLF.
    heard: list[bytes]
    #: Whether a TLS handshake goes before it.
    handshake: bool
    #: Whether the server closes the connection after it.
    eof: bool


@dataclass
class Transcript:
    """One file."""

    name: str
    title: str
    client: str = "client.example.test"
    lmtp: bool = False
    pipelining: bool = True
    #: The value of a `StartTLSPolicy`.
    starttls: str = "never"
    #: The mechanism, and what it is given: user name, password.
    auth: tuple[str, ...] = ()
    allow_plaintext_auth: bool = False
    #: What is asked for by VRFY before the first message.
    verify: str = ""
    messages: list[Message] = field(default_factory=list)
    flights: list[Flight] = field(default_factory=list)
    #: The lines that begin with `!` and `=`.
    outcomes: list[str] = field(default_factory=list)
    state: State = State.CLOSED


def transcripts() -> list[Transcript]:
    """Load all of them, by name."""
    return [load(path) for path in sorted(FOLDER.glob("*.txt"))]


def load(path: Path) -> Transcript:
    """Read one file; a line that means nothing is a `ValueError` that names it."""
    try:
        return parse(path.stem, path.read_text(encoding="utf-8"))
    except (LookupError, ValueError) as error:
        message = f"{path}: {error}"
        raise ValueError(message) from error


def parse(name: str, text: str) -> Transcript:
    """Read what stands in a file."""
    blocks = text.removesuffix("\n").split("\n\n")
    title, told, *flights, end = [block.split("\n") for block in blocks]
    transcript = Transcript(name, " ".join(title))
    for line in told:
        _tell(transcript, line)
    transcript.flights = [_flight(lines) for lines in flights]
    *transcript.outcomes, state = end
    transcript.state = State(state.removeprefix("@ "))
    return transcript


def _tell(transcript: Transcript, line: str) -> None:
    """Read one line of what the client is told."""
    if line.startswith("M:"):
        transcript.messages[-1].lines.append(_octets(line))
        return
    option = re.fullmatch(r"# (\w+): (.+)", line)
    if option is None:
        raise ValueError(line)
    key, value = option.groups()
    if key == "sender":
        transcript.messages.append(Message("" if value == "<>" else value))
    elif key == "recipient":
        transcript.messages[-1].recipients.append(_recipient(value))
    elif key == "parameter":
        transcript.messages[-1].parameters.append(_parameter(value))
    elif key == "auth":
        transcript.auth = tuple(value.split())
    else:
        told = transcript.messages[-1] if transcript.messages else transcript
        if key not in vars(told):
            raise ValueError(line)
        known = {"yes": True, "no": False}
        setattr(told, key, known.get(value, value))


def _recipient(text: str) -> Recipient:
    """Read `address`, and perhaps `notify=...` and `orcpt=...`."""
    address, *options = text.split()
    words = dict(option.split("=", 1) for option in options)
    notify, orcpt = words.pop("notify", None), words.pop("orcpt", None)
    if words:
        raise ValueError(text)
    return Recipient(address, notify=notify and notify.split(","), orcpt=orcpt)


def _parameter(text: str) -> Parameter:
    """Read a parameter of MAIL: the extension, and `KEYWORD=value`."""
    extension, parameter = text.split()
    keyword, _, value = parameter.partition("=")
    return Parameter(extension, keyword, value or None)


def _flight(lines: list[str]) -> Flight:
    """Read what the client says, and what the server says to it."""
    handshake, eof = lines[0] == "TLS", lines[-1] == "EOF"
    turns = lines[handshake : len(lines) - eof]
    kinds = "".join(line[:2] for line in turns)
    if not re.fullmatch(r"(C:)*(S:)*", kinds):
        raise ValueError(turns)
    said = kinds.count("C:")
    heard = [_octets(line) for line in turns[said:]]
    return Flight(b"".join(map(_octets, turns[:said])), heard, handshake, eof)


def _octets(line: str) -> bytes:
    """Give what stands behind the mark and its space, as one line of the wire."""
    return line[2:].removeprefix(" ").encode() + b"\r\n"
