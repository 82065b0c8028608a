"""Mail that a server stored in maildirs, without what it put in front."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path

# Octets; no server's trace fields are longer.
_HEAD = 16 * 1024
_QUEUE_ID = re.compile(rb"[ \t]id ([^\s;]+)")


class Maildirs:
    """Reads maildirs of one server, whose trace fields an expression describes.

    If it has a group `address`, that is whom mail is for; else all mail in a maildir
    is for its owner.
    """

    def __init__(self, trace: re.Pattern[bytes]) -> None:
        self._trace = trace
        self._fields: dict[Path, re.Match[bytes]] = {}
        self._read: defaultdict[Path, set[str]] = defaultdict(set)
        self._found: defaultdict[tuple[Path, bytes], list[Path]] = defaultdict(list)

    def mail(self, maildir: Path, address: str) -> list[bytes]:
        """Return mail for an address, oldest first, octets as sent.

        A maildir ends lines with LF, so each LF of the mail becomes CRLF. What a server
        delivered twice out of its queue, for it was ended in between, is here once.

        Raises:
            ValueError: mail does not begin with the trace fields.

        """
        once = {self._queue_id(file): file for file in self._files(maildir, address)}
        return [
            file.read_bytes()[self._fields[file].end() :].replace(b"\n", b"\r\n")
            for file in once.values()
        ]

    def forget(self, maildir: Path, address: str) -> None:
        """Remove mail for an address."""
        for file in self._files(maildir, address):
            file.unlink()

    def _files(self, maildir: Path, address: str) -> list[Path]:
        wanted = address.encode()
        new = maildir / "new"
        names = {entry.name for entry in os.scandir(new)} if new.exists() else set()
        for name in names - self._read[new]:
            fields = self._fields[new / name] = self._trace_of(new / name)
            to = fields.groupdict().get("address", wanted)
            self._found[new, to].append(new / name)
        self._read[new] |= names
        files = [file for file in self._found[new, wanted] if file.name in names]
        return sorted(files, key=lambda file: file.stat().st_mtime_ns)

    def _trace_of(self, file: Path) -> re.Match[bytes]:
        with file.open("rb") as mail:
            return trace_fields(self._trace, mail.read(_HEAD))

    def _queue_id(self, file: Path) -> bytes:
        match = _QUEUE_ID.search(self._fields[file][0])
        return match[1] if match else bytes(file)


def trace_fields(trace: re.Pattern[bytes], octets: bytes) -> re.Match[bytes]:
    """Match the trace fields in front of stored mail.

    Raises:
        ValueError: they are not there.

    """
    if fields := trace.match(octets):
        return fields
    raise ValueError(f"no trace fields of this server in front: {octets[:200]!r}")
