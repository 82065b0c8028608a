"""What the model server answers to those who keep the rules, in octets."""

from __future__ import annotations

import anyio
import pytest

from esmtp_async.testing import SMTPServer
from tests.backends import everywhere
from tests.testing.talk import Talk, talk_to

HELLO = "EHLO client.example.test"
ENVELOPE = (HELLO, "MAIL FROM:<a@x.test>", "RCPT TO:<b@x.test>", "RCPT TO:<c@x.test>")


@everywhere
async def test_a_whole_conversation() -> None:
    async with SMTPServer() as server:
        talk = Talk(await server.connect())
        assert await talk.reply() == b"220 mail.example.test ESMTP ready\r\n"
        assert await talk.say(HELLO) == (
            b"250-mail.example.test\r\n250-PIPELINING\r\n250-SIZE 10485760\r\n"
            b"250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-DSN\r\n"
            b"250 ENHANCEDSTATUSCODES\r\n"
        )
        mail = "mail from:<a@x.test> size=20 Ret=HDRS ENVID=QQ+2B1"
        assert await talk.say(mail) == b"250 2.1.0 sender ok\r\n"
        rcpt = "RCPT TO:<b@x.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@x.test"
        assert await talk.say(rcpt) == b"250 2.1.5 recipient ok\r\n"
        assert await talk.say("RCPT TO:<PostMaster>") == b"250 2.1.5 recipient ok\r\n"
        assert (await talk.say("DATA")).startswith(b"354 ")
        await talk.send(b"Subject: x\r\n\r\n..x\r\n.\r\n")
        assert await talk.reply() == b"250 2.0.0 Ok: queued as 00000001\r\n"
        assert await talk.say("QUIT") == b"221 2.0.0 bye\r\n"
        assert await talk.rest() == b""
    (stored,) = server.messages
    assert stored.queue_id == "00000001"
    assert stored.reverse_path == "a@x.test"
    assert stored.mail_parameters == {"SIZE": "20", "RET": "HDRS", "ENVID": "QQ+2B1"}
    assert stored.recipients == (
        ("b@x.test", {"NOTIFY": "SUCCESS,DELAY", "ORCPT": "rfc822;b@x.test"}),
        ("PostMaster", {}),
    )
    assert stored.content == b"Subject: x\r\n\r\n.x\r\n"
    assert stored.message["Subject"] == "x"
    assert stored.message.get_content() == ".x\r\n"
    assert (stored.username, stored.tls) == (None, False)
    assert (stored.connection, stored.via) == (1, "DATA")
    assert (server.violations, server.notes) == ([], [])


@everywhere
async def test_the_record_has_every_line_and_every_flight_in_order() -> None:
    async with SMTPServer(extensions=["PIPELINING"]) as server:
        talk = await talk_to(server, HELLO)
        group = b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n"
        await talk.group(group, 3)
        await talk.group(b"hi\r\n.\r\nRSET\r\n", 2)
        await talk.stream.aclose()
    three_replies = (
        b"250 sender ok\r\n250 recipient ok\r\n"
        b"354 go ahead, and end with a lone dot\r\n"
    )
    assert server.transcript == [
        [
            ("S", b"220 mail.example.test ESMTP ready\r\n"),
            ("C", b"EHLO client.example.test\r\n"),
            ("S", b"250-mail.example.test\r\n250 PIPELINING\r\n"),
            ("C", b"MAIL FROM:<a@x.test>\r\n"),
            ("C", b"RCPT TO:<b@x.test>\r\n"),
            ("C", b"DATA\r\n"),
            ("S", three_replies),
            ("C", b"hi\r\n.\r\n"),
            ("C", b"RSET\r\n"),
            ("S", b"250 Ok: queued as 00000001\r\n250 ok\r\n"),
        ]
    ]
    assert server.violations == []


@everywhere
async def test_helo_offers_nothing_and_enhanced_codes_are_then_left_out() -> None:
    async with SMTPServer() as server:
        talk = await talk_to(server)
        assert await talk.say("HELO [127.0.0.1]") == b"250 mail.example.test\r\n"
        assert await talk.say("NOOP anything") == b"250 ok\r\n"
        reply = await talk.say("MAIL FROM:<a@x.test> SIZE=1")
        assert reply.startswith(b"555 SIZE belongs to an extension not offered")
    assert len(server.violations) == 1


@everywhere
async def test_ehlo_and_rset_abort_the_transaction() -> None:
    async with SMTPServer() as server:
        talk = await talk_to(server, *ENVELOPE, HELLO, "MAIL FROM:<d@x.test>", "RSET")
        await talk.say("MAIL FROM:<>")
        await talk.say("RCPT TO:<e@x.test>")
        await talk.say("DATA")
        assert (await talk.say("."))[:3] == b"250"
    (stored,) = server.messages
    assert (stored.reverse_path, stored.content) == ("", b"")
    assert [path for path, _ in stored.recipients] == ["e@x.test"]
    assert server.violations == []


@everywhere
async def test_questions_can_be_asked_at_any_time() -> None:
    lists = {"staff": ["a@x.test", "b@x.test"]}
    async with SMTPServer(lists=lists) as server:
        talk = await talk_to(server)
        assert (await talk.say("VRFY a@x.test"))[:4] == b"252 "
        assert (await talk.say("HELP MAIL"))[:4] == b"214 "
        assert await talk.say("EXPN staff") == b"250-<a@x.test>\r\n250 <b@x.test>\r\n"
        assert (await talk.say("EXPN nobody"))[:4] == b"550 "
        assert (await talk.say("RSET"))[:4] == b"250 "
    async with SMTPServer() as listless:
        talk = await talk_to(listless, HELLO)
        assert (await talk.say("EXPN staff")).startswith(b"502 5.5.1 ")
    assert server.violations + listless.violations == []


@everywhere
async def test_smtputf8_lets_addresses_and_headers_be_utf8() -> None:
    async with SMTPServer() as server:
        talk = await talk_to(
            server,
            HELLO,
            "MAIL FROM:<ü@x.test> SMTPUTF8 BODY=8BITMIME",
            "RCPT TO:<ö@x.test> ORCPT=utf-8;ö@x.test",
            "DATA",
        )
        await talk.send("Subject: ä\r\n\r\nä\r\n.\r\n".encode())
        assert (await talk.reply())[:3] == b"250"
    (stored,) = server.messages
    assert stored.reverse_path == "ü@x.test"
    assert stored.recipients[0].path == "ö@x.test"
    assert server.violations == []


@everywhere
@pytest.mark.parametrize(
    ("mail", "refusal"),
    [
        ("MAIL FROM:<a@x.test> SIZE=101", b"552 5.3.4 the limit is 100 octets\r\n"),
        ("MAIL FROM:<a@x.test>", None),
    ],
)
async def test_what_is_too_large_is_refused(mail: str, refusal: bytes | None) -> None:
    async with SMTPServer(extensions=["SIZE 100", "ENHANCEDSTATUSCODES"]) as server:
        talk = await talk_to(server, HELLO)
        reply = await talk.say(mail)
        if refusal is None:
            await talk.say("RCPT TO:<b@x.test>")
            await talk.say("DATA")
            await talk.send(b"x" * 99 + b"\r\n.\r\n")
            reply, refusal = (
                await talk.reply(),
                b"552 5.3.4 the limit is 100 octets\r\n",
            )
    assert reply == refusal
    assert (server.messages, server.violations) == ([], [])


@everywhere
async def test_what_is_just_small_enough_is_taken() -> None:
    async with SMTPServer(extensions=["SIZE 100"]) as server:
        talk = await talk_to(server, HELLO, "MAIL FROM:<a@x.test> SIZE=100")
        await talk.say("RCPT TO:<b@x.test>")
        await talk.say("DATA")
        await talk.send(b"x" * 98 + b"\r\n.\r\n")
        assert (await talk.reply())[:3] == b"250"
    assert server.violations == []


@everywhere
@pytest.mark.parametrize("extension", ["SIZE", "SIZE 0", "8BITMIME"])
async def test_size_without_a_number_sets_no_limit(extension: str) -> None:
    async with SMTPServer(extensions=[extension]) as server:
        talk = await talk_to(server, *ENVELOPE, "DATA")
        await talk.send(b"12345678\r\n" * 10_000 + b".\r\n")
        assert (await talk.reply())[:3] == b"250"
    assert len(server.messages[0].content) == 100_000


@everywhere
@pytest.mark.parametrize("size", [20, 21, 39, 200_000])
async def test_the_servers_own_limit_bounds_what_it_keeps(size: int) -> None:
    async with SMTPServer(extensions=["CHUNKING"], max_message_size=20) as server:
        talk = await talk_to(server, *ENVELOPE, "DATA")
        await talk.send(b"x" * (size - 2) + b"\r\n.\r\n")
        assert (await talk.reply())[:3] == (b"250" if size == 20 else b"552")
        await talk.say("RSET")
        await talk.say("MAIL FROM:<a@x.test>")
        await talk.say("RCPT TO:<b@x.test>")
        await talk.send(b"BDAT %d LAST\r\n%b\r\n" % (size, b"y" * (size - 2)))
        assert (await talk.reply())[:3] == (b"250" if size == 20 else b"552")
        assert (await talk.say("NOOP"))[:3] == b"250"
    assert len(server.messages) == (2 if size == 20 else 0)
    assert server.violations == []


@everywhere
async def test_recipients_beyond_the_limit_are_refused_for_now() -> None:
    async with SMTPServer(max_recipients=2) as server:
        talk = await talk_to(server, *ENVELOPE)
        assert (await talk.say("RCPT TO:<d@x.test>")).startswith(b"452 4.5.3 ")
    assert server.violations == []


@everywhere
async def test_a_refused_command_in_a_group_makes_no_breach_of_those_behind() -> None:
    async with SMTPServer(extensions=["PIPELINING", "SIZE 10", "CHUNKING"]) as server:
        talk = await talk_to(server, HELLO)
        too_large = b"MAIL FROM:<a@x.test> SIZE=11\r\nRCPT TO:<b@x.test>\r\n"
        codes = [r[:3] for r in await talk.group(too_large + b"DATA\r\n", 3)]
        assert codes == [b"552", b"503", b"503"]
        codes = [r[:3] for r in await talk.group(too_large, 2)]
        await talk.send(b"BDAT 2 LAST\r\n\r\n")
        assert [*codes, (await talk.reply())[:3]] == [b"552", b"503", b"503"]
        assert (await talk.say("RSET"))[:3] == b"250"
    assert server.violations == []


@everywhere
async def test_replies_to_a_group_come_in_one_write() -> None:
    async with SMTPServer() as server:
        talk = await talk_to(server, HELLO)
        await talk.send(b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n")
        await anyio.wait_all_tasks_blocked()
        flight = await talk.stream.receive()
    assert flight.count(b"\r\n") == 3


@everywhere
async def test_replies_can_come_in_fragments() -> None:
    async with SMTPServer(fragment=3) as server:
        stream = await server.connect()
        pieces = [await stream.receive() for _ in range(4)]
    assert b"".join(pieces) == b"220 mail.exa"
    assert {len(piece) for piece in pieces} == {3}


@everywhere
async def test_an_idle_client_is_told_so_and_dropped() -> None:
    async with SMTPServer(idle_timeout=0.05) as server:
        talk = await talk_to(server, HELLO)
        assert (await talk.reply()).startswith(b"421 ")
        assert await talk.rest() == b""


@everywhere
@pytest.mark.parametrize("last", [b"", b"NOO", b"DATA\r\n", b"DATA\r\nhalf a line"])
async def test_a_client_may_leave_at_any_time(last: bytes) -> None:
    async with SMTPServer() as server:
        talk = await talk_to(server, *ENVELOPE)
        await talk.send(last)
        await talk.stream.aclose()
    assert server.messages == []
    assert [
        found for found in server.violations if "last of its group" not in found
    ] == []


@everywhere
async def test_lmtp_answers_once_for_each_recipient() -> None:
    async with SMTPServer(lmtp=True) as server:
        talk = Talk(await server.connect())
        assert await talk.reply() == b"220 mail.example.test LMTP ready\r\n"
        await talk.say("LHLO client.example.test")
        for line in ENVELOPE[1:]:
            await talk.say(line)
        await talk.say("DATA")
        replies = await talk.group(b"hi\r\n.\r\n", 2)
        assert replies == [b"250 2.0.0 Ok: queued as 00000001\r\n"] * 2
        for line in ENVELOPE[1:]:
            await talk.say(line)
        replies = await talk.group(b"BDAT 4 LAST\r\nho\r\n", 2)
        assert replies == [b"250 2.0.0 Ok: queued as 00000002\r\n"] * 2
        assert (await talk.say("MAIL FROM:<d@x.test>"))[:3] == b"250"
        assert (await talk.say("QUIT"))[:3] == b"221"
    first, second = server.messages
    assert [path for path, _ in first.recipients] == ["b@x.test", "c@x.test"]
    assert (first.content, second.content) == (b"hi\r\n", b"ho\r\n")
    assert server.violations == []


@everywhere
async def test_lmtp_refuses_data_when_nobody_was_accepted() -> None:
    async with SMTPServer(lmtp=True, max_recipients=0) as server:
        talk = await talk_to(server, "LHLO client.example.test", "MAIL FROM:<a@x.test>")
        replies = await talk.group(b"RCPT TO:<b@x.test>\r\nDATA\r\n", 2)
        assert [reply[:3] for reply in replies] == [b"452", b"503"]
    assert server.violations == []


@everywhere
async def test_lmtp_answers_for_each_recipient_when_the_last_chunk_is_too_large() -> (
    None
):
    async with SMTPServer(lmtp=True, max_message_size=3) as server:
        talk = await talk_to(server, "LHLO client.example.test", *ENVELOPE[1:])
        replies = await talk.group(b"BDAT 4 LAST\r\nho\r\n", 2)
        assert [reply[:9] for reply in replies] == [b"552 5.3.4"] * 2
        assert (await talk.say("NOOP"))[:3] == b"250"
    assert (server.messages, server.violations) == ([], [])
