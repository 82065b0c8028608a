"""The plugin of pytest, in runs of pytest of its own, under every runner."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

import esmtp_async.testing
from esmtp_async.testing import plugin

pytest_plugins = ["pytester"]

INI = """
[pytest]
filterwarnings = error
asyncio_default_fixture_loop_scope = function
addopts = --strict-markers -p no:randomly -p no:xdist -p no:hypothesispytest
timeout = 30
"""
LETTER = """
from email.message import EmailMessage

import pytest

from esmtp_async.testing import assert_sent

letter = EmailMessage()
letter["From"] = "alice@example.com"
letter["To"] = "bob@example.com"
letter["Subject"] = "Hi"
letter.set_content("Hello.")

"""
#: What a coroutine does with the fixtures, whoever runs it.
COROUTINE = """
    await smtp_client.send(letter)
    await smtp_client.send(letter)
    assert len(await smtp_server.await_for(2)) == 2
    assert smtp_server.connections == smtp_server.open_connections == 1
"""
#: That the connection was closed in order behind it, and the test is what it was.
CONFTEST = """
import pytest

@pytest.fixture(autouse=True)
def closed(smtp_server):
    yield
    if smtp_server.messages:
        said = [octets for side, octets in smtp_server.transcript[0] if side == "C"]
        assert said[-1] == b"QUIT\\r\\n"
        print("closed in order")

@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item):
    yield
    assert not hasattr(item.obj, "__wrapped__"), "the test is not what it was"
"""


def run(
    pytester: pytest.Pytester, tests: str, *arguments: str, conftest: str = ""
) -> pytest.RunResult:
    """Run tests in a process of its own, where every warning is an error."""
    pytester.makeini(INI)
    if conftest:
        pytester.makeconftest(conftest)
    pytester.makepyfile(LETTER + tests)
    return pytester.runpytest_subprocess("-rA", *arguments)


def test_a_plain_function(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import smtplib

def test_by_the_standard_library(smtp_server):
    with smtplib.SMTP(smtp_server.host, smtp_server.port) as client:
        client.send_message(letter)
    assert_sent(smtp_server, to="bob@example.com", subject="Hi")

def test_the_server_is_another_one(smtp_server):
    assert smtp_server.messages == []
""",
    )
    result.assert_outcomes(passed=2)


def test_unittest(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import asyncio
import unittest

class TestMail(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def take(self, smtp_server):
        self.server = smtp_server

    async def test_mail(self):
        async with self.server.client() as client:
            await client.send(letter)
        assert_sent(self.server, subject="Hi")
""",
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_pytest_asyncio(pytester: pytest.Pytester, mode: str) -> None:
    marker = "@pytest.mark.asyncio" if mode == "strict" else ""
    result = run(
        pytester,
        f"""
{marker}
async def test_coroutine(smtp_server, smtp_client):
{COROUTINE}

class TestClass:
    {marker}
    @pytest.mark.parametrize("number", [1, 2])
    async def test_method(self, smtp_client, number):
        receipt = await smtp_client.send(letter)
        assert receipt.accepted == ("bob@example.com",)
""",
        f"--asyncio-mode={mode}",
        conftest=CONFTEST,
    )
    result.assert_outcomes(passed=3)
    assert result.stdout.str().count("closed in order") == 3


def test_pytest_asyncio_with_uvloop(pytester: pytest.Pytester) -> None:
    hook = """
import uvloop

def pytest_asyncio_loop_factories(config, item):
    return {"uvloop": uvloop.new_event_loop}
"""
    result = run(
        pytester,
        f"""
@pytest.mark.asyncio
async def test_coroutine(smtp_server, smtp_client):
{COROUTINE}
""",
        conftest=CONFTEST + hook,
    )
    result.assert_outcomes(passed=1)
    assert "closed in order" in result.stdout.str()


def test_the_plugin_of_anyio(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        f"""
@pytest.mark.anyio
async def test_coroutine(smtp_server, smtp_client):
{COROUTINE}
""",
        conftest=CONFTEST,
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines_random(["PASSED *[[]asyncio]", "PASSED *[[]trio]"])
    assert result.stdout.str().count("closed in order") == 2


def test_pytest_trio(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        f"""
@pytest.mark.trio
async def test_coroutine(smtp_server, smtp_client):
{COROUTINE}
""",
        conftest=CONFTEST,
    )
    result.assert_outcomes(passed=1)
    assert "closed in order" in result.stdout.str()


def test_a_function_that_runs_a_loop(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import anyio

@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_function(smtp_server, smtp_client, backend):
    async def main():
        async with smtp_client:
            await smtp_client.send(letter)
    anyio.run(main, backend=backend)
    assert_sent(smtp_server)
""",
        conftest=CONFTEST,
    )
    result.assert_outcomes(passed=2)


def test_a_client_that_nobody_closes_is_an_error(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import anyio

@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_function(smtp_server, smtp_client):
    anyio.run(smtp_client.send, letter)
""",
        "-p",
        "no:unraisableexception",
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["smtp_client was left with 1 open connection(s)*async with smtp_client:*"]
    )


def test_a_coroutine_that_fails_still_closes(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.mark.asyncio
async def test_coroutine(smtp_server, smtp_client):
    await smtp_client.send(letter)
    assert smtp_server.messages == []
""",
        conftest=CONFTEST,
    )
    result.assert_outcomes(failed=1)
    assert "assert smtp_server.messages == []" in result.stdout.str()
    assert "closed in order" in result.stdout.str()


def test_markers_and_the_fixture_of_options(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
pytestmark = pytest.mark.smtp_server(hostname="module.test", users={"a": "b"})
OPTIONS = {"hostname": "fixture.test", "starttls": True}

@pytest.fixture
def smtp_server_options():
    return OPTIONS

@pytest.mark.asyncio
async def test_module(smtp_server, smtp_client):
    info = await smtp_client.probe()
    assert info.greeting.text.startswith("module.test ")
    receipt = await smtp_client.send(letter)
    assert receipt.tls is not None
    assert smtp_server.messages[0].username == "a"

@pytest.mark.smtp_server(hostname="class.test")
class TestClass:
    @pytest.mark.asyncio
    @pytest.mark.smtp_server(users={})
    async def test_closest(self, smtp_server, smtp_client):
        info = await smtp_client.probe()
        assert info.greeting.text.startswith("class.test ")
        await smtp_client.send(letter)
        assert smtp_server.messages[0].username is None
        assert OPTIONS == {"hostname": "fixture.test", "starttls": True}
""",
    )
    result.assert_outcomes(passed=2)


def test_a_marker_that_makes_no_sense(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.mark.smtp_server(True)
def test_positional(smtp_server):
    pass

@pytest.mark.smtp_server(start_tls=True)
def test_misspelt(smtp_server):
    pass
""",
    )
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines_random(
        ["*the marker smtp_server takes options by name only", "*'start_tls'*"]
    )


def test_a_failing_assertion_points_at_the_test(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.mark.asyncio
async def test_coroutine(smtp_server, smtp_client):
    await smtp_client.send(letter)
    assert_sent(smtp_server, subject="Ho")
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            '>*assert_sent(smtp_server, subject="Ho")',
            "E *1 message should be like that, of 1 that came: 0",
            "E *subject: expected 'Ho'",
            "E *found    'Hi'",
        ]
    )
    assert "_assertions.py" not in result.stdout.str()


def test_a_failure_shows_what_was_said(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import smtplib

def post(server, count):
    for _ in range(count):
        with smtplib.SMTP(server.host, server.port) as client:
            client.login("alice", "open sesame")
            client.send_message(letter)

@pytest.mark.smtp_server(users={"alice": "open sesame"}, auth_needs_tls=False)
class TestMail:
    def test_refused(self, smtp_server):
        post(smtp_server, 5)
        smtp_server.refuse("bob@example.com", "550 5.1.1 no such user")
        post(smtp_server, 1)

    def test_passed(self, smtp_server):
        post(smtp_server, 1)
""",
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*- smtp_server, connection 4 -*",
            "C: AUTH PLAIN <* octets>",
            "*- smtp_server, connection 6 -*",
            "S: 550 5.1.1 no such user",
        ]
    )
    shown = result.stdout.str()
    assert "connection 3" not in shown
    assert shown.count("connection 6") == 1
    assert b64encode(b"\0alice\0open sesame").decode() not in shown


def test_so_does_what_fails_behind_the_test(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import smtplib

@pytest.fixture(autouse=True)
def by_the_book(smtp_server):
    yield
    assert smtp_server.violations == []

def test_it(smtp_server):
    with smtplib.SMTP(smtp_server.host, smtp_server.port) as client:
        client.docmd("NONSENSE")
""",
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*- smtp_server, connection 1 -*", "C: NONSENSE"])


def test_a_server_of_ones_own_by_that_name(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.fixture
def smtp_server():
    return 25

def test_it(smtp_server):
    assert smtp_server == 26
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_the_fixtures_are_told_by_pytest(pytester: pytest.Pytester) -> None:
    pytester.makeini(INI)
    told = pytester.runpytest_subprocess("--fixtures").stdout.str()
    for name in ("smtp_server", "smtp_client", "smtp_server_options"):
        assert f"\n{name} -- " in told
    marks = pytester.runpytest_subprocess("--markers").stdout
    marks.fnmatch_lines(["@pytest.mark.smtp_server(?*options): how the fixture *"])


def test_it_can_be_left_out(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_it(smtp_server): pass", "-p", "no:esmtp_async")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'smtp_server' not found"])


HEAVY = {"anyio", "asyncio", "trio", "ssl", "socket", "trustme", "email", "select"}


def test_it_loads_nothing_before_it_is_used(pytester: pytest.Pytester) -> None:
    """Of what pytest does not load itself: without the plugin it is the same list."""
    pytester.makeini("[pytest]")  # lest it takes one of a folder above
    pytester.makepyfile("import sys\n\ndef test_it():\n    print('>', *sys.modules)")
    # A measurement of coverage would load what it needs itself.
    plain = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    loaded = []
    for arguments in (["-p", "esmtp_async"], []):
        completed = subprocess.run(
            [sys.executable, "-m", "pytest", "-s", *arguments],
            capture_output=True,
            text=True,
            check=True,
            cwd=pytester.path,
            env={**plain, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            timeout=50,
        )
        (line,) = (x for x in completed.stdout.splitlines() if "> " in x)
        loaded.append(set(line.partition("> ")[2].split()))
    with_it, without = loaded
    assert with_it - without == {
        "esmtp_async",
        "esmtp_async.testing",
        "esmtp_async.testing.plugin",
    }
    assert with_it.isdisjoint(HEAVY - without)
    assert "anyio" not in with_it
    assert "ssl" not in with_it


def test_coverage_of_the_package_begins_before_it(pytester: pytest.Pytester) -> None:
    """`coverage run -m pytest` sees the lines that run when the plugin is loaded."""
    pytester.makepyfile("def test_it(): pass")
    (pytester.path / ".coveragerc").write_text("[run]\nsource_pkgs = esmtp_async\n")
    plain = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    for command in (["run", "-m", "pytest"], ["json", "-o", "report.json"]):
        subprocess.run(
            [sys.executable, "-m", "coverage", *command],
            check=True,
            capture_output=True,
            cwd=pytester.path,
            env={**plain, "COVERAGE_FILE": str(pytester.path / "data")},
            timeout=50,
        )
    files = json.loads((pytester.path / "report.json").read_text())["files"]
    for module in (esmtp_async, esmtp_async.testing, plugin):
        path = Path(str(module.__file__))
        statements = ast.parse(path.read_text()).body
        definitions = {
            node.lineno for node in statements if isinstance(node, ast.FunctionDef)
        }
        seen = files[str(path)]["executed_lines"]
        assert definitions.intersection(seen) == definitions
