"""Mail in a directory: a Maildir, and beside it the envelope of each message.

The directory is all there is: nothing of it is kept in memory, another program may read
it and delete from it, and it is the same after a restart. A message's file holds the
octets of its mail data exactly as they came. What this server did not take, it neither
shows nor deletes.

::

    DIRECTORY/tmp/               what is being written
    DIRECTORY/new/, cur/         1795712345.6448B1F2A3C40-1f.host, the mail data
    DIRECTORY/envelopes/         6448B1F2A3C40-1f.json
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.testing import StoredMessage

_TMP: Final = "tmp"
_NEW: Final = "new"
_CUR: Final = "cur"
_ENVELOPES: Final = "envelopes"
_MAILDIR: Final = (_TMP, _NEW, _CUR)

#: Microseconds since 1970 and the process, both in hexadecimal.
_ID: Final = r"[0-9A-F]{13}-[0-9a-f]+"
_MESSAGE: Final = re.compile(rf"[0-9]+\.(?P<id>{_ID})\.[^:]*(?::.*)?")
_ENVELOPE: Final = re.compile(rf"(?P<id>{_ID})\.json")
# A slash or colon of the host's name has another meaning in that of a file.
_UNFIT: Final = re.compile(r"[^A-Za-z0-9.-]+")

#: Seconds after which nobody is still writing a file, as for all that read Maildirs.
_STALE: Final = 36 * 60 * 60
#: Seconds between two looks at what other programs did.
_LOOK: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What is known of a message beside its mail data."""

    #: The queue id, as the final reply told it.
    id: str
    #: When it was taken: RFC 3339, UTC.
    received: str
    #: The octets of its mail data.
    size: int
    #: Without its brackets; empty for the null reverse-path.
    reverse_path: str
    mail_parameters: Mapping[str, str | None]
    #: Each with `path` and `parameters`, in the order of RCPT.
    recipients: Sequence[Mapping[str, object]]
    #: Who was authenticated, if anybody.
    username: str | None
    #: Whether it came over TLS.
    tls: bool
    #: DATA or BDAT.
    via: str
    #: What XCLIENT and XFORWARD told of where it comes from.
    xclient: Mapping[str, str]
    xforward: Mapping[str, str]
    #: What was said for it, a line each: what it was with, and who said it.
    conversation: Sequence[str] = ()
    #: What the client did that the RFCs do not allow, in words.
    breaches: Sequence[str] = ()


class MailDirectory:
    """Takes messages, and gives them back; any number of threads may ask it."""

    def __init__(self, path: Path, *, keep: int | None = None) -> None:
        """Open or make a directory; of its messages at most `keep` stay, the newest.

        Raises `InvalidInput` where it holds other things, `OSError` where it cannot be.
        """
        self.path: Final = path
        self._keep = keep
        self._host = _UNFIT.sub("-", socket.gethostname()) or "localhost"
        self._process = f"{os.getpid():x}"
        self._last = 0
        self._changes = 0
        self._changed = threading.Condition()
        _make(path)
        self._sweep()

    def next_id(self) -> str:
        """Give an id, unlike any other and behind all before it in order."""
        with self._changed:
            self._last = max(self._last + 1, time.time_ns() // 1000)
            return f"{self._last:013X}-{self._process}"

    def store(
        self,
        message: StoredMessage,
        *,
        conversation: Sequence[str] = (),
        breaches: Sequence[str] = (),
    ) -> bool:
        """Take a message, or more recipients of one; tell whether it is a new one.

        Once it returns, the message is on the disk. Raises `OSError`.
        """
        recipients: list[Mapping[str, object]] = [
            {"path": path, "parameters": dict(parameters)}
            for path, parameters in message.recipients
        ]
        try:
            known = self.envelope(message.queue_id)
        except KeyError:
            self._add(
                Envelope(
                    id=message.queue_id,
                    received=datetime.now(UTC).isoformat(timespec="milliseconds"),
                    size=len(message.content),
                    reverse_path=message.reverse_path,
                    mail_parameters=dict(message.mail_parameters),
                    recipients=recipients,
                    username=message.username,
                    tls=message.tls,
                    via=message.via,
                    xclient=dict(message.xclient),
                    xforward=dict(message.xforward),
                    conversation=list(conversation),
                    breaches=list(breaches),
                ),
                message.content,
            )
            return True
        recipients = [*known.recipients, *recipients]
        self._write_envelope(replace(known, recipients=recipients))
        self._note_change()
        return False

    def _add(self, envelope: Envelope, content: bytes) -> None:
        # The message comes last: without an envelope there is none.
        self._write_envelope(envelope)
        name = self._name(envelope.id)
        try:
            self._write(name, content, self.path / _NEW / name)
        except OSError:
            self._envelope_path(envelope.id).unlink(missing_ok=True)
            raise
        if self._keep is not None:
            for outdated in self.ids()[self._keep :]:
                with suppress(KeyError):
                    self.delete(outdated)
        self._note_change()

    def _name(self, message_id: str) -> str:
        seconds = int(message_id.partition("-")[0], 16) // 1_000_000
        return f"{seconds}.{message_id}.{self._host}"

    def _write_envelope(self, envelope: Envelope) -> None:
        octets = json.dumps(asdict(envelope), indent=1).encode()
        path = self._envelope_path(envelope.id)
        self._write(path.name, octets, path)

    def _write(self, name: str, octets: bytes, path: Path) -> None:
        """Write a file so that it is there as a whole or not at all."""
        draft = self.path / _TMP / name
        try:
            with open(draft, "wb", opener=_privately) as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        _sync(path.parent)

    def _envelope_path(self, message_id: str) -> Path:
        return self.path / _ENVELOPES / f"{message_id}.json"

    def ids(self) -> list[str]:
        """Give the ids of all messages, the newest first."""
        envelopes = {
            match["id"]
            for name in _names(self.path / _ENVELOPES)
            if (match := _ENVELOPE.fullmatch(name))
        }
        return sorted(envelopes.intersection(self._files()), reverse=True)

    def _files(self) -> dict[str, Path]:
        return {
            match["id"]: self.path / folder / name
            for folder in (_NEW, _CUR)
            for name in _names(self.path / folder)
            if (match := _MESSAGE.fullmatch(name))
        }

    def envelope(self, message_id: str) -> Envelope:
        """Give the envelope of a message.

        Raises `KeyError` if there is no such message.
        """
        if not re.fullmatch(_ID, message_id):
            raise KeyError(message_id)
        try:
            told = json.loads(self._envelope_path(message_id).read_bytes())
            return Envelope(**told)
        except (FileNotFoundError, ValueError, TypeError):
            raise KeyError(message_id) from None

    def octets(self, message_id: str, most: int = -1) -> bytes:
        """Give the mail data of a message exactly as they came, or their beginning.

        Raises `KeyError` if there is no such message.
        """
        for _ in range(2):  # a program that reads it may move it in between
            path = self._path(message_id)
            with suppress(FileNotFoundError), path.open("rb") as file:
                return file.read(most)
        raise KeyError(message_id)

    def _path(self, message_id: str) -> Path:
        """Give where a message is.

        Raises `KeyError` if there is no such message.
        """
        if not re.fullmatch(_ID, message_id):
            raise KeyError(message_id)
        usual = self.path / _NEW / self._name(message_id)
        return usual if usual.exists() else self._files()[message_id]

    def delete(self, message_id: str) -> None:
        """Delete a message.

        Raises `KeyError` if there is no such message.
        """
        self._path(message_id).unlink(missing_ok=True)
        self._envelope_path(message_id).unlink(missing_ok=True)
        self._note_change()

    def clear(self) -> None:
        """Delete all messages."""
        for message_id in self.ids():
            with suppress(KeyError):
                self.delete(message_id)

    @property
    def version(self) -> str:
        """What is another value after each change, also by other programs."""
        times = ((self.path / folder).stat().st_mtime_ns for folder in (_NEW, _CUR))
        return "-".join(map(str, (self._changes, *times)))

    def wait_for_change(self, seen: str, timeout: float) -> str:
        """Wait until the version is not `seen`, at most `timeout` seconds; give it."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while (version := self.version) == seen:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(min(left, _LOOK))
        return version

    def _note_change(self) -> None:
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def _sweep(self) -> None:
        """Remove what an end without warning has left behind."""
        messages = self._files()
        for path in self._leftovers():
            match = _ENVELOPE.fullmatch(path.name)
            if match and path.parent.name == _ENVELOPES and match["id"] in messages:
                continue
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _STALE:
                    path.unlink()

    def _leftovers(self) -> Iterator[Path]:
        for folder in (_TMP, _ENVELOPES):
            for path in (self.path / folder).iterdir():
                if _MESSAGE.fullmatch(path.name) or _ENVELOPE.fullmatch(path.name):
                    yield path


def _names(directory: Path) -> list[str]:
    # Much faster than a Path for each of them.
    return os.listdir(directory)  # noqa: PTH208


def _make(path: Path) -> None:
    if path.is_dir():
        there = set(_names(path))
        if there and not there.issuperset(_MAILDIR):
            msg = f"{str(path)!r} is no Maildir, and holds other things"
            raise InvalidInput(msg)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in (*_MAILDIR, _ENVELOPES):
        (path / folder).mkdir(mode=0o700, exist_ok=True)


def _privately(path: str, flags: int) -> int:
    """Open a file that nobody else may read."""
    return os.open(path, flags, mode=0o600)


def _sync(directory: Path) -> None:
    """Let a file's name be on the disk as well, where a directory can be told to."""
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
