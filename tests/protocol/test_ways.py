"""What a server bears is found out by the messages themselves."""

from __future__ import annotations

import pytest

from esmtp_async.protocol import Content, Data, Envelope, Mail, Rcpt, Replied
from esmtp_async.protocol._content import MailData
from esmtp_async.protocol._transaction import Transaction
from esmtp_async.protocol._ways import CHUNKS, EAGER, GROUPS, TRAINS, Ways
from tests.protocol.dialogue import Turn, converse, ready

ALL = GROUPS | CHUNKS | EAGER
OK = b"250 ok\r\n"
MESSAGE = b"Subject: hi\r\n\r\nHello.\r\n"


def test_what_saves_most_is_suspected_first() -> None:
    ways = Ways(ALL, pytest.fail)
    assert ways.suspect(ALL) == EAGER
    assert ways.suspect(GROUPS | CHUNKS) == CHUNKS
    assert ways.suspect(GROUPS) == GROUPS
    assert ways.suspect(0) == 0


def test_what_went_well_is_beyond_suspicion() -> None:
    ways = Ways(ALL, pytest.fail)
    ways.went_well(GROUPS | CHUNKS)
    assert ways.proven == GROUPS | CHUNKS
    assert ways.suspect(GROUPS | CHUNKS) == 0
    ways.give_up(GROUPS)
    assert ways.usable == ALL


def test_trains_must_go_well_ten_times() -> None:
    ways = Ways(ALL | TRAINS, pytest.fail)
    for _ in range(9):
        ways.went_well(TRAINS | GROUPS)
        assert ways.proven == GROUPS
        assert ways.suspect(TRAINS | GROUPS) == TRAINS
    ways.went_well(TRAINS)
    assert ways.proven == TRAINS | GROUPS
    assert ways.suspect(TRAINS | GROUPS) == 0


def test_one_at_a_time_is_the_first_to_try() -> None:
    ways = Ways(ALL, pytest.fail)
    first, second = object(), object()
    assert ways.may_try(EAGER, first)
    assert not ways.may_try(EAGER, second)
    assert ways.may_try(EAGER, first)
    assert ways.may_try(TRAINS, second)
    ways.tried(second)
    assert not ways.may_try(EAGER, second)
    assert ways.may_try(TRAINS, first)
    ways.tried(first)
    assert ways.may_try(EAGER, second)
    assert ways.may_try(TRAINS, second)


def test_each_is_given_up_once() -> None:
    told: list[str] = []
    ways = Ways(GROUPS | CHUNKS, told.append)
    ways.give_up(GROUPS | EAGER)
    ways.give_up(GROUPS)
    assert ways.usable == CHUNKS
    assert told == ["PIPELINING"]
    ways.give_up(CHUNKS)
    assert told == ["PIPELINING", "CHUNKING"]
    assert ways.usable == 0


ENVELOPE = "MAIL FROM:<a@x.test>|RCPT TO:<r0@x.test>|RCPT TO:<r1@x.test>"
CHUNK = b"BDAT %d LAST\r\n%b" % (len(MESSAGE), MESSAGE)
CONTENT = MESSAGE + b".\r\n"


def transacted(
    *turns: Turn,
    offer: str = "PIPELINING",
    binary: bool = False,
    eager: bool = False,
    chunks: bool = True,
    lockstep: bool = False,
) -> Transaction:
    """Hold a transaction for two recipients."""
    envelope = Envelope.of("a@x.test", ["r0@x.test", "r1@x.test"])
    transaction = Transaction(
        envelope, MailData(MESSAGE, binary=binary), eager=eager, chunks=chunks
    )
    session = ready(*offer.split())
    if lockstep:
        session.in_lockstep()
    converse(session, transaction, *turns)
    return transaction


@pytest.mark.parametrize("code", ["500", "502", "503", "504", "550", "421"])
def test_a_recipient_is_refused_out_of_step(code: str) -> None:
    """What 504 says of a recipient it means, and 421 is no refusal of his."""
    transaction = transacted(
        Turn(f"{ENVELOPE}|DATA", f"250 ok|250 ok|{code} no|354 go"),
        *([] if code == "421" else [Turn(CONTENT, "250 ok")]),
    )
    assert transaction.used == GROUPS
    assert transaction.has_refusals
    assert transaction.out_of_step == ((1,) if code in {"500", "502", "503"} else ())


def test_nobody_is_out_of_step_behind_a_refused_sender() -> None:
    transaction = transacted(
        Turn(f"{ENVELOPE}|DATA", "503 no|503 no|503 no|503 no"),
    )
    assert transaction.out_of_step == ()


def test_data_is_out_of_step_for_those_who_were_accepted() -> None:
    transaction = transacted(Turn(f"{ENVELOPE}|DATA", "250 ok|550 no|250 ok|503 no"))
    assert transaction.out_of_step == (1,)
    assert not transaction.content_begun


def test_what_is_refused_behind_data_is_the_content() -> None:
    transaction = transacted(
        Turn(f"{ENVELOPE}|DATA", "250 ok|250 ok|250 ok|354 go"),
        Turn(CONTENT, "503 no"),
    )
    assert transaction.out_of_step == ()
    assert transaction.suspects == 0  # the whole group was answered


@pytest.mark.parametrize(
    ("turns", "out_of_step"),
    [
        ((Turn(ENVELOPE, "250 ok|250 ok|250 ok"), Turn(CHUNK, "502 no")), (0, 1)),
        ((Turn(ENVELOPE, "250 ok|503 no|250 ok"), Turn(CHUNK, "250 ok")), (0,)),
        ((Turn(ENVELOPE, "250 ok|250 ok|250 ok"), Turn(CHUNK, "552 no")), ()),
    ],
)
def test_chunks_are_out_of_step(
    turns: tuple[Turn, ...], out_of_step: tuple[int, ...]
) -> None:
    """What only BDAT can carry has no other way."""
    offer = "PIPELINING CHUNKING BINARYMIME"
    first = turns[0]._replace(client=ENVELOPE.replace("|", " BODY=BINARYMIME|", 1))
    transaction = transacted(first, *turns[1:], offer=offer, binary=True)
    assert transaction.out_of_step == out_of_step
    assert transaction.used == GROUPS


@pytest.mark.parametrize("is_followed", [False, True])
def test_who_is_last_in_a_train_is_not_told_of_it(*, is_followed: bool) -> None:
    """Once his mail data may come, everything before them was answered."""
    transaction = Transaction(Envelope.of("a@x.test", "b@x.test"), MailData(MESSAGE))
    transaction.used = GROUPS | TRAINS
    assert transaction.suspects == GROUPS | TRAINS
    transaction.is_followed = is_followed
    transaction.content_begun = True
    assert transaction.suspects == (TRAINS if is_followed else 0)


@pytest.mark.parametrize("lockstep", [False, True])
def test_an_eager_flight_is_one_only_in_a_group(*, lockstep: bool) -> None:
    lines = [*ENVELOPE.split("|"), CHUNK.decode().removesuffix("\r\n")]
    together = "|".join(lines).replace("\r\n", "|")
    single = [Turn(line.replace("\r\n", "|"), "250 ok") for line in lines]
    transaction = transacted(
        *(single if lockstep else [Turn(together, "|".join(["250 ok"] * 4))]),
        offer="PIPELINING CHUNKING",
        eager=True,
        lockstep=lockstep,
    )
    assert transaction.used == (CHUNKS if lockstep else EAGER | CHUNKS | GROUPS)
    assert transaction.suspects == (CHUNKS if lockstep else EAGER | CHUNKS)
    assert transaction.final_reply is not None


def test_no_chunks_where_they_are_given_up() -> None:
    transaction = transacted(
        Turn(f"{ENVELOPE}|DATA", "250 ok|250 ok|250 ok|354 go"),
        Turn(CONTENT, "250 ok"),
        offer="PIPELINING CHUNKING",
        eager=True,
        chunks=False,
    )
    assert transaction.by == "DATA"
    assert transaction.used == GROUPS
    assert not transaction.has_refusals


def test_lockstep_holds_for_what_is_on_its_way_already() -> None:
    session = ready("PIPELINING")
    session.send(Mail("a@x.test"))
    assert session.may_continue
    session.in_lockstep()
    assert not session.may_continue
    assert not session.pipelining
    session.receive_data(OK)
    session.next_event()
    assert session.may_continue
    session.send(Rcpt("b@x.test"))
    assert not session.may_continue


def test_lockstep_does_not_cut_mail_data_short() -> None:
    session = ready("PIPELINING")
    for command in (Mail("a@x.test"), Rcpt("b@x.test"), Data()):
        session.send(command)
    session.receive_data(b"250 ok\r\n250 ok\r\n354 go\r\n")
    while isinstance(session.next_event(), Replied):
        pass
    session.send(Content.piece(b"x\r\n", more=True))
    session.in_lockstep()
    assert session.may_continue
    session.send(Content.piece(b".\r\n", more=False))
    assert not session.may_continue
