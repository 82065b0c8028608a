"""Scripts: reading them, and playing them to clients who keep to them or do not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import anyio
import pytest

from esmtp_async.testing import Action, Script, ScriptedServer, Step
from tests.backends import everywhere, in_virtual_time
from tests.testing.talk import SOON, Talk


def test_every_mark_is_read() -> None:
    script = Script.parse(
        r"""
        # A comment, and a blank line

        S: 220 hi
        C: EHLO ü
        C~: MAIL FROM:<\S+>
        C| a\r\n\x00
        S| 250-\
        --
        S! wait 0.25
        S! tls
        C:
        S! hang""".replace("-\\\n", "-\n"),
        name="dialogue",
    )
    assert script.name == "dialogue"
    assert script.steps == (
        Step(4, Action.SAY, "220 hi", b"220 hi\r\n"),
        Step(5, Action.EXPECT, "EHLO ü", b"EHLO \xc3\xbc\r\n"),
        Step(6, Action.MATCH, r"MAIL FROM:<\S+>"),
        Step(7, Action.EXPECT, r"a\r\n\x00", b"a\r\n\0"),
        Step(8, Action.SAY, "250-", b"250-"),
        Step(9, Action.PAUSE, ""),
        Step(10, Action.WAIT, "0.25"),
        Step(11, Action.TLS, ""),
        Step(12, Action.EXPECT, "", b"\r\n"),
        Step(13, Action.HANG, ""),
    )


def test_space_at_the_end_and_the_line_ends_of_windows() -> None:
    script = Script.parse("S: 250 \r\nC:  x\r\n")
    assert [step.octets for step in script.steps] == [b"250 \r\n", b" x\r\n"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("S: 220\nX: what", r"dialogue:2: 'X: what': 'X:' is no mark"),
        ("S!", r"dialogue:1: 'S!': '' is no directive"),
        ("S! say", r"dialogue:1: 'S! say': 'say' is no directive"),
        ("S! eof now", r"dialogue:1: .*'now' behind eof"),
        ("S! wait", r"dialogue:1: .*'' behind wait"),
        ("S! wait long", r"dialogue:1: .*'long' behind wait"),
        ("-- x", r"dialogue:1: .*'x' behind --"),
        ("C~: (", r"dialogue:1: .*missing \)"),
        ("S| \\x", r"dialogue:1: .*truncated"),
        ("S| €", r"dialogue:1: .*latin-1"),
        ("S! eof\nS: 220", r"dialogue:2: .*nothing can follow eof"),
        ("S! rst\n--", r"dialogue:2: .*nothing can follow rst"),
        ("S! hang\nC: x", r"dialogue:2: .*nothing can follow hang"),
    ],
)
def test_what_cannot_be_read_names_its_line(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Script.parse(text, "dialogue")


DIALOGUE = r"""
    S: 220 hi
    C: EHLO c.test
    S: 250-mail.example.test
    S: 250 PIPELINING
    C~: MAIL FROM:<\S+>( SIZE=\d+)?
    C: RCPT TO:<b@x.test>
    --
    S: 250 ok
    S| 550 n
    S! wait 0.01
    S| o\r\n
    C| a.b
    S: 250 done
"""
FLIGHTS = [
    (b"EHLO c.test\r\n", 1),
    (b"MAIL FROM:<a@x.test> SIZE=7\r\nRCPT TO:<b@x.test>\r\n", 2),
    (b"a.b", 1),
]


@everywhere
@pytest.mark.parametrize("fragment", [None, 1])
@pytest.mark.parametrize("tcp", [False, True])
async def test_a_client_that_keeps_to_the_script(
    fragment: int | None, *, tcp: bool
) -> None:
    server = ScriptedServer(Script.parse(DIALOGUE), fragment=fragment)
    async with server.listen() if tcp else server:
        talk = Talk(
            await anyio.connect_tcp("127.0.0.1", server.port or 0)
            if tcp
            else await server.connect()
        )
        assert await talk.reply() == b"220 hi\r\n"
        said = [await talk.group(octets, replies) for octets, replies in FLIGHTS]
        await talk.stream.aclose()
    assert said == [
        [b"250-mail.example.test\r\n250 PIPELINING\r\n"],
        [b"250 ok\r\n", b"550 no\r\n"],
        [b"250 done\r\n"],
    ]
    assert [octets for side, octets in server.transcript[0] if side == "C"] == [
        *(b"EHLO c.test\r\n", b"MAIL FROM:<a@x.test> SIZE=7\r\n"),
        *(b"RCPT TO:<b@x.test>\r\n", b"a.b"),
    ]


@everywhere
@pytest.mark.parametrize(
    ("script", "octets", "problem"),
    [
        ("C: NOOP", b"NOO\r\n", r"script:1: expect b'NOOP\\r\\n': got b'NOO\\r\\n'"),
        ("C: NOOP", b"NOPE\r\n", r"script:1: expect .*: got b'NOPE\\r\\n'"),
        ("C: NOOP", b"NOOP\n", r"script:1: expect .*: got b'NOOP\\n'"),
        ("\nC: NOOP", b"X", r"script:2: expect .*: got b'X'"),
        (
            "C: NOOP",
            b"NOO",
            r"script:1: .*: got b'NOO', then the end of the connection",
        ),
        ("C~: NO+P", b"NOP!\r\n", r"script:1: match 'NO\+P': got b'NOP!\\r\\n'"),
        ("C~: NO+P", b"NOOP\n", r"script:1: match 'NO\+P': got b'NOOP\\n'"),
        (
            "C~: NO+P",
            b"NOO",
            r"script:1: match .*: got b'NOO', then the end of the connection",
        ),
        ("C~: é", b"\xe9\r\n", r"script:1: match 'é': got b'\\xe9\\r\\n'"),
        ("C: A\n--", b"A\r\nB", r"script:2: pause '': got b'B'"),
        ("C: A\nS: 220\nS! tls", b"A\r\nB", r"script:3: tls '': got b'B'"),
        ("S! tls", b"", r"script:1: tls '': got b'', then the end of the connection"),
        ("C: A", b"A\r\nB\r\n", r"script: the script has ended: got b'B\\r\\n'"),
        ("", b"A", r"script: the script has ended: got b'A'"),
    ],
)
async def test_a_client_that_does_not(script: str, octets: bytes, problem: str) -> None:
    with pytest.raises(AssertionError, match=f"{problem}$"):
        await send_and_leave(script, octets)


async def send_and_leave(script: str, octets: bytes) -> None:
    async with ScriptedServer(script) as server:
        stream = await server.connect()
        await stream.send(octets)
        await stream.aclose()


@everywhere
async def test_a_client_that_says_nothing() -> None:
    problem = "script:1: expect .*: got b'NOO', then nothing for too long"
    with pytest.raises(AssertionError, match=problem):
        await send_and_wait("C: NOOP", b"NOO")


async def send_and_wait(script: str, octets: bytes) -> None:
    async with ScriptedServer(script, timeout=0.05) as server:
        talk = Talk(await server.connect())
        await talk.send(octets)
        assert await talk.rest() == b""


@everywhere
async def test_silence_behind_the_end_of_a_script_is_no_mistake() -> None:
    async with ScriptedServer("S: 220 hi", timeout=0.01) as server:
        talk = Talk(await server.connect())
        assert await talk.reply() == b"220 hi\r\n"
        await anyio.sleep(0.05)


@everywhere
async def test_each_connection_has_its_own_script() -> None:
    said = await greetings("S: 220 one", "S: 220 two")
    assert said == [b"220 one\r\n", b"220 two\r\n"]
    with pytest.raises(AssertionError, match="there is no script for connection 2"):
        await greetings("S: 220 one")


async def greetings(*scripts: str) -> list[bytes]:
    """Connect twice, and give what is said."""
    async with ScriptedServer(*scripts) as server:
        talks = [Talk(await server.connect()) for _ in range(2)]
        for talk in talks:
            await talk.stream.send_eof()
        return [await talk.rest() for talk in talks]


@everywhere
@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    ("directive", "end"),
    [
        ("eof", anyio.EndOfStream),
        ("rst", anyio.BrokenResourceError),
        ("hang", TimeoutError),
    ],
)
async def test_the_ends_of_a_script(
    directive: str, end: type[Exception], *, tcp: bool
) -> None:
    server = ScriptedServer(f"S: 220 hi\nC: A\nS! {directive}")
    async with server.listen() if tcp else server:
        talk = Talk(
            await anyio.connect_tcp("127.0.0.1", server.port or 0)
            if tcp
            else await server.connect()
        )
        assert await talk.reply() == b"220 hi\r\n"
        await talk.send(b"A\r\n")
        with pytest.raises(end), anyio.fail_after(1):
            await talk.stream.receive()
        started = anyio.current_time()
        await talk.stream.aclose()
    assert anyio.current_time() - started < SOON / 2


@everywhere
async def test_what_is_said_is_written_before_anything_else_is_done() -> None:
    script = "S: 1\nC: A\nS: 2\nC~: B?\nS: 3\nC~:\nS: 4\nC| C\nS: 5\nS! rst"
    async with ScriptedServer(script) as server:
        stream = await server.connect()
        await stream.send(b"A\r\nB\r\n\r\nC")
        await server.wait_closed()
    assert server.transcript == [
        [
            *(("S", b"1\r\n"), ("C", b"A\r\n")),
            *(("S", b"2\r\n"), ("C", b"B\r\n")),
            *(("S", b"3\r\n"), ("C", b"\r\n")),
            *(("S", b"4\r\n"), ("C", b"C")),
            ("S", b"5\r\n"),
        ]
    ]


@in_virtual_time
async def test_a_wait_takes_time_and_a_hang_comes_behind_what_was_said() -> None:
    async with ScriptedServer("S: 220 a\nS! wait 0.3\nS: 220 b\nS! hang") as server:
        talk = Talk(await server.connect())
        started = anyio.current_time()
        assert await talk.reply() == b"220 a\r\n"
        assert anyio.current_time() == started
        assert await talk.reply() == b"220 b\r\n"
        assert anyio.current_time() - started == pytest.approx(0.3)


@everywhere
async def test_tls_in_the_middle() -> None:
    script = """
        S: 220 hi
        C: STARTTLS
        S: 220 go
        S! tls
        C: EHLO c.test
        S: 250 ok
    """
    async with ScriptedServer(script) as server:
        talk = Talk(await server.connect())
        await talk.reply()
        assert await talk.say("STARTTLS") == b"220 go\r\n"
        await talk.start_tls(server)
        assert await talk.say("EHLO c.test") == b"250 ok\r\n"
        await talk.stream.aclose()


@everywhere
@pytest.mark.parametrize("tcp", [False, True])
async def test_our_own_client_on_a_script(*, tcp: bool) -> None:
    content = r"Subject: hi\r\n\r\n..\r\n.\r\n"
    server = ScriptedServer(
        rf"""
        S: 220 mail.example.test ESMTP
        C: EHLO other.example.test
        S: 250 mail.example.test
        C: MAIL FROM:<a@x.test>
        S: 250 ok
        C: RCPT TO:<b@x.test>
        S: 250 ok
        C: DATA
        S: 354 go
        C| {content}
        S: 250 taken
        C: QUIT
        S: 221 bye
        S! eof
        """
    )
    mail: dict[str, Any] = {"sender": "a@x.test", "recipients": ["b@x.test"]}
    async with (
        server.listen() if tcp else server,
        server.client(client_hostname="other.example.test") as client,
    ):
        receipt = await client.send(b"Subject: hi\r\n\r\n.\r\n", **mail)
        assert receipt.reply.text == "taken"
    assert re.fullmatch(r"(SC)*S", "".join(side for side, _ in server.transcript[0]))


def test_a_script_is_written_as_it_was_read(tmp_path: Path) -> None:
    text = "\n".join(
        [
            *("S: 220 hi", "C: EHLO ü", r"C~: MAIL FROM:<\S+>", r"C| a\r\n\x00"),
            *("S| 250-", "--", "S! wait 0.25", "S! tls", "C:", "S: 250 "),
            *("C! data", "C! chunk", "S! hang", ""),
        ]
    )
    script = Script.parse(text)
    assert script.text == text
    script.save(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == text.encode()
    loaded = Script.load(tmp_path / "a.txt")
    assert (loaded.name, loaded.steps) == ("a.txt", script.steps)
    (tmp_path / "a.txt").write_text("S! sing\n")
    with pytest.raises(
        ValueError, match=r"a\.txt:1: 'S! sing': 'sing' is no directive"
    ):
        Script.load(tmp_path / "a.txt")


def test_a_step_that_no_line_makes_is_not_written() -> None:
    script = Script("made", (Step(1, Action.SAY, "250 ok", b"251 ok\r\n"),))
    with pytest.raises(ValueError, match="does not make"):
        _ = script.text


@everywhere
async def test_data_and_chunks_are_taken_whatever_they_are() -> None:
    script = r"""
        C: DATA
        S: 354 go
        C! data
        S: 250 ok
        C~: BDAT \d+
        C! chunk
        S: 250 chunk
        C: BDAT 0 LAST
        C! chunk
        S: 250 end
        C: QUIT
    """
    async with ScriptedServer(script) as server:
        talk = Talk(await server.connect())
        assert await talk.say("DATA") == b"354 go\r\n"
        await talk.send(b"..\r\nx\r\n")
        await talk.send(b".\r\n")
        assert await talk.reply() == b"250 ok\r\n"
        await talk.send(b"BDAT 7\r\nQU")
        await talk.send(b"IT\r\nx")
        assert await talk.reply() == b"250 chunk\r\n"
        assert await talk.say("BDAT 0 LAST") == b"250 end\r\n"
        await talk.send(b"QUIT\r\n")
        await talk.stream.aclose()
    heard = [octets for side, octets in server.transcript[0] if side == "C"]
    assert heard[1] == b"..\r\nx\r\n.\r\n"
    assert heard[3] == b"QUIT\r\nx"


@everywhere
async def test_data_that_do_not_end() -> None:
    with pytest.raises(AssertionError, match=r"script:1: data ''.* the end"):
        await play_octets("C! data", b"x\r\n")


@everywhere
async def test_a_chunk_behind_no_bdat() -> None:
    with pytest.raises(AssertionError, match=r"script:2: chunk ''.* not behind BDAT"):
        await play_octets("C: NOOP\nC! chunk", b"NOOP\r\n")


async def play_octets(script: str, octets: bytes) -> None:
    """Say something, and leave."""
    async with ScriptedServer(script) as server:
        talk = Talk(await server.connect())
        await talk.send(octets)
        await talk.stream.aclose()


@everywhere
@pytest.mark.parametrize("implicit", [True, False])
async def test_its_client_protects_itself_as_the_script_does(*, implicit: bool) -> None:
    lines = [] if implicit else ["C~: EHLO .*", "S: 250-x", "S: 250 STARTTLS"]
    lines += [] if implicit else ["C: STARTTLS", "S: 220 go", "S! tls"]
    script = "\n".join(
        [
            *(["S! tls"] if implicit else []),
            *("S: 220 hi", *lines),
            *("C~: EHLO .*", "S: 250 x", "C: NOOP", "S: 250 ok", "C: QUIT"),
            "S: 221 bye",
        ]
    )
    async with ScriptedServer(script) as server, server.client() as client:
        await client.noop()
