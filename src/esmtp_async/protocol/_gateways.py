"""Commands of relays and gateways: who the mail comes from, and who waits for some.

XCLIENT and XFORWARD are Postfix's; both tell attributes of somebody else's connection,
NAME, ADDR, PORT, PROTO, HELO and others, in xtext.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from esmtp_async.protocol import _grammar
from esmtp_async.protocol._commands import Command, with_argument
from esmtp_async.protocol._exceptions import InvalidInput, check_type
from esmtp_async.protocol._verbs import MAX_COMMAND_LINE, Verb

#: What is told of somebody else's connection; None: it is not available.
Attributes = Mapping[str, str | None]


class Etrn(Command):
    """ETRN: send what waits for a host, "@domain" and below, a "#queue" (RFC 1985).

    Raises `InvalidInput`.
    """

    __slots__ = ()
    verb = Verb.ETRN

    def __init__(self, node: str) -> None:
        check_type("the argument of ETRN", node, str)
        if not _grammar.NODE.fullmatch(node):
            msg = f"the argument of ETRN {node!r} names no node (RFC 1985 section 5)"
            raise InvalidInput(msg)
        super().__init__(with_argument("ETRN", node))


def checked(attributes: Attributes) -> dict[str, str | None]:
    """Give the attributes by their names in upper case; raises `InvalidInput`."""
    check_type("the attributes", attributes, Mapping)
    result: dict[str, str | None] = {}
    for name, value in attributes.items():
        check_type("the name of an attribute", name, str)
        if not _grammar.ATTRIBUTE.fullmatch(name.upper()):
            msg = f"attribute {name!r} is not named by letters"
            raise InvalidInput(msg)
        if value is not None:
            check_type(f"attribute {name}", value, str)
            if not _grammar.STRING.fullmatch(value):
                msg = f"attribute {name} is empty or holds a control character"
                raise InvalidInput(msg)
        result[name.upper()] = value
    return result


class _Told(Command):
    __slots__ = ()
    #: The word that it begins with.
    keyword: ClassVar[str]

    def __init__(self, attributes: Attributes) -> None:
        words = [
            f"{name}={'[UNAVAILABLE]' if value is None else _grammar.xtext(value)}"
            for name, value in checked(attributes).items()
        ]
        super().__init__(with_argument(self.keyword, " ".join(words)))


class Xclient(_Told):
    """XCLIENT: go on as if somebody else were connected.

    The server answers with its greeting, and everything begins anew.
    """

    __slots__ = ()
    verb = Verb.XCLIENT
    keyword = "XCLIENT"


class Xforward(_Told):
    """XFORWARD: who the next message comes from, for the server's log."""

    __slots__ = ()
    verb = Verb.XFORWARD
    keyword = "XFORWARD"

    @classmethod
    def lines(cls, attributes: Attributes) -> list[Xforward]:
        """Make as many commands as the length of a line calls for."""
        parts: list[dict[str, str | None]] = []
        room = 0
        for name, value in attributes.items():
            needed = len(cls({name: value}).wire)
            if needed > room:
                parts.append({})
                room = MAX_COMMAND_LINE
            parts[-1][name] = value
            room -= needed
        return [cls(part) for part in parts]
