"""A session: the plan of one seed, carried out in virtual time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import anyio

from esmtp_async import (
    Event,
    MessageFinished,
    Receipt,
    RecipientResult,
    SendResult,
    SMTPClient,
    SMTPError,
)
from esmtp_async._batch import Addressed
from esmtp_async.testing import SMTPServer, StoredMessage
from tests import clock
from tests.client.cancelling import CancelledAt
from tests.raw import NAME
from tests.simulation.certificate import HOST, authority
from tests.simulation.line import Line
from tests.simulation.network import Network, Tapped
from tests.simulation.plan import Batch, Letter, Plan, SourceFailed

#: Seconds after which a session hangs: far more than all its limits together.
FOREVER: Final = 1e7
#: The fault-free messages at the end, as many as there are to be.
LAST: Final = tuple(
    Letter(
        number=number,
        start=0,
        recipients=(f"yes-0-{number}@example.test", f"yes-1-{number}@example.test"),
        octets=b"Message-ID: <%d@example.test>\r\n\r\nThe end.\r\n" % number,
        block=None,
        pause=0,
        fails=False,
        all_or_nothing=False,
        timeout=None,
        patience=FOREVER,
        suspension=0,
    )
    for number in (98, 99)
)


@dataclass
class Told:
    """What the sender of a message was told, and how."""

    letter: Letter
    started: float = 0.0
    ended: float = 0.0
    #: `receipt`, the name of an error, `cancelled`; of a batch also `given up`, or
    #: `not asked for`. Empty while it is sent.
    how: str = ""
    #: Whether the source of a batch was asked for it.
    asked_for: bool = False
    #: Recipient to the name of the outcome, and whether a reply decided.
    outcomes: dict[str, tuple[str, bool]] = field(default_factory=dict)
    #: The same by the event; it must not differ.
    finished: list[dict[str, tuple[str, bool]]] = field(default_factory=list)


@dataclass
class Course:
    """How a batch went."""

    batch: Batch
    told: list[Told]
    started: float
    ended: float = 0.0
    #: The messages that had a result, as they came.
    order: list[int] = field(default_factory=list)
    #: `all told`, `source failed`, `left` or `cancelled`, and when that was.
    how: str = "cancelled"
    left: float = 0.0


@dataclass
class Run:
    """What became of a session."""

    plan: Plan
    told: list[Told] = field(default_factory=list)
    courses: list[Course] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    #: Connections that did not come about.
    refused: int = 0
    messages: list[StoredMessage] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    #: Connections that the pool still counts, and those who wait for one.
    counted: int = 0
    #: Seconds that it took to close the client.
    leaving: float = 0.0
    tasks_left: int = 0
    hung: bool = True
    #: What went wrong with the session itself.
    crash: str = ""


def carry_out(plan: Plan, backend: str = "asyncio") -> Run:
    """Carry out a plan; the same one comes out the same."""
    run = Run(plan)

    async def scenario() -> None:
        with anyio.move_on_after(FOREVER):
            await _Session(run).hold()
            run.hung = False

    try:
        clock.run(scenario, backend, plan.seed)
    except Exception as error:  # noqa: BLE001  # it is a finding as any other
        run.crash = _flat(error)
        run.hung = False
    return run


def _flat(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_flat(each) for each in error.exceptions)
    return repr(error)


class _Session:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._plan = plan = run.plan
        self._server = SMTPServer(
            hostname=HOST,
            lmtp=plan.lmtp,
            implicit_tls=plan.security == "tls",
            starttls=plan.security == "starttls",
            users={"alice": "secret"} if plan.auth else None,
            auth_needs_tls=plan.security != "plain",
            require_auth=plan.auth,
            extensions=plan.extensions,
            max_recipients=plan.max_recipients,
            rules=plan.rules,
            eager=plan.pipelining == "eager",
            fragment=plan.fragment,
            idle_timeout=plan.idle,
        )
        if plan.security != "plain":
            self._server.authority = authority(Tapped)
        self._network = Network(self._server.connect, plan.faults, plan.grain)
        run.lines = self._network.lines
        run.messages = self._server.messages
        run.violations = self._server.violations

    async def hold(self) -> None:
        before = len(anyio.get_running_tasks())
        async with self._server:
            client = self._client()
            await self._storm(client)
            self._network.calm()
            self._server.rules[1:] = []
            if self._plan.pipelining == "eager":
                # What a dead connection takes along at once may not be sent again.
                await anyio.sleep(self._plan.max_idle)
            if self._plan.last:
                batch = Batch(window=2, connections=1, ordered=True)
                await self._send_many(client, LAST[: self._plan.last], batch)
            else:
                await self._deliver(client, LAST[0])
            begun = anyio.current_time()
            await client.aclose()
            self._run.leaving = anyio.current_time() - begun
            pool = client._pool
            self._run.counted = pool._taken + len(pool._idle) + len(pool._departures)
            self._run.counted += len(pool._waiters)
            self._run.refused = self._network.refused
            await self._server.wait_closed()
        self._run.tasks_left = len(anyio.get_running_tasks()) - before

    def _client(self) -> SMTPClient:
        plan = self._plan
        return self._server.client(
            connect=self._network.connect,
            client_hostname=NAME,
            pipelining=plan.pipelining,
            max_connections=plan.max_connections,
            max_messages_per_connection=plan.max_messages,
            max_idle=plan.max_idle,
            timeouts=plan.timeouts,
            on_event=self._note,
        )

    async def _storm(self, client: SMTPClient) -> None:
        plan = self._plan
        together = len(plan.letters) - plan.apart
        async with anyio.create_task_group() as group:
            if plan.batch is not None:
                letters = plan.letters[:together]
                group.start_soon(self._send_many, client, letters, plan.batch)
            for letter in plan.letters[together:]:
                group.start_soon(self._deliver, client, letter)

    async def _deliver(self, client: SMTPClient, letter: Letter) -> None:
        told = Told(letter)
        self._run.told.append(told)
        if letter.start:
            await anyio.sleep(letter.start)
        told.started = anyio.current_time()
        with anyio.move_on_after(letter.patience):
            await _held(self._send(client, told), letter.suspension)
        told.ended = anyio.current_time()
        told.how = told.how or "cancelled"

    async def _send(self, client: SMTPClient, told: Told) -> None:
        letter = told.letter
        try:
            receipt = await client.send(
                letter.octets if letter.block is None else letter.blocks(),
                sender=letter.sender,
                recipients=letter.recipients,
                all_or_nothing=letter.all_or_nothing,
                timeout=letter.timeout,
            )
        except SMTPError as error:
            told.how = f"{type(error).__name__}: {error}"
            told.outcomes = _outcomes(error.recipients)
        except SourceFailed:
            told.how = "source failed"
        else:
            told.how = "receipt"
            told.outcomes = _outcomes(receipt.recipients)

    async def _send_many(
        self, client: SMTPClient, letters: Iterable[Letter], batch: Batch
    ) -> None:
        course = Course(batch, [*map(Told, letters)], anyio.current_time())
        self._run.courses.append(course)
        self._run.told += course.told
        with anyio.move_on_after(batch.patience):
            await _held(self._take(client, course), batch.suspension)
        course.ended = anyio.current_time()
        for told in course.told:
            told.ended = told.ended or course.ended
            told.how = told.how or ("given up" if told.asked_for else "not asked for")

    async def _take(self, client: SMTPClient, course: Course) -> None:
        batch = course.batch
        try:
            async with client.send_many(
                _source(course),
                window=batch.window,
                connections=batch.connections,
                ordered=batch.ordered,
            ) as results:
                async for result in results:
                    course.order.append(result.index)
                    _tell(course.told[result.index], result)
                    if len(course.order) == batch.leaves:
                        course.how = "left"
                        course.left = anyio.current_time()
                        return
        except SourceFailed:
            course.how = "source failed"
        else:
            course.how = "all told"

    def _note(self, event: Event) -> None:
        if isinstance(event, MessageFinished):
            outcomes = _outcomes(event.recipients)
            for told in self._run.told:
                if tuple(outcomes) == told.letter.recipients:
                    told.finished.append(outcomes)


async def _source(course: Course) -> AsyncGenerator[Addressed]:
    """Give the messages of a batch."""
    for told in course.told[: course.batch.fails]:
        letter = told.letter
        if letter.start:
            await anyio.sleep(letter.start)
        told.started = anyio.current_time()
        told.asked_for = True
        content = letter.octets if letter.block is None else letter.blocks()
        yield content, letter.sender, letter.recipients
    if course.batch.fails is not None:
        raise SourceFailed


def _tell(told: Told, result: SendResult) -> None:
    """Tell a message's sender its result."""
    told.ended = anyio.current_time()
    if isinstance(result.told, Receipt):
        told.how = "receipt"
    else:
        told.how = f"{type(result.told).__name__}: {result.told}"
    told.outcomes = _outcomes(result.told.recipients)


async def _held(doing: Coroutine[Any, Any, None], suspension: int) -> None:
    """Do something, cancelled where it is suspended for the n-th time; 0: never."""
    if suspension:
        await CancelledAt(doing, suspension).run()
    else:
        await doing


def _outcomes(results: Iterable[RecipientResult]) -> dict[str, tuple[str, bool]]:
    return {
        result.address: (result.outcome.name, result.reply is not None)
        for result in results
    }
