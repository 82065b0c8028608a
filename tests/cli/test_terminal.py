"""The command line at a real terminal: what is seen, what is not, and Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import pexpect
import pytest
from anyio.from_thread import BlockingPortal

from esmtp_async._cli import main
from esmtp_async.testing import Rule, SMTPServer
from tests.cli.running import COMMAND, MESSAGE, url
from tests.cli.test_bulk import letters, once_each, told
from tests.docs.command_line import commands

SECRET = "open sesame"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def at_terminal(
    arguments: Sequence[str],
    *,
    program: Sequence[str] = COMMAND,
    columns: int = 100,
    **environment: str,
) -> pexpect.spawn[str]:
    """Run it at a terminal."""
    plain = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}
    return pexpect.spawn(
        program[0],
        [*program[1:], *arguments],
        dimensions=(24, columns),
        encoding="utf-8",
        codec_errors="replace",
        env={**plain, "TERM": "xterm-256color", **environment},
        timeout=20,
    )


def ended(terminal: pexpect.spawn[str]) -> str:
    """Wait for the end; give what was seen, without what moves the cursor."""
    terminal.expect(pexpect.EOF)
    terminal.close()
    return ESCAPES.sub("", terminal.before or "")


def test_a_message_is_not_waited_for() -> None:
    terminal = at_terminal(["send"])
    assert "esmtp: there is no message: give FILE" in ended(terminal)
    assert terminal.exitstatus == 2


def test_a_password_is_asked_for_and_not_shown(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    model = SMTPServer(
        hostname="localhost", starttls=True, users={"alice": SECRET}, require_auth=True
    )
    trusted, path = tmp_path / "ca.pem", tmp_path / "message.eml"
    trusted.write_bytes(model.authority.certificate)
    path.write_bytes(MESSAGE)
    with portal.wrap_async_context_manager(model.listen()):
        terminal = at_terminal(
            [
                *("send", "--server", f"localhost:{model.port}"),
                *("--ca-file", str(trusted), "--username", "alice", "-v", str(path)),
            ]
        )
        terminal.expect_exact("Password of alice: ")
        terminal.sendline(SECRET)
        terminal.expect_exact("C: AUTH")
        before = ESCAPES.sub("", terminal.before or "")
        assert SECRET.encode() not in Path(f"/proc/{terminal.pid}/cmdline").read_bytes()
        assert SECRET.encode() not in Path(f"/proc/{terminal.pid}/environ").read_bytes()
        seen = before + ended(terminal)
    assert terminal.exitstatus == 0, seen
    assert "b@example.test: accepted: 250 " in seen
    assert "sesame" not in seen
    assert model.messages[0].username == "alice"


def test_an_interrupt_at_the_password() -> None:
    terminal = at_terminal(["bulk", "--username", "alice", __file__])
    terminal.expect_exact("Password of alice: ")
    terminal.sendintr()
    assert ended(terminal).strip().endswith("esmtp: interrupted")
    assert terminal.exitstatus == 3


@pytest.mark.parametrize("columns", [100, 40])
def test_a_bar_with_rate_and_time_to_go(
    server: SMTPServer, tmp_path: Path, columns: int
) -> None:
    folder = letters(tmp_path / "letters", 40)
    server.rules.extend(
        [
            Rule("CONTENT", delay=0.05),
            Rule("RCPT", "r3@", reply="550 5.1.1 \x1b[31mno"),
        ]
    )
    terminal = at_terminal(
        ["bulk", "--server", url(server), "--connections", "1", str(folder)],
        columns=columns,
    )
    terminal.expect(
        "[1-9][0-9]* accepted, 1 refused *\r\n"  # and below it
        ".*\u2501+.* [1-9][0-9]*%.* [0-9.]+/s .*ETA.*0:00:0"
    )
    seen = ended(terminal)
    assert terminal.exitstatus == 1
    assert "100%" in seen
    assert "39 accepted, 1 refused" in seen
    assert '"event"' not in seen  # nobody reads JSON here


def test_the_lines_go_where_they_are_sent_past_the_bar(
    server: SMTPServer, tmp_path: Path
) -> None:
    folder = letters(tmp_path / "letters", 3)
    lines = tmp_path / "lines"
    redirected = ("sh", "-c", f'exec "$@" > {shlex.quote(str(lines))}', "sh", *COMMAND)
    terminal = at_terminal(
        ["bulk", "--server", url(server), str(folder)], program=redirected
    )
    seen = ended(terminal)
    assert "3 accepted" in seen
    assert '"event"' not in seen
    written = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    assert [line["event"] for line in written] == ["outcome"] * 3


def test_what_goes_wrong_stays_above_the_bar(
    server: SMTPServer, tmp_path: Path
) -> None:
    folder = letters(tmp_path / "letters", 40)
    server.rules.append(Rule("RCPT", reply="550 5.1.1 [bold]no"))
    seen = ended(at_terminal(["bulk", "--server", url(server), str(folder)]))
    path = folder / "000.eml"
    joined = seen.replace("\r\n", "")
    assert f"{path}: r0@example.test: refused: 550 5.1.1 [bold]no" in joined
    assert joined.count("refused: 550") == 20
    assert "... and so on; with --log a file would have the rest" in joined
    assert "40 refused" in joined


def sixty_to_send(server: SMTPServer, tmp_path: Path, log: Path) -> list[str]:
    """Give what sends 60 messages, slowly enough to be stopped amid them."""
    folder = letters(tmp_path / "letters", 60)
    server.rules.append(Rule("CONTENT", delay=0.05))
    return [
        *("bulk", "--server", url(server), "--connections", "1"),
        *("--log", str(log), str(folder)),
    ]


def test_an_interrupt_at_the_bar(server: SMTPServer, tmp_path: Path) -> None:
    log = tmp_path / "log"
    arguments = sixty_to_send(server, tmp_path, log)
    terminal = at_terminal(arguments)
    terminal.expect("[0-9] accepted")
    terminal.sendintr()
    seen = ended(terminal)
    assert "interrupted: what is under way has 8 s to finish" in seen
    assert "esmtp: interrupted; the same command sends what is left" in seen
    assert terminal.exitstatus == 3
    assert {outcome for _, outcome in told(log)} == {"accepted"}
    assert 0 < len(server.messages) < 60
    server.rules.clear()
    terminal = at_terminal(arguments)
    seen = ended(terminal)
    assert terminal.exitstatus == 0, seen
    assert [r.path for m in server.messages for r in m.recipients] == [*once_each(60)]


WITHOUT = """
import sys
sys.modules["{module}"] = None
from esmtp_async.__main__ import main
sys.exit(main())
"""


def without(module: str) -> tuple[str, ...]:
    """Run it where a package is missing."""
    return (sys.executable, "-c", WITHOUT.format(module=module))


@pytest.mark.parametrize("columns", [100, 30])
def test_without_rich_there_is_a_plain_line(
    server: SMTPServer, tmp_path: Path, columns: int
) -> None:
    folder = letters(tmp_path / "letters", 30)
    server.rules.extend(
        [Rule("CONTENT", delay=0.05), Rule("RCPT", "r3@", reply="550 5.1.1 no")]
    )
    terminal = at_terminal(
        ["bulk", "--server", url(server), "--connections", "1", str(folder)],
        program=without("rich"),
        columns=columns,
    )
    terminal.expect_exact("pip install 'esmtp-async[cli]' shows a progress bar here")
    terminal.expect("\r *[1-9][0-9]* %  [0-9.]+ messages/s  [0-9]+ acc")
    seen = ended(terminal)
    assert all(
        len(line) < columns for line in re.findall(r"\r( *[0-9]+ %[^\r]*)", seen)
    )
    assert terminal.exitstatus == 1, seen
    assert "29 accepted, 1 refused" in seen


@pytest.mark.parametrize("command", ["", *commands()])
def test_help_fits_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*([command] if command else []), "--help"])
    told = capsys.readouterr().out
    # What is to be typed stays in one piece.
    assert all(len(x) <= 50 for x in told.splitlines() if not x.startswith("  "))
    assert "\n\nExit codes" in told


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_the_shell_completes_commands_options_and_files(shell: str) -> None:
    script = ended(at_terminal(["--print-completion", shell]))
    assert "bulk" in script
    if shell != "tcsh":  # of which shtab knows commands alone
        assert "--password-command" in script
    assert "--password " not in script


def test_bash_completes(tmp_path: Path) -> None:
    """A shell reads the script, and does what it says."""
    script = tmp_path / "completion"
    terminal = at_terminal(["--print-completion", "bash"])
    script.write_text(ended(terminal).replace("\r\n", "\n"))
    (tmp_path / "letter.eml").write_bytes(MESSAGE)
    bash = pexpect.spawn(
        "bash",
        ["--norc", "--noprofile"],
        encoding="utf-8",
        cwd=str(tmp_path),
        env={**os.environ, "PS1": "$ ", "TERM": "dumb"},
        timeout=20,
    )
    bash.expect_exact("$ ")
    bash.sendline("source ./completion; echo done")
    bash.expect_exact("done\r\n")
    bash.send("esmtp pro\t")
    bash.expect_exact("esmtp probe ")
    bash.sendcontrol("u")
    bash.send("esmtp send --pass\t")
    bash.expect_exact("--password-command ")
    bash.sendcontrol("u")
    bash.send("esmtp send let\t")
    bash.expect_exact("letter.eml")
    bash.close(force=True)


def test_without_shtab_the_extra_is_named() -> None:
    terminal = at_terminal(["--print-completion", "bash"], program=without("shtab"))
    seen = ended(terminal)
    assert "needs shtab: pip install 'esmtp-async[cli]'" in seen
    assert terminal.exitstatus == 2


def test_without_trustme_the_demo_names_the_extra() -> None:
    terminal = at_terminal(["demo"], program=without("trustme"))
    seen = ended(terminal)
    assert "needs trustme: pip install 'esmtp-async[testing]'" in seen
    assert terminal.exitstatus == 2
