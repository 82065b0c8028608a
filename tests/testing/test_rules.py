"""Rules: one place where the server departs from serving."""

from __future__ import annotations

import math

import anyio
import pytest

from esmtp_async.testing import Rule, SMTPServer
from tests.backends import everywhere, in_virtual_time
from tests.testing.talk import Talk, talk_to

HELLO = "EHLO c.test"
ENVELOPE = (HELLO, "MAIL FROM:<a@x.test>", "RCPT TO:<b@x.test>", "RCPT TO:<c@x.test>")


def serve(*rules: Rule, lmtp: bool = False, starttls: bool = False) -> SMTPServer:
    return SMTPServer(rules=rules, lmtp=lmtp, starttls=starttls)


@everywhere
async def test_a_refusal_is_said_and_the_command_not_executed() -> None:
    async with serve(Rule("RCPT", "b@x", reply="550 5.1.1 no such user")) as server:
        talk = await talk_to(server, *ENVELOPE[:2])
        assert await talk.say("RCPT TO:<b@x.test>") == b"550 5.1.1 no such user\r\n"
        assert await talk.say("RCPT TO:<C@X.test>") == b"250 2.1.5 recipient ok\r\n"
        await talk.say("DATA")
        await talk.say(".")
    assert [path for path, _ in server.messages[0].recipients] == ["C@X.test"]


@everywhere
async def test_a_good_reply_replaces_the_words_of_one_that_is_executed() -> None:
    async with serve(
        Rule("EHLO", reply="250-other.test\n250-size 5\n250 Pipelining"),
        Rule("RCPT", reply="252 maybe"),
        Rule("CONTENT", reply="299 odd"),
    ) as server:
        talk = await talk_to(server)
        offer = await talk.say(HELLO)
        assert offer == b"250-other.test\r\n250-size 5\r\n250 Pipelining\r\n"
        # What was said counts.
        assert (await talk.say("MAIL FROM:<a@x.test> SIZE=6"))[:3] == b"552"
        assert (await talk.say("MAIL FROM:<a@x.test> SIZE=2"))[:3] == b"250"
        assert await talk.say("RCPT TO:<b@x.test>") == b"252 maybe\r\n"
        await talk.say("DATA")
        assert await talk.group(b"\r\n.\r\n", 1) == [b"299 odd\r\n"]
    assert len(server.messages) == 1
    assert server.violations == []


@everywhere
async def test_a_rule_can_be_limited_and_later_ones_then_apply() -> None:
    async with serve(
        Rule("NOOP", skip=1, times=2, reply="450 first"),
        Rule("NOOP|RSET", skip=1, reply="450 second"),
    ) as server:
        talk = await talk_to(server, HELLO)
        said = [await talk.say("NOOP") for _ in range(5)]
        assert [reply.split()[-1] for reply in said] == [
            *(b"ok", b"first", b"first", b"second", b"second")
        ]
        assert await talk.say("RSET") == b"450 second\r\n"
        server.rules.clear()
        assert (await talk.say("NOOP"))[:3] == b"250"


@everywhere
async def test_a_rule_that_only_serves_protects_from_those_behind() -> None:
    async with serve(Rule("RCPT", "b@"), Rule("RCPT", reply="550 no")) as server:
        talk = await talk_to(server, *ENVELOPE[:3])
        assert (await talk.say("RCPT TO:<c@x.test>"))[:3] == b"550"


@everywhere
async def test_the_end_of_the_mail_data_is_matched_by_its_paths() -> None:
    async with serve(
        Rule("CONTENT", "<a@x.test> <b@x.test> <c", reply="451 4.3.0 no")
    ) as server:
        talk = await talk_to(server, *ENVELOPE, "DATA")
        assert await talk.say(".") == b"451 4.3.0 no\r\n"
        for line in (*ENVELOPE[1:3], "DATA"):
            await talk.say(line)
        assert (await talk.say("."))[:3] == b"250"
    assert len(server.messages) == 1


@everywhere
@pytest.mark.parametrize("content", ["DATA", "BDAT"])
async def test_lmtp_recipients_are_refused_one_by_one(content: str) -> None:
    rule = Rule("CONTENT|LAST", "c@x.test", reply="452 4.2.2 full")
    async with serve(rule, lmtp=True) as server:
        talk = await talk_to(server, "LHLO c.test", *ENVELOPE[1:], "RCPT TO:<d@x.test>")
        if content == "DATA":
            await talk.say("DATA")
            replies = await talk.group(b"hi\r\n.\r\n", 3)
        else:
            replies = await talk.group(b"BDAT 4 LAST\r\nhi\r\n", 3)
        assert [reply[:3] for reply in replies] == [b"250", b"452", b"250"]
        assert (await talk.say("MAIL FROM:<a@x.test>"))[:3] == b"250"
    (stored,) = server.messages
    assert [path for path, _ in stored.recipients] == ["b@x.test", "d@x.test"]


@everywhere
async def test_lmtp_without_recipients_and_a_scripted_354() -> None:
    rules = [Rule("RCPT", reply="550 no"), Rule("DATA", reply="354 go")]
    async with serve(*rules, lmtp=True) as server:
        talk = await talk_to(server, "LHLO c.test", ENVELOPE[1])
        await talk.say(ENVELOPE[2])
        assert (await talk.say("DATA"))[:3] == b"354"
        assert await talk.group(b".\r\nNOOP\r\n", 1) == [b"250 2.0.0 ok\r\n"]
    assert server.violations == []


@in_virtual_time
async def test_a_delay_lets_earlier_replies_out_first() -> None:
    async with serve(Rule("RCPT", delay=1.0)) as server:
        talk = await talk_to(server, HELLO)
        started = anyio.current_time()
        await talk.send(b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\n")
        assert (await talk.reply())[:3] == b"250"
        assert anyio.current_time() == started
        assert (await talk.reply())[:3] == b"250"
        assert anyio.current_time() - started == 1


@everywhere
async def test_an_endless_delay_ends_with_the_client() -> None:
    async with serve(Rule("CONTENT", delay=math.inf)) as server:
        talk = await talk_to(server, *ENVELOPE, "DATA")
        await talk.send(b".\r\n")
        with anyio.move_on_after(0.05) as scope:
            await talk.reply()
        assert scope.cancelled_caught
        await talk.stream.aclose()
        await server.wait_closed()
    assert server.messages == []


@everywhere
async def test_the_server_reads_only_so_far_ahead() -> None:
    async with serve(Rule("NOOP", delay=math.inf)) as server:
        talk = await talk_to(server, HELLO)
        await talk.send(b"NOOP\r\n")
        sent = 0
        with anyio.move_on_after(0.2):
            while True:
                await talk.stream.send(b"x" * 8192)
                sent += 8192
    assert 64 * 1024 <= sent <= 192 * 1024


@everywhere
async def test_silence_although_the_message_was_taken() -> None:
    async with serve(Rule("CONTENT", silent=True, close=True)) as server:
        talk = await talk_to(server, *ENVELOPE, "DATA")
        await talk.send(b".\r\n")
        assert await talk.rest() == b""
    assert len(server.messages) == 1


@everywhere
async def test_silence_because_the_message_was_not_taken() -> None:
    rule = Rule("CONTENT", reply="451 crash", silent=True, close=True)
    async with serve(rule) as server:
        talk = await talk_to(server, *ENVELOPE, "DATA")
        await talk.send(b".\r\n")
        assert await talk.rest() == b""
    assert server.messages == []


@everywhere
@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize(
    "lines",
    [
        (),
        (HELLO,),
        ENVELOPE[:2],
        (*ENVELOPE[:3], "DATA"),
        (*ENVELOPE[:3], "DATA", "."),
        (HELLO, "QUIT"),
    ],
)
async def test_421_and_close_end_the_connection(
    lines: tuple[str, ...], *, close: bool
) -> None:
    last = lines[-1].split()[0] if lines else "CONNECT"
    verb = "CONTENT" if last == "." else last
    reply = "450 no" if close else "421 bye"
    async with serve(Rule(verb, reply=reply, close=close)) as server:
        talk = Talk(await server.connect())
        for line in lines:
            await talk.reply()
            await talk.send(line.encode() + b"\r\n")
        assert await talk.rest() == reply.encode() + b"\r\n"


@everywhere
@pytest.mark.parametrize("silent", [False, True])
async def test_drop_resets_the_connection_in_memory(*, silent: bool) -> None:
    async with serve(Rule("NOOP", drop=True, silent=silent)) as server:
        talk = await talk_to(server, HELLO)
        await talk.send(b"NOOP\r\n")
        with pytest.raises(anyio.BrokenResourceError):
            await talk.rest()
        assert server.open_connections == 0
    said = b"".join(octets for side, octets in server.transcript[0] if side == "S")
    assert said.endswith(b"ok\r\n") is not silent


@everywhere
async def test_quit_can_be_refused() -> None:
    async with serve(Rule("QUIT", times=1, reply="500 stay")) as server:
        talk = await talk_to(server, HELLO)
        assert (await talk.say("QUIT"))[:3] == b"500"
        assert (await talk.say("NOOP"))[:3] == b"250"
        assert (await talk.say("QUIT"))[:3] == b"221"
        assert await talk.rest() == b""


@everywhere
async def test_starttls_as_a_rule_says() -> None:
    async with serve(
        Rule("STARTTLS", times=1, reply="454 4.7.0 later"), starttls=True
    ) as server:
        talk = await talk_to(server, HELLO)
        assert (await talk.say("STARTTLS"))[:3] == b"454"
        assert (await talk.say("STARTTLS"))[:3] == b"220"
        await talk.start_tls(server)
        assert (await talk.say(HELLO))[:3] == b"250"
    assert server.violations == []
