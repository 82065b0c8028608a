"""The server's half of each mechanism, and what it does not take."""

from __future__ import annotations

from base64 import b64encode

import pytest

from esmtp_async.testing import SMTPServer
from tests.backends import everywhere
from tests.testing.talk import talk_to

HELLO = "EHLO client.example.test"
MECHANISMS = "CRAM-MD5 EXTERNAL ANONYMOUS SCRAM-SHA-256 SCRAM-SHA-256-PLUS"


def b64(text: str) -> str:
    return b64encode(text.encode()).decode() or "="


def the_server() -> SMTPServer:
    return SMTPServer(
        users={"alice": "sesame"},
        mechanisms=MECHANISMS.split(),
        starttls=True,
        auth_needs_tls=False,
    )


@everywhere
async def test_a_binding_is_offered_where_there_is_a_channel() -> None:
    async with the_server() as server:
        talk = await talk_to(server)
        in_clear = MECHANISMS.removesuffix(" SCRAM-SHA-256-PLUS")
        assert f"AUTH {in_clear}\r\n".encode() in await talk.say(HELLO)
        assert (await talk.say("AUTH SCRAM-SHA-256-PLUS"))[:3] == b"504"
        await talk.say("STARTTLS")
        await talk.start_tls(server)
        assert f"AUTH {MECHANISMS}\r\n".encode() in await talk.say(HELLO)


@everywhere
@pytest.mark.parametrize(
    ("mechanism", "lines", "code", "breach"),
    [
        ("CRAM-MD5", ["alice"], 501, True),
        ("CRAM-MD5", ["alice 0123"], 535, False),
        ("EXTERNAL", ["bob"], 535, False),
        ("EXTERNAL", [""], 235, False),
        ("EXTERNAL", ["alice"], 235, False),
        ("ANONYMOUS", ["x" * 255], 235, False),
        ("ANONYMOUS", ["x" * 256], 501, True),
        ("ANONYMOUS", [f"{'x' * 256}@mail.test"], 235, False),
        ("SCRAM-SHA-256", ["n,,n=alice"], 501, True),
        ("SCRAM-SHA-256", ["n,a=bob,n=alice,r=abc"], 501, True),
        ("SCRAM-SHA-256", ["n,,n=bob,r=abc"], 535, False),
        ("SCRAM-SHA-256", ["p=tls-server-end-point,,n=alice,r=abc"], 535, False),
        ("SCRAM-SHA-256", ["n,,n=alice,r=abc", "c=biws,r=abc,p=AAAA"], 501, True),
        ("SCRAM-SHA-256", ["n,,n=alice,r=abc", "what?"], 501, True),
    ],
)
async def test_what_is_taken_and_what_is_not(
    mechanism: str, lines: list[str], code: int, *, breach: bool
) -> None:
    async with the_server() as server:
        talk = await talk_to(server, HELLO, f"AUTH {mechanism}")
        *first, last = ("" if line == "" else b64(line) for line in lines)
        for line in first:
            assert (await talk.say(line)).startswith(b"334 ")
        assert (await talk.say(last))[:3] == b"%d" % code
    assert bool(server.violations) is breach


@everywhere
async def test_each_challenge_of_cram_md5_is_new() -> None:
    async with the_server() as server:
        talk = await talk_to(server, HELLO)
        challenges = set()
        for _ in range(3):
            challenges.add(await talk.say("AUTH CRAM-MD5"))
            await talk.say("*")
    assert len(challenges) == 3
