"""A server that throws messages away, cheap enough not to be what is measured.

``python -m benchmarks.sink`` prints its port, and for each line of its stdin a line of
figures. It offers PIPELINING, CHUNKING and 8BITMIME, believes everything it is told,
and answers all that came in one read by one write.
"""

from __future__ import annotations

import json
import resource
import socket
import sys
import threading
from typing import Final

from benchmarks.jobs import HOST

#: Octets of a read, at most. Above 128 KiB each would be given memory of its own.
_READ: Final = 1 << 16
_OK: Final = b"250 2.0.0 ok\r\n"
_REPLIES: Final = {
    b"MAIL": _OK,
    b"RCPT": _OK,
    b"RSET": _OK,
    b"NOOP": _OK,
    b"HELO": b"250 sink.test\r\n",
    b"EHLO": b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 CHUNKING\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}
_UNKNOWN: Final = b"500 5.5.2 what?\r\n"
_DOT: Final = b"\r\n.\r\n"


class Session:
    """One connection; octets in, replies out."""

    def __init__(self) -> None:
        self.messages = 0
        self.octets = 0
        self.over = False
        self._pending = b""
        self._chunk = 0  # octets of a BDAT that are still to come
        self._data = False

    def replies(self, octets: bytes) -> bytes:
        """Take what came, and give all that is to be said to it."""
        self.octets += len(octets)
        octets = self._pending + octets
        at, size = 0, len(octets)
        said: list[bytes] = []
        while at < size:
            if self._chunk:
                taken = min(self._chunk, size - at)
                self._chunk -= taken
                at += taken
                if not self._chunk:
                    said.append(_OK)
            elif self._data:
                end = octets.find(_DOT, at)
                if end < 0:
                    # The dot's line may have begun.
                    at = max(at, size - len(_DOT) + 1)
                    break
                at = end + len(_DOT)
                self._data = False
                self.messages += 1
                said.append(_OK)
            else:
                end = octets.find(b"\n", at)
                if end < 0:
                    break
                verb = octets[at : at + 4].upper()
                said.append(self._obey(verb, octets[at : end + 1]))
                # The line end before a dot may be that of DATA itself.
                at = end - 1 if verb == b"DATA" else end + 1
        self._pending = octets[at:]
        return b"".join(said)

    def _obey(self, verb: bytes, line: bytes) -> bytes:
        if verb == b"BDAT":
            _, length, *last = line.split()
            self._chunk = int(length)
            self.messages += bool(last)
            return b"" if self._chunk else _OK
        self._data = verb == b"DATA"
        self.over = self.over or verb == b"QUIT"
        return _REPLIES.get(verb, _UNKNOWN)


class Sink:
    """All connections, a thread each."""

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._sessions: list[Session] = []

    def figures(self) -> dict[str, float]:
        """Count messages, octets and connections, and the seconds of processor time."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        sessions = self._sessions.copy()
        return {
            "messages": sum(session.messages for session in sessions),
            "octets": sum(session.octets for session in sessions),
            "connections": len(sessions),
            "cpu": used.ru_utime + used.ru_stime,
        }

    def serve(self) -> None:
        """Take connections for ever."""
        while True:
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        session = Session()
        self._sessions.append(session)
        with connection:
            said = b"220 sink.test ESMTP\r\n"
            try:
                connection.sendall(said)
                while not session.over and (octets := connection.recv(_READ)):
                    if said := session.replies(octets):
                        connection.sendall(said)
            except OSError:
                return  # the client has gone


def main() -> None:
    """Serve until stdin ends."""
    sink = Sink()
    threading.Thread(target=sink.serve, daemon=True).start()
    print(sink.port, flush=True)
    for _ in sys.stdin:
        print(json.dumps(sink.figures()), flush=True)


if __name__ == "__main__":
    main()
