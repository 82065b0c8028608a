"""Which server, and as whom: options, a named profile, the environment, a default."""

from __future__ import annotations

import argparse
import stat
import sys
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest
from anyio.from_thread import BlockingPortal

from esmtp_async import InvalidInput, RateLimit, Timeouts
from esmtp_async._cli._commands import Commands
from esmtp_async._cli._profiles import config_path, read_profile
from esmtp_async._cli._server import add_server, service
from esmtp_async.protocol._sasl import Login
from esmtp_async.testing import SMTPServer
from tests.cli.running import MESSAGE, esmtp

SECRET = "open sesame"

PROFILES = """
[default]
server = "default.example"
username = "dora"
password_command = ["printf", "of-dora"]

[work]
server = "submissions://work.example"
username = "walter"
password_command = ["printf", "of-walter\\nsecond line\\n"]
max_connections = 3
max_messages_per_connection = 7
max_idle = 5
max_age = 60.5
rate_limit = "100/60"
pipelining = "eager"
client_hostname = "me.example"
server_hostname = "certified.example"
local_address = "127.0.0.1"
timeouts = { connect = 5, command = 30.5 }

[plain]
timeouts = 7
auth = "LOGIN"
security = "plaintext"
allow_plaintext_auth = true
port = 2525
"""


profiles = pytest.mark.usefixtures("config")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config" / "esmtp" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(PROFILES)
    path.chmod(0o600)
    return path


class Told(NamedTuple):
    """A service, whose options are looked at one by one."""

    server: str
    port: int | None
    options: dict[str, object]


def told(*arguments: str, anonymous: bool = False) -> Told:
    """Give what these options come to."""
    parser = argparse.ArgumentParser()
    command = Commands(parser).add("x", "x", "x")
    add_server(command)
    it = service(parser.parse_args(["x", *arguments]), anonymous=anonymous)
    return Told(it.server, it.port, {**it.options})


def test_without_anything_it_is_this_machine() -> None:
    assert told().server == "localhost"
    assert told().options.get("username") is None


def test_the_default_profile_is_taken_where_nothing_else_names_a_server(
    config: Path,
) -> None:
    assert config == config_path()
    it = told()
    assert it.server == "default.example"
    assert it.options["username"] == "dora"
    assert it.options["password"] == "of-dora"


@profiles
@pytest.mark.parametrize("by", ["option", "environment"])
def test_no_password_goes_to_another_server_than_its_own(
    monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """The default profile is left out as a whole where a server is named."""
    if by == "environment":
        monkeypatch.setenv("ESMTP_SERVER", "other.example")
        it = told()
    else:
        it = told("--server", "other.example")
    assert it.server == "other.example"
    assert not it.options.keys() & {"username", "password", "auth"}


def test_nor_does_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESMTP_SERVER", "environment.example")
    monkeypatch.setenv("ESMTP_USERNAME", "eve")
    monkeypatch.setenv("ESMTP_PASSWORD", SECRET)
    it = told()
    assert it.options["username"] == "eve"
    assert it.options["password"] == SECRET
    it = told("--server", "other.example")
    assert not it.options.keys() & {"username", "password", "auth"}


@profiles
def test_options_come_before_a_profile_that_is_named_and_it_before_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ESMTP_SERVER", "environment.example")
    monkeypatch.setenv("ESMTP_PASSWORD", SECRET)
    it = told("--profile", "work")
    assert it.server == "submissions://work.example"
    assert it.options["username"] == "walter"
    assert it.options["password"] == "of-walter"
    it = told("--profile", "work", "--password-command", "printf 'from the option'")
    assert it.options["password"] == "from the option"
    it = told("--profile", "plain", "--username", "eve")
    assert (it.server, it.port) == ("environment.example", 2525)
    assert isinstance(it.options["auth"], Login)
    assert it.options["auth"].username == "eve"
    assert it.options["security"] == "plaintext"
    assert told("--profile", "plain", "--security", "tls").options["security"] == "tls"


@profiles
def test_nobody_is_given_the_password_of_somebody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return "of-bob"

    monkeypatch.setattr("getpass.getpass", answer)
    assert told("--username", "bob").options["password"] == "of-bob"
    assert asked == ["Password of bob: "]
    monkeypatch.setenv("ESMTP_PASSWORD", SECRET)
    assert told("--username", "bob").options["password"] == SECRET
    monkeypatch.setenv("ESMTP_USERNAME", "eve")
    assert told("--username", "bob").options["password"] == "of-bob"


@profiles
def test_every_key_comes_to_an_argument_of_the_client() -> None:
    options = told("--profile", "work").options
    assert options["max_connections"] == 3
    assert options["max_messages_per_connection"] == 7
    assert options["max_idle"] == 5
    assert options["max_age"] == 60.5
    assert options["rate_limit"] == RateLimit(100, 60)
    assert options["pipelining"] == "eager"
    assert options["client_hostname"] == "me.example"
    assert options["server_hostname"] == "certified.example"
    assert options["local_address"] == "127.0.0.1"
    assert options["timeouts"] == Timeouts(connect=5, command=30.5)
    plain = told("--profile", "plain", "--server", "x.example").options
    assert plain["timeouts"] == 7
    assert plain["allow_plaintext_auth"] is True


@profiles
def test_a_profile_of_a_server_and_another_server_exclude_each_other() -> None:
    with pytest.raises(InvalidInput, match="'work' is of a server"):
        told("--profile", "work", "--server", "other.example")


@profiles
def test_who_is_to_stay_unknown_is_told_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    it = told("--profile", "work", anonymous=True)
    assert not it.options.keys() & {"username", "password", "auth"}
    monkeypatch.setenv("ESMTP_SERVER", f"smtp://eve:{SECRET[:4]}@x.example:26")
    assert told(anonymous=True).server == "smtp://x.example:26"


def test_a_url_of_the_environment_may_hold_user_and_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ESMTP_SERVER", "smtp://eve:sesame@x.example")
    it = told()
    assert it.server == "smtp://eve:sesame@x.example"
    assert not it.options.keys() & {"username", "password"}
    monkeypatch.setenv("ESMTP_SERVER", "smtp://eve@x.example")
    monkeypatch.setenv("ESMTP_PASSWORD", SECRET)
    it = told()
    assert it.options["password"] == SECRET
    assert "username" not in it.options


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[default\n", "is not TOML"),
        ("\xff".encode("latin-1"), "is not TOML"),
        ('server = "x"', "'server' stands outside of a profile"),
        ('[default]\npassword = "open sesame"', "[default]: password: a password is"),
        ('[default]\nserver = "smtp://a:b@x"', "[default]: server: a password is not"),
        ('[default]\nuser = "a"', "[default]: user: there is no such key; username"),
        ('[default]\nxyzzy = "a"', "[default]: xyzzy: there is no such key"),
        ("[default]\nserver = 1", "[default]: server: it is not a string"),
        ("[default]\nport = true", "[default]: port: it is not a whole number"),
        ("[default]\nmax_idle = false", "max_idle: it is not a number"),
        ('[default]\nmax_idle = "5"', "max_idle: it is not a number"),
        ("[default]\nallow_plaintext_auth = 1", "it is not true or false"),
        ("[default]\nmax_connections = 0", "[default]: max_connections is 0, not a"),
        ('[default]\nsecurity = "none"', "[default]: security is 'none'"),
        ('[default]\nrate_limit = "x"', "rate_limit: 'x' is not MESSAGES/SECONDS"),
        ('[default]\nauth = "MAGIC"', "[default]: auth: 'MAGIC' is none of PLAIN"),
        ('[default]\npassword_command = "pass"', "it is not a list of strings"),
        ("[default]\npassword_command = []", "it is not a list of strings"),
        ('[default]\npassword_command = ["a", 1]', "it is not a list of strings"),
        ("[default]\ntimeouts = {connect = 0}", "timeouts.connect is 0"),
        ("[default]\ntimeouts = {conect = 1}", "timeouts: conect: there is no such"),
        ('[default]\nserver = "a b"', "[default]: "),
    ],
)
def test_what_makes_no_sense_names_file_and_key(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidInput) as caught:
        read_profile(path, "default")
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "a:b" not in str(caught.value)


def test_a_profile_that_is_not_there(config: Path) -> None:
    with pytest.raises(InvalidInput, match=r"has no profile \[home\]"):
        told("--profile", "home")
    with pytest.raises(FileNotFoundError):
        told("--config", str(config.parent / "none.toml"))


def test_a_file_of_certificates_stands_beside_the_profile(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[default]\nca_file = "ca.pem"\n')
    with pytest.raises(InvalidInput) as caught:
        told("--config", str(path))
    assert f"{path}: [default]: ca_file '{tmp_path / 'ca.pem'}'" in str(caught.value)


def test_who_has_no_home_has_no_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a container a process may run as a user that nobody knows."""

    def nobody(_: int) -> NoReturn:
        raise KeyError

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "~" / ".config" / "esmtp" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(PROFILES)
    assert told().server == "localhost"
    path.write_text('[default]\nca_file = "~nobody at all/ca.pem"\n')
    with pytest.raises(InvalidInput, match=r"ca\.pem' cannot be used"):
        told("--config", str(path))


def test_a_variable_that_makes_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESMTP_SERVER", "smpt://x.example")
    with pytest.raises(InvalidInput, match=r"^the environment: URL scheme 'smpt'"):
        told()
    assert told("--server", "x.example").server == "x.example"


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVER", "USERNAME", "PASSWORD", "PROXY"):
        monkeypatch.setenv(f"ESMTP_{name}", "")
    it = told()
    assert it.server == "localhost"
    assert not it.options.keys() & {"username", "password", "proxy"}


@pytest.mark.parametrize("mode", [stat.S_IWGRP, stat.S_IWOTH])
def test_no_command_is_run_that_others_could_have_written(
    config: Path, mode: int
) -> None:
    config.chmod(0o600 | mode)
    with pytest.raises(InvalidInput, match="password_command is not run"):
        told()
    assert told("--profile", "plain").port == 2525  # it has none


# Passwords


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; print('sesame'); sys.exit(3)", "failed: exit code 3"),
        ("import os; print('sesame', flush=True); os.kill(os.getpid(), 9)", "signal 9"),
        ("print(); print('sesame')", "told none: its first line is empty"),
        ("import os; os.write(1, b'sesame\\xff')", "told one that is not UTF-8"),
    ],
)
def test_a_command_that_fails_is_told_and_nothing_of_what_it_said(
    program: str, said: str
) -> None:
    command = f'{sys.executable} -c "{program}"'
    run = esmtp("send", "--username", "a", "--password-command", command, "-")
    assert run.returncode == 2
    assert run.stderr.startswith(b"esmtp: the password command ")
    assert said.encode() in run.stderr
    assert b"sesame" not in run.stdout + run.stderr
    assert run.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "--password-command is empty"),
        ("'x", "--password-command cannot be read: No closing quotation"),
        ("/no/such/program sesame", "cannot be run: No such file or directory"),
    ],
)
def test_a_command_that_cannot_be_run(command: str, said: str) -> None:
    run = esmtp("send", "--username", "a", "--password-command", command, "-")
    assert run.returncode == 2
    assert said.encode() in run.stderr
    assert b"sesame" not in run.stderr


def test_no_shell_takes_part(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    it = told(
        *("--username", "a", "--password-command", f"printf '%s' '$(touch {witness})'")
    )
    assert it.options["password"] == f"$(touch {witness})"
    assert not witness.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--password", SECRET),
        (f"--password={SECRET}",),
        ("--server", f"smtp://a:{SECRET.replace(' ', '')}@x.example"),
        ("--server", f"a:{SECRET.replace(' ', '')}@x.example"),
        ("--server", f"a:b://{SECRET.replace(' ', '')}@x.example"),
    ],
)
def test_a_password_on_the_command_line_is_refused_and_not_repeated(
    arguments: tuple[str, ...],
) -> None:
    run = esmtp("send", "--username", "alice", *arguments, "-", stdin=MESSAGE)
    assert run.returncode == 2
    assert b"others can read" in run.stderr
    assert b"sesame" not in run.stdout + run.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("send", f"--pass={SECRET}", "-"),
        ("send", "-", "--passwd", SECRET),
        ("send", "-p", SECRET, "-"),
        ("--password", SECRET, "send", "-"),
    ],
)
def test_nor_is_what_might_have_been_one(arguments: tuple[str, ...]) -> None:
    run = esmtp(*arguments, stdin=MESSAGE)
    assert run.returncode == 2
    known = b"unrecognized arguments: -" in run.stderr
    assert known is (arguments[0] == "send")
    assert b"sesame" not in run.stdout + run.stderr


def test_what_a_profile_tells_gets_mail_through(
    portal: BlockingPortal, config: Path
) -> None:
    """Server, trust, user and password stand in the profile alone."""
    model = SMTPServer(
        hostname="localhost",
        starttls=True,
        users={"alice": SECRET},
        require_auth=True,
    )
    config.with_name("ca.pem").write_bytes(model.authority.certificate)
    with portal.wrap_async_context_manager(model.listen()):
        config.write_text(
            f"""[default]
server = "localhost"
port = {model.port}
security = "starttls"
ca_file = "ca.pem"
username = "alice"
password_command = ["printf", "{SECRET}\\n"]
"""
        )
        run = esmtp("send", "-v", "-", stdin=MESSAGE)
    assert run.returncode == 0, run.stderr
    assert model.messages[0].username == "alice"
    assert SECRET.encode() not in run.stdout + run.stderr


def test_a_proxy_is_told_by_option_profile_or_environment(
    monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    assert "proxy" not in told().options
    with config.open("a") as file:
        file.write('\n[away]\nproxy = "socks5://profile.example"\n')
    monkeypatch.setenv("ESMTP_PROXY", f"socks5://eve:{SECRET[:4]}@environment.example")
    it = told()
    assert it.options["proxy"] == f"socks5://eve:{SECRET[:4]}@environment.example"
    assert it.server == "default.example"  # a proxy is no server
    it = told("--profile", "away")
    assert it.options["proxy"] == "socks5://profile.example"
    it = told("--profile", "away", "--proxy", "http://option.example:3128")
    assert it.options["proxy"] == "http://option.example:3128"


def test_no_password_of_a_proxy_is_read_where_others_read_or_it_is_kept(
    config: Path,
) -> None:
    url = "socks5://eve:sesame@proxy.example"
    with pytest.raises(InvalidInput, match="ESMTP_PROXY") as caught:
        told("--proxy", url)
    assert "sesame" not in str(caught.value)
    with config.open("a") as file:
        file.write(f'\n[away]\nproxy = "{url}"\n')
    with pytest.raises(InvalidInput, match=r"\[away\]: proxy: a password") as caught:
        read_profile(config, "away")
    assert "sesame" not in str(caught.value)


def test_what_is_no_proxy_is_named_with_its_place(config: Path) -> None:
    with config.open("a") as file:
        file.write('\n[away]\nproxy = "ftp://proxy.example"\n')
    with pytest.raises(InvalidInput, match=r"config.toml: \[away\]: .*ftp"):
        read_profile(config, "away")
