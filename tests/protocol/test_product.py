"""The session and a reference server, in every conversation they can have.

No matter what is sent, in which groups, and what is answered: after each reply
the session's state is where the server is, no reply of a conforming server is
taken for a violation, no command arrives where it does harm, and the way back
to READY stays open.
"""

from __future__ import annotations

import random
from typing import Final

import pytest

from esmtp_async.protocol import Session, Severity, State, Verb
from tests.protocol import reference
from tests.protocol.exploration import Configuration, Disagreement, Product, explore
from tests.protocol.reference import Misplaced, Server
from tests.protocol.sessions import COMMANDS

STRICT: Final = Server()
LENIENT: Final = Server(lenient=True)
SLOPPY: Final = Server(lenient=True, sloppy=True)
LMTP: Final = Server(lmtp=True)
LMTP_OF_THREE: Final = Server(lmtp=True, recipients=3)
LMTP_SLOPPY: Final = Server(lmtp=True, lenient=True, sloppy=True)
SERVERS: Final = {
    "strict": STRICT,
    "lenient": LENIENT,
    "sloppy": SLOPPY,
    "lmtp": LMTP,
    "lmtp-of-three": LMTP_OF_THREE,
    "lmtp-sloppy": LMTP_SLOPPY,
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("kind", "window", "configurations"),
    [
        ("strict", 6, 15_886),
        ("lenient", 6, 16_257),
        ("sloppy", 7, 41_080),
        ("lmtp", 6, 18_895),
        ("lmtp-of-three", 6, 27_796),
        ("lmtp-sloppy", 7, 47_173),
    ],
)
def test_session_and_server_agree_after_each_reply(
    kind: str, window: int, configurations: int
) -> None:
    product = Product(SERVERS[kind], pipelining=True, window=window)
    reached = explore(product).before
    assert len(reached) >= configurations
    assert max(len(c.outstanding) for c in reached) == window
    assert {c.state for c in reached} == set(State)


@pytest.mark.parametrize("kind", SERVERS)
def test_they_agree_in_lockstep(kind: str) -> None:
    reached = explore(Product(SERVERS[kind], pipelining=False, window=100)).before
    assert len(reached) >= 93
    assert max(len(c.outstanding) for c in reached) == 1
    assert {c.state for c in reached} == set(State)


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("kind", SERVERS)
def test_nothing_is_a_dead_end(kind: str, pipelining: bool) -> None:  # noqa: FBT001
    check_product(SERVERS[kind], pipelining=pipelining, window=5)


def check_product(server: Server, *, pipelining: bool = True, window: int) -> None:
    """See that they agree, and that nothing is a dead end.

    Without a 421, READY can be reached; or CLOSED, where only that may follow.
    """
    reached = explore(Product(server, pipelining=pipelining, window=window)).before
    ready = {c for c in reached if c.state is State.READY and not c.outstanding}
    closed = {c for c in reached if c.state is State.CLOSED}
    stays = {c for c in reached if not leaving(c, server)}
    assert stays <= leads_to(ready, reached)
    assert reached.keys() - stays <= leads_to(closed, reached)


def leads_to(
    goal: set[Configuration], before: dict[Configuration, list[Configuration]]
) -> set[Configuration]:
    """Give all configurations from which the goal can be reached."""
    found, frontier = set(goal), list(goal)
    while frontier:
        earlier = set(before[frontier.pop()]) - found
        found |= earlier
        frontier += earlier
    return found


def leaving(configuration: Configuration, server: Server) -> bool:
    """Tell whether nothing but the end can follow."""
    return (
        configuration.state in {State.REFUSED, State.CLOSED}
        or Verb.QUIT in configuration.outstanding
        # The lone dot that LMTP does not answer.
        or (
            server.lmtp
            and configuration.state is State.DATA
            and not configuration.accepted
        )
    )


@pytest.mark.parametrize("kind", SERVERS)
def test_a_session_rebuilt_is_as_good_as_one_that_came_the_long_way(kind: str) -> None:
    server = SERVERS[kind]
    product = Product(server, pipelining=True, window=7)
    for seed in range(100):
        chance = random.Random(seed)  # noqa: S311
        session = Session(lmtp=server.lmtp, window=7)
        configuration = product.start
        for _ in range(60):
            steps = list(product.steps(configuration))
            if not steps:
                break
            step = chance.choice(steps)
            if isinstance(step.what, Verb):
                session.send(COMMANDS[step.what])
            elif isinstance(step.what, Severity):
                verb = configuration.outstanding[0]
                session.receive_data(product.octets[verb, step.what])
                session.next_event()
            elif step.what == "handshake":
                session.secured()
            else:
                break
            configuration = step.after
            assert product.record(session, configuration.place) == configuration


def test_the_reference_server_reports_what_does_harm() -> None:
    for place, verb in (
        (reference.FAILED, Verb.MAIL),  # a message under the reverse-path before it
        (reference.FAILED, Verb.RCPT),
        (reference.HALF, Verb.MAIL),
        (reference.IDLE, Verb.CONTENT),  # mail data read as commands
        (reference.TLS, Verb.NOOP),
        (reference.SASL, Verb.MAIL),
    ):
        with pytest.raises(Misplaced):
            STRICT.answers(place, verb)


def test_the_exploration_reports_a_session_that_is_elsewhere() -> None:
    product = Product(STRICT, pipelining=True, window=2)
    ready = product.start._replace(
        state=State.READY, projected=State.READY, outstanding=()
    )
    with pytest.raises(Disagreement):
        list(product.steps(ready._replace(place=reference.GREETED)))
    waiting = ready._replace(outstanding=(Verb.MAIL,), projected=State.MAIL)
    with pytest.raises(Misplaced):
        list(product.steps(waiting._replace(place=reference.REJECTING)))
