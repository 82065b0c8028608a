"""What a client does where its caller says nothing: ports, names, limits."""

from __future__ import annotations

import socket

import pytest

from esmtp_async import ClientOptions, InvalidInput, Stage, Timeouts
from esmtp_async._settings import resolve
from esmtp_async.testing import SMTPServer
from tests.backends import everywhere


@pytest.mark.parametrize(
    ("server", "options", "port", "security"),
    [
        ("mail.example.test", {}, 587, "starttls"),
        ("submission://mail.example.test", {}, 587, "starttls"),
        ("mail.example.test", {"security": "tls"}, 465, "tls"),
        ("mail.example.test:465", {}, 465, "tls"),
        ("smtps://mail.example.test", {}, 465, "tls"),
        ("submissions://mail.example.test", {}, 465, "tls"),
        ("mail.example.test", {"security": "opportunistic"}, 25, "opportunistic"),
        ("mail.example.test", {"security": "plaintext"}, 25, "plaintext"),
        ("mail.example.test:25", {}, 25, "starttls"),
        ("localhost", {}, 25, "opportunistic"),
        ("127.0.0.1", {}, 25, "opportunistic"),
        ("lmtp://localhost", {}, 24, "opportunistic"),
        ("lmtp://mail.example.test", {}, 24, "starttls"),
    ],
)
def test_each_kind_of_security_has_its_port(
    server: str, options: ClientOptions, port: int, security: str
) -> None:
    settings = resolve(server, None, options)
    assert (settings.endpoint.port, settings.security) == (port, security)


def test_lmtp_is_not_spoken_on_port_25() -> None:
    for server, port in (("lmtp://localhost:25", None), ("lmtp://localhost", 25)):
        with pytest.raises(InvalidInput, match="LMTP must not be spoken on port 25"):
            resolve(server, port, {})
    assert resolve("lmtp://localhost:26", None, {}).endpoint.port == 26


def test_a_trailing_dot_is_not_part_of_a_name() -> None:
    for server in ("mail.example.test.", "mail.example.test.:587"):
        settings = resolve(server, None, {})
        assert settings.endpoint.host == settings.server_hostname == "mail.example.test"
    with pytest.raises(InvalidInput):
        resolve("mail.example.test..", None, {})


def test_each_stage_has_the_limit_of_the_rfc() -> None:
    limits = {stage: Timeouts().limit(stage) / 60 for stage in Stage if stage in TIMED}
    assert limits == TIMED
    for hurried in (Timeouts.each(1), Timeouts.interactive()):
        assert hurried.limit(Stage.FINAL) == 600
        assert hurried.limit(Stage.MAIL) < 60


# RFC 5321 §4.5.3.2.1 to §4.5.3.2.6, in minutes.
TIMED = {
    Stage.GREETING: 5,
    Stage.MAIL: 5,
    Stage.RCPT: 5,
    Stage.DATA: 2,
    Stage.CONTENT: 3,
    Stage.FINAL: 10,
}


@everywhere
@pytest.mark.parametrize(
    ("own", "over_tcp", "said"),
    [
        ("client.example.test", False, "client.example.test"),
        ("bücher.test", False, "xn--bcher-kva.test"),
        ("client", True, "[127.0.0.1]"),
        ("localhost.localdomain", True, "[127.0.0.1]"),
        ("no_name.test", True, "[127.0.0.1]"),
        ("client", False, "localhost"),
    ],
)
async def test_the_client_names_itself(
    own: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    over_tcp: bool,
) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: own)
    server = SMTPServer()
    async with server.listen() if over_tcp else server:
        async with server.client(client_hostname=None) as client:
            await client.noop()
    assert server.transcript[0][1] == ("C", f"EHLO {said}\r\n".encode())
    assert server.violations == []
