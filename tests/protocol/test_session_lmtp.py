"""The session in LMTP: a reply for each recipient (RFC 2033 §4.2)."""

from __future__ import annotations

import pytest

from esmtp_async.protocol import (
    CLOSED,
    Content,
    Session,
    State,
    Verb,
)
from tests.protocol.sessions import (
    COMMANDS,
    ENVELOPE,
    ENVELOPE_TAKEN,
    GO_AHEAD,
    NO,
    OK,
    Owner,
    play,
    session_in,
    violation,
)


def accepting(count: int) -> Session:
    """Give an LMTP session whose server has accepted so many of one more."""
    session = session_in(State.READY, lmtp=True)
    session.send(COMMANDS[Verb.MAIL])
    play(session, [Verb.RCPT] * (count + 1))
    play(session, [OK, *[OK] * count, NO])
    assert session.accepted == count
    return session


@pytest.mark.parametrize(
    ("end", "refused"), [(Verb.CONTENT, State.READY), (Verb.LAST, State.INDETERMINATE)]
)
def test_lmtp_replies_once_for_each_accepted_recipient(
    end: Verb, refused: State
) -> None:
    session = accepting(3)
    if end is Verb.CONTENT:
        play(session, [Verb.DATA, GO_AHEAD])
    before = session.state
    play(session, [end, Verb.RSET])
    events = play(session, [OK, b"451 later\r\n", NO, OK])
    assert [(event.final, event.state) for event in events] == [
        (False, before),
        (False, before),
        (True, refused),
        (True, State.READY),
    ]
    assert {event.command for event in events[:3]} == {COMMANDS[end]}
    session.receive_data(OK)
    violation(session)  # E25: one too many


def test_lmtp_counts_when_the_end_comes_to_the_head_of_the_queue() -> None:
    session = session_in(State.READY, lmtp=True)
    play(session, [Verb.MAIL, Verb.RCPT, Verb.RCPT, Verb.LAST])
    events = play(session, [OK, OK, OK, OK, NO])
    assert [event.final for event in events] == [True, True, True, False, True]


def test_lmtp_answers_a_chunk_that_was_overtaken_once() -> None:
    session = session_in(State.READY, lmtp=True)
    play(session, [Verb.MAIL, Verb.RCPT, Verb.RCPT, Verb.LAST])
    events = play(session, [OK, NO, NO, b"503 nobody\r\n"])
    assert [event.final for event in events] == [True] * 4
    assert (session.state, session.outstanding) == (State.INDETERMINATE, ())


def test_lmtp_answers_a_chunk_that_is_not_the_last_once() -> None:
    session = accepting(2)
    play(session, [Verb.BDAT, Verb.LAST])
    events = play(session, [OK, OK, OK])
    assert [event.final for event in events] == [True, False, True]


def test_lmtp_counts_anew_for_each_message() -> None:
    session = accepting(3)
    play(session, [Verb.RSET, OK])
    assert session.accepted == 0
    play(session, [*ENVELOPE, *ENVELOPE_TAKEN, Verb.CONTENT])
    assert play(session, [OK])[0].final


def test_lmtp_shuts_down_between_its_replies() -> None:
    session = accepting(3)
    play(session, [Verb.LAST])
    events = play(session, [OK, b"421 going down\r\n"])
    assert [(event.final, event.state) for event in events] == [
        (False, State.RCPT),
        (True, State.CLOSED),
    ]
    assert session.next_event() is CLOSED


def test_lmtp_does_not_answer_a_lone_dot_for_nobody() -> None:
    owner = Owner()
    session = session_in(State.READY, lmtp=True)
    play(session, [*ENVELOPE, OK, NO, GO_AHEAD])
    assert session.send(Content(), owner) == b".\r\n"
    assert (session.state, session.outstanding) == (State.CLOSED, ())
    assert session.next_event() is CLOSED
    assert not session.in_doubt(owner)


def test_smtp_replies_once_whoever_was_accepted() -> None:
    session = session_in(State.READY)
    play(session, [Verb.MAIL, Verb.RCPT, Verb.RCPT, Verb.DATA])
    play(session, [OK, OK, OK, GO_AHEAD, Verb.CONTENT])
    assert play(session, [OK])[0].final
    session.receive_data(OK)
    violation(session)
