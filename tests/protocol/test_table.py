"""The table of transitions, against the RFCs: each state, each verb, each severity.

`TABLE` says once more what `ROWS` says, turned by ninety degrees and read from
the RFCs anew: state by state, with every target spelled out. Columns: the state
after 2yz, after 3yz, after 4yz or 5yz (`-`: no server may say so), and the state
assumed while the reply is awaited. A `~` marks what cannot be sent there, but
may arrive there behind a refusal in its group.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import pytest

from esmtp_async.protocol import (
    CLOSED,
    LOST,
    PROJECTION,
    SENDABLE,
    TRANSITIONS,
    LocalProtocolError,
    RemoteProtocolError,
    Replied,
    Sent,
    Session,
    Severity,
    State,
    Verb,
)
from tests.protocol.sessions import COMMANDS, play, session_in

TABLE: Final = """
CONNECTED                                           RFC 5321 §3.1, §4.3.2
  CONNECT     GREETED        -      REFUSED         GREETED
GREETED                                             RFC 5321 §4.1.4
  HELLO       READY          -      GREETED         READY
  RSET        GREETED        -      -               GREETED
  NOOP        GREETED        -      GREETED         GREETED
  VRFY        GREETED        -      GREETED         GREETED
  EXPN        GREETED        -      GREETED         GREETED
  HELP        GREETED        -      GREETED         GREETED
  QUIT        CLOSED         -      CLOSED          CLOSED
REFUSED                                             RFC 5321 §3.1
  QUIT        CLOSED         -      CLOSED          CLOSED
READY                                               RFC 5321 §3.3, §4.1.4
  HELLO       READY          -      READY           READY
  STARTTLS    TLS            -      READY           TLS
  AUTH        READY          AUTH   READY           READY
  MAIL        MAIL           -      READY           MAIL
  RSET        READY          -      -               READY
  NOOP        READY          -      READY           READY
  VRFY        READY          -      READY           READY
  EXPN        READY          -      READY           READY
  HELP        READY          -      READY           READY
  ETRN        READY          -      READY           READY
  XCLIENT     GREETED        -      READY           GREETED
  XFORWARD    READY          -      READY           READY
  QUIT        CLOSED         -      CLOSED          CLOSED
  ~RCPT       INDETERMINATE  -      READY           INDETERMINATE
  ~DATA       -              DATA   READY           DATA
  ~BDAT       -              -      INDETERMINATE   INDETERMINATE
  ~LAST       -              -      INDETERMINATE   INDETERMINATE
MAIL                                                RFC 5321 §3.3, §4.1.4
  HELLO       READY          -      MAIL            READY
  RCPT        RCPT           -      MAIL            RCPT
  RSET        READY          -      -               READY
  NOOP        MAIL           -      MAIL            MAIL
  VRFY        MAIL           -      MAIL            MAIL
  EXPN        MAIL           -      MAIL            MAIL
  HELP        MAIL           -      MAIL            MAIL
  QUIT        CLOSED         -      CLOSED          CLOSED
  ~DATA       -              DATA   MAIL            DATA
  ~BDAT       -              -      INDETERMINATE   INDETERMINATE
  ~LAST       -              -      INDETERMINATE   INDETERMINATE
RCPT                                                RFC 5321 §3.3, RFC 3030 §2
  HELLO       READY          -      RCPT            READY
  RCPT        RCPT           -      RCPT            RCPT
  DATA        -              DATA   RCPT            DATA
  BDAT        BDAT           -      INDETERMINATE   BDAT
  LAST        READY          -      INDETERMINATE   INDETERMINATE
  RSET        READY          -      -               READY
  NOOP        RCPT           -      RCPT            RCPT
  VRFY        RCPT           -      RCPT            RCPT
  EXPN        RCPT           -      RCPT            RCPT
  HELP        RCPT           -      RCPT            RCPT
  QUIT        CLOSED         -      CLOSED          CLOSED
DATA                                                RFC 5321 §4.1.1.4
  CONTENT     READY          -      READY           READY
BDAT                                                RFC 3030 §2
  BDAT        BDAT           -      INDETERMINATE   BDAT
  LAST        READY          -      INDETERMINATE   INDETERMINATE
  RSET        READY          -      -               READY
  NOOP        BDAT           -      BDAT            BDAT
  QUIT        CLOSED         -      CLOSED          CLOSED
INDETERMINATE                                       RFC 3030 §2, RFC 5321 §4.1.4
  HELLO       READY          -      INDETERMINATE   READY
  RSET        READY          -      -               READY
  NOOP        INDETERMINATE  -      INDETERMINATE   INDETERMINATE
  VRFY        INDETERMINATE  -      INDETERMINATE   INDETERMINATE
  EXPN        INDETERMINATE  -      INDETERMINATE   INDETERMINATE
  HELP        INDETERMINATE  -      INDETERMINATE   INDETERMINATE
  QUIT        CLOSED         -      CLOSED          CLOSED
  ~RCPT       INDETERMINATE  -      INDETERMINATE   INDETERMINATE
  ~DATA       -              DATA   INDETERMINATE   DATA
  ~BDAT       -              -      INDETERMINATE   INDETERMINATE
  ~LAST       -              -      INDETERMINATE   INDETERMINATE
AUTH                                                RFC 4954 §4
  RESPONSE    READY          AUTH   READY           READY
TLS                                                 RFC 3207 §4: a handshake
CLOSED
"""

#: What may be followed by more before it is answered: RFC 2920 §3.1 names RSET,
#: MAIL, RCPT and the mail data; RFC 3030 §4.2 adds BDAT, Postfix XFORWARD.
GROUPS: Final = {
    Verb.MAIL,
    Verb.RCPT,
    Verb.CONTENT,
    Verb.BDAT,
    Verb.LAST,
    Verb.RSET,
    Verb.XFORWARD,
}

#: The one code that will do (RFC 5321 §4.3.2, RFC 3207 §4, RFC 4954 §4).
EXACT: Final = {
    (Verb.CONNECT, Severity.COMPLETION): 220,
    (Verb.STARTTLS, Severity.COMPLETION): 220,
    (Verb.XCLIENT, Severity.COMPLETION): 220,
    (Verb.AUTH, Severity.COMPLETION): 235,
    (Verb.AUTH, Severity.INTERMEDIATE): 334,
    (Verb.RESPONSE, Severity.COMPLETION): 235,
    (Verb.RESPONSE, Severity.INTERMEDIATE): 334,
    (Verb.DATA, Severity.INTERMEDIATE): 354,
}

#: The codes of each severity: its first, its last and a common one.
CODES: Final = {
    Severity.COMPLETION: (200, 250, 299),
    Severity.INTERMEDIATE: (300, 354, 399),
    Severity.TRANSIENT: (400, 451, 499),
    Severity.PERMANENT: (500, 550, 599),
    Severity.SHUTDOWN: (421,),
}


class Cell(NamedTuple):
    """What the table says about a verb in a state."""

    targets: dict[Severity, State | None]
    ahead: State
    sendable: bool


def read(table: str) -> dict[tuple[State, Verb], Cell]:
    """Read the table as it stands above."""
    cells: dict[tuple[State, Verb], Cell] = {}
    state = State.CLOSED
    for line in table.strip().splitlines():
        first, *rest = line.split()
        if not line.startswith(" "):
            state = State(first)
            continue
        done, go_on, refused = (None if x == "-" else State(x) for x in rest[:3])
        targets = {
            Severity.COMPLETION: done,
            Severity.INTERMEDIATE: go_on,
            Severity.TRANSIENT: refused,
            Severity.PERMANENT: refused,
            Severity.SHUTDOWN: State.CLOSED,
        }
        (ahead,) = map(State, rest[3:])
        verb = Verb(first.removeprefix("~"))
        cells[state, verb] = Cell(targets, ahead, not first.startswith("~"))
    return cells


CELLS: Final = read(TABLE)


def awaiting(state: State, verb: Verb) -> Session:
    """Give a session in the state whose next reply answers the verb."""
    cell = CELLS.get((state, verb))
    if verb is Verb.CONNECT and state is State.CONNECTED:
        return Session()
    if cell is None:
        return placed(state, verb)
    if cell.sendable:
        session = session_in(state)
        session.send(COMMANDS[verb])
        return session
    return behind_a_refusal(state, verb)


def behind_a_refusal(state: State, verb: Verb) -> Session:
    """Send the verb in a group, and let what is before it be refused."""
    yes, no = b"250 ok\r\n", b"550 no\r\n"
    answers: tuple[bytes, ...] = {
        State.READY: (no, no),
        State.MAIL: (yes, no),
        State.INDETERMINATE: (no, yes),
    }[state]
    group = [Verb.MAIL, Verb.RCPT, verb]
    if (state, verb) == (State.READY, Verb.RCPT):
        group, answers = [Verb.MAIL, verb], (no,)
    session = session_in(State.READY)
    play(session, (*group, *answers))
    assert session.state is state
    assert [sent.command.verb for sent in session.outstanding] == [verb]
    return session


def placed(state: State, verb: Verb) -> Session:
    """Put a command on its way that nothing can put there: the machine holds."""
    session = session_in(state)
    session._outstanding.clear()
    session._outstanding.append(Sent(COMMANDS[verb], None))
    return session


def check_replies(state: State, verb: Verb) -> None:
    """See where each severity of the reply to a verb leads from a state."""
    cell = CELLS.get((state, verb))
    for severity in Severity:
        exact = EXACT.get((verb, severity))
        for code in {*CODES[severity], exact or CODES[severity][0]}:
            wrong = cell is None or (exact is not None and code != exact)
            target = None if cell is None or wrong else cell.targets[severity]
            check_reply(awaiting(state, verb), code, target)


def check_reply(session: Session, code: int, target: State | None) -> None:
    """See where one reply leads: to the target, or to an error and the end."""
    before = session.state
    session.receive_data(b"%d x\r\n" % code)
    if before is State.CLOSED:
        assert session.next_event() is LOST
    elif target is None:
        with pytest.raises(RemoteProtocolError):
            session.next_event()
        assert session.projected is State.CLOSED
    else:
        event = session.next_event()
        assert isinstance(event, Replied)
        assert (event.reply.code, event.state, event.final) == (code, target, True)
        assert session.projected is target
        assert session.outstanding == ()
    assert session.state is (target or State.CLOSED)


def check_send(state: State, verb: Verb) -> None:
    """See whether a verb may be sent in a state, and what is assumed then."""
    cell = CELLS.get((state, verb))
    session = session_in(state)
    command = COMMANDS[verb]
    if cell is None or not cell.sendable or verb is Verb.CONNECT:
        before = vars(session).copy()
        outstanding = session.outstanding
        assert not session.may_send(command)
        with pytest.raises(LocalProtocolError):
            session.send(command)
        assert vars(session) == before
        assert session.outstanding == outstanding
    else:
        assert session.may_send(command)
        assert session.send(command, None) == command.wire
        assert (session.state, session.projected) == (state, cell.ahead)
        assert session.outstanding == (Sent(command, None),)
        offered = state is not State.GREETED
        assert session.may_continue == (offered and verb in GROUPS)
    if cell is not None and not cell.sendable:
        assert behind_a_refusal(state, verb).projected is cell.ahead


@pytest.mark.parametrize("state", State)
def test_a_reply_leads_where_the_table_says_or_ends_the_session(state: State) -> None:
    for verb in Verb:
        check_replies(state, verb)


@pytest.mark.parametrize("state", State)
def test_a_command_is_sent_where_the_table_says_or_changes_nothing(
    state: State,
) -> None:
    for verb in Verb:
        check_send(state, verb)


@pytest.mark.parametrize(("state", "verb"), CELLS)
def test_421_closes_the_channel_in_answer_to_anything(state: State, verb: Verb) -> None:
    session = awaiting(state, verb)
    session.receive_data(b"421 4.3.2 going down\r\n")
    event = session.next_event()
    assert isinstance(event, Replied)
    assert event.command is not None
    assert event.command.verb is verb
    assert event.state is session.state is session.projected is State.CLOSED
    assert session.next_event() is CLOSED
    assert not session.may_continue


@pytest.mark.parametrize(
    "state", [s for s in State if s not in {State.CONNECTED, State.CLOSED}]
)
def test_421_closes_the_channel_where_nobody_asked(state: State) -> None:
    session = session_in(state)
    session.receive_data(b"421 4.3.2 going down\r\n")
    event = session.next_event()
    assert isinstance(event, Replied)
    assert (event.command, event.owner, event.final) == (None, None, True)
    assert event.state is session.state is State.CLOSED


@pytest.mark.parametrize(("verb", "severity"), EXACT)
def test_only_one_code_changes_the_transport_or_who_we_are(
    verb: Verb, severity: Severity
) -> None:
    hundred = CODES[severity][0]
    for state in State:
        cell = CELLS.get((state, verb))
        for code in range(hundred, hundred + 100) if cell else ():
            exact = code == EXACT[verb, severity]
            target = cell.targets[severity] if cell and exact else None
            check_reply(awaiting(state, verb), code, target)


def test_the_published_table_says_the_same() -> None:
    assert len(CELLS) == 66
    assert {
        (state, verb, severity): target
        for (state, verb), cell in CELLS.items()
        for severity, target in cell.targets.items()
        if target is not None
    } == TRANSITIONS
    assert {pair: cell.ahead for pair, cell in CELLS.items()} == PROJECTION
    assert {pair for pair, cell in CELLS.items() if cell.sendable} == SENDABLE
