"""A delivery: one message, the attempts to convey it, and what came of them."""

from __future__ import annotations

from esmtp_async._connection import Connection
from esmtp_async._messages import Outgoing
from esmtp_async._pace import Pace
from esmtp_async._pool import Pool
from esmtp_async._progress import Progress
from esmtp_async._receipts import Receipt, failure_of
from esmtp_async.protocol._exceptions import (
    ConnectionLost,
    ProtocolViolation,
    SMTPError,
)
from esmtp_async.protocol._outcomes import Outcome, RecipientResult, Stage
from esmtp_async.protocol._transaction import Transaction


class Delivery:
    """One message on its way; at any moment it can tell what is known of it."""

    def __init__(
        self, outgoing: Outgoing, *, all_or_nothing: bool, eager: bool
    ) -> None:
        self._outgoing = outgoing
        self._all_or_nothing = all_or_nothing
        self._eager = eager
        self._connection: Connection | None = None
        self._transaction: Transaction | None = None
        self._attempts = 0
        self._progress = Progress()

    @property
    def stage(self) -> Stage:
        """How far it has come."""
        return self._progress.stage

    async def run(self, pool: Pool, pace: Pace) -> None:
        """Convey the message; once more if a pooled connection turns out dead.

        That loses and doubles nothing before the first octet of the mail data and
        the first refusal. Raises what ends the attempt, if it is not a reply.
        """
        try:
            await pace.keep()
            await self._convey(pool)
        finally:
            await self._outgoing.aclose()

    async def _convey(self, pool: Pool) -> None:
        while True:
            self._connection = self._transaction = None
            self._attempts += 1
            self._progress = Progress()
            pooled = await pool.acquire(self._progress, fresh=self._attempts > 1)
            try:
                await self._attempt(pooled.connection)
            except (ConnectionLost, ProtocolViolation):
                if not (pooled.reused and self._may_begin_again):
                    raise
            else:
                if not (pooled.reused and self._may_begin_again and self._shut_down):
                    return
            finally:
                await pool.release(pooled)

    async def _attempt(self, connection: Connection) -> None:
        extensions = connection.session.extensions
        self._connection = connection
        self._transaction = Transaction(
            self._outgoing.envelope,
            self._outgoing.mail_data(extensions),
            all_or_nothing=self._all_or_nothing,
            eager=self._eager,
        )
        await connection.run(self._transaction)

    @property
    def _may_begin_again(self) -> bool:
        transaction = self._transaction
        return (
            self._attempts == 1 and transaction is not None and not transaction.decided
        )

    @property
    def _shut_down(self) -> bool:
        return self._transaction is not None and self._transaction.shut_down

    def results(self, error: SMTPError | None = None) -> tuple[RecipientResult, ...]:
        """Tell what became of each recipient, as far as it is known now."""
        transaction, connection = self._transaction, self._connection
        if transaction is None or connection is None:
            stage = self.stage if error is None else error.stage
            return tuple(
                RecipientResult(
                    recipient.address,
                    Outcome.NOT_SENT,
                    None if error is None else error.reply,
                    stage,
                    temporary=True if error is None else error.temporary,
                )
                for recipient in self._outgoing.envelope.recipients
            )
        return transaction.results(
            in_doubt=connection.session.in_doubt(transaction),
            stage=connection.stage if error is None else error.stage,
        )

    def conclude(
        self, results: tuple[RecipientResult, ...], cause: SMTPError | None
    ) -> Receipt:
        """Give the receipt, or raise the error that the results amount to."""
        error = failure_of(results, cause)
        if error is not None:
            raise error
        transaction, connection = self._transaction, self._connection
        if transaction is None or connection is None or not transaction.final_reply:
            msg = "somebody accepted a message that was never sent"
            raise RuntimeError(msg)
        return Receipt(
            recipients=results,
            reply=transaction.final_reply,
            tls=connection.tls,
            message_id=self._outgoing.message_id,
            attempts=self._attempts,
        )
