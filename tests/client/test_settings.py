"""The configuration: what the arguments and URLs of a client come to."""

from __future__ import annotations

import dataclasses
import sys
from typing import Final

import pytest

from esmtp_async import (
    ClientOptions,
    InvalidInput,
    Login,
    Pipelining,
    Plain,
    Scram,
    Security,
    Stage,
    Timeouts,
)
from esmtp_async._settings import resolve
from esmtp_async.protocol import StartTLSPolicy

TLS, STARTTLS, OPPORTUNISTIC, PLAINTEXT = Security


@pytest.mark.parametrize(
    ("server", "port", "given", "security", "expected"),
    [
        ("mail.example.test", None, None, STARTTLS, 587),
        ("mail.example.test", 25, None, STARTTLS, 25),
        ("mail.example.test", 465, None, TLS, 465),
        ("mail.example.test:465", None, None, TLS, 465),
        ("mail.example.test", 465, "plaintext", PLAINTEXT, 465),
        ("mail.example.test", None, "tls", TLS, 465),
        ("mail.example.test", None, "starttls", STARTTLS, 587),
        ("mail.example.test", None, "opportunistic", OPPORTUNISTIC, 25),
        ("mail.example.test", None, "plaintext", PLAINTEXT, 25),
        ("mail.example.test", None, Security.TLS, TLS, 465),
        ("192.0.2.1", None, None, STARTTLS, 587),
        ("localhost", None, None, OPPORTUNISTIC, 25),
        ("127.0.0.1", None, None, OPPORTUNISTIC, 25),
        ("::1", None, None, OPPORTUNISTIC, 25),
        ("localhost", 465, None, TLS, 465),
        ("localhost", None, "starttls", STARTTLS, 587),
        ("smtp://mail.example.test", None, None, STARTTLS, 587),
        ("smtp://mail.example.test:25", None, None, STARTTLS, 25),
        ("smtp://mail.example.test:465", None, None, TLS, 465),
        ("smtps://mail.example.test", None, None, TLS, 465),
        ("smtps://mail.example.test:10465", None, None, TLS, 10465),
        ("smtps://mail.example.test", 10465, "tls", TLS, 10465),
        ("submission://mail.example.test", None, None, STARTTLS, 587),
        ("submission://localhost:25", None, None, STARTTLS, 25),
        ("submissions://mail.example.test", None, None, TLS, 465),
        ("smtp://localhost?security=starttls", None, None, STARTTLS, 587),
        ("lmtp://localhost", None, None, OPPORTUNISTIC, 24),
        ("lmtp://mail.example.test", None, None, STARTTLS, 24),
        ("lmtp://mail.example.test:2003", None, "plaintext", PLAINTEXT, 2003),
        ("lmtp+unix:///run/lmtp", None, None, OPPORTUNISTIC, 24),
    ],
)
def test_security_and_port(
    server: str,
    port: int | None,
    given: str | None,
    security: Security,
    expected: int,
) -> None:
    settings = resolve(server, port, {"security": given})
    assert settings.security is security
    assert settings.endpoint.port == expected


@pytest.mark.parametrize(
    ("security", "policy"),
    [
        (TLS, StartTLSPolicy.NEVER),
        (STARTTLS, StartTLSPolicy.REQUIRED),
        (OPPORTUNISTIC, StartTLSPolicy.OPPORTUNISTIC),
        (PLAINTEXT, StartTLSPolicy.NEVER),
    ],
)
def test_what_becomes_of_starttls(security: Security, policy: StartTLSPolicy) -> None:
    assert resolve("localhost", None, {"security": security}).starttls is policy


URL: Final = (
    "smtp://u:p@localhost?security=plaintext&server_hostname=Other.test."
    "&allow_plaintext_auth=1&client_hostname=me.test&local_address=127.0.0.2"
    "&timeouts=7&max_connections=3&max_messages_per_connection=none&max_idle=4.5"
    "&max_age=60&pipelining=eager"
)


def test_a_url_with_everything() -> None:
    settings = resolve(URL, None, {"max_connections": 9})
    assert settings.security is PLAINTEXT
    assert settings.server_hostname == "other.test"
    assert settings.allow_plaintext_auth is True
    assert settings.client_hostname == "me.test"
    assert settings.local_address == "127.0.0.2"
    assert settings.timeouts == Timeouts.each(7)
    assert dataclasses.asdict(settings.limits) == {
        "max_connections": 3,
        "max_messages": None,
        "max_idle": 4.5,
        "max_age": 60.0,
    }
    assert settings.pipelining is Pipelining.EAGER
    names = [name for mechanism in settings.mechanisms for name in mechanism.names]
    assert names == [*Scram.names, "PLAIN", "LOGIN"]
    assert "'p'" not in repr(settings)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("nope=1", "unknown option 'nope'"),
        ("connect=x", "unknown option 'connect'"),
        ("password=x", "unknown option 'password'"),
        ("max_connections=x", "option max_connections of the server URL is 'x'"),
        ("max_connections=0", "max_connections is 0"),
        ("max_connections=", "option max_connections"),
        ("max_idle=soon", "option max_idle"),
        ("max_idle=nan", "max_idle is nan"),
        ("timeouts=-1", "timeouts is -1"),
        ("allow_plaintext_auth=maybe", "option allow_plaintext_auth"),
        ("security=bogus", "security is 'bogus'"),
        ("security=", "security is ''"),
        ("pipelining=on", "pipelining is 'on'"),
        ("client_hostname=a%0D%0Ab", "client_hostname"),
    ],
)
def test_queries_that_make_no_sense(query: str, told: str) -> None:
    with pytest.raises(InvalidInput) as info:
        resolve(f"smtp://localhost?{query}", None, {})
    assert told in str(info.value)
    assert str(info.value).isprintable()


@pytest.mark.parametrize(
    ("server", "port", "options", "what"),
    [
        ("smtp://h:25", 26, {}, "port"),
        ("smtps://h", None, {"security": "plaintext"}, "security"),
        ("smtps://h?security=plaintext", None, {}, "security"),
        ("submission://h", None, {"security": "opportunistic"}, "security"),
        ("smtp://a:b@h", None, {"username": "c"}, "username"),
        ("smtp://a:b@h", None, {"password": "c"}, "password"),
    ],
)
def test_what_is_said_twice_must_agree(
    server: str, port: int | None, options: ClientOptions, what: str
) -> None:
    with pytest.raises(InvalidInput, match=f"^{what} is given twice"):
        resolve(server, port, options)


def test_what_is_said_twice_and_agrees() -> None:
    agreeing: ClientOptions = {"username": "a", "password": "b", "security": "tls"}
    settings = resolve("smtps://a:b@h:1", 1, agreeing)
    assert settings.mechanisms[0].names == Scram.names


def test_half_of_the_credentials_may_stand_beside_the_url() -> None:
    settings = resolve("smtp://a@h", None, {"password": "b"})
    names = [name for mechanism in settings.mechanisms for name in mechanism.names]
    assert names == [*Scram.names, "PLAIN", "LOGIN"]


def test_without_scramp_scram_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scramp", None)
    settings = resolve("smtp://a:b@h", None, {})
    names = [name for mechanism in settings.mechanisms for name in mechanism.names]
    assert names == ["PLAIN", "LOGIN", *Scram.names]


def test_so_it_does_where_it_cannot_say_the_password() -> None:
    settings = resolve("h", None, {"username": "a", "password": "\N{KEY}"})
    names = [name for mechanism in settings.mechanisms for name in mechanism.names]
    assert names == ["PLAIN", "LOGIN", *Scram.names]


def test_lmtp_keeps_off_port_25() -> None:
    for server, port in (("lmtp://h:25", None), ("lmtp://h", 25)):
        with pytest.raises(InvalidInput, match="port 25"):
            resolve(server, port, {})


def test_mechanisms_in_the_order_given() -> None:
    plain, login = Plain("a", "b"), Login("a", "b")
    assert resolve("h", None, {"auth": login}).mechanisms == (login,)
    assert resolve("h", None, {"auth": [login, plain]}).mechanisms == (login, plain)
    assert resolve("h", None, {}).mechanisms == ()


def test_the_name_of_the_certificate() -> None:
    assert resolve("A.Example.test.", None, {}).server_hostname == "a.example.test"
    assert resolve("smtp+unix:///s", None, {}).server_hostname == "localhost"
    named: ClientOptions = {"server_hostname": "münchen.test"}
    assert resolve("h", None, named).server_hostname == "xn--mnchen-3ya.test"


def test_timeouts() -> None:
    assert resolve("h", None, {}).timeouts == Timeouts()
    assert resolve("h", None, {"timeouts": 3}).timeouts.command == 3
    own = Timeouts(final=700)
    assert resolve("h", None, {"timeouts": own}).timeouts is own
    # RFC 5321 section 4.5.3.2: the end of the mail data has ten minutes, always.
    for preset in (Timeouts(), Timeouts.interactive(), Timeouts.each(2)):
        assert preset.limit(Stage.FINAL) >= 600
    assert Timeouts.each(2).limit(Stage.QUIT) == 2
    assert Timeouts.each(60).limit(Stage.QUIT) == 5


def test_every_stage_that_talks_has_a_limit() -> None:
    limits = Timeouts()
    for stage in set(Stage) - {Stage.LOCAL, Stage.POOL}:
        assert limits.limit(stage) > 0
    minima = {
        Stage.GREETING: 300,
        Stage.MAIL: 300,
        Stage.RCPT: 300,
        Stage.DATA: 120,
        Stage.CONTENT: 180,
        Stage.FINAL: 600,
    }
    for stage, minimum in minima.items():
        assert limits.limit(stage) == minimum
