"""Rows P1-P19: what a server says, and how it is cut."""

from __future__ import annotations

import tracemalloc
from io import StringIO
from itertools import accumulate
from typing import Final

import pytest

from esmtp_async import (
    ConnectionLost,
    ContentRefused,
    NotDelivered,
    OutcomeUnknown,
    ProtocolViolation,
    RecipientsRefused,
    Stage,
)
from esmtp_async._conversation import ConversationPrinter
from tests.backends import everywhere
from tests.client.checks import (
    BOB,
    CAROL,
    MESSAGE,
    assert_poisoned,
    failure,
    outcomes,
    send,
)
from tests.raw import EOF, HANG, Flood, Step, offering, script, serving

#: Where a conversation in lockstep may be answered wrongly, and what came before.
STAGES: Final = {
    "CONNECT": Stage.GREETING,
    "EHLO": Stage.HELLO,
    "MAIL": Stage.MAIL,
    "RCPT": Stage.RCPT,
    "DATA": Stage.DATA,
    "CONTENT": Stage.FINAL,
}
VERBS: Final = list(STAGES)

at_every_stage = pytest.mark.parametrize("verb", VERBS)


def said_by(verb: str) -> list[str]:
    """Give the command lines of a lockstep conversation up to one."""
    return [
        v for v in VERBS[: VERBS.index(verb) + 1] if v not in {"CONNECT", "CONTENT"}
    ]


async def assert_fails(kind: type[NotDelivered], verb: str, *answer: Step) -> None:
    """See that this answer, in lockstep, ends attempt and connection as it must."""
    hostile = script(**{verb: (*answer, HANG)})
    async with (
        serving(hostile, script()) as server,
        server.client(pipelining="off") as client,
    ):
        if verb == "CONTENT":
            unknown = await failure(client, OutcomeUnknown)
            assert outcomes(unknown.recipients) == [("bob", "UNKNOWN", None)]
            assert unknown.stage is Stage.FINAL
            assert not unknown.retry_safe
            assert type(unknown.__cause__) is kind
            assert server.heard[0].contents == [MESSAGE + b".\r\n"]
        else:
            error = await failure(client, kind)
            assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
            assert error.stage is STAGES[verb]
            assert error.retry_safe
            assert server.heard[0].contents == []
        await assert_poisoned(server, client, *said_by(verb))


@everywhere
@at_every_stage
async def test_P1_malformed_code(verb: str) -> None:
    await assert_fails(ProtocolViolation, verb, b"25x ok\r\n")


@everywhere
async def test_P1_malformed_code_in_a_group() -> None:
    hostile = script(MAIL=(b"25x ok\r\n", HANG))
    async with serving(hostile, script()) as server, server.client() as client:
        error = await failure(client, ProtocolViolation)
        assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
        await assert_poisoned(server, client, "EHLO", "MAIL", "RCPT", "DATA")


@everywhere
@at_every_stage
@pytest.mark.parametrize("code", ["+25", "-25", "2_5", " 25", "٢٥٠"])
async def test_P2_what_int_would_take(verb: str, code: str) -> None:
    await assert_fails(ProtocolViolation, verb, f"{code} ok\r\n".encode())


@everywhere
@pytest.mark.parametrize("line", ["2500 ok", "250Xok", "250\tok"])
async def test_P3_separator(line: str) -> None:
    await assert_fails(ProtocolViolation, "MAIL", f"{line}\r\n".encode())


@everywhere
@at_every_stage
@pytest.mark.parametrize("code", [0, 199, 600, 999])
async def test_P4_codes_out_of_range(verb: str, code: int) -> None:
    await assert_fails(ProtocolViolation, verb, b"%03d hi\r\n" % code)


@everywhere
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "CONTENT"])
@pytest.mark.parametrize("code", [220, 251, 252, 299])
async def test_P5_unknown_2yz_is_success(verb: str, code: int) -> None:
    odd = script(**{verb: b"%d x\r\n" % code})
    async with serving(odd) as server, server.client() as client:
        receipt = await send(client)
        expected = code if verb == "CONTENT" else 250
        assert outcomes(receipt.recipients) == [("bob", "ACCEPTED", expected)]
        await send(client)
        assert len(server.heard) == 1


@everywhere
@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "MAIL", "RCPT", "CONTENT"])
async def test_P6_3yz_is_no_success(verb: str) -> None:
    await assert_fails(ProtocolViolation, verb, b"354 go\r\n")


@everywhere
@pytest.mark.parametrize("code", [300, 334, 355])
async def test_P6_only_354_opens_the_mail_data(code: int) -> None:
    await assert_fails(ProtocolViolation, "DATA", b"%d go\r\n" % code)


@everywhere
@pytest.mark.parametrize("verb", ["RCPT", "CONTENT"])
@pytest.mark.parametrize(
    "reply", [b"250-a\r\n550 b\r\n", b"550-a\r\n250 b\r\n", b"250-a\r\n251 b\r\n"]
)
async def test_P7_mixed_codes(verb: str, reply: bytes) -> None:
    await assert_fails(ProtocolViolation, verb, reply)


@everywhere
@at_every_stage
async def test_P8_bare_lf(verb: str) -> None:
    await assert_fails(ProtocolViolation, verb, b"250 ok\n")


@everywhere
async def test_P9_bare_cr_is_text() -> None:
    odd = script(CONTENT=[b"250 a\r550 b\r\n", b"550 a\r250 b\r\n"])
    async with serving(odd) as server, server.client() as client:
        receipt = await send(client)
        assert receipt.reply.lines == (b"a\r550 b",)
        assert str(receipt.reply) == r"250 a\x0d550 b"
        error = await failure(client, ContentRefused)
        assert r"550 a\x0d250 b" in str(error)
        assert "\r" not in str(error)


@everywhere
async def test_P10_a_line_without_end() -> None:
    line = Flood(b"250 " + b"x" * 65532, times=48)
    async with serving(script(MAIL=(line, HANG)), script()) as server:
        async with server.client(pipelining="off") as client:
            tracemalloc.start()
            try:
                error = await failure(client, ProtocolViolation)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert "2048" in str(error)
            assert peak < 1024 * 1024
            await assert_poisoned(server, client, "EHLO", "MAIL")


@everywhere
async def test_P11_a_reply_without_end() -> None:
    lines = Flood(b"250-x\r\n" * 9362, times=900)
    async with serving(script(MAIL=(lines, HANG)), script()) as server:
        async with server.client(pipelining="off") as client:
            error = await failure(client, ProtocolViolation)
            assert "does not end" in str(error)
            await assert_poisoned(server, client, "EHLO", "MAIL")
            assert server.heard[0].flooded < 60_000_000 / 3


@everywhere
async def test_P12_no_lf_at_all() -> None:
    octets = Flood(b"\0" * 65536, times=900)
    async with serving(script(CONNECT=(octets, HANG)), script()) as server:
        async with server.client() as client:
            await failure(client, ProtocolViolation)
            await assert_poisoned(server, client)
            assert server.heard[0].flooded < 60_000_000 / 3


@everywhere
async def test_P13_text_that_is_not_ascii() -> None:
    odd = script(CONTENT=b"250 \xe9\xff gr\xc3\xbc\xc3\x9fe\r\n")
    async with serving(odd) as server, server.client() as client:
        receipt = await send(client)
        assert receipt.accepted == (BOB,)
        assert receipt.reply.lines == (b"\xe9\xff gr\xc3\xbc\xc3\x9fe",)
        assert receipt.reply.text == r"\xe9\xff grüße"
        assert str(receipt.reply).encode("utf-8").startswith(b"250 ")


@everywhere
async def test_P14_control_characters(caplog: pytest.LogCaptureFixture) -> None:
    text = b"\x1b[2J\x00%s%n\x7f\xc2\x9b\xe2\x80\xae{0}"
    odd = script(CONTENT=b"550 " + text + b"\r\n")
    caplog.set_level("DEBUG")
    async with serving(odd) as server, server.client() as client:
        error = await failure(client, ContentRefused)
    assert error.reply is not None
    assert error.reply.lines == (text,)
    for shown in (str(error), repr(error), str(error.reply), caplog.text):
        assert not {c for c in shown if c < " " or c in "\x7f\x9b\u202e"} - {"\n"}
    assert r"\x1b[2J\x00%s%n\x7f" in str(error)


@everywhere
async def test_P14_nor_those_of_an_address_that_it_is_about() -> None:
    sly = "a\u202egnp.exe\u2066@example.test"
    refusing = script(EHLO=offering("SMTPUTF8"), RCPT=b"550 no\r\n")
    said = StringIO()
    async with serving(refusing) as server:
        async with server.client(on_event=ConversationPrinter(said)) as client:
            error = await failure(client, RecipientsRefused, recipients=sly)
    assert error.recipients[0].address == sly
    assert r"for a\u202egnp.exe\u2066@example.test: 550" in str(error)
    assert not {c for c in str(error) + said.getvalue() if c in sly and c > "\x7f"}


@everywhere
@pytest.mark.parametrize("reply", [b"250\r\n", b"250 \r\n", b"250-\r\n250\r\n"])
async def test_P15_no_text(reply: bytes) -> None:
    terse = script(MAIL=reply, RCPT=reply, CONTENT=reply, RSET=reply)
    async with serving(terse) as server, server.client() as client:
        receipt = await send(client)
        assert receipt.accepted == (BOB,)
        assert str(receipt.reply) == "250"
        assert receipt.queue_id is None


@everywhere
@at_every_stage
async def test_P16_blank_line(verb: str) -> None:
    await assert_fails(ProtocolViolation, verb, b"\r\n250 ok\r\n")


@everywhere
@at_every_stage
@pytest.mark.parametrize("reply", [b"250 queued as 1", b"25", b"250-x\r\n"])
async def test_P17_truncated_reply(verb: str, reply: bytes) -> None:
    await assert_fails(ConnectionLost, verb, reply, EOF)


@everywhere
async def test_P18_one_octet_at_a_time() -> None:
    async with serving(script()) as server, server.client() as client:
        server.cuts = range(1000)
        assert (await send(client)).accepted == (BOB,)
        assert {len(octets) for octets in server.taps[0].reads} == {1}


@everywhere
async def test_P18_cut_anywhere() -> None:
    replies = script(
        EHLO=offering("SIZE 1000", "PIPELINING"),
        RCPT=[b"250 one\r\n", b"550-5.1.1 no\r\n550 5.1.1 such\r\n"],
        CONTENT=b"250-taken\r\n250 queued as 12\r\n",
    )
    async with serving(replies) as server:

        async def borders(*cuts: int) -> set[int]:
            server.cuts = cuts
            async with server.client() as client:
                receipt = await send(client, recipients=[BOB, CAROL])
            assert outcomes(receipt.recipients) == [
                ("bob", "ACCEPTED", 250),
                ("carol", "REFUSED", 550),
            ]
            assert receipt.queue_id == "12"
            assert server.heard[-1].verbs == [
                "EHLO",
                "MAIL",
                "RCPT",
                "RCPT",
                "DATA",
                "QUIT",
            ]
            return set(accumulate(map(len, server.taps[-1].reads)))

        whole = await borders()
        length = max(whole)
        cuts = [{cut} for cut in range(1, length)]
        cuts += [{cut, cut + 3} for cut in range(1, length - 10, 7)]
        for each in cuts:
            # On a busy machine two pieces may have come before one is read.
            while await borders(*each) != whole | each:
                pass


@everywhere
async def test_P19_junk_in_the_answer_to_ehlo() -> None:
    junk = [
        *(b"AUTH PLAIN.example", b"size abc", b"8bitmime", b"", b"=X", b"\xffY"),
        *(b"PIPELINING", b"SIZE 1", b"x-" + b"z" * 1500, b"AUTH=LOGIN x.y"),
        *(b"X%d" % number for number in range(400)),
    ]
    answer = b"".join(b"250-%b\r\n" % line for line in [b"SMTPUTF8 here", *junk])
    async with serving(script(EHLO=answer + b"250 HELP\r\n")) as server:
        async with server.client() as client:
            offered = (await client.probe()).extensions
            assert offered.auth == ("LOGIN",)
            assert offered.size is None
            assert "SMTPUTF8" not in offered
            assert len(offered) == 406
            await send(client)
            # Two round trips, no limit on the size, and nothing of the junk.
            assert server.taps[0].writes[1].startswith(b"MAIL FROM:<")
            assert server.taps[0].writes[1].endswith(b"DATA\r\n")
