"""Rows I1-I9: what an app hands in, and what of it reaches the wire."""

from __future__ import annotations

from collections.abc import Callable
from email import message_from_bytes
from typing import Any, Final

import pytest

from esmtp_async import (
    InvalidInput,
    NotSupported,
    ProtocolViolation,
    Recipient,
    SendOptions,
    SMTPClient,
)
from tests.backends import everywhere
from tests.client.checks import (
    BOB,
    CAROL,
    assert_poisoned,
    failure,
    never,
    outcomes,
    refusal,
    send,
    simple,
)
from tests.raw import HANG, offering, script, serving

EVERYTHING: Final = offering("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING")
EXTENDED: Final = script(EHLO=EVERYTHING)

CONTROLS: Final = [chr(point) for point in (*range(0x20), 0x7F)]
UNICODE_LINE_ENDS: Final = ["\x85", "\u2028", "\u2029", "\ud800", "\udc0a"]


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
