"""Rows T1-T6, T15 and D4: STARTTLS, and what an attacker makes of it.

The others have files of their own: certificates T7-T9 and T14, connections T10-T13.
"""

from __future__ import annotations

import anyio
import pytest

from esmtp_async import (
    AuthenticationFailed,
    ClientOptions,
    HelloRefused,
    NotSupported,
    ProtocolViolation,
    SendOptions,
    SMTPClient,
    Stage,
    TLSFailed,
)
from tests.backends import everywhere
from tests.client.certificates import client_context, server_context
from tests.client.checks import (
    ALICE,
    BOB,
    MESSAGE,
    assert_poisoned,
    failure,
    outcomes,
    send,
)
from tests.raw import (
    EOF,
    HANG,
    NAME,
    RST,
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
        options = ClientOptions(
            username="u", password="p", client_hostname=NAME, connect=server.connect
        )
        for scheme in ("submission", "smtp"):  # required is the default elsewhere
            url = f"{scheme}://mail.example.test"
            async with SMTPClient(url, **options) as client:
                error = await failure(client, TLSFailed)
            assert error.stage is Stage.STARTTLS
            assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
            assert server.taps[-1].octets == HELLO
        assert len(server.taps) == 2


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
@pytest.mark.parametrize(
    "reply",
    [
        *(b"22x go\r\n", b"+22 go\r\n", b"2_2 go\r\n", b" 22 go\r\n"),
        *(b"2200 go\r\n", b"220Xgo\r\n", b"220\tgo\r\n", b"020 go\r\n", b"620 go\r\n"),
        *(b"220-a\r\n454 b\r\n", b"454-a\r\n220 b\r\n"),
        *(b"220 go\n", b"\r\n220 go\r\n", b"220 " + b"x" * 3000),
    ],
)
async def test_P1_P2_P3_P4_P7_P8_P10_P16_in_answer_to_starttls(reply: bytes) -> None:
    hostile = protected(STARTTLS=(reply, HANG))
    async with serving(hostile, tls=server_context()) as server:
        for security in ("starttls", "opportunistic"):
            async with server.client(security=security) as client:
                error = await failure(client, TLSFailed)
            assert error.stage is Stage.STARTTLS
            assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
            assert server.taps[-1].octets == HELLO + b"STARTTLS\r\n"


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
                error = await failure(client, HelloRefused)
                assert error.command == "EHLO"
        assert [tap.octets for tap in server.taps] == [HELLO, HELLO]
        async with server.client(security="plaintext") as client:
            assert (await send(client)).accepted == (BOB,)
        assert server.heard[2].verbs[:2] == ["EHLO", "HELO"]


@everywhere
async def test_T6_nothing_offered_in_clear_text_counts() -> None:
    before = offering(
        "STARTTLS", "AUTH PLAIN", "SIZE 5", "8BITMIME", "CHUNKING", "LIMITS RCPTMAX=1"
    )
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
            extensions = (await client.probe()).extensions
            assert set(extensions) == {"PIPELINING"}
            assert (dict(extensions.limits), extensions.auth) == ({}, ())
        assert receipt.tls is not None
        assert receipt.tls.version.startswith("TLSv1.")
        assert server.heard[1].lines[3:6] == [
            b"MAIL FROM:<alice@example.test>",
            b"RCPT TO:<bob@example.test>",
            b"DATA",
        ]


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
async def test_T15_what_is_wanted_and_not_offered_under_tls() -> None:
    # Offered in clear text it is not offered.
    fickle = script(EHLO=[offering("STARTTLS", "DSN", "REQUIRETLS"), BEHIND])
    async with serving(fickle, tls=server_context()) as server:
        async with server.client(
            security="starttls", ssl_context=client_context()
        ) as client:
            options = SendOptions(ret="HDRS")
            error = await failure(client, NotSupported, options=options)
            assert error.extension == "DSN"
            assert outcomes(error.recipients) == [("bob", "REFUSED", None)]
            assert server.heard[0].verbs == ["EHLO", "STARTTLS", "EHLO"]
            assert (await send(client)).accepted == (BOB,)


@everywhere
@pytest.mark.parametrize("offered", [False, True])
async def test_T15_requiretls(offered: bool) -> None:  # noqa: FBT001
    keywords = ["REQUIRETLS"] if offered else []
    fickle = script(EHLO=[offering("STARTTLS", "REQUIRETLS"), offering(*keywords)])
    options = SendOptions(require_tls=True)
    async with (
        serving(fickle, tls=server_context()) as server,
        server.client(security="starttls", ssl_context=client_context()) as client,
    ):
        if offered:
            await client.send(MESSAGE, sender=ALICE, recipients=BOB, options=options)
            assert server.heard[0].lines[3].endswith(b" REQUIRETLS")
        else:
            with pytest.raises(NotSupported) as info:
                await client.send(
                    MESSAGE, sender=ALICE, recipients=BOB, options=options
                )
            assert info.value.extension == "REQUIRETLS"
            assert "MAIL" not in server.heard[0].verbs
