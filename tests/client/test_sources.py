"""What can be sent, and that it arrives: objects, octets, files, iterables."""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from esmtp_async import (
    ClientOptions,
    ContentRefused,
    InvalidInput,
    RecipientsRefused,
    Sendable,
    Stage,
    StageTimeout,
)
from esmtp_async.protocol import MailData
from tests.backends import everywhere
from tests.client.checks import (
    ADDRESSED,
    BOB,
    CAROL,
    MESSAGE,
    failure,
    send,
)
from tests.raw import (
    HANG,
    After,
    Answer,
    offering,
    script,
    serving,
)


def email_message() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Alice <alice@example.test>"
    message["To"] = "Bob <bob@example.test>"
    message["Cc"] = "carol@example.test"
    message["Subject"] = "hello"
    message.set_content("Hello.\n")
    return message


async def asynchronous(octets: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(octets), 10):
        await anyio.lowlevel.checkpoint()
        yield octets[start : start + 10]


def generator(octets: bytes) -> Iterator[bytes]:
    for start in range(0, len(octets), 10):
        yield octets[start : start + 10]


WITH_PASSWORD: Final = ClientOptions(
    username="u", password="p", allow_plaintext_auth=True
)


@everywhere
async def test_an_email_message() -> None:
    message = email_message()
    before = bytes(message)
    async with serving(script()) as server, server.client() as client:
        receipt = await client.send(message)
        assert receipt.accepted == (BOB, CAROL)
        assert server.heard[0].lines[1] == b"MAIL FROM:<alice@example.test>"
        assert receipt.message_id is not None
        content = server.heard[0].contents[0]
        assert f"Message-ID: {receipt.message_id}\r\n".encode() in content
        assert b"\r\nDate: " in content
        assert content.endswith(b"\r\n\r\nHello.\r\n.\r\n")
    assert bytes(message) == before


@everywhere
@pytest.mark.parametrize(
    "make",
    [bytes, bytearray, memoryview, lambda octets: octets.decode()],
    ids=["bytes", "bytearray", "memoryview", "str"],
)
async def test_octets_and_text(make: Callable[[bytes], Sendable]) -> None:
    async with serving(script()) as server, server.client() as client:
        await client.send(make(ADDRESSED))
        await client.send(make(ADDRESSED.replace(b"\r\n", b"\n")))
        assert server.heard[0].messages == [ADDRESSED] * 2
        assert server.heard[0].lines[1:3] == [
            b"MAIL FROM:<alice@example.test>",
            b"RCPT TO:<bob@example.test>",
        ]


@everywhere
async def test_files(tmp_path: Path) -> None:
    path = tmp_path / "message.eml"
    path.write_bytes(ADDRESSED)
    async with serving(script()) as server, server.client() as client:
        await client.send(path)
        await client.send(io.BytesIO(ADDRESSED))
        with path.open("rb") as opened:
            await client.send(opened)
        with tempfile.NamedTemporaryFile() as temporary:
            temporary.write(ADDRESSED)
            temporary.seek(0)
            await client.send(temporary)
        async with await anyio.open_file(path, "rb") as file:
            await send(client, file)
        assert server.heard[0].messages == [ADDRESSED] * 5
        with pytest.raises(FileNotFoundError):
            await client.send(tmp_path / "none.eml")
        assert (await client.send(path)).accepted == (BOB,)
    assert len(server.heard) == 1


@everywhere
@pytest.mark.parametrize("keywords", [[], ["CHUNKING"], ["CHUNKING", "PIPELINING"]])
async def test_iterables(keywords: list[str]) -> None:
    async with serving(script(EHLO=offering(*keywords))) as server:
        async with server.client() as client:
            await send(client, [MESSAGE])
            await send(client, generator(MESSAGE))
            await send(client, asynchronous(MESSAGE))
            await send(client, asynchronous(MESSAGE.replace(b"\r\n", b"\n")))
            await send(client, [b""])
            await send(client, [])
        assert server.heard[0].messages == [*[MESSAGE] * 4, b"", b""]
        assert len(server.heard) == 1


@everywhere
async def test_an_iterable_of_something_else() -> None:
    async with serving(script()) as server, server.client() as client:
        wrong: Any = ["text"]
        error = await failure(client, InvalidInput, wrong)
        assert "gave a str, not bytes" in str(error)
        assert all(heard.messages == [] for heard in server.heard)
        assert (await send(client)).accepted == (BOB,)


@everywhere
async def test_large_messages_arrive_whole() -> None:
    body = b"".join(b".%06d\r\n" % number for number in range(100_000))
    for keywords, pipelining in (
        (["PIPELINING"], "conformant"),
        (["PIPELINING", "CHUNKING"], "eager"),
    ):
        async with serving(script(EHLO=offering(*keywords))) as server:
            async with server.client(pipelining=pipelining) as client:
                await send(client, ADDRESSED + body)
                await send(client, asynchronous_blocks(ADDRESSED + body))
            whole, streamed = server.heard[0].messages
            assert whole == streamed
            kept = ADDRESSED + body
            assert whole.replace(b"\r\n..", b"\r\n.") == kept


async def asynchronous_blocks(octets: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(octets), 50_001):
        yield octets[start : start + 50_001]


@everywhere
@pytest.mark.parametrize("large", [False, True])
async def test_what_takes_long_to_make_ready_is_made_in_a_thread(
    monkeypatch: pytest.MonkeyPatch, *, large: bool
) -> None:
    size = 200_000 if large else 100_000
    message = EmailMessage()
    message["From"], message["To"] = "alice@example.test", BOB
    message.set_content("Hello.\n")
    message.add_attachment(bytes(size // 2), maintype="image", subtype="png")
    text = "x" * 76 + "\r\n"
    made_in: list[bool] = []

    class Noted(MailData):
        def __init__(self, octets: bytes = b"", *, binary: bool = False) -> None:
            made_in.append(threading.current_thread() is threading.main_thread())
            super().__init__(octets, binary=binary)

    monkeypatch.setattr("esmtp_async._messages.MailData", Noted)
    monkeypatch.setattr("esmtp_async._mime.MailData", Noted)
    async with serving(script()) as server, server.client() as client:
        sources: list[Sendable] = [message, text * (size // 78)]
        sources.append(text.encode() * (size // 78))
        for source in sources:
            made_in.clear()
            await client.send(source, sender="alice@example.test", recipients=BOB)
            assert made_in == [not large]


@everywhere
async def test_the_envelope_given_wins() -> None:
    async with serving(script()) as server, server.client() as client:
        await client.send(ADDRESSED, sender="", recipients=[CAROL, "Postmaster", CAROL])
        assert server.heard[0].lines[1:4] == [
            b"MAIL FROM:<>",
            b"RCPT TO:<carol@example.test>",
            b"RCPT TO:<Postmaster>",
        ]


@everywhere
async def test_one_client_in_two_conversations_of_a_stream_and_a_message() -> None:
    """A message can be sent from within the stream of another."""
    async with serving(script()) as server, server.client() as client:

        async def nested() -> AsyncIterator[bytes]:
            await send(client)
            yield MESSAGE

        await send(client, nested())
        messages = [text for heard in server.heard for text in heard.messages]
        assert messages == [MESSAGE] * 2


@everywhere
async def test_the_mail_data_are_read_only_if_wanted() -> None:
    read: list[int] = []

    async def source() -> AsyncIterator[bytes]:
        read.append(1)
        yield MESSAGE

    async with serving(script(RCPT=b"550 no\r\n", DATA=b"503 no\r\n")) as server:
        async with server.client() as client:
            await failure(client, RecipientsRefused, source())
    assert read == []


@everywhere
@pytest.mark.parametrize("answer", [HANG, (b"354 go\r\n", After(1), b"552 no\r\n")])
async def test_an_async_generator_is_closed(answer: Answer) -> None:
    """However the attempt ends; left unfinished it would be closed by chance."""
    ended: list[str] = []

    async def source() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
        finally:
            await anyio.lowlevel.cancel_shielded_checkpoint()
            ended.append("closed")

    data: Answer = (b"354 go\r\n", HANG) if answer is HANG else answer
    async with serving(script(DATA=data)) as server, server.client() as client:
        blocks = source()
        with anyio.move_on_after(0.2):
            await failure(client, ContentRefused, blocks)
        assert ended == ["closed"]


@everywhere
async def test_a_stalled_upload_can_be_cancelled_at_once() -> None:
    stalling = script(DATA=(b"354 go\r\n", After(1), HANG))
    async with serving(stalling) as server, server.client() as client:

        async def source() -> AsyncIterator[bytes]:
            yield b"x" * 1000
            await anyio.sleep_forever()

        start = anyio.current_time()
        with anyio.move_on_after(0.1):
            await send(client, source())
        assert anyio.current_time() - start < 4
        assert await server.heard[0].over() == "reset"


@everywhere
async def test_a_file_that_never_comes_is_waited_for_no_longer_than_asked(
    socket_path: Path,
) -> None:
    os.mkfifo(socket_path)
    async with serving(script()) as server, server.client() as client:
        start = anyio.current_time()
        with pytest.raises(StageTimeout, match="stage: local") as info:
            await client.send(socket_path, timeout=0.1)
        assert anyio.current_time() - start < 5
        assert info.value.stage is Stage.LOCAL
        assert (info.value.retry_safe, info.value.temporary) == (True, True)
        # Let go of the thread that still waits for it.
        os.close(os.open(socket_path, os.O_WRONLY))
        assert (await send(client)).accepted == (BOB,)
    assert len(server.heard) == 1


@everywhere
async def test_a_source_that_fails_to_close_hides_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def source() -> AsyncIterator[bytes]:
        try:
            for _ in range(80):
                yield MESSAGE * 1000
        finally:
            raise OSError("the disk is gone")

    full = script(RCPT=[b"250 ok\r\n", b"550 no\r\n"], DATA=b"451 full\r\n")
    async with serving(full) as server, server.client() as client:
        error = await failure(client, ContentRefused, source(), recipients=[BOB, CAROL])
        assert [result.outcome.name for result in error.recipients] == ["REFUSED"] * 2
    assert caplog.messages == []  # nobody began to read it

    early = script(DATA=(b"354 go\r\n", After(1), b"554 no\r\n", HANG))
    async with serving(early) as server, server.client() as client:
        await failure(client, ContentRefused, source())
    assert caplog.messages == ["the message's source failed to close"]
