"""The scripted server: plays its part of a dialogue, and checks the client's."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NoReturn, Unpack

import anyio

from esmtp_async._client import SMTPClient
from esmtp_async._settings import ClientOptions
from esmtp_async.testing._hosting import Host
from esmtp_async.testing._script import Action, Script, Step
from esmtp_async.testing._store import Page
from esmtp_async.testing._wire import Gone, Hangup, Idle, Wire

#: Of mail data whatever they are; more are read, but not kept.
MAX_OCTETS: Final = 64 * 1024 * 1024

_BDAT: Final = re.compile(rb"BDAT (\d+)", re.IGNORECASE)


class ScriptedServer(Host):
    """A server that says what a script says: the nth script on the nth connection.

    It serves as `SMTPServer` does. Where the client departs from the script, leaving
    the server raises an `AssertionError` that names the line and both texts; so does a
    connection beyond the last script.
    """

    def __init__(
        self,
        *scripts: Script | str,
        hostname: str = "mail.example.test",
        timeout: float = 5.0,
        fragment: int | None = None,
    ) -> None:
        """Prepare to play.

        Args:
            scripts: dialogues, as text or parsed.
            hostname: the name on the certificate, for `S! tls`.
            timeout: seconds without a word that the client may take for a line.
            fragment: say everything in pieces of that many octets.

        Raises:
            ValueError: for a script that cannot be read.
        """
        super().__init__(hostname=hostname, idle_timeout=timeout, fragment=fragment)
        self._scripts = [
            Script.parse(script) if isinstance(script, str) else script
            for script in scripts
        ]

    def client(self, **options: Unpack[ClientOptions]) -> SMTPClient:
        """Make a client for this server: over TCP if it listens, else in memory.

        It speaks LMTP if the first script does. Unless `options` say otherwise it
        protects itself as that does, and calls itself `client.example.test`.
        """
        defaults = ClientOptions(
            security="plaintext",
            server_hostname=self._hostname,
            client_hostname="client.example.test",
        )
        steps = [step for script in self._scripts[:1] for step in script.steps]
        actions = [step.action for step in steps]
        if Action.TLS in actions:
            defaults["security"] = "tls" if actions[0] is Action.TLS else "starttls"
            defaults["ssl_context"] = self.client_context
        defaults.update(options)
        lmtp = any(step.text.startswith("LHLO") for step in steps)
        return self._client("lmtp" if lmtp else "smtp", defaults)

    async def _converse(self, wire: Wire, page: Page) -> None:
        if page.number > len(self._scripts):
            raise AssertionError(f"there is no script for connection {page.number}")
        script = self._scripts[page.number - 1]
        await _Player(self, script, wire, self._closing).play()


class _Player:
    """Plays one script on one connection."""

    def __init__(
        self, server: ScriptedServer, script: Script, wire: Wire, closing: anyio.Event
    ) -> None:
        self._server = server
        self._script = script
        self._wire = wire
        self._closing = closing
        self._line = b""  # what the client said last
        self._actions: dict[Action, Callable[[Step], Awaitable[None]]] = {
            Action.EXPECT: self._expect,
            Action.MATCH: self._match,
            Action.PAUSE: self._pause,
            Action.DATA: self._data,
            Action.CHUNK: self._chunk,
            Action.SAY: self._say,
            Action.EOF: self._eof,
            Action.RST: self._rst,
            Action.HANG: self._hang,
            Action.WAIT: self._wait,
            Action.TLS: self._tls,
        }

    async def play(self) -> None:
        """Play to the end, where the client must have nothing more to say.

        Raises:
            AssertionError: if the client departs from the script.
        """
        for step in self._script.steps:
            try:
                await self._actions[step.action](step)
            except Hangup:
                return
            except Gone:
                self._fail(step, "then the end of the connection")
            except Idle:
                self._fail(step, "then nothing for too long")
        await self._leave()

    def _fail(self, step: Step, then: str = "") -> NoReturn:
        shown = " ".join((step.action.value, repr(step.octets or step.text)))
        got = ", ".join(filter(None, (repr(self._wire.received), then)))
        raise AssertionError(f"{self._script.name}:{step.line}: {shown}: got {got}")

    async def _expect(self, step: Step) -> None:
        await self._wire.flush()
        while len(self._wire.received) < len(step.octets):
            if not step.octets.startswith(self._wire.received):
                self._fail(step)
            await self._wire.fill()
        if not self._wire.received.startswith(step.octets):
            self._fail(step)
        self._hear(len(step.octets))

    async def _match(self, step: Step) -> None:
        await self._wire.flush()
        while (end := self._wire.received.find(b"\r\n")) < 0:
            if b"\n" in self._wire.received:
                self._fail(step)
            await self._wire.fill()
        line = self._wire.received[:end].decode("utf-8", "surrogateescape")
        if not re.fullmatch(step.text, line):
            self._fail(step)
        self._hear(end + 2)

    def _hear(self, count: int) -> None:
        self._line = self._wire.take(count)
        self._wire.hear(self._line)

    async def _data(self, _step: Step) -> None:
        lines = await self._wire.mail_data(MAX_OCTETS)
        self._wire.hear(b"<too many octets>" if lines is None else lines + b".\r\n")

    async def _chunk(self, step: Step) -> None:
        match = _BDAT.match(self._line)
        if match is None:
            self._fail(step, "not behind BDAT")
        octets = await self._wire.octets(int(match[1]), MAX_OCTETS)
        self._wire.hear(b"<too many octets>" if octets is None else octets)

    async def _pause(self, step: Step) -> None:
        if self._wire.pending:
            self._fail(step)

    async def _say(self, step: Step) -> None:
        self._wire.reply(step.octets)

    async def _eof(self, _step: Step) -> None:
        raise Hangup

    async def _rst(self, _step: Step) -> None:
        await self._wire.flush()
        await self._wire.reset()
        raise Hangup

    async def _hang(self, _step: Step) -> None:
        await self._wire.flush()
        await self._closing.wait()
        raise Hangup

    async def _wait(self, step: Step) -> None:
        await self._wire.flush()
        await anyio.sleep(float(step.text))

    async def _tls(self, step: Step) -> None:
        if self._wire.pending:
            self._fail(step)
        await self._wire.start_tls(self._server.authority.server_context)

    async def _leave(self) -> None:
        """Wait for the client to close.

        Raises:
            AssertionError: if it says something instead.
        """
        try:
            while not self._wire.pending:
                with suppress(Idle):
                    await self._wire.fill()
        except Gone:
            return
        got = repr(self._wire.received)
        raise AssertionError(f"{self._script.name}: the script has ended: got {got}")
