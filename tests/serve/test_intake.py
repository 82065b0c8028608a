"""What the server sees, on its way to the directory."""

from __future__ import annotations

import errno
import gc
from pathlib import Path

import pytest

from esmtp_async._serve._intake import Intake
from esmtp_async._serve._maildir import MailDirectory
from esmtp_async.testing import SMTPServer, StoredMessage
from tests.backends import everywhere
from tests.testing.talk import Talk, talk_to

HELLO = "EHLO c.example.test"
MESSAGE = ("MAIL FROM:<a@x.test>", "RCPT TO:<b@x.test>", "DATA", "x\r\n.")


class Watcher:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.lines: list[str] = []
        self.remarks: list[str] = []

    def intake(self, mail: MailDirectory) -> Intake:
        return Intake(
            mail,
            on_message=self.took,
            on_said=lambda number, line: self.lines.append(f"{number} {line}"),
            on_remark=self.remarks.append,
        )

    def took(self, message: StoredMessage) -> None:
        self.messages.append(message.queue_id)


async def send(talk: Talk, lines: tuple[str, ...] = MESSAGE) -> bytes:
    """Say some lines, and give the reply to the last."""
    return [await talk.say(line) for line in lines][-1]


@everywhere
async def test_a_message_is_stored_and_told_once(tmp_path: Path) -> None:
    mail, watcher = MailDirectory(tmp_path), Watcher()
    async with SMTPServer(record=watcher.intake(mail), lmtp=True) as server:
        talk = await talk_to(server, "LHLO c.example.test")
        await send(talk, (*MESSAGE[:2], "RCPT TO:<c@x.test>", *MESSAGE[2:]))
        assert (await talk.reply()).startswith(b"250 ")
    [message_id] = mail.ids()
    assert watcher.messages == [message_id]
    paths = [each["path"] for each in mail.envelope(message_id).recipients]
    assert paths == ["b@x.test", "c@x.test"]
    assert mail.octets(message_id) == b"x\r\n"


@everywhere
async def test_a_message_has_its_own_conversation(tmp_path: Path) -> None:
    mail, watcher = MailDirectory(tmp_path), Watcher()
    async with SMTPServer(record=watcher.intake(mail)) as server:
        talk = await talk_to(server, HELLO)
        await talk.say("NOOP\tx")  # a control character
        await send(talk)
        await send(talk)
    second, first = (mail.envelope(each) for each in mail.ids())
    assert first.conversation[0] == "S: 220 mail.example.test ESMTP ready"
    assert "C: EHLO c.example.test" in first.conversation
    assert first.conversation[-2:] == [
        "S: 354 go ahead, and end with a lone dot",
        "C: <6 octets of mail data>",
    ]
    [breach] = first.breaches
    assert breach.endswith("the line holds a control character")
    assert watcher.remarks == [breach]
    assert second.breaches == []
    assert second.conversation == [
        f"S: 250 2.0.0 Ok: queued as {first.id}",
        "C: MAIL FROM:<a@x.test>",
        "S: 250 2.1.0 sender ok",
        "C: RCPT TO:<b@x.test>",
        "S: 250 2.1.5 recipient ok",
        "C: DATA",
        *first.conversation[-2:],
    ]
    assert watcher.lines[0] == "1 S: 220 mail.example.test ESMTP ready"


@everywhere
async def test_a_conversation_is_kept_within_bounds(tmp_path: Path) -> None:
    mail, watcher = MailDirectory(tmp_path), Watcher()
    async with SMTPServer(record=watcher.intake(mail)) as server:
        talk = await talk_to(server, HELLO)
        for _ in range(300):
            await talk.say("NOOP " + "x" * 500)
        await send(talk)
    [message_id] = mail.ids()
    conversation = mail.envelope(message_id).conversation
    assert len(conversation) == 200
    assert max(map(len, conversation)) == 503


@everywhere
async def test_what_cannot_be_stored_is_told_to_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail, watcher = MailDirectory(tmp_path), Watcher()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with SMTPServer(record=watcher.intake(mail)) as server:
        talk = await talk_to(server, HELLO)
        with monkeypatch.context() as patch:
            patch.setattr(MailDirectory, "_write", full)
            assert (await send(talk)).startswith(b"452 4.3.1 ")
        assert (await send(talk)).startswith(b"250 ")
    assert watcher.remarks == [
        "a message could not be stored: [Errno 28] No space left on device"
    ]
    assert len(watcher.messages) == 1


@everywhere
async def test_a_connection_that_is_over_leaves_nothing(tmp_path: Path) -> None:
    intake = Watcher().intake(MailDirectory(tmp_path))
    async with SMTPServer(record=intake) as server:
        for _ in range(3):
            talk = await talk_to(server, HELLO)
            await talk.say("QUIT")
            await talk.stream.aclose()
        await server.wait_closed()
    gc.collect()
    assert dict(intake._open) == {}
