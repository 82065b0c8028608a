"""The state machine as a table (RFC 5321 §4.1.4, §4.3.2).

RFC 821 §4.4 drew SMTP as automata whose arrows are the first digits of the
replies; this is that drawing with every extension in it. One row says in which
states a verb may be sent and which state each severity of its reply leads to.

Three ideas carry everything else:

* Connecting is the first command and the greeting its reply (RFC 5321 §4.3.2).
  The mail data are a command and the reply to their end answers it. A line of
  SASL is a command. So there is nothing but commands and replies.
* A state is where the *server* is once the replies so far were read. What is
  still on its way is a queue of commands, and the n-th reply answers the n-th
  of them (RFC 2920 §3.1 demands counting).
* What may be sent is decided in the *projected* state: the one that holds when
  everything on its way is answered well.

A command sent in a group may be overtaken by the refusal of one before it: its
reply then arrives in a state it could not have been sent in. The rows marked
OVERTAKEN are those arrivals.

What the rows do not hold, because it is no state of the session: whether we
are authenticated, what was offered, and how many replies LMTP still owes.
421 is no row either: it closes the channel in answer to anything (RFC 5321 §3.8),
and `TRANSITIONS` has it for every state a reply may arrive in.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from esmtp_async.protocol._replies import Severity
from esmtp_async.protocol._verbs import MAX_AUTH_LINE, Verb


class State(Enum):
    """Where the server is, by the replies so far."""

    #: The connection stands; the server speaks first.
    CONNECTED = "CONNECTED"
    #: It greeted; it waits for EHLO. Again so after a TLS handshake.
    GREETED = "GREETED"
    #: It greeted with 4yz or 5yz; it waits for QUIT.
    REFUSED = "REFUSED"
    #: It waits for MAIL; no transaction is open.
    READY = "READY"
    #: It has a reverse-path; it waits for the first RCPT.
    MAIL = "MAIL"
    #: It has a forward-path; it waits for more, or for the mail data.
    RCPT = "RCPT"
    #: It said 354; it takes everything for mail data until the lone dot.
    DATA = "DATA"
    #: It has a chunk; it waits for the next.
    BDAT = "BDAT"
    #: A transaction came to grief; it waits for RSET (RFC 3030 §2).
    INDETERMINATE = "INDETERMINATE"
    #: It said 334; it waits for a line of SASL.
    AUTH = "AUTH"
    #: It said 220 to STARTTLS; it waits for a ClientHello.
    TLS = "TLS"
    #: Nothing more will be said.
    CLOSED = "CLOSED"

    if not TYPE_CHECKING:
        # Enum hashes in Python code; members are singletons, so identity does.
        __hash__ = object.__hash__


class Never(Enum):
    """The mark of an answer that no server may give."""

    NEVER = "never"


class Row(NamedTuple):
    """One line of the table: a verb, where it may be, and what its reply does."""

    #: What is sent.
    verb: Verb
    #: The states it may be sent in; if overtaken, those its reply arrives in.
    states: frozenset[State]
    #: The state after 2yz; None: it stays as it is; NEVER: no server may answer so.
    completion: State | Never | None
    #: The same after 3yz.
    intermediate: State | Never | None
    #: The same after 4yz or 5yz.
    refusal: State | Never | None
    #: Whether another command may follow before it is answered (RFC 2920 §3.1).
    group: bool
    #: Whether a refusal before it came first (RFC 2920 §3.1).
    overtaken: bool = False


def _in(names: str) -> frozenset[State]:
    return frozenset(State[name] for name in names.split())


(
    CONNECTED,
    GREETED,
    REFUSED,
    READY,
    MAIL,
    RCPT,
    DATA,
    BDAT,
    INDET,
    AUTH,
    TLS,
    CLOSED,
) = State
#: The mark of an answer that no server may give.
NEVER: Final = Never.NEVER
STAY: Final = None
GROUP: Final = True
ALONE: Final = False
OVERTAKEN: Final = True

# The columns: verb, states, then the state after 2yz, 3yz, and 4yz or 5yz.
# fmt: off
# ruff: noqa: E501
#: The whole machine as it was written, each line a `Row`.
ROWS: Final = (
    Row(Verb.CONNECT,  _in("CONNECTED"),                             GREETED, NEVER, REFUSED, ALONE),
    Row(Verb.HELLO,    _in("GREETED READY MAIL RCPT INDETERMINATE"), READY,   NEVER, STAY,    ALONE),
    Row(Verb.STARTTLS, _in("READY"),                                 TLS,     NEVER, STAY,    ALONE),
    Row(Verb.AUTH,     _in("READY"),                                 READY,   AUTH,  STAY,    ALONE),
    Row(Verb.RESPONSE, _in("AUTH"),                                  READY,   AUTH,  READY,   ALONE),
    Row(Verb.MAIL,     _in("READY"),                                 MAIL,    NEVER, STAY,    GROUP),
    Row(Verb.RCPT,     _in("MAIL RCPT"),                             RCPT,    NEVER, STAY,    GROUP),
    Row(Verb.DATA,     _in("RCPT"),                                  NEVER,   DATA,  STAY,    ALONE),
    Row(Verb.CONTENT,  _in("DATA"),                                  READY,   NEVER, READY,   GROUP),
    Row(Verb.BDAT,     _in("RCPT BDAT"),                             BDAT,    NEVER, INDET,   GROUP),
    Row(Verb.LAST,     _in("RCPT BDAT"),                             READY,   NEVER, INDET,   GROUP),
    Row(Verb.RSET,     _in("READY MAIL RCPT BDAT INDETERMINATE"),    READY,   NEVER, NEVER,   GROUP),
    Row(Verb.RSET,     _in("GREETED"),                               STAY,    NEVER, NEVER,   GROUP),
    Row(Verb.NOOP,     _in("GREETED READY MAIL RCPT BDAT INDETERMINATE"),
                                                                     STAY,    NEVER, STAY,    ALONE),
    Row(Verb.VRFY,     _in("GREETED READY MAIL RCPT INDETERMINATE"), STAY,    NEVER, STAY,    ALONE),
    Row(Verb.EXPN,     _in("GREETED READY MAIL RCPT INDETERMINATE"), STAY,    NEVER, STAY,    ALONE),
    Row(Verb.HELP,     _in("GREETED READY MAIL RCPT INDETERMINATE"), STAY,    NEVER, STAY,    ALONE),
    Row(Verb.ETRN,     _in("READY"),                                 STAY,    NEVER, STAY,    ALONE),
    # What comes behind 220 comes from another client, who is to be greeted.
    Row(Verb.XCLIENT,  _in("READY"),                                 GREETED, NEVER, STAY,    ALONE),
    Row(Verb.XFORWARD, _in("READY"),                                 STAY,    NEVER, STAY,    GROUP),
    Row(Verb.QUIT,     _in("GREETED REFUSED READY MAIL RCPT BDAT INDETERMINATE"),
                                                                     CLOSED,  NEVER, CLOSED,  ALONE),
    # A forward-path taken although its MAIL was refused leaves the server with
    # half a transaction: RSET must come before the next one.
    Row(Verb.RCPT,     _in("READY INDETERMINATE"),                   INDET,   NEVER, STAY,    GROUP, OVERTAKEN),
    # 354 although nobody was accepted: RFC 2920 §3.1 foresees it.
    Row(Verb.DATA,     _in("READY MAIL INDETERMINATE"),              NEVER,   DATA,  STAY,    ALONE, OVERTAKEN),
    Row(Verb.BDAT,     _in("READY MAIL INDETERMINATE"),              NEVER,   NEVER, INDET,   GROUP, OVERTAKEN),
    Row(Verb.LAST,     _in("READY MAIL INDETERMINATE"),              NEVER,   NEVER, INDET,   GROUP, OVERTAKEN),
)
# fmt: on

#: Where a reply leads: (state, verb, severity) to state. What is missing here
#: no server may say.
Transitions = Mapping[tuple[State, Verb, Severity], State]

#: The code that says so (RFC 4954 §6).
AUTHENTICATED: Final = 235

#: The code that alone will do where one changes the transport or who we are
#: (RFC 5321 §4.3.2, RFC 3207 §4, RFC 4954 §4; Postfix's XCLIENT).
EXACT_CODES: Final = {
    (Verb.CONNECT, Severity.COMPLETION): 220,
    (Verb.STARTTLS, Severity.COMPLETION): 220,
    (Verb.AUTH, Severity.COMPLETION): AUTHENTICATED,
    (Verb.AUTH, Severity.INTERMEDIATE): 334,
    (Verb.RESPONSE, Severity.COMPLETION): AUTHENTICATED,
    (Verb.RESPONSE, Severity.INTERMEDIATE): 334,
    (Verb.DATA, Severity.INTERMEDIATE): 354,
    (Verb.XCLIENT, Severity.COMPLETION): 220,
}

#: The verbs that have some.
EXACTING: Final = frozenset(verb for verb, _ in EXACT_CODES)

#: Octets of a line of the reply to a verb, where that may be longer than others:
#: a challenge of SASL. It is four times what must be taken, so that what is too
#: long can still be refused in order (RFC 4954 §4).
REPLY_LINES: Final[Mapping[Verb, int]] = {
    Verb.AUTH: 4 * MAX_AUTH_LINE,
    Verb.RESPONSE: 4 * MAX_AUTH_LINE,
}


def transitions(rows: tuple[Row, ...]) -> Transitions:
    """Expand the rows to one entry for each state, verb and severity."""
    table: dict[tuple[State, Verb, Severity], State] = {}
    for row in rows:
        after = (
            (Severity.COMPLETION, row.completion),
            (Severity.INTERMEDIATE, row.intermediate),
            (Severity.TRANSIENT, row.refusal),
            (Severity.PERMANENT, row.refusal),
            (Severity.SHUTDOWN, CLOSED),
        )
        for state in row.states:
            for severity, target in after:
                if not isinstance(target, Never):
                    table[state, row.verb, severity] = target or state
    return table


def projection(rows: tuple[Row, ...]) -> Mapping[tuple[State, Verb], State]:
    """Tell for each state and verb the state that a good answer leads to.

    LAST is projected to INDETERMINATE although 2yz leads to READY: a message
    of a group may be refused after the next one has been sent, which would then
    go out under the old reverse-path. So RSET stands between them (RFC 3030 §2).
    """
    table: dict[tuple[State, Verb], State] = {}
    for row in rows:
        for state in row.states:
            target = next(
                t
                for t in (row.completion, row.intermediate, row.refusal)
                if not isinstance(t, Never)
            )
            table[state, row.verb] = target or state
            if row.verb is Verb.LAST:
                table[state, row.verb] = INDET
    return table


#: Where a reply leads: from state, verb and severity to the next state. What is not
#: in it is a violation.
TRANSITIONS: Final = transitions(ROWS)

#: Where a good reply leads: from state and verb to the next state.
PROJECTION: Final = projection(ROWS)

#: What may be sent where: pairs of a state and a verb.
SENDABLE: Final = frozenset(
    (state, row.verb) for row in ROWS if not row.overtaken for state in row.states
)

#: The verbs that another command may follow before they are answered.
GROUPABLE: Final = frozenset(row.verb for row in ROWS if row.group)
