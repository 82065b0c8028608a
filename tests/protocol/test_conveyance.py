"""How the mail data are conveyed: by DATA or BDAT, whole or as they come (RFC 3030)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from esmtp_async.protocol import (
    Command,
    Envelope,
    MailData,
    RemoteProtocolError,
    Session,
    Stage,
    State,
    Transaction,
)
from esmtp_async.protocol._content import BLOCK
from esmtp_async.protocol._exceptions import NotSupported
from tests.protocol.dialogue import Turn, accounts, converse, octets, ready

ENVELOPE = "MAIL FROM:<s@x.test>|RCPT TO:<a@x.test>|RCPT TO:<b@x.test>"
TAKEN = "250 ok|250 ok|250 ok"
WITH_DATA = Turn(f"{ENVELOPE}|DATA", f"{TAKEN}|354 go")
LINES = [*ENVELOPE.split("|")]
ACCEPTED = ["a ACCEPTED 250 FINAL", "b ACCEPTED 250 FINAL"]

HELLO = b".Hi\r\n"
BDAT_HELLO = b"BDAT 5 LAST\r\n.Hi\r\n"
LARGE = b"." + b"x" * BLOCK + b"\r\n.\r\n"
BDAT_LARGE = [b"BDAT 65536\r\n" + LARGE[:BLOCK], b"BDAT 6\r\n" + LARGE[BLOCK:]]
BDAT_END = b"BDAT 0 LAST\r\n"


async def stream(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def transaction(
    content: bytes | AsyncIterator[bytes],
    *,
    eager: bool = False,
    all_or_nothing: bool = False,
) -> Transaction:
    data = MailData(content) if isinstance(content, bytes) else MailData(blocks=content)
    envelope = Envelope.of("s@x.test", ["a@x.test", "b@x.test"])
    return Transaction(envelope, data, eager=eager, all_or_nothing=all_or_nothing)


def convey(session: Session, made: Transaction, *turns: Turn) -> list[str]:
    converse(session, made, *turns)
    return accounts(session, made, stage=Stage.CONTENT)


def lockstep(*pairs: tuple[bytes, str]) -> list[Turn]:
    """Give the turns of an envelope that is taken, and of what follows it."""
    envelope = [Turn(line, "250 ok") for line in LINES]
    return envelope + [Turn(client, server) for client, server in pairs]


# DATA


def test_content_of_one_block_goes_out_with_its_end() -> None:
    content = b"." + b"x" * (BLOCK - 3) + b"\r\n"
    for offers in ((), ("CHUNKING",)):
        end = Turn(b"." + content + b".\r\n", "250 ok")
        said = converse(ready(*offers), transaction(content), WITH_DATA, end)
        assert said[-1] == end.client


@pytest.mark.parametrize("offers", [(), ("CHUNKING",)])
def test_larger_content_goes_out_in_blocks_and_its_end_by_itself(
    offers: tuple[str, ...],
) -> None:
    """The end is the commit point, so it comes as late as it can."""
    made, session = transaction(LARGE), ready(*offers)
    stuffed = b"." + LARGE[:-3] + b"..\r\n"
    said = converse(session, made, WITH_DATA, Turn(stuffed + b".\r\n", "250 ok"))
    assert said[4:] == [stuffed[: BLOCK + 1], stuffed[BLOCK + 1 :], b".\r\n"]
    assert accounts(session, made) == ACCEPTED


def test_without_chunking_a_stream_goes_out_as_it_comes() -> None:
    made, session = transaction(stream(b".a\n", b"", b".", b"b")), ready()
    said = converse(session, made, WITH_DATA, Turn(b"..a\r\n..b\r\n.\r\n", "250 ok"))
    assert said[4:] == [b"..a\r\n", b"..", b"b", b"\r\n", b".\r\n"]
    assert accounts(session, made) == ACCEPTED


def test_empty_content_is_a_lone_dot() -> None:
    for content in (b"", stream()):
        assert convey(
            ready(), transaction(content), WITH_DATA, Turn(".", "250 ok")
        ) == (ACCEPTED)


def test_nobody_gets_a_stream_that_was_not_begun() -> None:
    begun = []

    async def watched() -> AsyncIterator[bytes]:
        begun.append(True)
        yield b"a"

    for offers in ((), ("CHUNKING",)):
        refused = Turn(f"{ENVELOPE}|DATA", "250 ok|550 no|550 no|354 go")
        turns = [refused, Turn(".", "250 ok")]
        if offers:
            turns = [Turn(ENVELOPE, "250 ok|550 no|550 no")]
        made = transaction(watched())
        assert convey(ready(*offers), made, *turns) == [
            "a REFUSED 550 RCPT",
            "b REFUSED 550 RCPT",
        ]
        assert made.content_begun is not bool(offers)
    assert begun == []


# BDAT


def test_a_stream_goes_out_in_chunks_once_the_envelope_is_taken() -> None:
    made, session = transaction(stream(b".a\n", b"", b".", b"b")), ready("CHUNKING")
    chunks = [b"BDAT 4\r\n.a\r\n", b"BDAT 1\r\n.", b"BDAT 1\r\nb", b"BDAT 2\r\n\r\n"]
    flight = b"".join(chunks) + BDAT_END
    turns = (Turn(ENVELOPE, TAKEN), Turn(flight, "250 1|250 2|250 3|250 4|250 done"))
    assert converse(session, made, *turns)[3:] == [*chunks, BDAT_END]
    assert accounts(session, made) == ACCEPTED
    assert session.state is State.READY


def test_an_empty_stream_is_an_empty_last_chunk() -> None:
    turns = (Turn(ENVELOPE, TAKEN), Turn(BDAT_END, "250 done"))
    assert convey(ready("CHUNKING"), transaction(stream()), *turns) == ACCEPTED


def test_in_lockstep_each_chunk_waits_for_its_reply() -> None:
    session = ready("CHUNKING", pipelining=False)
    chunks = ((b"BDAT 1\r\na", "250 1"), (b"BDAT 2\r\n\r\n", "250 2"))
    turns = lockstep(*chunks, (BDAT_END, "250 done"))
    assert convey(session, transaction(stream(b"a")), *turns) == ACCEPTED


@pytest.mark.parametrize("code", [452, 503, 552, 554])
def test_E26_no_chunk_follows_a_refused_one(code: int) -> None:
    session = ready("CHUNKING", pipelining=False)
    made = transaction(stream(b"a", b"b", b"c"))
    chunks = ((b"BDAT 1\r\na", "250 1"), (b"BDAT 1\r\nb", f"{code} no"))
    temper = " temporary" if code < 500 else ""
    assert convey(session, made, *lockstep(*chunks)) == [
        f"a REFUSED {code} DATA{temper}",
        f"b REFUSED {code} DATA{temper}",
    ]
    assert session.state is State.INDETERMINATE
    again = [Turn("RSET", "250 ok"), *lockstep((b"DATA\r\n", "354 go"))]
    last = Turn("..Hi|.", "250 ok")
    assert convey(session, transaction(HELLO), *again, last) == ACCEPTED


def test_E26_of_several_refused_chunks_the_first_decides() -> None:
    made, session = transaction(stream(b"a", b"b")), ready("CHUNKING")
    flight = b"BDAT 1\r\naBDAT 1\r\nbBDAT 2\r\n\r\n" + BDAT_END
    replies = Turn(flight, "250 1|452 full|503 ?|554 ?")
    assert convey(session, made, Turn(ENVELOPE, "250 ok|550 no|250 ok"), replies) == [
        "a REFUSED 550 RCPT",
        "b REFUSED 452 DATA temporary",
    ]
    assert session.state is State.INDETERMINATE
    assert session.reusable


def test_E26_nothing_is_taken_behind_a_refused_chunk() -> None:
    made, session = transaction(stream(b"a\n")), ready("CHUNKING")
    replies = Turn(b"BDAT 3\r\na\r\n" + BDAT_END, "452 full|250 ok")
    with pytest.raises(RemoteProtocolError):
        converse(session, made, Turn(ENVELOPE, TAKEN), replies)
    assert accounts(session, made)[0] == "a REFUSED 452 DATA temporary"


def test_lmtp_answers_the_last_chunk_for_each_recipient() -> None:
    made, session = transaction(stream(b"a\n")), ready("CHUNKING", lmtp=True)
    replies = Turn(b"BDAT 3\r\na\r\n" + BDAT_END, "250 1|250 a|452 b")
    assert convey(session, made, Turn(ENVELOPE, TAKEN), replies) == [
        "a ACCEPTED 250 FINAL",
        "b REFUSED 452 FINAL temporary",
    ]


# Eager: the content in the group of the envelope


EAGER = Turn(octets(ENVELOPE) + BDAT_HELLO, f"{TAKEN}|250 done")


def test_eager_is_one_flight() -> None:
    made, session = transaction(HELLO, eager=True), ready("CHUNKING")
    assert not made.content_begun
    assert convey(session, made, EAGER) == ACCEPTED
    assert made.content_begun
    assert session.state is State.READY


@pytest.mark.parametrize(
    ("replies", "results"),
    [
        (
            "250 ok|550 no|250 ok|250 done",
            ["a REFUSED 550 RCPT", "b ACCEPTED 250 FINAL"],
        ),
        (
            "250 ok|550 no|452 no|503 nobody",
            ["a REFUSED 550 RCPT", "b REFUSED 452 RCPT temporary"],
        ),
        ("451 no|503 ?|503 ?|503 ?", ["a REFUSED 451 MAIL temporary"] * 2),
        ("550 no|250 ok|250 ok|503 ?", ["a REFUSED 550 MAIL"] * 2),
        ("250 ok|250 ok|250 ok|554 spam", ["a REFUSED 554 FINAL"] * 2),
        ("250 ok|250 ok|250 ok|", ["a UNKNOWN - FINAL temporary"] * 2),
        ("250 ok|421 bye", ["a REFUSED 421 RCPT temporary"] * 2),
    ],
)
def test_eager_accounts_are_those_of_any_other_way(
    replies: str, results: list[str]
) -> None:
    made, session = transaction(HELLO, eager=True), ready("CHUNKING")
    turns = [Turn(EAGER.client, replies.removesuffix("|"))]
    if replies.endswith("|"):
        turns.append(Turn("", ""))
    assert [account[2:] for account in convey(session, made, *turns)] == [
        result[2:] for result in results
    ]


def test_eager_content_is_not_taken_for_nobody() -> None:
    made, session = transaction(HELLO, eager=True), ready("CHUNKING")
    with pytest.raises(RemoteProtocolError):
        converse(session, made, Turn(EAGER.client, "250 ok|550 no|550 no|250 ok"))
    assert accounts(session, made) == ["a REFUSED 550 RCPT", "b REFUSED 550 RCPT"]


def test_eager_lmtp_answers_for_each_recipient() -> None:
    made, session = transaction(HELLO, eager=True), ready("CHUNKING", lmtp=True)
    replies = Turn(EAGER.client, f"{TAKEN}|250 a|452 b")
    assert convey(session, made, replies) == [
        "a ACCEPTED 250 FINAL",
        "b REFUSED 452 FINAL temporary",
    ]


def test_eager_content_of_more_than_a_block_waits_for_the_envelope() -> None:
    made, session = transaction(LARGE, eager=True), ready("CHUNKING")
    flight = Turn(b"".join(BDAT_LARGE) + BDAT_END, "250 1|250 2|250 done")
    said = converse(session, made, Turn(ENVELOPE, TAKEN), flight)
    assert said[3:] == [*BDAT_LARGE, BDAT_END]
    assert accounts(session, made) == ACCEPTED
    refused = Turn(ENVELOPE, "250 ok|550 no|550 no")
    assert convey(ready("CHUNKING"), transaction(LARGE, eager=True), refused) == [
        "a REFUSED 550 RCPT",
        "b REFUSED 550 RCPT",
    ]


def test_eager_content_of_exactly_a_block_does_not() -> None:
    content = b"x" * (BLOCK - 2) + b"\r\n"
    flight = octets(ENVELOPE) + b"BDAT 65536 LAST\r\n" + content
    turn = Turn(flight, f"{TAKEN}|250 ok")
    assert convey(ready("CHUNKING"), transaction(content, eager=True), turn) == ACCEPTED


def test_eager_needs_chunking() -> None:
    turns = (WITH_DATA, Turn("..Hi|.", "250 ok"))
    assert convey(ready(), transaction(HELLO, eager=True), *turns) == ACCEPTED


def test_eager_without_pipelining_is_lockstep() -> None:
    session = ready("CHUNKING", pipelining=False)
    turns = lockstep((BDAT_HELLO, "250 done"))
    assert convey(session, transaction(HELLO, eager=True), *turns) == ACCEPTED
    turns = [Turn(LINES[0], "250 ok"), *(Turn(line, "550 no") for line in LINES[1:])]
    assert convey(session, transaction(HELLO, eager=True), *turns) == [
        "a REFUSED 550 RCPT",
        "b REFUSED 550 RCPT",
    ]


def test_all_or_nothing_is_never_eager() -> None:
    made = transaction(HELLO, eager=True, all_or_nothing=True)
    session = ready("CHUNKING")
    turns = (Turn(ENVELOPE, TAKEN), Turn("DATA", "354 go"), Turn("..Hi|.", "250 ok"))
    assert convey(session, made, *turns) == ACCEPTED


def test_a_message_behind_one_that_may_yet_be_refused_begins_with_rset() -> None:
    """Else it would go out under the reverse-path of the first (RFC 3030 §2)."""
    session = ready("CHUNKING")
    first, second = (transaction(HELLO, eager=True) for _ in range(2))
    for step in first.commands(session):
        assert isinstance(step, Command)
        session.send(step, first)
    flight = b"RSET\r\n" + octets(EAGER.client)
    replies = f"{TAKEN}|554 spam|250 ok|{TAKEN}|250 done"
    converse(session, second, Turn(flight, replies))
    assert accounts(session, first) == ["a REFUSED 554 FINAL", "b REFUSED 554 FINAL"]
    assert accounts(session, second) == ACCEPTED


# What shows only as a stream passes


def breaks(session: Session, made: Transaction, *turns: Turn) -> str:
    """Hold a transaction that its own content ends; give the missing extension."""
    with pytest.raises(NotSupported) as caught:
        converse(session, made, *turns)
    return caught.value.extension


@pytest.mark.parametrize("offers", [("SIZE 7",), ("SIZE 7", "CHUNKING")])
def test_B10_a_stream_is_stopped_where_it_exceeds_the_limit(
    offers: tuple[str, ...],
) -> None:
    """Who was refused at RCPT keeps that outcome whatever follows."""
    made, session = transaction(stream(b"ab\n", b"cd\n")), ready(*offers)
    replies = "250 ok|550 no|250 ok"
    turn = Turn(f"{ENVELOPE}|DATA", f"{replies}|354 go")
    if "CHUNKING" in offers:
        turn = Turn(ENVELOPE, replies)
    assert breaks(session, made, turn) == "SIZE"
    assert accounts(session, made) == ["a REFUSED 550 RCPT", "b REFUSED - LOCAL"]
    fits = transaction(stream(b"ab\n", b"c\n"))
    turns = (WITH_DATA, Turn("ab|c|.", "250 ok"))
    if "CHUNKING" in offers:
        chunks = b"BDAT 4\r\nab\r\nBDAT 3\r\nc\r\n" + BDAT_END
        turns = (Turn(ENVELOPE, TAKEN), Turn(chunks, "250 1|250 2|250 done"))
    assert convey(ready(*offers), fits, *turns) == ACCEPTED


def test_B8_a_stream_is_stopped_where_it_leaves_ascii() -> None:
    made, session = transaction(stream(b"ab\n", b"\xff\n")), ready()
    assert breaks(session, made, WITH_DATA) == "8BITMIME"
    assert accounts(session, made) == ["a REFUSED - LOCAL", "b REFUSED - LOCAL"]
    assert session.unfinished
    made, session = transaction(stream(b"\xff\n")), ready("8BITMIME")
    line = Turn(
        f"{ENVELOPE}|DATA".replace("<s@x.test>", "<s@x.test> BODY=8BITMIME"), ""
    )
    assert convey(session, made, line)[0] == "a NOT_SENT - CONTENT temporary"


def test_E29_a_stream_that_fails_was_not_sent() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        msg = "the disk is gone"
        raise OSError(msg)

    made, session = transaction(broken()), ready()
    with pytest.raises(OSError, match="the disk is gone"):
        converse(session, made, WITH_DATA)
    assert accounts(session, made, stage=Stage.CONTENT) == [
        "a NOT_SENT - CONTENT temporary",
        "b NOT_SENT - CONTENT temporary",
    ]
    assert made.content_begun
    assert session.unfinished
