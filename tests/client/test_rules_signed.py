"""Row B5: a signed message verifies as it arrives."""

from __future__ import annotations

from base64 import b64encode
from random import Random
from typing import Final

import dkim
import pytest
from nacl.signing import SigningKey

from tests.backends import everywhere
from tests.client.checks import send
from tests.client.test_rules_octets import unstuffed
from tests.raw import offering, script, serving

KEY: Final = SigningKey(b"of nobody" + bytes(23))
RECORD: Final = b"v=DKIM1; k=ed25519; p=" + b64encode(bytes(KEY.verify_key))
#: On each of the three loops, by DATA and by BDAT.
MESSAGES: Final = 170

WORDS: Final = [
    b".",
    b"..",
    b". .",
    b"",
    b" ",
    b"\t",
    b"x" * 76,
    b"From x",
    b"QUIT",
    b"=",
]


def signed(random: Random) -> bytes:
    """Make up a message and sign it, so that not an octet of it may change."""
    lines = random.choices(WORDS, k=random.choice([0, 1, 5, 50]))
    head = [
        b"From: a@example.test",
        b"To: b@example.test",
        b"Subject:  %d " % len(lines),
    ]
    message = b"".join(line + b"\r\n" for line in (*head, b"", *lines))
    signature: bytes = dkim.sign(
        message,
        b"selector",
        b"example.test",
        b64encode(bytes(KEY)),
        canonicalize=(b"simple", b"simple"),
        signature_algorithm=b"ed25519-sha256",
        include_headers=[b"from", b"to", b"subject"],
    )
    return signature + message


def verifies(message: bytes) -> bool:
    return bool(dkim.verify(message, dnsfunc=lambda *_, **__: RECORD))


def test_B5_one_octet_makes_the_difference() -> None:
    message = signed(Random(0))  # noqa: S311  # no secret
    assert verifies(message)
    assert not verifies(message.replace(b"Subject:  ", b"Subject: "))
    assert not verifies(message + b"x\r\n")


@everywhere
@pytest.mark.parametrize("keyword", ["PIPELINING", "CHUNKING"])
async def test_B5_a_signature_survives(keyword: str) -> None:
    random = Random(keyword)  # noqa: S311  # no secret
    keywords = ["PIPELINING", keyword] if keyword == "CHUNKING" else [keyword]
    async with serving(script(EHLO=offering(*keywords))) as server:
        async with server.client(
            pipelining="eager", max_messages_per_connection=None
        ) as client:
            for number in range(MESSAGES):
                message = signed(random)
                await send(client, message)
                arrived = server.heard[0].messages[number]
                if keyword == "PIPELINING":
                    arrived = unstuffed(server.heard[0].contents[number])
                assert arrived == message
                assert verifies(arrived)
        assert len(server.heard) == 1
