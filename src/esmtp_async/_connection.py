"""The driver: holds exchanges over a byte stream, for one session.

It knows no command and no reply code. It pulls what an exchange wants to say,
as early as the session lets it, writes it in as few pieces as it can, reads
when the session needs octets, and hands each reply to whoever asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from anyio import to_thread
from anyio.abc import ByteStream

from esmtp_async import _endings, _transport
from esmtp_async._certificates import Certificate, certificate_of
from esmtp_async._deadline import Deadline
from esmtp_async._events import (
    CommandSent,
    ConnectionClosed,
    ReplyReceived,
    TLSStarted,
)
from esmtp_async._observer import Observer
from esmtp_async._timeouts import Timeouts
from esmtp_async._transport import STREAM_ERRORS
from esmtp_async.protocol._asks import PAUSE, WAIT, Ask, Compute, Fetch
from esmtp_async.protocol._commands import Command
from esmtp_async.protocol._content import BLOCK
from esmtp_async.protocol._events import CLOSED, NEED_DATA, Owner, Replied, Signal
from esmtp_async.protocol._exceptions import LocalProtocolError, RemoteProtocolError
from esmtp_async.protocol._exchange import Commands, Exchange, OnBehalfOf, OutOfTurn
from esmtp_async.protocol._outcomes import Stage
from esmtp_async.protocol._replies import Reply
from esmtp_async.protocol._session import Session
from esmtp_async.protocol._states import State
from esmtp_async.protocol._verbs import STAGES

_numbers: Final = itertools.count(1)

#: Seconds to hear why a server hung up on us while we wrote.
_LAST_WORDS: Final = 1.0

#: Does the TLS handshake over a stream.
Upgrade = Callable[[ByteStream], Awaitable[ByteStream]]


class Connection:
    """One session over one stream; one exchange at a time.

    `upgrade` does the TLS handshake that STARTTLS calls for. Whatever leaves
    the session in a state that no further transaction can begin in ends the
    connection: nothing more is ever written to it.
    """

    def __init__(
        self,
        stream: ByteStream,
        session: Session,
        timeouts: Timeouts,
        *,
        upgrade: Upgrade,
        observer: Observer | None = None,
    ) -> None:
        self.session = session
        #: The greeting, once a session is open.
        self.greeting: Reply | None = None
        #: The SASL mechanism that we authenticated by, once a session is open.
        self.mechanism: str | None = None
        #: Counts the connections of this process.
        self.number = next(_numbers)
        self._talk_over(stream)
        self._timeouts = timeouts
        self._upgrade = upgrade
        self._observe = observer or Observer()
        self._open = True
        self._poisoned = False
        self._broken: Exception | None = None  # what the stream broke of
        # Where the exchange that is being held has come to.
        self._exchange: Exchange
        self._steps: Commands
        self._speaker: Owner  # for whom it says what it says
        self._answer: bytes | None = None  # to what was asked for last
        self._is_out_of_turn = False  # what it wanted to say last
        self._heard: State  # where the latest reply led to
        self._waiting = False  # for every reply, before the next step
        self._over = False  # nothing more is to be said
        self._mute = False  # nothing more can be said
        self._may_be_refused = False  # a large piece has just gone out
        self._uploading = False
        self._overheard = False  # what `_converse` has not looked at yet
        self._stage = Stage.GREETING
        self._deadline = Deadline()
        self._timed = False  # the deadline is already that of the reply awaited

    def _talk_over(self, stream: ByteStream) -> None:
        self._stream = stream
        self._records = _transport.tls_records(stream)
        #: What protects the connection; None in clear text.
        self.tls = _transport.tls_info(stream)

    @property
    def stage(self) -> Stage:
        """Where in the conversation the connection is, or ended."""
        return self._stage

    @property
    def certificate(self) -> Certificate | None:
        """What the server's certificate says; None if it was not verified."""
        return certificate_of(self._records)

    async def run(self, exchange: Exchange) -> None:
        """Hold an exchange to its end, or to the end of the session.

        Returns when the exchange is over or the session closed with everything
        answered. Raises `ConnectionLost`, `StageTimeout`, `ProtocolViolation`
        or `TLSFailed`, and whatever the exchange raises.
        """
        self._begin(exchange)
        await self.hear_out()

    async def say(self, exchange: Exchange) -> None:
        """Begin an exchange: say what may be said, and do not wait for replies.

        `hear_out` does, if anybody wants them. What fails ends the connection.
        """
        self._begin(exchange)
        try:
            await self._in_time(self._speak)
        except BaseException:
            await self.aclose()
            raise

    def _begin(self, exchange: Exchange) -> None:
        self._exchange = self._speaker = exchange
        self._steps = exchange.commands(self.session)
        self._answer = None
        self._waiting = self._over = self._timed = self._overheard = False
        self._is_out_of_turn = False

    async def hear_out(self) -> None:
        """Hold the exchange that was begun to its end; raises as `run` does."""
        try:
            await self._in_time(self._converse)
        except RemoteProtocolError as error:
            self._poisoned = True
            self._stage = self._stage_reached
            raise _endings.violation(self._stage, error) from None
        finally:
            if self._overheard:
                self._take_overheard()
            if self._poisoned or not self.session.reusable:
                await self.aclose()

    async def aclose(self) -> None:
        """End the connection: in order if all is answered, else by force."""
        if not self._open:
            return
        self._open = False
        self._deadline.close()
        session = self.session
        # In order: between transactions, and once QUIT was said.
        orderly = not self._poisoned and (
            session.reusable
            or (
                session.projected is State.CLOSED
                and (session.awaited is None or session.state is not State.CLOSED)
            )
        )
        session.abort()
        try:
            await (_transport.close if orderly else _transport.abort)(self._stream)
        finally:
            if self._observe.active:
                self._observe(ConnectionClosed(self.number, aborted=not orderly))

    def is_quiet(self) -> bool:
        """Tell whether nothing came since the last exchange, without waiting."""
        return self._open and _transport.is_quiet(self._stream)

    async def _in_time(self, converse: Callable[[], Awaitable[None]]) -> None:
        with anyio.CancelScope() as scope:
            self._deadline.bind(scope)
            try:
                await converse()
            finally:
                self._deadline.release()
        if scope.cancelled_caught:
            raise _endings.timeout(self._stage, self._timeouts.limit(self._stage))

    async def _converse(self) -> None:
        session = self.session
        self._heard = session.state
        while True:
            signal = self._take_replies()
            if signal is CLOSED and (self._heard is State.CLOSED or not session.eof):
                return  # a reply or we ended it; its mere end leaves something unsaid
            if signal is not NEED_DATA:
                self._stage = self._stage_reached
                raise _endings.loss(self._stage) from self._broken
            await self._speak()
            if self._overheard:
                self._overheard = False  # it may be what we would wait for
            elif session.awaited is not None:
                await self._listen()
            elif self._over:
                return

    def _take_replies(self) -> Signal:
        """Hand each reply to whoever asked; an unasked one to who is speaking."""
        session = self.session
        while isinstance(event := session.next_event(), Replied):
            self._timed = False
            command, reply, owner, self._heard, _ = event
            if command is not None:
                # Several replies may come in one read, which began at the first.
                self._stage = STAGES[command.verb]
            if self._observe.wants_lines:
                line = None if command is None else str(command)
                told = ReplyReceived(self.number, line, reply, self._heard)
                self._observe.line(told)
            (owner or self._exchange).replied(command, reply)
        return event

    async def _speak(self) -> None:
        """Say everything that may be said now."""
        session = self.session
        if self._waiting and session.awaited is not None:
            return
        self._waiting = False
        flight = bytearray()
        while not self._over and not self._waiting and session.may_continue:
            if len(flight) >= BLOCK:
                await self._flush(flight)
            if self._may_be_refused and self._is_spoken_to():
                break
            step = self._next_step()
            if isinstance(step, Command):
                flight += self._send(step)
                if session.unfinished:
                    await self._upload(flight)
            elif step is None:
                self._over = True
            elif step is PAUSE:
                break
            else:
                await self._flush(flight)
                if not self._mute:
                    await self._do(step)
        await self._flush(flight)

    def _is_spoken_to(self) -> bool:
        """Tell whether something has come that may make the rest needless."""
        self._may_be_refused = False
        return not self.is_quiet()

    def _next_step(self) -> Command | Ask | Fetch | Compute | None:
        try:
            if self._is_out_of_turn:
                self._is_out_of_turn = False
                step = self._steps.throw(OutOfTurn)
            elif self._answer is None:
                step = next(self._steps)
            else:
                step = self._steps.send(self._take_answer(self._answer))
            while isinstance(step, OnBehalfOf):
                self._speaker = step.owner
                step = next(self._steps)
        except (StopIteration, OutOfTurn):
            return None
        return step

    def _take_answer(self, answer: bytes) -> bytes:
        """Give it away: a token must not be seen in the variables of a frame."""
        self._answer = None
        return answer

    def _send(self, command: Command) -> bytes:
        """Give the octets of a command, or none if it may not be sent."""
        try:
            wire = self.session.send(command, self._speaker)
        except LocalProtocolError:
            self._is_out_of_turn = True
            return b""
        if self._observe.wants_lines:
            state = self.session.state
            self._observe.line(CommandSent(self.number, str(command), state))
        return wire

    async def _do(self, step: Ask | Fetch | Compute) -> None:
        """Do what the exchange asks of its driver."""
        if isinstance(step, Fetch):
            self._limit(step.stage)
            self._answer = await step.call()
        elif isinstance(step, Compute):
            self._limit(step.stage)
            self._answer = await to_thread.run_sync(step.call, abandon_on_cancel=True)
        elif step is WAIT:
            self._waiting = self.session.awaited is not None
        else:
            self._limit(Stage.TLS)
            self._talk_over(await self._upgrade(self._stream))
            self.session.secured()
            self._answer = b"" if self.tls is None else self.tls.peer_certificate
            if self._observe.active:
                version = "" if self.tls is None else self.tls.version
                self._observe(TLSStarted(self.number, version))

    async def _flush(self, flight: bytearray) -> None:
        """Write a flight in one piece, and empty it."""
        octets = bytes(flight)
        flight.clear()
        await self._write(octets)

    async def _write(self, octets: bytes) -> None:
        if not octets or self._mute:
            return
        self._limit(self._stage_reached)
        self._poisoned = True  # until it is out: what is cut off is half a command
        try:
            await self._stream.send(octets)
        except STREAM_ERRORS:
            self._over = self._mute = True
            await self._hear_last_words()
        else:
            self._poisoned = False
            self._may_be_refused = len(octets) >= BLOCK

    async def _listen(self) -> None:
        """Read once, within the limit of the reply that comes next."""
        if not self._timed:
            self._limit(self._stage_reached)
            self._timed = True
        await self._receive()

    async def _receive(self) -> None:
        try:
            octets = await _transport.receive(self._stream, self._records)
        except anyio.EndOfStream:
            octets = b""
        except STREAM_ERRORS as error:
            self._broken = error
            octets = b""
        self.session.receive_data(octets)

    async def _upload(self, flight: bytearray) -> None:
        """Write mail data while listening: anything heard stops it.

        A server that speaks before the end of the mail data refuses them, or
        is leaving, or breaks the protocol; none of it lets us go on.
        """
        failure: Exception | None = None
        self._uploading = True
        async with anyio.create_task_group() as group:
            group.start_soon(self._overhear, group.cancel_scope)
            try:
                await self._write_mail_data(flight)
            except Exception as error:  # noqa: BLE001  # raised below, ungrouped
                failure = error
            group.cancel_scope.cancel()
        self._uploading = False
        if self._poisoned or self.session.unfinished:
            self._over = self._mute = True
        if failure is not None:
            raise failure

    async def _write_mail_data(self, flight: bytearray) -> None:
        await self._flush(flight)
        while self.session.unfinished and not (self._over or self._overheard):
            step = self._next_step()
            if isinstance(step, Command):
                await self._write(self._send(step))
            elif step is not None:
                await self._do(step)

    async def _overhear(self, writing: anyio.CancelScope) -> None:
        await self._receive()
        self._overheard = True
        writing.cancel()

    def _take_overheard(self) -> None:
        """Take the replies that were read as we were interrupted: they count."""
        try:
            self._take_replies()
        except RemoteProtocolError:
            self._poisoned = True  # what interrupted us is told, not this

    async def _hear_last_words(self) -> None:
        """Read, for a moment, why the server hung up while we wrote."""
        with anyio.move_on_after(_LAST_WORDS):
            if self._uploading:
                await anyio.sleep_forever()  # until something is overheard
            while not self.session.eof:
                await self._receive()
                self._overheard = True
        self.session.receive_data(b"")
        self._overheard = True

    def _limit(self, stage: Stage) -> None:
        """Begin a stage: note it, and set the deadline that bounds it."""
        self._stage = stage
        self._timed = False
        self._deadline.move(self._timeouts.limit(stage))

    @property
    def _stage_reached(self) -> Stage:
        """That of the reply awaited, if it is not too early for one."""
        if self.session.unfinished:
            return Stage.CONTENT
        awaited = self.session.awaited
        return self._stage if awaited is None else STAGES[awaited.command.verb]
