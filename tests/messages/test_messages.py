"""Every form a message may have, as an envelope and octets."""

from __future__ import annotations

import gc
import io
import mmap
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self

import anyio
import pytest

from esmtp_async import InvalidInput, SendOptions
from esmtp_async._messages import prepare
from esmtp_async.protocol._content import BLOCK
from tests.backends import everywhere

from .prepared import ALICE, BOB, EIGHT_BIT, MESSAGE_ID, prepared, read

SOURCE = (
    b"From: Alice <alice@example.test>\r\n"
    b"To: bob@example.test, Carol <carol@example.test>\r\n"
    b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@example.test>\r\n"
    b"Subject: forms\r\n"
    b"\r\n"
    b".dots\r\n"
    b"..\r\n"
    b"From the start of a line\r\n"
    b".\r\n"
)
CAROL = "carol@example.test"


def mapped() -> mmap.mmap:
    memory = mmap.mmap(-1, len(SOURCE))
    memory[:] = SOURCE
    return memory


def every_other_octet() -> memoryview:
    return memoryview(bytes(octet for each in SOURCE for octet in (each, 0)))[::2]


WITH_A_HEADER: dict[str, Callable[[], Any]] = {
    "EmailMessage": lambda: message_from_bytes(SOURCE, policy=policy.default),
    "EmailMessage with CRLF": lambda: message_from_bytes(SOURCE, policy=policy.SMTP),
    "Message": lambda: message_from_bytes(SOURCE),
    "bytes": lambda: SOURCE,
    "bytes with LF": lambda: SOURCE.replace(b"\r\n", b"\n"),
    "bytes with CR": lambda: SOURCE.replace(b"\r\n", b"\r"),
    "bytes without the last line end": lambda: SOURCE[:-2],
    "bytearray": lambda: bytearray(SOURCE),
    "memoryview": lambda: memoryview(SOURCE),
    "memoryview with strides": every_other_octet,
    "str": SOURCE.decode,
    "str with LF": lambda: SOURCE.decode().replace("\r\n", "\n"),
    "BytesIO": lambda: io.BytesIO(SOURCE),
    "mmap": mapped,
}


async def generated(size: int = 7) -> AsyncIterator[bytes]:
    for start in range(0, len(SOURCE), size):
        await anyio.lowlevel.checkpoint()
        yield SOURCE[start : start + size]


class Stream:
    """What has `read` and is an async iterable, as asyncio.StreamReader."""

    async def read(self, size: int = -1) -> bytes:
        raise NotImplementedError

    def __init__(self) -> None:
        self._blocks = iter([SOURCE[:9], SOURCE[9:]])

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for block in self._blocks:
            return block
        raise StopAsyncIteration


IN_BLOCKS: dict[str, Callable[[], Any]] = {
    "list": lambda: [SOURCE[:9], b"", SOURCE[9:]],
    "lines": lambda: SOURCE.splitlines(keepends=True),
    "tuple of LF lines": lambda: tuple(
        SOURCE.replace(b"\r\n", b"\n").splitlines(keepends=True)
    ),
    "generator of octets": lambda: (bytes([octet]) for octet in SOURCE),
    "bytearrays and memoryviews": lambda: [
        bytearray(SOURCE[:9]),
        memoryview(SOURCE)[9:],
    ],
    "async generator": generated,
    "async generator of octets": lambda: generated(1),
    "async stream": Stream,
}


@everywhere
@pytest.mark.parametrize("form", WITH_A_HEADER)
async def test_form_with_a_header(form: str) -> None:
    message = WITH_A_HEADER[form]()
    outgoing = await prepare(message, None, None, SendOptions())
    assert str(outgoing.envelope.reverse_path.mailbox) == ALICE
    assert [each.address for each in outgoing.envelope.recipients] == [BOB, CAROL]
    assert outgoing.message_id == MESSAGE_ID
    data = outgoing.mail_data(EIGHT_BIT)
    assert data.octets == SOURCE
    assert data.size == len(SOURCE)


@everywhere
@pytest.mark.parametrize("form", IN_BLOCKS)
async def test_form_in_blocks(form: str) -> None:
    outgoing = await prepare(IN_BLOCKS[form](), ALICE, BOB, SendOptions())
    assert str(outgoing.envelope.reverse_path.mailbox) == ALICE
    assert [each.address for each in outgoing.envelope.recipients] == [BOB]
    assert outgoing.message_id is None
    data = outgoing.mail_data(EIGHT_BIT)
    assert data.size is None
    assert await read(data) == SOURCE


@everywhere
async def test_path(tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(SOURCE.replace(b"\r\n", b"\n"))
    outgoing = await prepare(path, None, None, SendOptions())
    assert [each.address for each in outgoing.envelope.recipients] == [BOB, CAROL]
    assert outgoing.mail_data(EIGHT_BIT).octets == SOURCE


@everywhere
async def test_file_from_where_it_stands() -> None:
    with TemporaryFile() as file:
        file.write(b"X-Skipped: x\n" + SOURCE)
        file.seek(-len(SOURCE), io.SEEK_CUR)
        outgoing = await prepare(file, None, None, SendOptions())
        assert outgoing.mail_data(EIGHT_BIT).octets == SOURCE
        assert not file.closed


@everywhere
async def test_async_file(tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(SOURCE)
    async with await anyio.open_file(path, "rb") as file:
        outgoing = await prepare(file, ALICE, BOB, SendOptions())
        assert await read(outgoing.mail_data(EIGHT_BIT)) == SOURCE


class Watched:
    """A file that tells which thread read it."""

    def __init__(self) -> None:
        self.readers: list[int] = []

    def read(self, size: int = -1) -> bytes:
        assert size == -1
        self.readers.append(threading.get_ident())
        return SOURCE


@everywhere
async def test_files_are_read_once_and_off_the_event_loop() -> None:
    file = Watched()
    outgoing = await prepare(file, None, None, SendOptions())  # type: ignore[arg-type]  # it has just what a file needs
    assert outgoing.mail_data(EIGHT_BIT).octets == SOURCE
    (reader,) = file.readers
    assert reader != threading.get_ident()


@everywhere
async def test_what_reading_raises_is_raised(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await prepare(tmp_path / "none", ALICE, BOB, SendOptions())
    with pytest.raises(IsADirectoryError):
        await prepare(tmp_path, ALICE, BOB, SendOptions())
    closed = io.BytesIO(SOURCE)
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        await prepare(closed, ALICE, BOB, SendOptions())

    def broken() -> Iterator[bytes]:
        yield SOURCE
        raise ZeroDivisionError

    outgoing = await prepare(broken(), ALICE, BOB, SendOptions())
    with pytest.raises(ZeroDivisionError):
        await read(outgoing.mail_data(EIGHT_BIT))


@everywhere
async def test_a_file_that_does_not_give_octets_is_refused() -> None:
    with pytest.raises(InvalidInput, match="file gave str, not bytes"):
        await prepare(io.StringIO("Subject: text\n\n"), ALICE, BOB, SendOptions())  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(InvalidInput, match="file gave NoneType, not bytes"):
        await prepare(Silent(), ALICE, BOB, SendOptions())  # type: ignore[arg-type]


class Silent:
    """A file that is not ready, as a raw one that does not block."""

    def read(self) -> None:
        return None


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (None, "NoneType"),
        (5, "int"),
        (1.5, "float"),
        (object(), "object"),
        (EmailMessage, "type"),
        ("Subject: lone \ud800\n\n", "surrogate at character 14"),
    ],
)
def test_what_is_no_message_is_refused(message: object, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        prepared(message, ALICE, BOB)  # type: ignore[arg-type]  # wrong on purpose


@everywhere
@pytest.mark.parametrize(
    ("blocks", "told"),
    [
        ([b"fine", "text"], "gave a str, not bytes"),
        ([None], "gave a NoneType, not bytes"),
        ([b"fine", 5], "gave a int, not bytes"),
        ({"a": b"key, not value"}, "gave a str, not bytes"),
    ],
)
async def test_what_is_no_block_is_refused(blocks: Iterable[object], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        await prepare(blocks, ALICE, BOB, SendOptions())  # type: ignore[arg-type]  # wrong on purpose
    outgoing = await prepare(iter(blocks), ALICE, BOB, SendOptions())  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(InvalidInput, match=told):
        await read(outgoing.mail_data(EIGHT_BIT))

    async def later() -> AsyncGenerator[Any, None]:
        for block in blocks:
            yield block

    async with aclosing(later()) as stream:
        outgoing = await prepare(stream, ALICE, BOB, SendOptions())
        with pytest.raises(InvalidInput, match=told):
            await read(outgoing.mail_data(EIGHT_BIT))


@everywhere
async def test_an_upload_that_is_given_up_leaves_nothing_to_close() -> None:
    """The garbage collector would warn of a generator of ours, on trio."""
    for source in ([b"x" * BLOCK] * 3, Stream()):
        outgoing = await prepare(source, ALICE, BOB, SendOptions())
        assert await outgoing.mail_data(EIGHT_BIT).read()
        del outgoing
    gc.collect()


@everywhere
async def test_small_blocks_are_joined_and_large_ones_cut() -> None:
    lines = [b"x" * 98 + b"\r\n"] * 3000
    outgoing = await prepare([*lines, b"y" * 200_000], ALICE, BOB, SendOptions())
    data = outgoing.mail_data(EIGHT_BIT)
    sizes = []
    while piece := await data.read():
        sizes.append(len(piece))
    assert sum(sizes) == 3000 * 100 + 200_000 + 2
    assert max(sizes) <= BLOCK
    assert len(sizes) < 16


@pytest.mark.parametrize("argument", ["sender", "recipients"])
@pytest.mark.parametrize("form", ["list", "async generator"])
def test_blocks_have_no_header(form: str, argument: str) -> None:
    given: dict[str, Any] = {"sender": ALICE, "recipients": BOB, argument: None}
    with pytest.raises(InvalidInput, match=f"{argument} must be given"):
        prepared(IN_BLOCKS[form](), **given)


@everywhere
@pytest.mark.parametrize("form", ["bytes", "str", "BytesIO"])
async def test_x_mailer_is_for_messages_only(form: str) -> None:
    with pytest.raises(InvalidInput, match="x_mailer"):
        await prepare(WITH_A_HEADER[form](), ALICE, BOB, SendOptions(x_mailer="app"))


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_message_id_of_octets(line_end: str) -> None:
    lines = [
        "Subject: x",
        "message-id:",
        " <folded@example.test> ",
        "",
        "Message-ID: b",
    ]
    source = line_end.join(lines).encode()
    assert prepared(source, ALICE, BOB).message_id == "<folded@example.test>"
    assert prepared(b"\n" + source, ALICE, BOB).message_id is None
