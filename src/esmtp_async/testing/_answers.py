"""What the server says: answers, and the two ways to say no."""

from __future__ import annotations

from typing import NamedTuple


class Answer(NamedTuple):
    """A reply before it is written (RFC 5321 §4.2)."""

    code: int
    #: The enhanced status code (RFC 3463); empty where none belongs (RFC 2034 §4).
    status: str
    #: Its lines, separated by LF.
    text: str

    def octets(self, *, enhanced: bool) -> bytes:
        """Give the reply as it goes on the wire."""
        prefix = f"{self.status} " if enhanced and self.status else ""
        *lines, last = self.text.split("\n")
        return "".join(
            [
                *(f"{self.code}-{prefix}{line}\r\n" for line in lines),
                f"{self.code} {prefix}{last}\r\n",
            ]
        ).encode()


class Refusal(Exception):
    """A command is refused, through no fault of the client."""

    def __init__(self, code: int, status: str, text: str) -> None:
        super().__init__(text)
        self.answer = Answer(code, status, text)


class Breach(Refusal):
    """A command is refused because the RFCs do not allow it."""


def refuse(refusal: Refusal) -> Answer:
    """Raise the refusal: what executes a command that cannot be."""
    raise refusal


def expect_argument(argument: str) -> None:
    """Refuse a command without the argument that it needs (RFC 5321 §4.1.1)."""
    if not argument:
        raise Breach(501, "5.5.4", "an argument is missing")


def expect_no_argument(argument: str) -> None:
    """Refuse an argument of a command that has none (RFC 5321 §4.1.1)."""
    if argument:
        raise Breach(501, "5.5.4", "an argument is not allowed")
