"""Each stage has a limit of its own, and is told where something ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import anyio
import pytest

from esmtp_async import (
    ClientOptions,
    OutcomeUnknown,
    ProtocolViolation,
    SMTPError,
    Stage,
    StageTimeout,
    Timeouts,
)
from tests.backends import everywhere, in_virtual_time
from tests.client.certificates import client_context
from tests.client.checks import BOB, failure, outcomes, send
from tests.raw import (
    HANG,
    STALL,
    After,
    Answer,
    offering,
    script,
    serving,
)
from tests.taps import Tap

MANY: Final = [f"user{number}@example.test" for number in range(250)]
TLS_CLIENT: Final[ClientOptions] = {"ssl_context": client_context()}
AUTH: Final[ClientOptions] = {
    "username": "u",
    "password": "p",
    "allow_plaintext_auth": True,
}


@in_virtual_time
@pytest.mark.parametrize(
    ("limit", "stage", "answers", "options"),
    [
        ("greeting", Stage.GREETING, {"CONNECT": HANG}, {}),
        ("command", Stage.HELLO, {"EHLO": HANG}, {}),
        (
            "command",
            Stage.STARTTLS,
            {"EHLO": offering("STARTTLS"), "STARTTLS": HANG},
            TLS_CLIENT,
        ),
        (
            "command",
            Stage.TLS,
            {"EHLO": offering("STARTTLS"), "STARTTLS": (b"220 go\r\n", STALL)},
            TLS_CLIENT,
        ),
        ("command", Stage.TLS, {"CONNECT": STALL}, {**TLS_CLIENT, "security": "tls"}),
        ("command", Stage.AUTH, {"EHLO": offering("AUTH PLAIN"), "AUTH": HANG}, AUTH),
        ("command", Stage.MAIL, {"MAIL": HANG}, {}),
        ("command", Stage.RCPT, {"RCPT": HANG}, {}),
        ("data", Stage.DATA, {"DATA": HANG}, {}),
        ("command", Stage.RSET, {"DATA": b"554 no\r\n", "RSET": HANG}, {}),
    ],
)
async def test_stage_timeouts(
    limit: str,
    stage: Stage,
    answers: dict[str, Answer | list[Answer]],
    options: ClientOptions,
) -> None:
    impatient = options.copy()
    impatient["timeouts"] = Timeouts(**{limit: 0.15})
    impatient["pipelining"] = "off"  # a group would be tried once more without
    async with serving(script(**answers), script()) as server:
        async with server.client(**impatient) as client:
            if stage is Stage.RSET:
                with pytest.raises(SMTPError):
                    await send(client)
            start = anyio.current_time()
            error = await failure(client, StageTimeout)
            assert anyio.current_time() - start == pytest.approx(0.15)
            assert error.stage is stage
            assert error.temporary
            assert error.retry_safe
            assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
            assert isinstance(error, TimeoutError)
            assert server.taps[0].closed == 1


@in_virtual_time
async def test_stage_timeout_of_connecting() -> None:
    async def connect() -> Tap:
        await anyio.sleep_forever()
        raise AssertionError

    async with serving() as server:
        async with server.client(
            connect=connect, timeouts=Timeouts(connect=0.05)
        ) as client:
            error = await failure(client, StageTimeout)
            assert error.stage is Stage.CONNECT
            assert "0.05 s" in str(error)


@in_virtual_time
async def test_stage_timeout_of_the_final_reply() -> None:
    async with serving(script(CONTENT=HANG), script()) as server:
        async with server.client(timeouts=Timeouts(final=0.1)) as client:
            error = await failure(client, OutcomeUnknown)
            assert error.stage is Stage.FINAL
            assert type(error.__cause__) is StageTimeout
            assert server.taps[0].closed == 1


@in_virtual_time
async def test_E11_a_reply_that_drips_has_one_deadline() -> None:
    drip: Answer = (*(step for _ in range(40) for step in (b"2", 0.04)), HANG)
    async with serving(script(EHLO=drip)) as server:
        async with server.client(timeouts=Timeouts(command=0.3)) as client:
            start = anyio.current_time()
            error = await failure(client, StageTimeout)
            assert error.stage is Stage.HELLO
            assert anyio.current_time() - start == pytest.approx(0.3)


@in_virtual_time
@pytest.mark.parametrize(
    ("timeouts", "limit"),
    [(Timeouts(), 900), (Timeouts(opening=600), 600), (Timeouts.each(300), 900)],
)
async def test_E11_the_opening_as_a_whole_has_a_deadline(
    timeouts: Timeouts, limit: float
) -> None:
    """Each reply comes in time, and takes nearly all of it."""
    slow = script(
        CONNECT=(290, b"220 x\r\n"),
        EHLO=(290, offering("AUTH LOGIN")),
        AUTH=(b"334 ", 290, b"VXNlcm5hbWU6\r\n"),
        RESPONSE=(b"334 ", 290, b"UGFzc3dvcmQ6\r\n"),
    )
    options = AUTH.copy()
    options["timeouts"] = timeouts
    async with serving(slow, script()) as server:
        async with server.client(**options) as client:
            start = anyio.current_time()
            error = await failure(client, StageTimeout)
            assert anyio.current_time() - start == pytest.approx(limit)
            assert error.stage is Stage.AUTH
            assert f"not ready for mail within {limit} s" in str(error)
            assert error.retry_safe
            assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
            assert server.taps[0].closed == 1
            assert "MAIL" not in server.heard[0].verbs


@in_virtual_time
async def test_each_reply_has_a_deadline_of_its_own() -> None:
    slow = script(RCPT=(0.1, b"250 ok\r\n"))
    async with serving(slow) as server:
        server.collects = False
        async with server.client(timeouts=Timeouts(command=0.2)) as client:
            receipt = await send(client, recipients=MANY[:5])
            assert len(receipt.accepted) == 5


@in_virtual_time
@pytest.mark.parametrize("source", ["bytes", "stream"])
async def test_E12_a_server_that_does_not_read(source: str) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    deaf = script(DATA=(b"354 go\r\n", After(1), STALL))
    async with serving(deaf, script()) as server:
        async with server.client(
            connect=server.connect, timeouts=Timeouts(block=0.2)
        ) as client:
            big = b"Subject: big\r\n\r\n" + b"x" * 300_000
            message = endless() if source == "stream" else big
            error = await failure(client, StageTimeout, message)
            assert error.stage is Stage.CONTENT
            assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
            assert b"\r\n.\r\n" not in server.taps[0].octets
            assert server.taps[0].closed == 1


@in_virtual_time
async def test_a_slow_upload_that_makes_progress_goes_on() -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(5):
            await anyio.sleep(0.1)
            yield b"x" * 100

    async with serving(script()) as server:
        async with server.client(timeouts=Timeouts(block=0.3)) as client:
            assert (await send(client, slow())).accepted == (BOB,)


@everywhere
async def test_the_stage_of_a_violation_is_that_of_the_reply_before_it() -> None:
    """However many replies came in the same read."""
    surplus = script(RCPT=b"250 ok\r\n250 ok\r\n")
    async with serving(surplus) as server, server.client() as client:
        with pytest.raises(ProtocolViolation) as info:
            await send(client, all_or_nothing=True)
        assert info.value.stage is Stage.RCPT
        assert [result.stage for result in info.value.recipients] == [Stage.RCPT]
