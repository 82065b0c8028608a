"""OAUTHBEARER and XOAUTH2 as their documents have them."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode

import pytest

from esmtp_async import AuthenticationFailed, OAuthBearer, Stage, XOAuth2
from esmtp_async.protocol import Channel, Fetch, Reply, Responses
from esmtp_async.testing import SMTPServer
from tests.backends import everywhere
from tests.client.bearer import (
    MECHANISMS,
    OTHER,
    TOKEN,
    USER,
    Maker,
    Tokens,
    asking,
    client_of,
    line,
)
from tests.client.checks import failure, send
from tests.raw import serving

#: The messages of RFC 7628 §4.1 and §4.3.
RFC_TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
RFC_MESSAGE = (
    "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9"
    "QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
)
RFC_ACCOUNT = (
    "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIiwib3BlbmlkLWNv"
    "bmZpZ3VyYXRpb24iOiJodHRwczovL2V4YW1wbGUuY29tLy53ZWxsLWtub3duL29wZW5pZC1jb25maWd1"
    "cmF0aW9uIn0="
)
#: The example of Google's documentation of XOAUTH2.
GOOGLE_TOKEN = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"
GOOGLE_MESSAGE = (
    "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNS"
    "bGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
)


def begin(
    mechanism: XOAuth2 | OAuthBearer, token: str, host: str = "", port: int = 0
) -> tuple[Responses, bytes]:
    """Begin an authentication; give it and its message."""
    (name,) = mechanism.names
    responses = mechanism.respond(Channel(name, (name,), host, port, b""))
    ask = next(responses)
    assert isinstance(ask, Fetch)
    assert ask.stage is Stage.AUTH
    message = responses.send(token.encode())
    assert isinstance(message, bytes)
    return responses, message


def refused(responses: Responses) -> AuthenticationFailed:
    """Tell of a refusal; give it as it comes out."""
    refusal = AuthenticationFailed("no", reply=Reply(535, (b"no",)))
    with pytest.raises(AuthenticationFailed) as info:
        responses.throw(refusal)
    assert info.value is refusal
    return refusal


def test_the_example_of_rfc_7628() -> None:
    mechanism = OAuthBearer("user@example.com", RFC_TOKEN)
    responses, message = begin(mechanism, RFC_TOKEN, "server.example.com", 143)
    assert b64encode(message).decode() == RFC_MESSAGE
    with pytest.raises(StopIteration):
        responses.send(None)


def test_the_failure_of_rfc_7628() -> None:
    mechanism = OAuthBearer("user@example.com", RFC_TOKEN)
    responses, _ = begin(mechanism, RFC_TOKEN, "server.example.com", 143)
    acknowledgement = responses.send(b64decode(RFC_ACCOUNT))
    assert isinstance(acknowledgement, bytes)
    assert b64encode(acknowledgement) == b"AQ=="
    assert refused(responses).details == {
        "status": "invalid_token",
        "scope": "example_scope",
        "openid-configuration": "https://example.com/.well-known/openid-configuration",
    }


def test_the_example_of_google() -> None:
    mechanism = XOAuth2("someuser@example.com", GOOGLE_TOKEN)
    _, message = begin(mechanism, GOOGLE_TOKEN, "smtp.gmail.com", 465)
    assert b64encode(message).decode() == GOOGLE_MESSAGE


def test_what_is_not_known_of_the_server_is_not_said() -> None:
    mechanism = OAuthBearer("user@example.com", RFC_TOKEN)
    start, end = "n,a=user@example.com,", f"auth=Bearer {RFC_TOKEN}"
    for host, port, known in [("", 0, ""), ("h", 0, "host=h\1"), ("", 1, "port=1\1")]:
        _, message = begin(mechanism, RFC_TOKEN, host, port)
        assert message.decode() == f"{start}\1{known}{end}\1\1"


@pytest.mark.parametrize("maker", MECHANISMS)
def test_U11_an_account_has_at_most_4096_octets(maker: Maker) -> None:
    limits: list[tuple[int, dict[str, str]]] = [(4096, {"status": "a"}), (4097, {})]
    for length, details in limits:
        responses, _ = begin(maker(USER, TOKEN), TOKEN)
        responses.send(b'{"status": "a"}'.ljust(length))
        assert refused(responses).details == details


@pytest.mark.parametrize("maker", MECHANISMS)
def test_U11_what_was_said_is_not_told_back(maker: Maker) -> None:
    responses, message = begin(maker(USER, TOKEN), TOKEN)
    said = b64encode(message).decode()
    account = {"status": f"{TOKEN}, {said}", TOKEN: "\u2028", "scope": "\ud800"}
    responses.send(json.dumps(account).encode())
    assert refused(responses).details == {
        "status": "<redacted>, <redacted>",
        "<redacted>": "\\u2028",
        "scope": "\\xed\\xa0\\x80",
    }


@pytest.mark.parametrize("maker", MECHANISMS)
def test_repr(maker: Maker) -> None:
    assert repr(maker("u", TOKEN)) == f"{maker.__name__}('u', Secret('***'))"


@everywhere
async def test_what_is_said() -> None:
    async with serving(asking()) as server:
        async with client_of(server, XOAuth2(USER, TOKEN)) as client:
            await send(client)
        assert server.heard[0].lines[1] == line(TOKEN)
        async with client_of(server, OAuthBearer("a=b,c", TOKEN)) as client:
            await send(client)
        message = (
            f"n,a=a=3Db=2Cc,\1host=127.0.0.1\1port={server.port}"
            f"\1auth=Bearer {TOKEN}\1\1"
        )
        expected = b"AUTH OAUTHBEARER " + b64encode(message.encode())
        assert server.heard[1].lines[1] == expected


@everywhere
async def test_a_long_token_goes_out_in_a_line_of_its_own() -> None:
    long = "t" * 2500
    patient = asking(AUTH=b"334 \r\n")
    async with serving(patient) as server:
        async with client_of(server, XOAuth2(USER, long)) as client:
            await send(client)
        assert server.heard[0].lines[1] == b"AUTH XOAUTH2"
        assert server.heard[0].lines[2] == line(long).split()[2]


@everywhere
@pytest.mark.parametrize("maker", MECHANISMS)
async def test_a_server_that_takes_tokens(maker: Maker) -> None:
    server = SMTPServer(
        starttls=True, users={USER: OTHER}, mechanisms=maker.names, require_auth=True
    )
    tokens = Tokens(TOKEN, OTHER)
    async with server:
        async with server.client(auth=maker(USER, tokens)) as client:
            await send(client)
        async with server.client(auth=maker(USER, TOKEN)) as client:
            error = await failure(client, AuthenticationFailed)
        async with server.client(auth=maker("mallory", OTHER)) as client:
            await failure(client, AuthenticationFailed)
    assert tokens.calls == 2
    assert error.details == {"status": "invalid_token", "scope": "mail"}
    assert [message.username for message in server.messages] == [USER]
    assert server.violations == []
