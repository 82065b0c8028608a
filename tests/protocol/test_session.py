"""The session beyond its table: the queue, the counting, STARTTLS and EHLO."""

from __future__ import annotations

import pytest

from esmtp_async.protocol import (
    CLOSED,
    LOST,
    NEED_DATA,
    Bdat,
    Command,
    Connect,
    Helo,
    LocalProtocolError,
    Mail,
    Rcpt,
    RemoteProtocolError,
    Replied,
    Reply,
    Session,
    State,
    Verb,
)
from esmtp_async.protocol._session import WINDOW, WINDOW_OCTETS
from tests.protocol.sessions import (
    COMMANDS,
    EHLO_REPLY,
    ENVELOPE,
    ENVELOPE_TAKEN,
    NO,
    OK,
    Owner,
    play,
    replied,
    session_in,
    violation,
)

# The queue


def test_the_greeting_answers_the_first_command() -> None:
    owner = Owner()
    session = Session(owner)
    (sent,) = session.outstanding
    assert isinstance(sent.command, Connect)
    assert session.awaited is sent
    assert session.next_event() is NEED_DATA
    session.receive_data(b"220-mail.example.test\r\n220 ready\r\n")
    assert session.next_event() == Replied(
        sent.command,
        Reply(220, (b"mail.example.test", b"ready")),
        owner,
        State.GREETED,
        final=True,
    )
    assert session.awaited is None
    assert session.next_event() is NEED_DATA


def test_each_reply_goes_to_whoever_asked_in_their_order() -> None:
    session = session_in(State.READY)
    first, second = Owner(), Owner()
    said = [
        (COMMANDS[Verb.RSET], None),
        (Mail("alice@example.test"), first),
        (Rcpt("bob@example.test"), first),
        (Rcpt("carol@example.test"), second),
    ]
    for command, owner in said:
        session.send(command, owner)
    session.receive_data(b"250 a\r\n251 b\r\n550 c\r\n252 d\r\n")
    events = [replied(session) for _ in said]
    assert [(event.command, event.owner) for event in events] == said
    assert [event.reply.lines for event in events] == [
        (b"a",),
        (b"b",),
        (b"c",),
        (b"d",),
    ]
    assert session.accepted == 1
    assert session.next_event() is NEED_DATA


def test_the_window_bounds_the_commands_on_their_way() -> None:
    assert WINDOW == 100
    session = session_in(State.READY)
    session.send(COMMANDS[Verb.MAIL])
    for _ in range(WINDOW - 1):
        assert session.may_continue
        session.send(COMMANDS[Verb.RCPT])
    assert not session.may_continue
    assert not session.may_send(COMMANDS[Verb.RCPT])
    with pytest.raises(LocalProtocolError, match=r"RCPT cannot be sent: .* 100 outst"):
        session.send(COMMANDS[Verb.RCPT])
    play(session, [OK])
    session.send(COMMANDS[Verb.RCPT])
    assert not session.may_continue


def test_the_window_bounds_the_octets_on_their_way() -> None:
    assert WINDOW_OCTETS == 1024 * 1024
    half = Bdat(b"x" * (WINDOW_OCTETS // 2 - len(b"BDAT 524275\r\n")))
    nearly = Bdat(half.wire[len(b"BDAT 524275\r\n") + 1 :])
    session = session_in(State.RCPT)
    send_both(session, half, nearly)
    assert session.may_continue  # for an octet is left
    send_both(session, half, half)
    assert not session.may_continue


def send_both(session: Session, first: Command, second: Command) -> None:
    """Send two commands, once everything before them is answered."""
    while session.awaited is not None:
        play(session, [OK])
    session.send(first)
    assert session.may_continue
    session.send(second)


def test_nothing_is_sent_ahead_where_pipelining_is_off() -> None:
    session = session_in(State.READY, pipelining=False)
    assert "PIPELINING" in session.extensions
    session.send(COMMANDS[Verb.MAIL])
    assert not session.may_continue
    play(session, [OK])
    assert session.may_continue


def test_rset_stands_between_a_last_chunk_and_the_next_message() -> None:
    session = session_in(State.READY)
    play(session, [Verb.MAIL, Verb.RCPT, Verb.LAST])
    assert not session.may_send(COMMANDS[Verb.MAIL])
    assert session.may_send(COMMANDS[Verb.RSET])
    play(session, [Verb.RSET, Verb.MAIL, Verb.RCPT, Verb.LAST, Verb.RSET])
    events = play(session, [OK, OK, b"552 too big\r\n", OK, OK, OK, OK, OK])
    assert [event.state for event in events] == [
        State.MAIL,
        State.RCPT,
        State.INDETERMINATE,
        State.READY,
        State.MAIL,
        State.RCPT,
        State.READY,
        State.READY,
    ]


def test_after_the_dot_the_next_message_may_follow_at_once() -> None:
    session = session_in(State.DATA)
    play(session, [Verb.CONTENT, *ENVELOPE])
    events = play(session, [b"554 no\r\n", *ENVELOPE_TAKEN])
    assert [event.state for event in events] == [
        State.READY,
        State.MAIL,
        State.RCPT,
        State.DATA,
    ]


def test_a_refusal_in_mid_group_changes_what_may_be_sent_next() -> None:
    session = session_in(State.READY)
    play(session, [Verb.MAIL, Verb.RCPT])
    projected = [session.projected]
    assert session.may_send(COMMANDS[Verb.DATA])
    for _ in range(2):
        play(session, [NO])
        projected.append(session.projected)
        assert not session.may_send(COMMANDS[Verb.DATA])
    assert projected == [State.RCPT, State.INDETERMINATE, State.READY]


@pytest.mark.parametrize(
    "last", [Verb.HELLO, Verb.NOOP, Verb.VRFY, Verb.EXPN, Verb.HELP]
)
def test_whatever_ends_a_group_may_be_overtaken_by_the_refusal_of_mail(
    last: Verb,
) -> None:
    session = session_in(State.READY)
    play(session, [Verb.MAIL, Verb.RCPT, last])
    events = play(session, [NO, OK, EHLO_REPLY if last is Verb.HELLO else OK])
    ready = State.READY if last is Verb.HELLO else State.INDETERMINATE
    assert [event.state for event in events] == [
        State.READY,
        State.INDETERMINATE,
        ready,
    ]


# Counting: the n-th reply answers the n-th command


@pytest.mark.parametrize(
    "state", [s for s in State if s not in {State.CONNECTED, State.CLOSED}]
)
def test_D1_a_reply_that_nobody_asked_for_is_the_end(state: State) -> None:
    session = session_in(state)
    session.receive_data(b"250 what you want to hear\r\n")
    assert "no command asked for" in violation(session)
    assert session.next_event() is CLOSED


@pytest.mark.parametrize(
    "surplus", [b"250-f\r\n250 x\r\n", b"220 hi\r\n", b"550 no\r\n"]
)
def test_D1_a_second_reply_behind_the_greeting_is_the_end(surplus: bytes) -> None:
    session = Session()
    session.receive_data(b"220 hi\r\n" + surplus)
    assert replied(session).state is State.GREETED
    violation(session)
    with pytest.raises(LocalProtocolError):
        session.send(COMMANDS[Verb.HELLO])


def test_D1_a_surplus_reply_never_answers_a_later_command() -> None:
    session = session_in(State.READY)
    session.send(COMMANDS[Verb.MAIL])
    session.receive_data(b"250 ok\r\n250 extra\r\n")
    assert replied(session).state is State.MAIL
    with pytest.raises(RemoteProtocolError, match="before RCPT was sent"):
        session.send(COMMANDS[Verb.RCPT])
    assert session.state is State.CLOSED
    assert session.outstanding == ()


def test_D1_a_surplus_reply_behind_the_last_one_spoils_the_session_only() -> None:
    session = session_in(State.DATA)
    session.send(COMMANDS[Verb.CONTENT])
    session.receive_data(b"250 queued\r\n250 extra\r\n")
    event = replied(session)
    assert (event.reply.code, event.final, event.state) == (250, True, State.READY)
    assert not session.reusable
    violation(session)


def test_D2_garbage_behind_the_dot_is_not_skipped() -> None:
    owner = Owner()
    session = session_in(State.DATA)
    session.send(COMMANDS[Verb.CONTENT], owner)
    session.receive_data(b"garbage\r\n221 bye\r\n")
    assert "begins with no reply code: 'garbage'" in violation(session)
    assert session.in_doubt(owner)
    assert session.next_event() is LOST


@pytest.mark.parametrize("early", [b"2", b"250-x\r\n", b"250 ok\r\n", b"\0"])
@pytest.mark.parametrize(
    ("state", "verb"),
    [
        (State.GREETED, Verb.HELLO),
        (State.READY, Verb.MAIL),
        (State.READY, Verb.STARTTLS),
        (State.READY, Verb.AUTH),
        (State.AUTH, Verb.RESPONSE),
        (State.RCPT, Verb.DATA),
        (State.DATA, Verb.CONTENT),
    ],
)
def test_D4_what_comes_before_the_question_is_no_answer(
    state: State, verb: Verb, early: bytes
) -> None:
    session = session_in(state)
    session.receive_data(early)
    with pytest.raises(RemoteProtocolError, match=f"came before {verb.value} was sent"):
        session.send(COMMANDS[verb])
    assert session.state is State.CLOSED


# STARTTLS


@pytest.mark.parametrize(
    "injected", [b"x", b"250-evil\r\n250 AUTH PLAIN\r\n", b"250 AUTH", b"\r\n"]
)
def test_T1_octets_behind_the_220_are_an_attack(injected: bytes) -> None:
    session = session_in(State.READY)
    session.send(COMMANDS[Verb.STARTTLS])
    session.receive_data(b"220 go ahead\r\n" + injected)
    assert "follow the reply to STARTTLS in clear text" in violation(session)
    with pytest.raises(LocalProtocolError):
        session.secured()


@pytest.mark.parametrize("injected", [b"x", b"250 AUTH PLAIN\r\n"])
def test_T1_octets_in_a_later_segment_are_an_attack_as_well(injected: bytes) -> None:
    session = session_in(State.TLS)
    session.receive_data(injected)
    with pytest.raises(RemoteProtocolError, match="before the TLS handshake"):
        session.secured()
    assert session.state is State.CLOSED


def test_T6_nothing_from_before_the_handshake_is_kept() -> None:
    session = session_in(State.TLS)
    assert "PIPELINING" in session.extensions
    session.secured()
    assert session.state is session.projected is State.GREETED
    assert dict(session.extensions) == {}
    assert not session.may_send(COMMANDS[Verb.MAIL])
    assert not session.may_send(COMMANDS[Verb.STARTTLS])
    play(session, [Verb.RSET])
    assert not session.may_continue
    play(
        session,
        [OK, Verb.HELLO, b"250-mail.example.test\r\n250 SIZE 10\r\n", Verb.MAIL],
    )
    assert dict(session.extensions) == {"SIZE": "10"}
    assert not session.may_continue


@pytest.mark.parametrize("state", [s for s in State if s is not State.TLS])
def test_no_handshake_is_due_but_behind_starttls(state: State) -> None:
    session = session_in(state)
    with pytest.raises(LocalProtocolError, match="no TLS handshake is due"):
        session.secured()
    assert session.state is state


def test_P8_a_lenient_session_stays_so_behind_the_handshake() -> None:
    session = Session(lenient_reply_eol=True)
    play(session, [b"220 hi\n", Verb.HELLO, b"250-x\n250 STARTTLS\r\n"])
    play(session, [Verb.STARTTLS, b"220 go\n"])
    session.secured()
    play(session, [Verb.HELLO, b"250 x\n"])
    assert session.state is State.READY
    strict = session_in(State.GREETED)
    strict.receive_data(b"250 x\n")
    assert "LF without CR" in violation(strict)


# EHLO and HELO


def test_ehlo_again_replaces_what_was_offered() -> None:
    session = session_in(State.RCPT)
    play(session, [Verb.HELLO, b"250-mail.example.test\r\n250 SIZE\r\n"])
    assert list(session.extensions) == ["SIZE"]
    assert (session.state, session.accepted) == (State.READY, 0)
    session.send(COMMANDS[Verb.MAIL])
    assert not session.may_continue


def test_ehlo_refused_changes_nothing() -> None:
    session = session_in(State.RCPT)
    play(session, [Verb.HELLO, b"503 no\r\n"])
    assert (session.state, session.accepted) == (State.RCPT, 1)
    assert "CHUNKING" in session.extensions
    session.send(COMMANDS[Verb.RCPT])
    assert session.may_continue


def test_helo_brings_no_extension_whatever_it_is_answered() -> None:
    session = session_in(State.READY)
    session.send(Helo("client.example.test"))
    session.receive_data(EHLO_REPLY)
    replied(session)
    assert dict(session.extensions) == {}
    session.send(COMMANDS[Verb.MAIL])
    assert not session.may_continue
