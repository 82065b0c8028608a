"""The transcripts, word for word: what is said, in which flights, and what comes of it.

No matter how what the server says is cut, the client says nothing before the last
octet of it is there, then exactly the next flight, and in the end knows what became
of each recipient. Joined to what the server says next, it is believed no further
than to its end.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from esmtp_async.protocol import UPGRADE, Ask
from tests.conversation import Conversation
from tests.playing import Cut, by_the_flight, by_the_line, by_the_octet, cuts, joined
from tests.protocol.speaker import Speaker
from tests.transcript import Transcript, load, transcripts

TRANSCRIPTS: Final = transcripts()

each_transcript = pytest.mark.parametrize(
    "transcript", TRANSCRIPTS, ids=[transcript.name for transcript in TRANSCRIPTS]
)


def play(transcript: Transcript, cut: Cut) -> None:
    """Play the server's part, and hold the client to its own."""
    conversation = Conversation(transcript)
    drive = Speaker(conversation).run()

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


@each_transcript
@pytest.mark.parametrize("cut", [by_the_flight, by_the_line, by_the_octet])
def test_the_client_says_its_part(transcript: Transcript, cut: Cut) -> None:
    play(transcript, cut)


@each_transcript
def test_it_does_so_wherever_what_it_hears_is_cut(transcript: Transcript) -> None:
    for cut in cuts(transcript):
        play(transcript, cut)


@each_transcript
def test_what_nobody_asked_for_yet_is_no_answer(transcript: Transcript) -> None:
    for early in joined(transcript):
        play(early, by_the_flight)


def test_a_message_taken_stays_so_whatever_is_joined_to_that() -> None:
    """See the expectation itself: written out for one transcript."""
    [typical] = [t for t in TRANSCRIPTS if t.name == "rfc5321-d1-typical"]
    jones, green, brown = "Jones@foo.com", "Green@foo.com", "Brown@foo.com"

    def sent(stage: str, *refused: str) -> list[str]:
        return [
            f"! RemoteProtocolError - {stage}",
            *(
                f"= {name} REFUSED 550 rcpt"
                if name in refused
                else f"= {name} NOT_SENT - {stage} temporary"
                for name in (jones, green, brown)
            ),
        ]

    assert [early.outcomes for early in joined(typical)] == [
        ["! RemoteProtocolError - greeting"],
        ["! RemoteProtocolError - hello"],
        sent("mail"),
        sent("rcpt"),
        sent("rcpt", green),
        sent("rcpt", green),
        sent("data", green),
        ["! RemoteProtocolError - final", *typical.outcomes],
        typical.outcomes,
    ]


def test_nearly_every_flight_has_a_neighbour() -> None:
    flights = sum(len(transcript.flights) for transcript in TRANSCRIPTS)
    assert sum(len([*joined(transcript)]) for transcript in TRANSCRIPTS) > flights - 10


def test_there_are_many() -> None:
    assert len(TRANSCRIPTS) >= 78
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
