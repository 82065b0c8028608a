"""Rows B1-B4 and B6-B10: the octets of a message, as they reach the wire."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from itertools import product
from typing import Final

import pytest

from esmtp_async import (
    NotSupported,
    Stage,
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
    simple,
)
from tests.raw import offering, script, serving

EVERYTHING: Final = offering("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING")
EXTENDED: Final = script(EHLO=EVERYTHING)


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
