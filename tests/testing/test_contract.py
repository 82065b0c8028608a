"""The contract of a SASL mechanism: who keeps it, and who is caught breaking it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
from scramp import ScramMechanism

from esmtp_async.protocol import (
    Anonymous,
    Channel,
    Compute,
    CramMD5,
    External,
    Fetch,
    Login,
    Mechanism,
    Plain,
    Responses,
    Scram,
    ScramSHA1,
    ScramSHA256,
    ScramSHA512,
    Stage,
)
from esmtp_async.protocol._exceptions import AuthenticationFailed
from esmtp_async.testing import Authority, check_mechanism
from esmtp_async.testing._sasl import MECHANISMS, Challenges, Realm
from tests.backends import everywhere

USER, PASSWORD = "alice", "hunter2-Grüße"
AUTHORITY = Authority("mail.example.test")


def half(name: str) -> Challenges:
    """Give the model server's half of a mechanism."""
    certificate = AUTHORITY.server_certificate if name.endswith("-PLUS") else ""
    return MECHANISMS[name](
        Realm({USER: PASSWORD}, certificate=certificate, offered=(name,))
    )


@everywhere
@pytest.mark.parametrize(
    "mechanism",
    [
        *(Plain(USER, PASSWORD), Login(USER, PASSWORD), CramMD5(USER, PASSWORD)),
        *(External(), External(USER), Anonymous(), Anonymous("a@mail.test")),
        *(Scram(USER, PASSWORD), ScramSHA1(USER, PASSWORD)),
        *(ScramSHA256(USER, PASSWORD), ScramSHA512(USER, PASSWORD)),
    ],
)
async def test_our_own_keep_it(mechanism: Mechanism) -> None:
    await check_mechanism(
        mechanism,
        server=half,
        secrets=[PASSWORD],
        peer_certificate=AUTHORITY.server_certificate_der,
    )


@everywhere
async def test_a_binding_without_a_certificate_is_refused() -> None:
    await check_mechanism(Scram(USER, PASSWORD), secrets=[PASSWORD])
    with pytest.raises(AssertionError, match="SCRAM-SHA-512-PLUS ended before"):
        await check_mechanism(Scram(USER, PASSWORD), server=half)


@everywhere
async def test_a_long_derivation_may_be_asked_for() -> None:
    def server(name: str) -> Challenges:
        mechanism = ScramMechanism(name)
        account = mechanism.make_auth_info(PASSWORD, iteration_count=20_001)
        half = mechanism.make_server(lambda _: account)
        half.set_client_first((yield b"").decode())
        half.set_client_final((yield str(half.get_server_first()).encode()).decode())
        yield str(half.get_server_final()).encode()
        return USER

    class OnlyPlain(ScramSHA256):
        names = ("SCRAM-SHA-256",)

    await check_mechanism(OnlyPlain(USER, PASSWORD), server=server)


@everywhere
async def test_a_token_may_be_fetched() -> None:
    async def fetch() -> bytes:
        return b"token"

    def respond() -> Responses:
        token = yield Fetch(Stage.AUTH, fetch)
        token = yield Compute(Stage.AUTH, lambda: b"<%s>" % token)
        yield token

    def server(_name: str) -> Challenges:
        assert (yield b"") == b"<token>"
        return USER

    await check_mechanism(Custom(respond), server=server)


class Custom:
    """A mechanism that somebody has written."""

    def __init__(
        self, begin: Callable[[], Responses], *names: str, password: str = ""
    ) -> None:
        self.names = names or ("CUSTOM",)
        self._begin = begin
        self.password = password

    def respond(self, _channel: Channel) -> Responses:
        return self._begin()


def once() -> Responses:
    yield b"x"


def for_ever() -> Responses:
    yield None
    while True:
        yield b"x"


def nine_times() -> Responses:
    yield None
    for _ in range(9):
        yield b"x"


def text() -> Responses:
    yield "x"  # type: ignore[misc]


def nothing_after_a_challenge() -> Responses:
    yield None
    yield None


def too_much() -> Responses:
    yield b"x" * 9300


def strict_about_success() -> Responses:
    challenge = yield b"x"
    if challenge is None:
        raise ValueError("too early")


def strict_about_text() -> Responses:
    challenge = yield b"x"
    yield b"" if challenge is None else challenge.decode().encode()


def telling() -> Responses:
    answer = PASSWORD
    yield answer.encode()
    raise AuthenticationFailed("no")


def telling_in_its_words() -> Responses:
    yield b"x"
    raise AuthenticationFailed(f"{PASSWORD} is wrong")


def telling_at_the_root() -> Responses:
    def fail() -> None:
        password = PASSWORD
        raise ValueError(str(len(password)))

    yield b"x"
    try:
        fail()
    except ValueError as error:
        raise AuthenticationFailed("no") from error


def waiting() -> Responses:
    yield b"x"
    yield b"y"


class Sharing:
    """Begins otherwise each time."""

    names = ("CUSTOM",)

    def __init__(self) -> None:
        self._begun = False

    def respond(self, _channel: Channel) -> Responses:
        self._begun = not self._begun
        yield b"x" if self._begun else None
        yield b"y"


class Fragile:
    """Breaks in one authentication when another one is dropped."""

    names = ("CUSTOM",)

    def __init__(self) -> None:
        self._broken = False

    def respond(self, _channel: Channel) -> Responses:
        try:
            yield b"x"
            if self._broken:
                raise ValueError("broken")
        except GeneratorExit:
            self._broken = True


class Shouting(NamedTuple):
    """Shows what it holds."""

    names: tuple[str, ...] = ("CUSTOM",)
    password: str = PASSWORD

    def respond(self, _channel: Channel) -> Responses:
        return once()


@everywhere
@pytest.mark.parametrize(
    ("mechanism", "problem"),
    [
        (Custom(for_ever), "answers more than 4 challenges"),
        (Custom(nine_times), "answers more than 4 challenges"),
        (Custom(text), "yields a str, not bytes"),
        (Custom(nothing_after_a_challenge), "yields a NoneType, not bytes"),
        (Custom(too_much), "does not fit a line"),
        (Custom(strict_about_success), "raises ValueError"),
        (Custom(strict_about_text), "raises UnicodeDecodeError"),
        (Custom(telling), "an error of CUSTOM shows a secret"),
        (Custom(telling_in_its_words), "an error of CUSTOM shows a secret"),
        (Custom(telling_at_the_root), "an error of CUSTOM shows a secret"),
        (Custom(once, password=PASSWORD), "Custom shows a secret"),
        (Shouting(), "Shouting shows a secret"),
        (Sharing(), "begins otherwise than before"),
        (Fragile(), "raises ValueError"),
        (Custom(once, "custom"), "is not the name of a SASL mechanism"),
        (Custom(once, "C" * 21), "is not the name of a SASL mechanism"),
        (Custom(once, "A", ""), "is not the name of a SASL mechanism"),
        (Custom(once, "A", "A"), "names repeats one"),
    ],
)
async def test_who_breaks_it_is_told_how(mechanism: Mechanism, problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        await check_mechanism(mechanism, secrets=[PASSWORD])


@everywhere
@pytest.mark.parametrize("names", [["CUSTOM"], (), "CUSTOM", (5,)])
async def test_names_are_a_tuple_of_names(names: tuple[str, ...]) -> None:
    mechanism = Custom(once)
    mechanism.names = names
    with pytest.raises(AssertionError, match=r"names is|is not the name"):
        await check_mechanism(mechanism)


def satisfied_at_once(_name: str) -> Challenges:
    yield b""
    return USER


def asking_twice(_name: str) -> Challenges:
    yield b""
    yield b"and?"
    return USER


@everywhere
async def test_both_halves_must_fit() -> None:
    await check_mechanism(Custom(once), server=satisfied_at_once)
    with pytest.raises(AssertionError, match="does not end when the server"):
        await check_mechanism(Custom(waiting), server=satisfied_at_once)
    with pytest.raises(AssertionError, match="ended before the server"):
        await check_mechanism(Custom(once), server=asking_twice)
    with pytest.raises(AssertionError, match="the server refuses PLAIN: credentials"):
        await check_mechanism(Plain(USER, "wrong"), server=half)
