"""What gateways and relays say: whom they speak for, and who waits for mail."""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from esmtp_async import (
    InvalidInput,
    NotSupported,
    Refused,
    SendOptions,
    SMTPClient,
    Stage,
)
from esmtp_async.testing import Rule, SMTPServer
from tests.backends import everywhere

OFFER = (
    *("PIPELINING", "CHUNKING", "8BITMIME", "ETRN"),
    "XCLIENT NAME ADDR LOGIN",
    "XFORWARD NAME ADDR HELO IDENT",
)
FROM_AFAR = {"NAME": "far.example.net", "ADDR": "192.0.2.7", "HELO": None}


def message() -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"] = "a@example.org", "b@example.org"
    made.set_content("Hi\n")
    return made


@everywhere
@pytest.mark.parametrize("pipelining", ["off", "conformant", "eager"])
async def test_where_a_message_came_from_is_told(pipelining: str) -> None:
    options = SendOptions(xforward=FROM_AFAR)
    async with (
        SMTPServer(extensions=OFFER, eager=True) as server,
        server.client(pipelining=pipelining) as client,
    ):
        await client.send(message(), options=options)
        await client.send(message())
        first, second = server.messages
        assert first.xforward == {
            "NAME": "far.example.net",
            "ADDR": "192.0.2.7",
            "HELO": "[UNAVAILABLE]",
        }
        assert second.xforward == {}, "it is of one message only"
        assert server.violations == []


@everywhere
async def test_a_refusal_of_xforward_keeps_no_message_back() -> None:
    options = SendOptions(xforward=FROM_AFAR)
    async with SMTPServer(extensions=OFFER) as server, server.client() as client:
        server.rules.append(Rule("XFORWARD", reply="550 5.7.0 who are you"))
        receipt = await client.send(message(), options=options)
        assert receipt.accepted == ("b@example.org",)
        assert receipt.left_out == {"XFORWARD"}
        assert server.violations == []


@everywhere
async def test_xforward_must_be_offered_with_each_attribute() -> None:
    for offer, told in (
        ("8BITMIME", "NAME needs XFORWARD"),
        ("XFORWARD NAME", "the server takes no attribute ADDR"),
    ):
        async with SMTPServer(extensions=[offer]) as server, server.client() as client:
            with pytest.raises(NotSupported, match=told):
                await client.send(message(), options=SendOptions(xforward=FROM_AFAR))
            options = SendOptions(xforward=FROM_AFAR, prefer="XFORWARD")
            receipt = await client.send(message(), options=options)
            assert receipt.left_out == {"XFORWARD"}
            (stored,) = server.messages
            assert stored.xforward == (
                {} if offer == "8BITMIME" else {"NAME": "far.example.net"}
            )
            assert server.violations == []


@everywhere
async def test_a_gateway_speaks_for_another_client() -> None:
    told = {"name": "far.example.net", "ADDR": "IPV6:2001:db8::7"}
    async with (
        SMTPServer(extensions=OFFER, users={"u": "p"}, starttls=True) as server,
        server.client(username="u", password="p", xclient=told) as client,
    ):
        await client.send(message())
        await client.send(message())
        for stored in server.messages:
            assert stored.xclient == {
                "NAME": "far.example.net",
                "ADDR": "IPV6:2001:db8::7",
            }
            assert stored.username == "u", "who it is was asked anew"
            assert stored.tls
        assert server.violations == []


@everywhere
async def test_without_xclient_nothing_is_sent() -> None:
    told = {"NAME": "far.example.net"}
    async with (
        SMTPServer(extensions=["8BITMIME"]) as server,
        server.client(xclient=told) as client,
    ):
        with pytest.raises(NotSupported, match="xclient needs XCLIENT") as caught:
            await client.send(message())
        assert caught.value.stage is Stage.COMMAND
        assert server.messages == []


@everywhere
async def test_a_refused_xclient_ends_the_opening() -> None:
    told = {"NAME": "far.example.net"}
    async with (
        SMTPServer(extensions=OFFER) as server,
        server.client(xclient=told) as client,
    ):
        server.rules.append(Rule("XCLIENT", reply="550 5.7.0 not you"))
        with pytest.raises(Refused, match="the server refused XCLIENT: 550") as caught:
            await client.send(message())
        assert caught.value.command == "XCLIENT"
        assert server.messages == []


@everywhere
async def test_etrn_and_help() -> None:
    async with SMTPServer(extensions=OFFER) as server, server.client() as client:
        assert (await client.etrn("@example.org")).code == 250
        assert (await client.help()).code == 214
        assert (await client.help("ETRN")).code == 214
        with pytest.raises(InvalidInput, match="names no node"):
            await client.etrn("a b")
        said = [said.octets for said in server.transcript[0] if said.side == "C"]
        assert said[-3:] == [b"ETRN @example.org\r\n", b"HELP\r\n", b"HELP ETRN\r\n"]
        assert server.violations == []


def test_I7_xclient_is_checked_when_the_client_is_made() -> None:
    with pytest.raises(InvalidInput, match="attribute NAME is empty or holds"):
        SMTPClient("localhost", xclient={"NAME": "a\r\nQUIT"})
    with pytest.raises(InvalidInput, match="attribute NAME is empty or holds"):
        SendOptions(xforward={"NAME": "a\r\nQUIT"})


@everywhere
async def test_what_is_asked_about_may_be_outside_ascii() -> None:
    lists = {"größe": ["a@x.test"]}
    async with (
        SMTPServer(extensions=["SMTPUTF8"], lists=lists) as server,
        server.client() as client,
    ):
        assert (await client.expand("größe")).code == 250
        assert (await client.verify("jürgen@x.test")).code == 252
        said = [said.octets for said in server.transcript[0] if said.side == "C"]
        assert "EXPN größe SMTPUTF8\r\n".encode() in said
    async with SMTPServer(extensions=["8BITMIME"]) as server, server.client() as client:
        with pytest.raises(NotSupported, match=r"VRFY .* needs SMTPUTF8") as caught:
            await client.verify("jürgen@x.test")
        assert caught.value.extension == "SMTPUTF8"
        assert (await client.noop()).code == 250, "the connection is as good as before"
