"""The mail transaction: what became of each recipient, whatever happened (RFC 5321)."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from esmtp_async.protocol import (
    Content,
    Envelope,
    MailData,
    Outcome,
    Rcpt,
    RemoteProtocolError,
    Reply,
    Session,
    Stage,
    State,
    Transaction,
)
from tests.protocol.dialogue import Turn, accounts, converse, ready

NAMES = "abcdefgh"
MAIL = "MAIL FROM:<s@x.test>"
CONTENT = "Hi|.."
SAY_CONTENT = "Hi|..|."


def rcpt(name: str) -> str:
    return f"RCPT TO:<{name}@x.test>"


def transaction(recipients: int = 2, *, all_or_nothing: bool = False) -> Transaction:
    """Make one from s@x.test to a@x.test, b@x.test and so on."""
    return Transaction(
        Envelope.of("s@x.test", [f"{name}@x.test" for name in NAMES[:recipients]]),
        MailData(b"Hi\r\n.\r\n"),
        all_or_nothing=all_or_nothing,
    )


def group(*replies: str, recipients: int = 2, data: bool = True) -> Turn:
    """MAIL, RCPT and DATA in one flight, and the replies to it."""
    lines = [MAIL, *map(rcpt, NAMES[:recipients])]
    return Turn("|".join([*lines, "DATA"] if data else lines), "|".join(replies))


def convey(
    *turns: Turn, session: Session | None = None, recipients: int = 2
) -> list[str]:
    """Hold a transaction over a pipelining session; give what became of it."""
    session = session or ready()
    made = transaction(recipients)
    converse(session, made, *turns)
    return accounts(session, made, stage=Stage.RCPT)


ACCEPTED = ["a ACCEPTED 250 FINAL", "b ACCEPTED 250 FINAL"]
ENVELOPE_TAKEN = group("250 ok", "250 ok", "250 ok", "354 go")
RESET_AND_TAKEN = Turn(
    f"RSET|{MAIL}|{rcpt('a')}|{rcpt('b')}|DATA", "250 ok|250 ok|250 ok|250 ok|354 go"
)


def test_a_message_is_taken() -> None:
    session, made = ready(), transaction()
    converse(session, made, ENVELOPE_TAKEN, Turn(SAY_CONTENT, "250 queued as 1"))
    assert accounts(session, made) == ACCEPTED
    assert made.final_reply == Reply(250, (b"queued as 1",))
    assert made.content_begun
    assert not made.shut_down
    assert session.reusable
    assert session.state is State.READY


def test_a_message_is_taken_in_lockstep() -> None:
    turns = [
        Turn(MAIL, "250 ok"),
        Turn(rcpt("a"), "250 ok"),
        Turn(rcpt("b"), "250 ok"),
        Turn("DATA", "354 go"),
        Turn(SAY_CONTENT, "250 ok"),
    ]
    assert convey(*turns, session=ready(pipelining=False)) == ACCEPTED


def test_before_anything_nothing_was_sent() -> None:
    made = transaction()
    assert [result.address for result in made.results()] == ["a@x.test", "b@x.test"]
    assert accounts(Session(), made, stage=Stage.TLS) == [
        "a NOT_SENT - TLS temporary",
        "b NOT_SENT - TLS temporary",
    ]
    assert {result.stage for result in made.results()} == {Stage.LOCAL}
    assert made.final_reply is None
    assert not made.content_begun
    assert not made.shut_down


@pytest.mark.parametrize("code", [200, 220, 250, 251, 252, 299])
def test_P5_every_2yz_takes_the_message(code: int) -> None:
    envelope = group(f"{code} ok", f"{code} ok", f"{code} ok", "354 go")
    assert convey(envelope, Turn(SAY_CONTENT, f"{code} ok")) == [
        f"a ACCEPTED {code} FINAL",
        f"b ACCEPTED {code} FINAL",
    ]


@pytest.mark.parametrize("step", range(3))
@pytest.mark.parametrize("answer", ["354 go", "334 go", "300 go"])
def test_P6_3yz_is_no_answer_but_to_data(step: int, answer: str) -> None:
    session, made = ready(), transaction(1)
    replies = ["250 ok", "250 ok", "354 go"]
    turns = [group(*replies, recipients=1), Turn(SAY_CONTENT, answer)]
    if step < 2:
        replies[step] = answer
        turns = [group(*replies, recipients=1)]
    with pytest.raises(RemoteProtocolError):
        converse(session, made, *turns)
    assert session.state is State.CLOSED
    assert accounts(session, made, stage=Stage.MAIL) == [
        "a UNKNOWN - FINAL temporary" if step == 2 else "a NOT_SENT - MAIL temporary"
    ]


@pytest.mark.parametrize("answer", ["250 ok", "220 ok", "334 ok", "355 ok"])
def test_I9_no_content_goes_out_without_354(answer: str) -> None:
    session, made = ready(), transaction()
    with pytest.raises(RemoteProtocolError):
        converse(session, made, group("250 ok", "250 ok", "250 ok", answer))
    assert not made.content_begun
    assert {account[2:] for account in accounts(session, made, stage=Stage.DATA)} == {
        "NOT_SENT - DATA temporary"
    }


# Refusals


def test_E1_who_is_refused_does_not_keep_the_message_from_the_others() -> None:
    envelope = group("250 ok", "550 no", "250 ok", "354 go")
    assert convey(envelope, Turn(SAY_CONTENT, "250 ok")) == [
        "a REFUSED 550 RCPT",
        "b ACCEPTED 250 FINAL",
    ]
    envelope = group("250 ok", "250 ok", "450 later", "354 go")
    assert convey(envelope, Turn(SAY_CONTENT, "554 spam")) == [
        "a REFUSED 554 FINAL",
        "b REFUSED 450 RCPT temporary",
    ]


def test_E1_all_or_nothing_ends_before_the_content() -> None:
    session, made = ready(), transaction(all_or_nothing=True)
    converse(session, made, group("250 ok", "550 no", "250 ok", data=False))
    assert accounts(session, made, stage=Stage.RCPT) == [
        "a REFUSED 550 RCPT",
        "b NOT_SENT - RCPT temporary",
    ]
    assert session.state is State.RCPT
    assert not made.content_begun
    again = transaction(1)
    reset = Turn(f"RSET|{MAIL}|{rcpt('a')}|DATA", "250 ok|250 ok|250 ok|354 go")
    converse(session, again, reset, Turn(SAY_CONTENT, "250 ok"))
    assert accounts(session, again) == ACCEPTED[:1]


def test_E1_all_or_nothing_goes_on_if_all_are_accepted() -> None:
    session, made = ready(), transaction(all_or_nothing=True)
    converse(
        session,
        made,
        group("250 ok", "250 ok", "250 ok", data=False),
        Turn("DATA", "354 go"),
        Turn(SAY_CONTENT, "250 ok"),
    )
    assert accounts(session, made) == ACCEPTED


def test_E1_all_or_nothing_in_lockstep_asks_for_all() -> None:
    session, made = ready(pipelining=False), transaction(all_or_nothing=True)
    turns = (Turn(rcpt("a"), "450 later"), Turn(rcpt("b"), "250 ok"))
    converse(session, made, Turn(MAIL, "250 ok"), *turns)
    assert accounts(session, made, stage=Stage.RCPT) == [
        "a REFUSED 450 RCPT temporary",
        "b NOT_SENT - RCPT temporary",
    ]


@pytest.mark.parametrize("final", ["250 ok", "554 no recipients", "451 later"])
def test_E2_nobody_is_left_and_354_comes_anyway(final: str) -> None:
    envelope = group("250 ok", "550 no", "450 later", "354 go")
    assert convey(envelope, Turn(".", final)) == [
        "a REFUSED 550 RCPT",
        "b REFUSED 450 RCPT temporary",
    ]


def test_E2_nobody_is_left_and_data_is_refused() -> None:
    session = ready()
    envelope = group("250 ok", "550 no", "450 later", "503 no recipients")
    assert convey(envelope, session=session) == [
        "a REFUSED 550 RCPT",
        "b REFUSED 450 RCPT temporary",
    ]
    assert session.state is State.MAIL
    assert session.reusable


def test_E2_nobody_is_left_in_lockstep() -> None:
    turns = [Turn(MAIL, "250 ok"), Turn(rcpt("a"), "550 no"), Turn(rcpt("b"), "550 no")]
    assert convey(*turns, session=ready(pipelining=False)) == [
        "a REFUSED 550 RCPT",
        "b REFUSED 550 RCPT",
    ]


@pytest.mark.parametrize("code", [451, 452, 550, 552, 553, 555, 530])
def test_the_sender_may_be_refused(code: int) -> None:
    temper = " temporary" if code < 500 else ""
    refused = [f"a REFUSED {code} MAIL{temper}", f"b REFUSED {code} MAIL{temper}"]
    envelope = group(f"{code} no", "503 ?", "503 ?", "503 ?")
    assert convey(envelope) == refused
    lockstep = Turn(MAIL, f"{code} no")
    assert convey(lockstep, session=ready(pipelining=False)) == refused


def test_E27_no_later_reply_hides_an_earlier_refusal() -> None:
    """A server that forgets that it refused MAIL gets a lone dot, and nobody mail."""
    session = ready()
    envelope = group("550 no", "250 ok", "250 ok", "354 go")
    assert convey(envelope, Turn(".", "250 ok"), session=session) == [
        "a REFUSED 550 MAIL",
        "b REFUSED 550 MAIL",
    ]


@pytest.mark.parametrize("code", [450, 451, 452, 503, 550, 554])
def test_E3_data_may_be_refused(code: int) -> None:
    session = ready()
    temper = " temporary" if code < 500 else ""
    envelope = group("250 ok", "250 ok", "250 ok", f"{code} no")
    assert convey(envelope, session=session) == [
        f"a REFUSED {code} DATA{temper}",
        f"b REFUSED {code} DATA{temper}",
    ]
    assert session.state is State.RCPT
    assert (
        convey(RESET_AND_TAKEN, Turn(SAY_CONTENT, "250 ok"), session=session)
        == ACCEPTED
    )


def test_E3_who_was_refused_at_rcpt_stays_so() -> None:
    assert convey(group("250 ok", "550 no", "250 ok", "451 later")) == [
        "a REFUSED 550 RCPT",
        "b REFUSED 451 DATA temporary",
    ]


@pytest.mark.parametrize("code", [450, 451, 452, 550, 552, 554])
def test_the_content_may_be_refused(code: int) -> None:
    session, made = ready(), transaction()
    converse(session, made, ENVELOPE_TAKEN, Turn(SAY_CONTENT, f"{code} no"))
    temper = " temporary" if code < 500 else ""
    assert accounts(session, made) == [
        f"a REFUSED {code} FINAL{temper}",
        f"b REFUSED {code} FINAL{temper}",
    ]
    assert made.final_reply == Reply(code, (b"no",))
    assert session.reusable


MANY = [
    # RFC 5321 §4.5.3.1.10: an old server's 552 to RCPT is a 452, really,
    ("552 too many", "552 RCPT temporary"),
    ("552 5.5.3 too many", "552 RCPT temporary"),
    ("552 5.2.2x not an enhanced status", "552 RCPT temporary"),
    ("452 4.5.3 too many", "452 RCPT temporary"),
    # unless it tells of a full mailbox or a message too big.
    ("552 5.2.2 full", "552 RCPT"),
    ("552 5.3.4 too big", "552 RCPT"),
    ("550 5.5.3 too many", "550 RCPT"),
    ("553 too many", "553 RCPT"),
]


@pytest.mark.parametrize(("answer", "account"), MANY)
def test_E21_too_many_recipients_may_be_sent_later(answer: str, account: str) -> None:
    envelope = group("250 ok", "250 ok", answer, "354 go")
    assert convey(envelope, Turn(SAY_CONTENT, "250 ok")) == [
        "a ACCEPTED 250 FINAL",
        f"b REFUSED {account}",
    ]


@pytest.mark.parametrize(("answer", "account"), MANY)
def test_E21_the_first_recipient_is_not_one_too_many(answer: str, account: str) -> None:
    envelope = group("250 ok", answer, "250 ok", "354 go")
    told = account.replace(" temporary", "") if answer.startswith("5") else account
    assert convey(envelope, Turn(SAY_CONTENT, "250 ok")) == [
        f"a REFUSED {told}",
        "b ACCEPTED 250 FINAL",
    ]


@pytest.mark.parametrize("stage", ["MAIL", "DATA", "FINAL"])
def test_E21_552_means_too_many_at_rcpt_alone(stage: str) -> None:
    replies = ["250 ok", "250 ok", "250 ok", "354 go"]
    turns = [group(*replies), Turn(SAY_CONTENT, "552 big")]
    if stage == "MAIL":
        turns = [group("552 big", "503 ?", "503 ?", "503 ?")]
    elif stage == "DATA":
        turns = [group(*replies[:3], "552 big")]
    assert convey(*turns) == [f"a REFUSED 552 {stage}", f"b REFUSED 552 {stage}"]


def test_E21_greylisting_is_temporary() -> None:
    assert convey(group("250 ok", "450 4.7.1 later", "451 4.7.0 later", "503 ?")) == [
        "a REFUSED 450 RCPT temporary",
        "b REFUSED 451 RCPT temporary",
    ]


# One message after the other


def test_after_the_content_the_next_message_needs_no_rset() -> None:
    session = ready()
    for final in ("250 ok", "554 no"):
        convey(ENVELOPE_TAKEN, Turn(SAY_CONTENT, final), session=session)
    assert convey(ENVELOPE_TAKEN, Turn(SAY_CONTENT, "250 ok"), session=session) == (
        ACCEPTED
    )


def test_after_a_transaction_that_ended_early_it_does() -> None:
    session = ready()
    convey(group("250 ok", "550 no", "550 no", "503 ?"), session=session)
    assert (
        convey(RESET_AND_TAKEN, Turn(SAY_CONTENT, "250 ok"), session=session)
        == ACCEPTED
    )


@pytest.mark.parametrize("answer", ["500 no", "451 no", "354 no"])
def test_E16_rset_is_answered_2yz(answer: str) -> None:
    session = ready()
    convey(group("250 ok", "550 no", "550 no", "503 ?"), session=session)
    with pytest.raises(RemoteProtocolError):
        convey(Turn(RESET_AND_TAKEN.client, answer), session=session)
    assert session.state is State.CLOSED


@pytest.mark.parametrize("code", [250, 552])
def test_the_account_of_many_recipients_takes_linear_time(code: int) -> None:
    many = 8000
    half = [Reply(250, (b"ok",))] * (many // 2)
    others = [Reply(code, (b"5.5.3 too many",))] * (many // 2)
    made = Transaction(
        Envelope.of("s@x.test", [f"{number}@x.test" for number in range(many)]),
        MailData(b"Hi\r\n"),
    )
    next(made.commands(ready(lmtp=True)))
    for reply in half + others:
        made.replied(Rcpt("a@x.test"), reply)
    for reply in half if code == 552 else half * 2:
        made.replied(Content(), reply)
    start = time.thread_time()
    results = made.results()
    assert time.thread_time() - start < 1  # quadratic, it takes several
    counted = Counter(result.outcome for result in results)
    refused = many // 2 if code == 552 else 0
    assert counted[Outcome.ACCEPTED] == many - refused
    assert counted[Outcome.REFUSED] == refused


def test_nobody_is_asked_for_again_of_a_message_that_nobody_took() -> None:
    """354 comes although MAIL was refused, and the lone dot is taken well."""
    session, made = ready(), transaction(3)
    turns = [
        group(
            "550 no", "250 ok", "452 4.5.3 too many", "503 ?", "354 go", recipients=3
        ),
        Turn(".", "250 ok"),
    ]
    converse(session, made, *turns)
    assert made.postponed == ()
    session, made = ready(), transaction(3)
    turns = [
        group(
            "250 ok", "250 ok", "452 too many", "452 4.2.2 full", "354 go", recipients=3
        ),
        Turn(SAY_CONTENT, "250 ok"),
    ]
    converse(session, made, *turns)
    assert made.postponed == (1,)
