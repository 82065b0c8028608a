"""AUTH and STARTTLS as the model server takes them (RFC 4954, RFC 3207)."""

from __future__ import annotations

from base64 import b64encode

import anyio
import pytest
from anyio.streams.tls import TLSAttribute, TLSStream

from esmtp_async.testing import Rule, SMTPServer
from esmtp_async.testing._rules import SERVE
from tests.backends import everywhere
from tests.testing.talk import SOON, Talk, talk_to

HELLO = "EHLO client.example.test"
USERS = {"alice": "sesame", "bob": "päss"}


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


GOOD = b64("\0alice\0sesame")


def plaintext_server(
    rule: Rule = SERVE, *, require_auth: bool = False, mechanisms: str = "PLAIN LOGIN"
) -> SMTPServer:
    return SMTPServer(
        users=USERS,
        mechanisms=mechanisms.split(),
        auth_needs_tls=False,
        require_auth=require_auth,
        rules=[rule],
    )


@everywhere
@pytest.mark.parametrize(
    "lines",
    [
        (f"AUTH PLAIN {GOOD}",),
        (f"auth plain {b64(chr(0).join(('alice', 'alice', 'sesame')))}",),
        ("AUTH PLAIN", GOOD),
        (f"AUTH PLAIN {b64(chr(0) + 'bob' + chr(0) + 'päss')}",),
        ("AUTH LOGIN", b64("alice"), b64("sesame")),
        (f"AUTH LOGIN {b64('alice')}", b64("sesame")),
    ],
)
async def test_the_right_words_authenticate(lines: tuple[str, ...]) -> None:
    async with plaintext_server(require_auth=True) as server:
        talk = await talk_to(server, HELLO)
        *first, last = lines
        for line in first:
            assert (await talk.say(line)).startswith(b"334 ")
        assert await talk.say(last) == b"235 2.7.0 authenticated\r\n"
        for line in ("MAIL FROM:<a@x.test> AUTH=<>", "RCPT TO:<b@x.test>", "DATA", "."):
            assert (await talk.say(line))[:1] in {b"2", b"3"}
        assert (await talk.say("AUTH PLAIN"))[:3] == b"503"
    assert server.messages[0].username in USERS
    assert server.messages[0].mail_parameters == {"AUTH": "<>"}
    (violation,) = server.violations
    assert "authenticated already" in violation


XOAUTH2 = "user=alice\1auth=Bearer sesame\1\1"
OAUTHBEARER = "n,a=alice,\1host=h\1port=1\1auth=Bearer sesame\1\1"
ACCOUNT = b"334 " + b64encode(b'{"status":"invalid_token","scope":"mail"}') + b"\r\n"


@everywhere
@pytest.mark.parametrize(
    ("mechanism", "message", "acknowledgement"),
    [("XOAUTH2", XOAUTH2, ""), ("OAUTHBEARER", OAUTHBEARER, "AQ==")],
)
async def test_tokens(mechanism: str, message: str, acknowledgement: str) -> None:
    async with plaintext_server(mechanisms=mechanism) as server:
        talk = await talk_to(server, HELLO)
        wrong = f"AUTH {mechanism} {b64(message.replace('sesame', 'wrong'))}"
        assert await talk.say(wrong) == ACCOUNT
        assert (await talk.say(acknowledgement)).startswith(b"535 5.7.8 ")
        assert await talk.say(wrong) == ACCOUNT
        assert (await talk.say(b64("x"))).startswith(b"501 5.5.2 ")
        assert await talk.say(wrong) == ACCOUNT
        assert (await talk.say("*")).startswith(b"501 5.7.0 ")
        for broken in (message[1:], message[:-1], message + "\1", "\1", "", "a\1b"):
            assert (await talk.say(f"AUTH {mechanism} {b64(broken) or '='}"))[
                :3
            ] == b"501"
        assert (await talk.say(f"AUTH {mechanism} {b64(message)}"))[:3] == b"235"
    assert len(server.violations) == 7


@everywhere
async def test_a_name_in_a_gs2_header_is_escaped() -> None:
    async with SMTPServer(
        users={"a,b=c": "sesame"}, mechanisms=["OAUTHBEARER"], auth_needs_tls=False
    ) as server:
        talk = await talk_to(server, HELLO)
        message = OAUTHBEARER.replace("alice", "a=2Cb=3Dc")
        assert (await talk.say(f"AUTH OAUTHBEARER {b64(message)}"))[:3] == b"235"


@everywhere
async def test_the_prompts() -> None:
    async with plaintext_server() as server:
        talk = await talk_to(server)
        assert b"\r\n250 AUTH PLAIN LOGIN\r\n" in await talk.say(HELLO)
        assert await talk.say("AUTH PLAIN") == b"334 \r\n"
        assert (await talk.say("*")).startswith(b"501 5.7.0 ")
        assert await talk.say("AUTH LOGIN") == b"334 VXNlcm5hbWU6\r\n"
        assert await talk.say(b64("alice")) == b"334 UGFzc3dvcmQ6\r\n"
        assert (await talk.say("*")).startswith(b"501 5.7.0 ")
        assert (await talk.say("AUTH LOGIN ="))[:4] == b"334 "
        assert (await talk.say(b64("sesame"))).startswith(b"535 5.7.8 ")
        assert (await talk.say("MAIL FROM:<a@x.test>"))[:3] == b"250"
    assert server.violations == []


@everywhere
@pytest.mark.parametrize(
    ("response", "reply", "record"),
    [
        (b64("\0alice\0wrong"), b"535 5.7.8 ", None),
        (b64("\0mallory\0sesame"), b"535 5.7.8 ", None),
        (b64("bob\0alice\0sesame"), b"535 5.7.8 ", None),
        ("=", b"501 5.5.2 ", "not base64"),
        (b64("\0alice"), b"501 5.5.2 ", "PLAIN has three fields"),
        (b64("\0alice\0sesame\0"), b"501 5.5.2 ", "PLAIN has three fields"),
        ("!!!!", b"501 5.5.2 ", "not base64"),
        ("YQ", b"501 5.5.2 ", "not base64"),
        ("YR==", b"501 5.5.2 ", "not base64"),
        ("YQ==\n", b"501 5.5.2 ", "ends in LF without CR"),
        ("x" * 13000, b"500 5.5.6 ", "the response is too long"),
    ],
)
async def test_the_wrong_words_do_not(
    response: str, reply: bytes, record: str | None
) -> None:
    async with plaintext_server(require_auth=True) as server:
        talk = await talk_to(server, HELLO, "AUTH PLAIN")
        end = "" if response.endswith("\n") else "\r\n"
        await talk.send((response + end).encode())
        assert (await talk.reply()).startswith(reply)
        assert (await talk.say("MAIL FROM:<a@x.test>")).startswith(b"530 5.7.0 ")
    if record is None:
        assert server.violations == []
    else:
        (violation,) = server.violations
        assert record in violation


@everywhere
async def test_a_mechanism_must_be_offered() -> None:
    async with plaintext_server(mechanisms="LOGIN") as server:
        talk = await talk_to(server, HELLO)
        assert (await talk.say(f"AUTH PLAIN {GOOD}")).startswith(b"504 5.5.4 ")
        assert (await talk.say("AUTH"))[:3] == b"504"
    assert len(server.violations) == 2


def test_a_server_cannot_offer_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="no such mechanisms: DIGEST-MD5"):
        SMTPServer(mechanisms=["PLAIN", "DIGEST-MD5"])


@everywhere
async def test_secrets_are_on_no_record() -> None:
    secrets = ["alice", "sesame", b64("alice"), b64("sesame"), GOOD, GOOD[:9]]
    async with plaintext_server() as server:
        for lines in (
            [f"AUTH PLAIN {GOOD}"],
            [f"AUTH PLAIN {GOOD}!"],
            [f"AUTH\tPLAIN {GOOD}"],
            [f"AUTH CRAM-MD5 {GOOD}"],
            ["AUTH PLAIN", GOOD],
            ["AUTH LOGIN", b64("alice"), b64("sesame") + "!"],
        ):
            talk = await talk_to(server, HELLO)
            for line in lines:
                await talk.say(line)
    record = repr(
        (server.transcript, server.violations, server.notes, server._settings)
    )
    assert [secret for secret in secrets if secret in record] == []
    assert ("C", b"AUTH PLAIN <%d octets>\r\n" % len(GOOD)) in server.transcript[0]
    assert ("C", b"AUTH PLAIN\r\n") in server.transcript[4]
    assert ("C", b"<%d octets>\r\n" % len(GOOD)) in server.transcript[4]


@everywhere
@pytest.mark.parametrize(
    ("mechanism", "responses", "username"),
    [
        ("PLAIN", ["\0zoë\0whatever"], "zoë"),
        ("LOGIN", ["zoë", ""], "zoë"),
        ("XOAUTH2", ["user=zoë\1auth=Bearer abc\1\1"], "zoë"),
        ("OAUTHBEARER", ["n,a=zoë,\1auth=Bearer abc\1\1"], "zoë"),
        ("PLAIN", ["\0alice\0not hers"], "alice"),
    ],
)
async def test_anybody_is_let_in_where_anybody_may(
    mechanism: str, responses: list[str], username: str
) -> None:
    server = SMTPServer(
        any_user=True,
        users={"alice": "sesame"},
        mechanisms=[mechanism],
        require_auth=True,
        auth_needs_tls=False,
    )
    async with server:
        talk = await talk_to(server)
        assert f"250 AUTH {mechanism}\r\n".encode() in await talk.say(HELLO)
        said = await talk.say(f"AUTH {mechanism}")
        for response in responses:
            assert said.startswith(b"334 ")
            said = await talk.say(b64(response))
        assert said.startswith(b"235 ")
        for line in ("MAIL FROM:<a@x.test>", "RCPT TO:<b@x.test>", "DATA", "."):
            assert (await talk.say(line))[:1] in {b"2", b"3"}
    assert [message.username for message in server.messages] == [username]


@everywhere
@pytest.mark.parametrize("password", ["", "sesame", "open"])
async def test_anybody_is_still_somebody(password: str) -> None:
    server = SMTPServer(any_user=True, mechanisms=["PLAIN"], auth_needs_tls=False)
    async with server:
        talk = await talk_to(server, HELLO)
        said = await talk.say(f"AUTH PLAIN {b64(chr(0) * 2 + password)}")
        assert said.startswith(b"535 ")


@everywhere
async def test_auth_waits_for_tls() -> None:
    async with SMTPServer(starttls=True, users=USERS) as server:
        talk = await talk_to(server)
        offer = await talk.say(HELLO)
        assert offer.endswith(b"250 STARTTLS\r\n")
        assert b"AUTH" not in offer
        assert (await talk.say(f"AUTH PLAIN {GOOD}")).startswith(b"538 5.7.11 ")
        assert (await talk.say("STARTTLS")).startswith(b"220 ")
        await talk.start_tls(server)
        # Everything is forgotten (RFC 3207 §4.2).
        assert (await talk.say("MAIL FROM:<a@x.test>"))[:3] == b"503"
        offer = await talk.say(HELLO)
        assert offer.endswith(b"250 AUTH PLAIN LOGIN\r\n")
        assert b"STARTTLS" not in offer
        assert (await talk.say("STARTTLS")).startswith(b"503 ")
        assert (await talk.say(f"AUTH PLAIN {GOOD}"))[:3] == b"235"
        for line in ("MAIL FROM:<a@x.test>", "RCPT TO:<b@x.test>", "DATA", ".", "QUIT"):
            await talk.say(line)
        assert await talk.rest() == b""
    (stored,) = server.messages
    assert (stored.tls, stored.username) == (True, "alice")
    assert [violation.partition("': ")[2] for violation in server.violations] == [
        "authentication needs TLS",
        "MAIL before EHLO",
        "TLS is up already",
    ]


@everywhere
async def test_tls_forgets_the_transaction_and_the_user() -> None:
    async with SMTPServer(starttls=True, users=USERS, auth_needs_tls=False) as server:
        talk = await talk_to(
            server, HELLO, f"AUTH PLAIN {GOOD}", "MAIL FROM:<a@x.test>"
        )
        await talk.say("STARTTLS")
        await talk.start_tls(server)
        await talk.say(HELLO)
        assert (await talk.say("RCPT TO:<b@x.test>"))[:3] == b"503"
        assert (await talk.say(f"AUTH PLAIN {GOOD}"))[:3] == b"235"
    assert [violation.partition("': ")[2] for violation in server.violations] == [
        "no MAIL came before"
    ]


@everywhere
async def test_implicit_tls_comes_before_the_greeting() -> None:
    async with SMTPServer(implicit_tls=True) as server:
        talk = Talk(await server.connect())
        await talk.start_tls(server)
        assert talk.stream.extra(TLSAttribute.tls_version) == "TLSv1.3"
        assert (await talk.reply())[:3] == b"220"
        assert b"STARTTLS" not in await talk.say(HELLO)


@everywhere
@pytest.mark.parametrize("octets", [b"", b"EHLO c.test\r\n"])
async def test_a_failed_handshake_is_noted(octets: bytes) -> None:
    async with SMTPServer(implicit_tls=True) as server:
        talk = Talk(await server.connect())
        await talk.send(octets)
        await talk.stream.aclose()
    (note,) = server.notes
    assert "the TLS handshake failed" in note
    assert server.violations == []


@everywhere
async def test_tls_ends_with_a_close_notify() -> None:
    async with SMTPServer(implicit_tls=True) as server:
        stream = await TLSStream.wrap(
            await server.connect(),
            hostname="localhost",
            ssl_context=server.client_context,
            standard_compatible=True,  # only then its absence is an error
        )
        talk = Talk(stream)
        await talk.reply()
        assert (await talk.say("QUIT"))[:3] == b"221"
        assert await talk.rest() == b""
        await stream.aclose()


@everywhere
async def test_a_handshake_cannot_last_for_ever() -> None:
    async with SMTPServer(implicit_tls=True, idle_timeout=0.05) as server:
        talk = Talk(await server.connect())
        await talk.rest()


@everywhere
async def test_two_servers_trust_nobody_in_common() -> None:
    async with SMTPServer(starttls=True) as server, SMTPServer(starttls=True) as other:
        talk = await talk_to(server, HELLO, "STARTTLS")
        with anyio.fail_after(SOON), pytest.raises(OSError, match="CERTIFICATE_VERIFY"):
            await TLSStream.wrap(
                talk.stream,
                hostname="mail.example.test",
                ssl_context=other.client_context,
            )
    assert "the TLS handshake failed" in server.notes[0]


@everywhere
@pytest.mark.parametrize(
    ("rule", "said", "user"),
    [
        (Rule("AUTH", reply="235 2.7.0 you"), [b"235"], None),
        (Rule("AUTH", reply="454 4.7.0 later"), [b"454"], None),
        (Rule("RESPONSE", reply="334 YQ=="), [b"334", b"334", b"334"], None),
        (Rule("RESPONSE", "LOGIN", reply="235 you"), [b"334", b"235"], None),
        (Rule("RESPONSE", "PLAIN", reply="235 you"), [b"334", b"334", b"235"], "alice"),
    ],
)
async def test_rules_for_auth(rule: Rule, said: list[bytes], user: str | None) -> None:
    async with plaintext_server(rule) as server:
        talk = await talk_to(server, HELLO)
        codes = [
            (await talk.say(line))[:3]
            for line, _ in zip(
                ("AUTH LOGIN", b64("alice"), b64("sesame")), said, strict=False
            )
        ]
        assert codes == said
        if codes[-1] == b"334":
            assert (await talk.say("*"))[:3] == b"334"
            assert (await talk.say(b64("x")))[:3] == b"334"
            return
        for line in ("MAIL FROM:<a@x.test>", "RCPT TO:<b@x.test>", "DATA", "."):
            await talk.say(line)
    assert server.messages[0].username == user
