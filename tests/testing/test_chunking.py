"""BDAT: exact chunks, what follows a failed one, and BINARYMIME (RFC 3030)."""

from __future__ import annotations

import pytest

from esmtp_async.testing import DEFAULT_EXTENSIONS, Rule, SMTPServer
from tests.backends import everywhere
from tests.testing.talk import talk_to

ENVELOPE = ("EHLO c.test", "MAIL FROM:<a@x.test>", "RCPT TO:<b@x.test>")


@everywhere
async def test_chunks_are_joined_as_they_are() -> None:
    async with SMTPServer() as server:
        talk = await talk_to(server, *ENVELOPE)
        assert await talk.group(b"BDAT 5\r\n.\r\n.\r", 1) == [
            b"250 2.0.0 5 octets received\r\n"
        ]
        assert await talk.group(b"BDAT 0\r\n", 1) == [
            b"250 2.0.0 5 octets received\r\n"
        ]
        await talk.send(b"bdat 3 last\r\n\nx\rMAIL")
        await talk.send(b" FROM:<c@x.test>\r\n")
        replies = [await talk.reply() for _ in range(2)]
        assert replies[0][:4] == b"554 "
        assert replies[1][:4] == b"503 "
        await talk.say("RSET")
        await talk.say("MAIL FROM:<c@x.test>")
        await talk.say("RCPT TO:<d@x.test>")
        await talk.send(b"BDAT 3\r\n.\r\nBDAT 0 LAST\r\n")
        assert [(await talk.reply())[:3] for _ in range(2)] == [b"250", b"250"]
        assert (await talk.say("MAIL FROM:<c@x.test>"))[:3] == b"250"
    (stored,) = server.messages
    assert (stored.content, stored.via) == (b".\r\n", "BDAT")
    said = [octets for side, octets in server.transcript[0] if side == "C"]
    assert said[3:5] == [b"BDAT 5\r\n", b".\r\n.\r"]
    assert said[-4:-1] == [b"BDAT 3\r\n", b".\r\n", b"BDAT 0 LAST\r\n"]


@everywhere
async def test_a_failed_chunk_leaves_only_rset() -> None:
    async with SMTPServer(rules=[Rule("BDAT", reply="452 4.3.1 full")]) as server:
        talk = await talk_to(server, *ENVELOPE)
        replies = await talk.group(b"BDAT 3\r\nabcBDAT 2 LAST\r\n\r\n", 2)
        assert replies[0] == b"452 4.3.1 full\r\n"
        assert replies[1].startswith(b"503 5.5.1 a BDAT failed")
        assert (await talk.say("NOOP"))[:3] == b"250"
        assert server.violations == []
        assert (await talk.say("RCPT TO:<c@x.test>"))[:3] == b"503"
        assert (await talk.say("RSET"))[:3] == b"250"
        assert (await talk.say("MAIL FROM:<a@x.test>"))[:3] == b"250"
    assert server.messages == []
    assert server.violations == [
        "connection 1, at 'RCPT TO:<c@x.test>': RSET must follow a BDAT that failed"
    ]


@everywhere
async def test_a_refused_last_chunk_leaves_only_rset() -> None:
    async with SMTPServer(rules=[Rule("LAST", reply="554 5.6.0 no")]) as server:
        talk = await talk_to(server, *ENVELOPE)
        assert await talk.group(b"BDAT 2 LAST\r\n\r\n", 1) == [b"554 5.6.0 no\r\n"]
        assert (await talk.say("MAIL FROM:<a@x.test>"))[:3] == b"503"
        assert (await talk.say("QUIT"))[:3] == b"221"
    assert server.messages == []


@everywhere
@pytest.mark.parametrize("eager", [False, True])
async def test_bdat_in_the_group_of_its_envelope(*, eager: bool) -> None:
    async with SMTPServer(eager=eager) as server:
        talk = await talk_to(server, "EHLO c.test")
        envelope = b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\n"
        train = envelope + b"BDAT 4 LAST\r\nhi\r\nRSET\r\n"
        replies = await talk.group(train * 2, 8)
        assert {reply[:3] for reply in replies} == {b"250"}
    assert [stored.content for stored in server.messages] == [b"hi\r\n"] * 2
    problem = "connection 1, at 'BDAT 4 LAST': BDAT before the replies to MAIL and RCPT"
    assert server.violations == ([] if eager else [problem] * 2)


@everywhere
async def test_binary_content_may_be_anything() -> None:
    octets = b"\r\n\xff\n\r\0" + b"x" * 2000
    async with SMTPServer(extensions=[*DEFAULT_EXTENSIONS, "BINARYMIME"]) as server:
        talk = await talk_to(server, "EHLO c.test")
        await talk.say("MAIL FROM:<a@x.test> BODY=BINARYMIME")
        await talk.say("RCPT TO:<b@x.test>")
        await talk.send(b"BDAT %d LAST\r\n%b" % (len(octets), octets))
        assert (await talk.reply())[:3] == b"250"
    assert server.messages[0].content == octets
    assert (server.violations, server.notes) == ([], [])


@everywhere
async def test_a_size_that_cannot_be_read_ends_the_connection() -> None:
    async with SMTPServer() as server:
        talk = await talk_to(server, *ENVELOPE)
        assert (await talk.say("BDAT -1 LAST"))[:3] == b"501"
        assert await talk.rest() == b""
    assert len(server.violations) == 1


@everywhere
async def test_bdat_when_every_recipient_was_refused() -> None:
    async with SMTPServer(rules=[Rule("RCPT", reply="550 5.1.1 no")]) as server:
        talk = await talk_to(server, "EHLO c.test", "MAIL FROM:<a@x.test>")
        assert await talk.say("RCPT TO:<b@x.test>") == b"550 5.1.1 no\r\n"
        replies = await talk.group(b"BDAT 2 LAST\r\n\r\n", 1)
        assert replies[0].startswith(b"554 5.5.1 no RCPT was accepted")
    assert (server.messages, server.violations) == ([], [])


@everywhere
async def test_chunks_that_are_too_large_together() -> None:
    async with SMTPServer(max_message_size=5) as server:
        talk = await talk_to(server, *ENVELOPE)
        replies = await talk.group(b"BDAT 3\r\nabcBDAT 3\r\nabcBDAT 0 LAST\r\n", 3)
        assert [reply[:9] for reply in replies] == [
            *(b"250 2.0.0", b"552 5.3.4", b"503 5.5.1")
        ]
        assert (await talk.say("RSET"))[:3] == b"250"
    assert (server.messages, server.violations) == ([], [])
