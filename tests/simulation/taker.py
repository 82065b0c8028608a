"""A server that takes everything: what the next message goes to."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tests.transcript import Transcript

#: How much is still to come of a mechanism that said nothing yet.
_RESPONSES: Final = {b"AUTH LOGIN": 2, b"AUTH PLAIN": 1, b"AUTH CRAM-MD5": 1}


class Taken(NamedTuple):
    """A message that was taken, whole."""

    sender: bytes
    recipients: tuple[bytes, ...]
    octets: bytes


class Taker:
    """One session with it: octets in, replies out, and a ledger written before them.

    It offers what the server of a transcript offers in the end, and what its client
    needs to get as far as a transaction.
    """

    def __init__(self, transcript: Transcript, ledger: list[Taken]) -> None:
        self._ledger = ledger
        self._lmtp = transcript.lmtp
        self._offers = _offered(transcript)
        self._needs = [f"AUTH {name}".encode() for name in transcript.auth[:1]]
        shakes = any(flight.handshake and flight.said for flight in transcript.flights)
        if shakes or transcript.starttls == "required":
            self._needs.append(b"STARTTLS")
        self._heard = b""
        self._sender = b""
        self._recipients: list[bytes] = []
        self._data = False
        self._chunks = b""
        self._responses = 0  # of SASL, which are still to come
        #: Whether the handshake comes next.
        self.secures = False

    def hear(self, octets: bytes) -> bytes:
        """Take what the client says, and give what is said to it."""
        self._heard += octets
        said = b""
        while (reply := self._next()) is not None:
            said += reply
        return said

    def _next(self) -> bytes | None:
        """Give the reply to what comes next; None until it is there."""
        if self._data:
            return self._take_data()
        line, end, rest = self._heard.partition(b"\r\n")
        if not end:
            return None
        words = line.split()
        if words[0] == b"BDAT":
            size = int(words[1])
            if len(rest) < size:
                return None
            self._chunks += rest[:size]
            self._heard = rest[size:]
            return self._commit(self._chunks) if words[2:] else b"250 ok\r\n"
        self._heard = rest
        if self._responses:
            self._responses -= 1
            return b"334 \r\n" if self._responses else b"235 ok\r\n"
        return self._answer(words[0], line)

    def _answer(self, verb: bytes, line: bytes) -> bytes:
        if verb in {b"MAIL", b"RSET"}:
            self._recipients = []
            self._chunks = b""
            self._sender = _path(line)
        elif verb == b"RCPT":
            self._recipients.append(_path(line))
        elif verb == b"DATA":
            self._data = True
            return b"354 go ahead\r\n"
        elif verb in {b"EHLO", b"LHLO"}:
            offers = [b"taker", *self._offers, *self._needs]
            lines = [b"250-%b\r\n" % offer for offer in offers[:-1]]
            return b"".join(lines) + b"250 %b\r\n" % offers[-1]
        elif verb == b"AUTH":
            # Whoever gave an initial response has said all.
            self._responses = _RESPONSES.get(line, 0)
            return b"334 \r\n" if self._responses else b"235 ok\r\n"
        elif verb == b"STARTTLS":
            self._needs.remove(b"STARTTLS")
            self.secures = True
            return b"220 go ahead\r\n"
        elif verb == b"QUIT":
            return b"221 bye\r\n"
        else:
            raise AssertionError(line)
        return b"250 ok\r\n"

    def _take_data(self) -> bytes | None:
        octets, end, rest = (b"\r\n" + self._heard).partition(b"\r\n.\r\n")
        if not end:
            return None
        self._data = False
        self._heard = rest
        lines = (octets + b"\r\n")[2:]
        return self._commit(re.sub(rb"(?m)^\.", b"", lines))

    def _commit(self, octets: bytes) -> bytes:
        self._ledger.append(Taken(self._sender, tuple(self._recipients), octets))
        return b"250 ok\r\n" * (len(self._recipients) if self._lmtp else 1)


def _path(line: bytes) -> bytes:
    found = re.search(rb"<(.*)>", line)
    return b"" if found is None else found[1]


def _offered(transcript: Transcript) -> list[bytes]:
    """Give the extensions of the last answer to EHLO that is one."""
    offered: list[bytes] = []
    for flight in transcript.flights:
        greets = flight.said[:4] in {b"EHLO", b"LHLO"}
        if greets and flight.heard[0].startswith(b"250"):
            offered = [line[4:].strip() for line in flight.heard[1:]]
    hidden = re.compile(rb"(?i)AUTH\b|STARTTLS\b")
    return [offer for offer in offered if not hidden.match(offer)]
