"""Every breach of the RFCs: its reply, and what is put on record."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from esmtp_async.testing import DEFAULT_EXTENSIONS, Rule, SMTPServer
from tests.backends import everywhere
from tests.testing.talk import Talk, talk_to

H = "EHLO c.test"
M = "MAIL FROM:<a@x.test>"
R = "RCPT TO:<b@x.test>"
D = "DATA"


class Case(NamedTuple):
    """Lines that must be answered well, and then octets that must not."""

    lines: tuple[str, ...]
    octets: bytes
    #: How the first reply to them begins.
    reply: bytes
    #: What the record says.
    record: str


CASES = {
    # Lines
    "bare LF": Case((), b"NOOP\n", b"500 ", "LF without CR"),
    "bare CR": Case((), b"NOOP a\rb\r\n", b"500 ", "control character"),
    "NUL": Case((), b"NOOP \0\r\n", b"500 ", "control character"),
    "8-bit": Case((), b"NOOP \xc3\xa9\r\n", b"500 ", "octets above 127"),
    "no UTF-8": Case((H,), b"NOOP \xe9\r\n", b"500 ", "not UTF-8"),
    "513 octets": Case((H,), b"NOOP " + b"x" * 506 + b"\r\n", b"500 ", "exceeds 512"),
    "far too long": Case((), b"x" * 200_000 + b"\r\n", b"500 ", "line is too long"),
    "too long": Case((), b"x" * 12_287 + b"\r\n", b"500 ", "line is too long"),
    "long": Case((), b"x" * 12_286 + b"\r\n", b"500 ", "exceeds 512 octets"),
    "long MAIL": Case(
        ("HELO c.test",),
        b"MAIL FROM:<%b@x.test>\r\n" % (b"x" * 500),
        b"500 ",
        "exceeds 512 octets",
    ),
    "no command": Case((), b"FOO bar\r\n", b"500 ", "no such command"),
    "no verb": Case((), b"\r\n", b"500 ", "no such command"),
    # The session
    "no argument": Case((), b"EHLO\r\n", b"501 ", "no domain and no address literal"),
    "bad domain": Case((), b"EHLO a_b\r\n", b"501 ", "no domain"),
    "U-label": Case((H,), "EHLO ü.test\r\n".encode(), b"501 ", "no domain"),
    "bad literal": Case((), b"HELO [300.1.1.1]\r\n", b"501 ", "no domain"),
    "LHLO": Case((), b"LHLO c.test\r\n", b"500 ", "LHLO is of another protocol"),
    "RSET argument": Case((), b"RSET x\r\n", b"501 ", "argument is not allowed"),
    "QUIT argument": Case((), b"QUIT x\r\n", b"501 ", "argument is not allowed"),
    "VRFY alone": Case((), b"VRFY\r\n", b"501 ", "argument is missing"),
    "EXPN alone": Case((), b"EXPN\r\n", b"501 ", "argument is missing"),
    "no STARTTLS": Case((H,), b"STARTTLS\r\n", b"502 ", "STARTTLS is not offered"),
    "STARTTLS argument": Case((H,), b"STARTTLS x\r\n", b"501 ", "not allowed"),
    "no AUTH": Case((H,), b"AUTH PLAIN\r\n", b"502 ", "AUTH is not offered"),
    # The order
    "MAIL first": Case((), b"MAIL FROM:<a@x.test>\r\n", b"503 ", "MAIL before EHLO"),
    "BDAT first": Case((), b"BDAT 1\r\nx", b"503 ", "BDAT before EHLO"),
    "AUTH first": Case((), b"AUTH PLAIN\r\n", b"503 ", "AUTH before EHLO"),
    "nested MAIL": Case((H, M), M.encode() + b"\r\n", b"503 ", "within a mail trans"),
    "RCPT alone": Case((H,), R.encode() + b"\r\n", b"503 ", "no MAIL came before"),
    "DATA alone": Case((H,), b"DATA\r\n", b"503 ", "no MAIL came before"),
    "no RCPT": Case((H, M), b"DATA\r\n", b"554 ", "no RCPT came before"),
    "RCPT of before": Case(
        (H, M, R, "RSET", M), b"BDAT 1 LAST\r\nx", b"554 ", "no RCPT came before"
    ),
    "DATA behind BDAT": Case(
        (H, M, R, "BDAT 0"), b"DATA\r\n", b"503 ", "DATA behind BDAT"
    ),
    "RCPT behind BDAT": Case(
        (H, M, R, "BDAT 0"), R.encode() + b"\r\n", b"503 ", "RCPT behind BDAT"
    ),
    "AUTH in mail": Case((H, M), b"AUTH PLAIN\r\n", b"503 ", "AUTH within a mail"),
    "DATA argument": Case((H, M, R), b"DATA x\r\n", b"501 ", "not allowed"),
    # Paths
    "space": Case((H,), b"MAIL FROM: <a@x.test>\r\n", b"501 ", "expected FROM:<path>"),
    "no brackets": Case(
        (H,), b"MAIL FROM:a@x.test\r\n", b"501 ", "expected FROM:<path>"
    ),
    "no keyword": Case((H,), b"MAIL <a@x.test>\r\n", b"501 ", "expected FROM:<path>"),
    "trailing space": Case((H,), b"MAIL FROM:<> \r\n", b"501 ", "expected FROM:<path>"),
    "two spaces": Case((H,), b"MAIL FROM:<>  SIZE=1\r\n", b"501 ", "expected FROM:"),
    "no mailbox": Case((H,), b"MAIL FROM:<a>\r\n", b"501 5.1.7", "not one mailbox"),
    "postmaster": Case((H,), b"MAIL FROM:<Postmaster>\r\n", b"501 5.1.7", "mailbox"),
    "null": Case((H, M), b"RCPT TO:<>\r\n", b"501 5.1.3", "cannot be null"),
    "bad RCPT": Case((H, M), b"RCPT TO:<b@>\r\n", b"501 5.1.3", "mailbox"),
    "UTF-8 sender": Case(
        (H,), "MAIL FROM:<ü@x.test>\r\n".encode(), b"553 5.6.7", "needs SMTPUTF8"
    ),
    "UTF-8 recipient": Case(
        (H, M), "RCPT TO:<ü@x.test>\r\n".encode(), b"553 5.6.7", "needs SMTPUTF8"
    ),
    # Parameters
    "unknown": Case((H,), M.encode() + b" X=1\r\n", b"555 5.5.4", "X is not known"),
    "of RCPT": Case((H,), M.encode() + b" NOTIFY=NEVER\r\n", b"555 ", "NOTIFY is not"),
    "not offered": Case(
        (H,), M.encode() + b" REQUIRETLS\r\n", b"555 ", "an extension not offered"
    ),
    "AUTH not offered": Case(
        (H,), M.encode() + b" AUTH=<>\r\n", b"555 ", "not offered"
    ),
    "binary not offered": Case(
        (H,),
        M.encode() + b" BODY=BINARYMIME\r\n",
        b"555 ",
        "without BINARYMIME offered",
    ),
    "twice": Case(
        (H,), M.encode() + b" SIZE=1 Size=2\r\n", b"501 ", "SIZE is given twice"
    ),
    "no parameter": Case((H,), M.encode() + b" =1\r\n", b"501 ", "=1 is no parameter"),
    "no value": Case((H,), M.encode() + b" SIZE\r\n", b"501 ", "grammar of SIZE"),
    "a value": Case((H,), M.encode() + b" SMTPUTF8=1\r\n", b"501 ", "of SMTPUTF8"),
    "bad SIZE": Case((H,), M.encode() + b" SIZE=-1\r\n", b"501 ", "grammar of SIZE"),
    "bad BODY": Case((H,), M.encode() + b" BODY=9BIT\r\n", b"501 ", "grammar of BODY"),
    "bad xtext": Case((H,), M.encode() + b" ENVID=+2b\r\n", b"501 ", "of ENVID"),
    "long ENVID": Case(
        (H,), M.encode() + b" ENVID=" + b"x" * 101 + b"\r\n", b"501 ", "of ENVID"
    ),
    "bad RET": Case((H,), M.encode() + b" RET=BODY\r\n", b"501 ", "grammar of RET"),
    "NEVER and": Case(
        (H, M), R.encode() + b" NOTIFY=NEVER,DELAY\r\n", b"501 ", "grammar of NOTIFY"
    ),
    "NOTIFY twice": Case(
        (H, M), R.encode() + b" NOTIFY=DELAY,Delay\r\n", b"501 ", "repeats a keyword"
    ),
    "bad ORCPT": Case(
        (H, M), R.encode() + b" ORCPT=b@x.test\r\n", b"501 ", "grammar of ORCPT"
    ),
    # Mail data
    "lone LF": Case(
        (H, M, R, D), b"a\nb\r\n.\r\n", b"554 5.6.0", "a CR or LF by itself"
    ),
    "lone CR": Case(
        (H, M, R, D), b"a\rb\r\n.\r\n", b"554 5.6.0", "a CR or LF by itself"
    ),
    "smuggling": Case(
        (H, M, R, D), b"a\n.\r\n.\r\n", b"554 5.6.0", "a CR or LF by itself"
    ),
    "long line": Case(
        (H, M, R, D), b"x" * 999 + b"\r\n.\r\n", b"250 ", "a line of more than 998"
    ),
    "not stuffed": Case((H, M, R, D), b".a\r\n.\r\n", b"250 ", "was not stuffed"),
    "8-bit content": Case(
        (H, M, R, D), b"\r\n\xe9\r\n.\r\n", b"250 ", "without BODY=8BITMIME"
    ),
    "8-bit as 7BIT": Case(
        (H, M + " BODY=7BIT", R, D), b"\r\n\xe9\r\n.\r\n", b"250 ", "BODY=8BITMIME"
    ),
    "8-bit header": Case(
        (H, M + " BODY=8BITMIME", R, D),
        b"S: \xc3\xa9\r\n\r\n.\r\n",
        b"250 ",
        "a header outside ASCII without SMTPUTF8",
    ),
    "SIZE too small": Case(
        (H, M + " SIZE=3", R, D), b"hi\r\n.\r\n", b"250 ", "SIZE=3 was declared for 4"
    ),
    "no CRLF": Case((H, M, R), b"BDAT 1 LAST\r\nx", b"250 ", "do not end in CRLF"),
}


@everywhere
@pytest.mark.parametrize("name", CASES)
async def test_a_breach_is_answered_and_put_on_record(name: str) -> None:
    case = CASES[name]
    async with SMTPServer() as server:
        talk = await talk_to(server, *case.lines)
        assert server.violations == []
        await talk.send(case.octets)
        assert (await talk.reply()).startswith(case.reply)
        # The conversation goes on in step.
        assert (await talk.say("RSET"))[:3] == b"250"
    (violation,) = server.violations
    assert case.record in violation


@everywhere
async def test_after_a_bad_greeting_only_quit() -> None:
    async with SMTPServer(rules=[Rule("CONNECT", reply="554 no service")]) as server:
        talk = Talk(await server.connect())
        assert await talk.reply() == b"554 no service\r\n"
        assert (await talk.say(H))[:3] == b"503"
        assert (await talk.say("QUIT"))[:3] == b"221"
    assert server.violations == [
        "connection 1, at 'EHLO c.test': only QUIT may follow such a greeting"
    ]


@everywhere
async def test_mail_data_for_nobody() -> None:
    rules = [Rule("RCPT", reply="550 no"), Rule("DATA", reply="354 go")]
    async with SMTPServer(rules=rules) as server:
        for content, expected in ((b".\r\n", 0), (b"hi\r\n.\r\n", 1)):
            talk = await talk_to(server, H, M)
            assert (await talk.say(R))[:3] == b"550"
            assert await talk.say(D) == b"354 go\r\n"
            await talk.send(content)
            assert (await talk.reply()).startswith(b"554 5.5.1 no valid recipients")
            assert len(server.violations) == expected
    assert "mail data though nobody gets them" in server.violations[0]
    assert server.messages == []


@everywhere
async def test_ehlo_of_smtp_is_none_of_lmtp() -> None:
    async with SMTPServer(lmtp=True) as server:
        talk = await talk_to(server)
        assert (await talk.say(H))[:3] == b"500"
        assert (await talk.say("HELO c.test"))[:3] == b"500"
    assert len(server.violations) == 2


@everywhere
async def test_bdat_must_be_offered() -> None:
    async with SMTPServer(extensions=[]) as server:
        talk = await talk_to(server, H, M, R)
        assert (await talk.group(b"BDAT 2 LAST\r\n\r\n", 1))[0][:3] == b"502"
    assert "BDAT is not offered" in server.violations[0]


@everywhere
async def test_binary_mail_needs_bdat() -> None:
    async with SMTPServer(extensions=[*DEFAULT_EXTENSIONS, "BINARYMIME"]) as server:
        talk = await talk_to(server, H, M + " BODY=BINARYMIME", R)
        assert (await talk.say(D))[:3] == b"503"
    assert "BODY=BINARYMIME needs BDAT" in server.violations[0]


@everywhere
async def test_a_needless_8bitmime_is_only_noted() -> None:
    async with SMTPServer() as server:
        talk = await talk_to(server, H, M + " BODY=8BITMIME", R, D)
        assert (await talk.say("."))[:3] == b"250"
    assert server.violations == []
    assert server.notes == [
        "connection 1, at 'DATA': BODY=8BITMIME was declared for ASCII"
    ]


EXTENSIONS = [
    *("REQUIRETLS", "DELIVERBY 60", "FUTURERELEASE 86400 2030-01-01T00:00:00Z"),
    *("MT-PRIORITY MIXER", "DSN"),
]


@everywhere
@pytest.mark.parametrize(
    ("parameter", "good"),
    [
        ("REQUIRETLS", True),
        ("BY=120;R", True),
        ("BY=-120;nt", True),
        ("BY=120", False),
        ("HOLDFOR=1", True),
        ("HOLDFOR=0", False),
        ("HOLDUNTIL=2026-11-24T08:00:00Z", True),
        ("HOLDUNTIL=tomorrow", False),
        ("MT-PRIORITY=-9", True),
        ("MT-PRIORITY=+1", False),
        ("RET=full", True),
    ],
)
async def test_parameters_of_other_extensions(parameter: str, *, good: bool) -> None:
    async with SMTPServer(extensions=EXTENSIONS) as server:
        talk = await talk_to(server, H)
        assert (await talk.say(f"{M} {parameter}"))[:3] == (b"250" if good else b"501")
    assert len(server.violations) == (not good)


@everywhere
async def test_offered_extensions_let_a_line_be_longer() -> None:
    orcpt = "rfc822;" + "x" * 493
    async with SMTPServer() as server:
        talk = await talk_to(server, H, M)
        rcpt = f"RCPT TO:<{'b' * 64}@{'x' * 63}.test> ORCPT={orcpt}"
        assert len(rcpt) > 512
        assert (await talk.say(rcpt))[:3] == b"250"
    assert server.violations == []


@everywhere
async def test_a_line_may_have_512_octets() -> None:
    async with SMTPServer() as server:
        talk = await talk_to(server)
        assert (await talk.say("NOOP " + "x" * 505))[:3] == b"250"
    assert server.violations == []


@everywhere
async def test_a_line_of_mail_data_may_have_998_octets_and_crlf() -> None:
    async with SMTPServer() as server:
        talk = await talk_to(server, H, M, R, D)
        await talk.send(b"x" * 998 + b"\r\n.\r\n")
        assert (await talk.reply())[:3] == b"250"
    assert server.violations == []


@everywhere
async def test_what_is_too_long_is_not_kept() -> None:
    async with SMTPServer() as server:
        talk = await talk_to(server)
        await talk.send(b"x" * 200_000 + b"\r\n")
        await talk.reply()
    assert ("C", b"<too many octets>\r\n") in server.transcript[0]
    assert server.violations == [
        "connection 1, at '<too many octets>': the line is too long"
    ]
