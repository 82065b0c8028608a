"""A session: the plan of one seed, carried out in virtual time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import anyio

from esmtp_async import Event, MessageFinished, RecipientResult, SMTPClient, SMTPError
from esmtp_async.testing import SMTPServer, StoredMessage
from tests import clock
from tests.client.cancelling import CancelledAt
from tests.raw import NAME
from tests.simulation.certificate import HOST, authority
from tests.simulation.line import Line
from tests.simulation.network import Network, Tapped
from tests.simulation.plan import Letter, Plan, SourceFailed

#: Seconds after which a session hangs: far more than all its limits together.
FOREVER: Final = 1e7
#: The fault-free message at the end.
LAST: Final = Letter(
    number=99,
    start=0,
    recipients=("yes-0-99@example.test", "yes-1-99@example.test"),
    octets=b"Message-ID: <99@example.test>\r\n\r\nThe end.\r\n",
    block=None,
    pause=0,
    fails=False,
    all_or_nothing=False,
    timeout=None,
    patience=FOREVER,
    suspension=0,
)


@dataclass
class Told:
    """What the sender of a message was told, and how."""

    letter: Letter
    started: float = 0.0
    ended: float = 0.0
    #: `receipt`, the name of an error, or `cancelled`; empty while it is sent.
    how: str = ""
    #: Recipient to the name of the outcome, and whether a reply decided.
    outcomes: dict[str, tuple[str, bool]] = field(default_factory=dict)
    #: The same by the event; it must not differ.
    finished: list[dict[str, tuple[str, bool]]] = field(default_factory=list)


@dataclass
class Run:
    """What became of a session."""

    plan: Plan
    told: list[Told] = field(default_factory=list)
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
            await self._deliver(client, LAST)
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
        async with anyio.create_task_group() as group:
            for letter in self._plan.letters:
                group.start_soon(self._deliver, client, letter)

    async def _deliver(self, client: SMTPClient, letter: Letter) -> None:
        told = Told(letter)
        self._run.told.append(told)
        if letter.start:
            await anyio.sleep(letter.start)
        told.started = anyio.current_time()
        with anyio.move_on_after(letter.patience):
            sending = self._send(client, told)
            if letter.suspension:
                await CancelledAt(sending, letter.suspension).run()
            else:
                await sending
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

    def _note(self, event: Event) -> None:
        if isinstance(event, MessageFinished):
            outcomes = _outcomes(event.recipients)
            for told in self._run.told:
                if tuple(outcomes) == told.letter.recipients:
                    told.finished.append(outcomes)


def _outcomes(results: Iterable[RecipientResult]) -> dict[str, tuple[str, bool]]:
    return {
        result.address: (result.outcome.name, result.reply is not None)
        for result in results
    }
