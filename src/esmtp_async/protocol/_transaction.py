"""The mail transaction: one attempt to convey one message (RFC 5321 §3.3).

It says the envelope and the mail data in the order and the groups that the
session allows, and keeps account of every recipient by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from esmtp_async.protocol import _needs as needs
from esmtp_async.protocol import _outcomes as outcomes
from esmtp_async.protocol import _replies as replies
from esmtp_async.protocol import _states as states
from esmtp_async.protocol import _verbs as verbs
from esmtp_async.protocol._asks import WAIT, Fetch
from esmtp_async.protocol._commands import (
    Bdat,
    Command,
    Content,
    Data,
    Mail,
    Rcpt,
    Rset,
)
from esmtp_async.protocol._content import BLOCK, DotStuffer, MailData, terminated
from esmtp_async.protocol._envelope import Envelope
from esmtp_async.protocol._exceptions import NotSupported
from esmtp_async.protocol._exchange import Commands
from esmtp_async.protocol._extensions import Extensions
from esmtp_async.protocol._gateways import Xforward
from esmtp_async.protocol._outcomes import Outcome, RecipientResult, Stage
from esmtp_async.protocol._replies import EnhancedStatus, Reply
from esmtp_async.protocol._session import Session
from esmtp_async.protocol._verbs import END_OF_MAIL_DATA, STAGES
from esmtp_async.protocol._ways import CHUNKS, EAGER, GROUPS, TRAINS

# "Too many recipients" is 452, with 4.5.3 if anything. Old servers say 552, which
# today is for a mailbox over its quota or a message too big (RFC 5321 §4.5.3.1.10).
_TOO_MANY: Final = EnhancedStatus(4, 5, 3)
_TOO_BIG: Final = frozenset({EnhancedStatus(5, 2, 2), EnhancedStatus(5, 3, 4)})


# Commands without arguments, always the same.
_RSET: Final = Rset()
_DATA: Final = Data()

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


class Transaction:
    """One attempt to convey one message, and what became of each recipient.

    `all_or_nothing` ends the attempt before the mail data if any recipient is
    refused. `eager` sends the mail data in the same group as the envelope, if
    they are at most one block and the server offers CHUNKING: one round trip,
    past the letter of RFC 3030 §2. Without `chunks` no BDAT is said, but for what
    only BDAT can carry.
    """

    def __init__(
        self,
        envelope: Envelope,
        content: MailData,
        *,
        all_or_nothing: bool = False,
        eager: bool = False,
        chunks: bool = True,
    ) -> None:
        #: Who it is from and for.
        self.envelope = envelope
        self._content = content
        self._all_or_nothing = all_or_nothing
        self._may_chunk = chunks or content.is_binary
        self._eager = eager and chunks and not all_or_nothing
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
        #: The ways that it went, by which a server may break.
        self.used: int = 0
        #: Whether the next envelope may be on its way behind its mail data.
        self.is_followed: bool = False
        #: Whether anybody was refused, for whatever it was.
        self.has_refusals: bool = False
        # What decided for all: MAIL's refusal, DATA's or a chunk's, a 421.
        self._mail: Verdict | None = None
        self._data: Verdict | None = None
        self._shutdown: Verdict | None = None
        # The replies to the end of the mail data: one, or LMTP's several.
        self._final: list[Reply] = []

    def commands(self, session: Session) -> Commands:
        """Yield the commands; raises `NotSupported`, mostly before the first."""
        self._lmtp = session.lmtp
        selected = None
        try:
            selected = self._select(session)
        except NotSupported:
            if not session.peer.may_offer_more:
                raise
        falls_short = self._lacking or self.left_out
        if selected is None or (falls_short and session.peer.may_offer_more):
            yield session.peer.hello
            selected = self._select(session)
        before, mail, asking = selected
        if session.pipelining:
            self.used |= GROUPS
        if session.projected is not states.READY:
            yield _RSET
        yield from before
        yield mail
        yield from asking
        if self._all_or_nothing:
            yield WAIT
            if len(self._accepted) < len(self._asked):
                return
        if self._chunks(session.extensions):
            self.by = "BDAT"
            yield from self._say_chunks(session)
        else:
            yield from self._say_data(session)

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
    def suspects(self) -> int:
        """The ways that the server may break on at this point."""
        if not self.content_begun:
            return self.used
        # All before the mail data was answered, unless they flew with it.
        answered = GROUPS if self.is_followed else GROUPS | TRAINS
        return self.used & ~answered

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

    def _select(self, session: Session) -> tuple[list[Xforward], Mail, list[Rcpt]]:
        """Choose the recipients that the server's extensions can serve.

        Gives the commands that say the envelope.
        """
        lacking = None
        envelope = self.envelope
        self._asked, self._lacking = [], set()
        asking: list[Rcpt] = []
        for index, recipient in enumerate(envelope.recipients):
            try:
                asking.append(needs.rcpt(recipient, session, envelope.preferred))
            except NotSupported as error:
                self._lacking.add(index)
                lacking = error
            else:
                self._asked.append(index)
        if lacking and (self._all_or_nothing or not self._asked):
            raise lacking
        if envelope.preferred:
            self.left_out = needs.left_out(envelope, self._content, session)
        self._unsupported = True  # unless nothing is missing
        parameters = needs.mail_parameters(
            envelope, self._asked, self._content, session
        )
        forwarded: list[Xforward] = []
        if envelope.forwarded:
            forwarded = Xforward.lines(
                needs.served(envelope.forwarded, session, envelope.preferred)
            )
        self._unsupported = False
        return forwarded, Mail(envelope.reverse_path, parameters), asking

    # How the mail data are said

    def _chunks(self, extensions: Extensions) -> bool:
        """Choose BDAT: to fly eagerly, for a stream to be stopped, or for binary."""
        content = self._content
        return (
            self._may_chunk
            and "CHUNKING" in extensions
            and (self._eager or content.is_stream or content.is_binary)
        )

    def _say_data(self, session: Session) -> Commands:
        yield _DATA
        if session.state is not states.DATA:
            return
        self.content_begun = True
        if not self._accepted:
            # 354 although nobody was accepted: a lone dot (RFC 2920 §3.1).
            yield Content()
        elif self._is_one_block:
            yield Content.piece(terminated(self._content.octets), more=False)
        else:
            stuffer = DotStuffer()
            yield from self._blocks(
                session.extensions,
                lambda block: Content.piece(stuffer.feed(block), more=True),
            )
            # A write of its own: the commit point is as late as it can be.
            yield Content.piece(b".\r\n", more=False)

    def _say_chunks(self, session: Session) -> Commands:
        if not (self._eager and self._is_one_block):
            # BDAT only after all replies to MAIL and RCPT (RFC 3030 §2).
            yield WAIT
            if not self._accepted:
                return
        elif session.pipelining:
            self.used |= EAGER
        if not self._content.is_binary:
            self.used |= CHUNKS
        self.content_begun = True
        if self._is_one_block:
            yield Bdat(self._content.octets, last=True)
        else:
            yield from self._blocks(session.extensions, Bdat)
            yield Bdat(b"", last=True)

    @property
    def _is_one_block(self) -> bool:
        content = self._content
        return not content.is_stream and len(content.octets) <= BLOCK

    def _blocks(
        self, extensions: Extensions, make: Callable[[bytes], Command]
    ) -> Commands:
        if not self._content.is_stream:
            octets = self._content.octets
            for start in range(0, len(octets), BLOCK):
                yield make(octets[start : start + BLOCK])
            return
        size = 0
        while block := (yield Fetch(Stage.CONTENT, self._content.read)):
            size += len(block)
            try:
                needs.check_size(size, extensions)
                needs.check_block(block, self._content, extensions)
            except NotSupported:
                self._unsupported = True
                raise
            yield make(block)

    # What became of it

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
