"""The page about the command line tells what the command does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from esmtp_async._cli import main
from esmtp_async._cli._exits import ACCEPTED, NOT_SENT, REFUSED, UNKNOWN, USAGE
from esmtp_async._cli._profiles import read_profile

from .command_line import PAGE, PARTS, commands, shown
from .pages import rendered

TEXT = PAGE.read_text("utf-8")


def test_the_help_texts_are_those_of_the_command() -> None:
    assert rendered(TEXT, PARTS) == TEXT, "run: python -m tests.docs.command_line"


def test_the_help_texts_fit_a_terminal_and_tell_of_every_option() -> None:
    assert max(map(len, shown().splitlines())) < 80
    for command in commands().values():
        assert all(action.help for action in command._actions)


@pytest.mark.parametrize("name", commands())
def test_every_command_stands_on_the_page(name: str) -> None:
    assert f"\n| `{name}` | " in TEXT


def test_every_option_that_the_page_speaks_of_is_there() -> None:
    texts = "".join(each.format_help() for each in commands().values())
    prose = TEXT.partition("## All options")[0]
    spoken_of = {*re.findall(r"(?<![\w-])--[a-z][a-z-]+", prose)}
    assert len(spoken_of) > 15
    unknown = {name for name in spoken_of if not re.search(rf"{name}(?![\w-])", texts)}
    # Of the command itself; of nobody; of pass and the like there are none.
    assert unknown == {"--print-completion", "--password"}


def test_the_profiles_on_the_page_can_be_read(tmp_path: Path) -> None:
    (toml,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    path = tmp_path / "config.toml"
    path.write_text(toml)
    path.chmod(0o600)
    default, work = read_profile(path, "default"), read_profile(path, "work")
    assert default is not None
    assert default.server == "smtp.example.com"
    assert work is not None
    assert work.ca_file == tmp_path / "work-ca.pem"
    assert work.options.get("max_connections") == 4


def test_every_exit_code_stands_in_the_table() -> None:
    table = TEXT.partition("## Exit codes")[2].partition("## ")[0]
    told = [int(code) for code in re.findall(r"^\| (\d) \|", table, re.MULTILINE)]
    assert told == [ACCEPTED, REFUSED, USAGE, NOT_SENT, UNKNOWN]


def test_help_is_printed_and_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    for name in commands():
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: esmtp {name} [options]")
