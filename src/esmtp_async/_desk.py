"""The desk of a batch: messages that wait for a connection, and what became of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from esmtp_async._delivery import Delivery
from esmtp_async._loops import Bell
from esmtp_async._receipts import SendResult
from esmtp_async.protocol._events import Owner
from esmtp_async.protocol._exceptions import SMTPError

#: Is told of a message that is about to go out: which one, and for whom.
Begin = Callable[[int, tuple[str, ...]], object]


class Job(NamedTuple):
    """One message of a batch."""

    #: Which one, counted from 0.
    number: int
    #: As it was given.
    message: object
    delivery: Delivery


class Desk:
    """Takes messages in, and gives results out.

    It counts those that were taken in and whose result was not given out: there
    are never more than `room`.
    """

    def __init__(self, room: int, *, ordered: bool, begin: Begin | None = None) -> None:
        self._begin = begin
        self._room = room
        self._ordered = ordered
        self._waiting: deque[Job] = deque()
        self._results: dict[int, SendResult] = {}
        self._given = 0
        self._taken = 0
        self._undecided = 0  # messages whose result is not known
        #: Whether no further message is taken in.
        self.is_closed = False
        #: What went wrong beside the messages.
        self.failure: Exception | None = None
        # Whose messages were read from something that is to be closed.
        self._spent: list[Delivery] = []
        #: Rings when there is room again, when a message waits, when a result came.
        self.room, self.work, self.news = Bell(), Bell(), Bell()

    @property
    def has_room(self) -> bool:
        """Whether another message may be taken in."""
        return self._taken - self._given < self._room

    @property
    def has_work(self) -> bool:
        """Whether a message waits."""
        return bool(self._waiting)

    @property
    def is_wary(self) -> bool:
        """Whether a server broke on the message that waits longest."""
        return bool(self._waiting) and self._waiting[0].delivery.is_wary

    @property
    def is_done(self) -> bool:
        """Whether no further message comes, and all results are known."""
        return self.is_closed and not self._undecided

    def number(self) -> int:
        """Count a message in; give its number."""
        self._taken += 1
        self._undecided += 1
        return self._taken - 1

    def wait(self, job: Job) -> None:
        """Let a message wait for a connection."""
        self._waiting.append(job)
        self.work.ring()

    def take(self) -> Job:
        """Give the message that waits longest."""
        return self._waiting.popleft()

    def may_begin(self, job: Job) -> bool:
        """Say that a message is about to go out; if nobody may hear that, none does."""
        if self._begin is None:
            return True
        try:
            self._begin(job.number, job.delivery.addresses)
        except Exception as error:  # noqa: BLE001  # the caller's own
            self.give_back([job])
            self.close(error)
            return False
        return True

    def give_back(self, jobs: list[Job]) -> None:
        """Let messages wait that have their turn first."""
        if jobs:
            self._waiting.extendleft(reversed(jobs))
            self.work.ring()

    def conclude(
        self, job: Job, cause: SMTPError | None = None, owner: Owner | None = None
    ) -> SendResult:
        """Post what became of a message whose commands were `owner`'s."""
        delivery = job.delivery
        results = delivery.results(cause, owner)
        told = delivery.conclude(results, cause)
        result = SendResult(job.number, job.message, told)
        if delivery.chronicle is not None:
            delivery.chronicle.end(results, cause, result.error)
        self.post(result)
        self._put_away(delivery)
        return result

    def post(self, result: SendResult) -> None:
        """Let a result wait for whoever takes it."""
        self._undecided -= 1
        self._results[result.index] = result
        self.news.ring()
        if self.is_done:
            self.work.ring()

    def collect(self) -> SendResult | None:
        """Give the next result, if it is there."""
        if self._ordered:
            result = self._results.pop(self._given, None)
        elif self._results:
            result = self._results.pop(next(iter(self._results)))
        else:
            return None
        if result is not None:
            self._given += 1
            if self._taken - self._given <= self._room // 2:
                self.room.ring()
        return result

    def close(self, failure: Exception | None = None) -> None:
        """Take in no more; after a failure, give up those that wait."""
        self.is_closed = True
        if failure is not None:
            self.failure = failure
            self.give_up(failure)
        self.room.ring()
        self.news.ring()
        self.work.ring()

    def give_up(self, cause: BaseException) -> None:
        """Tell of those that wait that it came to nothing."""
        while self._waiting:
            self._undecided -= 1
            self.tell(self._waiting.popleft(), cause)

    def tell(self, job: Job, cause: BaseException, owner: Owner | None = None) -> None:
        """Tell what is known of a message that is given up: it has no result."""
        delivery = job.delivery
        if delivery.chronicle is not None:
            delivery.chronicle.end(delivery.results(None, owner), cause, cause)
        self._put_away(delivery)

    def _put_away(self, delivery: Delivery) -> None:
        delivery.let_go()
        if delivery.needs_closing:
            self._spent.append(delivery)

    async def tidy(self) -> None:
        """Close what the messages that are done were read from."""
        while self._spent:
            await self._spent.pop().aclose()
