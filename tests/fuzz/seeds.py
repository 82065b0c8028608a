"""What fuzzing begins with: octets of the right kind, from the transcripts and RFCs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Final

from tests.transcript import transcripts

_SERVERS: Final = [
    b"".join(chain.from_iterable(flight.heard for flight in transcript.flights))
    for transcript in transcripts()
]

_REPORTS: Final = Path(__file__).parents[1] / "reports" / "samples"

SEEDS: Final[Mapping[str, list[bytes]]] = {
    # The first octets choose how what follows is cut, and which conversation it is.
    "replies": [bytes([cut]) + said for said in _SERVERS for cut in (0, 255)],
    "conversation": [
        bytes([which, 255]) + said
        for which, said in zip(range(256), _SERVERS * 4, strict=False)
    ],
    # The first octet chooses the mechanism and what is offered; then challenges.
    "challenges": [
        bytes([which]) + challenge
        for which in (*range(16), *range(128, 144))
        for challenge in (
            b"Username:\nPassword:",
            b"<1896.697170952@postoffice.example.test>",
            b"r=NONCE3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096\nv=rmF9pqV8S7suAoZWja4dJRkF",
            b"e=invalid-proof",
            b'{"status":"invalid_token","scope":"mail"}',
        )
    ],
    "addresses": [
        text.encode()
        for text in (
            "alice@example.test",
            '"a> x"@example.test',
            '"x@evil"@example.test',
            "a@[192.0.2.1]",
            "a@[IPv6:2001:db8::1]",
            "a@[tag:content]",
            "ü@münchen.test",
            "Postmaster",
            "a@x.test>\r\nRCPT TO:<evil@x.test",
            "a@x.test> NOTIFY=NEVER",
            "a嘍嘊@x.test",
            "rfc822;a+b=c@x.test",
        )
    ],
    "parameters": [
        b"SIZE\n1000\nBODY\n8BITMIME",
        b"SMTPUTF8",
        b"RET\nHDRS\nENVID\nQQ+3Dx",
        b"SIZE\n1\r\nRCPT TO:<a@x.test>",
        b"BY\n100;N",
    ],
    "servers": [
        b"mail.example.test:587",
        b"[::1]:25",
        b"::1",
        b"xn--mnchen-3ya.test.",
        b"mail.example.test:465?max_connections=4",
        b"%2Frun%2Fsmtp.sock",
        "MÜNCHEN.test".encode(),
    ],
    "reports": [path.read_bytes() for path in sorted(_REPORTS.glob("*.eml"))],
}


@contextmanager
def write_seeds(target: str) -> Iterator[Path]:
    """Write the seeds of a target into a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="esmtp-fuzz-") as folder:
        for number, seed in enumerate(SEEDS[target]):
            (Path(folder) / f"{number:03d}").write_bytes(seed)
        yield Path(folder)
