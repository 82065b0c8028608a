"""A carrier: takes messages from a desk, and sends them by one connection at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from esmtp_async._delivery import is_break
from esmtp_async._desk import Desk, Job
from esmtp_async._pool import Pool
from esmtp_async._progress import Progress
from esmtp_async._roster import Pooled
from esmtp_async.protocol._exceptions import NotDelivered, SMTPError, StageTimeout
from esmtp_async.protocol._outcomes import Stage
from esmtp_async.protocol._series import Place, Series
from esmtp_async.protocol._transaction import Transaction
from esmtp_async.protocol._ways import CHUNKS, EAGER, GROUPS, TRAINS, Ways


class Window:
    """How many messages may be under way at once: fewer after trouble."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = most

    def note(self, error: SMTPError | None) -> None:
        """Halve it by what may pass, and widen it by one for what went well."""
        if error is None:
            self.size = min(self._most, self.size + 1)
        elif error.temporary:
            self.size = max(1, self.size // 2)


class Carriers:
    """What the carriers of one batch have in common."""

    def __init__(
        self, desk: Desk, pool: Pool, ways: Ways, window: int, most: int
    ) -> None:
        self.desk = desk
        self.pool = pool
        self.ways = ways
        self.window = Window(window)
        #: Carriers that there may be.
        self.most = most
        #: Those that are at work, and those of them that wait for some.
        self.working = 0
        self.idle = 0
        #: Why no connection will ever be ready for mail, once that is known.
        self.hopeless: SMTPError | None = None


class Carrier:
    """One connection at a time, and the messages that it takes along."""

    def __init__(self, common: Carriers) -> None:
        self._common = common
        self._desk = common.desk
        self._pool = common.pool
        self._pooled: Pooled
        self._series: Series
        # Those that are under way.
        self._jobs: dict[Transaction, Job] = {}
        self._fresh = False  # what lies idle in the pool is not trusted

    async def work(self) -> None:
        """Carry messages until none will come any more, or others do better alone."""
        desk, common = self._desk, self._common
        common.working += 1
        try:
            while not desk.is_done:
                if not desk.has_work:
                    await self._rest()
                elif not await self._set_out():
                    common.most = common.working - 1
                    return
        finally:
            common.working -= 1
            desk.work.ring()

    async def _rest(self) -> None:
        self._common.idle += 1
        try:
            await self._desk.work.wait()
        finally:
            self._common.idle -= 1

    async def _set_out(self) -> bool:
        """Get a connection and use it; False: there is none, and there are others."""
        common, desk = self._common, self._desk
        try:
            if common.hopeless is not None:
                raise copy.copy(common.hopeless)
            self._pooled = await self._pool.acquire(
                Progress(), fresh=self._fresh, patient=True
            )
        except SMTPError as error:
            if not error.temporary:
                common.hopeless = error
            elif common.working > 1:
                return False
            if desk.has_work:
                desk.conclude(desk.take(), error)
            return True
        try:
            await self._ride()
        finally:
            common.ways.tried(self)
            await self._pool.release(self._pooled)
            await desk.tidy()
        return True

    async def _ride(self) -> None:
        """Send messages until none waits, or the connection has had enough."""
        pooled = self._pooled
        self._fresh = False
        pooled.messages -= 1  # each is counted as it is taken along
        self._series = series = Series(self._take, self._settled, self._room)
        failure: SMTPError | None = None
        try:
            await pooled.connection.run(series)
        except SMTPError as error:
            failure = error
        except Exception as error:  # noqa: BLE001  # whatever the message's source raised
            msg = f"the message could not be read: {error!r}"
            failure = NotDelivered(msg, stage=Stage.CONTENT)
            failure.__cause__ = error
        except BaseException as error:
            for place in series:
                self._desk.tell(self._jobs.pop(place.transaction), error, place)
            raise
        self._desk.give_back(list(self._stranded(failure)))
        self._fresh = pooled.reused and not pooled.connection.session.reusable

    def _room(self) -> int:
        """Tell how many messages may be under way at once.

        Of what the server has not borne yet, that is an eager flight alone, or one
        train of two messages, on one of all connections. And what a server broke on
        once goes alone.
        """
        ways, most = self._common.ways, self._common.window.size
        if not (ways.usable & TRAINS and ways.usable & GROUPS):
            return 1
        untried = ways.usable & ~ways.proven & ~CHUNKS  # which disturb no neighbour
        if untried and self._goes_alone(untried):
            return 1
        if untried & TRAINS:
            return min(most, 2 if ways.may_try(TRAINS, self) else 1)
        return most

    def _goes_alone(self, untried: int) -> bool:
        """Tell whether nothing may follow what is under way, or go behind it."""
        if untried & EAGER and any(p.transaction.used & EAGER for p in self._series):
            return True
        wary = any(job.delivery.is_wary for job in self._jobs.values())
        return wary or self._desk.is_wary

    def _take(self) -> Transaction | None:
        """Take the next message along, if there is one and the connection may."""
        pooled, desk = self._pooled, self._desk
        while desk.has_work and self._pool.may_carry(pooled):
            job = desk.take()
            if not desk.may_begin(job):
                return None
            try:
                transaction = job.delivery.begin(pooled.connection)
            except SMTPError as error:
                desk.conclude(job, error)
            else:
                pooled.messages += 1
                self._jobs[transaction] = job
                return transaction
        return None

    def _settled(self, place: Place) -> None:
        """Tell what became of a message; it may have recipients that are left."""
        job = self._jobs.pop(place.transaction)
        if place.error is None:
            job.delivery.settle()
            if not job.delivery.is_complete:
                self._desk.give_back([job])
                return
        result = self._desk.conclude(job, place.error)
        self._common.window.note(result.error)

    def _stranded(self, failure: SMTPError | None) -> Iterator[Job]:
        """Go through what was under way when the series ended; give what goes again.

        Whose reply was awaited has one more try, if nothing is decided and nobody's
        time was up, and then further ones in safer ways. The others had no part in
        it: they go again, if nothing of them can have been taken.
        """
        for number, place in enumerate(self._series):
            job = self._jobs.pop(place.transaction)
            delivery = job.delivery
            if number > 0:
                again = delivery.resume(place)
            elif not (
                delivery.is_decided
                or delivery.was_retried
                or isinstance(failure, StageTimeout)
            ):
                delivery.begin_again()
                again = True
            else:
                again = is_break(failure) and delivery.sidestep(place)
            if again:
                yield job
            else:
                result = self._desk.conclude(job, failure, place)
                self._common.window.note(result.error)
