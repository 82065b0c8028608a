"""`esmtp probe`: what a server offers, and what this client would make of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from anyio.from_thread import BlockingPortal

from esmtp_async._certificates import Certificate
from esmtp_async._cli._findings import Findings
from esmtp_async._cli._would import would
from esmtp_async._settings import resolve
from esmtp_async._transport import TLSInfo
from esmtp_async.protocol._extensions import Extensions
from esmtp_async.protocol._replies import Reply
from esmtp_async.testing import Rule, SMTPServer
from tests.cli.running import esmtp, url
from tests.raw import script, serving

PROTECTED = TLSInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", b"certificate")


@contextmanager
def protected(
    portal: BlockingPortal, folder: Path, *, implicit: bool = False
) -> Iterator[tuple[SMTPServer, list[str]]]:
    """Serve with TLS; give the server, and the arguments for it."""
    model = SMTPServer(
        hostname="localhost",
        starttls=not implicit,
        implicit_tls=implicit,
        users={"alice": "sesame"},
        auth_needs_tls=implicit,
        mechanisms=["PLAIN", "LOGIN", "SCRAM-SHA-256"],
        extensions=("PIPELINING", "SIZE 1000000", "8BITMIME", "LIMITS RCPTMAX=100"),
    )
    trusted = folder / "ca.pem"
    trusted.write_bytes(model.authority.certificate)
    with portal.wrap_async_context_manager(model.listen()):
        scheme = "smtps" if implicit else "smtp"
        server = f"{scheme}://localhost:{model.port}?client_hostname=c.example.test"
        yield model, [server, "--ca-file", str(trusted)]


def said(server: SMTPServer) -> bytes:
    return b"".join(s.octets for t in server.transcript for s in t if s.side == "C")


def test_a_server_with_starttls(portal: BlockingPortal, tmp_path: Path) -> None:
    with protected(portal, tmp_path) as (model, arguments):
        run = esmtp("probe", *arguments)
        as_json = esmtp("probe", "--json", *arguments)
    assert (run.returncode, run.stderr) == (0, b"")
    assert run.stdout.isascii()
    text = run.stdout.decode()
    rows = {line[:14].strip(): line[14:] for line in text.splitlines()}
    assert rows["server"] == arguments[0].partition("?")[0].removeprefix("smtp://")
    assert rows["greeting"] == "220 localhost ESMTP ready"
    assert rows["in clear"].startswith("PIPELINING, SIZE 1000000, 8BITMIME, LIMITS ")
    assert rows["TLS"].startswith("TLSv1.3, ")
    assert rows["TLS"].endswith(", by STARTTLS")
    assert rows["certificate"].startswith("O=trustme ")
    assert "until 3000-01-01, " in text
    assert "for localhost, " in text
    assert rows["AUTH"] == "SCRAM-SHA-256"  # what it would use, told last
    assert rows["limits"] == "SIZE 1,000,000 octets, RCPTMAX 100"
    assert rows["round trip"].endswith(" ms, the median of 5 NOOPs")
    assert rows["a message"].startswith("conformant, by DATA, 2 round trips, ")
    assert "! before STARTTLS, in clear text, AUTH offers LOGIN and PLAIN" in text
    told = json.loads(as_json.stdout)
    assert told["in_clear"]["STARTTLS"] == ""
    assert told["under_tls"]["AUTH"] == "PLAIN LOGIN SCRAM-SHA-256"
    assert "STARTTLS" not in told["under_tls"]
    assert told["certificate"]["names"][0] == "localhost"
    assert told["certificate"]["days_left"] > 300_000
    assert told["tls"]["implicit"] is False
    assert told["limits"] == {"SIZE": 1_000_000, "RCPTMAX": 100}
    assert told["would"]["auth"] == "SCRAM-SHA-256"
    assert [len(flight) for flight in told["would"]["flights"]] == [3, 1]
    assert told["round_trip_ms"] > 0
    assert told["error"] is None
    # Nothing was told of us, and nothing was sent.
    assert b"AUTH" not in said(model)
    assert b"MAIL" not in said(model)
    assert said(model).count(b"NOOP") == 10


def test_a_server_with_tls_from_the_first_octet(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with protected(portal, tmp_path, implicit=True) as (_, arguments):
        run = esmtp("probe", "--pipelining", "off", *arguments)
    assert run.returncode == 0, run.stderr
    assert b", from the first octet\n" in run.stdout
    assert b"in clear" not in run.stdout
    assert b"lockstep, by DATA, 4 round trips" in run.stdout


def test_a_server_without_tls(server: SMTPServer) -> None:
    run = esmtp("probe", "--pipelining", "eager", url(server))
    assert run.returncode == 0, run.stderr
    assert b"  a message   eager, by BDAT, 1 round trip, " in run.stdout
    assert b"! TLS is not offered: all mail goes in clear text\n" in run.stdout
    assert b"  AUTH        none: AUTH is not offered\n" in run.stdout


def test_credentials_are_tried_where_somebody_asks_for_it(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with protected(portal, tmp_path) as (model, arguments):
        arguments += ["--username", "alice"]
        right = esmtp("probe", *arguments, ESMTP_PASSWORD="sesame")
        wrong = esmtp("probe", *arguments, ESMTP_PASSWORD="simsala")
    assert right.returncode == 0, right.stderr
    assert b"AUTH SCRAM-SHA-256" in said(model)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith(b"esmtp: AuthenticationFailed: ")
    assert b"in clear      PIPELINING" in wrong.stdout
    for run in (right, wrong):
        assert b"sesame" not in run.stdout + run.stderr
        assert b"simsala" not in run.stdout + run.stderr


def test_the_environment_names_a_user_whom_a_probe_does_not_tell(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with protected(portal, tmp_path) as (model, (server, *arguments)):
        run = esmtp(
            *("probe", *arguments),
            ESMTP_SERVER=server.replace("smtp://", "smtp://alice:sesame@"),
        )
    assert run.returncode == 0, run.stderr
    assert b"AUTH" not in said(model)


def test_a_certificate_that_nobody_vouches_for(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with protected(portal, tmp_path) as (_, (server, *_)):
        run = esmtp("probe", server)
        as_json = esmtp("probe", "--json", server)
    assert run.returncode == 3
    assert b"esmtp: TLSFailed: localhost:" in run.stderr
    assert b": the certificate of localhost does not verify: " in run.stderr
    assert b"in clear      PIPELINING" in run.stdout
    told = json.loads(as_json.stdout)
    assert told["error"][0] == "TLSFailed"
    assert told["would"]["send"] is False
    assert told["tls"] is None


def test_a_server_that_is_not_there() -> None:
    run = esmtp("probe", "--timeout", "5", "127.0.0.1:9")
    assert run.returncode == 3
    assert run.stdout == b"server        127.0.0.1:9\n"
    assert run.stderr.startswith(b"esmtp: ConnectFailed: ")


def test_a_server_that_does_not_want_us(server: SMTPServer) -> None:
    server.rules.append(Rule("CONNECT", reply="554 5.7.1 \x1b[31mgo away"))
    run = esmtp("probe", url(server))
    assert run.returncode == 1
    assert b"greeting      554 5.7.1 \\x1b[31mgo away\n" in run.stdout
    assert b"\x1b" not in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("before", "under", "days", "warnings"),
    [
        ({"STARTTLS": "", "PIPELINING": "", "8BITMIME": ""}, None, None, []),
        (
            {"AUTH": "PLAIN CRAM-MD5", "PIPELINING": ""},
            None,
            None,
            ["AUTH is offered, and TLS is not", "8BITMIME is not offered"],
        ),
        (
            {"AUTH": "CRAM-MD5", "STARTTLS": ""},
            {"STARTTLS": "", "8BITMIME": ""},
            13,
            [
                "STARTTLS is offered once more",
                "the certificate ends in 13 days",
                "PIPELINING is not offered",
            ],
        ),
        (None, {"PIPELINING": "", "8BITMIME": ""}, 14, []),
    ],
)
def test_warnings(
    before: dict[str, str] | None,
    under: dict[str, str] | None,
    days: int | None,
    warnings: list[str],
) -> None:
    findings = Findings("mail.example.test:25")
    findings.greeting = Reply(220, (b"x",))
    findings.before_tls = None if before is None else Extensions(before)
    if under is not None:
        findings.under_tls, findings.tls = Extensions(under), PROTECTED
    if days is not None:
        end = datetime.now(UTC) + timedelta(days=days, minutes=1)
        findings.certificate = Certificate("", "", (), end, end)
    told = [*findings.warnings()]
    assert len(told) == len(warnings)
    for warning, start in zip(told, warnings, strict=True):
        assert warning.startswith(start)


@pytest.mark.parametrize("auth", [{}, {"AUTH": "PLAIN"}])
def test_no_warning_of_clear_text_on_a_unix_socket(
    portal: BlockingPortal, auth: dict[str, str]
) -> None:
    findings = Findings("/run/lmtp", is_private=True)
    findings.before_tls = Extensions(auth)
    assert [*findings.warnings()] == []
    with (
        TemporaryDirectory() as folder,
        portal.wrap_async_context_manager(serving(script(), path=Path(folder) / "s")),
    ):
        run = esmtp("probe", f"smtp+unix://{folder}/s")
    assert run.returncode == 0, run.stderr
    assert b"\ngreeting      220 " in run.stdout
    assert b"clear text" not in run.stdout


@pytest.mark.parametrize(
    ("server", "tls", "offered", "refused", "mechanism", "about"),
    [
        ("x.example", PROTECTED, "PLAIN LOGIN", False, "PLAIN", ""),
        ("x.example", PROTECTED, "SCRAM-SHA-1-PLUS", False, "SCRAM-SHA-1-PLUS", ""),
        ("x.example", PROTECTED, "GSSAPI", False, None, "not by a user name and"),
        ("x.example", PROTECTED, "", False, None, "AUTH is not offered"),
        ("x.example", None, "PLAIN", True, None, "not in clear text"),
        ("localhost", None, "PLAIN", False, None, "not in clear text"),
        ("smtp+unix:///run/x", None, "PLAIN", False, "PLAIN", ""),
    ],
)
def test_what_this_client_would_do(
    *,
    server: str,
    tls: TLSInfo | None,
    offered: str,
    refused: bool,
    mechanism: str | None,
    about: str,
) -> None:
    findings = Findings(server)
    findings.tls = tls
    findings.before_tls = Extensions({"AUTH": offered} if offered else {})
    told = would(findings, resolve(server, None, {}))
    assert bool(told.refusal) is refused
    assert told.mechanism == mechanism
    assert told.about_mechanism.startswith(about)
    assert told.shape == "lockstep"


def test_a_mechanism_that_lacks_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scramp", None)
    findings = Findings("x.example")
    findings.tls = PROTECTED
    usual = resolve("x.example", None, {})
    findings.under_tls = Extensions({"AUTH": "SCRAM-SHA-256 PLAIN"})
    assert would(findings, usual).mechanism == "PLAIN"
    findings.under_tls = Extensions({"AUTH": "SCRAM-SHA-256"})
    told = would(findings, usual)
    assert told.mechanism is None
    assert "pip install 'esmtp-async[scram]'" in told.about_mechanism
