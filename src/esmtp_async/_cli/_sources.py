"""Where the messages of `esmtp bulk` come from: files, directories, mailboxes.

What there is to send is looked up at the beginning, by name and size; each message
is read when its turn comes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from esmtp_async._cli import _mbox
from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.protocol._replies import printable

_PIECE: Final = 512 * 1024
_DIGEST: Final = 16
# What a Maildir calls those that a user has thrown away.
_TRASHED: Final = "T"


class File(NamedTuple):
    """A file with a message, or with many."""

    path: Path
    #: In octets.
    size: int


class Found(NamedTuple):
    """A message, or what should be one."""

    path: Path
    #: Where it begins in a mailbox; None where it is all of the file.
    offset: int | None
    #: Octets that it takes of its file.
    size: int
    #: Tells one content from another, whatever its file is called.
    digest: str
    #: As `SMTPClient.send` takes it; a file is to be closed.
    content: Path | bytes | BinaryIO
    #: Why it cannot be sent; empty if it can.
    problem: str = ""

    def __str__(self) -> str:
        """Name it for people."""
        return place(str(self.path), self.offset)

    def close(self) -> None:
        """Close the file, if there is one."""
        if not isinstance(self.content, (bytes, Path)):
            self.content.close()


def place(path: str, offset: object) -> str:
    """Name a place in a file in a way that can always be printed."""
    shown = printable(os.fsencode(path))
    return shown if offset is None else f"{shown} at octet {offset}"


def survey(paths: Iterable[Path]) -> list[File]:
    """Look up all files.

    Raises `InvalidInput` for what holds no mail, and `OSError`.
    """
    return [file for path in paths for file in _files(path)]


def _files(path: Path) -> list[File]:
    if not path.is_dir():
        return [File(path, path.stat().st_size)]
    folders = [path / "new", path / "cur"]
    if all(folder.is_dir() for folder in folders):
        names = [entry for folder in folders for entry in _entries(folder)]
        return [_file(entry) for entry in names if not _is_trashed(entry.name)]
    names = [e for e in _entries(path) if e.name.lower().endswith(".eml")]
    if not names:
        msg = f"{path} has no file *.eml, and is no Maildir"
        raise InvalidInput(msg)
    return [_file(entry) for entry in names]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Give the files of a folder, by name; those whose name begins with a dot hide.

    A link that leads to none is kept, for whoever made it meant a message by it.
    """
    with os.scandir(folder) as entries:
        files = [e for e in entries if e.is_symlink() or e.is_file()]
    return sorted(
        (each for each in files if not each.name.startswith(".")),
        key=lambda entry: entry.name,
    )


def _file(entry: os.DirEntry[str]) -> File:
    try:
        size = entry.stat().st_size
    except OSError:  # it is told when its turn comes
        size = 0
    return File(Path(entry.path), size)


def _is_trashed(name: str) -> bool:
    _, _, flags = name.rpartition(":2,")
    return flags != name and _TRASHED in flags


def read(files: Iterable[File]) -> Iterator[Found]:
    """Read one message after the other; one that cannot be read is told as such."""
    for file in files:
        try:
            yield from _read(file)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else None
            yield Found(file.path, None, file.size, "", b"", why or str(error))


def _read(file: File) -> Iterator[Found]:
    path, size = file
    with path.open("rb") as opened:
        beginning = opened.read(_PIECE)
        if beginning.startswith(_mbox.MAGIC):
            opened.seek(0)
            yield from _of_mailbox(path, opened)
        elif len(beginning) < _PIECE or not _is_regular(opened):
            octets = beginning + opened.read()
            digest = _digest([octets])
            yield Found(path, None, size, digest, octets)
        else:
            opened.seek(0)
            digest = _digest(_pieces(opened))
            yield Found(path, None, size, digest, path)


def _is_regular(opened: BinaryIO) -> bool:
    return stat.S_ISREG(os.fstat(opened.fileno()).st_mode)


def _of_mailbox(path: Path, opened: BinaryIO) -> Iterator[Found]:
    for offset, length, content, doubt in _mbox.messages(opened):
        if isinstance(content, bytes):
            digest = _digest([content])
        else:
            digest = _digest(_pieces(content))
            content.seek(0)
        yield Found(path, offset, length, digest, content, doubt)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _digest(pieces: Iterable[bytes]) -> str:
    digest = blake2b(digest_size=_DIGEST)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
