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
    #: RFC 3207.
    STARTTLS = "STARTTLS"
    #: AUTH, up to its first reply (RFC 4954).
    AUTH = "AUTH"
    #: A line of the client within AUTH.
    RESPONSE = "RESPONSE"
    #: It opens a transaction (RFC 5321 §4.1.1.2).
    MAIL = "MAIL"
    #: One forward-path (RFC 5321 §4.1.1.3).
    RCPT = "RCPT"
    #: It asks for a 354 (RFC 5321 §4.1.1.4).
    DATA = "DATA"
    #: The mail data after DATA; the reply to their end answers it.
    CONTENT = "CONTENT"
    #: A chunk that is not the last (RFC 3030 §2).
    BDAT = "BDAT"
    #: `BDAT n LAST`.
    LAST = "LAST"
    #: It ends a transaction (RFC 5321 §4.1.1.5).
    RSET = "RSET"
    #: RFC 5321 §4.1.1.9.
    NOOP = "NOOP"
    #: RFC 5321 §4.1.1.6.
    VRFY = "VRFY"
    #: RFC 5321 §4.1.1.7.
    EXPN = "EXPN"
    #: RFC 5321 §4.1.1.8.
    HELP = "HELP"
    #: RFC 1985.
    ETRN = "ETRN"
    #: Postfix's; it begins the session anew.
    XCLIENT = "XCLIENT"
    #: Postfix's.
    XFORWARD = "XFORWARD"
    #: RFC 5321 §4.1.1.10.
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
