"""What sending would come to, and that it comes to just that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from esmtp_async import (
    InvalidInput,
    NotSupported,
    Problem,
    Recipient,
    SendOptions,
    SMTPClient,
)
from esmtp_async.testing import SMTPServer
from tests.backends import everywhere
from tests.client.checks import never

OFFER = ("PIPELINING", "SIZE 100000", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN")


def message(text: str = "Hi\n", to: str = "b@x.test, c@x.test") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"] = "a@x.test", to
    made["Date"], made["Message-ID"] = "Thu, 26 Nov 2026 12:00:00 +0000", "<1@x.test>"
    made.set_content(text, cte="8bit" if not text.isascii() else None)
    return made


def flights(server: SMTPServer) -> list[tuple[str, ...]]:
    """Give what the client said of its last message, flight by flight."""
    heard: list[list[str]] = [[]]
    for said in server.transcript[-1]:
        if said.side == "S":
            heard.append([])
        else:
            heard[-1].append(said.octets.decode().removesuffix("\r\n"))
    said_ = [tuple(flight) for flight in heard if flight]
    first = next(i for i, flight in enumerate(said_) if "MAIL" in flight[0])
    return said_[first:]


@everywhere
@pytest.mark.parametrize(
    ("pipelining", "round_trips"), [("off", 5), ("conformant", 2), ("eager", 1)]
)
@pytest.mark.parametrize("lmtp", [False, True])
async def test_the_plan_is_what_happens(
    pipelining: str, round_trips: int, *, lmtp: bool
) -> None:
    async with (
        SMTPServer(extensions=OFFER, eager=True, lmtp=lmtp) as server,
        server.client(pipelining=pipelining) as client,
    ):
        planned = await client.plan(message("Grüße\n"))
        assert server.messages == []
        assert planned.sender == "a@x.test"
        assert planned.recipients == ("b@x.test", "c@x.test")
        assert planned.needs == {"8BITMIME"}
        assert planned.problems == ()
        assert planned.left_out == frozenset()
        assert planned.round_trips == len(planned.flights) == round_trips
        await client.send(message("Grüße\n"))
        (stored,) = server.messages
        assert planned.size == len(stored.content)
        said = [line for flight in planned.flights for line in flight]
        assert said[0] == f"MAIL FROM:<a@x.test> SIZE={planned.size} BODY=8BITMIME"
        assert said[1:3] == ["RCPT TO:<b@x.test>", "RCPT TO:<c@x.test>"]
        by_data = ["DATA", f"<mail data, {len(stored.content) + 3} octets>"]
        by_chunk = [f"BDAT {planned.size} LAST"]
        assert said[3:] == (by_chunk if pipelining == "eager" else by_data)
        assert server.violations == []


@everywhere
async def test_the_commands_are_those_that_are_said() -> None:
    to: list[str | Recipient] = [Recipient("b@x.test", notify="NEVER"), "c@x.test"]
    options = SendOptions(ret="HDRS")
    async with SMTPServer(extensions=OFFER) as server, server.client() as client:
        planned = await client.plan(message(), recipients=to, options=options)
        assert planned.needs == {"DSN"}
        await client.send(message(), recipients=to, options=options)
        envelope, *_ = flights(server)
        assert envelope == planned.flights[0]


@everywhere
async def test_what_would_be_refused_is_told() -> None:
    bob = Recipient("b@x.test", notify="NEVER")
    to: list[str | Recipient] = [bob, "jürgen@x.test", "c@x.test"]
    async with (
        SMTPServer(extensions=["PIPELINING"]) as server,
        server.client() as client,
    ):
        planned = await client.plan(message(), recipients=to)
        no_dsn, no_utf8 = planned.problems
        assert no_dsn == Problem(
            ("b@x.test",), "DSN", "NOTIFY needs DSN, which the server does not offer"
        )
        assert (no_utf8.recipients, no_utf8.extension) == (
            ("jürgen@x.test",),
            "SMTPUTF8",
        )
        assert planned.flights[0][1:] == ("RCPT TO:<c@x.test>", "DATA")
        assert planned.needs == {"DSN", "SMTPUTF8"}

        planned = await client.plan(message(), recipients=to[:1])
        assert [problem.extension for problem in planned.problems] == ["DSN"]
        assert planned.flights == ()

        planned = await client.plan(message(), recipients=to, all_or_nothing=True)
        assert [each.extension for each in planned.problems] == ["DSN", "SMTPUTF8"]
        assert planned.flights == ()

        options = SendOptions(priority=3)
        planned = await client.plan(message(), options=options)
        (problem,) = planned.problems
        assert problem.recipients == ("b@x.test", "c@x.test")
        assert problem.extension == "MT-PRIORITY"
        with pytest.raises(NotSupported, match=problem.why):
            await client.send(message(), options=options)
        assert server.messages == []


@everywhere
async def test_what_is_too_big_is_told() -> None:
    async with SMTPServer(extensions=["SIZE 50"]) as server, server.client() as client:
        (problem,) = (await client.plan(message())).problems
        assert problem.extension == "SIZE"


@everywhere
async def test_preferences_are_told() -> None:
    options = SendOptions(ret="FULL", prefer="DSN")
    async with SMTPServer(extensions=["8BITMIME"]) as server, server.client() as client:
        planned = await client.plan(message(), options=options)
        assert planned.left_out == {"DSN"}
        assert planned.needs == frozenset()
        assert planned.problems == ()
        assert planned.round_trips == 5


@everywhere
async def test_more_recipients_than_the_server_takes() -> None:
    offer = ("PIPELINING", "LIMITS RCPTMAX=2")
    to = [f"r{n}@x.test" for n in range(5)]
    async with SMTPServer(extensions=offer) as server, server.client() as client:
        planned = await client.plan(message(), recipients=to)
        assert planned.round_trips == 6
        receipt = await client.send(message(), recipients=to)
        assert receipt.accepted == planned.recipients
        assert len(server.messages) == 3
        planned = await client.plan(message(), recipients=to, all_or_nothing=True)
        assert [each.extension for each in planned.problems] == ["LIMITS"]


async def blocks() -> AsyncIterator[bytes]:
    yield b"From: a@x.test\r\n\r\n"
    raise AssertionError("nobody reads on")


@everywhere
async def test_streams_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"From: a@x.test\r\nTo: b@x.test\r\n\r\n" + b"x\r\n" * 200_000)
    async with SMTPServer(extensions=["CHUNKING"]) as server, server.client() as client:
        planned = await client.plan(blocks(), sender="", recipients="b@x.test")
        assert planned.size is None
        assert planned.sender == ""
        assert planned.flights[-1] == ("<mail data, as they are read>", "BDAT 0 LAST")
        planned = await client.plan(path)
        assert planned.size == path.stat().st_size
        assert planned.flights[-1] == ("<mail data, as they are read>", "BDAT 0 LAST")


@everywhere
async def test_after_helo_alone() -> None:
    async with SMTPServer(extensions=[]) as server, server.client() as client:
        planned = await client.plan(message())
        assert planned.flights[0] == ("MAIL FROM:<a@x.test>",)


@everywhere
async def test_nothing_is_asked_for_what_makes_no_sense() -> None:
    async with SMTPClient(connect=never) as client:
        with pytest.raises(InvalidInput, match="recipients"):
            await client.plan(b"From: a@x.test\r\n\r\n")
        with pytest.raises(InvalidInput, match="all_or_nothing is of type int"):
            await client.plan(message(), all_or_nothing=1)  # type: ignore[arg-type]


@everywhere
async def test_what_the_binary_form_needs() -> None:
    attached = message()
    attached.add_attachment(b"\0" * 99, maintype="image", subtype="x")
    options = SendOptions(body="BINARYMIME")
    prefer = SendOptions(body="BINARYMIME", ret="HDRS", prefer=["BINARYMIME", "DSN"])
    offer = ("BINARYMIME", "CHUNKING")
    async with SMTPServer(extensions=offer) as server, server.client() as client:
        planned = await client.plan(attached, options=options)
        assert planned.needs == {"BINARYMIME", "CHUNKING"}
        assert planned.flights[0] == ("MAIL FROM:<a@x.test> BODY=BINARYMIME",)
        planned = await client.plan(attached, options=prefer)
        assert planned.needs == frozenset()
        assert planned.flights[0] == ("MAIL FROM:<a@x.test> BODY=BINARYMIME",)
        planned = await client.plan(message(), options=prefer)
        assert planned.left_out == {"DSN"}, "there is nothing binary in it"
        assert planned.needs == frozenset()
    async with SMTPServer(extensions=["CHUNKING"]) as server, server.client() as client:
        (problem,) = (await client.plan(attached, options=options)).problems
        assert problem.extension == "BINARYMIME"


@everywhere
async def test_a_plan_for_all_or_nobody() -> None:
    async with SMTPServer(extensions=OFFER) as server, server.client() as client:
        planned = await client.plan(message(), all_or_nothing=True)
        assert planned.round_trips == 3, "the replies to RCPT are waited for"
