"""The server's part of a transcript: how what it says is cut, or joined.

*Joined* is what the server says to a flight and what it says to the next one, before
the client has said that one. No server may do so. What is decided keeps its outcome;
nothing more is decided, and nothing more is said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, pairwise
from typing import Final, NamedTuple

from esmtp_async.protocol import Stage, Verb
from esmtp_async.protocol._verbs import STAGES
from tests.transcript import Flight, Transcript

#: How the octets of a flight come: the pieces, in their order.
Cut = Callable[[Flight], list[bytes]]


def by_the_flight(flight: Flight) -> list[bytes]:
    """Say all at once."""
    return [b"".join(flight.heard)]


def by_the_line(flight: Flight) -> list[bytes]:
    """Say a line at a time."""
    return flight.heard or [b""]


def by_the_octet(flight: Flight) -> list[bytes]:
    """Say an octet at a time."""
    return [bytes([octet]) for line in flight.heard for octet in line] or [b""]


def cut_at(offset: int) -> Cut:
    """Cut what is said to each flight in two, so many octets behind its beginning."""

    def cut(flight: Flight) -> list[bytes]:
        octets = b"".join(flight.heard)
        return [octets[:offset], octets[offset:]] if offset < len(octets) else [octets]

    return cut


def cuts(transcript: Transcript, stride: int = 1) -> Iterator[Cut]:
    """Give the cuts that between them cut everything said at every offset."""
    longest = max(sum(map(len, flight.heard)) for flight in transcript.flights)
    return map(cut_at, range(1, longest, stride))


def joined(transcript: Transcript) -> Iterator[Transcript]:
    """Give a transcript for each flight whose answer has the next one's behind it.

    Behind the last one comes a reply to nothing. There is no such transcript where
    the server says nothing to one of the two, or hung up on commands that the next
    reply would answer.
    """
    surplus = Flight(b"", [b"250 nobody asked\r\n"], handshake=False, eof=False)
    for index, (flight, behind) in enumerate(pairwise([*transcript.flights, surplus])):
        if flight.eof and not _shut_down(flight):
            continue
        if flight.heard and behind.heard:
            glued = replace(flight, heard=[*flight.heard, *behind.heard])
            yield replace(
                transcript,
                flights=[*transcript.flights[:index], glued],
                outcomes=_joined_outcomes(transcript, index, behind),
            )


def _joined_outcomes(transcript: Transcript, index: int, behind: Flight) -> list[str]:
    """Tell what comes of it if an answer has one behind it that nobody asked for.

    * Behind 421, the reply to QUIT, or what is no reply, nothing is read: all stays
      as it is.
    * Any other reply breaks the protocol, at the stage of the command answered last.
    * But 421 may come unasked: it closes the session, and refuses what is not decided.
    * Within the opening nothing more comes of it. Within a transaction, recipients
      refused so far stay refused, the others have nothing sent to them. At its end,
      its outcomes stay as they are, an accepted message stays accepted.
    """
    if _is_over(transcript, index):
        return transcript.outcomes
    commands = [*said_in_flights(transcript)]
    stage = commands[index][-1].stage.value
    unasked = _shut_down(replace(behind, heard=behind.heard[:1]))
    starts = [start for start in beginnings(commands) if start <= index]
    if not starts:
        return [f"! Refused 421 {stage}" if unasked else _violation(stage)]
    # Whoever is refused for want of an extension says nothing.
    tried = by_message(transcript)
    spoken = [i for i, lines in enumerate(tried) if "NotSupported" not in lines[0]]
    number = spoken[len(starts) - 1]
    said = Counter(command.verb for command in chain(*commands[starts[-1] : index + 1]))
    ends = {*beginnings(commands), len(commands)}
    if transcript.flights[-1].said == b"QUIT\r\n":
        ends.add(len(commands) - 1)
    left = f"REFUSED 421 {Stage.COMMAND.value}" if unasked else f"NOT_SENT - {stage}"
    return [
        *chain(*tried[:number]),
        *([] if unasked else [_violation(stage)]),
        *(
            str(told) if decided else f"= {told.address} {left} temporary"
            for told, decided in _decided(
                accounts(tried[number]), said, ended=index + 1 in ends
            )
        ),
    ]


def _is_over(transcript: Transcript, index: int) -> bool:
    """Tell whether nothing is read behind what is said to a flight."""
    flight = transcript.flights[index]
    last = index + 1 == len(transcript.flights)
    return (
        flight.said == b"QUIT\r\n"
        or _shut_down(flight)
        or (last and any("RemoteProtocolError" in o for o in transcript.outcomes))
    )


def _shut_down(flight: Flight) -> bool:
    return any(line.startswith(b"421") for line in flight.heard)


def _violation(stage: str) -> str:
    return f"! RemoteProtocolError - {stage}"


def by_message(transcript: Transcript) -> list[list[str]]:
    """Split the outcomes by message; none was tried if the opening came to grief."""
    messages: list[list[str]] = []
    rest = transcript.outcomes
    for message in transcript.messages:
        size = len(message.recipients) + (rest[:1] != [] and rest[0].startswith("!"))
        if len(rest) < size:
            break
        messages.append(rest[:size])
        rest = rest[size:]
    return messages


class Account(NamedTuple):
    """A line that tells what became of a recipient."""

    address: str
    outcome: str
    code: str
    stage: str
    temporary: str

    def __str__(self) -> str:
        return "= " + " ".join(filter(None, self))


_ACCOUNT: Final = re.compile(r"= (.+) ([A-Z_]+) (\d+|-) (\w+)(?: (temporary))?")


def accounts(lines: list[str]) -> list[Account]:
    """Read the lines that tell of recipients."""
    return [
        Account(*told.groups(default=""))
        for told in map(_ACCOUNT.fullmatch, lines)
        if told is not None
    ]


class Said(NamedTuple):
    """A command of a flight."""

    verb: Verb
    stage: Stage


_VERBS: Final = {verb.value.encode(): verb for verb in Verb} | dict.fromkeys(
    (b"EHLO", b"HELO", b"LHLO"), Verb.HELLO
)


def said_in_flights(transcript: Transcript) -> Iterator[list[Said]]:
    """Give the commands of each flight; connecting is one."""
    prompt = b""
    for flight in transcript.flights:
        yield [Said(verb, STAGES[verb]) for verb in _verbs(flight.said, prompt)]
        prompt = flight.heard[-1][:3] if flight.heard else b""


def _verbs(said: bytes, prompt: bytes) -> Iterator[Verb]:
    """Give the verbs of a flight, which came behind a reply of this code."""
    if not said:
        yield Verb.CONNECT
    elif prompt == b"354":
        yield Verb.CONTENT
    elif prompt == b"334":
        yield Verb.RESPONSE
    else:
        while said:
            line, _, said = said.partition(b"\r\n")
            word, *arguments = line.split()
            if word == b"BDAT":
                said = said[int(arguments[0]) :]
            yield Verb.LAST if arguments[1:] == [b"LAST"] else _VERBS[word]


def beginnings(flights: list[list[Said]]) -> Iterator[int]:
    """Tell with which flights a transaction begins; RSET may go before MAIL."""
    cleared = False
    for index, flight in enumerate(flights):
        verbs = [command.verb for command in flight]
        if verbs[0] is Verb.RSET or (verbs[0] is Verb.MAIL and not cleared):
            yield index
        cleared = verbs == [Verb.RSET]


def _decided(
    told: list[Account], said: Counter[Verb], *, ended: bool
) -> Iterator[tuple[Account, bool]]:
    """Tell of each recipient whether it was decided once so much had been said."""
    asked = 0
    for account in told:
        local = account.stage == Stage.LOCAL.value
        asked += not local
        yield (
            account,
            account.outcome != "NOT_SENT"
            and (
                ended
                or local
                or (account.stage == Stage.MAIL.value and said[Verb.MAIL] > 0)
                or (account.stage == Stage.RCPT.value and asked <= said[Verb.RCPT])
            ),
        )
