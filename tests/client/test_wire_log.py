"""The wire log: what it tells of a conversation, when, and what never (row U12)."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator

import pytest

from esmtp_async import (
    AuthenticationFailed,
    CommandSent,
    CramMD5,
    Event,
    Login,
    Mechanism,
    OAuthBearer,
    Plain,
    ScramSHA256,
    SMTPClient,
    SMTPError,
)
from esmtp_async.testing import SMTPServer
from tests.backends import everywhere
from tests.client.certificates import client_context, server_context
from tests.client.checks import ALICE, BOB, MESSAGE, failure, send
from tests.raw import NAME, offering, script, serving

WIRE = "esmtp_async.wire"
LINE = re.compile(r"#(\d+) (\S+) ([A-Z]+|-) (C:|S:|\*\*) (.*)")


@pytest.fixture
def wire(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Have the wire log on."""
    with caplog.at_level(logging.DEBUG, WIRE):
        yield caplog


def lines(log: pytest.LogCaptureFixture) -> list[str]:
    """Give the lines of the wire log."""
    records = [record for record in log.records if record.name == WIRE]
    assert {record.levelno for record in records} <= {logging.DEBUG}
    return [record.getMessage() for record in records]


@everywhere
async def test_a_line_for_each_command_and_reply(
    wire: pytest.LogCaptureFixture,
) -> None:
    talk = script(EHLO=[offering("STARTTLS"), offering("PIPELINING", "SIZE 9999")])
    async with serving(talk, tls=server_context()) as server:
        async with server.client(
            security="starttls", ssl_context=client_context()
        ) as client:
            await send(client)
    told = lines(wire)
    (number,) = {line.partition(" ")[0] for line in told}
    before = f"{number} 127.0.0.1:{server.port} "
    assert all(line.startswith(before) for line in told)
    (version,) = {line.rpartition(" ")[2] for line in told if "handshake" in line}
    shown = [line.removeprefix(before) for line in told]
    message = next(line for line in shown if line.startswith("- "))
    assert re.fullmatch(r"- \*\* message \d+", message)
    assert shown == [
        f"CONNECTED ** connected to 127.0.0.1 port {server.port}",
        "GREETED S: 220 mail.example.test",
        f"GREETED C: EHLO {NAME}",
        "READY S: 250 mail.example.test STARTTLS",
        "READY C: STARTTLS",
        "TLS S: 220 go",
        f"GREETED ** TLS handshake: {version}",
        f"GREETED C: EHLO {NAME}",
        "READY S: 250 mail.example.test PIPELINING SIZE 9999",
        message,
        f"READY C: MAIL FROM:<{ALICE}> SIZE={len(MESSAGE)}",
        f"READY C: RCPT TO:<{BOB}>",
        "READY C: DATA",
        "MAIL S: 250 ok",
        "RCPT S: 250 ok",
        "DATA S: 354 go",
        f"DATA C: <mail data, {len(MESSAGE) + 3} octets>",
        "READY S: 250 ok",
        "READY C: QUIT",
        "CLOSED S: 221 bye",
        "CLOSED ** closed",
    ]


@everywhere
async def test_it_is_off_unless_it_is_turned_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(script()) as server, server.client() as client:
        await send(client)
    assert caplog.records == []


@everywhere
async def test_it_can_be_turned_on_and_off_for_the_next_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[Event] = []
    async with serving(script()) as server:
        async with (
            server.client() as client,
            server.client(on_event=events.append) as listening,
        ):
            for each in (client, listening):
                await send(each)
                assert lines(caplog) == []
                with caplog.at_level(logging.DEBUG, WIRE):
                    await send(each)
                    first = len(lines(caplog))
                    await send(each)
                told = lines(caplog)
                assert [line.split(" ")[3] for line in told].count("C:") == 8
                assert {LINE.sub(r"\3", line) for line in told[first:]} > {"-"}
                await send(each)
                assert lines(caplog) == told
                caplog.clear()
    # Who listens is told all the time.
    told = [e.command for e in events if isinstance(e, CommandSent)]
    assert sum(line.startswith("MAIL") for line in told) == 4


@everywhere
async def test_an_application_may_have_everything_but_this(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.INFO, WIRE):
        async with serving(script()) as server, server.client() as client:
            await send(client)
    assert lines(caplog) == []


@everywhere
async def test_what_a_server_says_cannot_forge_a_line(
    wire: pytest.LogCaptureFixture,
) -> None:
    evil = b"250-one\r\n250 a\x1b[2J\x07\xc2\x85\xe2\x80\xa8#9 x READY S: 250 \xff\r\n"
    async with serving(script(MAIL=evil)) as server, server.client() as client:
        await send(client)
    (told,) = [line for line in lines(wire) if "one" in line]
    assert told.endswith(
        r"MAIL S: 250 one a\x1b[2J\x07\x85\u2028#9 x READY S: 250 \xff"
    )
    assert all(line.isprintable() for line in lines(wire))
    assert all(LINE.fullmatch(line) for line in lines(wire))


SECRET = "hunter2-secret"
TOKEN = "ya29.token-of-ours"


@everywhere
@pytest.mark.parametrize("kind", [Plain, Login, CramMD5, ScramSHA256])
@pytest.mark.parametrize("password", [SECRET, "wrong-" + SECRET])
async def test_U12_no_line_of_sasl(
    wire: pytest.LogCaptureFixture,
    kind: Callable[[str, str], Mechanism],
    password: str,
) -> None:
    auth = kind("ursula", password)
    (mechanism,) = [name for name in auth.names if not name.endswith("-PLUS")]
    server = SMTPServer(starttls=True, users={"ursula": SECRET}, mechanisms=[mechanism])
    async with server.listen():
        async with server.client(auth=auth) as client:
            if password == SECRET:
                await send(client)
            else:
                await failure(client, AuthenticationFailed)
    told = lines(wire)
    # Between AUTH and the reply that ends it there are lengths, on both sides.
    start = next(n for n, line in enumerate(told) if f"C: AUTH {mechanism}" in line)
    end = next(n for n, line in enumerate(told) if n > start and " AUTH " not in line)
    assert re.fullmatch(rf".* C: AUTH {mechanism}( <\d+ octets>)?", told[start])
    for line in told[start + 1 : end]:
        assert re.fullmatch(r".* AUTH (S: 334|C:) <\d+ octets>", line)
    shown = "\n".join(told)
    for octets in (password, f"\0ursula\0{password}"):
        assert octets not in shown
        assert b64encode(octets.encode()).decode().rstrip("=") not in shown


@everywhere
async def test_U12_no_token(wire: pytest.LogCaptureFixture) -> None:
    error = b64encode(b'{"status":"401","scope":"mail"}')
    talk = script(
        EHLO=offering("AUTH OAUTHBEARER"),
        AUTH=b"334 %b\r\n" % error,
        RESPONSE=b"535 no %b\r\n" % TOKEN.encode(),
    )
    async with (
        serving(talk) as server,
        server.client(
            auth=OAuthBearer("ursula", TOKEN), allow_plaintext_auth=True
        ) as client,
    ):
        with pytest.raises(SMTPError):
            await send(client)
        said = b"".join(tap.octets for tap in server.taps)
    assert TOKEN.encode() not in said
    assert b64encode(TOKEN.encode())[4:-4] not in "\n".join(lines(wire)).encode()
    assert TOKEN not in wire.text


@everywhere
async def test_U12_no_octet_of_a_message(wire: pytest.LogCaptureFixture) -> None:
    secret = b"Subject: the-subject\r\n\r\nthe-body\r\n"
    async with SMTPServer(eager=True) as server:
        for pipelining in ("off", "conformant", "eager"):
            async with server.client(pipelining=pipelining) as client:
                await send(client, secret)
                await send(client, iter([secret[:20], secret[20:]]))
                many = [(secret, ALICE, BOB)] * 3
                async with client.send_many(many) as results:
                    [result.unwrap() async for result in results]
    assert len(server.messages) == 15
    told = "\n".join(lines(wire))
    assert "BDAT" in told
    assert "<mail data, " in told
    assert "the-subject" not in told
    assert "the-body" not in told


def test_nothing_is_printed_where_nobody_set_up_logging() -> None:
    program = (
        "import esmtp_async._client, logging\n"
        "logging.getLogger('esmtp_async').warning('a')\n"
        "logging.getLogger('esmtp_async.wire').error('b')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert (run.stdout, run.stderr) == ("", "")


def test_the_path_of_a_socket_cannot_forge_a_line() -> None:
    client = SMTPClient("smtp+unix:///run/a%20b%E2%80%A8c")
    assert client._observe._wire_log._server == r"/run/a b\u2028c"
