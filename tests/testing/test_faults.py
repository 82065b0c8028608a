"""Faults in one line: what a client of the server meets."""

from __future__ import annotations

import math

import anyio
import pytest

from esmtp_async import (
    AuthenticationFailed,
    ConnectionLost,
    ContentRefused,
    GreetingRefused,
    HelloRefused,
    OutcomeUnknown,
    RecipientsRefused,
    SenderRefused,
    SMTPError,
    StageTimeout,
)
from esmtp_async.testing import Rule, SMTPServer
from tests.backends import everywhere, in_virtual_time
from tests.testing.talk import talk_to

MESSAGE = b"Subject: hi\r\n\r\nhi\r\n"
ALICE, BOB, CAROL = "alice@example.com", "bob@example.com", "carol@example.org"
MAIL, DATA = "MAIL FROM:<alice@example.com>", "DATA"
TO_BOB, TO_CAROL = "RCPT TO:<bob@example.com>", "RCPT TO:<carol@example.org>"


async def send(server: SMTPServer, *recipients: str, sender: str = ALICE) -> None:
    async with server.client(client_hostname="c.test") as client:
        await client.send(MESSAGE, sender=sender, recipients=recipients or [BOB])


@everywhere
async def test_a_recipient_is_refused_and_no_other_one() -> None:
    async with SMTPServer() as server:
        server.refuse("bob@example.com")
        talk = await talk_to(server, "EHLO c.test", MAIL, TO_CAROL)
        assert await talk.say(TO_BOB) == b"550 5.1.1 no such user here\r\n"
        assert (await talk.say("RCPT TO:<bob@example.comx>"))[:3] == b"250"
        assert (await talk.say("RCPT TO:<xbob@example.com>"))[:3] == b"250"
        assert (await talk.say("RCPT TO:<bob@exampleXcom>"))[:3] == b"250"
        assert (await talk.say("RCPT TO:<BOB@example.com> NOTIFY=NEVER"))[:3] == b"550"


@everywhere
@pytest.mark.parametrize("path", ["bob@bücher.example", "@bücher.example"])
async def test_a_domain_may_be_said_in_two_ways(path: str) -> None:
    async with SMTPServer() as server:
        server.refuse(path)
        server.refuse(at="message", recipient=path, code=552)
        server.refuse("Postmaster")
        talk = await talk_to(server, "EHLO c.test", f"{MAIL} SMTPUTF8")
        assert (await talk.say("RCPT TO:<bob@xn--bcher-kva.example>"))[:3] == b"550"
        assert (await talk.say("RCPT TO:<bob@bücher.example>"))[:3] == b"550"
        assert (await talk.say("RCPT TO:<postmaster>"))[:3] == b"550"
        assert (await talk.say(TO_BOB))[:3] == b"250"


@everywhere
async def test_a_reply_of_ones_own_and_how_often() -> None:
    async with SMTPServer() as server:
        server.refuse(BOB, "450-4.2.0 not\n450 4.2.0 now", times=1, skip=1)
        talk = await talk_to(server, "EHLO c.test", MAIL)
        said = [await talk.say(TO_BOB) for _ in range(3)]
    assert [reply[:3] for reply in said] == [b"250", b"450", b"250"]
    assert said[1] == b"450-4.2.0 not\r\n450 4.2.0 now\r\n"


@everywhere
async def test_a_domain_is_refused() -> None:
    async with SMTPServer() as server:
        server.refuse("@example.org", code=450)
        with pytest.raises(RecipientsRefused) as refused:
            await send(server, CAROL, "dave@example.org")
        assert (
            str(refused.value.reply)
            == "450 4.2.0 mailbox not available, try again later"
        )
        await send(server, BOB, "carol@sub.example.org")


@everywhere
async def test_a_sender_is_refused_also_the_null_one() -> None:
    async with SMTPServer() as server:
        server.refuse(sender=ALICE)
        with pytest.raises(SenderRefused, match=r"554 5\.7\.1 refused"):
            await send(server)
        await send(server, sender="")
        server.refuse(sender="", code=550)
        with pytest.raises(SenderRefused):
            await send(server, sender="")
    assert len(server.messages) == 1


@everywhere
@pytest.mark.parametrize(
    ("at", "error", "reply"),
    [
        ("greeting", GreetingRefused, "554 refused"),
        ("hello", HelloRefused, "554 refused"),
        ("AUTH", AuthenticationFailed, "535 5.7.8 credentials invalid"),
        ("MAIL", SenderRefused, "554 5.7.1 refused"),
        ("Rcpt", RecipientsRefused, "550 5.1.1 no such user here"),
        ("DATA", ContentRefused, "554 5.7.1 refused"),
        ("message", ContentRefused, "554 5.7.1 refused"),
    ],
)
async def test_every_place_refuses(at: str, error: type[SMTPError], reply: str) -> None:
    server = SMTPServer(users={"alice": "secret"}, auth_needs_tls=False)
    async with server:
        server.refuse(at=at)
        with pytest.raises(error) as refused:
            await send(server)
        assert str(refused.value.reply) == reply
    assert server.messages == []


@everywhere
async def test_the_message_is_refused_for_one_recipient_or_sender() -> None:
    async with SMTPServer() as server:
        server.refuse(BOB, "554 5.6.0 no", at="message")
        server.refuse(sender=CAROL, at="message", code=452)
        server.refuse("x@example.com", sender="y@example.com", at="message")
        for sender, recipient, code in (
            (ALICE, BOB, 554),
            (CAROL, ALICE, 452),
            ("y@example.com", "x@example.com", 554),
        ):
            with pytest.raises(ContentRefused) as refused:
                await send(server, recipient, sender=sender)
            assert refused.value.reply is not None
            assert refused.value.reply.code == code
        await send(server, CAROL, sender=BOB)
        await send(server, "x@example.com")
    assert [message.forward_paths for message in server.messages] == [
        (CAROL,),
        ("x@example.com",),
    ]


@everywhere
async def test_it_is_the_same_by_bdat() -> None:
    async with SMTPServer(eager=True) as server:
        server.refuse(at="data", code=451, times=1)
        server.refuse(BOB, at="message", code=452, times=1)
        async with server.client(pipelining="eager") as client:
            codes = []
            for _ in range(2):
                with pytest.raises(ContentRefused) as refused:
                    await client.send(MESSAGE, sender=ALICE, recipients=[BOB])
                assert refused.value.reply is not None
                codes.append(refused.value.reply.code)
            await client.send(MESSAGE, sender=ALICE, recipients=[BOB])
    assert codes == [451, 452]
    assert [message.via for message in server.messages] == ["BDAT"]


@everywhere
async def test_421_closes_the_connection() -> None:
    async with SMTPServer() as server:
        server.refuse(BOB, code=421)
        talk = await talk_to(server, "EHLO c.test", MAIL)
        assert await talk.say(TO_BOB) == b"421 4.3.2 closing the connection\r\n"
        assert await talk.rest() == b""


@everywhere
async def test_a_connection_is_dropped_at_a_place() -> None:
    async with SMTPServer() as server:
        server.drop(at="data", times=1, skip=1)
        await send(server, CAROL)
        await send(server, CAROL)  # once more, by itself, in a safer way
        server.drop(at="rcpt", recipient=BOB)
        await send(server, CAROL)
        with pytest.raises(ConnectionLost):
            await send(server, BOB)
    assert [message.forward_paths for message in server.messages] == [(CAROL,)] * 3
    assert server.connections == 6


@everywhere
@pytest.mark.parametrize("taken", [True, False])
async def test_nobody_knows_what_became_of_a_message_that_is_dropped_on(
    *, taken: bool
) -> None:
    async with SMTPServer() as server:
        server.drop(at="message", taken=taken)
        with pytest.raises(OutcomeUnknown):
            await send(server)
    assert len(server.messages) == int(taken)


@in_virtual_time
async def test_a_delay_is_added_to_what_is_decided() -> None:
    async with SMTPServer() as server:
        server.delay(1.0, at="rcpt")
        server.delay(0.5, recipient=BOB, times=1)
        server.delay(0.25)
        server.refuse(BOB, times=1)
        server.rules.append(Rule("RCPT", delay=2.0))
        talk = await talk_to(server, "EHLO c.test", MAIL)
        took = []
        for line in (TO_BOB, TO_BOB, TO_CAROL, "NOOP"):
            start = anyio.current_time()
            reply = await talk.say(line)
            took.append((reply[:3], anyio.current_time() - start))
    assert [code for code, _ in took] == [b"550", b"250", b"250", b"250"]
    assert [round(seconds, 3) for _, seconds in took] == [1.75, 3.25, 3.25, 0.25]


@in_virtual_time
async def test_a_server_that_never_answers() -> None:
    async with SMTPServer() as server:
        server.delay(math.inf, at="rcpt")
        async with server.client(client_hostname="c.test") as client:
            with pytest.raises(StageTimeout):
                await client.send(
                    MESSAGE, sender=ALICE, recipients=[BOB], timeout=100.0
                )


@everywhere
async def test_reset_forgets_everything() -> None:
    async with SMTPServer() as server:
        await send(server)
        server.refuse(BOB)
        talk = await talk_to(server)
        await talk.say("NONSENSE")
        assert server.violations
        server.reset()
        assert (server.messages, server.violations, server.notes) == ([], [], [])
        assert (server.transcript, server.rules, server.connections) == ([], [], 0)
        await send(server)
        assert [message.connection for message in server.messages] == [1]
        assert len(server.transcript) == 1


@everywhere
async def test_what_goes_on_behind_a_reset_is_seen() -> None:
    async with (
        SMTPServer() as server,
        server.client() as client,
        server.client() as two,
    ):
        await client.send(MESSAGE, sender=ALICE, recipients=[BOB])
        server.reset()
        assert server.transcript == []
        await two.send(MESSAGE, sender=ALICE, recipients=[BOB])
        await client.send(MESSAGE, sender=ALICE, recipients=[BOB])
        assert [message.connection for message in server.messages] == [1, 2]
        assert server.connections == 1
        new, old = server.transcript
        assert new[0].octets.startswith(b"220 ")
        assert old[0].octets.startswith(b"MAIL FROM:")
        assert len(server.scripts) == 1
        talk = await talk_to(server)
        server.reset()
        await talk.say("NONSENSE")
        assert [x.partition(",")[0] for x in server.violations] == ["connection 1"]


@everywhere
async def test_a_rule_that_comes_back_behind_a_reset_counts_anew() -> None:
    once = Rule("RCPT", reply="450 4.2.0 not now", times=1)
    async with SMTPServer() as server, server.client() as client:
        for _ in range(2):
            server.rules.append(once)
            with pytest.raises(RecipientsRefused):
                await client.send(MESSAGE, sender=ALICE, recipients=[BOB])
            await client.send(MESSAGE, sender=ALICE, recipients=[BOB])
            server.reset()


def test_what_cannot_be_is_refused_at_once() -> None:
    server = SMTPServer()
    with pytest.raises(ValueError, match="what is refused"):
        server.refuse()
    with pytest.raises(ValueError, match="at='RCTP' is none of greeting, hello, "):
        server.refuse(at="RCTP")
    for reply in ("250 ok", "550", "no", "550 a\n551 b", "550 a\n550 b", "450 a\r\n"):
        if reply != "550":
            with pytest.raises(ValueError, match="is no reply that refuses"):
                server.refuse(BOB, reply)
    with pytest.raises(ValueError, match="is no reply that refuses"):
        server.refuse(BOB, code=250)
    with pytest.raises(ValueError, match="a recipient is not known at 'mail'"):
        server.refuse(BOB, at="MAIL")
    with pytest.raises(ValueError, match="a sender is not known at 'rcpt'"):
        server.refuse(BOB, sender=ALICE)
    for path in ("bob", "Bob <bob@example.com>", "<bob@example.com>", "@", "", "a@b c"):
        with pytest.raises(ValueError, match=r"is not (one|a) mailbox"):
            server.refuse(path)
    with pytest.raises(ValueError, match="'alice' is not one mailbox"):
        server.drop(at="mail", sender="alice")
    for seconds in (-1.0, math.nan):
        with pytest.raises(ValueError, match="are no delay"):
            server.delay(seconds)
    assert server.rules == []
