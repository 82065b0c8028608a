"""Servers as text: hosts, ports and URLs."""

from __future__ import annotations

import pytest

from esmtp_async import InvalidInput, Security
from esmtp_async._endpoint import Endpoint, Target, check_host, parse_server


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost", "localhost", None),
        ("mail.example.test", "mail.example.test", None),
        ("mail.example.test:2525", "mail.example.test", 2525),
        ("MAIL.Example.TEST.", "mail.example.test", None),
        ("mail.example.test.:25", "mail.example.test", 25),
        ("127.0.0.1", "127.0.0.1", None),
        ("127.0.0.1:25", "127.0.0.1", 25),
        ("::1", "::1", None),
        ("2001:DB8:0::1", "2001:db8::1", None),
        ("[::1]", "::1", None),
        ("FE80::1%Eth0", "fe80::1%Eth0", None),
        ("[fe80::1%eth0]:25", "fe80::1%eth0", 25),
        ("[::1]:65535", "::1", 65535),
        ("münchen.test", "xn--mnchen-3ya.test", None),
        ("MÜNCHEN.test.:25", "xn--mnchen-3ya.test", 25),
        ("x.ΟΣ", "x.xn--0xai", None),
        ("straße.de", "xn--strae-oqa.de", None),  # IDNA 2003 has another name for it
        ("my_relay", "my_relay", None),
        ("my_relay.example.test:1", "my_relay.example.test", 1),
    ],
)
def test_servers(text: str, host: str, port: int | None) -> None:
    assert parse_server(text) == Target(host, port)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("smtp://h", Target("h")),
        ("SMTP://H:25/", Target("h", 25)),
        ("smtp://MÜNCHEN.test.:25", Target("xn--mnchen-3ya.test", 25)),
        ("smtp://straße.de", Target("xn--strae-oqa.de")),
        ("smtp://[::1]:25", Target("::1", 25)),
        ("smtp://[fe80::1%25eth0]:25", Target("fe80::1%eth0", 25)),
        ("smtp://[fe80::1%eth0]", Target("fe80::1%eth0")),
        ("smtps://h", Target("h", security=Security.TLS)),
        ("submission://h", Target("h", security=Security.STARTTLS)),
        ("submissions://h:1", Target("h", 1, security=Security.TLS)),
        ("lmtp://h:2003", Target("h", 2003, lmtp=True)),
        ("lmtp+unix:///run/l%20m", Target("", path="/run/l m", lmtp=True)),
        ("smtp+unix:///run/s", Target("", path="/run/s")),
        ("smtp://a:b@h", Target("h", username="a", password="b")),
        (
            "smtp://a%40b:c%2F%3A%20d@h",
            Target("h", username="a@b", password="c/: d"),
        ),
        (
            "smtp://h?x=1&y=a%20b&z=",
            Target("h", options=(("x", "1"), ("y", "a b"), ("z", ""))),
        ),
    ],
)
def test_urls(url: str, target: Target) -> None:
    assert parse_server(url) == target


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://h", "scheme 'http'"),
        ("://h", "scheme ''"),
        ("smtp://", "names no host"),
        ("smtp:///x", "names no host"),
        ("smtp://h/x", "path"),
        ("smtp://h#x", "fragment"),
        ("smtp://a b", "'a b'"),
        ("smtp://h:0", "port 0"),
        ("smtp://h:70000", "host and port"),
        ("smtp://h:x", "host and port"),
        ("smtp://[::1", "host and port"),
        ("smtp+unix://h/run/s", "smtp+unix:///path"),
        ("lmtp+unix:///", "lmtp+unix:///path"),
        ("lmtp+unix://", "lmtp+unix:///path"),
        # urlsplit() would take these out, or put something else in their place.
        ("smtp://exam\r\nple.test", "control character"),
        ("smtp://u:pa\tss@h", "control character"),
        ("smtp://h?max_idle=\n1", "control character"),
        ("\0smtp://h", "control character"),
        (" smtp://h", "space at an end"),
        ("smtp://h ", "space at an end"),
        ("smtp://u:%e9@h", "not UTF-8"),
        ("smtp://%e9:p@h", "not UTF-8"),
        ("smtp+unix:///%ff", "not UTF-8"),
        ("smtp://h?client_hostname=%e9", "not UTF-8"),
    ],
)
def test_urls_that_are_none(url: str, told: str) -> None:
    with pytest.raises(InvalidInput) as info:
        parse_server(url)
    assert told in str(info.value)


def test_a_target_shows_no_password() -> None:
    assert "secret" not in repr(parse_server("smtp://alice:secret@h"))


@pytest.mark.parametrize(
    ("endpoint", "local", "text"),
    [
        (Endpoint("localhost", 25), True, "localhost:25"),
        (Endpoint("127.0.0.9", 25), True, "127.0.0.9:25"),
        (Endpoint("::1", 25), True, "[::1]:25"),
        (Endpoint("", path="/run/s"), True, "/run/s"),
        (Endpoint("192.0.2.1", 25), False, "192.0.2.1:25"),
        (Endpoint("2001:db8::1", 25), False, "[2001:db8::1]:25"),
        # Only what cannot leave the machine is local, not what claims so.
        (Endpoint("localhost.example.test", 25), False, "localhost.example.test:25"),
        (Endpoint("127.0.0.1.example.test", 1), False, "127.0.0.1.example.test:1"),
    ],
)
def test_endpoints(endpoint: Endpoint, local: bool, text: str) -> None:  # noqa: FBT001
    assert endpoint.is_local is local
    assert str(endpoint) == text


@pytest.mark.parametrize("text", ["", ".", "a..b", "a b", "_ _", "a_/b", "x" * 256])
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^relay: "):
        check_host("relay", text)
