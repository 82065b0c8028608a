"""The chronicle of a message: what is told of it, from its beginning to its end."""

from __future__ import annotations

import itertools
from time import perf_counter
from typing import Final

from esmtp_async._events import MessageFinished, MessageStarted, TransactionStarted
from esmtp_async._observer import Observer
from esmtp_async.protocol._content import MailData
from esmtp_async.protocol._outcomes import RecipientResult

_numbers: Final = itertools.count(1)


class Chronicle:
    """Tells of one message; there is none where nobody listens.

    `batch_index` is which one of `send_many` it is.
    """

    def __init__(
        self,
        observe: Observer,
        message_id: str | None,
        recipients: int,
        batch_index: int | None,
    ) -> None:
        self._observe = observe
        self._message_id = message_id
        self._number = next(_numbers)
        self._batch_index = batch_index
        self._begun = perf_counter()
        self._transactions = 0
        self._connection: int | None = None
        self._content: MailData | None = None
        server, protocol = observe.server, observe.protocol
        observe(
            MessageStarted(
                self._number, message_id, recipients, server, protocol, batch_index
            )
        )

    def transact(self, connection: int, recipients: int, content: MailData) -> None:
        """Tell that a transaction for so many recipients begins on a connection."""
        self._transactions += 1
        self._connection, self._content = connection, content
        size = content.size
        self._observe(TransactionStarted(self._number, connection, recipients, size))

    def end(
        self,
        results: tuple[RecipientResult, ...],
        error: BaseException | None,
        raised: BaseException | None,
    ) -> None:
        """Tell what became of it."""
        content = self._content
        size = None
        if content is not None:
            size = content.read_so_far if content.size is None else content.size
        self._observe.end(
            MessageFinished(
                self._message_id,
                results,
                error,
                message=self._number,
                raised=raised,
                connection=self._connection,
                transactions=self._transactions,
                size=size,
                duration=perf_counter() - self._begun,
                batch_index=self._batch_index,
            )
        )
