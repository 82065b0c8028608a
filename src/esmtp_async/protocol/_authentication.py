"""AUTH: a conversation with a SASL mechanism within the other one (RFC 4954)."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Collection, Generator, Sequence
from contextlib import suppress
from typing import Final

from esmtp_async.protocol._asks import Compute, Fetch
from esmtp_async.protocol._commands import Auth, Command, Response
from esmtp_async.protocol._exceptions import (
    AuthenticationFailed,
    InvalidInput,
    bare,
)
from esmtp_async.protocol._outcomes import Stage
from esmtp_async.protocol._redaction import Sealed
from esmtp_async.protocol._replies import Reply
from esmtp_async.protocol._sasl import (
    Channel,
    Mechanism,
    Responses,
    is_as_strong,
    refuse,
)
from esmtp_async.protocol._session import Session
from esmtp_async.protocol._states import State
from esmtp_async.protocol._verbs import MAX_AUTH_LINE, MAX_COMMAND_LINE

#: The challenges answered in one authentication: no mechanism here needs more than
#: three.
MAX_ROUNDS: Final = 4

# What is refused is the mechanism, not who we are (RFC 4954 §4, §6).
_MECHANISM_REFUSED: Final = frozenset({504, 534})

#: What is yielded on the way to an answer.
Asked = Command | Fetch | Compute


def usable(
    mechanisms: Sequence[Mechanism], offered: Collection[str], *, bound: bool
) -> list[tuple[str, Mechanism]]:
    """Give those that are offered, with the name that they go by, in our order.

    `bound`: there is TLS, with a certificate that SCRAM can be bound to.
    """
    return [
        (name, mechanism)
        for mechanism in mechanisms
        for name in mechanism.names
        # The suffix says that the channel is bound (RFC 5802 §4).
        if name in offered and (bound or not name.endswith("-PLUS"))
    ]


class Authentication:
    """The use of one of several mechanisms; a second only where the first is unknown.

    It is a part of an exchange, which passes the replies on to it. Raises
    `AuthenticationFailed`.
    """

    def __init__(
        self, mechanisms: Sequence[Mechanism], *, host: str = "", port: int = 0
    ) -> None:
        self._mechanisms = mechanisms
        self._host = host
        self._port = port
        self._name = ""
        self._reply: Reply  # the latest

    @property
    def mechanism(self) -> str | None:
        """The mechanism that was used last; None: there was none yet."""
        return self._name or None

    def replied(self, reply: Reply) -> None:
        """Keep the reply."""
        self._reply = reply

    def commands(
        self, session: Session, peer_certificate: bytes
    ) -> Generator[Asked, bytes, None]:
        """Yield what is to be said until the server knows who we are."""
        refused: str | None = None
        for name, mechanism in self._candidates(session, peer_certificate):
            if refused is None or is_as_strong(name, refused):
                channel = Channel(
                    mechanism=name,
                    offered=session.extensions.auth,
                    host=self._host,
                    port=self._port,
                    peer_certificate=peer_certificate,
                )
                self._name = name
                if (yield from self._hold(session, name, mechanism.respond(channel))):
                    return
                refused = name
        raise self._refused()

    def _candidates(
        self, session: Session, peer_certificate: bytes
    ) -> list[tuple[str, Mechanism]]:
        """Give the mechanisms that are offered and can be used, in our order."""
        offered, bound = session.extensions.auth, bool(peer_certificate)
        candidates = usable(self._mechanisms, offered, bound=bound)
        if not candidates:
            wanted = [
                name for mechanism in self._mechanisms for name in mechanism.names
            ]
            refuse(
                f"the server offers {' '.join(offered)} for AUTH, and none of "
                f"{', '.join(wanted)} is among them; auth= takes others"
                if offered
                else "the server offers no AUTH: leave the credentials out, or go to "
                "a port where mail is submitted, 587 or 465"
            )
        return candidates

    def _hold(
        self, session: Session, name: str, responses: Responses
    ) -> Generator[Asked, bytes, bool]:
        """Authenticate; tell whether the server knows and wants the mechanism."""
        auth, held = _begin(name, (yield from _respond(responses, None)))
        yield auth
        if self._reply.code in _MECHANISM_REFUSED:
            return False
        for _ in range(MAX_ROUNDS):
            if session.state is not State.AUTH:
                break
            try:
                response = held or (yield from _answer(responses, session.challenge))
            except AuthenticationFailed as problem:
                yield Response(None)
                raise self._unsatisfied(str(problem)) from problem
            held = None
            yield response
        if self._reply.refused or session.state is State.AUTH:
            raise _explained(self._refused(), responses)
        try:
            ended = held is None and _has_ended(responses)
        except AuthenticationFailed as problem:
            raise self._unsatisfied(str(problem)) from problem
        if not ended:
            msg = f"the server reported success before {name} was complete"
            raise self._unsatisfied(msg)
        return True

    def _refused(self) -> AuthenticationFailed:
        return self._unsatisfied(f"the server refused AUTH {self._name}: {self._reply}")

    def _unsatisfied(self, problem: str) -> AuthenticationFailed:
        """Tell why we do not go on, whatever the server says."""
        return AuthenticationFailed(
            problem,
            mechanism=self._name,
            command="AUTH",
            stage=Stage.AUTH,
            reply=self._reply,
        )


def _begin(mechanism: str, initial: bytes | None) -> tuple[Auth, Response | None]:
    """Give AUTH, and the initial response if it does not fit behind it.

    It then answers the server's first challenge, an empty one (RFC 4954 §4).
    """
    auth = Auth(mechanism, initial)
    if initial is None or len(auth.wire) <= MAX_COMMAND_LINE:
        return auth, None
    return Auth(mechanism), Response(initial)


def _answer(
    responses: Responses, challenge: Sequence[bytes]
) -> Generator[Fetch | Compute, bytes, Response]:
    """Give the response to a challenge (RFC 4954 §4)."""
    response = yield from _respond(responses, _decoded(challenge))
    try:
        return Response(response or b"")
    except InvalidInput as problem:
        refuse(str(problem))  # a challenge can make it as long as that


def _respond(
    responses: Responses, challenge: bytes | None
) -> Generator[Fetch | Compute, bytes, bytes | None]:
    """Give a mechanism's next response, and what it asks for until then.

    It comes back sealed, for a traceback with variables may see it.
    """
    try:
        step = responses.send(challenge)
        while isinstance(step, (Fetch, Compute)):
            step = responses.send((yield step))
    except StopIteration:
        msg = "the server goes on asking after the mechanism has ended"
        raise AuthenticationFailed(msg, command="AUTH", stage=Stage.AUTH) from None
    return step if step is None or isinstance(step, Sealed) else Sealed(step, step)


def _decoded(challenge: Sequence[bytes]) -> bytes:
    """Decode a challenge: one line of base64, and not a long one."""
    line, *others = challenge
    problem = "a SASL challenge of several lines" if others else ""
    if len(line) > MAX_AUTH_LINE:
        problem = f"a SASL challenge of more than {MAX_AUTH_LINE} octets"
    if not problem:
        try:
            return b64decode(line, validate=True)
        except (binascii.Error, ValueError):
            problem = "a SASL challenge that is not base64"
    msg = f"the server sent {problem}"
    raise AuthenticationFailed(msg, command="AUTH", stage=Stage.AUTH)


def _explained(
    refusal: AuthenticationFailed, responses: Responses
) -> AuthenticationFailed:
    """Tell a mechanism that it was refused; it may know more of the reason."""
    with suppress(AuthenticationFailed, StopIteration):
        responses.throw(refusal)
    return bare(refusal)


def _has_ended(responses: Responses) -> bool:
    """Tell whether the mechanism is satisfied with the server's success."""
    try:
        responses.send(None)
    except StopIteration:
        return True
    return False
