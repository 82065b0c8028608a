"""What a client must wait for before it says more (RFC 2920)."""

from __future__ import annotations

import anyio
import pytest

from esmtp_async.testing import Rule, SMTPServer
from tests.backends import everywhere
from tests.testing.talk import Talk, talk_to

H = "EHLO c.test"
D = "DATA"

GROUPS = {
    "EHLO": ((), b"EHLO c.test\r\n"),
    "NOOP": ((H,), b"NOOP\r\n"),
    "VRFY": ((H,), b"VRFY a\r\n"),
    "EXPN": ((H,), b"EXPN a\r\n"),
    "HELP": ((H,), b"HELP\r\n"),
    "DATA": ((H,), b"DATA\r\n"),
    "AUTH": ((H,), b"AUTH LOGIN YQ==\r\n"),
    "STARTTLS": ((H,), b"STARTTLS\r\n"),
    "QUIT": ((), b"QUIT\r\n"),
}


@everywhere
@pytest.mark.parametrize("verb", GROUPS)
async def test_what_must_be_last_in_a_group(verb: str) -> None:
    lines, octets = GROUPS[verb]
    async with SMTPServer(
        starttls=True, users={"a": "b"}, auth_needs_tls=False
    ) as server:
        talk = await talk_to(server, *lines)
        await talk.send(octets + b"RSET\r\n")
        await talk.reply()
        await talk.stream.aclose()
    assert f"{verb} must be the last of its group" in server.violations[0]


@everywhere
async def test_no_handshake_when_octets_follow_starttls() -> None:
    async with SMTPServer(starttls=True) as server:
        talk = await talk_to(server, H)
        replies = await talk.group(b"STARTTLS\r\nRSET\r\n", 2)
        assert [reply[:3] for reply in replies] == [b"501", b"250"]
        await talk.say("STARTTLS")
        await talk.start_tls(server)
        assert (await talk.say(H))[:3] == b"250"
    assert len(server.violations) == 1


@everywhere
async def test_a_group_needs_pipelining() -> None:
    async with SMTPServer(extensions=["8BITMIME"]) as server:
        talk = await talk_to(server, H)
        replies = await talk.group(b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\n", 2)
        assert [reply[:3] for reply in replies] == [b"250", b"250"]
        await talk.say(D)
        await talk.group(b".\r\nRSET\r\n", 2)
    problem = "sent before the reply to the command before it"
    assert server.violations == [
        f"connection 1, at 'RCPT TO:<b@x.test>': {problem}",
        f"connection 1, at 'RSET': {problem}",
    ]


@everywhere
async def test_a_client_must_wait_for_the_greeting() -> None:
    async with SMTPServer(rules=[Rule("CONNECT", delay=0.05)]) as server:
        talk = Talk(await server.connect())
        await talk.send(b"EHLO c.test\r\n")
        assert (await talk.reply())[:3] == b"220"
        assert (await talk.reply())[:3] == b"250"
    assert server.violations[0] == (
        "connection 1, at '': the client talks before the greeting"
    )


@everywhere
async def test_responses_to_challenges_must_wait_for_them() -> None:
    async with SMTPServer(users={"a": "b"}, auth_needs_tls=False) as server:
        talk = await talk_to(server, H, "AUTH LOGIN")
        replies = await talk.group(b"YQ==\r\nYg==\r\n", 2)
        assert [reply[:3] for reply in replies] == [b"334", b"235"]
    (violation,) = server.violations
    assert "RESPONSE must be the last of its group" in violation


@everywhere
async def test_a_slow_line_is_no_breach() -> None:
    async with SMTPServer() as server:
        talk = await talk_to(server, H)
        for octet in b"NOOP\r\n":
            await talk.send(bytes([octet]))
            await anyio.wait_all_tasks_blocked()
        assert (await talk.reply())[:3] == b"250"
    assert server.violations == []
