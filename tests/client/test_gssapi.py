"""GSSAPI, with a context that is written down; tests/interop has a real one."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import NamedTuple

import pytest
import spnego

from esmtp_async import AuthenticationFailed, Gssapi, InvalidInput, _gssapi
from esmtp_async.protocol import Channel, Compute
from esmtp_async.testing import check_mechanism
from esmtp_async.testing._sasl import Challenges
from tests.backends import everywhere
from tests.client.checks import BOB, failure, send
from tests.raw import Answer, Script, Server, offering, script, serving
from tests.tracebacks import given_away

PASSWORD = "hunter2-Gruesse"
LAYERS = b"\7\0\20\0"


class Wrapped(NamedTuple):
    data: bytes


class Context:
    """Says its tokens in turn; what is wrapped stands in brackets."""

    def __init__(self, *tokens: bytes | Exception | None) -> None:
        self._tokens = list(tokens)
        self.arguments: tuple[object, ...] = ()
        self.options: dict[str, object] = {}
        self.heard: list[bytes | None] = []

    @property
    def complete(self) -> bool:
        return not self._tokens

    def step(self, in_token: bytes | None = None) -> bytes | None:
        self.heard.append(in_token)
        token = self._tokens.pop(0)
        if isinstance(token, Exception):
            raise token
        return token

    def wrap(self, data: bytes, *, encrypt: bool = True) -> Wrapped:
        assert not encrypt
        return Wrapped(b"[" + data + b"]")

    def unwrap(self, data: bytes) -> Wrapped:
        if data[:1] + data[-1:] != b"[]":
            raise ValueError("not wrapped\x1b[2J")
        return Wrapped(data[1:-1])


@pytest.fixture(autouse=True)
def _no_kerberos_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gssapi, "_KERBEROS", ("spnego",))


def provide(
    monkeypatch: pytest.MonkeyPatch, *tokens: bytes | Exception | None
) -> Context:
    context = Context(*tokens)

    def client(*arguments: object, **options: object) -> Context:
        context.arguments, context.options = arguments, options
        return context

    monkeypatch.setattr(spnego, "client", client)
    return context


def challenge(octets: bytes) -> bytes:
    return b"334 " + b64encode(octets) + b"\r\n"


def asking(**answers: Answer | list[Answer]) -> Script:
    return script(**{"EHLO": offering("AUTH GSSAPI"), **answers})


def lines(server: Server) -> list[bytes]:
    """Give what was said in the one authentication, decoded."""
    said = server.heard[0].lines[1:]
    return [each.removeprefix(b"AUTH GSSAPI ") for each in said]


@everywhere
async def test_as_in_rfc_4752(monkeypatch: pytest.MonkeyPatch) -> None:
    context = provide(monkeypatch, b"AP-REQ", None)
    answers: list[Answer] = [challenge(b"[" + LAYERS + b"]"), b"235 welcome\r\n"]
    async with serving(asking(AUTH=challenge(b"AP-REP"), RESPONSE=answers)) as server:
        client = server.client(
            auth=Gssapi("alice@R", PASSWORD),
            allow_plaintext_auth=True,
            server_hostname="mail.example.test",
        )
        async with client:
            assert (await send(client)).accepted == (BOB,)
        assert lines(server)[:3] == [
            b64encode(b"AP-REQ"),
            b"",
            b64encode(b"[\1\0\0\0]"),
        ]
    assert context.heard == [None, b"AP-REP"]
    assert context.arguments == ("alice@R", PASSWORD)
    assert context.options == {
        "hostname": "mail.example.test",
        "service": "smtp",
        "protocol": "kerberos",
        "context_req": spnego.ContextReq.mutual_auth
        | spnego.ContextReq.sequence_detect
        | spnego.ContextReq.integrity,
    }


@everywhere
async def test_it_keeps_what_a_mechanism_promises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spnego, "client", lambda *_, **__: Context(b"AP-REQ", None))

    def server(_name: str) -> Challenges:
        assert (yield b"") == b"AP-REQ"
        assert (yield b"AP-REP") == b""
        assert (yield b"[" + LAYERS + b"]") == b"[\1\0\0\0]"
        return "alice"

    auth = Gssapi("alice@R", PASSWORD)
    await check_mechanism(auth, server=server, secrets=[PASSWORD])


@everywhere
async def test_a_context_that_stands_with_its_last_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = provide(monkeypatch, b"one", b"two", b"three")
    answers: list[Answer] = [
        challenge(b"2"),
        challenge(b"[" + LAYERS + b"]"),
        b"235 welcome\r\n",
    ]
    async with serving(asking(AUTH=challenge(b"1"), RESPONSE=answers)) as server:
        async with server.client(auth=Gssapi(), allow_plaintext_auth=True) as client:
            await send(client)
        tokens = (b"one", b"two", b"three", b"[\1\0\0\0]")
        assert lines(server)[:4] == [b64encode(token) for token in tokens]
    assert context.heard == [None, b"1", b"2"]
    assert context.arguments == (None, None)


@everywhere
@pytest.mark.parametrize(
    ("tokens", "answers", "said"),
    [
        ([b"a", None], [b"x", b"[\6\0\0\0]"], "insists on a security layer"),
        ([b"a", None], [b"x", b"[\0\0\0\0]"], "insists on a security layer"),
        ([b"a", None], [b"x", b"[\1\0\0]"], "insists on a security layer"),
        ([b"a", None], [b"x", b"[]"], "insists on a security layer"),
        ([b"a", None], [b"x", LAYERS], r"GSSAPI: not wrapped\x1b[2J"),
        ([b"a", LookupError()], [b"x"], "GSSAPI: LookupError"),
        ([b"a"] * 9, [b"x"] * 4, "no context after 4 tokens"),
    ],
)
async def test_a_server_that_is_not_satisfying(
    monkeypatch: pytest.MonkeyPatch,
    tokens: list[bytes | Exception | None],
    answers: list[bytes],
    said: str,
) -> None:
    provide(monkeypatch, *tokens)
    first, *rest = map(challenge, answers)
    hostile = asking(AUTH=first, RESPONSE=[*rest, b"501 cancelled\r\n"])
    async with serving(hostile) as server:
        async with server.client(auth=Gssapi(), allow_plaintext_auth=True) as client:
            error = await failure(client, AuthenticationFailed)
        assert lines(server)[-1] == b"*"
        assert len(lines(server)) == len(answers) + 1
    assert said in str(error)


@everywhere
@pytest.mark.parametrize("said", [[], [b"x"], [b"x", b"[" + LAYERS + b"]"]])
async def test_success_comes_last(
    monkeypatch: pytest.MonkeyPatch, said: list[bytes]
) -> None:
    provide(monkeypatch, b"a", None)
    answers: list[Answer] = [*map(challenge, said), b"235 welcome\r\n"]
    async with serving(asking(AUTH=answers[0], RESPONSE=answers[1:] or b"")) as server:
        async with server.client(auth=Gssapi(), allow_plaintext_auth=True) as client:
            if len(said) == 2:
                await send(client)
                return
            error = await failure(client, AuthenticationFailed)
        assert "before it proved itself" in str(error)
        assert b"MAIL" not in b"".join(lines(server))


@everywhere
async def test_nothing_is_said_without_a_ticket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provide(monkeypatch, LookupError("no credentials"))
    async with serving(asking()) as server:
        async with server.client(auth=Gssapi(), allow_plaintext_auth=True) as client:
            error = await failure(client, AuthenticationFailed)
        assert server.heard[0].verbs == ["EHLO"]
    assert str(error).endswith(": GSSAPI: no credentials")
    assert (error.reply, error.command) == (None, "AUTH")


def test_the_server_needs_a_name() -> None:
    responses = Gssapi().respond(Channel("GSSAPI", ("GSSAPI",), "", 0, b""))
    with pytest.raises(AuthenticationFailed, match="no name"):
        next(responses)


def test_it_is_asked_where_it_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    provide(monkeypatch, b"a")
    responses = Gssapi().respond(Channel("GSSAPI", ("GSSAPI",), "h", 0, b""))
    ask = next(responses)
    assert isinstance(ask, Compute)
    assert responses.send(ask.call()) == b"a"


@pytest.mark.parametrize(
    ("username", "password", "said"),
    [
        ("alice", None, "belong together"),
        (None, PASSWORD, "belong together"),
        ("a\0", PASSWORD, "the username holds a NUL"),
        ("alice", PASSWORD.encode(), "the password is of type bytes"),
        ("alice", f"{PASSWORD}\0", "the password holds a NUL"),
    ],
)
def test_credentials(
    username: str | None, password: str | bytes | None, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said) as info:
        Gssapi(username, password)  # type: ignore[arg-type]
    assert PASSWORD not in given_away(info.value)


def test_repr() -> None:
    assert repr(Gssapi()) == "Gssapi()"
    assert repr(Gssapi("a", PASSWORD)) == "Gssapi('a', Secret('***'))"


def test_the_extra_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gssapi, "find_spec", lambda _name: None)
    message = "GSSAPI needs spnego: pip install 'esmtp-async[gssapi]'"
    with pytest.raises(InvalidInput, match=re.escape(message)) as info:
        Gssapi("alice", PASSWORD)
    assert PASSWORD not in given_away(info.value)
