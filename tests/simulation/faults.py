"""What goes wrong between client and server, written down as data."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class Kind(Enum):
    """What happens; behind it what `Fault.position` counts on its connection."""

    #: No connection comes about.
    REFUSED = "connect refused"
    #: What answers the ClientHello is no TLS.
    HANDSHAKE = "handshake failure"
    # Octets that arrive, under TLS if there is any.
    EOF = "EOF"
    RESET = "RST"
    STALL = "stall"
    #: An octet a second, `extent` of them.
    DRIP = "drip"
    #: The bit `extent` is another one.
    GARBLE = "flipped bit"
    # Writes of the client, under TLS if there is any.
    #: What the server has said can still be read.
    WRITE = "write error"
    #: A part of it goes out, `extent` of 16, and then nothing more.
    PARTIAL_ERROR = "partial write, error"
    PARTIAL_STALL = "partial write, stall"
    # Replies that arrive, above TLS.
    DUPLICATE = "duplicate reply"
    DROP = "dropped reply"
    #: It comes behind the next one, if that is there too.
    SWAP = "swapped replies"
    #: One of `LINES` comes before it.
    INSERT = "inserted line"
    SHUTDOWN = "421 inserted"
    # What the client says, above TLS.
    #: A reply comes before it is said; the next one of the server is lost if `extent`
    #: is odd.
    EARLY = "early reply"


#: The octets that arrive decide.
ARRIVING: Final = (Kind.EOF, Kind.RESET, Kind.STALL, Kind.DRIP, Kind.GARBLE)
#: Those of them that need no octet.
ENDING: Final = (Kind.EOF, Kind.RESET, Kind.STALL)
#: The client's writes decide.
WRITING: Final = (Kind.WRITE, Kind.PARTIAL_ERROR, Kind.PARTIAL_STALL)
#: The replies that arrive decide.
REPLYING: Final = (Kind.DUPLICATE, Kind.DROP, Kind.SWAP, Kind.INSERT, Kind.SHUTDOWN)

#: What makes a client read what the server did not say; bits do so in clear text.
FORGING: Final = frozenset({*REPLYING, Kind.EARLY})

#: What is inserted; 2048 octets are more than a line may have.
LINES: Final = (
    b"250 2.0.0 Ok: queued as FORGED\r\n",
    b"250-and more\r\n",
    b"354 go ahead\r\n",
    b"450 4.2.0 later\r\n",
    b"550 5.1.1 no\r\n",
    b"235 2.7.0 welcome\r\n",
    b"220 ready\r\n",
    b"299\r\n",
    b"250 no CR\n",
    b"garbage\r\n",
    b"999 no code\r\n",
    b"250 half a line",
    b"\r\n",
    b"250 " + b"x" * 2100 + b"\r\n",
)

GOODBYE: Final = b"421 4.3.2 closing\r\n"
NO_TLS: Final = b"HTTP/1.0 400 Bad Request\r\n\r\n"


class Fault(NamedTuple):
    """One fault."""

    kind: Kind
    #: Which connection it strikes, counted from 0.
    connection: int
    #: Where, counted from 0 in what the kind counts.
    position: int
    #: How much, or which.
    extent: int

    def __str__(self) -> str:
        return f"{self.kind.value} on {self.connection} at {self.position}"
