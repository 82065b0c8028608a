"""Receipts and errors: what the caller is told of an attempt's outcome."""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from esmtp_async._transport import TLSInfo
from esmtp_async.protocol._addresses import ReversePath
from esmtp_async.protocol._exceptions import (
    ContentRefused,
    HelloRefused,
    NotDelivered,
    NotSupported,
    OutcomeUnknown,
    RecipientsRefused,
    Refused,
    SenderRefused,
    SMTPError,
)
from esmtp_async.protocol._outcomes import (
    ACCEPTED,
    NOT_SENT,
    UNKNOWN,
    Outcome,
    RecipientResult,
    Stage,
)
from esmtp_async.protocol._replies import Reply, printable

Results = tuple[RecipientResult, ...]

# "queued as 4F2kd", "OK id=1rXy-0001-Ab", "2.0.0 4AN1x Message accepted", and
# the like: texts are for people, so this is a guess and nothing depends on it.
_QUEUE_ID: Final = re.compile(
    r"(?:queued as|queued with id|id=|accepted with id|mail queued as)\s*"
    r"[<(]?([\w.+-]+)",
    re.IGNORECASE,
)
_SENDMAIL_ID: Final = re.compile(r"2\.0\.0 (\w+) Message accepted for delivery")

# A refusal's stage to its error and its command, None for that of the mail data; later
# stages are nearer to it.
_REFUSALS: Final[dict[Stage, tuple[type[Refused], str | None]]] = {
    Stage.LOCAL: (RecipientsRefused, "RCPT"),
    Stage.COMMAND: (Refused, ""),
    Stage.HELLO: (HelloRefused, "EHLO"),
    Stage.RSET: (Refused, "RSET"),
    Stage.MAIL: (SenderRefused, "MAIL"),
    Stage.RCPT: (RecipientsRefused, "RCPT"),
    Stage.DATA: (ContentRefused, None),
    Stage.FINAL: (ContentRefused, None),
}
_LATENESS: Final = {stage: place for place, stage in enumerate(_REFUSALS)}

#: Addresses that an error names; `recipients` has them all.
_NAMED: Final = 5


class Receipt(NamedTuple):
    """The server took the message for some recipient, and for none it is unknown."""

    #: One for each recipient, in the order given.
    recipients: tuple[RecipientResult, ...]
    #: The reply that took the message.
    reply: Reply
    #: What protected the connection; None in clear text.
    tls: TLSInfo | None
    #: The Message-ID, where the message has one.
    message_id: str | None
    #: Connections tried: 2 after a pooled one had died unnoticed.
    attempts: int
    #: Extensions that were preferred and not offered, so that less was asked for.
    left_out: frozenset[str] = frozenset()
    #: The command that the mail data went by, DATA or BDAT.
    by: str = "DATA"

    @property
    def accepted(self) -> tuple[str, ...]:
        """The addresses that the server took responsibility for."""
        return tuple(
            result.address
            for result in self.recipients
            if result.outcome is Outcome.ACCEPTED
        )

    @property
    def refused(self) -> tuple[RecipientResult, ...]:
        """The results of all others."""
        return tuple(
            result
            for result in self.recipients
            if result.outcome is not Outcome.ACCEPTED
        )

    @property
    def queue_id(self) -> str | None:
        """The server's name for the message, as far as its reply tells one."""
        text = self.reply.text
        match = _QUEUE_ID.search(text) or _SENDMAIL_ID.search(text)
        return None if match is None else match[1]

    def raise_for_refused(self) -> None:
        """Raise `RecipientsRefused` if anybody is among `refused`, wherever it was.

        Others have the message, so sending it again to all would make duplicates:
        its `retry_safe` is False.
        """
        if self.refused:
            error = _refusal(
                self.recipients, self.refused, self.by, kind=RecipientsRefused
            )
            error.retry_safe = False
            raise error


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of one message of many: a receipt, or an error."""

    #: Which one, counted from 0 in the order in which they were given.
    index: int
    #: The message as it was given.
    message: object
    #: What `send` would have returned, or raised.
    told: Receipt | SMTPError

    @property
    def receipt(self) -> Receipt | None:
        """The receipt; None where the message failed."""
        return self.told if isinstance(self.told, Receipt) else None

    @property
    def error(self) -> SMTPError | None:
        """The error; None where somebody has the message."""
        return None if isinstance(self.told, Receipt) else self.told

    def unwrap(self) -> Receipt:
        """Give the receipt, or raise the error."""
        if isinstance(self.told, Receipt):
            return self.told
        raise self.told


def failure_of(
    results: Results,
    cause: SMTPError | None,
    by: str = "DATA",
    sender: ReversePath | None = None,
) -> SMTPError | None:
    """Give the error that the results amount to; None where somebody accepted.

    `cause` is what ended the attempt, if not a reply did; `by` the command that the
    mail data went by; `sender` the reverse-path.
    """
    outcomes = {result.outcome for result in results}
    if UNKNOWN in outcomes:
        msg = "the connection ended before the server said whether it took the message"
        error = OutcomeUnknown(
            f"{msg}: {cause}" if cause else msg,
            stage=Stage.FINAL,
            recipients=results,
            temporary=True,
        )
        error.__cause__ = cause
        return error
    if ACCEPTED in outcomes:
        return None
    undecided = Outcome.NOT_SENT in outcomes
    if cause is not None and (undecided or isinstance(cause, NotSupported)):
        cause.recipients = results
        return cause
    refused = tuple(r for r in results if r.outcome is Outcome.REFUSED)
    return _refusal(results, refused, by, sender=sender)


def _refusal(
    results: Results,
    refused: Results,
    by: str,
    *,
    sender: ReversePath | None = None,
    kind: type[Refused] | None = None,
) -> NotDelivered:
    """Give the error for those who were refused, by the last thing that decided."""
    last = max(refused, key=_lateness)
    was_refused = last.outcome is not NOT_SENT
    usual, verb = _REFUSALS[last.stage] if was_refused else (Refused, "")
    command = by if verb is None else verb
    if was_refused:
        who = f"for {_named(refused)}"
        if sender is not None and last.stage is Stage.MAIL:
            who = f"from {printable(sender.wire)}"
        why = last.reply or "the server lacks an extension that is needed"
        msg = f"the server refused {command or 'the message'} {who}: {why}"
    else:
        stage = last.stage.value
        msg = f"the message was not sent to {_named(refused)} (stage: {stage})"
    return (kind or usual)(
        msg,
        command=command,
        stage=last.stage,
        reply=last.reply,
        recipients=results,
        temporary=any(result.temporary for result in refused),
    )


def _lateness(result: RecipientResult) -> int:
    """Tell how late somebody was refused; who was merely not sent to, before all."""
    return -1 if result.outcome is NOT_SENT else _LATENESS[result.stage]


def _named(refused: Results) -> str:
    """Name some, and how many more there are: the whole list would be a book."""
    some = [printable(result.address.encode()) for result in refused[:_NAMED]]
    others = len(refused) - len(some)
    return ", ".join(some) + (f" and {others} more" if others else "")
