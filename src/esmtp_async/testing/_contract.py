"""What a SASL mechanism must be, as a check of anybody's."""

from __future__ import annotations

import pickle
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from enum import Enum
from typing import Final, NoReturn

from anyio import to_thread

from esmtp_async.protocol._asks import Compute, Fetch
from esmtp_async.protocol._authentication import MAX_ROUNDS
from esmtp_async.protocol._commands import Auth, Response
from esmtp_async.protocol._exceptions import AuthenticationFailed, InvalidInput
from esmtp_async.protocol._sasl import Channel, Mechanism
from esmtp_async.testing._answers import Refusal
from esmtp_async.testing._sasl import Challenges

#: What a hostile server may ask, over and over.
_CHALLENGES: Final = (
    b"",
    b"Username:",
    b"Password:",
    b"\0" * 64,
    b"\xff\xfe\r\n",
    b"e=other-error",
    b"m=x",
    b"r=,s=,i=0",
    b"x" * 9216,
)


class _End(Enum):
    """How a mechanism ends."""

    RETURNED = "returned"
    REFUSED = "refused"


async def check_mechanism(
    mechanism: Mechanism,
    *,
    server: Callable[[str], Challenges] | None = None,
    secrets: Iterable[str] = (),
    peer_certificate: bytes = b"",
) -> None:
    """Hold a SASL mechanism against what `Mechanism` asks of it.

    Its names are legal (RFC 4422 §3.1). Each `respond` is one authentication
    of its own. It gives octets that fit a line, and comes to an end however
    often a server asks and whatever. It takes the server's success at any time
    without an error but `AuthenticationFailed`. None of the `secrets` shows in
    its `repr`, in a pickle, or in the variables of a traceback.

    `server` makes the other half for one of the names: a generator that yields
    challenges, the first an empty one that asks for the initial response, is
    sent responses, and returns when it is satisfied. With it the mechanism has
    to succeed, twice. `peer_certificate` is what the channel can be bound to,
    DER.

    Raises:
        AssertionError: telling what it does not keep.
    """
    hidden = [form for secret in secrets for form in _forms(secret)]
    names = _check_names(mechanism)
    _check_discretion(mechanism, hidden)
    for name in names:
        run = _Runner(mechanism, name, names, peer_certificate, hidden)
        await run.check_independence()
        for challenge in _CHALLENGES:
            await run.check_end(challenge)
        for rounds in range(MAX_ROUNDS):
            await run.check_success_after(rounds)
        if server is not None:
            for _ in range(2):
                await run.check_conversation(server(name))


class _Run:
    """One authentication: responses out, challenges in."""

    def __init__(
        self, mechanism: Mechanism, channel: Channel, hidden: list[str]
    ) -> None:
        self._name = channel.mechanism
        self._hidden = hidden
        self._begun = False
        self._responses = mechanism.respond(channel)

    async def send(self, challenge: bytes | None) -> bytes | _End | None:
        """Send a challenge; give the response, or how the mechanism ended."""
        first, self._begun = not self._begun, True
        try:
            step = self._responses.send(challenge)
            while isinstance(step, (Fetch, Compute)):
                answer = (
                    await step.call()
                    if isinstance(step, Fetch)
                    else await to_thread.run_sync(step.call)
                )
                step = self._responses.send(answer)
        except StopIteration:
            return _End.RETURNED
        except AuthenticationFailed as error:
            self._check_frames(error)
            return _End.REFUSED
        except Exception as error:
            kind = type(error).__name__
            msg = f"{self._name} raises {kind}, which is no AuthenticationFailed"
            raise AssertionError(msg) from error
        self._check_response(step, first=first)
        return step

    def _check_response(self, response: object, *, first: bool) -> None:
        if response is None and first:
            return
        if not isinstance(response, bytes):
            _fail(f"{self._name} yields a {type(response).__name__}, not bytes")
        try:
            Response(response)
        except InvalidInput:
            _fail(f"a response of {self._name} does not fit a line")

    def _check_frames(self, error: BaseException) -> None:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        shown = [str(error)]
        link: traceback.TracebackException | None = told
        while link is not None:
            frames = (frame for frame in link.stack if frame.filename != __file__)
            shown += [str(frame.locals) for frame in frames]
            link = link.__cause__ or link.__context__
        if any(secret in text for secret in self._hidden for text in shown):
            _fail(f"an error of {self._name} shows a secret")

    def close(self) -> None:
        """Drop it where it stands."""
        self._responses.close()


class _Runner:
    """Makes authentications under one name, and checks them."""

    def __init__(
        self,
        mechanism: Mechanism,
        name: str,
        offered: tuple[str, ...],
        certificate: bytes,
        hidden: list[str],
    ) -> None:
        self._mechanism = mechanism
        self._name = name
        self._channel = Channel(name, offered, "mail.example.test", 587, certificate)
        self._hidden = hidden

    def begin(self) -> _Run:
        """Begin one."""
        return _Run(self._mechanism, self._channel, self._hidden)

    async def check_independence(self) -> None:
        """See that one authentication has nothing to do with another one."""
        first, second, third = (self.begin() for _ in range(3))
        kinds = [type(await run.send(None)) for run in (first, second)]
        first.close()
        await second.send(b"")
        kinds.append(type(await third.send(None)))
        if len(set(kinds)) > 1:
            _fail(f"{self._name} begins otherwise than before")

    async def check_end(self, challenge: bytes) -> None:
        """See that it comes to an end, whatever it is asked again and again."""
        run = self.begin()
        step = await run.send(None)
        for _ in range(MAX_ROUNDS):
            if isinstance(step, _End):
                return
            step = await run.send(challenge)
        if not isinstance(step, _End):
            _fail(f"{self._name} answers more than {MAX_ROUNDS} challenges")

    async def check_success_after(self, rounds: int) -> None:
        """See that it takes success, be it too early."""
        run = self.begin()
        step = await run.send(None)
        for _ in range(rounds):
            if isinstance(step, _End):
                return
            step = await run.send(b"")
        if not isinstance(step, _End):
            await run.send(None)

    async def check_conversation(self, server: Challenges) -> None:
        """See that it satisfies a server, and is satisfied itself."""
        run = self.begin()
        challenge = next(server)
        response = await run.send(None)
        if response is None:
            response = await run.send(challenge)
        while isinstance(response, bytes):
            try:
                challenge = server.send(response)
            except StopIteration:
                if await run.send(None) is not _End.RETURNED:
                    _fail(f"{self._name} does not end when the server is satisfied")
                return
            except Refusal as refusal:
                _fail(f"the server refuses {self._name}: {refusal}")
            response = await run.send(challenge)
        _fail(f"{self._name} ended before the server was satisfied")


def _check_names(mechanism: Mechanism) -> tuple[str, ...]:
    names: object = mechanism.names
    if not isinstance(names, tuple) or not names:
        _fail(f"names is {names!r}, not a tuple of at least one")
    if len(set(names)) < len(names):
        _fail(f"names repeats one: {names!r}")
    for name in names:
        try:
            Auth(name)
        except (InvalidInput, TypeError):
            _fail(f"{name!r} is not the name of a SASL mechanism (RFC 4422)")
    return names


def _check_discretion(mechanism: Mechanism, hidden: Sequence[str]) -> None:
    shown = [repr(mechanism), str(mechanism), repr(getattr(mechanism, "__dict__", ""))]
    with suppress(Exception):  # not to be pickled is the best it can do
        shown.append(repr(pickle.dumps(mechanism)))
    if any(secret in text for secret in hidden for text in shown):
        _fail(f"{type(mechanism).__name__} shows a secret")


def _forms(secret: str) -> list[str]:
    """Give the forms that a secret may show in."""
    octets = secret.encode()
    return [secret, repr(secret)[1:-1], repr(octets)[2:-1], b64encode(octets).decode()]


def _fail(problem: str) -> NoReturn:
    raise AssertionError(problem)
