"""How a transaction may end before its time, and what is then known (RFC 1047)."""

from __future__ import annotations

import pytest

from esmtp_async.protocol import (
    LOST,
    Command,
    Content,
    MailData,
    RemoteProtocolError,
    Replied,
    Reply,
    Session,
    Stage,
    State,
    Transaction,
)
from esmtp_async.protocol._content import BLOCK
from tests.protocol.dialogue import Turn, accounts, converse, octets, ready
from tests.protocol.test_transaction import (
    ENVELOPE_TAKEN,
    MAIL,
    SAY_CONTENT,
    convey,
    group,
    rcpt,
    transaction,
)

LOCKSTEP = [
    Turn(MAIL, "250 ok"),
    Turn(rcpt("a"), "550 no"),
    Turn(rcpt("b"), "250 ok"),
    Turn("DATA", "354 go"),
    Turn(SAY_CONTENT, "250 ok"),
]


@pytest.mark.parametrize(
    ("step", "stage"),
    [(0, "MAIL"), (1, "RCPT"), (2, "RCPT"), (3, "DATA"), (4, "FINAL")],
)
def test_E4_a_shutdown_decides_for_those_undecided(step: int, stage: str) -> None:
    session, made = ready(pipelining=False), transaction()
    shutdown = Turn(LOCKSTEP[step].client, "421 4.3.2 closing")
    converse(session, made, *LOCKSTEP[:step], shutdown)
    assert session.state is State.CLOSED
    assert made.shut_down
    assert accounts(session, made) == [
        "a REFUSED 550 RCPT" if step > 1 else f"a REFUSED 421 {stage} temporary",
        f"b REFUSED 421 {stage} temporary",
    ]


def test_E4_a_shutdown_in_a_group_decides_for_the_rest_of_it() -> None:
    assert convey(group("250 ok", "550 no", "421 closing")) == [
        "a REFUSED 550 RCPT",
        "b REFUSED 421 RCPT temporary",
    ]
    assert convey(group("250 ok", "250 ok", "421 closing")) == [
        "a REFUSED 421 RCPT temporary",
        "b REFUSED 421 RCPT temporary",
    ]


def test_E4_a_shutdown_at_rset() -> None:
    session = ready()
    convey(group("250 ok", "550 no", "550 no", "503 ?"), session=session)
    reset = Turn(f"RSET|{MAIL}|{rcpt('a')}|{rcpt('b')}|DATA", "421 closing")
    assert convey(reset, session=session) == [
        "a REFUSED 421 RSET temporary",
        "b REFUSED 421 RSET temporary",
    ]


def test_E4_a_shutdown_that_nobody_asked_for() -> None:
    """Between two groups; all_or_nothing has one."""
    session, made = ready(), transaction(all_or_nothing=True)
    envelope = group("250 ok", "250 ok", "550 no", "421 closing", data=False)
    converse(session, made, envelope)
    assert made.shut_down
    assert accounts(session, made) == [
        "a REFUSED 421 COMMAND temporary",
        "b REFUSED 550 RCPT",
    ]


def test_E4_a_shutdown_after_the_message_was_taken_changes_nothing() -> None:
    final = Turn(SAY_CONTENT, "250 ok|421 closing")
    assert convey(ENVELOPE_TAKEN, final) == [
        "a ACCEPTED 250 FINAL",
        "b ACCEPTED 250 FINAL",
    ]


@pytest.mark.parametrize("step", range(5))
@pytest.mark.parametrize("half", [b"", b"2", b"250 queued as 1", b"250-queued\r\n"])
def test_E8_E9_the_stream_ends(step: int, half: bytes) -> None:
    """P17: half a reply is none. Only the end of the content leaves doubt."""
    session, made = ready(pipelining=False), transaction()
    turns = [*LOCKSTEP[:step], Turn(LOCKSTEP[step].client, half)]
    converse(session, made, *turns, *([Turn("", "")] if half else []))
    assert session.state is State.CLOSED
    assert accounts(session, made, stage=Stage.RCPT) == [
        "a REFUSED 550 RCPT" if step > 1 else "a NOT_SENT - RCPT temporary",
        "b UNKNOWN - FINAL temporary" if step == 4 else "b NOT_SENT - RCPT temporary",
    ]


def test_E5_a_refusal_counts_although_the_stream_ended_behind_it() -> None:
    assert convey(group("250 ok", "250 ok", "550 no"), Turn("", "")) == [
        "a NOT_SENT - RCPT temporary",
        "b REFUSED 550 RCPT",
    ]


@pytest.mark.parametrize("garbage", ["garbage", "199 hi", "999 hi", ""])
def test_D2_E9_garbage_after_the_content_leaves_doubt(garbage: str) -> None:
    session, made = ready(), transaction(1)
    envelope = group("250 ok", "250 ok", "354 go", recipients=1)
    final = Turn(SAY_CONTENT, octets(garbage) + b"\r\n221 bye\r\n")
    with pytest.raises(RemoteProtocolError):
        converse(session, made, envelope, final)
    assert accounts(session, made) == ["a UNKNOWN - FINAL temporary"]
    assert made.final_reply is None


def test_D1_a_reply_too_many_after_the_content_changes_nothing() -> None:
    session, made = ready(), transaction()
    with pytest.raises(RemoteProtocolError):
        converse(session, made, ENVELOPE_TAKEN, Turn(SAY_CONTENT, "250 ok|250 more"))
    assert accounts(session, made) == ["a ACCEPTED 250 FINAL", "b ACCEPTED 250 FINAL"]
    assert not session.reusable


# LMTP answers once for each recipient (RFC 2033 §4.2).


def deliver(*turns: Turn, recipients: int = 3) -> tuple[list[str], Transaction]:
    session, made = ready(lmtp=True), transaction(recipients)
    converse(session, made, *turns)
    return accounts(session, made), made


TAKEN = group("250 ok", "250 ok", "250 ok", "250 ok", "354 go", recipients=3)


def test_E25_each_recipient_has_a_reply() -> None:
    results, made = deliver(TAKEN, Turn(SAY_CONTENT, "250 a|452 b|550 c"))
    assert results == [
        "a ACCEPTED 250 FINAL",
        "b REFUSED 452 FINAL temporary",
        "c REFUSED 550 FINAL",
    ]
    assert made.final_reply == Reply(250, (b"a",))
    results, made = deliver(TAKEN, Turn(SAY_CONTENT, "550 a|452 b|251 c"))
    assert [account[:3] for account in results] == ["a R", "b R", "c A"]
    assert made.final_reply == Reply(251, (b"c",))
    _, made = deliver(TAKEN, Turn(SAY_CONTENT, "550 a|452 b|551 c"))
    assert made.final_reply == Reply(551, (b"c",))


def test_E25_who_was_refused_at_rcpt_has_none() -> None:
    envelope = group("250 ok", "250 ok", "550 no", "250 ok", "354 go", recipients=3)
    assert deliver(envelope, Turn(SAY_CONTENT, "452 a|250 c"))[0] == [
        "a REFUSED 452 FINAL temporary",
        "b REFUSED 550 RCPT",
        "c ACCEPTED 250 FINAL",
    ]


def test_E25_the_stream_ends_among_them() -> None:
    final = Turn(SAY_CONTENT, "250 a|452 b")
    assert deliver(TAKEN, final, Turn("", ""))[0] == [
        "a ACCEPTED 250 FINAL",
        "b REFUSED 452 FINAL temporary",
        "c UNKNOWN - FINAL temporary",
    ]


def test_E25_the_server_shuts_down_among_them() -> None:
    assert deliver(TAKEN, Turn(SAY_CONTENT, "250 a|421 closing"))[0] == [
        "a ACCEPTED 250 FINAL",
        "b REFUSED 421 FINAL temporary",
        "c REFUSED 421 FINAL temporary",
    ]


def test_E25_a_reply_too_many_changes_nothing() -> None:
    session, made = ready(lmtp=True), transaction(1)
    envelope = group("250 ok", "250 ok", "354 go", recipients=1)
    with pytest.raises(RemoteProtocolError):
        converse(session, made, envelope, Turn(SAY_CONTENT, "250 a|250 more"))
    assert accounts(session, made) == ["a ACCEPTED 250 FINAL"]


def test_E25_nobody_is_left_and_354_comes_anyway() -> None:
    """No reply will come to the lone dot, so the session ends with it."""
    session, made = ready(lmtp=True), transaction()
    envelope = group("250 ok", "550 no", "450 later", "354 go")
    converse(session, made, envelope, Turn(".", ""))
    assert accounts(session, made) == [
        "a REFUSED 550 RCPT",
        "b REFUSED 450 RCPT temporary",
    ]
    assert session.state is State.CLOSED


# While the content is on its way


def upload(*, lmtp: bool = False) -> tuple[Session, Transaction]:
    """Give a transaction of two recipients whose content has begun."""
    session, made = ready(lmtp=lmtp), large()
    steps = made.commands(session)
    flight = b"".join(say(session, made, next(steps)) for _ in range(4))
    assert flight == octets(ENVELOPE_TAKEN.client)
    hear(session, "250 ok|250 ok|250 ok|354 go")
    piece = next(steps)
    say(session, made, piece)
    assert isinstance(piece, Content)
    assert piece.more
    return session, made


def large() -> Transaction:
    return Transaction(transaction().envelope, MailData(b"x" * (BLOCK + 1)))


def say(session: Session, made: Transaction, step: object) -> bytes:
    assert isinstance(step, Command)
    return session.send(step, made)


def hear(session: Session, said: str) -> None:
    """Give every reply to its owner, until more is needed or nothing more comes."""
    session.receive_data(octets(said))
    while isinstance(event := session.next_event(), Replied):
        assert event.owner is not None
        event.owner.replied(event.command, event.reply)


@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.parametrize("code", [421, 451, 452, 552, 554])
def test_E6_an_early_refusal_stops_the_upload(code: int, *, lmtp: bool) -> None:
    session, made = upload(lmtp=lmtp)
    assert made.content_begun
    hear(session, f"{code} stop")
    assert session.state is State.CLOSED
    assert not session.may_send(Content.piece(b".\r\n", more=False))
    temper = " temporary" if code < 500 else ""
    first, second = accounts(session, made, stage=Stage.CONTENT)
    assert first == f"a REFUSED {code} FINAL{temper}"
    # LMTP's first reply is the first recipient's alone; 421 is everybody's.
    if lmtp and code != 421:
        assert second == "b NOT_SENT - CONTENT temporary"
    else:
        assert second == f"b{first[1:]}"


@pytest.mark.parametrize("lmtp", [False, True])
def test_E7_an_early_acceptance_is_a_violation(*, lmtp: bool) -> None:
    session, made = upload(lmtp=lmtp)
    with pytest.raises(RemoteProtocolError, match="before their end"):
        hear(session, "250 ok")
    assert accounts(session, made, stage=Stage.CONTENT) == [
        "a NOT_SENT - CONTENT temporary",
        "b NOT_SENT - CONTENT temporary",
    ]


def test_E8_the_stream_ends_during_the_upload() -> None:
    session, made = upload()
    session.receive_data(b"")
    assert session.next_event() is LOST
    assert accounts(session, made, stage=Stage.CONTENT) == [
        "a NOT_SENT - CONTENT temporary",
        "b NOT_SENT - CONTENT temporary",
    ]
