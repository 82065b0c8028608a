"""A batch: many messages, from their source over some connections to their results.

One task takes messages from the source, no further ahead than the carriers and
whoever takes the results can follow; each carrier has one. There is none for a
message.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
)
from email.message import Message
from enum import Enum, auto
from types import TracebackType
from typing import Final, Literal, Self, TypeGuard

import anyio
from anyio.abc import TaskGroup

from esmtp_async._carrier import Carrier, Carriers
from esmtp_async._delivery import Delivery
from esmtp_async._desk import Begin, Desk, Job
from esmtp_async._messages import Outgoing, Recipients, Sendable, is_file, prepare
from esmtp_async._observer import Observer
from esmtp_async._options import NO_OPTIONS, SendOptions
from esmtp_async._pace import Pace
from esmtp_async._pool import Pool
from esmtp_async._receipts import SendResult
from esmtp_async._signing import Signers
from esmtp_async.protocol._exceptions import InvalidInput, SMTPError, check_type
from esmtp_async.protocol._ways import EAGER, Ways

#: A message with its sender and its recipients.
Addressed = tuple[Sendable, str | None, Recipients | None]
#: What a batch is made of.
Entry = Sendable | Addressed
#: Where messages come from.
Source = Iterable[Entry] | AsyncIterable[Entry]

#: What is one message, though it can be gone through.
_ONE: Final = (Message, str, bytes, bytearray, memoryview)

#: Messages that may wait, or whose results may, beside those under way.
_AHEAD: Final = 16
#: Messages under way at once where the mail data wait for DATA's reply: of the second
#: one the envelope is.
_TWO: Final = 2
#: Seconds that a source may take to be closed.
_CLOSING: Final = 1.0
#: What a tuple holds: a message, its sender, its recipients.
_THREE: Final = 3


class _End(Enum):
    """The end of the source."""

    END = auto()


_END: Final = _End.END

#: Messages under way at once on a connection, unless told otherwise.
WINDOW: Final = 20


class GivenUp(Exception):
    """What `MessageFinished.error` is where the results were not waited for."""


class Batch:
    """Messages that are being sent, and their results as they come.

    It is entered before it is iterated over; to leave it early gives up whatever
    is not finished, and tells `on_event` what became of that.
    """

    def __init__(
        self,
        source: Source,
        pool: Pool,
        pace: Pace,
        observe: Observer,
        ways: Ways,
        *,
        window: int,
        connections: int,
        ordered: bool,
        options: SendOptions = NO_OPTIONS,
        signers: Signers = (),
        begin: Begin | None = None,
    ) -> None:
        under_way = connections * (window if ways.usable & EAGER else _TWO)
        self._source = source
        self._pace = pace
        self._observe = observe
        self._ways = ways
        self._options = options
        self._signers = signers
        room = 2 * under_way + _AHEAD
        self._desk = Desk(room, ordered=ordered, begin=begin)
        self._carriers = Carriers(self._desk, pool, ways, window, connections)
        self._started = 0
        self._tasks: TaskGroup
        self._stands = False  # between its beginning and its end

    async def __aenter__(self) -> Self:
        """Begin to send."""
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._stands = True
        self._tasks.start_soon(self._feed)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give up what is not finished."""
        self._stands = False
        self._tasks.cancel_scope.cancel()
        # The caller's own exception is no business of the tasks.
        cancelled = isinstance(exc, anyio.get_cancelled_exc_class())
        told = (exc_type, exc, traceback) if cancelled else (None, None, None)
        try:
            await self._tasks.__aexit__(*told)
        finally:
            self._desk.give_up(exc or GivenUp())
            self._desk.close()
            with anyio.move_on_after(_CLOSING, shield=True):
                await self._desk.tidy()

    def __aiter__(self) -> Self:
        """Give the results."""
        return self

    async def __anext__(self) -> SendResult:
        """Give the next result; raises what the source raised, behind all results."""
        if not self._stands:
            msg = "use it so: async with client.send_many(...) as results"
            raise RuntimeError(msg)
        desk = self._desk
        while (result := desk.collect()) is None:
            if desk.is_done:
                if desk.failure is not None:
                    raise desk.failure
                raise StopAsyncIteration
            await desk.news.wait()
        return result

    async def _feed(self) -> None:
        """Take messages from the source, as long as there is room for them."""
        try:
            await self._exhaust()
        finally:
            if isinstance(self._source, AsyncGenerator):
                with anyio.move_on_after(_CLOSING, shield=True):
                    await self._source.aclose()

    async def _exhaust(self) -> None:
        """Take all messages; the desk is closed behind the last one, or the failure."""
        desk = self._desk
        try:
            following = _follower(self._source)
            while not desk.is_closed and (entry := await following()) is not _END:
                await self._admit(entry)
                await desk.tidy()
                while not (desk.has_room or desk.is_closed):
                    await desk.room.wait()
        except Exception as error:  # noqa: BLE001  # the source's own
            desk.failure = error
        desk.close()

    async def _admit(self, entry: Entry) -> None:
        """Make a message ready, and let it wait for a connection."""
        desk = self._desk
        number = desk.number()
        try:
            outgoing = await _outgoing(entry, self._options, self._signers)
        except SMTPError as error:
            desk.post(SendResult(number, entry, error))
            return
        delivery = Delivery(outgoing, self._ways, all_or_nothing=False)
        if self._observe.active:
            delivery.announce(self._observe, number)
        job = Job(number, entry, delivery)
        try:
            await self._pace.keep()
        except BaseException as error:
            desk.tell(job, error)
            raise
        desk.wait(job)
        if not self._carriers.idle and self._started < self._carriers.most:
            self._started += 1
            self._tasks.start_soon(self._carry)

    async def _carry(self) -> None:
        try:
            await Carrier(self._carriers).work()
        except RuntimeError as error:  # the client was closed
            self._desk.close(error)


def check_source(source: object) -> None:
    """Refuse what is no source of messages, one message among it."""
    check_type("messages", source, Iterable, AsyncIterable)
    if isinstance(source, _ONE) or is_file(source):
        kind = type(source).__name__
        msg = f"messages is one message, of type {kind}: send it, or put it in a list"
        raise InvalidInput(msg)


def _follower(source: Source) -> Callable[[], Awaitable[Entry | Literal[_End.END]]]:
    """Give what takes the next entry of a source, or `_END`."""
    if isinstance(source, AsyncIterable):
        asynchronous = aiter(source)

        async def follow() -> Entry | Literal[_End.END]:
            return await anext(asynchronous, _END)

    else:
        synchronous = iter(source)

        async def follow() -> Entry | Literal[_End.END]:
            return next(synchronous, _END)

    return follow


def _is_addressed(entry: tuple[object, ...]) -> TypeGuard[Addressed]:
    return len(entry) == _THREE


async def _outgoing(entry: Entry, options: SendOptions, signers: Signers) -> Outgoing:
    """Make a message ready; what cannot be read is no message."""
    addressed: Addressed
    if not isinstance(entry, tuple):
        addressed = entry, None, None
    elif _is_addressed(entry):
        addressed = entry
    else:
        msg = f"a tuple of {len(entry)} is not (message, sender, recipients)"
        raise InvalidInput(msg)
    try:
        return await prepare(*addressed, options, signers)
    except SMTPError:
        raise
    except Exception as error:
        msg = f"the message could not be read: {error}"
        raise InvalidInput(msg) from error
