r"""Dialogues written down as text.

::

    # What the server says (S) and what the client must say (C), line by line.
    S: 220 mail.example.test ESMTP
    C: EHLO client.example.test
    S: 250-mail.example.test
    S: 250 PIPELINING
    C~: MAIL FROM:<\S+>( SIZE=\d+)?
    C: RCPT TO:<b@example.test>
    --
    S: 250 ok
    S: 250 ok
    C: DATA
    S| 354 go ah
    S! wait 0.1
    S| ead\r\n
    C| Subject: hi\r\n\r\nhi\r\n.\r\n
    S! rst

`C:` and `S:` stand for a line and its CRLF, `C|` and `S|` for octets, with the escapes
of Python and nothing added; `C~:` is a regular expression for a line. `--` says that
the client's flight ends here: nothing more of it may have arrived. Blank lines, lines
that begin with `#`, and space before a line mean nothing.

`S! eof` closes the connection, `S! rst` resets it, and with `S! hang` the server
neither reads nor writes any more; nothing can follow these. `S! wait SECONDS` pauses,
`S! tls` does the server's half of a TLS handshake.

`C! data` stands for mail data, whatever they are, up to the lone dot that ends them;
`C! chunk` for as many octets as the `BDAT` before it says.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple, Self


class Action(Enum):
    """What a step of a script does."""

    #: The client must send exactly these octets.
    EXPECT = "expect"
    #: The client must send a line that matches.
    MATCH = "match"
    #: The client must have stopped sending.
    PAUSE = "pause"
    #: The client must send mail data, whatever they are.
    DATA = "data"
    #: The client must send the chunk that its BDAT announced, whatever it is.
    CHUNK = "chunk"
    #: The server sends these octets.
    SAY = "say"
    #: The server closes the connection.
    EOF = "eof"
    #: The server resets the connection.
    RST = "rst"
    #: The server does nothing any more.
    HANG = "hang"
    #: The server takes its time.
    WAIT = "wait"
    #: The server shakes hands for TLS.
    TLS = "tls"


#: What nothing can follow.
_FINAL: Final = frozenset({Action.EOF, Action.RST, Action.HANG})


class Step(NamedTuple):
    """One line of a script."""

    #: Its number, from 1.
    line: int
    #: What it does.
    action: Action
    #: What stands behind the mark, or behind the name of the directive.
    text: str
    #: The octets that are expected or said.
    octets: bytes = b""


def _line(text: str) -> bytes:
    return text.encode() + b"\r\n"


def _escaped(text: str) -> bytes:
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def _nothing(_text: str) -> bytes:
    return b""


#: Mark to action, and to what makes octets of the text behind it.
_MARKS: Final[dict[str, tuple[Action, Callable[[str], bytes]]]] = {
    "C:": (Action.EXPECT, _line),
    "C|": (Action.EXPECT, _escaped),
    "C~:": (Action.MATCH, _nothing),
    "S:": (Action.SAY, _line),
    "S|": (Action.SAY, _escaped),
    "--": (Action.PAUSE, _nothing),
}

#: A directive to its action, and to the form of what it takes.
_DIRECTIVES: Final = {
    "C! data": (Action.DATA, r""),
    "C! chunk": (Action.CHUNK, r""),
    "S! eof": (Action.EOF, r""),
    "S! rst": (Action.RST, r""),
    "S! hang": (Action.HANG, r""),
    "S! tls": (Action.TLS, r""),
    "S! wait": (Action.WAIT, r"\d+(\.\d+)?"),
}


def _read(number: int, line: str, before: Step | None) -> Step:
    """Read one line that is neither blank nor a comment.

    Raises:
        ValueError: if it cannot be read, or not behind the step before.
    """
    if before is not None and before.action in _FINAL:
        raise ValueError(f"nothing can follow {before.action.value}")
    mark, _, text = line.partition(" ")
    if mark in {"C!", "S!"}:
        name, _, argument = text.partition(" ")
        if f"{mark} {name}" not in _DIRECTIVES:
            raise ValueError(f"{name!r} is no directive")
        action, form = _DIRECTIVES[f"{mark} {name}"]
        if not re.fullmatch(form, argument):
            raise ValueError(f"{argument!r} behind {name}")
        return Step(number, action, argument)
    if mark not in _MARKS:
        raise ValueError(f"{mark!r} is no mark")
    action, octets = _MARKS[mark]
    if action is Action.MATCH:
        re.compile(text)
    if action is Action.PAUSE and text:
        raise ValueError(f"{text!r} behind --")
    return Step(number, action, text, octets(text))


@dataclass(frozen=True)
class Script:
    """A dialogue, step by step."""

    #: What an error calls it, for example the name of its file.
    name: str
    #: Its lines, in order.
    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, text: str, name: str = "script") -> Self:
        """Read a dialogue.

        Raises:
            ValueError: naming the line that cannot be read.
        """
        steps: list[Step] = []
        for number, line in enumerate(text.split("\n"), 1):
            content = line.removesuffix("\r").lstrip()
            if not content or content.startswith("#"):
                continue
            try:
                step = _read(number, content, steps[-1] if steps else None)
            except (ValueError, re.error) as error:
                raise ValueError(f"{name}:{number}: {content!r}: {error}") from error
            steps.append(step)
        return cls(name, tuple(steps))

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a dialogue from a file, whose name it gets.

        Raises:
            OSError: if the file cannot be read.
            ValueError: naming the line that cannot be read.
        """
        file = Path(path)
        return cls.parse(file.read_text(encoding="utf-8"), file.name)

    @property
    def text(self) -> str:
        """The dialogue as text that `parse` reads, a line for each step."""
        return "".join(f"{_write(step)}\n" for step in self.steps)

    def save(self, path: Path | str) -> None:
        """Write the dialogue to a file.

        Raises:
            OSError: if that does not work.
        """
        Path(path).write_text(self.text, encoding="utf-8", newline="\n")


_NAMES: Final = {action: name for name, (action, _) in _DIRECTIVES.items()}


def _write(step: Step) -> str:
    """Write one step as a line; no space is left behind what has no text."""
    if step.action in _NAMES:
        return f"{_NAMES[step.action]} {step.text}".rstrip()
    marks = [mark for mark, (action, _) in _MARKS.items() if action is step.action]
    for mark in marks:
        if _MARKS[mark][1](step.text) == step.octets:
            return f"{mark} {step.text}" if step.text else mark
    raise ValueError(f"{step.text!r} does not make {step.octets!r}")
