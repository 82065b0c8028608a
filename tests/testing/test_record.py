"""What a server sees goes where it is told to go, and stays nowhere else."""

from __future__ import annotations

import errno

from esmtp_async.testing import Record, Said, SMTPServer, StoredMessage, Tape
from tests.backends import everywhere
from tests.testing.talk import talk_to

HELLO = "EHLO client.example.test"
MESSAGE = ("MAIL FROM:<a@x.test>", "RCPT TO:<b@x.test>", "DATA", ".")


class Diary:
    """A record that tells them all in one list."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.full = False

    def tape(self, connection: int) -> Tape:
        diary = self

        class Numbered:
            def append(self, said: Said, /) -> None:
                diary.told.append((connection, said.side, said.octets.split()[0]))

        return Numbered()

    def next_queue_id(self) -> str:
        return "Q7"

    def store(self, message: StoredMessage) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        paths = [recipient.path for recipient in message.recipients]
        self.told.append(("stored", message.queue_id, paths))

    def breach(self, connection: int, remark: str) -> None:
        self.told.append(("breach", connection, remark.rpartition(": ")[2]))

    def note(self, connection: int, remark: str) -> None:
        self.told.append(("note", connection, remark.rpartition(": ")[2]))


@everywhere
async def test_a_record_takes_all_that_a_server_sees() -> None:
    diary = Diary()
    record: Record = diary
    async with SMTPServer(record=record) as server:
        talk = await talk_to(server, HELLO)
        said = [await talk.say(line) for line in MESSAGE]
        assert said[-1] == b"250 2.0.0 Ok: queued as Q7\r\n"
        await talk.say("RCPT TO:<b@x.test>")
    assert diary.told == [
        (1, "S", b"220"),
        (1, "C", b"EHLO"),
        (1, "S", b"250-mail.example.test"),
        (1, "C", b"MAIL"),
        (1, "S", b"250"),
        (1, "C", b"RCPT"),
        (1, "S", b"250"),
        (1, "C", b"DATA"),
        (1, "S", b"354"),
        (1, "C", b"."),
        ("stored", "Q7", ["b@x.test"]),
        (1, "S", b"250"),
        (1, "C", b"RCPT"),
        ("breach", 1, "no MAIL came before"),
        (1, "S", b"503"),
    ]
    assert (server.messages, server.violations, server.transcript) == ([], [], [])


@everywhere
async def test_with_lmtp_each_recipient_is_told() -> None:
    diary = Diary()
    async with SMTPServer(record=diary, lmtp=True) as server:
        talk = await talk_to(server, "LHLO client.example.test")
        for line in (*MESSAGE[:2], "RCPT TO:<c@x.test>", *MESSAGE[2:]):
            await talk.say(line)
    assert [entry for entry in diary.told if entry[0] == "stored"] == [
        ("stored", "Q7", ["b@x.test"]),
        ("stored", "Q7", ["c@x.test"]),
    ]


@everywhere
async def test_what_cannot_be_stored_is_not_taken() -> None:
    diary = Diary()
    async with SMTPServer(record=diary) as server:
        talk = await talk_to(server, HELLO)
        diary.full = True
        said = [await talk.say(line) for line in MESSAGE]
        assert said[-1] == b"452 4.3.1 insufficient system storage\r\n"
        diary.full = False
        said = [await talk.say(line) for line in MESSAGE]
        assert said[-1].startswith(b"250 ")
    notes = [entry for entry in diary.told if entry[0] == "note"]
    assert notes == [("note", 1, "[Errno 28] No space left on device")]
