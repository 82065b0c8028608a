"""What is asked for beside the message, as a server gets it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

from esmtp_async import (
    Body,
    ClientOptions,
    ContentRefused,
    DeliverBy,
    InvalidInput,
    NotSupported,
    Outcome,
    Recipient,
    Sendable,
    SendOptions,
)
from esmtp_async.testing import Rule, SMTPServer
from tests.backends import everywhere

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
ADDRESSED = b"From: a@example.org\r\nTo: b@example.org\r\nMessage-ID: <1@x>\r\n\r\n"
RAW = b"\n.\n\r\0" + bytes(range(256)) * 3 + b"x" * 2000 + b"\r"
ALL = (
    *("PIPELINING", "SIZE 10485760", "8BITMIME", "CHUNKING", "BINARYMIME", "DSN"),
    *("ENHANCEDSTATUSCODES", "DELIVERBY 60", "MT-PRIORITY", "REQUIRETLS", "RRVS"),
    "FUTURERELEASE 86400 2027-01-01T00:00:00Z",
)


def attached(octets: bytes) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = "a@example.org", "b@example.org"
    message.set_content("Hi\n")
    message.add_attachment(octets, maintype="image", subtype="x-raw", filename="x")
    return message


@everywhere
async def test_all_of_it_at_once() -> None:
    options = SendOptions(
        ret="hdrs",
        envid=True,
        deliver_by=DeliverBy(60, by_trace=True),
        hold_until=NOON,
        priority=-3,
        require_tls=True,
        auth="submitter@example.org",
        body=Body.BINARY,
    )
    to = Recipient("b@example.org", notify="SUCCESS", orcpt="bü@example.org", rrvs=NOON)
    async with (
        SMTPServer(extensions=ALL, users={"u": "p"}, starttls=True) as server,
        server.client(username="u", password="p") as client,
    ):
        receipt = await client.send(ADDRESSED + RAW, recipients=to, options=options)
        (message,) = server.messages
        assert message.mail_parameters == {
            "SIZE": str(len(ADDRESSED + RAW)),
            "BODY": "BINARYMIME",
            "RET": "HDRS",
            "ENVID": "<1@x>",
            "BY": "60;RT",
            "HOLDUNTIL": "2026-11-26T12:00:00Z",
            "MT-PRIORITY": "-3",
            "AUTH": "submitter@example.org",
            "REQUIRETLS": None,
        }
        assert message.recipients[0].parameters == {
            "NOTIFY": "SUCCESS",
            "ORCPT": r"utf-8;b\x{FC}@example.org",
            "RRVS": "2026-11-26T12:00:00Z",
        }
        assert message.content == ADDRESSED + RAW
        assert receipt.left_out == frozenset()
        assert server.violations == []


@everywhere
async def test_T15_requiretls_is_not_asked_for_in_clear_text() -> None:
    async with (
        SMTPServer(extensions=ALL) as server,
        server.client(security="plaintext") as client,
    ):
        with pytest.raises(NotSupported, match="REQUIRETLS needs TLS") as caught:
            await client.send(ADDRESSED, options=SendOptions(require_tls=True))
        assert caught.value.recipients[0].outcome is Outcome.REFUSED
        assert server.messages == []


@everywhere
async def test_a_form_that_is_asked_for_by_name_is_said_whatever_the_message() -> None:
    options = SendOptions(body="8BITMIME")
    async with SMTPServer(extensions=["8BITMIME"]) as server:
        async with server.client() as client:
            await client.send(ADDRESSED, options=options)
        assert server.messages[0].mail_parameters == {"BODY": "8BITMIME"}
    async with SMTPServer(extensions=["CHUNKING"]) as server:
        async with server.client() as client:
            with pytest.raises(NotSupported, match="BODY needs 8BITMIME") as caught:
                await client.send(ADDRESSED, options=options)
            assert caught.value.extension == "8BITMIME"
            await client.send(ADDRESSED, options=SendOptions(body="7BIT"))
        assert server.messages[0].mail_parameters == {}


@everywhere
async def test_what_was_left_out_is_told() -> None:
    options = SendOptions(
        priority=3, ret="FULL", body="BINARYMIME", prefer=["dsn", "BINARYMIME"]
    )
    offer = ("PIPELINING", "CHUNKING", "8BITMIME", "MT-PRIORITY")
    async with SMTPServer(extensions=offer) as server, server.client() as client:
        receipt = await client.send(attached(RAW), options=options)
        assert receipt.left_out == {"DSN", "BINARYMIME"}
        assert server.messages[0].mail_parameters["MT-PRIORITY"] == "3"
        assert "RET" not in server.messages[0].mail_parameters
        with pytest.raises(NotSupported, match="a message in binary form needs BINARY"):
            await client.send(attached(RAW), options=SendOptions(body="BINARYMIME"))
        assert len(server.messages) == 1


def in_blocks(octets: bytes) -> Iterator[bytes]:
    for start in range(0, len(octets), 999):
        yield octets[start : start + 999]


async def asynchronous(octets: bytes) -> AsyncIterator[bytes]:
    for block in in_blocks(octets):
        yield block


@everywhere
@pytest.mark.parametrize("pipelining", ["off", "conformant", "eager"])
async def test_binary_octets_of_any_source(pipelining: str, tmp_path: Path) -> None:
    octets = ADDRESSED + RAW * 1000
    small = ADDRESSED + RAW
    (tmp_path / "large").write_bytes(octets)
    (tmp_path / "small").write_bytes(small)
    sources: list[tuple[Sendable, bytes]] = [
        (octets, octets),
        (small, small),
        (bytearray(small), small),
        (tmp_path / "large", octets),
        (tmp_path / "small", small),
        (io.BytesIO(octets), octets),
        (in_blocks(octets), octets),
        (asynchronous(octets), octets),
    ]
    async with (
        SMTPServer(extensions=ALL, eager=True) as server,
        server.client(pipelining=pipelining) as client,
    ):
        for source, _ in sources:
            await client.send(
                source,
                sender="a@example.org",
                recipients="b@example.org",
                options=SendOptions(body="BINARYMIME"),
            )
        assert [m.content for m in server.messages] == [sent for _, sent in sources]
        assert all(m.via == "BDAT" for m in server.messages)
        assert server.violations == []


@everywhere
async def test_an_attachment_travels_without_base64() -> None:
    octets = bytes(range(256)) * 4000
    async with (
        SMTPServer(extensions=ALL) as server,
        server.client() as client,
    ):
        await client.send(attached(octets))
        await client.send(attached(octets), options=SendOptions(body="BINARYMIME"))
        coded, binary = server.messages
        assert octets in binary.content
        assert len(binary.content) < 0.75 * len(coded.content)
        assert server.violations == []


@everywhere
@pytest.mark.parametrize(
    ("pipelining", "command"), [("conformant", "DATA"), ("eager", "BDAT")]
)
async def test_a_refusal_names_the_command(pipelining: str, command: str) -> None:
    rules = [Rule("CONTENT|LAST", "a@example.org", "550 5.7.1 spam")]
    async with (
        SMTPServer(extensions=ALL, eager=True, rules=rules) as server,
        server.client(pipelining=pipelining) as client,
    ):
        with pytest.raises(ContentRefused) as caught:
            await client.send(ADDRESSED)
        assert caught.value.command == command
        assert f"the server refused {command} for b@example.org" in str(caught.value)


GROWN = "250-mail.example.test\n250-PIPELINING\n250-8BITMIME\n250 DSN"


def growing(*offer: str, reply: str = GROWN) -> SMTPServer:
    """Give a server that answers the EHLO behind AUTH otherwise."""
    rule = Rule("EHLO", reply=reply, skip=1, times=1)
    return SMTPServer(
        extensions=offer, users={"u": "p"}, auth_needs_tls=False, rules=[rule]
    )


def hellos(server: SMTPServer) -> int:
    return sum(said.octets[:4] == b"EHLO" for said in server.transcript[0])


REPORTED = SendOptions(ret="HDRS")
ALICE = ClientOptions(
    username="u", password="p", allow_plaintext_auth=True, max_connections=1
)


@everywhere
@pytest.mark.parametrize("many", [False, True])
async def test_what_is_offered_behind_auth_alone_is_asked_for(*, many: bool) -> None:
    with_report = Recipient("b@example.org", notify="NEVER")
    async with (
        growing("PIPELINING") as server,
        server.client(**ALICE) as client,
    ):
        if many:
            batch = [(ADDRESSED, "a@example.org", [with_report])] * 3
            async with client.send_many(batch) as results:
                for _ in range(3):
                    (await anext(results)).unwrap()
        else:
            await client.send(ADDRESSED)
            assert hellos(server) == 1, "nothing was missing"
            await client.send(ADDRESSED, options=REPORTED)
            await client.send(ADDRESSED, options=REPORTED)
        assert hellos(server) == 2
        assert len(server.messages) == 3
        assert server.violations == []


@everywhere
async def test_more_is_asked_for_once_and_a_refusal_is_no_error() -> None:
    for reply in ("503 5.5.1 you said so", "250 mail.example.test"):
        async with (
            growing("PIPELINING", reply=reply) as server,
            server.client(**ALICE) as client,
        ):
            for _ in range(2):
                with pytest.raises(NotSupported, match="RET needs DSN"):
                    await client.send(ADDRESSED, options=REPORTED)
            await client.send(ADDRESSED)
            assert hellos(server) == 2
            assert server.connections == 1
            assert server.violations == []


@everywhere
async def test_a_preference_and_a_plan_ask_for_more_too() -> None:
    options = SendOptions(ret="HDRS", prefer="DSN")
    async with (
        growing("PIPELINING") as server,
        server.client(**ALICE) as client,
    ):
        receipt = await client.send(ADDRESSED, options=options)
        assert receipt.left_out == frozenset()
        assert hellos(server) == 2
    async with (
        growing("PIPELINING") as server,
        server.client(**ALICE) as client,
    ):
        assert (await client.plan(ADDRESSED, options=REPORTED)).problems == ()
        assert "DSN" in (await client.probe()).extensions
        assert hellos(server) == 2


@everywhere
@pytest.mark.parametrize("pipelining", ["conformant", "eager"])
async def test_what_is_asked_for_beside_each_of_many(pipelining: str) -> None:
    options = SendOptions(ret="HDRS", envid=True, prefer="DSN")
    async with (
        SMTPServer(extensions=ALL, eager=True) as server,
        server.client(pipelining=pipelining) as client,
    ):
        async with client.send_many([ADDRESSED] * 5, options=options) as results:
            receipts = [result.unwrap() async for result in results]
        assert [receipt.left_out for receipt in receipts] == [frozenset()] * 5
        for stored in server.messages:
            assert stored.mail_parameters["RET"] == "HDRS"
            assert stored.mail_parameters["ENVID"] == "<1@x>"
        assert len(server.messages) == 5
        with pytest.raises(InvalidInput, match="options is of type dict"):
            client.send_many([], options={"ret": "HDRS"})  # type: ignore[arg-type]
