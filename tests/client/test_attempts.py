"""Which address of a name is connected to, on asyncio."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Final, NamedTuple

import anyio
import pytest

from esmtp_async import _attempts
from esmtp_async._attempts import _Address, _interleaved
from tests import clock

V4: Final = socket.AF_INET
V6: Final = socket.AF_INET6


class Answer(NamedTuple):
    """After so many seconds, no connection comes about, or one does."""

    seconds: float
    error: OSError | None = None


NEVER: Final = Answer(1e6)


class Network:
    """Stands in for the kernel: each address answers in its way."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = answers
        #: When each address was tried: seconds from the beginning.
        self.tried: list[float] = []
        #: The sockets, as they were made.
        self.made: list[socket.socket] = []
        self._start = 0.0

    async def resolve(
        self, host: str, port: int, **_: object
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        """Give the addresses of the name there is."""
        assert (host, port) == ("mail.example.test", 25)
        self._start = anyio.current_time()
        return [
            (V4, socket.SOCK_STREAM, 0, "", (f"192.0.2.{number}", 25))
            for number, _ in enumerate(self._answers)
        ]

    async def connect(self, remote: _Address, local: _Address | None) -> socket.socket:
        """Answer as that address does."""
        assert local is None
        number = int(remote.address[0].rpartition(".")[2])
        assert number == len(self.tried)
        self.tried.append(round(anyio.current_time() - self._start, 3))
        made = socket.socket()
        self.made.append(made)
        try:
            await anyio.sleep(self._answers[number].seconds)
        except BaseException:
            made.close()
            raise
        error = self._answers[number].error
        if error is not None:
            made.close()
            raise error
        return made

    @property
    def open(self) -> list[int]:
        """The numbers of the addresses whose sockets are not closed."""
        return [n for n, made in enumerate(self.made) if made.fileno() >= 0]


@pytest.fixture
def network(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Network]:
    """Make a network, and have it asked instead of the kernel."""

    def make(*answers: Answer) -> Network:
        made = Network(*answers)
        monkeypatch.setattr(anyio, "getaddrinfo", made.resolve)
        monkeypatch.setattr(_attempts, "_connect", made.connect)
        return made

    return make


async def connect() -> socket.socket:
    return await _attempts.connect_tcp("mail.example.test", 25)


REFUSED: Final = Answer(0.1, ConnectionRefusedError("refused"))


@pytest.mark.parametrize(
    ("answers", "tried", "taken"),
    [
        pytest.param([Answer(0), Answer(0)], [0], 0, id="the first"),
        pytest.param([Answer(0.2), Answer(0)], [0], 0, id="a bit late"),
        pytest.param([REFUSED, Answer(1)], [0, 0.1], 1, id="at once after a failure"),
        pytest.param([NEVER, Answer(0)], [0, 0.25], 1, id="no answer"),
        pytest.param([NEVER, NEVER, Answer(0)], [0, 0.25, 0.5], 2, id="none twice"),
        pytest.param([Answer(0.3), Answer(0.1)], [0, 0.25], 0, id="the earlier"),
        pytest.param([Answer(0.4), Answer(0.1)], [0, 0.25], 1, id="overtaken"),
        pytest.param(
            [REFUSED, NEVER, REFUSED, Answer(2)],
            [0, 0.1, 0.35, 0.45],
            3,
            id="all of this",
        ),
    ],
)
def test_the_first_address_that_answers_is_taken(
    network: Callable[..., Network],
    answers: list[Answer],
    tried: list[float],
    taken: int,
) -> None:
    stand_in = network(*answers)
    with clock.run(connect) as connected:
        assert stand_in.tried == tried
        assert connected is stand_in.made[taken]
        assert stand_in.open == [taken]


def test_what_one_attempt_failed_of_is_the_cause(
    network: Callable[..., Network],
) -> None:
    refused = OSError(errno.ECONNREFUSED, "Connect call failed ('192.0.2.0', 25)")
    stand_in = network(Answer(0.1, refused))
    with pytest.raises(OSError, match="all attempts") as info:
        clock.run(connect)
    assert info.value.__cause__ is refused
    assert refused.strerror == "Connection refused (192.0.2.0)"
    assert stand_in.open == []


def test_what_several_attempts_failed_of_is_the_cause(
    network: Callable[..., Network],
) -> None:
    unreachable = Answer(0.5, OSError("unreachable"))
    stand_in = network(unreachable, REFUSED)
    with pytest.raises(OSError, match="all attempts") as info:
        clock.run(connect)
    cause = info.value.__cause__
    assert isinstance(cause, ExceptionGroup)
    assert list(cause.exceptions) == [REFUSED.error, unreachable.error]
    assert stand_in.open == []


@pytest.mark.parametrize("seconds", [0.1, 0.3])
def test_nothing_is_left_of_attempts_that_are_cancelled(
    network: Callable[..., Network], seconds: float
) -> None:
    stand_in = network(NEVER, NEVER)

    async def give_up() -> None:
        with anyio.move_on_after(seconds) as scope:
            await connect()
        assert scope.cancelled_caught

    clock.run(give_up)
    assert len(stand_in.made) == (2 if seconds > 0.25 else 1)
    assert stand_in.open == []


def test_of_two_that_answer_in_the_same_moment_one_is_closed(
    network: Callable[..., Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    network(NEVER, NEVER)
    second = anyio.Event()
    made: list[socket.socket] = []

    async def answer(*_: object) -> socket.socket:
        own = socket.socket()
        made.append(own)
        if len(made) == 1:
            await second.wait()
        second.set()  # too late to cancel whom it wakes
        return own

    monkeypatch.setattr(_attempts, "_connect", answer)
    with clock.run(connect) as connected:
        assert connected is made[1]
        assert [each.fileno() >= 0 for each in made] == [False, True]


def test_a_connection_is_closed_if_nobody_wants_it_any_more(
    network: Callable[..., Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    network(NEVER)
    made = socket.socket()

    async def give_up() -> None:
        with anyio.CancelScope() as scope:

            async def answer(*_: object) -> socket.socket:
                await anyio.sleep(0.1)
                scope.cancel()
                return made

            monkeypatch.setattr(_attempts, "_connect", answer)
            await connect()
        assert scope.cancelled_caught

    clock.run(give_up)
    assert made.fileno() < 0


def test_what_order_that_is() -> None:
    def addresses(*families: socket.AddressFamily) -> list[_Address]:
        return [_Address(each, (str(n), 25)) for n, each in enumerate(families)]

    def order(*families: socket.AddressFamily) -> str:
        return "".join(each.address[0] for each in _interleaved(addresses(*families)))

    assert order(V6, V6, V6, V4, V4) == "03142"
    assert order(V4, V4, V6) == "021"
    assert order(V4, V4) == "01"
    assert order() == ""


def test_the_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    async def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        found = (V6, "a"), (V6, "b"), (V4, "c")
        return [(kind, 1, 0, "", (address, 25)) for kind, address in found]

    async def refuse(remote: _Address, _: object) -> socket.socket:
        tried.append(remote.address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(anyio, "getaddrinfo", resolve)
    monkeypatch.setattr(_attempts, "_connect", refuse)
    with pytest.raises(OSError, match="all attempts"):
        clock.run(connect)
    assert tried == ["a", "c", "b"]


@pytest.mark.asyncio
async def test_only_addresses_of_the_local_ones_family_are_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, int, int]] = []

    async def resolve(
        host: str, port: int, *, family: int, **_: object
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        asked.append((host, port, family))
        address = "127.0.0.1" if port else "127.0.0.3"
        return [(V4, socket.SOCK_STREAM, 0, "", (address, port))]

    monkeypatch.setattr(anyio, "getaddrinfo", resolve)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with await _attempts.connect_tcp("there.test", port, "here.test") as connected:
            assert connected.getsockname()[0] == "127.0.0.3"
    unspecified = socket.AF_UNSPEC
    assert asked == [("here.test", 0, unspecified), ("there.test", port, V4)]
