"""Every conversation there can be between a session and a reference server.

A breadth-first search over configurations: all that the session knows, and
where the server is. From each one the session sends whatever it lets out, and
the server gives every answer it may.

The server handles a command no earlier than its reply is read. That loses
nothing: its choices depend on the commands before, and those are in the queue
in their order, whenever it gets to them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from esmtp_async.protocol import (
    Extensions,
    Replied,
    Sent,
    Session,
    Severity,
    State,
    Verb,
)
from tests.protocol import reference
from tests.protocol.reference import Place, Server
from tests.protocol.sessions import COMMANDS

#: What a session's state says of a server.
_MEANING: Final = {
    State.CONNECTED: {"start"},
    State.GREETED: {"greeted"},
    State.REFUSED: {"rejecting"},
    State.READY: {"idle"},
    State.MAIL: {"sender"},
    State.RCPT: {"recipients"},
    State.DATA: {"data"},
    State.BDAT: {"chunks"},
    State.INDETERMINATE: {"failed", "half"},
    State.AUTH: {"sasl"},
    State.TLS: {"tls"},
    State.CLOSED: {"closed"},
}

_SENT: Final = {verb: Sent(command, None) for verb, command in COMMANDS.items()}
_OCTETS: Final = {verb: len(command.wire) for verb, command in COMMANDS.items()}

_CODES: Final = {
    (Verb.CONNECT, Severity.COMPLETION): 220,
    (Verb.STARTTLS, Severity.COMPLETION): 220,
    (Verb.XCLIENT, Severity.COMPLETION): 220,
    (Verb.AUTH, Severity.COMPLETION): 235,
    (Verb.AUTH, Severity.INTERMEDIATE): 334,
    (Verb.RESPONSE, Severity.COMPLETION): 235,
    (Verb.RESPONSE, Severity.INTERMEDIATE): 334,
    (Verb.DATA, Severity.INTERMEDIATE): 354,
}
_ANY_CODE: Final = {
    Severity.COMPLETION: 250,
    Severity.TRANSIENT: 451,
    Severity.PERMANENT: 550,
    Severity.SHUTDOWN: 421,
}


class Disagreement(AssertionError):
    """The session and the server do not agree about where they are."""


class Configuration(NamedTuple):
    """All that a session knows, and where its server is."""

    state: State
    projected: State
    outstanding: tuple[Verb, ...]
    accepted: int
    due: int
    pipelining: bool
    place: Place


class Step(NamedTuple):
    """One thing that happens, and what it leads to."""

    what: Verb | Severity | str
    after: Configuration


class Product:
    """A kind of session and a kind of server, talking to each other.

    `pipelining` is what the server offers; `window` bounds what the session
    has on its way.
    """

    def __init__(self, server: Server, *, pipelining: bool, window: int) -> None:
        self._server = server
        self._window = window
        offer = b"250-x\r\n250 PIPELINING\r\n" if pipelining else b"250 x\r\n"
        self.octets = {
            (verb, severity): b"%d x\r\n" % _CODES.get((verb, severity), code)
            for verb in Verb
            for severity, code in _ANY_CODE.items()
        } | {key: b"%d x\r\n" % code for key, code in _CODES.items()}
        self.octets[Verb.HELLO, Severity.COMPLETION] = offer

    @property
    def start(self) -> Configuration:
        """The connection stands, and nothing was said."""
        session = Session(lmtp=self._server.lmtp, window=self._window)
        return self.record(session, reference.START)

    @staticmethod
    def record(session: Session, place: Place) -> Configuration:
        """Write down all of a session that decides what it does next."""
        return Configuration(
            session._state,
            session._projected,
            tuple([sent.command.verb for sent in session._outstanding]),
            session._accepted,
            session._due,
            session.pipelining,
            place,
        )

    def rebuild(self, configuration: Configuration) -> Session:
        """Make a session that is just so: `record`, backwards.

        It sets the private fields, for a session that came here the long way
        takes a hundred times as long. `test_product` compares the two.
        """
        session = Session(lmtp=self._server.lmtp, window=self._window)
        session._state = configuration.state
        session._projected = configuration.projected
        session._outstanding = deque(map(_SENT.__getitem__, configuration.outstanding))
        session._octets = sum(map(_OCTETS.__getitem__, configuration.outstanding))
        session._accepted = configuration.accepted
        session._due = configuration.due
        session.pipelining = configuration.pipelining
        offered = {"PIPELINING": ""} if configuration.pipelining else {}
        session.peer.extensions = Extensions(offered)
        session.may_continue = configuration.state is not State.CLOSED and (
            not session._outstanding or session._group_may_grow
        )
        return session

    def steps(self, before: Configuration) -> Iterator[Step]:
        """Give everything that may happen next; raise where they disagree."""
        if before.state is State.CLOSED:
            return
        yield from self._sends(before)
        if before.outstanding:
            yield from self._replies(before, before.outstanding[0])
            return
        session = self.rebuild(before)
        session.receive_data(b"421 x\r\n")
        yield Step("shutdown", self._took(session, reference.CLOSED))
        if before.state is State.TLS:
            session = self.rebuild(before)
            session.secured()
            yield Step("handshake", self.record(session, reference.GREETED))

    def _sends(self, before: Configuration) -> Iterator[Step]:
        session = self.rebuild(before)
        if not session.may_continue:
            return
        for verb, command in COMMANDS.items():
            if session.may_send(command):
                if not (before.outstanding or self._server.orderly(before.place, verb)):
                    raise Disagreement(verb, before)
                session.send(command)
                yield Step(verb, self._sent(session, verb, before.place))
                session = self.rebuild(before)

    def _sent(self, session: Session, verb: Verb, place: Place) -> Configuration:
        if session.state is State.CLOSED:
            # LMTP: after a lone dot for nobody there is nothing to wait for.
            alone = verb is Verb.CONTENT and not place.accepted
            if not (self._server.lmtp and alone):
                raise Disagreement(verb, place)
            place = reference.CLOSED
        return self.record(session, place)

    def _replies(self, before: Configuration, verb: Verb) -> Iterator[Step]:
        for severity, place in self._server.answers(before.place, verb):
            session = self.rebuild(before)
            session.receive_data(self.octets[verb, severity])
            yield Step(severity, self._took(session, place))

    def _took(self, session: Session, place: Place) -> Configuration:
        """Let the session take a reply, and see whether it draws the right end."""
        event = session.next_event()
        after = self.record(session, place)
        if not (isinstance(event, Replied) and self._agree(after)):
            raise Disagreement(event, after)
        return after

    @staticmethod
    def _agree(after: Configuration) -> bool:
        """Tell whether the session is where the server is.

        To the letter, with one exception: an LMTP server is done with a message
        that it took for somebody, and a session that was told 4yz or 5yz last
        may be the more careful one, and say RSET.
        """
        state, place = after.state, after.place
        if place == reference.DONE:
            return state in {State.READY, State.INDETERMINATE}
        counts = place.phase in {"recipients", "data", "chunks"}
        return place.phase in _MEANING[state] and (
            not counts or after.accepted == place.accepted
        )


class Exploration(NamedTuple):
    """What a search found."""

    #: Each configuration, with the ones that lead to it without a 421.
    before: dict[Configuration, list[Configuration]]
    steps: int


def explore(product: Product) -> Exploration:
    """Search all configurations; raise at the first disagreement."""
    before: dict[Configuration, list[Configuration]] = {product.start: []}
    queue = deque(before)
    count = 0
    while queue:
        configuration = queue.popleft()
        for what, after in product.steps(configuration):
            count += 1
            if after not in before:
                before[after] = []
                queue.append(after)
            if what not in {Severity.SHUTDOWN, "shutdown"}:
                before[after].append(configuration)
    return Exploration(before, count)
