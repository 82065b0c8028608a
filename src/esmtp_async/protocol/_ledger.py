"""What became of each recipient of a transaction, by the replies (RFC 5321 §3.3).

The replies are counted, never guessed: they come in the order of the commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from esmtp_async.protocol import _outcomes as outcomes
from esmtp_async.protocol import _replies as replies
from esmtp_async.protocol import _verbs as verbs
from esmtp_async.protocol._commands import Command
from esmtp_async.protocol._envelope import Envelope
from esmtp_async.protocol._outcomes import Outcome, RecipientResult, Stage
from esmtp_async.protocol._replies import EnhancedStatus, Reply
from esmtp_async.protocol._verbs import END_OF_MAIL_DATA, STAGES

# "Too many recipients" is 452, with 4.5.3 if anything. Old servers say 552, which
# today is for a mailbox over its quota or a message too big (RFC 5321 §4.5.3.1.10).
_TOO_MANY: Final = EnhancedStatus(4, 5, 3)
_TOO_BIG: Final = frozenset({EnhancedStatus(5, 2, 2), EnhancedStatus(5, 3, 4)})

_FINAL: Final = Stage.FINAL
_RCPT: Final = Stage.RCPT
# Where there is no turn to be out of, by the command that the mail data go by.
_IN_TURN: Final = {
    "DATA": frozenset({Stage.RCPT, Stage.DATA}),
    "BDAT": frozenset({Stage.RCPT, Stage.DATA, Stage.FINAL}),
}

#: Codes that tell of commands that are not known, or come out of turn.
_OUT_OF_STEP: Final = frozenset({500, 502, 503})

#: A reply that decided something, and where.
Verdict = tuple[Reply, Stage]


class Ledger:
    """The account of one transaction: who was asked for, and what was replied."""

    def __init__(self, envelope: Envelope) -> None:
        #: Who it is from and for.
        self.envelope: Envelope = envelope
        self._lmtp = False
        # Recipients by position: those asked for, in order; the replies to
        # them; those that need what the server lacks.
        self._asked: list[int] = []
        self._replies: dict[int, Reply] = {}
        self._taken: dict[int, int] = {}  # accepted at RCPT, to which of them it is
        self._lacking: set[int] = set()
        #: Extensions that were preferred, and whose parameters were left out.
        self.left_out: frozenset[str] = frozenset()
        self._unsupported = False
        #: Whether an octet of the mail data may have been sent.
        self.content_begun: bool = False
        #: The command that the mail data go by.
        self.by: str = "DATA"
        #: Whether anybody was refused, for whatever it was.
        self.has_refusals: bool = False
        # What decided for all: MAIL's refusal, DATA's or a chunk's, a 421.
        self._mail: Verdict | None = None
        self._data: Verdict | None = None
        self._shutdown: Verdict | None = None
        # The replies to the end of the mail data: one, or LMTP's several.
        self._final: list[Reply] = []

    def replied(self, command: Command | None, reply: Reply) -> None:
        """Take a reply to one of the commands, or a 421 to none."""
        verb = None if command is None else command.verb
        stage = Stage.COMMAND if verb is None else STAGES[verb]
        refused = reply.refused
        if refused:
            self.has_refusals = True
        if refused and (verb is None or reply.severity is replies.SHUTDOWN):
            self._shutdown = (reply, stage)
        elif verb is verbs.RCPT:
            index = self._asked[len(self._replies)]
            self._replies[index] = reply
            if not refused:
                self._taken[index] = len(self._taken)
        elif verb in END_OF_MAIL_DATA:
            self._final.append(reply)
        elif not refused or verb is verbs.HELLO:
            return
        elif verb is verbs.XFORWARD:
            self.left_out |= {"XFORWARD"}  # it is but for the server's log
        elif verb is verbs.MAIL:
            self._mail = (reply, stage)
        elif self._data is None:
            # DATA, or the first chunk refused: the next ones had no chance.
            self._data = (reply, stage)

    def results(
        self, *, in_doubt: bool = False, stage: Stage = Stage.LOCAL
    ) -> tuple[RecipientResult, ...]:
        """Tell what became of each recipient, in the envelope's order.

        `in_doubt`: the end of the mail data was on its way, and its reply never
        came. `stage`: where the attempt ended, for those no reply decided.
        """
        return tuple(
            [
                self._result(index, recipient.address, stage, in_doubt=in_doubt)
                for index, recipient in enumerate(self.envelope.recipients)
            ]
        )

    @property
    def decided(self) -> bool:
        """Whether another attempt could lose something that is known by this one.

        That is a refusal, but for a 421's, or where the mail data may have gone.
        """
        return (
            self.content_begun
            or self._mail is not None
            or self._data is not None
            or any(reply.refused for reply in self._replies.values())
        )

    @property
    def shut_down(self) -> bool:
        """Whether the server ended the session with a 421."""
        return self._shutdown is not None

    @property
    def final_reply(self) -> Reply | None:
        """The reply that took the message, or else the last one to its end."""
        for reply in reversed(self._final):
            if not reply.refused:
                return reply
        return self._final[-1] if self._final else None

    @property
    def out_of_step(self) -> tuple[int, ...]:
        """The positions refused as if commands were unknown, or had come out of turn.

        By what it offers, and by its own replies before, they were neither.
        """
        return tuple(
            index
            for index in self._asked
            if (verdict := self._verdict(index)) is not None
            and verdict[0].code in _OUT_OF_STEP
            and verdict[1] in _IN_TURN[self.by]
        )

    @property
    def postponed(self) -> tuple[int, ...]:
        """The positions refused only because there were too many, of a message taken.

        The server asks for another transaction for them (RFC 5321 §4.5.3.1.10).
        """
        if len(self._taken) == len(self._replies):
            return ()  # nobody was refused
        final_reply = self.final_reply
        if final_reply is None or final_reply.refused or not self._accepted:
            return ()
        return tuple(
            index
            for index, reply in self._replies.items()
            if reply.refused and self._too_many(index, reply)
        )

    @property
    def _accepted(self) -> Mapping[int, int]:
        """The positions accepted at RCPT, of a MAIL that was accepted, numbered."""
        return self._taken if self._mail is None else {}

    def _result(
        self, index: int, address: str, stage: Stage, *, in_doubt: bool
    ) -> RecipientResult:
        verdict = self._verdict(index)
        if index in self._lacking or (self._unsupported and verdict is None):
            return RecipientResult(
                address, Outcome.REFUSED, None, Stage.LOCAL, temporary=False
            )
        if verdict is not None:
            reply, where = verdict
            if not reply.refused:
                return RecipientResult(
                    address, outcomes.ACCEPTED, reply, where, temporary=False
                )
            too_many = where is _RCPT and self._too_many(index, reply)
            temporary = reply.temporary or too_many
            return RecipientResult(address, outcomes.REFUSED, reply, where, temporary)
        if in_doubt:
            return RecipientResult(
                address, Outcome.UNKNOWN, None, Stage.FINAL, temporary=True
            )
        return RecipientResult(address, Outcome.NOT_SENT, None, stage, temporary=True)

    def _verdict(self, index: int) -> Verdict | None:
        """Give the reply that decided for a recipient: the earliest refusal."""
        if self._mail is not None:
            return self._mail
        reply = self._replies.get(index)
        if reply is not None and reply.refused:
            return (reply, _RCPT)
        if self._data is not None:
            return self._data
        if reply is not None and self._final:
            # LMTP replies once for each accepted recipient, in their order.
            position = self._taken[index] if self._lmtp else 0
            if position < len(self._final):
                return (self._final[position], _FINAL)
        return self._shutdown

    def _too_many(self, index: int, reply: Reply) -> bool:
        """Tell whether a refusal at RCPT means no more than "too many recipients"."""
        status = reply.enhanced_status
        if next(iter(self._taken), index) >= index:  # they come in order
            return False
        match reply.code:
            case 452:
                return status is None or status == _TOO_MANY
            case 552:
                return status not in _TOO_BIG
        return False
