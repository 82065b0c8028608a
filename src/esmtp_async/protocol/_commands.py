"""Commands: what a client says (RFC 5321 §4.1.1 and the extensions' RFCs).

A command checks its arguments when it is made and has its octets from then on:
whatever exists may go on the wire. Arguments outside the grammar raise
`InvalidInput`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import ClassVar

from esmtp_async.protocol import _grammar
from esmtp_async.protocol import _verbs as verbs
from esmtp_async.protocol._addresses import (
    ForwardPath,
    ReversePath,
    domain_or_literal,
)
from esmtp_async.protocol._content import canonical, terminated
from esmtp_async.protocol._exceptions import InvalidInput, check_type
from esmtp_async.protocol._redaction import Sealed
from esmtp_async.protocol._replies import printable
from esmtp_async.protocol._verbs import MAX_AUTH_LINE, MAX_COMMAND_LINE, Verb

#: Parameters of MAIL and RCPT: keyword to value, or to None where it has none.
Parameters = Mapping[str, str | None]


class Command:
    """One command; `wire` is its octets, `repr` shows none that may be secret."""

    __slots__ = ("wire",)

    #: What the machine knows of it.
    verb: Verb
    #: Whether octets of the same command follow (RFC 5321 §4.1.1.4).
    more: bool = False
    #: What no reply may show, should the server repeat it.
    secrets: tuple[bytes, ...] = ()

    def __init__(self, wire: bytes = b"") -> None:
        #: Its octets.
        self.wire: bytes = wire

    def __str__(self) -> str:
        """Give the line as it may be shown and logged."""
        return printable(self.wire.removesuffix(b"\r\n"))

    def __repr__(self) -> str:
        """Show the line as it may be shown and logged."""
        return f"<{type(self).__name__} {self}>"


def with_argument(verb: str, text: str) -> bytes:
    """Give `VERB text CRLF` for an argument of printable text."""
    check_type(f"the argument of {verb}", text, str)
    if not _grammar.STRING.fullmatch(text):
        msg = f"the argument of {verb} {text!r} is empty or holds a control character"
        raise InvalidInput(msg)
    line = f"{verb} {text}\r\n".encode()
    if len(line) > MAX_COMMAND_LINE:
        msg = f"the line of {verb} exceeds {MAX_COMMAND_LINE} octets"
        raise InvalidInput(msg)
    return line


def _with_parameters(verb: str, path: bytes, parameters: Parameters | None) -> bytes:
    """Give `VERB:<path> KEY=value ... CRLF` (RFC 5321 §4.1.2)."""
    line = b"%b:%b" % (verb.encode(), path)
    if not parameters:
        return line + b"\r\n"
    if not isinstance(parameters, dict):
        check_type("parameters", parameters, Mapping)
    for keyword, value in parameters.items():
        if not isinstance(keyword, str):
            check_type("parameter keyword", keyword, str)
        if not _grammar.KEYWORD.fullmatch(keyword):
            msg = f"parameter keyword {keyword!r} of {verb} is not an esmtp-keyword"
            raise InvalidInput(msg)
        if value is None:
            line += b" " + keyword.encode()
            continue
        if not isinstance(value, str):
            check_type(f"value of parameter {keyword}", value, str)
        if not _grammar.VALUE.fullmatch(value):
            msg = (
                f"value {value!r} of parameter {keyword} of {verb} is not an "
                "esmtp-value (RFC 5321 section 4.1.2)"
            )
            raise InvalidInput(msg)
        line += f" {keyword}={value}".encode()
    return line + b"\r\n"


class Connect(Command):
    """The opening of the connection; it has no octets of its own."""

    __slots__ = ()
    verb = Verb.CONNECT

    def __str__(self) -> str:
        """Name what has no line."""
        return "(connect)"


class _Hello(Command):
    __slots__ = ()
    verb = Verb.HELLO
    #: The word that it begins with.
    keyword: ClassVar[str]

    def __init__(self, client_hostname: str) -> None:
        name = domain_or_literal(client_hostname)
        super().__init__(f"{self.keyword} {name}\r\n".encode())


class Ehlo(_Hello):
    """EHLO: who we are, and what do you offer? (RFC 5321 §4.1.1.1)."""

    __slots__ = ()
    keyword = "EHLO"


class Helo(_Hello):
    """HELO: EHLO's predecessor, answered without extensions."""

    __slots__ = ()
    keyword = "HELO"


class Lhlo(_Hello):
    """LHLO: the EHLO of LMTP (RFC 2033 §4.1)."""

    __slots__ = ()
    keyword = "LHLO"


class StartTLS(Command):
    """STARTTLS: the TLS handshake follows the 220 (RFC 3207 §4)."""

    __slots__ = ()
    verb = Verb.STARTTLS

    def __init__(self) -> None:
        super().__init__(b"STARTTLS\r\n")


def _secrets(response: bytes) -> tuple[bytes, ...]:
    """Give what is secret in a response of SASL, as it is said and as it is."""
    parts = response.secrets if isinstance(response, Sealed) else (response,)
    return (b64encode(response), *parts)


class Auth(Command):
    """AUTH with a SASL mechanism and perhaps its first response (RFC 4954 §4).

    Raises `InvalidInput`.
    """

    __slots__ = ("mechanism", "secrets")
    verb = Verb.AUTH

    def __init__(self, mechanism: str, initial: bytes | None = None) -> None:
        check_type("the name of the SASL mechanism", mechanism, str)
        if not _grammar.SASL_MECHANISM.fullmatch(mechanism):
            msg = f"{mechanism!r} is not the name of a SASL mechanism (RFC 4422)"
            raise InvalidInput(msg)
        #: The name of the SASL mechanism.
        self.mechanism: str = mechanism
        self.secrets: tuple[bytes, ...] = () if initial is None else _secrets(initial)
        wire = b"AUTH " + mechanism.encode()
        if initial is not None:
            # An empty response is "=", for nothing would mean none (RFC 4954 §4).
            wire += b" " + (b64encode(initial) or b"=")
        super().__init__(wire + b"\r\n")

    def __str__(self) -> str:
        """Give the line without the response."""
        line = f"AUTH {self.mechanism}"
        hidden = len(self.wire) - len(line) - 3
        return f"{line} <{hidden} octets>" if hidden > 0 else line


class Response(Command):
    """A response to a SASL challenge, or `*` to cancel (RFC 4954 §4).

    Raises `InvalidInput`.
    """

    __slots__ = ("secrets",)
    verb = Verb.RESPONSE

    def __init__(self, response: bytes | None) -> None:
        self.secrets: tuple[bytes, ...] = () if response is None else _secrets(response)
        super().__init__((b"*" if response is None else b64encode(response)) + b"\r\n")
        if len(self.wire) > MAX_AUTH_LINE:
            msg = f"a SASL response exceeds {MAX_AUTH_LINE} octets on the wire"
            raise InvalidInput(msg)

    def __str__(self) -> str:
        """Tell the length of the line, which may be a secret."""
        return "*" if self.wire == b"*\r\n" else f"<{len(self.wire) - 2} octets>"


class Mail(Command):
    """MAIL: a transaction begins, with its reverse-path (RFC 5321 §4.1.1.2).

    Raises `InvalidInput`.
    """

    __slots__ = ()
    verb = Verb.MAIL

    def __init__(
        self, reverse_path: ReversePath | str, parameters: Parameters | None = None
    ) -> None:
        if not isinstance(reverse_path, ReversePath):
            check_type("the reverse-path", reverse_path, str, ReversePath)
            reverse_path = ReversePath.parse(reverse_path)
        self.wire: bytes = _with_parameters("MAIL FROM", reverse_path.wire, parameters)


class Rcpt(Command):
    """RCPT: one forward-path (RFC 5321 §4.1.1.3).

    Raises `InvalidInput`.
    """

    __slots__ = ()
    verb = Verb.RCPT

    def __init__(
        self, forward_path: ForwardPath | str, parameters: Parameters | None = None
    ) -> None:
        if not isinstance(forward_path, ForwardPath):
            check_type("the forward-path", forward_path, str, ForwardPath)
            forward_path = ForwardPath.parse(forward_path)
        self.wire: bytes = _with_parameters("RCPT TO", forward_path.wire, parameters)


class Data(Command):
    """DATA: may the mail data come? (RFC 5321 §4.1.1.4)."""

    __slots__ = ()
    verb = Verb.DATA

    def __init__(self) -> None:
        super().__init__(b"DATA\r\n")


class Content(Command):
    """The mail data after 354, up to the lone dot (RFC 5321 §4.1.1.4, §4.5.2).

    Given the message's octets it is complete: line ends made CRLF, dots
    doubled, the end behind them. `pieces` makes one that goes out in parts.

    Raises `InvalidInput`.
    """

    __slots__ = ("more",)
    verb = Verb.CONTENT

    def __init__(self, octets: bytes = b"") -> None:
        check_type("the mail data", octets, bytes)
        self.more: bool = False
        super().__init__(terminated(canonical(octets)))

    @classmethod
    def piece(cls, wire: bytes, *, more: bool) -> Content:
        """Make a part of it out of octets that are stuffed already."""
        part = cls.__new__(cls)
        part.more = more
        part.wire = wire
        return part

    def __str__(self) -> str:
        """Tell the length; the message is nobody else's."""
        return f"<mail data, {len(self.wire)} octets>"


class Bdat(Command):
    """BDAT: a chunk of the mail data, exactly as given (RFC 3030 §2).

    Raises `InvalidInput`.
    """

    __slots__ = ("_line_length", "verb")

    def __init__(self, octets: bytes, *, last: bool = False) -> None:
        check_type("the chunk", octets, bytes)
        self.verb: Verb = verbs.LAST if last else verbs.BDAT
        line = b"BDAT %d LAST" % len(octets) if last else b"BDAT %d" % len(octets)
        self._line_length = len(line)
        self.wire: bytes = line + b"\r\n" + octets

    def __str__(self) -> str:
        """Give the command line without the octets."""
        return self.wire[: self._line_length].decode("ascii")


class Burl(Command):
    """BURL: mail data that the server fetches from a URL (RFC 4468 §3).

    It stands where BDAT could, and with `last` it is the end of the mail data.

    Raises `InvalidInput`.
    """

    __slots__ = ("secrets", "verb")

    def __init__(self, url: str, *, last: bool = False) -> None:
        check_type("the URL", url, str)
        if not _grammar.URL.fullmatch(url):
            msg = "the argument of BURL is no absolute URI in ASCII (RFC 4468)"
            raise InvalidInput(msg)
        self.verb: Verb = verbs.LAST if last else verbs.BDAT
        # It authorizes whoever has it to read a mailbox (RFC 4467 §3).
        self.secrets: tuple[bytes, ...] = (url.encode(),)
        super().__init__(f"BURL {url}{' LAST' if last else ''}\r\n".encode())
        if len(self.wire) > MAX_COMMAND_LINE:
            msg = f"the line of BURL exceeds {MAX_COMMAND_LINE} octets"
            raise InvalidInput(msg)

    def __str__(self) -> str:
        """Give the line without the URL."""
        return f"BURL <URL>{' LAST' if self.verb is verbs.LAST else ''}"


class Rset(Command):
    """RSET: forget the transaction (RFC 5321 §4.1.1.5)."""

    __slots__ = ()
    verb = Verb.RSET

    def __init__(self) -> None:
        super().__init__(b"RSET\r\n")


class Noop(Command):
    """NOOP: are you there? (RFC 5321 §4.1.1.9)."""

    __slots__ = ()
    verb = Verb.NOOP

    def __init__(self) -> None:
        super().__init__(b"NOOP\r\n")


def _asked_about(string: str) -> str:
    """Add the parameter that text outside ASCII needs (RFC 6531 §3.7.4.2)."""
    return string if str(string).isascii() else f"{string} SMTPUTF8"


class Vrfy(Command):
    """VRFY: is this a user or a mailbox? (RFC 5321 §4.1.1.6)."""

    __slots__ = ()
    verb = Verb.VRFY

    def __init__(self, string: str) -> None:
        super().__init__(with_argument("VRFY", _asked_about(string)))


class Expn(Command):
    """EXPN: who is on this list? (RFC 5321 §4.1.1.7)."""

    __slots__ = ()
    verb = Verb.EXPN

    def __init__(self, string: str) -> None:
        super().__init__(with_argument("EXPN", _asked_about(string)))


class Help(Command):
    """HELP, in general or on a command (RFC 5321 §4.1.1.8)."""

    __slots__ = ()
    verb = Verb.HELP

    def __init__(self, string: str = "") -> None:
        super().__init__(with_argument("HELP", string) if string else b"HELP\r\n")


class Quit(Command):
    """QUIT: we are done (RFC 5321 §4.1.1.10)."""

    __slots__ = ()
    verb = Verb.QUIT

    def __init__(self) -> None:
        super().__init__(b"QUIT\r\n")
