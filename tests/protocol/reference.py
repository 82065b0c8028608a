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


def _mail(accepted: int) -> Place:
    return Place("mail", accepted)


def _data(accepted: int) -> Place:
    return Place("data", accepted)


def _chunks(accepted: int) -> Place:
    return Place("chunks", accepted)


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
        match place.phase, verb:
            case "start", Verb.CONNECT:
                return _yes(GREETED) | _no(REJECTING)
            case (
                "greeted"
                | "rejecting"
                | "idle"
                | "mail"
                | "chunks"
                | "failed"
                | "half",
                Verb.QUIT,
            ):
                return _yes(CLOSED) | _no(CLOSED)
            case "greeted" | "idle" | "mail" | "failed" | "half", Verb.HELLO:
                # It "MUST stay in the same state" if it refuses (§4.1.4).
                return _yes(IDLE) | _no(place)
            case "greeted", Verb.RSET:
                return _yes(GREETED)
            case "idle" | "mail" | "chunks" | "failed" | "half", Verb.RSET:
                return _yes(IDLE)
            case "greeted" | "idle" | "mail" | "chunks" | "failed" | "half", Verb.NOOP:
                return _yes(place) | _no(place)
            case (
                "greeted" | "idle" | "mail" | "failed" | "half",
                Verb.VRFY | Verb.EXPN | Verb.HELP,
            ):
                return _yes(place) | _no(place)
            case _:
                return self._mail_in_order(place, verb) or self._security(place, verb)

    def _security(self, place: Place, verb: Verb) -> Answers:
        match place.phase, verb:
            case "idle", Verb.STARTTLS:
                return _yes(TLS) | _no(IDLE)
            case "idle", Verb.AUTH:
                return _yes(IDLE) | _go_on(SASL) | _no(IDLE)
            case "sasl", Verb.RESPONSE:
                return _yes(IDLE) | _go_on(SASL) | _no(IDLE)
            case _:
                return _NONE

    def _mail_in_order(self, place: Place, verb: Verb) -> Answers:
        match place.phase, verb:
            case "idle", Verb.MAIL:
                return _yes(_mail(0)) | _no(IDLE)
            case "mail", Verb.RCPT:
                more = place.accepted < self.recipients
                return (_yes(_mail(place.accepted + 1)) if more else _NONE) | _no(place)
            case "mail", Verb.DATA if place.accepted:
                return _go_on(_data(place.accepted)) | _no(place)
            case "data", Verb.CONTENT:
                return self._end_of_mail_data(place, IDLE)
            case "mail" | "chunks", Verb.BDAT if place.accepted:
                return _yes(_chunks(place.accepted)) | _no(FAILED)
            case "mail" | "chunks", Verb.LAST if place.accepted:
                return self._end_of_mail_data(place, FAILED)
            case _:
                return _NONE

    def _end_of_mail_data(self, place: Place, refused: Place) -> Answers:
        """Answer once, or in LMTP once for each recipient (RFC 2033 §4.2)."""
        if not self.lmtp:
            return _yes(IDLE) | _no(refused)
        # With nobody accepted there is nothing to say, and no client waits.
        owed = (place.owed or place.accepted) - 1
        if owed:
            return _yes(place._replace(owed=owed, taken=True)) | _no(
                place._replace(owed=owed)
            )
        return _yes(IDLE) | _no(DONE if place.taken else refused)

    def _behind_a_refusal(self, place: Place, verb: Verb) -> Answers:
        """Answer what was sent in one group with a command that it refused."""
        match place.phase, verb:
            case "idle" | "half", Verb.RCPT:
                return _no(place) | (_yes(HALF) if self.sloppy else _NONE)
            case "idle" | "mail" | "half", Verb.DATA:
                return _no(place) | (_go_on(_data(0)) if self.lenient else _NONE)
            case "idle" | "mail" | "failed" | "half", Verb.BDAT | Verb.LAST:
                return _no(FAILED)
            case _:
                return _NONE
