"""How Django's backend is configured, on the Djangos with `MAILERS` and without."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import trustme
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.test.utils import override_settings

from esmtp_async import RateLimit, Security, Timeouts
from esmtp_async._settings import Settings
from esmtp_async.contrib import django as contrib
from esmtp_async.contrib.django import EmailBackend
from esmtp_async.protocol import StartTLSPolicy
from esmtp_async.testing import SMTPServer
from tests.contrib.office import BACKEND, MAILERS, backend, letter, mailers
from tests.serving import served
from tests.tracebacks import given_away

PASSWORD = "hunter2-Grüße"
# Django says of each EMAIL_ setting, and of each call that goes by them, what is next.
pytestmark = pytest.mark.filterwarnings("ignore:.*(MAILERS|mailers|Django 2028)")


@pytest.fixture(autouse=True)
def _no_client_is_left() -> Iterator[None]:
    yield
    contrib._CLIENTS.close()


def resolved(made: EmailBackend) -> Settings:
    """Give what a backend's client is set to."""
    with contrib._CLIENTS.lease(made._recipe.key, made._recipe.make) as client:
        return client._client._settings


def constructed(kind: Callable[..., EmailBackend], **options: object) -> EmailBackend:
    """Construct what looks itself at the types of its options."""
    return kind(**options)


def legacy(options: Mapping[str, object] | None = None, /, **given: object) -> Settings:
    """Give what the old settings come to."""
    names = {f"EMAIL_{name.upper()}": value for name, value in given.items()}
    extra = {} if options is None else {"ESMTP_ASYNC": options}
    with override_settings(EMAIL_BACKEND=BACKEND, **names, **extra):
        made = mail.get_connection()
        assert isinstance(made, EmailBackend)
        return resolved(made)


def modern(**options: object) -> Settings:
    with mailers(**options):
        return resolved(backend())


# The options, which are Django's or ours


@pytest.mark.parametrize(
    ("options", "endpoint", "security"),
    [
        ({"url": "smtps://mail.example.test"}, "mail.example.test:465", "tls"),
        (
            {"url": "submission://mail.example.test"},
            "mail.example.test:587",
            "starttls",
        ),
        ({"url": "smtp://127.0.0.1:2525"}, "127.0.0.1:2525", "opportunistic"),
        ({"url": "lmtp+unix:///run/lmtp"}, "/run/lmtp", "opportunistic"),
        (
            {"url": "smtp://h.test?security=plaintext&max_connections=2"},
            *("h.test:25", "plaintext"),
        ),
        ({"host": "h.test", "port": 2525, "use_tls": True}, "h.test:2525", "starttls"),
        ({"host": "h.test", "port": 465, "use_ssl": True}, "h.test:465", "tls"),
        ({"host": "h.test", "port": 2525}, "h.test:2525", "starttls"),
        (
            {"host": "h.test", "port": 25, "security": "plaintext"},
            *("h.test:25", "plaintext"),
        ),
        (
            {"host": "h.test", "port": 25, "use_tls": True, "security": "starttls"},
            *("h.test:25", "starttls"),
        ),
    ],
)
def test_where_and_how(
    options: dict[str, object], endpoint: str, security: str
) -> None:
    settings = modern(**options)
    assert str(settings.endpoint) == endpoint
    assert settings.security is Security(security)


def test_other_arguments_of_the_client() -> None:
    timeouts = Timeouts.interactive()
    settings = modern(
        host="h.test",
        port=587,
        max_connections=3,
        rate_limit=RateLimit(5),
        timeouts=timeouts,
        client_hostname="www.example.test",
        username="alice",
        password=PASSWORD,
    )
    assert settings.limits.max_connections == 3
    assert settings.rate_limit == RateLimit(5)
    assert settings.timeouts is timeouts
    assert settings.client_hostname == "www.example.test"
    assert "PLAIN" in {name for each in settings.mechanisms for name in each.names}


def test_a_timeout_is_that_of_each_stage() -> None:
    timeouts = modern(host="h.test", port=25, timeout=7).timeouts
    assert timeouts == Timeouts.each(7)
    assert timeouts.final == 600  # whose end would make a duplicate
    both = modern(host="h.test", port=25, timeout=7, timeouts=Timeouts.interactive())
    assert both.timeouts == Timeouts.interactive()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"url": "smtp://h.test", "host": "h.test"}, "url and host are given"),
        ({"url": "smtp://h.test", "use_tls": True}, "url and use_tls are given"),
        ({"url": "imap://h.test"}, "URL scheme 'imap' is none of"),
        ({"url": 5}, "server is of type int"),
        (
            {"host": "h.test", "use_tls": True, "use_ssl": True, "username": ""},
            "use_tls|USE_TLS",
        ),
        ({"host": "h.test", "use_tls": True, "security": "tls"}, "security is given"),
        ({"host": "h.test", "username": "alice"}, "password is missing"),
        ({"host": "h.test", "password": PASSWORD}, "username is missing"),
        ({"host": "h.test", "max_connections": 0}, "max_connections is 0"),
        ({"host": "h.test", "timeout": "soon"}, "timeouts is 'soon'"),
        ({"host": "h.test", "security": "never"}, "security is 'never'"),
        ({"host": "h.test", "backend": "curio"}, "backend is 'curio'"),
        ({"host": "h.test", "ssl_certfile": "/none.pem"}, "'/none.pem' cannot be used"),
        ({"host": "h.test", "ssl_keyfile": "/none.pem"}, "None cannot be used"),
        (
            {
                "host": "h.test",
                "ssl_context": ssl.create_default_context(),
                "ssl_certfile": "/none.pem",
            },
            "ssl_context is given beside ssl_certfile",
        ),
        ({"host": "h.test", "on_event": 5}, "on_event is of type int"),
        ({"host": "h.test", "rate_limit": {1, 2}}, "cannot be told from others"),
    ],
)
@pytest.mark.parametrize("alias", [None, "default"])
def test_what_makes_no_sense_is_said_at_once(
    options: dict[str, object], told: str, alias: str | None
) -> None:
    given = dict(options)
    if given.keys().isdisjoint({"username", "password"}):
        given.update(username="alice", password=PASSWORD)
    wrong = (ImproperlyConfigured, ValueError)  # the second one Django's own, of old
    with pytest.raises(wrong, match=told) as info:
        constructed(EmailBackend, alias=alias, **given)
    assert PASSWORD not in given_away(info.value)


if MAILERS:  # Django 5.2 leaves out what it does not know

    def test_an_unknown_option_is_named() -> None:
        with (
            mailers(host="h.test", prot=25),
            pytest.raises(ImproperlyConfigured, match="Unknown options 'prot'"),
        ):
            backend()

    def test_without_host_and_url() -> None:
        with mailers(port=25), pytest.raises(ImproperlyConfigured, match="'host'"):
            backend()


@pytest.mark.parametrize(
    "options",
    [
        {"host": "h.test", "username": "alice", "password": PASSWORD},
        {"url": f"smtps://alice:{PASSWORD}@h.test"},
    ],
)
def test_nothing_shows_the_password(options: dict[str, object]) -> None:
    with mailers(**options):
        made = backend()
        key = made._recipe.key
    assert PASSWORD not in f"{made!r} {vars(made)} {key} {vars(contrib._CLIENTS)}"


# The settings of old


@pytest.mark.parametrize(
    ("given", "endpoint", "security"),
    [
        ({}, "localhost:25", "opportunistic"),
        ({"host": "h.test"}, "h.test:25", "starttls"),
        ({"host": "h.test", "use_tls": True, "port": 587}, "h.test:587", "starttls"),
        ({"host": "h.test", "use_ssl": True, "port": 465}, "h.test:465", "tls"),
    ],
)
def test_settings_of_old(
    given: dict[str, object], endpoint: str, security: str
) -> None:
    settings = legacy(**given)
    assert str(settings.endpoint) == endpoint
    assert settings.security is Security(security)
    assert settings.mechanisms == ()
    assert settings.starttls is not None


def test_more_settings_of_old(tmp_path: Path) -> None:
    pem = tmp_path / "client.pem"
    issued = trustme.CA().issue_cert("client.example.test")
    issued.private_key_and_cert_chain_pem.write_to_path(pem)
    settings = legacy(
        host="h.test",
        host_user="alice",
        host_password=PASSWORD,
        timeout=9,
        ssl_certfile=str(pem),
    )
    assert settings.timeouts == Timeouts.each(9)
    assert settings.mechanisms
    assert settings.ssl_context is not None


def test_what_they_have_no_place_for() -> None:
    options = {"security": "plaintext", "max_connections": 4}
    settings = legacy(options, host="h.test", port=2525)
    assert settings.starttls is StartTLSPolicy.NEVER
    assert settings.limits.max_connections == 4
    assert (
        str(legacy({"url": "smtps://u.test"}, host="h.test").endpoint) == "u.test:465"
    )


def test_who_asks_for_a_connection_has_the_last_word() -> None:
    given = {"EMAIL_HOST": "h.test", "EMAIL_BACKEND": BACKEND}
    with override_settings(**given, ESMTP_ASYNC={"max_connections": 4}):
        made = mail.get_connection(
            port=2525, username="bob", password=PASSWORD, fail_silently=True
        )
    assert isinstance(made, EmailBackend)
    settings = resolved(made)
    assert made.fail_silently is True
    assert str(settings.endpoint) == "h.test:2525"
    assert settings.limits.max_connections == 4
    assert settings.mechanisms


def test_mail_by_settings_of_old() -> None:
    with served() as server:
        given = {"EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": server.port}
        with override_settings(**given, EMAIL_BACKEND=BACKEND):
            assert mail.send_mail("a", "b", "a@x.test", ["b@x.test"]) == 1
            assert (
                mail.send_mass_mail(
                    [("a", "b", "a@x.test", [to]) for to in ("b@x.test", "c@x.test")]
                )
                == 2
            )
        contrib._CLIENTS.close()
        assert server.connections == 1
        assert len(server.messages) == 3


# TLS


@pytest.mark.parametrize("by", ["use_tls", "use_ssl"])
def test_mail_under_tls(by: str) -> None:
    implicit = by == "use_ssl"
    server = SMTPServer(
        starttls=not implicit, implicit_tls=implicit, users={"alice": PASSWORD}
    )
    with served(server):
        with mailers(
            host="127.0.0.1",
            port=server.port,
            username="alice",
            password=PASSWORD,
            ssl_context=server.client_context,
            server_hostname="mail.example.test",
            **{by: True},
        ):
            assert backend().send_messages([letter()]) == 1
        contrib._CLIENTS.close()
    (stored,) = server.messages
    assert stored.tls
    assert stored.username == "alice"
