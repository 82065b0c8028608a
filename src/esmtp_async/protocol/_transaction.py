"""The mail transaction: one attempt to convey one message (RFC 5321 §3.3).

It says the envelope and the mail data in the order and the groups that the
session allows; its ledger keeps account of every recipient by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from esmtp_async.protocol import _needs as needs
from esmtp_async.protocol import _states as states
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
from esmtp_async.protocol._ledger import Ledger
from esmtp_async.protocol._outcomes import Stage
from esmtp_async.protocol._session import Session
from esmtp_async.protocol._ways import CHUNKS, EAGER, GROUPS, TRAINS

# Commands without arguments, always the same.
_RSET: Final = Rset()
_DATA: Final = Data()


class Transaction(Ledger):
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
        super().__init__(envelope)
        self._content = content
        self._all_or_nothing = all_or_nothing
        self._may_chunk = chunks or content.is_binary
        self._eager = eager and chunks and not all_or_nothing
        #: The ways that it went, by which a server may break.
        self.used: int = 0
        #: Whether the next envelope may be on its way behind its mail data.
        self.is_followed: bool = False

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
            if session.projected is states.INDET:
                yield _RSET  # nothing else may come before it (RFC 3030 §2)
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

    @property
    def suspects(self) -> int:
        """The ways that the server may break on at this point."""
        if not self.content_begun:
            return self.used
        # All before the mail data was answered, unless they flew with it.
        answered = GROUPS if self.is_followed else GROUPS | TRAINS
        return self.used & ~answered

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
            self.left_out: frozenset[str] = needs.left_out(
                envelope, self._content, session
            )
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
        self.content_begun: bool = True
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
