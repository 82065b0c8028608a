"""`esmtp serve` as its user meets it: processes, sockets, signals."""

from __future__ import annotations

import getpass
import json
import os
import re
import shlex
import signal
import smtplib
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from esmtp_async._cli import _serve, main
from tests.docs.pages import DOCS
from tests.serve.served import SOON, command, files, letter, serving

#: All addresses of this machine.
EVERYWHERE = "0.0.0.0"  # noqa: S104 - it has to be asked for


def run(words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, without a terminal."""
    return subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
        timeout=SOON,
    )


def fail(*arguments: str, **environment: str) -> str:
    """Run a server that does not come up, and give its complaint."""
    done = run(command(*arguments), **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    return done.stderr


def esmtp_send(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    composed = ["--from", "a@x.test", "--to", "b@x.test", "--text", "Hello."]
    send = [sys.executable, "-m", "esmtp_async", "send"]
    return run([*send, *composed, *arguments], **environment)


def test_the_first_line_tells_programs_where_it_is(tmp_path: Path) -> None:
    with serving("--directory", str(tmp_path / "mail")) as server:
        assert server.where == {
            "server": f"smtp://127.0.0.1:{server.port}",
            "page": f"http://127.0.0.1:{server.http_port}/",
            "directory": str(tmp_path / "mail"),
            "ca_file": None,
        }
        server.send(letter())
        assert server.get("/api/messages").told["total"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_in_order(tmp_path: Path, number: int) -> None:
    with serving("--directory", str(tmp_path / "mail")) as server:
        server.send(letter("Grüße"))
        code, out, err = server.end(number)
    assert (code, err) == (0, "")
    ready, line = out.splitlines()
    assert ready.startswith("Ready: mail goes to smtp://127.0.0.1:")
    assert re.fullmatch(
        r"[0-9A-F]{13}-[0-9a-f]+: <a@example.test> to <b@example.test>, "
        r"[0-9]+ octets: Grüße",
        line,
    )


def test_a_client_that_lingers_does_not_keep_it_up() -> None:
    with serving() as server:
        with socket.create_connection(("127.0.0.1", server.port), SOON) as raw:
            assert raw.recv(100).startswith(b"220 ")
            began = time.monotonic()
            assert server.end()[0] == 0
        assert time.monotonic() - began < 5


def test_mail_survives_a_restart(tmp_path: Path) -> None:
    directory = str(tmp_path / "mail")
    octets = b"Subject: kept\r\n\r\n..dots\r\n.\xc3\xa9\r\n"
    with serving("--directory", directory) as server:
        server.send(octets)
        server.end(signal.SIGKILL)
    with serving("--directory", directory) as server:
        messages = server.get("/api/messages").told["messages"]
        assert isinstance(messages, list)
        [message] = messages
        assert message["subject"] == "kept"
        assert server.get(f"/api/messages/{message['id']}/source").body == octets
    [file] = files(tmp_path / "mail")
    assert file.read_bytes() == octets


def test_without_a_directory_nothing_stays() -> None:
    with serving() as server:
        server.send(letter())
        assert Path(server.where["directory"]).is_dir()
        server.end()
    assert not Path(server.where["directory"]).exists()


def test_the_queue_id_is_the_id(tmp_path: Path) -> None:
    with serving("--directory", str(tmp_path)) as server:
        sent = esmtp_send("--server", server.where["server"])
        message_id = sent.stdout.splitlines()[-1]
        assert server.get(f"/api/messages/{message_id}").told["text"] == "Hello.\n"


def test_keep(tmp_path: Path) -> None:
    with serving("--directory", str(tmp_path), "--keep", "2") as server:
        for number in range(4):
            server.send(letter(str(number)))
        messages = server.get("/api/messages").told["messages"]
        assert isinstance(messages, list)
        assert [message["subject"] for message in messages] == ["3", "2"]


def test_once_ends_by_itself() -> None:
    with serving("--once", "2", "--http-port", "0") as server:
        assert server.where["page"] is None
        server.send(letter("one"))
        server.send(letter("two"))
        code, out, err = server.rest()
    assert (code, err) == (0, "")
    assert [line.rpartition(" ")[2] for line in out.splitlines()[1:]] == ["one", "two"]


def test_once_that_is_interrupted_failed() -> None:
    with serving("--once", "2") as server:
        server.send(letter())
        assert server.end()[0] == 3


def test_quiet() -> None:
    with serving("--quiet") as server:
        server.send(letter())
        assert server.end() == (0, "", "")


def test_the_conversation_is_printed_without_what_is_secret() -> None:
    with serving("-v", "--user", "ada", ESMTP_SERVE_PASSWORD="s3same") as server:
        with smtplib.SMTP("127.0.0.1", server.port, "c.test", SOON) as client:
            client.login("ada", "s3same")
            client.sendmail("a@x.test", ["b@x.test"], b"X: \x1b[31m\r\n\r\nbody\r\n")
        _, out, _ = server.end()
    assert "[1] c: mail from:<a@x.test> size=18" in out.lower().splitlines()
    assert "[1] S: 354 go ahead, and end with a lone dot" in out.splitlines()
    assert "[1] C: <21 octets of mail data>" in out.splitlines()
    assert "[1] C: AUTH CRAM-MD5" in out.splitlines()
    assert "s3same" not in out


def test_what_a_message_says_cannot_rule_the_terminal() -> None:
    with serving("-v") as server:
        server.send(b"Subject: \x1b]0;owned\x07 \x9b\r\n\r\n")
        _, out, _ = server.end()
    assert re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out) == []
    assert r"\x1b]0;owned\x07" in out


def test_breaches_are_told_and_kept(tmp_path: Path) -> None:
    with serving("--directory", str(tmp_path)) as server:
        with smtplib.SMTP("127.0.0.1", server.port, "c.test", SOON) as client:
            client.sendmail("a@x.test", ["b@x.test"], b"\xc3\xa9\r\n")
        messages = server.get("/api/messages").told["messages"]
        assert isinstance(messages, list)
        told = server.get(f"/api/messages/{messages[0]['id']}").told
        _, out, _ = server.end()
    breaches = told["breaches"]
    assert isinstance(breaches, list)
    assert len(breaches) == 2
    assert breaches[1].endswith("octets above 127 without BODY=8BITMIME")
    assert f"! {breaches[1]}" in out.splitlines()


@pytest.mark.parametrize("way", ["--tls", "--starttls"])
def test_tls_by_a_certificate_to_trust(tmp_path: Path, way: str) -> None:
    with serving(way, "--directory", str(tmp_path / "mail")) as server:
        assert server.where["ca_file"] == str(tmp_path / "mail" / "ca.pem")
        assert server.where["server"].startswith(
            "smtps:" if way == "--tls" else "smtp:"
        )
        url = server.where["server"]
        sent = esmtp_send("--server", url, "--ca-file", server.where["ca_file"])
        assert sent.returncode == 0, sent.stderr
        assert esmtp_send("--server", url).returncode == 3
        messages = server.get("/api/messages").told["messages"]
        assert isinstance(messages, list)
        assert len(messages) == 1
        told = server.get(f"/api/messages/{messages[0]['id']}").told
    assert told["tls"] is True
    assert b"PRIVATE" not in b"".join(
        file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()
    )


@pytest.mark.parametrize("way", ["", "--tls", "--starttls"])
def test_a_user_with_a_password(way: str) -> None:
    arguments = ["--user", "ada", "--require-auth", *filter(None, [way])]
    with serving(*arguments, ESMTP_SERVE_PASSWORD="sesame") as server:
        to = ["--server", f"{server.where['server']}?allow_plaintext_auth=true"]
        if way:
            to += ["--ca-file", server.where["ca_file"]]
        known = esmtp_send(*to, "--username", "ada", ESMTP_PASSWORD="sesame")
        wrong = esmtp_send(*to, "--username", "ada", ESMTP_PASSWORD="other")
        nobody = esmtp_send(*to)
    assert (known.returncode, wrong.returncode, nobody.returncode) == (0, 3, 1)
    assert "AuthenticationFailed" in wrong.stderr


def test_anybody_may_authenticate() -> None:
    with serving("--any-auth", "--require-auth") as server:
        with smtplib.SMTP("127.0.0.1", server.port, "c.test", SOON) as client:
            client.login("whoever", "whatever")
            client.send_message(letter())
        messages = server.get("/api/messages").told["messages"]
        assert isinstance(messages, list)
        told = server.get(f"/api/messages/{messages[0]['id']}").told
    assert told["username"] == "whoever"


def test_a_password_is_needed_from_somewhere() -> None:
    assert "ESMTP_SERVE_PASSWORD is not set" in fail("--user", "ada")


def test_a_password_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ESMTP_SERVE_PASSWORD", raising=False)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: f"to {prompt}")
    assert _serve._users("ada") == {"ada": "to Password that ada shall have: "}


def test_tls_without_its_extra_says_which(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    assert main(["serve", "--port", "0", "--http-port", "0", "--tls"]) == 2
    complaint = "esmtp: TLS here needs trustme: pip install 'esmtp-async[testing]'\n"
    assert capsys.readouterr() == ("", complaint)


def test_lmtp() -> None:
    with serving("--lmtp", "--refuse", "c@x.test=452 4.2.2 full") as server:
        assert server.where["server"].startswith("lmtp://")
        sent = esmtp_send(
            "--server", server.where["server"], "--to", "c@x.test", "--to", "d@x.test"
        )
        messages = server.get("/api/messages").told["messages"]
    assert sent.returncode == 1
    assert isinstance(messages, list)
    [message] = messages
    assert message["recipients"] == ["b@x.test", "d@x.test"]


def ehlo(server_port: int) -> dict[str, str]:
    with smtplib.SMTP("127.0.0.1", server_port, "c.test", SOON) as client:
        client.ehlo()
        return dict(client.esmtp_features)


def test_extensions() -> None:
    with serving("--without", "dsn", "--without", "CHUNKING") as server:
        assert set(ehlo(server.port)) == {
            *("pipelining", "size", "8bitmime", "smtputf8", "enhancedstatuscodes")
        }
    with serving("--extensions", "SIZE 7, LIMITS MAILMAX=2", "--without", "size") as s:
        assert ehlo(s.port) == {"limits": "MAILMAX=2"}


def test_max_size() -> None:
    with serving("--max-size", "2000") as server:
        assert ehlo(server.port)["size"] == "2000"
        server.send(letter(text="x" * 1000))
        with pytest.raises(smtplib.SMTPException, match="limit is 2000"):
            server.send(letter(text="line\r\n" * 1000))


def test_refused_recipients() -> None:
    refuse = ["--refuse", "*@nowhere.test", "--refuse", "a=b@x.test=451 4.7.1 Later."]
    with serving(*refuse) as server:
        for to, code, text in (
            ("any@nowhere.test", 550, b"5.1.1 no such mailbox here"),
            ("A=B@X.TEST", 451, b"4.7.1 Later."),
        ):
            with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
                server.send(letter(), to=to)
            assert caught.value.recipients == {to: (code, text)}
        server.send(letter(), to="c@x.test")
        server.send(letter(), to="any@nowhere.test.example")


def test_refused_stages() -> None:
    with serving("--refuse-at", "message=554 5.7.1 spam") as server:
        with pytest.raises(smtplib.SMTPDataError, match="spam"):
            server.send(letter())
        assert server.get("/api/messages").told["total"] == 0


@pytest.mark.parametrize(
    ("stage", "kept", "code"), [("hello", 0, 3), ("RCPT", 0, 3), ("message", 1, 4)]
)
def test_connections_that_break(stage: str, kept: int, code: int) -> None:
    with serving("--drop-at", stage) as server:
        assert esmtp_send("--server", server.where["server"]).returncode == code
        assert server.get("/api/messages").told["total"] == kept


def test_delay() -> None:
    with serving("--delay", "0.1", "--refuse", "c@x.test") as server:
        began = time.monotonic()
        server.send(letter())  # greeting, EHLO, MAIL, RCPT, DATA, content, QUIT
        assert 0.6 <= time.monotonic() - began < 5


def test_ports_in_use_are_an_error() -> None:
    with serving() as server:
        taken = fail("--port", str(server.port))
        assert f"esmtp: port {server.port} of 127.0.0.1 cannot be used: " in taken
        assert "--port 0 takes one that is free" in taken
        taken = fail("--http-port", str(server.http_port))
        assert f"esmtp: port {server.http_port} of 127.0.0.1 cannot be used: " in taken
        assert "--http-port auto takes one that is free" in taken


def test_other_machines_must_be_asked_for() -> None:
    assert "add --expose" in fail("--host", EVERYWHERE)
    with serving("--host", EVERYWHERE, "--expose") as server:
        server.send(letter())
        _, _, err = server.end()
    assert err == (
        "esmtp: warning: whoever reaches this machine can send to this server\n"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--host", "mail.example.org"], "is no IP address"),
        (["--port", "65536"], "'65536' is no port"),
        (["--port", "-1"], "'-1' is no port"),
        (["--http-port", "x"], "'x' is no port"),
        (["--keep", "0"], "'0' is no number of at least 1"),
        (["--tls", "--starttls"], "exclude each other"),
        (["--user", "a", "--any-auth"], "exclude each other"),
        (["--require-auth"], "needs --user or --any-auth"),
        (["--hostname", "a b"], "--hostname"),
        (["--hostname", "[127.0.0.1]"], "--hostname"),
        (["--extensions", "SIZE\t7"], "is no line of an EHLO reply"),
        (["--extensions", "STARTTLS"], "is offered by --starttls"),
        (["--extensions", "auth PLAIN"], "is offered by --user or --any-auth"),
        (["--without", "TURN"], "it is not offered anyway"),
        (["--max-size", "1.5"], "'1.5' is no number"),
        (["--refuse", "a b"], "is not ADDRESS"),
        (["--refuse", "a@b=250 fine"], "'250 fine' is no refusal"),
        (["--refuse-at", "mail"], "is not STAGE=REPLY"),
        (["--refuse-at", "lunch=550 5.0.0 no"], "'lunch' is no stage"),
        (["--refuse-at", "mail=550 no\nmore"], "is no refusal"),
        (["--drop-at", "lunch"], "'lunch' is no stage"),
        (["--delay", "soon"], "is no time in seconds"),
        (["--delay", "-1"], "is no time in seconds"),
        (["--delay", "inf"], "is no time in seconds"),
        (["--quiet", "-v"], "not allowed with"),
    ],
)
def test_options_that_make_no_sense(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):  # argparse raises it itself
        sys.exit(main(["serve", *arguments]))
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err


def test_a_directory_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    complaint = fail("--directory", str(tmp_path))
    assert "is no Maildir, and holds other things" in complaint


def lines_of_the_page() -> list[str]:
    """Give each `esmtp serve` that the documentation shows."""
    page = (DOCS / "howto" / "serve.md").read_text("utf-8")
    return re.findall(r"^esmtp serve.*$", page, re.MULTILINE)


def test_the_page_shows_many_ways() -> None:
    assert len(lines_of_the_page()) > 10


@pytest.mark.parametrize("line", lines_of_the_page())
def test_what_the_page_shows_can_be_typed(line: str, tmp_path: Path) -> None:
    program, *arguments = shlex.split(line)
    assert program == "esmtp"
    ports = ["--port", "0", "--http-port", "auto"]
    with subprocess.Popen(
        [sys.executable, "-m", "esmtp_async", *arguments, *ports],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "ESMTP_SERVE_PASSWORD": "sesame"},
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["server"]
        process.terminate()
    assert process.returncode == 0


def test_it_forgets_what_it_stored() -> None:
    program = (
        "import resource, sys; from esmtp_async._cli import main; "
        "code = main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    used: list[int] = []
    for count in (1, 40):
        arguments = ["serve", "--port", "0", "--http-port", "0", "--keep", "1"]
        with subprocess.Popen(
            [sys.executable, "-c", program, *arguments, "--once", str(count)],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            where = json.loads(process.stdout.readline())
            port = int(where["server"].rpartition(":")[2])
            with smtplib.SMTP("127.0.0.1", port, "c.test", SOON) as client:
                for _ in range(count):
                    client.sendmail("a@x.test", ["b@x.test"], BIG)
            used.append(int(process.stdout.read().split()[-1]))
    # Two megabytes each, in kilobytes.
    assert used[1] - used[0] < 20 * 1024


BIG = b"Subject: big\r\n\r\n" + (b"x" * 70 + b"\r\n") * 28_000
