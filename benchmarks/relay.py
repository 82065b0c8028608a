"""A long line: a relay that lets octets pass a while after they came.

``python -m benchmarks.relay PORT RTT`` prints the port that leads to `PORT` over a line
with a round-trip time of `RTT` seconds. It bounds no throughput: whatever is due goes
out together. The connection itself arrives after half of RTT, so the greeting costs one
round trip; TCP's own handshake, which a real line makes cost another one, does not.
"""

from __future__ import annotations

import queue
import socket
import sys
import threading
import time
from contextlib import suppress

from benchmarks.jobs import HOST

#: Octets, and when they are due; no octets end the stream.
Parcel = tuple[float, bytes]


def main() -> None:
    """Relay until stdin ends."""
    port, round_trip = int(sys.argv[1]), float(sys.argv[2])
    listener = socket.create_server((HOST, 0), backlog=512)
    threading.Thread(
        target=accept, args=(listener, port, round_trip / 2), daemon=True
    ).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()


def accept(listener: socket.socket, port: int, delay: float) -> None:
    """Take connections for ever."""
    while True:
        client, _ = listener.accept()
        threading.Thread(target=join, args=(client, port, delay), daemon=True).start()


def join(client: socket.socket, port: int, delay: float) -> None:
    """Connect a client with the server, both ways."""
    time.sleep(delay)
    server = socket.create_connection((HOST, port))
    for source, target in ((client, server), (server, client)):
        target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line: queue.SimpleQueue[Parcel] = queue.SimpleQueue()
        for end, arguments in (
            (put_in, (source, line, delay)),
            (let_out, (line, target)),
        ):
            threading.Thread(target=end, args=arguments, daemon=True).start()


def put_in(
    source: socket.socket, line: queue.SimpleQueue[Parcel], delay: float
) -> None:
    """Note what comes, and when it is due."""
    octets = b"at first"
    while octets:
        try:
            octets = source.recv(1 << 18)
        except OSError:
            octets = b""
        line.put((time.monotonic() + delay, octets))


def let_out(line: queue.SimpleQueue[Parcel], target: socket.socket) -> None:
    """Let out what is due."""
    with suppress(OSError):
        while True:
            due, octets = line.get()
            if (wait := due - time.monotonic()) > 0:
                time.sleep(wait)
            if not octets:
                break
            target.sendall(octets)
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main()
