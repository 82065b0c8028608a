"""The AUTH command (RFC 4954 §4)."""

from __future__ import annotations

from base64 import b64encode
from functools import partial

from esmtp_async.testing._answers import Answer, Breach, Refusal, refuse
from esmtp_async.testing._dialogue import Dialogue
from esmtp_async.testing._sasl import MECHANISMS, Challenges, Realm, decode


class Authentication:
    """One run of AUTH: a mechanism, and the lines of the client that it asks for."""

    def __init__(self, dialogue: Dialogue, realm: Realm) -> None:
        self._dialogue = dialogue
        self._realm = realm
        self._challenges: Challenges | None = None
        #: Who has been authenticated.
        self.username: str | None = None

    def begin(self, argument: str) -> Answer:
        """Take `mechanism [initial-response]`."""
        name, _, initial = argument.partition(" ")
        if name.upper() not in self._realm.offered:
            raise Breach(504, "5.5.4", f"{name} is not offered")
        self._challenges = MECHANISMS[name.upper()](self._realm)
        challenge = next(self._challenges)
        if not initial:
            return _challenge(challenge)
        return self._respond(b"" if initial == "=" else decode(initial.encode()))

    async def go_on(self, mechanism: str) -> bytes:
        """Read a response of the client, and give what was answered."""
        try:
            line = await self._dialogue.response()
        except Breach as breach:
            act = partial(refuse, breach)
        else:
            act = partial(self._take, line)
        return await self._dialogue.answer("RESPONSE", mechanism, act)

    def _take(self, line: bytes) -> Answer:
        if line == b"*":
            raise Refusal(501, "5.7.0", "authentication cancelled")
        return self._respond(decode(line))

    def _respond(self, response: bytes) -> Answer:
        challenges, self._challenges = self._challenges, None
        if challenges is None:
            raise Breach(501, "5.5.1", "a response that nothing asked for")
        try:
            challenge = challenges.send(response)
        except StopIteration as stop:
            self.username = stop.value
            return Answer(235, "2.7.0", "authenticated")
        self._challenges = challenges
        return _challenge(challenge)


def _challenge(octets: bytes) -> Answer:
    return Answer(334, "", b64encode(octets).decode())
