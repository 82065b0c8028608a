"""One conversation with a client, from the greeting to the end.

Written straight down from the RFCs, as a server that trusts nobody: what a client may
not do is answered as the RFCs say, and put on record in words.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from esmtp_async.protocol._addresses import domain_or_literal
from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.testing._answers import (
    Answer,
    Breach,
    Refusal,
    expect_argument,
    expect_no_argument,
    refuse,
)
from esmtp_async.testing._arguments import read_attributes
from esmtp_async.testing._authentication import Authentication
from esmtp_async.testing._dialogue import Client, Dialogue
from esmtp_async.testing._rules import RuleBook
from esmtp_async.testing._sasl import Realm
from esmtp_async.testing._settings import Settings
from esmtp_async.testing._store import Page, Record
from esmtp_async.testing._tls import Authority
from esmtp_async.testing._transactions import Transactions
from esmtp_async.testing._wire import Gone, Hangup, Idle, Wire

# RFC 5321 §4.1.4: what may come before the client has introduced itself.
_BEFORE_HELLO: Final = frozenset(
    {
        *("CONNECT", "EHLO", "HELO", "LHLO"),
        *("NOOP", "RSET", "VRFY", "EXPN", "HELP", "QUIT"),
    }
)
# RFC 3030 §2: what may follow a BDAT that failed, before RSET.
_WHILE_INDETERMINATE: Final = frozenset({"BDAT", "LAST", "RSET", "NOOP", "QUIT"})


class Conversation:
    """The server's side of one connection."""

    def __init__(
        self,
        *,
        settings: Settings,
        record: Record,
        rules: RuleBook,
        wire: Wire,
        page: Page,
        authority: Callable[[], Authority],
    ) -> None:
        self._settings = settings
        self._wire = wire
        self._authority = authority
        self._client = client = Client(page)
        self._dialogue = dialogue = Dialogue(record, rules, wire, client)
        self._transactions = transactions = Transactions(
            settings=settings,
            record=record,
            wire=wire,
            dialogue=dialogue,
            client=client,
            answer=self._answer,
        )
        self._welcome = True
        # The commands that take more than one line and its reply.
        self._steps: dict[str, Callable[[str], Awaitable[None]]] = {
            "EHLO": partial(self._hello, "EHLO"),
            "HELO": partial(self._hello, "HELO"),
            "LHLO": partial(self._hello, "LHLO"),
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": transactions.mail,
            "RCPT": transactions.rcpt,
            "DATA": transactions.data,
            "BDAT": transactions.bdat,
            "XCLIENT": self._xclient,
            "QUIT": self._quit,
        }
        self._acts: dict[str, Callable[[str], Answer]] = {
            "RSET": transactions.rset,
            "NOOP": self._noop,
            "VRFY": self._vrfy,
            "EXPN": self._expn,
            "HELP": self._help,
            "ETRN": self._etrn,
            "XFORWARD": self._xforward,
        }

    async def hold(self) -> None:
        """Serve until either side ends the connection."""
        try:
            await self._greet()
            while True:
                await self._command()
        except Idle:
            self._wire.reply(
                Answer(421, "", "idle for too long").octets(enhanced=False)
            )
        except (Gone, Hangup):
            pass

    async def _greet(self) -> None:
        if self._settings.implicit_tls:
            await self._secure()
        protocol = "LMTP" if self._settings.lmtp else "ESMTP"
        greeting = Answer(220, "", f"{self._settings.hostname} {protocol} ready")
        said = await self._answer("CONNECT", "", lambda: greeting)
        self._welcome = said.startswith(b"2")
        if self._wire.pending:
            self._dialogue.breach("the client talks before the greeting")

    async def _command(self) -> None:
        verb, argument, fault = await self._dialogue.command()
        if fault is not None:
            await self._dialogue.answer("", "", partial(refuse, fault))
        elif verb in self._steps:
            await self._steps[verb](argument)
        elif verb in self._acts:
            await self._answer(verb, argument, partial(self._acts[verb], argument))
        else:
            unknown = Breach(500, "5.5.1", "no such command")
            await self._dialogue.answer(verb, argument, partial(refuse, unknown))

    async def _answer(
        self, verb: str, argument: str, act: Callable[[], Answer]
    ) -> bytes:
        def in_sequence() -> Answer:
            self._check_sequence(verb)
            return act()

        return await self._dialogue.answer(verb, argument, in_sequence)

    def _check_sequence(self, verb: str) -> None:
        if not self._welcome and verb != "QUIT":
            raise Breach(503, "5.5.1", "only QUIT may follow such a greeting")
        if not self._client.introduced and verb not in _BEFORE_HELLO:
            raise Breach(503, "5.5.1", f"{verb} before EHLO")
        if self._transactions.indeterminate and verb not in _WHILE_INDETERMINATE:
            raise Breach(503, "5.5.1", "RSET must follow a BDAT that failed")

    async def _hello(self, verb: str, argument: str) -> None:
        said = await self._answer(
            verb, argument, lambda: self._introduce(verb, argument)
        )
        if said.startswith(b"2"):
            self._client.introduced = True
            self._transactions.forget()
            self._dialogue.offered = _keywords(said)

    def _introduce(self, verb: str, argument: str) -> Answer:
        if (verb == "LHLO") is not self._settings.lmtp:
            raise Breach(500, "5.5.1", f"{verb} is of another protocol")
        try:
            domain_or_literal(argument if argument.isascii() else "")
        except InvalidInput:
            problem = f"the argument of {verb} is no domain and no address literal"
            raise Breach(501, "5.5.4", problem) from None
        lines = [] if verb == "HELO" else self._settings.offers(tls=self._client.tls)
        return Answer(250, "", "\n".join((self._settings.hostname, *lines)))

    async def _starttls(self, argument: str) -> None:
        said = await self._answer(
            "STARTTLS", argument, lambda: self._agree_to_tls(argument)
        )
        if said.startswith(b"220"):
            await self._secure()
            # EHLO, which has to come first now, ends the transaction.
            self._dialogue.offered = {}

    def _agree_to_tls(self, argument: str) -> Answer:
        expect_no_argument(argument)
        if self._client.tls:
            raise Breach(503, "5.5.1", "TLS is up already")
        if "STARTTLS" not in self._dialogue.offered:
            raise Breach(502, "5.5.1", "STARTTLS is not offered")
        if self._wire.pending:
            raise Refusal(501, "5.5.1", "octets behind STARTTLS")
        return Answer(220, "2.0.0", "ready to start TLS")

    async def _secure(self) -> None:
        try:
            await self._wire.start_tls(self._authority().server_context)
        except Gone as gone:
            self._dialogue.note(f"the TLS handshake failed: {gone}")
            raise
        self._client.secured()

    async def _auth(self, argument: str) -> None:
        mechanism = argument.partition(" ")[0]
        realm = Realm(
            self._settings.users,
            certificate=self._authority().server_certificate
            if self._client.tls
            else "",
            offered=tuple(self._dialogue.offered.get("AUTH", "").upper().split()),
            any_user=self._settings.any_user,
        )
        authentication = Authentication(self._dialogue, realm)

        def begin() -> Answer:
            self._check_auth()
            return authentication.begin(argument)

        said = await self._answer("AUTH", mechanism, begin)
        while said.startswith(b"334"):
            said = await authentication.go_on(mechanism)
        if said.startswith(b"2"):
            self._client.username = authentication.username

    def _check_auth(self) -> None:
        if self._client.username is not None:
            raise Breach(503, "5.5.1", "authenticated already")
        if self._transactions.is_open:
            raise Breach(503, "5.5.1", "AUTH within a mail transaction")
        if "AUTH" in self._dialogue.offered:
            return
        known = self._settings.users or self._settings.any_user
        if known and not self._client.tls:
            raise Breach(538, "5.7.11", "authentication needs TLS")
        raise Breach(502, "5.5.1", "AUTH is not offered")

    async def _xclient(self, argument: str) -> None:
        def agree() -> Answer:
            self._client.xclient = self._read_attributes("XCLIENT", argument)
            return Answer(220, "", f"{self._settings.hostname} ESMTP ready")

        said = await self._answer("XCLIENT", argument, agree)
        if said.startswith(b"220"):
            self._client.introduced = False
            self._client.username = None
            self._dialogue.offered = {}

    def _xforward(self, argument: str) -> Answer:
        self._transactions.forwarded |= self._read_attributes("XFORWARD", argument)
        return Answer(250, "2.0.0", "ok")

    def _read_attributes(self, verb: str, argument: str) -> dict[str, str]:
        self._check_between(verb)
        return read_attributes(verb, argument, self._dialogue.offered[verb])

    def _etrn(self, argument: str) -> Answer:
        self._check_between("ETRN")
        expect_argument(argument)
        return Answer(250, "2.0.0", "queuing started")

    def _check_between(self, verb: str) -> None:
        if verb not in self._dialogue.offered:
            raise Breach(502, "5.5.1", f"{verb} is not offered")
        if self._transactions.is_open:
            raise Breach(503, "5.5.1", f"{verb} within a mail transaction")

    async def _quit(self, argument: str) -> None:
        def leave() -> Answer:
            expect_no_argument(argument)
            return Answer(221, "2.0.0", "bye")

        said = await self._answer("QUIT", argument, leave)
        if said.startswith(b"2"):
            raise Hangup

    def _noop(self, _argument: str) -> Answer:
        return Answer(250, "2.0.0", "ok")

    def _help(self, _argument: str) -> Answer:
        return Answer(214, "2.0.0", "this is a server for tests")

    def _vrfy(self, argument: str) -> Answer:
        expect_argument(argument)
        return Answer(252, "2.5.0", "cannot verify, but would try to deliver")

    def _expn(self, argument: str) -> Answer:
        expect_argument(argument)
        if not self._settings.lists:
            raise Refusal(502, "5.5.1", "there are no lists")
        members = self._settings.lists.get(argument.removesuffix(" SMTPUTF8"))
        if members is None:
            raise Refusal(550, "5.1.1", "no such list")
        return Answer(250, "2.1.5", "\n".join(f"<{member}>" for member in members))


def _keywords(said: bytes) -> dict[str, str]:
    """Read what a reply to EHLO offers: keyword in upper case to parameters."""
    lines = [line[4:].decode() for line in said.splitlines()[1:]]
    pairs = (line.partition(" ") for line in lines)
    return {keyword.upper(): parameters for keyword, _, parameters in pairs}
