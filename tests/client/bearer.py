"""Bearer tokens in tests: where they come from, and servers that ask for them."""

from __future__ import annotations

import json
from base64 import b64encode

import anyio

from esmtp_async import OAuthBearer, Plain, SMTPClient, XOAuth2
from tests.raw import Answer, Script, Server, offering, script

USER = "ursula@example.test"
TOKEN = "ya29.hunter2-Gruesse"
OTHER = "ya29.another-one"
BOTH = offering("AUTH XOAUTH2 OAUTHBEARER PLAIN")
NO = b"535 5.7.8 no\r\n"
MECHANISMS = [XOAuth2, OAuthBearer]
Maker = type[XOAuth2] | type[OAuthBearer]
#: What a refusal is acknowledged with.
ACKNOWLEDGED = {XOAuth2: b"", OAuthBearer: b"AQ=="}


def asking(**answers: Answer | list[Answer]) -> Script:
    return script(**{"EHLO": BOTH, **answers})


def told(account: object) -> bytes:
    """Give the 334 that tells why a token is refused."""
    octets = account if isinstance(account, bytes) else json.dumps(account).encode()
    return b"334 " + b64encode(octets) + b"\r\n"


def client_of(server: Server, *mechanisms: XOAuth2 | OAuthBearer | Plain) -> SMTPClient:
    return server.client(auth=mechanisms, allow_plaintext_auth=True)


def line(token: str, user: str = USER) -> bytes:
    """Give the AUTH line of XOAUTH2."""
    message = f"user={user}\1auth=Bearer {token}\1\1"
    return b"AUTH XOAUTH2 " + b64encode(message.encode())


class Tokens:
    """A token function that gives these, and counts its calls."""

    def __init__(self, *tokens: str) -> None:
        self._tokens = tokens
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        return self._tokens[min(self.calls, len(self._tokens)) - 1]


class Gate:
    """A token function that gives its token, or fails, once it is opened."""

    def __init__(self, *outcomes: str | Exception) -> None:
        self._outcomes = outcomes
        self.calls = 0
        self.opened = anyio.Event()

    async def __call__(self) -> str:
        self.calls += 1
        outcome = self._outcomes[min(self.calls, len(self._outcomes)) - 1]
        await self.opened.wait()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def all_ask(server: Server, count: int) -> None:
    """Wait until so many connections wait for their token."""
    while [heard.verbs for heard in server.heard] != [["EHLO"]] * count:
        await anyio.sleep(0.001)
    await anyio.wait_all_tasks_blocked()
