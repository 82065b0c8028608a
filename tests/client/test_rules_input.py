"""Rows I1-I9, B1-B4 and B6-B10: what an app hands in, and what goes out of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from itertools import product
from math import nan
from typing import Any, Final

import pytest

from esmtp_async import (
    InvalidInput,
    NotSupported,
    Plain,
    ProtocolViolation,
    Recipient,
    SendOptions,
    SMTPClient,
    Stage,
    Timeouts,
)
from tests.backends import everywhere
from tests.client.checks import (
    ALICE,
    BOB,
    CAROL,
    MESSAGE,
    assert_poisoned,
    failure,
    outcomes,
    send,
)
from tests.raw import HANG, Tap, offering, script, serving

EVERYTHING: Final = offering("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING")
EXTENDED: Final = script(EHLO=EVERYTHING)

CONTROLS: Final = [chr(point) for point in (*range(0x20), 0x7F)]
UNICODE_LINE_ENDS: Final = ["\x85", "\u2028", "\u2029", "\ud800", "\udc0a"]


async def never() -> Tap:
    """Stand in for the server where nothing may be connected to."""
    pytest.fail("a connection was opened")


async def refusal(message: object = MESSAGE, **sending: object) -> str:
    """See that it is refused without a connection; give what the caller is told."""
    arguments: dict[str, Any] = {"sender": ALICE, "recipients": BOB, **sending}
    sent: Any = message
    async with SMTPClient(connect=never) as client:
        with pytest.raises(InvalidInput) as info:
            await client.send(sent, **arguments)
    assert info.value.stage is Stage.LOCAL
    told = str(info.value)
    assert told.isprintable()
    return told


def simple(**fields: str) -> EmailMessage:
    """Give a message with these header fields, From and To among them."""
    message = EmailMessage()
    message["From"] = ALICE
    message["To"] = BOB
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    message.set_content("Hello.\n")
    return message


# I: the envelope


@everywhere
async def test_I1_crlf_in_an_address() -> None:
    evil = "a@ex.test>\r\nRCPT TO:<evil@x.test"
    assert "recipients[1]" in await refusal(recipients=[BOB, evil])
    assert "sender" in await refusal(sender=evil)
    assert "recipients[0]" in await refusal(recipients=evil)


@everywhere
async def test_I2_controls_in_an_address() -> None:
    for control in (*CONTROLS, *UNICODE_LINE_ENDS):
        for bad in (
            f"a{control}b@ex.test",
            f"ab{control}@ex.test",
            f"ab@e{control}x.test",
            f"ab@ex.test{control}",
            f"{control}ab@ex.test",
            f'"a{control}b"@ex.test',
            f'"a\\{control}b"@ex.test',
            f"ab@[{control}1.2.3.4]",
        ):
            assert "recipients[1]" in await refusal(recipients=[BOB, bad])
            assert "sender" in await refusal(sender=bad)


@everywhere
async def test_I2_octets_that_truncate_to_line_ends() -> None:
    sly = "a嘍嘊@ex.test"
    async with serving(EXTENDED, script()) as server:
        async with server.client(max_messages_per_connection=1) as client:
            await send(client, recipients=sly)
            assert (
                b"RCPT TO:<a\xe5\x98\x8d\xe5\x98\x8a@ex.test>" in server.heard[0].lines
            )
            assert server.heard[0].lines[1].endswith(b" SMTPUTF8")
            error = await failure(client, NotSupported, recipients=sly)
            assert error.extension == "SMTPUTF8"
            assert server.heard[1].verbs[:1] == ["EHLO"]
            assert "MAIL" not in server.heard[1].verbs


@everywhere
@pytest.mark.parametrize(
    "address",
    [
        "a@x.test> NOTIFY=NEVER",
        "a@x.test NOTIFY=NEVER",
        "a@x.test>NOTIFY=NEVER",
        "<a@x.test>",
        "a@x.test>",
        "A <a@x.test>",
        "@relay.test:a@x.test",
        "a@b@x.test",
        "a@",
        "@x.test",
        "a",
        "",
        " a@x.test",
        "a@x.test ",
        "a..b@x.test",
        ".a@x.test",
        "a@-x.test",
        "a@x..test",
        "a@x.test.",
        "a@[1.2.3]",
        "a@[IPv6:::g]",
        '"a"b@x.test',
        "a(comment)@x.test",
        "a@x.test,b@x.test",
        "a@x.test;b@x.test",
        "a@x.test, b@x.test",
        "a" * 300 + "@x.test",
    ],
)
async def test_I3_I5_what_is_not_one_mailbox(address: str) -> None:
    assert "recipients[0]" in await refusal(recipients=[address])
    assert "recipients[2]" in await refusal(recipients=[BOB, CAROL, address])
    if address:  # "" is the null reverse-path
        assert "sender" in await refusal(sender=address)


@everywhere
@pytest.mark.parametrize(
    "address",
    [
        '"a> x"@ex.test',
        '"x@evil.test"@ex.test',
        '"a\\"b"@ex.test',
        '""@ex.test',
        "a+b=c@[192.0.2.1]",
        "a@[IPv6:2001:db8::1]",
        "postmaster@ex.test",
    ],
)
async def test_I4_quoted_local_parts_pass_as_they_are(address: str) -> None:
    async with serving(script()) as server, server.client() as client:
        await send(client, sender=address, recipients=address)
        path = f"<{address}>".encode()
        assert server.heard[0].lines[1:3] == [b"MAIL FROM:" + path, b"RCPT TO:" + path]


@pytest.mark.parametrize(
    "name",
    ["", "x y", "x\r\nMAIL FROM:<>", "x\0", "-x", "x..y", "[1.2.3]", "[x", "x" * 256],
)
def test_I6_the_name_in_ehlo(name: str) -> None:
    with pytest.raises(InvalidInput, match="client_hostname") as info:
        SMTPClient(client_hostname=name)
    assert str(info.value).isprintable()


@everywhere
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("client.example.test", b"client.example.test"),
        ("[192.0.2.1]", b"[192.0.2.1]"),
        ("[IPv6:2001:db8::1]", b"[IPv6:2001:db8::1]"),
        ("münchen.test", b"xn--mnchen-3ya.test"),
    ],
)
async def test_I6_the_name_in_ehlo_as_said(given: str, said: bytes) -> None:
    async with serving(script()) as server:
        async with server.client(client_hostname=given) as client:
            await send(client)
        assert server.heard[0].lines[0] == b"EHLO " + said


INJECTIONS: Final = ["1\r\nRCPT TO:<x@y.test>", "1\nx", "\0", "\x85", ""]


@pytest.mark.parametrize("value", INJECTIONS)
def test_I7_parameters(value: str) -> None:
    makers: list[Callable[[], object]] = [
        lambda: SendOptions(envid=value),
        lambda: SendOptions(ret=value),
        lambda: Recipient(BOB, notify=value),
        lambda: Recipient(BOB, notify=["SUCCESS", value]),
    ]
    for make in makers:
        with pytest.raises(InvalidInput) as info:
            make()
        assert str(info.value).isprintable()


@everywhere
async def test_I7_parameters_are_encoded() -> None:
    recipient = Recipient(BOB, orcpt="rfc822;a b=c+d\r\n@x.test", notify="SUCCESS")
    async with serving(EXTENDED) as server, server.client() as client:
        options = SendOptions(envid="a =+b", ret="hdrs")
        await send(client, recipients=recipient, options=options)
        mail, rcpt = server.heard[0].lines[1:3]
        assert mail.endswith(b" RET=HDRS ENVID=a+20+3D+2Bb")
        assert rcpt.endswith(b" NOTIFY=SUCCESS ORCPT=rfc822;a+20b+3Dc+2Bd+0D+0A@x.test")


class _Literal(str):
    """A header value that the standard library takes as it is."""

    __slots__ = ()


@everywhere
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
async def test_I8_header_injection(end: str) -> None:
    message = simple()
    message._headers.append(("Subject", _Literal(f"a{end}Bcc: evil@x.test")))  # type: ignore[attr-defined]
    old = message_from_bytes(b"From: a@x.test\nTo: b@x.test\n\nbody\n")
    old["Subject"] = f"a{end}Bcc: evil@x.test"
    for bad in (message, old):
        arguments: dict[str, Any] = {}
        async with SMTPClient(connect=never) as client:
            with pytest.raises(InvalidInput) as info:
                await client.send(bad, **arguments)
        assert str(info.value).isprintable()


@everywhere
@pytest.mark.parametrize("code", [b"250 ok\r\n", b"200 ok\r\n", b"354-a\r\n250 b\r\n"])
async def test_I9_no_body_without_354(code: bytes) -> None:
    async with serving(script(DATA=(code, HANG)), script()) as server:
        async with server.client() as client:
            error = await failure(client, ProtocolViolation)
            assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
            assert b"Subject" not in server.taps[0].octets
            await assert_poisoned(server, client, "EHLO", "MAIL", "RCPT", "DATA")


@everywhere
@pytest.mark.parametrize("code", [451, 554])
async def test_I9_no_body_behind_a_refusal(code: int) -> None:
    async with serving(script(DATA=b"%d no\r\n" % code)) as server:
        async with server.client() as client:
            with pytest.raises(Exception, match=str(code)):
                await send(client)
            assert b"Subject" not in server.taps[0].octets


# Everything a caller can get wrong


class _Nothing:
    """Cannot be sent."""

    def __repr__(self) -> str:
        return "nothing"


@everywhere
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"message": None}, "message is of type NoneType"),
        ({"message": 5}, "message is of type int"),
        ({"message": _Nothing()}, "message is of type _Nothing"),
        ({"message": "lone \ud800"}, "surrogate"),
        ({"sender": 5}, "sender is of type int"),
        ({"sender": b"a@b.test"}, "sender is of type bytes"),
        ({"recipients": 5}, "recipients is of type int"),
        ({"recipients": b"a@b.test"}, "recipients is of type bytes"),
        ({"recipients": [BOB, 5]}, "recipients[1] is of type int"),
        ({"recipients": [BOB, None]}, "recipients[1] is of type NoneType"),
        ({"recipients": [b"a@b.test"]}, "recipients[0] is of type bytes"),
        ({"recipients": []}, "no recipient"),
        ({"recipients": ()}, "no recipient"),
        ({"recipients": frozenset()}, "no recipient"),
        ({"recipients": ""}, "recipients[0]"),
        ({"sender": None}, "give sender="),
        ({"recipients": None}, "no recipient"),
        ({"message": [b"x"], "sender": None}, "sender must be given"),
        ({"message": [b"x"], "recipients": None}, "recipients must be given"),
        ({"timeout": 0}, "timeout is 0"),
        ({"timeout": -1}, "timeout is -1"),
        ({"timeout": nan}, "timeout is nan"),
        ({"timeout": "5"}, "timeout is '5'"),
        ({"timeout": True}, "timeout is True"),
        ({"options": {"ret": "FULL"}}, "options is of type dict"),
        ({"options": {}}, "options is of type dict"),
        ({"options": SendOptions(x_mailer="x")}, "x_mailer"),
    ],
    ids=str,
)
async def test_wrong_arguments_of_send(arguments: dict[str, object], told: str) -> None:
    assert told in await refusal(**arguments)


@everywhere
async def test_headers_that_name_nobody() -> None:
    for make in (EmailMessage, Message):
        empty = make()
        assert "sender=" in await refusal(empty, sender=None)
        empty["From"] = ALICE
        assert "no recipient" in await refusal(empty, sender=None, recipients=None)
    two = simple()
    del two["From"]
    two["From"] = f"{ALICE}, {BOB}"
    assert "From has 2 addresses" in await refusal(two, sender=None)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"server": None}, "server is None"),
        ({"server": b"host"}, "server is b'host'"),
        ({"server": ""}, "server is ''"),
        ({"server": "a b"}, "server: 'a b'"),
        ({"server": "a..b"}, "server: 'a..b'"),
        ({"server": "-a"}, "server: '-a'"),
        ({"server": "a\r\nb"}, "server: 'a\\r\\nb'"),
        ({"server": "host:"}, "colon without a port"),
        ({"server": "host:x"}, "port 'x'"),
        ({"server": "host:0"}, "port 0"),
        ({"server": "host:65536"}, "port 65536"),
        ({"server": "host:٢٥"}, "port '٢٥'"),
        ({"server": "[::1"}, "server"),
        ({"server": "[::1]x"}, "server"),
        ({"server": "host:25", "port": 26}, "port is given twice"),
        ({"port": 0}, "port 0"),
        ({"port": -1}, "port -1"),
        ({"port": 65536}, "port 65536"),
        ({"port": True}, "port True"),
        ({"port": "25"}, "port '25'"),
        ({"port": 25.0}, "port 25.0"),
        ({"security": "ssl"}, "security is 'ssl'"),
        ({"security": ""}, "security is ''"),
        ({"security": True}, "security is True"),
        ({"ssl_context": True}, "ssl_context is of type bool"),
        ({"server_hostname": 5}, "server_hostname is of type int"),
        ({"server_hostname": ""}, "server_hostname"),
        ({"server_hostname": "a b"}, "server_hostname: 'a b'"),
        ({"username": "a"}, "password is missing"),
        ({"password": "a"}, "username is missing"),
        ({"username": "", "password": "a"}, "username is missing"),
        ({"username": "a", "password": ""}, "password is missing"),
        ({"username": 5, "password": "a"}, "username is of type int"),
        ({"username": "a", "password": 5}, "password is of type int"),
        ({"username": "a", "password": "b", "auth": Plain("a", "b")}, "not both"),
        ({"auth": "PLAIN"}, "auth"),
        ({"auth": ("alice", "b")}, "auth[0] is of type str"),
        ({"auth": [Plain("a", "b"), 5]}, "auth[1] is of type int"),
        ({"auth": []}, "auth names no mechanism"),
        ({"auth": 5}, "auth[0] is of type int"),
        ({"allow_plaintext_auth": "no"}, "allow_plaintext_auth is of type str"),
        ({"client_hostname": 5}, "client_hostname is of type int"),
        ({"local_address": 5}, "local_address is of type int"),
        ({"connect": 5}, "connect is of type int, not callable"),
        ({"on_event": []}, "on_event is of type list, not callable"),
        ({"timeouts": 0}, "timeouts"),
        ({"timeouts": -1}, "timeouts"),
        ({"timeouts": nan}, "timeouts"),
        ({"timeouts": "5"}, "timeouts"),
        ({"timeouts": True}, "timeouts"),
        ({"timeouts": {"connect": 5}}, "timeouts"),
        ({"max_connections": 0}, "max_connections is 0"),
        ({"max_connections": -1}, "max_connections is -1"),
        ({"max_connections": 1.5}, "max_connections is 1.5"),
        ({"max_connections": True}, "max_connections is True"),
        ({"max_connections": None}, "max_connections is None"),
        ({"max_connections": "4"}, "max_connections is '4'"),
        ({"max_messages_per_connection": 0}, "max_messages_per_connection is 0"),
        ({"max_messages_per_connection": "n"}, "max_messages_per_connection is 'n'"),
        ({"max_idle": 0}, "max_idle is 0"),
        ({"max_idle": nan}, "max_idle is nan"),
        ({"max_idle": None}, "max_idle is None"),
        ({"max_age": 0}, "max_age is 0"),
        ({"max_age": "x"}, "max_age is 'x'"),
        ({"pipelining": "yes"}, "pipelining is 'yes'"),
        ({"pipelining": ""}, "pipelining is ''"),
        ({"pipelining": True}, "pipelining is True"),
    ],
    ids=str,
)
def test_wrong_arguments_of_the_client(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput) as info:
        SMTPClient(**arguments)
    assert told in str(info.value)
    assert str(info.value).isprintable()
    assert isinstance(info.value, ValueError)


@pytest.mark.parametrize(
    "stage", ["connect", "greeting", "command", "data", "block", "final", "quit"]
)
@pytest.mark.parametrize("value", [0, -1, nan, "5", None, True])
def test_wrong_timeouts(stage: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=rf"timeouts\.{stage} is "):
        Timeouts(**{stage: value})


@everywhere
async def test_wrong_arguments_of_inquiries() -> None:
    async with SMTPClient(connect=never) as client:
        wrong: list[Any] = ["", "a\r\nQUIT", "\0", "x" * 600, 5, None]
        for bad in wrong:
            with pytest.raises(InvalidInput, match="VRFY"):
                await client.verify(bad)
            with pytest.raises(InvalidInput, match="EXPN"):
                await client.expand(bad)


# B: the octets of the message

SEC_CONSULT: Final = [
    b"\n.\n",
    b"\n.\r",
    b"\r.\n",
    b"\r.\r",
    b"\n.\r\n",
    b"\r.\r\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n\0.\r\n",
]


def unstuffed(wire: bytes) -> bytes:
    """Give the octets that a server keeps (RFC 5321 §4.5.2)."""
    *lines, last = wire.split(b"\r\n")
    assert last == b""
    assert lines.pop() == b"."
    assert b"." not in lines
    kept = [line.removeprefix(b".") for line in lines]
    return b"".join(line + b"\r\n" for line in kept)


def normalised(source: bytes) -> bytes:
    """Give what a message must arrive as."""
    lines = re.split(rb"\r\n|\r|\n", source)
    last = lines.pop()
    return b"".join(line + b"\r\n" for line in (*lines, *([last] if last else [])))


async def octet_by_octet(source: bytes) -> AsyncIterator[bytes]:
    for index in range(len(source)):
        yield source[index : index + 1]


@everywhere
@pytest.mark.parametrize("end", SEC_CONSULT)
async def test_B1_B2_smuggling(end: bytes) -> None:
    source = b"Subject: a\r\n\r\nbody" + end + b"MAIL FROM:<evil@x.test>" + end + b"x"
    async with serving(script()) as server, server.client() as client:
        await send(client, source)
        await send(client, octet_by_octet(source))
        for wire in server.heard[0].contents:
            assert re.findall(rb"\r\n\.\r\n", wire) == [b"\r\n.\r\n"]
            assert wire.endswith(b"\r\n.\r\n")
            assert not re.search(rb"\r(?!\n)|(?<!\r)\n", wire)
            assert unstuffed(wire) == normalised(source)
        assert len(server.heard[0].contents) == 2


@everywhere
async def test_B3_dots_and_line_ends_in_every_position() -> None:
    async with serving(script()) as server:
        async with server.client(max_messages_per_connection=None) as client:
            for length in range(4):
                for octets in product((b".", b"\r", b"\n", b"a"), repeat=length):
                    source = b"".join(octets)
                    await send(client, source)
                    await send(client, octet_by_octet(source))
                    whole, streamed = server.heard[0].contents[-2:]
                    assert unstuffed(whole) == normalised(source)
                    assert streamed == whole
        assert len(server.heard) == 1
        assert len(server.heard[0].contents) == 2 * (1 + 4 + 16 + 64)


@everywhere
@pytest.mark.parametrize(
    ("source", "wire"),
    [
        (b"end", b"end\r\n.\r\n"),
        (b"end\r\n", b"end\r\n.\r\n"),
        (b"end\n", b"end\r\n.\r\n"),
        (b"end\r\n\r\n", b"end\r\n\r\n.\r\n"),
        (b"", b".\r\n"),
        (b".", b"..\r\n.\r\n"),
    ],
)
async def test_B4_the_last_line(source: bytes, wire: bytes) -> None:
    chunking = script(EHLO=offering("CHUNKING"))
    async with serving(script(), chunking) as server:
        async with server.client(max_messages_per_connection=1) as client:
            await send(client, source)
            await send(client, octet_by_octet(source))
        assert server.heard[0].contents == [wire]
        # A chunk is what it is: no dot doubled, none behind it.
        plain = wire.removesuffix(b".\r\n").replace(b"..", b".")
        assert b"".join(server.heard[1].contents) == plain


@everywhere
async def test_B6_no_line_of_an_email_message_is_too_long() -> None:
    message = simple(Subject="long")
    message.set_content("x" * 5000 + "\n", cte="7bit")
    raw = b"Subject: raw\r\n\r\n" + b"x" * 5000 + b"\r\n"
    async with serving(script()) as server, server.client() as client:
        await client.send(message)
        await send(client, raw)
        built, source = server.heard[0].contents
        assert max(map(len, built.split(b"\r\n"))) <= 998
        arrived = message_from_bytes(unstuffed(built), policy=policy.default)
        assert isinstance(arrived, EmailMessage)
        assert arrived.get_content().splitlines() == ["x" * 5000]
        assert source == raw + b".\r\n"


@everywhere
async def test_B7_bcc_stays_here() -> None:
    message = simple(Bcc="Eve <eve@x.test>", Resent_Bcc="eve@y.test")
    before = bytes(message)
    async with serving(script()) as server, server.client() as client:
        await client.send(message, sender=ALICE, recipients=[BOB, "eve@x.test"])
        assert b"RCPT TO:<eve@x.test>" in server.heard[0].lines
        wire = server.heard[0].contents[0]
        assert b"bcc" not in wire.lower()
        assert b"eve" not in wire.lower()
        assert bytes(message) == before
        raw = b"From: a@x.test\r\nBcc: eve@x.test\r\n\r\nHi.\r\n"
        await send(client, raw)
        assert server.heard[0].contents[1] == raw + b".\r\n"


@everywhere
async def test_B7_bcc_names_recipients() -> None:
    message = simple(Cc=CAROL, Bcc="eve@x.test")
    async with serving(script()) as server, server.client() as client:
        receipt = await client.send(message)
        assert receipt.accepted == (BOB, CAROL, "eve@x.test")
        assert b"eve" not in server.heard[0].contents[0]


@everywhere
async def test_B8_octets_above_127() -> None:
    raw = "Subject: x\r\n\r\né\r\n".encode()
    message = simple()
    message.set_content("é\n", cte="8bit")
    async with serving(script(), EXTENDED) as server:
        async with server.client() as seven:
            error = await failure(seven, NotSupported, raw)
            assert error.extension == "8BITMIME"
            assert outcomes(error.recipients)[0][1] in {"NOT_SENT", "REFUSED"}
            await server.taps[0].aclose()
            assert b"MAIL" not in server.taps[0].octets
        async with server.client() as eight:
            await send(eight, raw)
            await eight.send(message)
            assert server.heard[1].lines[1].endswith(b" BODY=8BITMIME")
            assert server.heard[1].contents[0] == raw + b".\r\n"
            assert "é".encode() in server.heard[1].contents[1]
    async with serving(script()) as server, server.client() as seven:
        await seven.send(message)
        wire = server.heard[0].contents[0]
        assert wire.isascii()
        arrived = message_from_bytes(unstuffed(wire), policy=policy.default)
        assert isinstance(arrived, EmailMessage)
        assert arrived.get_content().splitlines() == ["é"]
        assert b"BODY" not in server.heard[0].octets


@everywhere
async def test_B9_smtputf8_is_decided_before_mail() -> None:
    async with serving(script()) as server, server.client() as client:
        error = await failure(client, NotSupported, recipients="ü@ex.test")
        assert error.extension == "SMTPUTF8"
        error = await failure(client, NotSupported, sender="ü@ex.test")
        assert error.extension == "SMTPUTF8"
        assert server.taps[0].octets.count(b"\r\n") == 1
        await send(client, sender="a@münchen.test", recipients="u@münchen.test")
        assert server.heard[0].lines[1:3] == [
            b"MAIL FROM:<a@xn--mnchen-3ya.test>",
            b"RCPT TO:<u@xn--mnchen-3ya.test>",
        ]
        receipt = await send(client, recipients=[BOB, "ü@ex.test"])
        assert outcomes(receipt.recipients) == [
            ("bob", "ACCEPTED", 250),
            ("ü", "REFUSED", None),
        ]
        assert receipt.recipients[1].stage is Stage.LOCAL
    async with serving(EXTENDED) as server, server.client() as client:
        await send(client, recipients=["ü@ex.test", BOB])
        assert server.heard[0].lines[1:3] == [
            b"MAIL FROM:<alice@example.test> SMTPUTF8",
            "RCPT TO:<ü@ex.test>".encode(),
        ]


@everywhere
async def test_B10_size() -> None:
    source = b"Subject: x\r\n\r\n" + b".\n" * 1037
    size = len(normalised(source))
    assert size == 14 + 1037 * 3
    limits = (b"SIZE %d" % (size - 1), b"SIZE %d" % size, b"SIZE 0", b"SIZE")
    scripts = [script(EHLO=offering(limit.decode())) for limit in limits]
    async with serving(*scripts) as server:
        async with server.client(max_messages_per_connection=1) as client:
            error = await failure(client, NotSupported, source)
            assert error.extension == "SIZE"
            assert not error.temporary
            assert outcomes(error.recipients) == [("bob", "REFUSED", None)]
            assert server.heard[0].verbs == ["EHLO", "QUIT"]
        async with server.client(max_messages_per_connection=1) as client:
            for _ in range(3):
                await send(client, source)
        for heard in server.heard[1:]:
            assert heard.lines[1] == b"MAIL FROM:<alice@example.test> SIZE=%d" % size


@everywhere
async def test_B10_a_stream_that_turns_out_too_large() -> None:
    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"x" * 1000

    for chunking in (True, False):
        keywords = ("SIZE 100000", *(["CHUNKING"] if chunking else []))
        small = script(EHLO=offering(*keywords))
        async with serving(small, script()) as server, server.client() as client:
            error = await failure(client, NotSupported, blocks())
            assert error.extension == "SIZE"
            assert outcomes(error.recipients) == [("bob", "REFUSED", None)]
            assert len(server.taps[0].octets) < 101000 + 3000
            if chunking:  # what is no chunk is a command: the session goes on
                await send(client)
                verbs = ["EHLO", "MAIL", "RCPT", *["BDAT"] * 100, "RSET"]
                assert server.heard[0].verbs[:104] == verbs
                assert server.heard[0].contents[100:] == [MESSAGE + b".\r\n"]
                assert len(server.heard) == 1
            else:
                await assert_poisoned(server, client, "EHLO", "MAIL", "RCPT", "DATA")
