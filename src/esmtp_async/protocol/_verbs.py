"""Verbs: what the state machine knows of commands (RFC 5321 §4.1.1, §4.3.2)."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from esmtp_async.protocol._outcomes import Stage

#: RFC 5321 §4.5.3.1.4, CRLF included.
MAX_COMMAND_LINE: Final = 512
#: A base64 line of AUTH may be longer than other lines (RFC 4954 §4); CRLF included.
MAX_AUTH_LINE: Final = 12288


class Verb(Enum):
    """What the state machine knows of a command."""

    #: Opening the connection; the greeting answers it (RFC 5321 §4.3.2).
    CONNECT = "CONNECT"
    #: EHLO, HELO or LHLO.
    HELLO = "HELLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    #: A line of the client within AUTH.
    RESPONSE = "RESPONSE"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    #: The mail data after DATA; the reply to their end answers it.
    CONTENT = "CONTENT"
    BDAT = "BDAT"
    #: `BDAT n LAST`.
    LAST = "LAST"
    RSET = "RSET"
    NOOP = "NOOP"
    VRFY = "VRFY"
    EXPN = "EXPN"
    HELP = "HELP"
    ETRN = "ETRN"
    XCLIENT = "XCLIENT"
    XFORWARD = "XFORWARD"
    QUIT = "QUIT"

    if not TYPE_CHECKING:
        # Enum hashes in Python code; members are singletons, so identity does.
        __hash__ = object.__hash__


# By these names they are found ten times as fast in Python 3.11 as by the class.
(
    CONNECT,
    HELLO,
    STARTTLS,
    AUTH,
    RESPONSE,
    MAIL,
    RCPT,
    DATA,
    CONTENT,
    BDAT,
    LAST,
    RSET,
    NOOP,
    VRFY,
    EXPN,
    HELP,
    ETRN,
    XCLIENT,
    XFORWARD,
    QUIT,
) = Verb

#: Where in the conversation the reply to a verb belongs.
STAGES: Final = {
    Verb.CONNECT: Stage.GREETING,
    Verb.HELLO: Stage.HELLO,
    Verb.STARTTLS: Stage.STARTTLS,
    Verb.AUTH: Stage.AUTH,
    Verb.RESPONSE: Stage.AUTH,
    Verb.MAIL: Stage.MAIL,
    Verb.RCPT: Stage.RCPT,
    Verb.DATA: Stage.DATA,
    Verb.CONTENT: Stage.FINAL,
    Verb.BDAT: Stage.DATA,
    Verb.LAST: Stage.FINAL,
    Verb.RSET: Stage.RSET,
    Verb.NOOP: Stage.COMMAND,
    Verb.VRFY: Stage.COMMAND,
    Verb.EXPN: Stage.COMMAND,
    Verb.HELP: Stage.COMMAND,
    Verb.ETRN: Stage.COMMAND,
    Verb.XCLIENT: Stage.COMMAND,
    Verb.XFORWARD: Stage.COMMAND,
    Verb.QUIT: Stage.QUIT,
}

#: The verbs whose reply says whether the server knows us.
AUTHENTICATING: Final = frozenset({Verb.AUTH, Verb.RESPONSE})

#: The verbs whose reply says what the server offers, or to whom.
INTRODUCING: Final = AUTHENTICATING | {Verb.HELLO, Verb.XCLIENT}

#: The verbs whose reply says whether the message was taken.
END_OF_MAIL_DATA: Final = frozenset({Verb.CONTENT, Verb.LAST})
