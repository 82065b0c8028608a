"""A delivery: one message, the attempts to convey it, and what came of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from esmtp_async._chronicle import Chronicle
from esmtp_async._connection import Connection
from esmtp_async._messages import Outgoing
from esmtp_async._observer import Observer
from esmtp_async._pace import Pace
from esmtp_async._pool import Pool
from esmtp_async._progress import Progress
from esmtp_async._receipts import Receipt, failure_of
from esmtp_async._transport import TLSInfo
from esmtp_async.protocol._events import Owner
from esmtp_async.protocol._exceptions import (
    ConnectionLost,
    NotSupported,
    ProtocolViolation,
    SMTPError,
    StageTimeout,
)
from esmtp_async.protocol._extensions import Extensions
from esmtp_async.protocol._outcomes import (
    NOT_SENT,
    UNKNOWN,
    RecipientResult,
    Stage,
)
from esmtp_async.protocol._replies import Reply
from esmtp_async.protocol._transaction import Transaction
from esmtp_async.protocol._ways import CHUNKS, EAGER, GROUPS, RISKY, Ways


def is_break(error: BaseException | None) -> bool:
    """Tell whether a server may have broken on the way that a message went.

    Not one that breaks the protocol, which is not tried once more, nor where somebody
    was slow while the mail data went out.
    """
    if isinstance(error, StageTimeout):
        return error.stage is not Stage.CONTENT
    return isinstance(error, ConnectionLost)


class _Attempt(NamedTuple):
    """A transaction that is under way."""

    transaction: Transaction
    #: For whom, by their positions in the envelope.
    asked: tuple[int, ...]
    connection: Connection

    def results(
        self, error: SMTPError | None, owner: Owner | None
    ) -> tuple[RecipientResult, ...]:
        """Tell what became of those who were asked for."""
        transaction, connection = self.transaction, self.connection
        return transaction.results(
            in_doubt=connection.session.in_doubt(owner or transaction),
            stage=connection.stage if error is None else error.stage,
        )


def at_once(recipients: int, extensions: Extensions, *, all_or_nothing: bool) -> int:
    """Give for how many of the recipients one transaction may be (RFC 9422 §4.2).

    Raises `NotSupported`.
    """
    most = extensions.limits.get("RCPTMAX", recipients)
    if all_or_nothing and most < recipients:
        msg = (
            f"the message is for all {recipients} recipients or for nobody, "
            f"and the server takes {most} at once (LIMITS RCPTMAX)"
        )
        raise NotSupported(msg, extension="LIMITS")
    return most


class Delivery:
    """One message on its way; at any moment it can tell what is known of it.

    Mostly it is one transaction. A server that takes no more recipients in one
    gets the others in further ones (RFC 5321 §4.5.3.1.10, RFC 9422 §4.2), but of
    a stream, which can be read once.
    """

    def __init__(self, outgoing: Outgoing, ways: Ways, *, all_or_nothing: bool) -> None:
        self._outgoing = outgoing
        #: What tells of it; None where nobody listens.
        self.chronicle: Chronicle | None = None
        self._all_or_nothing = all_or_nothing
        self._ways = ways
        self._without = 0  # the ways that it broke on
        self._is_first = False  # to go a way that is not proven
        # By position in the envelope: what is known of each, and who is left.
        count = len(outgoing.envelope.recipients)
        self._known: list[RecipientResult | None] = [None] * count
        self._left = tuple(range(count))
        self._attempt: _Attempt | None = None
        self._retries = 0
        self._progress = Progress()
        # Of what took the message.
        self._reply: Reply | None = None
        self._tls: TLSInfo | None = None
        self._left_out: frozenset[str] = frozenset()
        self._by = "DATA"

    @property
    def message_id(self) -> str | None:
        """The Message-ID, where the message has one."""
        return self._outgoing.message_id

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those who are left, for a further transaction or the first."""
        recipients = self._outgoing.envelope.recipients
        return tuple([recipients[position].address for position in self._left])

    @property
    def needs_closing(self) -> bool:
        """Whether `aclose` has anything to do."""
        return self._outgoing.needs_closing

    @property
    def stage(self) -> Stage:
        """How far it has come."""
        return self._progress.stage

    @property
    def is_complete(self) -> bool:
        """Whether nobody is left for a further transaction."""
        return not self._left and self._attempt is None

    @property
    def is_wary(self) -> bool:
        """Whether it goes without a way that a server may have broken on."""
        return self._without != 0

    @property
    def was_retried(self) -> bool:
        """Whether this is not the first connection."""
        return self._retries > 0

    @property
    def is_decided(self) -> bool:
        """Whether to hold the transaction again could lose something, or double it."""
        return self._attempt is None or self._attempt.transaction.decided

    def announce(self, observe: Observer, batch_index: int | None = None) -> None:
        """Tell that the message begins, and from now on what becomes of it.

        `batch_index` is which one of many it is. Who knows the end tells it.
        """
        recipients = len(self._outgoing.envelope.recipients)
        self.chronicle = Chronicle(observe, self.message_id, recipients, batch_index)

    async def run(self, pool: Pool, pace: Pace) -> None:
        """Convey the message; once more if a pooled connection turns out dead.

        That loses and doubles nothing before the first octet of the mail data and
        the first refusal. Raises what ends the attempt, if it is not a reply.
        """
        try:
            await pace.keep()
            again = False
            while not self.is_complete:
                again = await self._convey(pool, again=again)
        finally:
            self.let_go()
            await self.aclose()

    def let_go(self) -> None:
        """Stand in nobody's way any more."""
        if self._is_first:
            self._ways.tried(self)

    async def aclose(self) -> None:
        """Let go of what the message was read from."""
        await self._outgoing.aclose()

    async def _convey(self, pool: Pool, *, again: bool) -> bool:
        """Hold one transaction; tell whether to hold it again, elsewhere."""
        self._progress = Progress()
        pooled = await pool.acquire(self._progress, fresh=again)
        may_retry = pooled.reused and not again
        try:
            transaction = self.begin(pooled.connection)
            await pooled.connection.run(transaction)
        except (ConnectionLost, ProtocolViolation, StageTimeout) as error:
            dead = may_retry and not isinstance(error, StageTimeout)
            if not dead or self.is_decided:
                if is_break(error) and self.sidestep():
                    return False
                raise
        else:
            if not (may_retry and transaction.shut_down) or self.is_decided:
                self.settle()
                return False
        finally:
            await pool.release(pooled)
        self.begin_again()
        return True

    def begin(self, connection: Connection) -> Transaction:
        """Give a transaction for those who are left, or as many as may be asked for.

        Raises `NotSupported`.
        """
        extensions = connection.session.extensions
        left = len(self._left)
        most = left
        if extensions.limits:
            most = at_once(left, extensions, all_or_nothing=self._all_or_nothing)
        asked = self._left[:most]
        envelope = self._outgoing.envelope
        if len(asked) < len(envelope.recipients):
            some = tuple(envelope.recipients[position] for position in asked)
            envelope = envelope._replace(recipients=some)
        ways = self._choose_ways()
        if not ways & GROUPS and connection.session.pipelining:
            connection.session.in_lockstep()
        content = self._outgoing.mail_data(extensions)
        if self.chronicle is not None:
            self.chronicle.transact(connection.number, len(asked), content)
        transaction = Transaction(
            envelope,
            content,
            all_or_nothing=self._all_or_nothing,
            eager=ways & EAGER != 0,
            chunks=ways & CHUNKS != 0,
        )
        self._left = self._left[len(asked) :]
        self._attempt = _Attempt(transaction, asked, connection)
        return transaction

    def _choose_ways(self) -> int:
        ways = self._ways.usable & ~self._without
        if ways & ~self._ways.proven & EAGER:
            self._is_first = self._ways.may_try(EAGER, self)
            if not self._is_first:
                ways &= ~EAGER
        return ways

    def settle(self) -> None:
        """Keep what the transaction came to; those it had no room for are left."""
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return
        transaction, asked = attempt.transaction, attempt.asked
        self._by = transaction.by
        # All is answered, so nothing is in doubt.
        results = transaction.results(stage=attempt.connection.stage)
        self._learn(zip(asked, results, strict=True))
        final_reply = transaction.final_reply
        if final_reply is not None:
            self._reply, self._tls = final_reply, attempt.connection.tls
            self._left_out |= transaction.left_out
        again = transaction.postponed
        if transaction.has_refusals and (broken := transaction.out_of_step):
            if self._suspect(transaction.used):
                everybody = tuple(range(len(asked)))
                again = everybody if self._all_or_nothing else (*again, *broken)
        elif self._without or transaction.used & ~self._ways.proven:
            self._went_well(transaction)
        if self._spent(transaction):
            self._left = ()
        elif again:
            # Until another transaction decides, it is their refusal that is known.
            self._left = (*[asked[index] for index in again], *self._left)

    def _suspect(self, ways: int) -> bool:
        """Go without the one that the server may have broken on; False: it is none."""
        way = self._ways.suspect(ways & ~self._without)
        self._without |= way
        return way != 0

    def _went_well(self, transaction: Transaction) -> None:
        if not transaction.shut_down:
            self._ways.went_well(transaction.used)
            self._ways.give_up(self._without & ~transaction.used)

    def _learn(self, results: Iterable[tuple[int, RecipientResult]]) -> None:
        for position, result in results:
            self._known[position] = result

    def begin_again(self) -> None:
        """Take it that the transaction never was."""
        if self._attempt is not None:
            self._retries += 1
            self._left = self._attempt.asked + self._left
            self._attempt = None

    def sidestep(self, owner: Owner | None = None) -> bool:
        """Where the connection broke: `resume`, in a safer way than before.

        False where no way is to blame, or the message cannot go once more.
        """
        attempt = self._attempt
        if (
            attempt is None
            or attempt.transaction.has_refusals  # it can tell what it has against us
            or not self._suspect(attempt.transaction.suspects)
        ):
            return False
        if self.resume(owner):
            return True
        if any(result.outcome is UNKNOWN for result in attempt.results(None, owner)):
            # The next message shall not find it out by its own loss.
            self._ways.give_up(self._without & RISKY)
        return False

    def resume(self, owner: Owner | None = None) -> bool:
        """Leave those who certainly have nothing for another transaction.

        False, and nothing changes, where there are none, or that cannot be.
        """
        attempt = self._attempt
        if attempt is None:
            return False
        known = dict(zip(attempt.asked, attempt.results(None, owner), strict=True))
        left = [p for p in known if known[p].outcome is NOT_SENT]
        refused = len(left) < len(known)
        if (
            not left
            or self._spent(attempt.transaction)
            or (refused and self._all_or_nothing)
        ):
            return False
        self._retries += 1
        self._learn((p, known[p]) for p in known if p not in left)
        self._left = (*left, *self._left)
        self._attempt = None
        return True

    def _spent(self, transaction: Transaction) -> bool:
        """Tell whether the mail data have gone out, and cannot be read once more."""
        return transaction.content_begun and self._outgoing.is_stream

    def results(
        self, error: SMTPError | None = None, owner: Owner | None = None
    ) -> tuple[RecipientResult, ...]:
        """Tell what became of each recipient, as far as it is known now.

        `owner` is whose the transaction's commands are, if not its own.
        """
        known = self._known.copy()
        if self._attempt is not None:
            at_hand = self._attempt.results(error, owner)
            for position, result in zip(self._attempt.asked, at_hand, strict=True):
                if result.outcome is not NOT_SENT or known[position] is None:
                    known[position] = result
        recipients = self._outgoing.envelope.recipients
        return tuple(
            [
                result or self._not_sent(recipient.address, error)
                for recipient, result in zip(recipients, known, strict=True)
            ]
        )

    def _not_sent(self, address: str, error: SMTPError | None) -> RecipientResult:
        return RecipientResult(
            address,
            NOT_SENT,
            None if error is None else error.reply,
            self.stage if error is None else error.stage,
            temporary=True if error is None else error.temporary,
        )

    def conclude(
        self, results: tuple[RecipientResult, ...], cause: SMTPError | None
    ) -> Receipt | SMTPError:
        """Give the receipt, or the error, that the results amount to."""
        by = self._by if self._attempt is None else self._attempt.transaction.by
        sender = self._outgoing.envelope.reverse_path
        error = failure_of(results, cause, by, sender)
        if error is not None:
            return error
        self.settle()
        if self._reply is None:
            msg = "somebody accepted a message that was never sent"
            raise RuntimeError(msg)
        return Receipt(
            recipients=results,
            reply=self._reply,
            tls=self._tls,
            message_id=self.message_id,
            attempts=1 + self._retries,
            left_out=self._left_out,
            by=self._by,
        )
