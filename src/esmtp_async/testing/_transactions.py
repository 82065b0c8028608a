"""The mail transactions of a session (RFC 5321 §3.3, RFC 3030, RFC 2033)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal, NoReturn

from esmtp_async.testing._answers import (
    Answer,
    Breach,
    Refusal,
    expect_no_argument,
    refuse,
)
from esmtp_async.testing._arguments import check_declared_size, read_mail, read_rcpt
from esmtp_async.testing._dialogue import Client, Dialogue
from esmtp_async.testing._inspection import (
    breaches,
    has_lone_line_end,
    is_binary,
    oddities,
    unstuff,
)
from esmtp_async.testing._settings import Settings
from esmtp_async.testing._store import (
    Parameters,
    Record,
    StoredMessage,
    StoredRecipient,
)
from esmtp_async.testing._wire import Hangup, Wire

#: Answers a command: its verb and argument, and what executes it.
Answering = Callable[[str, str, Callable[[], Answer]], Awaitable[bytes]]

# bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CR LF (RFC 3030 §2)
_BDAT: Final = re.compile(r"(?P<size>[0-9]+)(?P<last> LAST)?", re.IGNORECASE)


@dataclass
class _Transaction:
    """An open mail transaction."""

    reverse_path: str
    parameters: Parameters
    recipients: list[StoredRecipient] = field(default_factory=list)
    #: The chunks so far; None before the first BDAT.
    chunks: bytearray | None = None


class Transactions:
    """Takes the commands from MAIL to the end of the mail data, and RSET."""

    def __init__(
        self,
        *,
        settings: Settings,
        record: Record,
        wire: Wire,
        dialogue: Dialogue,
        client: Client,
        answer: Answering,
    ) -> None:
        self._settings = settings
        self._record = record
        self._wire = wire
        self._dialogue = dialogue
        self._client = client
        self._answer = answer
        self.forget()

    def forget(self) -> None:
        """Abort the transaction, if there is one (RFC 5321 §4.1.1.5)."""
        self._transaction: _Transaction | None = None
        # The verbs the client has sent for it, accepted or not.
        self._tried: set[str] = set()
        #: What XFORWARD told of where the next message comes from.
        self.forwarded: dict[str, str] = {}
        #: Whether a BDAT has failed, so that only RSET helps (RFC 3030 §2).
        self.indeterminate = False

    @property
    def is_open(self) -> bool:
        """Whether there is a transaction."""
        return self._transaction is not None

    @property
    def _limit(self) -> int:
        """How large a message may be; SIZE 0 and no SIZE set no limit (RFC 1870 §3)."""
        size = self._dialogue.offered.get("SIZE", "")
        told = int(size) if size.isdecimal() else 0
        most = self._settings.max_message_size
        return min(told or most, most)

    def rset(self, argument: str) -> Answer:
        """Execute RSET."""
        expect_no_argument(argument)
        self.forget()
        return Answer(250, "2.0.0", "ok")

    async def mail(self, argument: str) -> None:
        """Take MAIL."""
        self._tried = {"MAIL"}
        await self._answer("MAIL", argument, partial(self._mail, argument))

    def _mail(self, argument: str) -> Answer:
        if self._transaction is not None:
            raise Breach(503, "5.5.1", "MAIL within a mail transaction")
        if self._settings.require_auth and self._client.username is None:
            raise Refusal(530, "5.7.0", "authentication required")
        mail = read_mail(argument, self._dialogue.offered)
        check_declared_size(mail.parameters, self._limit)
        self._transaction = _Transaction(mail.path, mail.parameters)
        return Answer(250, "2.1.0", "sender ok")

    async def rcpt(self, argument: str) -> None:
        """Take RCPT."""
        self._tried.add("RCPT")
        await self._answer("RCPT", argument, partial(self._rcpt, argument))

    def _rcpt(self, argument: str) -> Answer:
        transaction = self._transaction
        if transaction is None:
            self._refuse_without("MAIL", 503)
        if transaction.chunks is not None:
            raise Breach(503, "5.5.1", "RCPT behind BDAT")
        smtputf8 = "SMTPUTF8" in transaction.parameters
        rcpt = read_rcpt(argument, self._dialogue.offered, smtputf8=smtputf8)
        if len(transaction.recipients) >= self._settings.max_recipients:
            raise Refusal(452, "4.5.3", "too many recipients")
        transaction.recipients.append(StoredRecipient(*rcpt))
        return Answer(250, "2.1.5", "recipient ok")

    def _refuse_without(self, verb: str, code: int) -> NoReturn:
        """Refuse what needs `verb`, whose reply the client may not have known."""
        if verb in self._tried:
            raise Refusal(code, "5.5.1", f"no {verb} was accepted")
        raise Breach(code, "5.5.1", f"no {verb} came before")

    def _ready(self) -> _Transaction:
        """Give the transaction if mail data may come now."""
        if self._transaction is None:
            self._refuse_without("MAIL", 503)
        if not self._transaction.recipients:
            # RFC 5321 §3.3 allows either code, RFC 2033 §4.2 only the first.
            self._refuse_without("RCPT", 503 if self._settings.lmtp else 554)
        return self._transaction

    async def data(self, argument: str) -> None:
        """Take DATA, and the mail data if they come."""
        said = await self._answer("DATA", argument, partial(self._data, argument))
        if not said.startswith(b"3"):
            return
        # Stuffing at most doubles the octets.
        lines = await self._wire.mail_data(2 * self._settings.max_message_size)
        self._dialogue.heard(lines, b".\r\n")
        content = None
        if lines is not None:
            content, stuffed = unstuff(lines)
            if not stuffed:
                self._dialogue.breach("a line that begins with a dot was not stuffed")
        await self._deliver("CONTENT", content, "DATA")
        self.forget()

    def _data(self, argument: str) -> Answer:
        expect_no_argument(argument)
        transaction = self._ready()
        if transaction.chunks is not None:
            raise Breach(503, "5.5.1", "DATA behind BDAT")
        if is_binary(transaction.parameters):
            raise Breach(503, "5.5.1", "BODY=BINARYMIME needs BDAT")
        return Answer(354, "", "go ahead, and end with a lone dot")

    async def bdat(self, argument: str) -> None:
        """Take BDAT and its chunk."""
        match = _BDAT.fullmatch(argument)
        if match is None:
            fault = Breach(501, "5.5.4", "expected BDAT size [LAST]")
            await self._answer("BDAT", argument, partial(refuse, fault))
            # Nobody can tell how many octets behind it are no commands.
            raise Hangup
        size = int(match["size"])
        chunk = await self._wire.octets(size, self._settings.max_message_size)
        self._dialogue.heard(chunk)
        take = self._last_chunk if match["last"] else self._chunk
        if not await take(argument, chunk):
            self.indeterminate = True

    async def _chunk(self, argument: str, chunk: bytes | None) -> bool:
        def act() -> Answer:
            chunks = self._append(chunk)
            if chunks is None:
                raise self._too_large()
            return Answer(250, "2.0.0", f"{len(chunks)} octets received")

        said = await self._answer("BDAT", argument, act)
        return said.startswith(b"2")

    async def _last_chunk(self, argument: str, chunk: bytes | None) -> bool:
        try:
            chunks = self._append(chunk)
        except Refusal as refusal:
            await self._answer("LAST", argument, partial(refuse, refusal))
            return False
        content = None if chunks is None else bytes(chunks)
        said = await self._deliver("LAST", content, "BDAT")
        if said.startswith(b"2") or self._settings.lmtp:
            self.forget()
            return True
        return False

    def _append(self, chunk: bytes | None) -> bytearray | None:
        """Give the chunks so far with this one; None if they are too many octets."""
        if "CHUNKING" not in self._dialogue.offered:
            raise Breach(502, "5.5.1", "BDAT is not offered")
        if self.indeterminate:
            raise Refusal(503, "5.5.1", "a BDAT failed: RSET must come first")
        transaction = self._ready()
        if transaction.chunks is None:
            transaction.chunks = bytearray()
            if self._dialogue.in_group and not self._settings.eager:
                self._dialogue.breach("BDAT before the replies to MAIL and RCPT")
        if chunk is None or len(transaction.chunks) + len(chunk) > self._limit:
            return None
        transaction.chunks += chunk
        return transaction.chunks

    def _too_large(self) -> Refusal:
        return Refusal(552, "5.3.4", f"the limit is {self._limit} octets")

    async def _deliver(
        self, verb: str, content: bytes | None, via: Literal["DATA", "BDAT"]
    ) -> bytes:
        """Take the message: one reply for all, or with LMTP one for each recipient.

        Gives the last reply. Without a recipient, behind a scripted 354, SMTP has one
        nevertheless and LMTP none.
        """
        transaction = self._transaction or _Transaction("", {})
        fault = self._inspect(content, transaction)
        queue_id = self._record.next_queue_id()
        everybody = transaction.recipients
        groups = [[each] for each in everybody] if self._settings.lmtp else [everybody]
        said = b""
        for group in groups:
            message = StoredMessage(
                queue_id=queue_id,
                reverse_path=transaction.reverse_path,
                mail_parameters=transaction.parameters,
                recipients=tuple(group),
                content=content or b"",
                username=self._client.username,
                tls=self._client.tls,
                connection=self._client.number,
                via=via,
                xclient=self._client.xclient,
                xforward=self.forwarded,
            )
            paths = (message.reverse_path, *(recipient.path for recipient in group))
            argument = " ".join(f"<{path}>" for path in paths)
            act = partial(self._take, message, fault)
            said = await self._answer(verb, argument, act)
        return said

    def _inspect(
        self, content: bytes | None, transaction: _Transaction
    ) -> Refusal | None:
        """Put on record what is wrong with mail data, and say why nobody gets them."""
        if not transaction.recipients:
            if content:
                self._dialogue.breach("mail data though nobody gets them")
            return Refusal(554, "5.5.1", "no valid recipients")
        if content is None or len(content) > self._limit:
            return self._too_large()
        parameters = transaction.parameters
        for problem in breaches(content, parameters):
            self._dialogue.breach(problem)
        for oddity in oddities(content, parameters):
            self._dialogue.note(oddity)
        if has_lone_line_end(content) and not is_binary(parameters):
            return Refusal(554, "5.6.0", "a CR or LF by itself")
        return None

    def _take(self, message: StoredMessage, fault: Refusal | None) -> Answer:
        if fault is not None:
            raise fault
        try:
            self._record.store(message)
        except OSError as error:
            self._dialogue.note(f"the message could not be stored: {error}")
            raise Refusal(452, "4.3.1", "insufficient system storage") from None
        return Answer(250, "2.0.0", f"Ok: queued as {message.queue_id}")
