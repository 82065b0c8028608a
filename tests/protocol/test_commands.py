"""Commands: their octets, their limits, what of them is shown (RFC 5321 §4.1)."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmtp_async.protocol import (
    Attributes,
    Auth,
    Bdat,
    Burl,
    Command,
    Connect,
    Content,
    Data,
    Ehlo,
    Etrn,
    Expn,
    ForwardPath,
    Helo,
    Help,
    Lhlo,
    Mail,
    Mailbox,
    Noop,
    Quit,
    Rcpt,
    Response,
    ReversePath,
    Rset,
    Stage,
    StartTLS,
    Verb,
    Vrfy,
    Xclient,
    Xforward,
)
from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.protocol._verbs import (
    END_OF_MAIL_DATA,
    MAX_AUTH_LINE,
    MAX_COMMAND_LINE,
    STAGES,
)

# A command, its verb, its octets, and how it shows itself where that differs.
LINES: list[tuple[Command, Verb, bytes, str | None]] = [
    (Connect(), Verb.CONNECT, b"", "(connect)"),
    (Ehlo("client.example.test"), Verb.HELLO, b"EHLO client.example.test\r\n", None),
    (Ehlo("[192.0.2.1]"), Verb.HELLO, b"EHLO [192.0.2.1]\r\n", None),
    (Ehlo("[IPv6:2001:db8::1]"), Verb.HELLO, b"EHLO [IPv6:2001:db8::1]\r\n", None),
    (Ehlo("bücher.test"), Verb.HELLO, b"EHLO xn--bcher-kva.test\r\n", None),
    (Helo("localhost"), Verb.HELLO, b"HELO localhost\r\n", None),
    (Lhlo("localhost"), Verb.HELLO, b"LHLO localhost\r\n", None),
    (StartTLS(), Verb.STARTTLS, b"STARTTLS\r\n", None),
    (Auth("LOGIN"), Verb.AUTH, b"AUTH LOGIN\r\n", None),
    (
        Auth("EXTERNAL", b""),
        Verb.AUTH,
        b"AUTH EXTERNAL =\r\n",
        "AUTH EXTERNAL <1 octets>",
    ),
    (
        Auth("X-1_A", b"\0a\0b"),
        Verb.AUTH,
        b"AUTH X-1_A AGEAYg==\r\n",
        "AUTH X-1_A <8 octets>",
    ),
    (Response(b"alice"), Verb.RESPONSE, b"YWxpY2U=\r\n", "<8 octets>"),
    (Response(b""), Verb.RESPONSE, b"\r\n", "<0 octets>"),
    (Response(None), Verb.RESPONSE, b"*\r\n", "*"),
    (Mail("a@example.test"), Verb.MAIL, b"MAIL FROM:<a@example.test>\r\n", None),
    (Mail(""), Verb.MAIL, b"MAIL FROM:<>\r\n", None),
    (Mail(ReversePath(None)), Verb.MAIL, b"MAIL FROM:<>\r\n", None),
    (
        Mail("a@example.test", {"SIZE": "5", "SMTPUTF8": None, "BODY": "8BITMIME"}),
        Verb.MAIL,
        b"MAIL FROM:<a@example.test> SIZE=5 SMTPUTF8 BODY=8BITMIME\r\n",
        None,
    ),
    (Rcpt("b@example.test"), Verb.RCPT, b"RCPT TO:<b@example.test>\r\n", None),
    (Rcpt("postMASTER"), Verb.RCPT, b"RCPT TO:<Postmaster>\r\n", None),
    (Rcpt(ForwardPath(None)), Verb.RCPT, b"RCPT TO:<Postmaster>\r\n", None),
    (
        Rcpt("b@example.test", {"NOTIFY": "NEVER"}),
        Verb.RCPT,
        b"RCPT TO:<b@example.test> NOTIFY=NEVER\r\n",
        None,
    ),
    (Data(), Verb.DATA, b"DATA\r\n", None),
    (Content(), Verb.CONTENT, b".\r\n", "<mail data, 3 octets>"),
    (Content(b"a\n.b"), Verb.CONTENT, b"a\r\n..b\r\n.\r\n", "<mail data, 11 octets>"),
    (Bdat(b"a\r\n"), Verb.BDAT, b"BDAT 3\r\na\r\n", "BDAT 3"),
    (Bdat(b".\n", last=True), Verb.LAST, b"BDAT 2 LAST\r\n.\n", "BDAT 2 LAST"),
    (Bdat(b"", last=True), Verb.LAST, b"BDAT 0 LAST\r\n", "BDAT 0 LAST"),
    (Rset(), Verb.RSET, b"RSET\r\n", None),
    (Noop(), Verb.NOOP, b"NOOP\r\n", None),
    (Vrfy("bob"), Verb.VRFY, b"VRFY bob\r\n", None),
    (Vrfy("Bob B <bob@x>"), Verb.VRFY, b"VRFY Bob B <bob@x>\r\n", None),
    (Expn("jürgen"), Verb.EXPN, "EXPN jürgen SMTPUTF8\r\n".encode(), None),
    (Help(), Verb.HELP, b"HELP\r\n", None),
    (Help("MAIL"), Verb.HELP, b"HELP MAIL\r\n", None),
    (Etrn("example.test"), Verb.ETRN, b"ETRN example.test\r\n", None),
    (Etrn("@example.test"), Verb.ETRN, b"ETRN @example.test\r\n", None),
    (Etrn("#slow"), Verb.ETRN, b"ETRN #slow\r\n", None),
    (
        Xclient({"name": None, "addr": "192.0.2.1"}),
        Verb.XCLIENT,
        b"XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.1\r\n",
        None,
    ),
    (
        Xforward({"HELO": "a b=c", "IDENT": "ü"}),
        Verb.XFORWARD,
        b"XFORWARD HELO=a+20b+3Dc IDENT=+C3+BC\r\n",
        None,
    ),
    (
        Burl("imap://a@x.test/b;uid=1;urlauth=c"),
        Verb.BDAT,
        b"BURL imap://a@x.test/b;uid=1;urlauth=c\r\n",
        "BURL <URL>",
    ),
    (
        Burl("imap://a@x.test/b", last=True),
        Verb.LAST,
        b"BURL imap://a@x.test/b LAST\r\n",
        "BURL <URL> LAST",
    ),
    (Quit(), Verb.QUIT, b"QUIT\r\n", None),
]


@pytest.mark.parametrize(("command", "verb", "wire", "shown"), LINES)
def test_a_command_is_its_line(
    command: Command, verb: Verb, wire: bytes, shown: str | None
) -> None:
    assert command.verb is verb
    assert command.wire == wire
    assert not command.more
    shown = wire.decode().rstrip() if shown is None else shown
    assert str(command) == shown
    assert repr(command) == f"<{type(command).__name__} {shown}>"


def test_there_is_a_line_for_each_verb_and_a_stage() -> None:
    assert {verb for _, verb, _, _ in LINES} == set(Verb) == set(STAGES)
    assert STAGES[Verb.CONNECT] is Stage.GREETING
    assert {verb for verb in Verb if STAGES[verb] is Stage.FINAL} == END_OF_MAIL_DATA
    assert {Verb.CONTENT, Verb.LAST} == END_OF_MAIL_DATA
    for stage, verbs in {
        Stage.HELLO: {Verb.HELLO},
        Stage.STARTTLS: {Verb.STARTTLS},
        Stage.AUTH: {Verb.AUTH, Verb.RESPONSE},
        Stage.RSET: {Verb.RSET},
        Stage.MAIL: {Verb.MAIL},
        Stage.RCPT: {Verb.RCPT},
        Stage.DATA: {Verb.DATA, Verb.BDAT},
        Stage.COMMAND: {
            *(Verb.NOOP, Verb.VRFY, Verb.EXPN, Verb.HELP),
            *(Verb.ETRN, Verb.XCLIENT, Verb.XFORWARD),
        },
        Stage.QUIT: {Verb.QUIT},
    }.items():
        assert {verb for verb in Verb if STAGES[verb] is stage} == verbs


@pytest.mark.parametrize("hello", [Ehlo, Helo, Lhlo])
@pytest.mark.parametrize(
    "name",
    [
        "",
        "x y",
        "x\r\nMAIL FROM:<>",
        "x\n",
        "x\0",
        "a_b",
        "-a",
        "a-",
        "a..b",
        ".a",
        "a.",
        "a" * 64,
        "a." * 128,
        "[192.0.2.256]",
        "[192.0.2.1",
        "192.0.2.1]",
        "a@b",
        "bü cher",
        "\ud800",
    ],
)
def test_I6_a_name_is_a_domain_or_an_address_literal(
    hello: type[Ehlo | Helo | Lhlo], name: str
) -> None:
    with pytest.raises(InvalidInput):
        hello(name)


@pytest.mark.parametrize("command", [Vrfy, Expn, Help])
@pytest.mark.parametrize(
    "bad", ["a\r\nQUIT", "a\n", "\r", "a\0", "\x7f", "\x85", "\u2028"]
)
def test_I2_no_argument_ends_its_line(
    command: type[Vrfy | Expn | Help], bad: str
) -> None:
    with pytest.raises(InvalidInput, match="control character") as caught:
        command(bad)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("command", [Vrfy, Expn])
def test_vrfy_and_expn_ask_about_something(command: type[Vrfy | Expn]) -> None:
    with pytest.raises(InvalidInput, match="empty"):
        command("")


@pytest.mark.parametrize("command", [Vrfy, Expn, Help])
def test_a_line_has_at_most_512_octets(command: type[Vrfy | Expn | Help]) -> None:
    room = MAX_COMMAND_LINE - len(b"VRFY \r\n")
    assert len(command("a" * room).wire) == 512
    most = (room - (0 if command is Help else len(" SMTPUTF8"))) // 2
    assert len(command("ü" * most).wire) in {511, 512}
    for text in ("a" * (room + 1), "ü" * (most + 1)):
        with pytest.raises(InvalidInput, match="exceeds 512 octets"):
            command(text)


@pytest.mark.parametrize("command", [Vrfy, Expn, Help])
@pytest.mark.parametrize("bad", [b"bob", 5])
def test_an_argument_is_text(command: Callable[[object], Command], bad: object) -> None:
    with pytest.raises(InvalidInput, match=r"is of type (bytes|int), not str"):
        command(bad)


@pytest.mark.parametrize("bad", [None, 5, True, ["x"], object()])
@pytest.mark.parametrize(
    "make",
    [
        *(Ehlo, Helo, Lhlo, Auth, Mail, Rcpt, Content, Bdat),
        *(ReversePath.parse, ForwardPath.parse, Mailbox.parse),
    ],
)
def test_what_is_of_another_type_is_told(
    make: Callable[..., object], bad: object
) -> None:
    with pytest.raises(InvalidInput, match=r" is of type \w+, not \w+"):
        make(bad)


@pytest.mark.parametrize("bad", [5, True, ["x"], "SIZE=1", {5: "x"}, {"SIZE": 5}])
@pytest.mark.parametrize("command", [Mail, Rcpt])
def test_parameters_are_a_mapping_of_text(
    command: Callable[..., Command], bad: object
) -> None:
    with pytest.raises(InvalidInput, match=r"parameter.* is of type \w+, not \w+"):
        command("a@x", bad)


KEYWORDS = ["", "-A", "A B", "A=B", "A\r\nRSET", "Ä", "A_B", "A\0"]
VALUES = ["", "a b", "a=b", "1\r\nRCPT TO:<eve@x>", "a\n", "\0", "\t", "\x7f", "\x85"]


@pytest.mark.parametrize("command", [Mail, Rcpt])
@pytest.mark.parametrize("keyword", KEYWORDS)
def test_I7_a_keyword_is_an_esmtp_keyword(
    command: type[Mail | Rcpt], keyword: str
) -> None:
    for value in (None, "1"):
        with pytest.raises(InvalidInput, match="is not an esmtp-keyword"):
            command("a@example.test", {"SIZE": "1", keyword: value})


@pytest.mark.parametrize("command", [Mail, Rcpt])
@pytest.mark.parametrize("value", [*VALUES, "\u2028", "\ud800"])
def test_I7_a_value_is_an_esmtp_value(command: type[Mail | Rcpt], value: str) -> None:
    with pytest.raises(InvalidInput, match="is not an esmtp-value"):
        command("a@example.test", {"X": value})


def test_I7_a_value_may_be_whatever_the_grammar_has() -> None:
    value = "".join(map(chr, (*range(33, 61), *range(62, 127)))) + "ü"
    assert Mail("", {"X-1": value}).wire == f"MAIL FROM:<> X-1={value}\r\n".encode()


@pytest.mark.parametrize(
    "name", ["", "plain", "PLAIN X", "A" * 21, "A\r\n", "Ä", "A.B"]
)
def test_the_name_of_a_mechanism_is_of_its_grammar(name: str) -> None:
    with pytest.raises(InvalidInput, match="SASL mechanism"):
        Auth(name, b"secret")


def test_a_response_has_at_most_12288_octets_with_its_line_end() -> None:
    most = MAX_AUTH_LINE // 4 * 3 - 3
    assert len(Response(b"x" * most).wire) == 12286
    with pytest.raises(InvalidInput, match="exceeds 12288 octets"):
        Response(b"x" * (most + 1))


@given(st.binary(max_size=60))
def test_a_response_is_base64_of_its_octets(response: bytes) -> None:
    """No matter what a mechanism says, it stands on one line and shows itself not."""
    line = Response(response).wire
    assert line.endswith(b"\r\n")
    assert b64decode(line[:-2], validate=True) == response
    verb, name, initial = Auth("X", response).wire.split(b" ")
    assert (verb, name) == (b"AUTH", b"X")
    assert initial == (line if response else b"=\r\n")
    assert str(Response(response)) == f"<{len(line) - 2} octets>"


def test_mail_data_may_go_out_in_pieces() -> None:
    first = Content.piece(b"a\r\n..b", more=True)
    last = Content.piece(b".\r\n", more=False)
    assert (first.verb, first.wire, first.more) == (Verb.CONTENT, b"a\r\n..b", True)
    assert (last.verb, last.wire, last.more) == (Verb.CONTENT, b".\r\n", False)
    assert repr(first) == "<Content <mail data, 6 octets>>"


def test_I9_a_chunk_is_shown_without_its_octets() -> None:
    assert repr(Bdat(b"\r\nsecret")) == "<Bdat BDAT 8>"


@pytest.mark.parametrize("command", [command for command, *_ in LINES])
def test_a_command_holds_its_octets_and_little_else(command: Command) -> None:
    assert not hasattr(command, "__dict__")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Etrn(""), "names no node"),
        (lambda: Etrn("a b"), "names no node"),
        (lambda: Etrn("a\r\nb"), "names no node"),
        (lambda: Etrn(b"a"), "ETRN is of type bytes"),  # type: ignore[arg-type]
        (lambda: Etrn("x" * 510), "the line of ETRN exceeds 512"),
        (lambda: Xclient({}), "XCLIENT"),
        (lambda: Xclient({"NA ME": "x"}), "attribute 'NA ME' is not named by letters"),
        (lambda: Xclient({"NAME": ""}), "attribute NAME is empty"),
        (lambda: Xforward({"NAME": "a\r\nb"}), "attribute NAME is empty or holds"),
        (lambda: Xforward({"NAME": 5}), "attribute NAME is of type int"),  # type: ignore[dict-item]
        (lambda: Xforward({5: "x"}), "name of an attribute is of type int"),  # type: ignore[dict-item]
        (lambda: Xforward(["NAME"]), "the attributes is of type list"),  # type: ignore[arg-type]
        (lambda: Xforward({"NAME": "x" * 500}), "XFORWARD exceeds 512"),
        (lambda: Burl("mailbox"), "no absolute URI"),
        (lambda: Burl("imap://a b"), "no absolute URI"),
        (lambda: Burl("imap://ü"), "no absolute URI"),
        (lambda: Burl("imap://a\r\n"), "no absolute URI"),
        (lambda: Burl(f"imap://{'x' * 500}"), "the line of BURL exceeds 512"),
        (lambda: Burl(5), "the URL is of type int"),  # type: ignore[arg-type]
    ],
)
def test_I7_commands_of_relays_are_checked(
    make: Callable[[], Command], told: str
) -> None:
    with pytest.raises(InvalidInput, match=told):
        make()


def test_xforward_takes_as_many_lines_as_it_needs() -> None:
    attributes: Attributes = dict.fromkeys(["NAME", "HELO", "IDENT"], "x" * 200)
    lines = Xforward.lines(attributes)
    assert [str(line).count("=") for line in lines] == [2, 1]
    assert all(len(line.wire) <= MAX_COMMAND_LINE for line in lines)
    told = " ".join(str(line).removeprefix("XFORWARD ") for line in lines)
    assert told == " ".join(f"{name}={value}" for name, value in attributes.items())
    assert Xforward.lines({}) == []


def test_S1_what_a_url_of_burl_authorizes_is_a_secret() -> None:
    url = "imap://a@x.test/b;uid=1;urlauth=submit+a:internal:91354a473744909de610943775f92038"
    command = Burl(url, last=True)
    assert url not in repr(command)
    assert url.encode() in command.secrets
