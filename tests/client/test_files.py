"""Large messages in files: read in pieces, as often as they are sent."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import anyio
import pytest

from esmtp_async import ConnectionLost, InvalidInput, NotSupported, Outcome
from esmtp_async._files import Stored, from_file, from_path
from esmtp_async.testing import SMTPServer
from tests.backends import everywhere
from tests.client.checks import ALICE, BOB, MESSAGE, failure, send
from tests.raw import EOF, After, offering, script, serving

HEADER = (
    b"From: Alice <alice@example.test>\nTo: bob@example.test, carol@example.test\n"
    b"Message-ID: <large@example.test>\nSubject: large\n\n"
)
BODY = b"Line ends of any kind\rare in it\n.and dots\r\n\n..twice\r\n" * 40
LARGE = HEADER + BODY
SENT = LARGE.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
STUFFED = SENT.replace(b"\r\n.", b"\r\n..")


@pytest.fixture(autouse=True, params=[200, 301, 1000])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make what is large small; a piece may end in the midst of a line end."""
    monkeypatch.setattr("esmtp_async._files.PIECE", request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "large.eml"
    path.write_bytes(LARGE)
    return path


@pytest.fixture(params=["path", "file"])
def message(request: pytest.FixtureRequest, path: Path) -> Iterator[Path | BinaryIO]:
    """Give a path, or a file that is open in the midst of something else."""
    if request.param == "path":
        yield path
        return
    ahead = b"what stands ahead"
    with tempfile.TemporaryFile() as file:
        file.write(ahead + path.read_bytes())
        file.seek(len(ahead))
        yield file


@everywhere
@pytest.mark.parametrize("keywords", [[], ["CHUNKING"]])
async def test_it_arrives_whole(message: Path | BinaryIO, keywords: list[str]) -> None:
    async with SMTPServer(extensions=["SIZE", "PIPELINING", *keywords]) as server:
        async with server.client() as client:
            receipt = await client.send(message)
            assert receipt.message_id == "<large@example.test>"
            assert (await send(client, message)).accepted == (BOB,)
        first, second = server.messages
    assert [str(r.path) for r in first.recipients] == [BOB, "carol@example.test"]
    assert first.content == SENT
    # A path tells the whole file; an open one goes on from where it stands.
    assert second.content == (SENT if isinstance(message, Path) else b"")


@everywhere
async def test_size_and_8_bit_are_known_beforehand(path: Path) -> None:
    await anyio.Path(path).write_bytes(LARGE + "ü".encode())
    hello = offering("SIZE 1000000", "8BITMIME")
    async with serving(script(EHLO=hello), script()) as server:
        async with server.client() as client:
            await client.send(path)
        size = len(SENT) + len("ü".encode()) + 2
        assert server.heard[0].lines[1] == (
            b"MAIL FROM:<alice@example.test> SIZE=%d BODY=8BITMIME" % size
        )
        async with server.client() as client:
            error = await failure(client, NotSupported, path)
            assert error.extension == "8BITMIME"
        assert server.heard[1].lines[1:] == [b"QUIT"]


@everywhere
async def test_too_large_a_file_is_never_begun(path: Path) -> None:
    async with serving(script(EHLO=offering("SIZE 1000"))) as server:
        async with server.client() as client:
            error = await failure(client, NotSupported, path)
            assert (error.extension, error.temporary) == ("SIZE", False)
        assert server.heard[0].lines[1:] == [b"QUIT"]


@everywhere
@pytest.mark.parametrize("keywords", [[], ["CHUNKING"]])
@pytest.mark.parametrize("change", ["shorter", "longer"])
async def test_a_file_that_changes_is_never_sent(
    message: Path | BinaryIO, keywords: list[str], change: str
) -> None:
    def alter(event: object) -> None:
        """Change it while the first command is on its way."""
        if "MAIL" not in str(event):
            return
        if isinstance(message, Path):
            message.write_bytes(LARGE + LARGE if change == "longer" else HEADER)
        elif change == "longer":
            message.seek(0, os.SEEK_END)
            message.write(LARGE)
        else:
            message.truncate(len(HEADER) + 200)

    async with SMTPServer(extensions=["PIPELINING", *keywords]) as server:
        async with server.client(on_event=alter) as client:
            with pytest.raises((OSError, ValueError), match="changed") as raised:
                await client.send(message, sender=ALICE, recipients=BOB)
            assert not isinstance(raised.value, InvalidInput)
            assert server.messages == []
            assert (await send(client)).accepted == (BOB,)
        assert [m.content for m in server.messages] == [MESSAGE]


@everywhere
async def test_it_is_sent_anew_where_a_connection_turned_out_dead(path: Path) -> None:
    dead = script(MAIL=[b"250 ok\r\n", EOF])
    async with serving(dead, script()) as server, server.client() as client:
        await send(client)
        receipt = await client.send(path)
        assert receipt.attempts == 2
        assert server.heard[1].messages == [STUFFED]


@everywhere
async def test_it_goes_to_more_than_the_server_takes_at_once(path: Path) -> None:
    limits = ["PIPELINING", "CHUNKING", "LIMITS RCPTMAX=2"]
    five = [f"r{number}@example.test" for number in range(5)]
    async with SMTPServer(extensions=limits, max_recipients=2) as server:
        async with server.client() as client:
            receipt = await send(client, path, recipients=five)
        assert receipt.accepted == tuple(five)
        assert [m.content for m in server.messages] == [SENT] * 3


@everywhere
async def test_a_connection_lost_in_the_midst_of_it_is_told(path: Path) -> None:
    cut = script(DATA=(b"354 go\r\n", After(100), EOF))
    async with serving(cut, script()) as server, server.client() as client:
        error = await failure(client, ConnectionLost, path)
        assert {r.outcome for r in error.recipients} == {Outcome.NOT_SENT}
        assert (await client.send(path)).message_id == "<large@example.test>"
        assert server.heard[1].messages == [STUFFED]


def test_a_pipe_is_read_as_a_whole(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(LARGE,))
    writer.start()
    assert from_path(pipe) == LARGE
    writer.join()


def test_a_file_that_cannot_go_back_is_read_as_a_whole() -> None:
    out, into = os.pipe()
    with os.fdopen(into, "wb") as writer:
        writer.write(LARGE)
    with os.fdopen(out, "rb") as reader:
        assert from_file(reader) == LARGE


def test_a_small_file_is_read_at_once(path: Path) -> None:
    path.write_bytes(MESSAGE[:64])
    assert from_path(path) == MESSAGE[:64]
    with path.open("rb") as file:
        assert from_file(file) == MESSAGE[:64]


def test_a_text_file_is_refused(path: Path) -> None:
    with path.open("r") as file, pytest.raises(InvalidInput, match="gave str"):
        from_file(file)  # type: ignore[arg-type]  # what is wrong is what it is about


def test_no_more_than_a_piece_is_held(path: Path) -> None:
    stored = from_path(path)
    assert isinstance(stored, Stored)
    assert len(stored.beginning) < len(SENT) / 2
    assert stored.mail_data().octets == b""
    assert stored.mail_data().size == len(SENT)
