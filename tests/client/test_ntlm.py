"""NTLM, against the acceptor that pyspnego has, behind the model server."""

from __future__ import annotations

import pickle
import re
from base64 import b64encode
from pathlib import Path
from threading import Event as ThreadEvent

import pytest
import spnego
from spnego.exceptions import SpnegoError

from esmtp_async import (
    AuthenticationFailed,
    Event,
    InvalidInput,
    Ntlm,
    ProtocolViolation,
    StageTimeout,
    Timeouts,
    _gssapi,
)
from esmtp_async.testing import SMTPServer, check_mechanism
from esmtp_async.testing import _sasl as servers_sasl
from esmtp_async.testing._answers import Refusal
from tests.backends import everywhere
from tests.client.checks import BOB, failure, send
from tests.raw import Answer, Script, offering, script, serving
from tests.tracebacks import given_away

USER = "ursula"
PASSWORD = "hunter2-Gruesse"


def accepting(_users: object) -> servers_sasl.Challenges:
    """NTLM, as pyspnego accepts it from those in the file that NTLM_USER_FILE names."""
    context = spnego.server(
        protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm, service="smtp"
    )
    challenge = context.step((yield b""))
    assert challenge is not None
    response = yield challenge
    try:
        context.step(response)
    except SpnegoError:
        raise Refusal(535, "5.7.8", "credentials invalid") from None
    assert context.complete
    return str(context.client_principal)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SMTPServer:
    file = tmp_path / "users"
    file.write_text(f"DOMAIN:{USER}:{PASSWORD}\n", encoding="utf-8")
    monkeypatch.setenv("NTLM_USER_FILE", str(file))
    monkeypatch.setattr(
        servers_sasl, "MECHANISMS", {**servers_sasl.MECHANISMS, "NTLM": accepting}
    )
    for module in ("_authentication", "_settings"):
        monkeypatch.setattr(
            f"esmtp_async.testing.{module}.MECHANISMS", servers_sasl.MECHANISMS
        )
    return SMTPServer(
        users={"unused": "unused"}, mechanisms=["NTLM"], auth_needs_tls=False
    )


@everywhere
async def test_ntlm(server: SMTPServer) -> None:
    auth = Ntlm(f"DOMAIN\\{USER}", PASSWORD)
    async with server, server.client(auth=auth, allow_plaintext_auth=True) as client:
        assert (await send(client)).accepted == (BOB,)
    assert server.violations == []
    assert server.messages[0].username == f"DOMAIN\\{USER}"


@everywhere
@pytest.mark.usefixtures("server")
async def test_it_keeps_what_a_mechanism_promises() -> None:
    await check_mechanism(
        Ntlm(f"DOMAIN\\{USER}", PASSWORD),
        server=lambda _name: accepting({}),
        secrets=[PASSWORD],
    )


@everywhere
async def test_ntlm_refused(server: SMTPServer) -> None:
    auth = Ntlm(f"DOMAIN\\{USER}", f"not {PASSWORD}")
    async with server, server.client(auth=auth, allow_plaintext_auth=True) as client:
        error = await failure(client, AuthenticationFailed)
    assert error.reply is not None
    assert error.reply.code == 535
    assert error.mechanism == "NTLM"
    assert server.violations == []


def asking(**answers: Answer | list[Answer]) -> Script:
    return script(**{"EHLO": offering("AUTH NTLM"), **answers})


@everywhere
@pytest.mark.parametrize("challenge", [b"", b"NTLMSSP\0", b"NTLMSSP\0\2\0\0\0", b"x"])
async def test_a_challenge_that_is_none(challenge: bytes) -> None:
    hostile = asking(
        AUTH=b"334 " + b64encode(challenge) + b"\r\n", RESPONSE=b"501 cancelled\r\n"
    )
    async with serving(hostile) as server:
        auth = Ntlm(USER, PASSWORD)
        async with server.client(auth=auth, allow_plaintext_auth=True) as client:
            error = await failure(client, AuthenticationFailed)
        assert server.heard[0].lines[1].startswith(b"AUTH NTLM TlRMTVNTUAAB")
        assert server.heard[0].lines[2:] == [b"*"]
    assert ": NTLM: " in str(error)
    assert str(error).isprintable()


@everywhere
async def test_success_without_a_challenge() -> None:
    async with serving(asking()) as server:
        auth = Ntlm(USER, PASSWORD)
        async with server.client(auth=auth, allow_plaintext_auth=True) as client:
            error = await failure(client, AuthenticationFailed)
        assert "without a challenge" in str(error)
        assert "MAIL" not in server.heard[0].verbs


@everywhere
async def test_what_takes_long_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    released = ThreadEvent()

    def client(*_: object, **__: object) -> spnego.ContextProxy:
        released.wait(10)
        raise NotImplementedError

    monkeypatch.setattr(spnego, "client", client)
    async with serving(asking()) as server:
        smtp = server.client(
            auth=Ntlm(USER, PASSWORD),
            allow_plaintext_auth=True,
            timeouts=Timeouts(command=0.2),
        )
        async with smtp:
            await failure(smtp, StageTimeout)
        released.set()
        assert server.heard[0].verbs == ["EHLO"]


@everywhere
@pytest.mark.parametrize(
    "answers",
    [
        {"AUTH": b"535 no\r\n"},
        {"AUTH": b"334 eA==\r\n"},
        {"AUTH": b"235 ok\r\n"},
        {"AUTH": b"250 ok\r\n"},
    ],
)
async def test_U12_the_password_shows_nowhere(
    answers: dict[str, Answer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    events: list[Event] = []
    auth = Ntlm(USER, PASSWORD)
    async with serving(asking(**answers)) as server:
        client = server.client(
            auth=auth, allow_plaintext_auth=True, on_event=events.append
        )
        async with client:
            with pytest.raises((AuthenticationFailed, ProtocolViolation)) as info:
                await send(client)
        for shown in (
            given_away(info.value),
            repr(pickle.dumps(info.value)),
            caplog.text,
            repr((auth, events, client._settings)),
        ):
            assert PASSWORD not in shown


def test_U12_what_is_wrong_with_a_password_does_not_show_it() -> None:
    with pytest.raises(InvalidInput, match="the password holds a NUL") as info:
        Ntlm(USER, f"{PASSWORD}\0")
    assert PASSWORD not in given_away(info.value)


def test_the_extra_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gssapi, "find_spec", lambda _name: None)
    message = "NTLM needs spnego: pip install 'esmtp-async[ntlm]'"
    with pytest.raises(InvalidInput, match=re.escape(message)) as info:
        Ntlm(USER, PASSWORD)
    assert PASSWORD not in given_away(info.value)
