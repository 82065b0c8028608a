"""Recordings: what was said is written down, and a client plays along with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from esmtp_async import (
    Anonymous,
    ClientOptions,
    CommandSent,
    ConnectionClosed,
    ConnectionLost,
    ConnectionOpened,
    RecipientsRefused,
    Reply,
    ReplyReceived,
    SMTPClient,
    SMTPError,
)
from esmtp_async.protocol import State
from esmtp_async.testing import (
    Recorder,
    Said,
    Script,
    ScriptedServer,
    ServerOptions,
    SMTPServer,
)
from esmtp_async.testing._recording import script_of
from tests.backends import everywhere

ALICE, BOB, CAROL = "alice@example.com", "bob@example.com", "carol@example.com"
SECRET = "open sesame"
LETTER = b"Subject: hi\r\n\r\n.\r\nSomething private.\r\n"
OTHER = b"Subject: other\r\n\r\n" + b"Something else.\r\n" * 99

#: Ways to talk: what the server is, and what the client is told besides.
WAYS: dict[str, tuple[ServerOptions, ClientOptions]] = {
    "plain": ({}, {}),
    "lockstep": ({}, {"pipelining": "off"}),
    "starttls": ({"starttls": True, "users": {"alice": SECRET}}, {}),
    "tls": ({"implicit_tls": True}, {}),
    "login": (
        {
            "users": {"alice": SECRET},
            "mechanisms": ["LOGIN"],
            "auth_needs_tls": False,
        },
        {},
    ),
    "bdat": ({"eager": True}, {"pipelining": "eager"}),
    "lmtp": ({"lmtp": True}, {}),
}


async def converse(client: SMTPClient, letter: bytes) -> list[str]:
    """Send to two and, where one is refused, to one more; tell what was said to it."""
    told = []
    async with client:
        for recipients in ([BOB, CAROL], [BOB]):
            try:
                receipt = await client.send(letter, sender=ALICE, recipients=recipients)
            except SMTPError as error:
                told.append(str(error.reply))
            else:
                told += [str(result.reply) for result in receipt.recipients]
    return told


@everywhere
@pytest.mark.parametrize("way", WAYS)
async def test_what_a_client_heard_is_played_again(way: str) -> None:
    options, more = WAYS[way]
    recorder = Recorder()
    heard = ClientOptions(client_hostname="here.test", on_event=recorder)
    heard.update(more)
    async with SMTPServer(**options) as server:
        server.refuse(CAROL, "550 5.1.1 gone")
        server.refuse(BOB, "452 4.2.2 full", at="message", skip=1)
        told = await converse(server.client(**heard), LETTER)
    assert len(told) == 3
    assert server.violations == []
    for script in (recorder.scripts[0], server.scripts[0]):
        assert SECRET not in script.text
        assert "private" not in script.text
        played = ScriptedServer(Script.parse(script.text))
        again = ClientOptions(client_hostname="there.test")
        again.update(more)
        if options.get("users"):
            again |= {"username": "other", "password": "word"}
            again["allow_plaintext_auth"] = True
        async with played:
            client = played.client(**again)
            assert await converse(client, OTHER) == told


@everywhere
async def test_both_ends_write_the_same_but_for_what_is_known_of_handshakes() -> None:
    recorder = Recorder()
    async with SMTPServer(starttls=True, users={"alice": SECRET}) as server:
        await converse(server.client(on_event=recorder), LETTER)
    assert recorder.scripts[0].text == server.scripts[0].text
    lines = recorder.scripts[0].text.splitlines()
    assert r"C~: EHLO \S+" in lines
    assert r"C~: AUTH PLAIN \S+" in lines
    assert r"C~: MAIL FROM:<alice@example\.com> SIZE=\d+" in lines
    assert "C: RCPT TO:<bob@example.com>" in lines
    after_tls = lines[lines.index("S! tls") :]
    assert lines[lines.index("S! tls") - 2] == "C: STARTTLS"
    assert r"C~: EHLO \S+" in after_tls
    assert after_tls[-2:] == ["C: QUIT", "S: 221 2.0.0 bye"]
    # Each reply stands behind what it answers.
    data = lines.index("C: DATA")
    assert lines[data + 1].startswith("S: 354 ")
    assert lines[data + 2] == "C! data"
    assert lines[data + 3].startswith("S: 250 2.0.0 Ok: queued as ")


@everywhere
async def test_with_lmtp_each_recipient_has_its_reply() -> None:
    recorder = Recorder()
    crowds = (["x@example.com", BOB, CAROL], [BOB, CAROL], [ALICE])
    async with SMTPServer(lmtp=True) as server:
        server.refuse("x@example.com")
        server.refuse(CAROL, at="message", times=1)
        async with server.client(on_event=recorder) as client:
            # The next envelope is under way before the replies to a message are.
            letters = [(LETTER, ALICE, crowd) for crowd in crowds]
            async with client.send_many(letters, connections=1) as results:
                outcomes = [result.receipt is not None async for result in results]
    assert outcomes == [True] * 3
    for script in (recorder.scripts[0], server.scripts[0]):
        groups = re.findall(r"^C! data\n((?:S: .*\n)+)", script.text, re.MULTILINE)
        codes = [[line[3:6] for line in group.splitlines()] for group in groups]
        assert codes == [["250", "554"], ["250", "250"], ["250"]]
    async with ScriptedServer(server.scripts[0]) as played, played.client() as client:
        for crowd in crowds:
            await client.send(OTHER, sender=ALICE, recipients=crowd)


@everywhere
async def test_a_client_of_another_pace_can_play_along() -> None:
    recorder = Recorder()
    async with SMTPServer() as server:
        told = await converse(server.client(on_event=recorder), LETTER)
    async with ScriptedServer(recorder.scripts[0]) as played:
        assert await converse(played.client(pipelining="off"), OTHER) == told


@everywhere
async def test_a_stream_in_pieces_is_one_message() -> None:
    recorder = Recorder()
    async with SMTPServer(extensions=["PIPELINING"]) as server:
        async with server.client(on_event=recorder) as client:
            pieces = [b"Subject: x\r\n\r\n", *[b"x" * 60 + b"\r\n"] * 3000]
            await client.send(pieces, sender=ALICE, recipients=[BOB])
    for script in (recorder.scripts[0], server.scripts[0]):
        assert script.text.count("C! data\n") == 1


@everywhere
async def test_chunks_are_told_by_their_form() -> None:
    recorder = Recorder()
    pieces = [b"Subject: x\r\n\r\n", *[b"x" * 60 + b"\r\n"] * 3000]
    async with SMTPServer() as server:
        async with server.client(on_event=recorder) as client:
            await client.send(pieces, sender=ALICE, recipients=[BOB])
    assert recorder.scripts[0].text == server.scripts[0].text
    assert recorder.scripts[0].text.count("C~: BDAT \\d+\nC! chunk\n") > 1
    assert recorder.scripts[0].text.count("C~: BDAT \\d+ LAST\nC! chunk\n") == 1
    async with ScriptedServer(recorder.scripts[0]) as played, played.client() as client:
        await client.send(pieces, sender=ALICE, recipients=[BOB])


@everywhere
async def test_a_connection_that_was_lost_ends_in_eof() -> None:
    recorder = Recorder()
    async with SMTPServer() as server:
        server.drop(at="rcpt")
        async with server.client(on_event=recorder, pipelining="off") as client:
            with pytest.raises(ConnectionLost):
                await client.send(LETTER, sender=ALICE, recipients=[BOB])
    script = recorder.scripts[0]
    assert script.text.endswith("C: RCPT TO:<bob@example.com>\nS! eof\n")
    async with ScriptedServer(script) as played:
        async with played.client(pipelining="off") as client:
            with pytest.raises(ConnectionLost):
                await client.send(LETTER, sender=ALICE, recipients=[BOB])


def test_a_connection_that_was_cut_when_all_was_said_just_ends() -> None:
    recorder = Recorder()
    recorder(ConnectionOpened(1, "mail.example.test:25", None))
    greeting = Reply(220, (b"hi",))
    recorder(ReplyReceived(1, None, greeting, State.GREETED))
    recorder(ConnectionClosed(1, aborted=True))
    assert recorder.scripts[0].text == "S: 220 hi\n"


@everywhere
async def test_each_connection_has_its_script() -> None:
    recorder = Recorder()
    async with SMTPServer() as server:
        server.refuse(CAROL)
        options = ClientOptions(on_event=recorder, max_messages_per_connection=1)
        async with server.client(**options) as client:
            await client.send(LETTER, sender=ALICE, recipients=[BOB])
            with pytest.raises(RecipientsRefused):
                await client.send(LETTER, sender=ALICE, recipients=[CAROL])
    names = [script.name for script in recorder.scripts]
    assert names == ["connection 1", "connection 2"]
    assert [script.name for script in server.scripts] == names
    assert "bob" in recorder.scripts[0].text
    assert "bob" not in recorder.scripts[1].text


@everywhere
async def test_a_saved_script_is_loaded_as_it_was(tmp_path: Path) -> None:
    recorder = Recorder()
    async with SMTPServer(users={"a": "b"}, mechanisms=["ANONYMOUS"]) as server:
        async with server.client(
            auth=Anonymous("ü"), allow_plaintext_auth=True, on_event=recorder
        ) as client:
            with pytest.raises(SMTPError):
                await client.send(LETTER, sender=ALICE, recipients=[BOB])
    recorder.scripts[0].save(tmp_path / "anonymous.txt")
    loaded = Script.load(str(tmp_path / "anonymous.txt"))
    assert loaded.name == "anonymous.txt"
    assert loaded.text == recorder.scripts[0].text


def test_odd_octets_are_written_with_escapes() -> None:
    script = script_of(
        [
            Said("S", b"220-caf\xe9 \\ \x1b\r\n220 \xc3\xbc\r\n421 late\r\n"),
            Said("C", b"NOOP a.b\r\n"),
            Said("C", b"*\r\n"),
            Said("C", b"<12 octets>\r\n"),
            Said("S", b"250 ok\r\n"),
        ],
        "odd",
        tls=True,
    )
    assert script.text.split("\n") == [
        "S! tls",
        r"S| 220-caf\xe9 \\ \x1b\r\n",
        "S: 220 ü",
        "S: 421 late",
        "C: NOOP a.b",
        "S: 250 ok",
        "C: *",
        r"C~: \S*",
        "",
    ]
    assert script.steps[1].octets == b"220-caf\xe9 \\ \x1b\r\n"


def test_nothing_that_was_told_of_a_url_is_a_secret() -> None:
    recorder = Recorder()
    recorder(ConnectionOpened(7, "mail.example.test:25", None))
    recorder(CommandSent(7, "BURL <URL> LAST"))
    recorder(ConnectionClosed(7, aborted=True))
    assert recorder.scripts[0].text == "C~: BURL \\S+ LAST\nS! eof\n"
