"""Whoever ends a command: what became of the mail is told, by the exit code as well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from time import sleep

import pytest

from esmtp_async.testing import Rule, SMTPServer
from tests.cli.running import COMMAND, MESSAGE, url
from tests.cli.test_bulk import finish, told, wait_for
from tests.cli.test_terminal import at_terminal, sixty_to_send


def has_content(server: SMTPServer) -> bool:
    """Tell whether the end of a message has come."""
    said = [s.octets for t in list(server.transcript) for s in list(t)]
    return any(b"Hello." in octets for octets in said)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("background", [False, True])
def test_whoever_ends_it_the_outcome_is_told(
    server: SMTPServer, tmp_path: Path, by: signal.Signals, *, background: bool
) -> None:
    """What a shell starts in the background does not hear Ctrl-C, but the others."""
    path = tmp_path / "message.eml"
    path.write_bytes(MESSAGE)
    server.rules.append(Rule("CONTENT", delay=60))
    program = 'trap "" INT; exec "$@"' if background else 'exec "$@"'
    command = [*COMMAND, "send", "--server", url(server), str(path)]
    with subprocess.Popen(
        ["/bin/sh", "-c", program, "sh", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        wait_for(partial(has_content, server))
        process.send_signal(by)
        if background and by is signal.SIGINT:
            sleep(0.5)
            assert process.poll() is None
            process.terminate()
        out, err = process.communicate(timeout=10)
    assert process.returncode == 4
    assert out == b"b@example.test: unknown\n"
    assert err == b"esmtp: interrupted\n"


def test_nohup_is_heeded(server: SMTPServer, tmp_path: Path) -> None:
    path = tmp_path / "message.eml"
    path.write_bytes(MESSAGE)
    server.rules.append(Rule("CONTENT", delay=2))
    command = [*COMMAND, "send", "--server", url(server), str(path)]
    with subprocess.Popen(
        ["/bin/sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command],
        stdout=subprocess.DEVNULL,
    ) as process:
        wait_for(partial(has_content, server))
        process.send_signal(signal.SIGHUP)
    assert process.returncode == 0


def test_ctrl_c_again_does_not_change_the_exit_code(
    server: SMTPServer, tmp_path: Path
) -> None:
    path = tmp_path / "message.eml"
    path.write_bytes(MESSAGE)
    server.rules.append(Rule("CONTENT", delay=60))
    terminal = at_terminal(["send", "--server", url(server), str(path)])
    wait_for(partial(has_content, server))
    terminal.sendintr()
    terminal.expect_exact("unknown")
    while terminal.isalive():
        terminal.sendintr()
        sleep(0.02)
    assert (terminal.exitstatus, terminal.signalstatus) == (4, None)


def test_a_terminal_that_goes_away_is_an_interrupt(
    server: SMTPServer, tmp_path: Path
) -> None:
    """A connection by SSH breaks off, or a window is closed."""
    log = tmp_path / "log"
    arguments = sixty_to_send(server, tmp_path, log)
    terminal = at_terminal(arguments)
    terminal.expect("[0-9] accepted")
    os.close(terminal.child_fd)
    assert terminal.pid is not None
    _, status = os.waitpid(terminal.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 3
    assert {outcome for _, outcome in told(log)} == {"accepted"}
    assert 0 < len(server.messages) < 60
    server.rules.clear()
    finish(server, arguments, 60, doubts=0)


INTERRUPTED = """
import signal, sys

class Finder:
    def find_spec(self, name, *_):
        if name == "esmtp_async._cli._bulk":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder())
from esmtp_async.__main__ import main
sys.exit(main())
"""


def test_ctrl_c_while_it_begins() -> None:
    """To import all that is needed takes a moment."""
    run = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "send", "-"],
        capture_output=True,
        check=False,
        timeout=50,
    )
    assert (run.returncode, run.stdout, run.stderr) == (3, b"", b"")
