"""How a session ends, what is in doubt then, and whether it may be used again."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmtp_async.protocol import (
    CLOSED,
    LOST,
    Content,
    LocalProtocolError,
    RemoteProtocolError,
    Replied,
    Session,
    State,
    Verb,
)
from tests.protocol.sessions import (
    COMMANDS,
    GO_AHEAD,
    OK,
    Owner,
    play,
    replied,
    session_in,
    violation,
)

# Mail data in pieces


def uploading(owner: Owner | None = None, *, lmtp: bool = False) -> Session:
    """Give a session with half a message on its way."""
    session = session_in(State.RCPT, lmtp=lmtp)
    play(session, [Verb.RCPT, OK, Verb.DATA, GO_AHEAD])
    session.send(Content.piece(b"Subject: hello\r\n", more=True), owner)
    assert session.unfinished
    return session


def test_nothing_but_its_rest_follows_half_a_message() -> None:
    session = uploading()
    assert session.may_continue
    for verb, command in COMMANDS.items():
        if verb is not Verb.CONTENT:
            assert not session.may_send(command)
            with pytest.raises(LocalProtocolError):
                session.send(command)
    middle = Content.piece(b"\r\n", more=True)
    assert session.may_send(middle)
    assert session.send(middle) == b"\r\n"
    assert session.unfinished
    assert session.send(Content.piece(b".\r\n", more=False)) == b".\r\n"
    assert not session.unfinished
    assert len(session.outstanding) == 1
    play(session, [Verb.MAIL])
    play(session, [OK, OK])
    assert session.state is State.MAIL


@pytest.mark.parametrize("code", [421, 451, 552])
@pytest.mark.parametrize("lmtp", [False, True])
def test_E6_a_refusal_in_mid_message_is_the_end(code: int, *, lmtp: bool) -> None:
    owner = Owner()
    session = uploading(owner, lmtp=lmtp)
    session.receive_data(b"%d no\r\n" % code)
    event = replied(session)
    assert (event.reply.code, event.owner, event.final) == (code, owner, True)
    assert event.state is session.state is State.CLOSED
    assert not session.in_doubt(owner)
    assert not session.may_continue
    assert not session.may_send(Content.piece(b".\r\n", more=False))
    assert session.next_event() is CLOSED


@pytest.mark.parametrize("lmtp", [False, True])
def test_E7_a_message_cannot_be_taken_before_its_end(*, lmtp: bool) -> None:
    owner = Owner()
    session = uploading(owner, lmtp=lmtp)
    session.receive_data(OK)
    assert "taken before their end" in violation(session)
    assert not session.in_doubt(owner)


# The ends


@pytest.mark.parametrize(
    ("state", "signal"),
    [(s, LOST if s is State.CONNECTED else CLOSED) for s in State],
)
def test_the_end_of_the_stream_is_quiet_where_nothing_is_awaited(
    state: State, signal: object
) -> None:
    session = session_in(state)
    session.receive_data(b"")
    assert session.eof
    assert session.next_event() is signal
    assert session.next_event() is signal
    assert session.state is session.projected is State.CLOSED
    assert not session.may_continue


def test_what_came_before_the_end_of_the_stream_counts() -> None:
    session = session_in(State.READY)
    play(session, [Verb.MAIL, Verb.RCPT, Verb.RCPT])
    session.receive_data(b"250 ok\r\n550 no\r\n")
    session.receive_data(b"")
    assert [replied(session).reply.code, replied(session).reply.code] == [250, 550]
    assert session.state is State.MAIL
    assert session.next_event() is LOST
    assert [sent.command.verb for sent in session.outstanding] == [Verb.RCPT]
    assert session.awaited == session.outstanding[0]


@pytest.mark.parametrize("cut", [b"2", b"25", b"250", b"250 queued as 1", b"250-x\r\n"])
def test_P17_a_reply_cut_off_is_none(cut: bytes) -> None:
    owner = Owner()
    session = session_in(State.DATA)
    session.send(COMMANDS[Verb.CONTENT], owner)
    session.receive_data(cut)
    session.receive_data(b"")
    assert session.next_event() is LOST
    assert session.in_doubt(owner)


def test_octets_before_the_end_of_a_quiet_stream_make_it_a_loss() -> None:
    session = session_in(State.READY)
    session.receive_data(b"421 going d")
    session.receive_data(b"")
    assert session.next_event() is LOST


def test_after_a_violation_there_is_only_the_end() -> None:
    session = session_in(State.READY)
    session.send(COMMANDS[Verb.NOOP])
    session.receive_data(b"354 go ahead\r\n250 ok\r\n")
    assert "NOOP cannot be answered '354 go ahead'" in violation(session)
    assert session.next_event() is LOST
    session.receive_data(OK)
    assert session.next_event() is LOST


@pytest.mark.parametrize("state", State)
def test_abort_is_the_end_and_keeps_what_is_on_its_way(state: State) -> None:
    session = session_in(state)
    before = session.outstanding
    session.abort()
    assert session.state is session.projected is State.CLOSED
    assert session.outstanding == before
    assert session.next_event() is (LOST if before else CLOSED)
    assert not session.may_continue


@pytest.mark.parametrize("end", [Verb.CONTENT, Verb.LAST])
def test_E9_a_message_is_in_doubt_from_its_end_to_its_reply(end: Verb) -> None:
    owner, other = Owner(), Owner()
    session = session_in(State.DATA if end is Verb.CONTENT else State.RCPT)
    assert not session.in_doubt(owner)
    session.send(COMMANDS[end], owner)
    session.send(COMMANDS[Verb.RSET], other)
    assert session.in_doubt(owner)
    assert not session.in_doubt(other)
    play(session, [OK])
    assert not session.in_doubt(owner)


def test_E9_a_message_in_pieces_is_in_doubt_from_the_last_of_them() -> None:
    owner = Owner()
    session = uploading(owner)
    assert not session.in_doubt(owner)
    session.send(Content.piece(b".\r\n", more=False), owner)
    assert session.in_doubt(owner)


def test_E9_a_chunk_that_is_not_the_last_commits_to_nothing() -> None:
    owner = Owner()
    session = session_in(State.RCPT)
    session.send(COMMANDS[Verb.BDAT], owner)
    assert not session.in_doubt(owner)


# May it be used again?

RSET_MAY_FOLLOW: Final = {
    State.READY,
    State.MAIL,
    State.RCPT,
    State.BDAT,
    State.INDETERMINATE,
}


@pytest.mark.parametrize("state", State)
def test_a_session_is_reusable_where_rset_leads_to_the_next_message(
    state: State,
) -> None:
    assert session_in(state).reusable == (state in RSET_MAY_FOLLOW)


@pytest.mark.parametrize("state", RSET_MAY_FOLLOW)
def test_E16_a_session_is_not_reusable_with_anything_left_over(state: State) -> None:
    busy = session_in(state)
    busy.send(COMMANDS[Verb.NOOP])
    assert not busy.reusable
    play(busy, [OK])
    assert busy.reusable
    holding, ended = session_in(state), session_in(state)
    holding.receive_data(b"2")
    assert not holding.reusable
    ended.receive_data(b"")
    assert not ended.reusable


# Whatever comes

REPLIES: Final = (
    *(
        b"220 x",
        b"235 x",
        b"250-x",
        b"250 x",
        b"334 eA==",
        b"354 x",
        b"421 x",
        b"450 x",
    ),
    *(b"550 x", b"", b"25", b"250x", b"\xff", b"999 x", b"250 " + b"x" * 3000),
)
LINES: Final = st.sampled_from(
    [line + end for line in REPLIES for end in (b"\r\n", b"\n", b"")]
)


@given(
    state=st.sampled_from(sorted(State, key=lambda state: state.value)),
    lmtp=st.booleans(),
    steps=st.lists(
        st.sampled_from(sorted(Verb, key=lambda verb: verb.value))
        | LINES
        | st.binary(max_size=20),
        max_size=30,
    ),
)
def test_whatever_is_sent_and_comes_only_the_documented_errors_are_raised(
    state: State, steps: list[Verb | bytes], *, lmtp: bool
) -> None:
    """No matter what is said on both sides, an error is a documented one.

    A `RemoteProtocolError` closes the session, a `LocalProtocolError` changes nothing,
    and a closed session stays closed.
    """
    session = session_in(state, lmtp=lmtp)
    for step in steps:
        before = session.state, session.projected, session.outstanding
        try:
            if isinstance(step, Verb):
                session.send(COMMANDS[step])
            else:
                session.receive_data(step)
                while isinstance(session.next_event(), Replied):
                    pass
        except LocalProtocolError:
            assert (session.state, session.projected, session.outstanding) == before
        except RemoteProtocolError:
            assert session.state is State.CLOSED
        if before[0] is State.CLOSED:
            assert session.state is State.CLOSED
        if not session.outstanding:
            assert session.projected is session.state
