"""`esmtp send` and `esmtp demo`, as their user meets them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal

from esmtp_async._cli import main
from esmtp_async.testing import Rule, SMTPServer
from tests.cli.running import MESSAGE, esmtp, url
from tests.cli.test_mbox import mbox

ALICE = "alice@example.test"


def test_demo_shows_the_conversation_and_succeeds() -> None:
    run = esmtp("demo")
    assert run.returncode == 0, run.stderr
    lines = run.stdout.decode("utf-8").splitlines()
    states = [line.rpartition(" -> ")[2] for line in lines if " -> " in line]
    assert states == [
        *("GREETED", "READY", "TLS", "GREETED", "READY"),
        *("AUTH", "AUTH", "READY"),
        *("MAIL", "RCPT", "DATA", "READY", "CLOSED"),
    ]
    said = [line for line in lines if line.startswith("C: ")]
    assert said[3:6] == ["C: AUTH LOGIN", "C: <8 octets>", "C: <16 octets>"]
    assert "X-Mailer: esmtp_async" in run.stdout.decode("utf-8")
    assert "open sesame" not in run.stdout.decode("utf-8")
    assert lines[-1].startswith("Success: bob@example.test accepted")


@pytest.mark.parametrize("by", ["file", "-", "nothing"])
def test_send_a_message(server: SMTPServer, tmp_path: Path, by: str) -> None:
    path = tmp_path / "message.eml"
    path.write_bytes(MESSAGE)
    name = {"file": [str(path)], "-": ["-"], "nothing": []}[by]
    run = esmtp("send", "--server", url(server), *name, stdin=MESSAGE)
    assert (run.returncode, run.stderr) == (0, b"")
    assert run.stdout.startswith(b"b@example.test: accepted: 250 ")
    (stored,) = server.messages
    assert stored.content == MESSAGE
    assert server.violations == []


def test_a_message_that_an_mbox_holds_alone(server: SMTPServer) -> None:
    """As `git format-patch --stdout` writes one."""
    large = MESSAGE + b">From here on.\r\n" * 40_000
    run = esmtp("send", "--server", url(server), "-", stdin=mbox(large))
    assert run.returncode == 0, run.stderr
    assert server.messages[0].content == large
    assert server.messages[0].reverse_path == "a@example.test"


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"From here\n\n", b"has no date as that of an mbox"),
        (mbox(MESSAGE, MESSAGE), b"it is an mbox with 2 messages, which esmtp bulk"),
        (mbox(MESSAGE) + b"\nFrom here on it is open.\n", b"behind a blank line"),
    ],
)
def test_an_mbox_of_many_is_not_one_message(
    server: SMTPServer, octets: bytes, said: bytes
) -> None:
    """The recipients of the first would get all of them."""
    run = esmtp("send", "--server", url(server), "-", stdin=octets)
    assert run.returncode == 2
    assert run.stderr.startswith(b"esmtp: standard input: ")
    assert said in run.stderr
    assert server.messages == []


def test_send_a_composed_message(server: SMTPServer, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    run = esmtp(
        "send",
        *("--from", "Alice <a@example.test>", "--to", "b@example.test"),
        *("--to", "c@example.test", "--bcc", "d@example.test"),
        *("--subject", "Gr\u00fc\u00dfe", "--text", "Hello.", "--attach", str(picture)),
        *("--x-mailer", "esmtp", "-v"),
        ESMTP_SERVER=url(server),
    )
    assert run.returncode == 0, run.stderr
    assert b"C: MAIL FROM:<a@example.test>" in run.stderr
    (stored,) = server.messages
    assert [recipient.path for recipient in stored.recipients] == [
        "b@example.test",
        "c@example.test",
        "d@example.test",
    ]
    message = stored.message
    assert isinstance(message, EmailMessage)
    assert message["Subject"] == "Gr\u00fc\u00dfe"
    assert message["X-Mailer"] == "esmtp"
    assert message["Bcc"] is None
    body = message.get_body()
    assert body is not None
    assert body.get_content().splitlines() == ["Hello."]
    (attachment,) = message.iter_attachments()
    assert attachment.get_content_type() == "image/png"
    assert attachment.get_content() == picture.read_bytes()


def test_a_refusal_is_exit_code_1(server: SMTPServer) -> None:
    server.rules.append(Rule("RCPT", "b@", reply="550 5.1.1 no such user"))
    run = esmtp("send", "--server", url(server), "-", stdin=MESSAGE)
    assert run.returncode == 1
    assert run.stdout == b"b@example.test: refused: 550 5.1.1 no such user\n"
    assert run.stderr.startswith(b"esmtp: RecipientsRefused: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), b"esmtp: error: the following arguments are required: COMMAND"),
        (("bulk",), b"esmtp bulk: error: the following arguments are required: SOUR"),
        (("send", "--security", "none", "-"), b"invalid choice: 'none'"),
        (("send", "--server", "http://x.test", "-"), b"URL scheme 'http'"),
        (("send", "--server", "a b", "-"), b"'a b' is not a domain name"),
        (("send", "--server", "", "-"), b"server is ''"),
        (("send", "--text", "x"), b"give FILE, '-' for standard input, or at least"),
        (("send", "no such file"), b"esmtp: no such file: No such file or directory\n"),
        (("send", "\x1b[31m"), b"esmtp: \\x1b[31m: No such file or directory\n"),
        (("send", "--timeout", "x", "-"), b"\nesmtp send: error: argument --timeout"),
        (("send", "--recipient", "b", "-"), b"recipients[0]: 'b' is not one mailbox"),
        (("send", "--to", "c@x.test", "-"), b"--to is for a message composed here"),
        (("send", "--text", "x", "-"), b"--text is for a message composed here"),
        (("send", "--x-mailer", "x", "-"), b"--x-mailer is for a message composed"),
        (("send", "--auth", "PLAIN", "-"), b"--auth needs --username"),
        (("send", "--username", "alice", "-"), b"there is no password"),
        (
            ("send", "--ca-file", "no such file", "-"),
            b"'no such file' cannot be used: No such",
        ),
        (("send", "--ca-file", __file__, "-"), b"cannot be used: "),
        (("send", "--server", "smtp://a:b@127.0.0.1", "-"), b"holds a password"),
        (("send", "--sender", "c", "-"), b"sender: 'c' is not one mailbox"),
    ],
)
def test_nonsense_is_exit_code_2(arguments: tuple[str, ...], said: bytes) -> None:
    run = esmtp(*arguments, stdin=MESSAGE)
    assert run.returncode == 2
    assert said in run.stderr
    assert b"Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--to", "b@"), b"To '"),  # and then what this Python makes of it
        (("--to", "b@example.test\nBcc: c@example.test"), b"To 'b@example.test\\nBcc"),
        (("--to", "=?utf-8?q?=0a?=@x.test"), b"To "),
        (("--to", "b@@example.test"), b"To 'b@@example.test' cannot be used: "),
        (("--to", "b"), b"To 'b' cannot be used: not every address has a domain"),
        (("--subject", "x\r\nBcc: c@example.test"), b"Subject 'x\\r\\nBcc"),
        (("--text", b"\xff"), b"--text cannot be used: it is not text in utf-8"),
        (("--subject", b"\xff"), b"Subject '\\udcff' cannot be used: it is not text"),
        (("--to", b"\xff@example.test"), b"it is not text in utf-8"),
        (("--attach", "."), b"Is a directory"),
        (("--attach", "line\nend"), b"line\\nend' cannot be used: "),
        (("--attach", b"\xff"), b"\\udcff' cannot be used: "),
        ((), b"no address in To, Cc or Bcc"),
    ],
)
def test_what_cannot_be_composed_is_exit_code_2(
    tmp_path: Path, arguments: tuple[str | bytes, ...], said: bytes
) -> None:
    if arguments[:1] == ("--attach",) and arguments[1] != ".":
        (tmp_path / os.fsdecode(arguments[1])).write_bytes(b"octets")
    composed = ("--from", ALICE, "--text", "x", *map(os.fsdecode, arguments))
    run = esmtp("send", *composed, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, b"")
    assert said in run.stderr
    assert run.stderr.startswith(b"esmtp: ")
    assert run.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("notes.txt", "text/plain"),
        ("archive.tar.gz", "application/octet-stream"),
        ("message.eml", "application/octet-stream"),
        ('Gr\u00fc\u00dfe "x"', "application/octet-stream"),
    ],
)
def test_any_file_can_be_attached(
    server: SMTPServer, tmp_path: Path, name: str, kind: str
) -> None:
    (tmp_path / name).write_bytes(MESSAGE)
    composed = ("--from", ALICE, "--to", "b@example.test", "--text", "x")
    run = esmtp(
        *("send", "--server", url(server), *composed, "--attach", name), cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr
    message = server.messages[0].message
    assert isinstance(message, EmailMessage)
    (attachment,) = message.iter_attachments()
    assert attachment.get_content_type() == kind
    assert attachment.get_filename() == name
    assert attachment.get_payload(decode=True) == MESSAGE


def test_nothing_sent_is_exit_code_3() -> None:
    run = esmtp("send", "--server", "127.0.0.1:9", "-", stdin=MESSAGE)
    assert run.returncode == 3
    assert run.stdout == b"b@example.test: not sent\n"
    assert run.stderr.startswith(b"esmtp: ConnectFailed: cannot connect to 127.0.0.1:9")


def test_unknown_is_exit_code_4(server: SMTPServer) -> None:
    server.rules.append(Rule("CONTENT", silent=True, close=True))
    run = esmtp("send", "--server", url(server), "-", stdin=MESSAGE)
    assert run.returncode == 4
    assert run.stdout == b"b@example.test: unknown\n"
    assert run.stderr.startswith(b"esmtp: OutcomeUnknown: ")


@pytest.mark.parametrize(("verb", "code"), [("RCPT", 3), ("CONTENT", 4)])
def test_an_interrupt_still_tells_the_outcome(
    server: SMTPServer, verb: str, code: int
) -> None:
    server.rules.append(Rule(verb, delay=60))
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "esmtp_async", "send", "-v"),
            *("--server",),
            url(server),
            "-",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        assert process.stdout is not None
        process.stdin.write(MESSAGE)
        process.stdin.close()
        waiting_for = b"C: <mail data" if verb == "CONTENT" else b"C: DATA"
        for line in process.stderr:
            if line.startswith(waiting_for):
                break
        process.send_signal(signal.SIGINT)
        told = process.stdout.read()
        assert b"interrupted" in process.stderr.read()
    assert process.returncode == code
    outcome = b"unknown" if verb == "CONTENT" else b"not sent"
    assert told == b"b@example.test: " + outcome + b"\n"


def test_no_password_is_read_where_it_would_be_seen() -> None:
    composed = ("--from", ALICE, "--to", "b@example.test", "--text", "x")
    run = esmtp("send", "--username", "alice", *composed, stdin=b"open sesame\n")
    assert run.returncode == 2
    assert run.stderr == (
        b"esmtp: there is no password: ESMTP_PASSWORD is not set, there is no password "
        b"command, and there is no terminal to ask at\n"
    )


@pytest.mark.parametrize(
    ("interrupted", "arguments"),
    [
        ("pathlib.Path.read_bytes", ["send", "message.eml"]),
        ("anyio.run", ["demo"]),
        ("anyio.run", ["send", "--from", ALICE, "--text", "x"]),
    ],
)
def test_an_interrupt_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    interrupted: str,
    arguments: list[str],
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(interrupted, interrupt)
    assert main(arguments) == 3
    assert capsys.readouterr() == ("", "esmtp: interrupted\n")


@pytest.mark.parametrize(
    "redirected",
    [
        *(">/dev/full", "2>/dev/full", ">/dev/full 2>&1"),
        *(">&-", "2>&-", ">&- 2>&-"),
    ],
)
def test_the_exit_code_is_of_the_mail_whoever_listens(
    server: SMTPServer, redirected: str
) -> None:
    command = ["send", "-v", "--server", url(server), "-"]
    run = subprocess.run(
        [
            *("/bin/sh", "-c", f'exec "$@" {redirected}', "sh"),
            *(sys.executable, "-m", "esmtp_async", *command),
        ],
        input=MESSAGE,
        capture_output=True,
        check=False,
        timeout=50,
    )
    assert run.returncode == 0
    assert b"Traceback" not in run.stdout + run.stderr
    assert b"Exception" not in run.stdout + run.stderr
    assert len(server.messages) == 1


@pytest.mark.parametrize("command", [["demo"], ["send", "-v", "-"]])
def test_nobody_reads_the_output(server: SMTPServer, command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        run = subprocess.run(
            [sys.executable, "-m", "esmtp_async", *command],
            input=MESSAGE,
            stdout=pipe,
            stderr=subprocess.PIPE,
            check=False,
            env={**os.environ, "ESMTP_SERVER": url(server)},
            timeout=50,
        )
    assert run.returncode == 0
    assert b"Traceback" not in run.stderr
    assert b"Exception" not in run.stderr


def test_any_address_can_be_printed(server: SMTPServer) -> None:
    composed = ("--from", ALICE, "--to", "\u00fc@example.test", "--text", "x")
    run = esmtp("send", "--server", url(server), *composed, PYTHONIOENCODING="ascii")
    assert (run.returncode, run.stderr) == (0, b"")
    assert run.stdout.startswith(b"\\xfc@example.test: accepted: 250 ")
    sly = ("--sender", ALICE, "--recipient", "a\u202eb@example.test")
    run = esmtp("send", "--server", url(server), *composed, *sly)
    assert run.stdout.startswith(b"a\\u202eb@example.test: accepted: 250 ")


@pytest.mark.parametrize(
    "mechanism",
    [
        (),
        *(("--auth", name) for name in ("LOGIN", "PLAIN", "CRAM-MD5", "SCRAM-SHA-256")),
    ],
)
def test_the_password_comes_from_the_environment(
    portal: BlockingPortal, tmp_path: Path, mechanism: tuple[str, ...]
) -> None:
    model = SMTPServer(
        hostname="localhost",
        starttls=True,
        users={"alice": "sesame"},
        mechanisms=["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"],
        require_auth=True,
    )
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(model.authority.certificate)
    with portal.wrap_async_context_manager(model.listen()):
        run = esmtp(
            *("send", "--server", f"localhost:{model.port}", "--security", "starttls"),
            *("--ca-file", str(trusted), "--username", "alice", *mechanism, "-v", "-"),
            stdin=MESSAGE,
            ESMTP_PASSWORD="sesame",
        )
    assert run.returncode == 0, run.stderr
    assert model.messages[0].username == "alice"
    assert b"sesame" not in run.stdout + run.stderr
