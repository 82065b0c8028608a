"""Rows T1-T8, T12 and T13: STARTTLS, what an attacker makes of it, and how TLS ends.

T10, a set-up cancelled anywhere, is with the other cancellations: E14.
"""

from __future__ import annotations

import anyio
import pytest

from esmtp_async import (
    AuthenticationFailed,
    ClientOptions,
    ConnectionLost,
    OutcomeUnknown,
    ProtocolViolation,
    Stage,
    TLSFailed,
)
from tests.backends import everywhere
from tests.client.certificates import client_context, server_context
from tests.client.checks import (
    BOB,
    MESSAGE,
    assert_poisoned,
    failure,
    outcomes,
    send,
)
from tests.raw import (
    CUT,
    EOF,
    HANG,
    NAME,
    RST,
    STALL,
    TLS,
    Answer,
    Script,
    Step,
    offering,
    script,
    serving,
)
from tests.taps import BLOCK, Tap

HELLO = f"EHLO {NAME}\r\n".encode()
BEFORE = offering("STARTTLS", "PIPELINING")
BEHIND = offering("PIPELINING")


def protected(**answers: Answer | list[Answer]) -> Script:
    """Give a script of a server that offers STARTTLS."""
    answers.setdefault("EHLO", [BEFORE, BEHIND])
    return script(**answers)


@everywhere
@pytest.mark.parametrize(
    "injected",
    [b"250-evil\r\n250 AUTH PLAIN\r\n", b"250-ev", b"2", b"\x16", b"220 go\r\n"],
)
@pytest.mark.parametrize("security", ["starttls", "opportunistic"])
async def test_T1_injected_behind_the_220(injected: bytes, security: str) -> None:
    hostile = protected(STARTTLS=(b"220 go\r\n" + injected, HANG))
    async with serving(hostile, protected(), tls=server_context()) as server:
        async with server.client(
            security=security, ssl_context=client_context()
        ) as client:
            error = await failure(client, TLSFailed)
            assert error.stage is Stage.STARTTLS
            assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
            # No ClientHello, and nothing else either.
            assert server.taps[0].octets == HELLO + b"STARTTLS\r\n"
            await assert_poisoned(server, client, "EHLO", "STARTTLS")


@everywhere
async def test_T1_injected_a_moment_later() -> None:
    hostile = protected(STARTTLS=(b"220 go\r\n", 0.02, b"250-evil\r\n250 x\r\n", HANG))
    async with serving(hostile, protected(), tls=server_context()) as server:
        async with server.client(
            security="starttls", ssl_context=client_context()
        ) as client:
            error = await failure(client, TLSFailed)
            assert error.stage is Stage.TLS
            hello, handshake = server.taps[0].octets.split(b"STARTTLS\r\n")
            assert hello == HELLO
            assert handshake.startswith(b"\x16\x03")
            assert b"EHLO" not in handshake
            assert (await send(client)).tls is not None


@everywhere
async def test_T2_starttls_stripped() -> None:
    stripped = script(EHLO=offering("AUTH PLAIN"))
    async with serving(stripped) as server:
        async with server.client(
            security="starttls", username="u", password="p"
        ) as client:
            error = await failure(client, TLSFailed)
        assert error.stage is Stage.STARTTLS
        assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
        assert server.taps[0].octets == HELLO


@everywhere
async def test_T2_opportunistic_sends_mail_but_no_credentials() -> None:
    stripped = script(EHLO=offering("AUTH PLAIN"))
    async with serving(stripped) as server:
        async with server.client(security="opportunistic") as client:
            assert (await send(client)).tls is None
        async with server.client(
            security="opportunistic", username="u", password="p"
        ) as client:
            await failure(client, AuthenticationFailed)
        assert server.taps[1].octets == HELLO


@everywhere
@pytest.mark.parametrize("code", [221, 250, 299, 354, 421, 454, 500, 501, 502, 530])
async def test_T3_T4_anything_but_220(code: int) -> None:
    refusing = protected(STARTTLS=b"%d no\r\n" % code)
    async with serving(refusing) as server:
        async with server.client(security="starttls") as client:
            error = await failure(client, TLSFailed)
        assert error.stage is Stage.STARTTLS
        assert error.temporary is (400 <= code < 500)
        assert outcomes(error.recipients)[0][1] == "NOT_SENT"
        assert server.taps[0].octets == HELLO + b"STARTTLS\r\n"


@everywhere
@pytest.mark.parametrize("ending", [EOF, RST])
async def test_T3_hung_up_instead_of_an_answer(ending: Answer) -> None:
    async with serving(protected(STARTTLS=ending)) as server:
        async with server.client(security="starttls") as client:
            error = await failure(client, TLSFailed)
        assert error.temporary
        assert server.taps[0].octets == HELLO + b"STARTTLS\r\n"


@everywhere
async def test_T4_opportunistic_trusts_no_false_success() -> None:
    async with serving(protected(STARTTLS=(b"250 go\r\n", HANG))) as server:
        async with server.client(security="opportunistic") as client:
            await failure(client, TLSFailed)
        assert server.taps[0].octets == HELLO + b"STARTTLS\r\n"


@everywhere
@pytest.mark.parametrize("code", [500, 502])
async def test_T5_no_helo_where_extensions_are_needed(code: int) -> None:
    hidden = script(EHLO=b"%d what?\r\n" % code)
    async with serving(hidden) as server:
        for options in (
            ClientOptions(security="starttls"),
            ClientOptions(username="u", password="p", allow_plaintext_auth=True),
        ):
            async with server.client(**options) as client:
                with pytest.raises(Exception, match="EHLO"):
                    await send(client)
        assert [tap.octets for tap in server.taps] == [HELLO, HELLO]
        async with server.client(security="plaintext") as client:
            assert (await send(client)).accepted == (BOB,)
        assert server.heard[2].verbs[:2] == ["EHLO", "HELO"]


@everywhere
async def test_T6_nothing_offered_in_clear_text_counts() -> None:
    before = offering("STARTTLS", "AUTH PLAIN", "SIZE 5", "8BITMIME", "CHUNKING")
    fickle = script(EHLO=[before, offering("PIPELINING")])
    async with serving(fickle, tls=server_context()) as server:
        async with server.client(
            security="starttls",
            ssl_context=client_context(),
            username="u",
            password="p",
        ) as client:
            error = await failure(client, AuthenticationFailed)
            assert error.stage is Stage.AUTH
            assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
        assert server.heard[0].verbs == ["EHLO", "STARTTLS", "EHLO"]
        async with server.client(
            security="starttls", ssl_context=client_context(), pipelining="eager"
        ) as client:
            receipt = await send(client)
            assert set((await client.probe()).extensions) == {"PIPELINING"}
        assert receipt.tls is not None
        assert receipt.tls.version.startswith("TLSv1.")
        assert server.heard[1].lines[3:6] == [
            b"MAIL FROM:<alice@example.test>",
            b"RCPT TO:<bob@example.test>",
            b"DATA",
        ]


@everywhere
async def test_T7_an_unknown_authority() -> None:
    async with serving(protected(), tls=server_context()) as server:
        for context in (None, client_context("theirs")):
            async with server.client(
                security="starttls", ssl_context=context
            ) as client:
                error = await failure(client, TLSFailed)
            assert error.stage is Stage.TLS
            assert not error.temporary
            assert "does not verify" in str(error)
        assert [heard.verbs for heard in server.heard] == [["EHLO", "STARTTLS"]] * 2


@everywhere
@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_T8_a_certificate_of_another_name(security: str) -> None:
    talk = (
        protected() if security == "starttls" else script(CONNECT=(TLS, b"220 x\r\n"))
    )
    async with serving(talk, tls=server_context("mail.example.test")) as server:
        async with server.client(
            security=security, ssl_context=client_context()
        ) as client:
            error = await failure(client, TLSFailed)
            assert "127.0.0.1" in str(error)
        async with server.client(
            security=security,
            ssl_context=client_context(),
            server_hostname="mail.example.test",
        ) as client:
            assert (await send(client)).tls is not None


@everywhere
async def test_D4_a_reply_before_its_command_under_tls() -> None:
    hostile = script(EHLO=[BEFORE, (BEHIND + b"250 early\r\n", HANG)])
    async with serving(hostile, protected(), tls=server_context()) as server:
        async with server.client(
            security="starttls", ssl_context=client_context()
        ) as client:
            error = await failure(client, ProtocolViolation)
            assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
            await assert_poisoned(server, client, "EHLO", "STARTTLS", "EHLO")


@everywhere
@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "CONTENT"])
async def test_D1_D4_records_that_come_together(verb: str) -> None:
    """A reply too many is seen in a record of its own, however the records come."""
    answers = {"CONNECT": b"220 x\r\n", "EHLO": BEHIND, "CONTENT": b"250 ok\r\n"}
    well = script(CONNECT=(TLS, answers["CONNECT"]))
    shake: tuple[Step, ...] = (TLS,) if verb == "CONNECT" else ()
    stray = (*shake, answers[verb], 0.001, b"250 stray\r\n", HANG)
    hostile: Script = {**well, verb: stray}
    async with serving(hostile, well, tls=server_context()) as server:

        class Late(Tap):
            """It comes by when the server has said everything."""

            async def receive(self, max_bytes: int = BLOCK) -> bytes:
                octets = await super().receive(max_bytes)
                with anyio.move_on_after(0.05):
                    while True:
                        octets += await super().receive(max_bytes)
                return octets

        async def connect() -> Tap:
            stream = await anyio.connect_tcp("127.0.0.1", server.port)
            server.taps.append(Late(stream))
            return server.taps[-1]

        async with server.client(
            security="tls", ssl_context=client_context(), connect=connect
        ) as client:
            if verb == "CONTENT":
                assert (await send(client)).accepted == (BOB,)
            else:
                error = await failure(client, ProtocolViolation)
                assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
            verbs = ["EHLO", "MAIL", "RCPT", "DATA"]
            said = {"CONNECT": verbs[:0], "EHLO": verbs[:1], "CONTENT": verbs}
            await assert_poisoned(server, client, *said[verb])


@everywhere
@pytest.mark.parametrize("said", [(), (b"250 queued as 1",)])
async def test_T12_truncation_is_no_reply(said: tuple[bytes, ...]) -> None:
    for verb in ("MAIL", "CONTENT"):
        answers: dict[str, Answer | list[Answer]] = {verb: (*said, CUT)}
        cut = protected(**answers)
        async with serving(cut, protected(), tls=server_context()) as server:
            async with server.client(
                security="starttls", ssl_context=client_context(), pipelining="off"
            ) as client:
                if verb == "MAIL":
                    error = await failure(client, ConnectionLost)
                    assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
                else:
                    unknown = await failure(client, OutcomeUnknown)
                    assert outcomes(unknown.recipients) == [("bob", "UNKNOWN", None)]
                assert (await send(client)).accepted == (BOB,)


@everywhere
async def test_T12_missing_close_notify_behind_a_reply_changes_nothing() -> None:
    cut = protected(CONTENT=(b"250 ok\r\n", CUT), QUIT=(b"221 bye\r\n", CUT))
    async with serving(
        cut, protected(QUIT=(b"221 bye\r\n", CUT)), tls=server_context()
    ) as server:
        async with server.client(
            security="starttls", ssl_context=client_context()
        ) as client:
            assert (await send(client)).accepted == (BOB,)
            await server.heard[0].left()
            assert (await send(client)).accepted == (BOB,)
        assert server.heard[1].contents == [MESSAGE + b".\r\n"]
        assert server.heard[1].verbs[-1] == "QUIT"


@everywhere
@pytest.mark.parametrize("security", ["starttls", "plaintext"])
async def test_T13_a_server_that_never_lets_go(security: str) -> None:
    stuck = protected(QUIT=(b"221 bye\r\n", STALL))
    async with serving(stuck, tls=server_context()) as server:
        client = server.client(security=security, ssl_context=client_context())
        await send(client)
        start = anyio.current_time()
        await client.aclose()
        assert anyio.current_time() - start < 1.5
        assert server.taps[0].closed == 1
