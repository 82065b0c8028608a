"""How the mail data are conveyed: by DATA or BDAT, whole or as they come (RFC 3030)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from esmtp_async.protocol import (
    Envelope,
    MailData,
    RemoteProtocolError,
    Session,
    State,
    Transaction,
)
from esmtp_async.protocol._content import BLOCK
from esmtp_async.protocol._exceptions import NotSupported
from tests.protocol.dialogue import Turn, accounts, converse, ready

MAIL = "MAIL FROM:<s@x.test>"
RCPTS = "RCPT TO:<a@x.test>|RCPT TO:<b@x.test>"
ENVELOPE = f"{MAIL}|{RCPTS}"
HELLO = b".Hi\r\n"
LARGE = b"." + b"x" * BLOCK + b"\r\n.\r\n"
ACCEPTED = ["a ACCEPTED 250 FINAL", "b ACCEPTED 250 FINAL"]


def line(text: str) -> bytes:
    return text.replace("|", "\r\n").encode() + b"\r\n"


async def stream(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def transaction(
    content: MailData, *, eager: bool = False, all_or_nothing: bool = False
) -> Transaction:
    envelope = Envelope.of("s@x.test", ["a@x.test", "b@x.test"])
    return Transaction(envelope, content, eager=eager, all_or_nothing=all_or_nothing)


def convey(session: Session, made: Transaction, *turns: Turn) -> list[str]:
    converse(session, made, *turns)
    return accounts(session, made)


# DATA


def test_content_of_one_block_goes_out_with_its_end() -> None:
    octets = b"." + b"x" * (BLOCK - 3) + b"\r\n"
    assert len(octets) == BLOCK
    turns = (
        Turn(f"{ENVELOPE}|DATA", "250 ok|250 ok|250 ok|354 go"),
        Turn(b"." + octets + b".\r\n", "250 ok"),
    )
    assert convey(ready(), transaction(MailData(octets)), *turns) == ACCEPTED


def pieces_of(content: MailData, *, before: str = "") -> list[bytes]:
    """Give what is written one by one for content that goes out after 354."""
    session, made = ready(), transaction(content)
    steps = made.commands(session)
    said: list[bytes] = []
    converse(session, made, *[]) if before else None
    return said


@pytest.mark.parametrize("chunking", [False, True])
def test_larger_content_goes_out_in_blocks_and_its_end_by_itself(
    *, chunking: bool
) -> None:
    """The end is the commit point, so it comes as late as it can (§4.1.1.4)."""
    session = ready(*(["CHUNKING"] if chunking else []))
    turns = (
        Turn(f"{ENVELOPE}|DATA", "250 ok|250 ok|250 ok|354 go"),
        Turn(b"." + LARGE[:-3] + b"..\r\n" + b".\r\n", "250 ok"),
    )
    assert convey(session, transaction(MailData(LARGE)), *turns) == ACCEPTED
