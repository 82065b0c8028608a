"""The transcripts, word for word: what is said, in which flights, and what comes of it.

No matter how what the server says is cut, the client says nothing before the last
octet of it is there, then exactly the next flight, and in the end knows what became
of each recipient.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Final

import pytest

from esmtp_async.protocol import UPGRADE, Ask
from tests.protocol.conversation import Conversation
from tests.transcript import Flight, Transcript, load, transcripts

TRANSCRIPTS: Final = transcripts()

#: How the octets of a flight come: the pieces, in their order.
Cut = Callable[[Flight], list[bytes]]

each_transcript = pytest.mark.parametrize(
    "transcript", TRANSCRIPTS, ids=[transcript.name for transcript in TRANSCRIPTS]
)


def play(transcript: Transcript, cut: Cut) -> None:
    """Play the server's part, and hold the client to its own."""
    conversation = Conversation(transcript)
    drive = conversation.run()

    def step(heard: bytes) -> bytes | Ask | None:
        try:
            return drive.send(heard)
        except StopIteration:
            return None

    said: bytes | Ask | None = next(drive)
    for flight in transcript.flights:
        if flight.handshake:
            assert said is UPGRADE
            said = step(b"")
        assert said == flight.said
        *early, last = cut(flight)
        for piece in early:
            assert step(piece) == b""
        said = step(last)
        # A server that says 421 hangs up, but nobody waits for that.
        if flight.eof and said is not None:
            assert said == b""
            said = step(b"")
    assert said is None
    assert conversation.outcomes == transcript.outcomes
    assert conversation.session.state is transcript.state


def by_the_flight(flight: Flight) -> list[bytes]:
    return [b"".join(flight.heard)]


def by_the_line(flight: Flight) -> list[bytes]:
    return flight.heard or [b""]


def by_the_octet(flight: Flight) -> list[bytes]:
    return [bytes([octet]) for line in flight.heard for octet in line] or [b""]


def cut_once(offset: int) -> Cut:
    """Cut all that the server says in two, so many octets behind its beginning."""
    before = 0

    def cut(flight: Flight) -> list[bytes]:
        nonlocal before
        octets = b"".join(flight.heard)
        place = offset - before
        before += len(octets)
        inside = 0 < place < len(octets)
        return [octets[:place], octets[place:]] if inside else [octets]

    return cut


@each_transcript
@pytest.mark.parametrize("cut", [by_the_flight, by_the_line, by_the_octet])
def test_the_client_says_its_part(transcript: Transcript, cut: Cut) -> None:
    play(transcript, cut)


@each_transcript
def test_it_does_so_wherever_what_it_hears_is_cut(transcript: Transcript) -> None:
    for offset in range(
        1, sum(map(len, chain(*(f.heard for f in transcript.flights))))
    ):
        play(transcript, cut_once(offset))


def test_there_are_many() -> None:
    assert len(TRANSCRIPTS) >= 55
    assert len({transcript.title for transcript in TRANSCRIPTS}) == len(TRANSCRIPTS)
    assert all(transcript.flights for transcript in TRANSCRIPTS)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("# lmtp: no", "# lmpt: no"),  # no such key
        ("# sender: alice", "# recipient: alice"),  # of which message?
        ("# recipient: bob@example.test", "# recipient: bob@example.test dsn=yes"),
        ("M: Hello.", "Hello."),
        ("C: QUIT", "QUIT"),
        ("S: 221 bye", "S: 221 bye\nC: QUIT"),  # with no empty line between
        ("@ CLOSED", "@ SHUT"),
        ("@ CLOSED", ""),
    ],
)
def test_a_file_that_is_not_understood_is_an_error(
    right: str, wrong: str, tmp_path: Path
) -> None:
    text = """A title.

# lmtp: no
# sender: alice@example.test
# recipient: bob@example.test
M: Hello.

S: 220 ready

C: QUIT
S: 221 bye

@ CLOSED
"""
    path = tmp_path / "small.txt"
    path.write_text(text)
    assert load(path).flights[1].said == b"QUIT\r\n"
    assert text.count(right) == 1
    path.write_text(text.replace(right, wrong))
    with pytest.raises(ValueError, match=re.escape(str(path))):
        load(path)
