"""A series of transactions: groups that reach from one message into the next."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from esmtp_async.protocol import (
    Envelope,
    MailData,
    Place,
    RemoteProtocolError,
    Series,
    Session,
    State,
    Transaction,
)
from esmtp_async.protocol._exceptions import NotSupported
from tests.protocol.dialogue import Turn, accounts, converse, ready

MAIL = "MAIL FROM:<s@x.test>"
TAKEN = "250 mail|250 rcpt|354 go"


def envelope(name: str, *, data: bool = True) -> str:
    return f"{MAIL}|RCPT TO:<{name}@x.test>" + "|DATA" * data


def train(name: str, text: str = "Hi|") -> str:
    size = len(text.replace("|", "\r\n"))
    return f"{envelope(name, data=False)}|BDAT {size} LAST|{text}".removesuffix("|")


class Messages:
    """Gives messages to a series, and notes what becomes of them."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        eager: bool = False,
        window: int = 20,
        octets: bytes = b"Hi\r\n",
    ) -> None:
        self._names = list(names)
        self._eager = eager
        self._octets = octets
        self.settled: list[Place] = []
        self.series = Series(self._take, self.settled.append, lambda: window)

    def _take(self) -> Transaction | None:
        if not self._names:
            return None
        name = self._names.pop(0)
        return Transaction(
            Envelope.of("s@x.test", f"{name}@x.test"),
            MailData(self._octets),
            eager=self._eager,
        )

    def hold(self, *turns: Turn, session: Session) -> list[str]:
        """Hold the series; give what became of each that was settled."""
        converse(session, self.series, *turns)
        return [
            line
            for place in self.settled
            for line in accounts(session, place.transaction)
        ]


def test_each_message_takes_one_round_trip() -> None:
    session, messages = ready(), Messages("abc")
    assert messages.hold(
        Turn(envelope("a"), TAKEN),
        Turn(f"Hi|.|{envelope('b')}", f"250 a|{TAKEN}"),
        Turn(f"Hi|.|{envelope('c')}", f"250 b|{TAKEN}"),
        Turn("Hi|.", "250 c"),
        session=session,
    ) == ["a ACCEPTED 250 FINAL", "b ACCEPTED 250 FINAL", "c ACCEPTED 250 FINAL"]
    assert session.reusable
    assert list(messages.series) == []


def test_in_lockstep_one_waits_for_the_other() -> None:
    turns = [
        Turn(line, reply)
        for name in "ab"
        for line, reply in [
            (MAIL, "250 ok"),
            (f"RCPT TO:<{name}@x.test>", "250 ok"),
            ("DATA", "354 go"),
            ("Hi|.", "250 ok"),
        ]
    ]
    session = ready(pipelining=False)
    assert len(Messages("ab").hold(*turns, session=session)) == 2


def test_trains_fly_as_far_as_the_window_goes() -> None:
    session, messages = ready("CHUNKING"), Messages("abcd", eager=True, window=2)
    assert messages.hold(
        Turn(f"{train('a')}|RSET|{train('b')}", "250 mail|250 rcpt|250 a"),
        # The window has room for one more, whatever b is still waiting for.
        Turn(f"RSET|{train('c')}", "250 rset|250 mail|250 rcpt|250 b"),
        Turn(f"RSET|{train('d')}", "|".join(["250 ok"] * 8)),
        session=session,
    ) == [f"{name} ACCEPTED 250 FINAL" for name in "abcd"]


@pytest.mark.parametrize("eager", [False, True])
def test_a_refusal_is_behind_us_before_the_next_one_begins(*, eager: bool) -> None:
    session, messages = ready("CHUNKING"), Messages("ab", eager=eager)
    if eager:
        turns = [
            Turn(
                f"{train('a')}|RSET|{train('b')}",
                "250 ok|550 no|503 no|250 reset|250 mail|250 rcpt|250 b",
            )
        ]
    else:
        turns = [
            Turn(envelope("a"), "250 ok|550 no|503 no"),
            Turn(f"RSET|{envelope('b')}", f"250 reset|{TAKEN}"),
            Turn("Hi|.", "250 b"),
        ]
    assert messages.hold(*turns, session=session) == [
        "a REFUSED 550 RCPT",
        "b ACCEPTED 250 FINAL",
    ]
    assert session.state is State.READY


def test_in_lockstep_the_next_one_begins_where_the_last_may_not_go_on() -> None:
    session = ready(pipelining=False)
    assert Messages("ab").hold(
        Turn(MAIL, "550 no"),
        Turn(MAIL, "250 ok"),
        Turn("RCPT TO:<b@x.test>", "250 ok"),
        Turn("DATA", "354 go"),
        Turn("Hi|.", "250 ok"),
        session=session,
    ) == ["a REFUSED 550 MAIL", "b ACCEPTED 250 FINAL"]


def test_what_cannot_be_sent_has_its_place_in_the_order() -> None:
    session = ready()
    messages = Messages("ab", octets=b"\xff\r\n")
    assert messages.hold(session=session) == [
        "a REFUSED - LOCAL",
        "b REFUSED - LOCAL",
    ]
    assert [type(place.error) for place in messages.settled] == [NotSupported] * 2


def test_those_under_way_are_at_hand_when_the_server_breaks_off() -> None:
    session, messages = ready("CHUNKING"), Messages("abc", eager=True)
    flight = "|RSET|".join(map(train, "abc"))
    with pytest.raises(RemoteProtocolError):
        converse(session, messages.series, Turn(flight, "250 a|250 a|250 a|nonsense"))
    assert [place.transaction.final_reply is None for place in messages.settled] == [
        False
    ]
    left = list(messages.series)
    assert [session.in_doubt(place) for place in left] == [True, True]
    assert not session.in_doubt(messages.settled[0])


def test_of_those_whose_end_was_not_sent_nothing_is_in_doubt() -> None:
    session, messages = ready(), Messages("ab")
    with pytest.raises(RemoteProtocolError):
        converse(
            session,
            messages.series,
            Turn(envelope("a"), TAKEN),
            Turn(f"Hi|.|{envelope('b')}", "nonsense"),
        )
    first, second = messages.series
    assert session.in_doubt(first)
    assert not session.in_doubt(second)


def test_a_421_that_nobody_asked_for_is_for_those_under_way() -> None:
    session, messages = ready(pipelining=False), Messages("a")
    steps = messages.series.commands(session)
    next(steps)
    assert str(next(steps)).startswith("MAIL")
    session.receive_data(b"421 closing\r\n")
    event = session.next_event()
    messages.series.replied(None, event.reply)  # type: ignore[union-attr]
    [place] = messages.series
    assert place.transaction.shut_down


def test_who_asks_again_what_is_offered_first_clears_what_may_have_failed() -> None:
    """RFC 3030 §2: RSET before anything else, lest the BDAT before was refused."""
    session = ready("CHUNKING")
    session.peer.may_offer_more = True  # as behind AUTH
    hello = str(session.peer.hello)
    messages = Messages(["a", "\u00fc"], eager=True)
    assert messages.hold(
        Turn(f"{train('a')}|RSET|{hello}", "250 mail|550 no|503 no|250 reset|250 mx"),
        session=session,
    ) == ["a REFUSED 550 RCPT", "\u00fc REFUSED - LOCAL"]
    assert session.state is State.READY
