"""Sessions in any state, and commands of any verb, for the tests of the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import pytest

from esmtp_async.protocol import (
    Auth,
    Bdat,
    Command,
    Connect,
    Content,
    Data,
    Ehlo,
    Etrn,
    Expn,
    Help,
    Mail,
    Noop,
    Quit,
    Rcpt,
    RemoteProtocolError,
    Replied,
    Reply,
    Response,
    Rset,
    Session,
    StartTLS,
    State,
    Verb,
    Vrfy,
    Xclient,
    Xforward,
)

#: What the server offers in these sessions.
EHLO_REPLY: Final = (
    b"250-mail.example.test\r\n"
    b"250-PIPELINING\r\n"
    b"250-CHUNKING\r\n"
    b"250-STARTTLS\r\n"
    b"250 AUTH PLAIN LOGIN\r\n"
)

OK: Final = b"250 ok\r\n"
NO: Final = b"550 no\r\n"
GO_AHEAD: Final = b"354 go ahead\r\n"

#: A group up to the mail data, and answers to it.
ENVELOPE: Final = (Verb.MAIL, Verb.RCPT, Verb.DATA)
ENVELOPE_TAKEN: Final = (OK, OK, GO_AHEAD)

#: A command of each verb.
COMMANDS: Final[Mapping[Verb, Command]] = {
    Verb.CONNECT: Connect(),
    Verb.HELLO: Ehlo("client.example.test"),
    Verb.STARTTLS: StartTLS(),
    Verb.AUTH: Auth("LOGIN"),
    Verb.RESPONSE: Response(b"alice"),
    Verb.MAIL: Mail("alice@example.test"),
    Verb.RCPT: Rcpt("bob@example.test"),
    Verb.DATA: Data(),
    Verb.CONTENT: Content(b"Subject: hello\r\n\r\nHello\r\n"),
    Verb.BDAT: Bdat(b"Subject: hello\r\n\r\n"),
    Verb.LAST: Bdat(b"Hello\r\n", last=True),
    Verb.RSET: Rset(),
    Verb.NOOP: Noop(),
    Verb.VRFY: Vrfy("bob"),
    Verb.EXPN: Expn("staff"),
    Verb.HELP: Help(),
    Verb.ETRN: Etrn("example.test"),
    Verb.XCLIENT: Xclient({"NAME": "host.example.test"}),
    Verb.XFORWARD: Xforward({"NAME": "host.example.test"}),
    Verb.QUIT: Quit(),
}

#: How each state is reached: the greeting, then verbs and their replies in turn.
_GREETING: Final = (b"220 mail.example.test\r\n",)
_READY: Final = (*_GREETING, Verb.HELLO, EHLO_REPLY)
_MAIL: Final = (*_READY, Verb.MAIL, b"250 ok\r\n")
_RCPT: Final = (*_MAIL, Verb.RCPT, b"250 ok\r\n")
ROUTES: Final[Mapping[State, tuple[Verb | bytes, ...]]] = {
    State.CONNECTED: (),
    State.GREETED: _GREETING,
    State.REFUSED: (b"554 no service\r\n",),
    State.READY: _READY,
    State.MAIL: _MAIL,
    State.RCPT: _RCPT,
    State.DATA: (*_RCPT, Verb.DATA, b"354 go ahead\r\n"),
    State.BDAT: (*_RCPT, Verb.BDAT, b"250 chunk\r\n"),
    State.INDETERMINATE: (*_RCPT, Verb.BDAT, b"452 no space\r\n"),
    State.AUTH: (*_READY, Verb.AUTH, b"334 VXNlcm5hbWU6\r\n"),
    State.TLS: (*_READY, Verb.STARTTLS, b"220 go ahead\r\n"),
    State.CLOSED: (b"421 closing\r\n",),
}


def play(session: Session, steps: Iterable[Verb | bytes]) -> list[Replied]:
    """Send the verbs, feed the octets, and give what came back, one reply a step."""
    events: list[Replied] = []
    for step in steps:
        if isinstance(step, Verb):
            session.send(COMMANDS[step])
        else:
            session.receive_data(step)
            events.append(replied(session))
    return events


def replied(session: Session) -> Replied:
    """Take the next event, which must be a reply."""
    event = session.next_event()
    assert isinstance(event, Replied), event
    return event


def session_in(state: State, *, lmtp: bool = False, pipelining: bool = True) -> Session:
    """Give a session that was led to the state by commands and replies alone."""
    session = Session(lmtp=lmtp, pipelining=pipelining)
    play(session, ROUTES[state])
    assert session.state is state
    return session


class Owner:
    """Somebody who sends commands, and whose replies are not delivered here."""

    def replied(self, command: Command | None, reply: Reply, /) -> None:
        """Say that they were."""
        raise AssertionError((command, reply))


def violation(session: Session) -> str:
    """Take the error that must come next, and see that it is the end."""
    with pytest.raises(RemoteProtocolError) as caught:
        session.next_event()
    assert session.state is session.projected is State.CLOSED
    assert not session.may_continue
    assert not session.reusable
    return str(caught.value)
