"""A server by the RFCs alone: where it is, and how it may answer.

It is a second reading of RFC 5321 §4.1.4 and §4.3.2, RFC 2033 §4.2, RFC 2920
§3.1, RFC 3030 §2, RFC 3207 §4 and RFC 4954 §4, which shares with the library's
table nothing but the names of verbs and severities. A server may choose among
several answers, and each of them is given; two habits of real servers that the
RFCs put up with can be switched on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from esmtp_async.protocol import Severity, Verb


class Place(NamedTuple):
    """Where a server is."""

    phase: str
    #: The recipients that it has accepted in the open transaction.
    accepted: int = 0
    #: LMTP: the replies that it still owes to the end of the mail data.
    owed: int = 0
    #: LMTP: whether one of those it gave was 2yz.
    taken: bool = False


START: Final = Place("start")  # connected, about to greet
GREETED: Final = Place("greeted")  # waiting for EHLO
REJECTING: Final = Place("rejecting")  # greeted with 554, waiting for QUIT
IDLE: Final = Place("idle")
SENDER: Final = Place("sender")  # it has a reverse-path; then recipients, chunks
# LMTP took the message for somebody, though not for the last one.
DONE: Final = Place("idle", taken=True)
SASL: Final = Place("sasl")
TLS: Final = Place("tls")
CLOSED: Final = Place("closed")
# A chunk, or the last one, was refused: what becomes of the transaction is "in
# an indeterminate state" until RSET (RFC 3030 §2).
FAILED: Final = Place("failed")
# A recipient was accepted although MAIL was refused: half a transaction.
HALF: Final = Place("half")


def _data(accepted: int) -> Place:
    return Place("data", accepted)


Answers = frozenset[tuple[Severity, Place]]


def _yes(place: Place) -> Answers:
    return frozenset({(Severity.COMPLETION, place)})


def _go_on(place: Place) -> Answers:
    return frozenset({(Severity.INTERMEDIATE, place)})


def _no(place: Place) -> Answers:
    return frozenset({(Severity.TRANSIENT, place), (Severity.PERMANENT, place)})


_NONE: Final[Answers] = frozenset()


class Misplaced(AssertionError):
    """A command arrived where no client may let it arrive."""


@dataclass(frozen=True)
class Server:
    """A conforming server of one kind."""

    lmtp: bool = False
    #: It says 354 although it accepted nobody, which RFC 2920 §3.1 foresees.
    lenient: bool = False
    #: It takes RCPT after it has refused MAIL.
    sloppy: bool = False
    #: The recipients that it takes in one transaction.
    recipients: int = 2

    def answers(self, place: Place, verb: Verb) -> Answers:
        """Tell how it may answer a command, and where it is after that."""
        answers = self.orderly(place, verb) or self._behind_a_refusal(place, verb)
        if not answers:
            raise Misplaced(place, verb)
        # "421 may be a reply to any command" (RFC 5321 §3.8).
        return answers | {(Severity.SHUTDOWN, CLOSED)}

    def orderly(self, place: Place, verb: Verb) -> Answers:
        """Tell how it may answer a command that is in order there; or nothing."""
        return (
            self._at_any_time(place, verb)
            or self._opening(place, verb)
            or self._relaying(place, verb)
            or self._transaction(place, verb)
        )

    @staticmethod
    def _at_any_time(place: Place, verb: Verb) -> Answers:
        """RFC 5321 §4.1.4: "at any time during a session"."""
        match place.phase, verb:
            case "rejecting", Verb.QUIT:
                return _yes(CLOSED) | _no(CLOSED)
            case "start" | "rejecting" | "data" | "sasl" | "tls" | "closed", _:
                return _NONE
            case _, Verb.QUIT:
                return _yes(CLOSED) | _no(CLOSED)
            case _, Verb.RSET:
                return _yes(GREETED if place == GREETED else IDLE)
            case _, Verb.NOOP | Verb.VRFY | Verb.EXPN | Verb.HELP:
                # Between chunks nobody has use for them, save for NOOP.
                chunks = place.phase == "chunks" and verb is not Verb.NOOP
                return _NONE if chunks else _yes(place) | _no(place)
            case _:
                return _NONE

    @staticmethod
    def _relaying(place: Place, verb: Verb) -> Answers:
        """RFC 1985 §5 and Postfix: between transactions."""
        match place.phase, verb:
            case "idle", Verb.ETRN | Verb.XFORWARD:
                return _yes(IDLE) | _no(IDLE)
            case "idle", Verb.XCLIENT:
                return _yes(GREETED) | _no(IDLE)
            case _:
                return _NONE

    @staticmethod
    def _opening(place: Place, verb: Verb) -> Answers:
        match place.phase, verb:
            case "start", Verb.CONNECT:
                return _yes(GREETED) | _no(REJECTING)
            case (
                "greeted" | "idle" | "sender" | "recipients" | "failed" | "half",
                Verb.HELLO,
            ):
                # It "MUST stay in the same state" if it refuses (§4.1.4).
                return _yes(IDLE) | _no(place)
            case "idle", Verb.STARTTLS:
                return _yes(TLS) | _no(IDLE)
            case ("idle", Verb.AUTH) | ("sasl", Verb.RESPONSE):
                return _yes(IDLE) | _go_on(SASL) | _no(IDLE)
            case _:
                return _NONE

    def _transaction(self, place: Place, verb: Verb) -> Answers:
        accepted = place.accepted
        match place.phase, verb:
            case "idle", Verb.MAIL:
                return _yes(SENDER) | _no(IDLE)
            case "sender" | "recipients", Verb.RCPT:
                more = _yes(Place("recipients", accepted + 1))
                return (more if accepted < self.recipients else _NONE) | _no(place)
            case "recipients", Verb.DATA:
                return _go_on(_data(accepted)) | _no(place)
            case "recipients" | "chunks", Verb.BDAT:
                return _yes(Place("chunks", accepted)) | _no(FAILED)
            case ("data", Verb.CONTENT) | ("recipients" | "chunks", Verb.LAST):
                return self._end_of_mail_data(place)
            case _:
                return _NONE

    def _end_of_mail_data(self, place: Place) -> Answers:
        """Answer once, or in LMTP once for each recipient (RFC 2033 §4.2)."""
        refused = IDLE if place.phase == "data" else FAILED
        if not self.lmtp:
            return _yes(IDLE) | _no(refused)
        # With nobody accepted there is nothing to say, and no client waits.
        owed = (place.owed or place.accepted) - 1
        if owed:
            owing = place._replace(owed=owed)
            return _yes(owing._replace(taken=True)) | _no(owing)
        return _yes(IDLE) | _no(DONE if place.taken else refused)

    def _behind_a_refusal(self, place: Place, verb: Verb) -> Answers:
        """Answer what was sent in one group with a command that it refused."""
        match place.phase, verb:
            case "idle" | "half", Verb.RCPT:
                return _no(place) | (_yes(HALF) if self.sloppy else _NONE)
            case "idle" | "sender" | "half", Verb.DATA:
                return _no(place) | (_go_on(_data(0)) if self.lenient else _NONE)
            case "idle" | "sender" | "failed" | "half", Verb.BDAT | Verb.LAST:
                return _no(FAILED)
            case _:
                return _NONE
