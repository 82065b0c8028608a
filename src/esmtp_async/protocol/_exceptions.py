"""Everything this library raises.

::

    SMTPError
    ├── InvalidInput (also ValueError)      before any octet was written
    ├── NotDelivered                        nobody accepted, nobody unknown
    │   ├── Refused                         the server said no: .reply, .command
    │   │   ├── GreetingRefused, HelloRefused, AuthenticationFailed
    │   │   └── SenderRefused, RecipientsRefused, ContentRefused
    │   ├── NotSupported                    .extension is needed and not offered
    │   ├── TLSFailed                       required and not to be had
    │   ├── ConnectFailed, ConnectionLost   (also ConnectionError)
    │   ├── StageTimeout                    (also TimeoutError)
    │   └── ProtocolViolation               the server broke the protocol
    └── OutcomeUnknown                      it may or may not have been taken

    LocalProtocolError                      a command the session cannot send now
    RemoteProtocolError                     octets no server may send

The last two belong to the sans-IO machine: the first tells the author of a
driver of a mistake and changes nothing, the second ends the session. Users of
the client meet the second one as `ProtocolViolation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypedDict, TypeVar, Unpack

from esmtp_async.protocol._outcomes import RecipientResult, Stage
from esmtp_async.protocol._replies import Reply

_E = TypeVar("_E", bound=Exception)

#: Characters of what is told of bad input.
_MAX_MESSAGE: Final = 600


class Circumstances(TypedDict, total=False):
    """What every error of sending tells beside its message."""

    #: Where in the conversation it happened; LOCAL unless given.
    stage: Stage
    #: The reply that decided, if one did.
    reply: Reply | None
    #: What became of each recipient, in the caller's order.
    recipients: tuple[RecipientResult, ...]
    #: Whether the same message may go through later, unchanged; False unless given.
    temporary: bool


class SMTPError(Exception):
    """The base of all errors of sending; its attributes tell what became of it."""

    #: Whether sending the same message again can never make a duplicate.
    retry_safe: bool = True

    def __init__(self, message: str, **circumstances: Unpack[Circumstances]) -> None:
        super().__init__(message)
        #: Where in the conversation it happened.
        self.stage: Stage = circumstances.get("stage", Stage.LOCAL)
        #: The reply that decided, if one did.
        self.reply: Reply | None = circumstances.get("reply")
        #: What became of each recipient, in the caller's order.
        self.recipients: tuple[RecipientResult, ...] = circumstances.get(
            "recipients", ()
        )
        #: Whether the same message may go through later, unchanged.
        self.temporary: bool = circumstances.get("temporary", False)


class InvalidInput(SMTPError, ValueError):
    """The caller's input cannot be sent; nothing was written because of it.

    What is wrong is shown, but of what is long only as much as tells which one it is.
    """

    def __init__(self, message: str, **circumstances: Unpack[Circumstances]) -> None:
        if len(message) > _MAX_MESSAGE:
            half = _MAX_MESSAGE // 2
            message = f"{message[:half]} ... {message[-half:]}"
        super().__init__(message, **circumstances)


def check_type(what: str, value: object, *kinds: type) -> None:
    """Refuse a value of other types; it is not shown, for it may be a secret."""
    if not isinstance(value, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        msg = f"{what} is of type {type(value).__name__}, not {names}"
        raise InvalidInput(msg)


def bare(error: _E) -> _E:
    """Give an error without what it went through, whose variables may be secret."""
    error.__context__ = None
    return error.with_traceback(None)


class NotDelivered(SMTPError):
    """No recipient's message was taken, and none can have been."""


class Refused(NotDelivered):
    """The server said no; `reply` has its words and `command` the question."""

    def __init__(
        self,
        message: str,
        *,
        command: str = "",
        **circumstances: Unpack[Circumstances],
    ) -> None:
        reply = circumstances.get("reply")
        circumstances.setdefault("temporary", reply is not None and reply.temporary)
        super().__init__(message, **circumstances)
        #: The verb that was refused, for example `RCPT`; empty for the greeting.
        self.command: str = command


class GreetingRefused(Refused):
    """The server does not serve us: its greeting was 4yz or 5yz (RFC 5321 §3.1)."""


class HelloRefused(Refused):
    """EHLO, or HELO after it, was refused (RFC 5321 §4.1.1.1)."""


class AuthenticationFailed(Refused):
    """We could not authenticate, or may not under the conditions (RFC 4954)."""

    def __init__(
        self,
        message: str,
        *,
        mechanism: str = "",
        details: Mapping[str, str] | None = None,
        command: str = "",
        **circumstances: Unpack[Circumstances],
    ) -> None:
        super().__init__(message, command=command, **circumstances)
        #: The SASL mechanism, once one was begun; for example `XOAUTH2`.
        self.mechanism: str = mechanism
        #: What the server told of the reason beside its reply, where the
        #: mechanism has a place for it: `status`, `scope` (RFC 7628 §3.2.2).
        self.details: Mapping[str, str] = dict(details or {})

    def __str__(self) -> str:
        """Give the message, and the details behind it."""
        details = ", ".join(f"{name}={value}" for name, value in self.details.items())
        return f"{super().__str__()} ({details})" if details else super().__str__()


class SenderRefused(Refused):
    """The reverse-path was refused: 4yz or 5yz to MAIL (RFC 5321 §4.1.1.2)."""


class RecipientsRefused(Refused):
    """Every forward-path was refused: no 2yz to any RCPT (RFC 5321 §4.1.1.3).

    From `Receipt.raise_for_refused` it tells of some, wherever that was decided.
    """


class ContentRefused(Refused):
    """The message was refused: at DATA, at BDAT, or after its end (RFC 5321 §3.3)."""


class NotSupported(NotDelivered):
    """The message needs an extension the server does not offer."""

    def __init__(
        self,
        message: str,
        *,
        extension: str = "",
        **circumstances: Unpack[Circumstances],
    ) -> None:
        super().__init__(message, **circumstances)
        #: The EHLO keyword, for example `SMTPUTF8`.
        self.extension: str = extension


class TLSFailed(NotDelivered):
    """TLS is required and was not to be had as required (RFC 3207, RFC 8314)."""

    def __init__(
        self,
        message: str,
        *,
        certificate_error: str = "",
        **circumstances: Unpack[Circumstances],
    ) -> None:
        super().__init__(message, **circumstances)
        #: Why the server's certificate does not verify; empty if it is not that.
        self.certificate_error: str = certificate_error


class ConnectFailed(NotDelivered, ConnectionError):
    """No connection came about: the name, the network or the port."""


class ConnectionLost(NotDelivered, ConnectionError):
    """The connection ended before the server could have the message."""


class StageTimeout(NotDelivered, TimeoutError):
    """A stage took longer than its limit, before the server could have it."""


class ProtocolViolation(NotDelivered):
    """The server broke the protocol; the connection was dropped at once."""


class OutcomeUnknown(SMTPError):
    """The end of the message was on its way and no clear reply came (RFC 1047).

    Sending it again may make a duplicate, so it never happens by itself.
    `__cause__` is the error that ended the wait.
    """

    retry_safe = False


class LocalProtocolError(Exception):
    """A command was given to the session that it cannot send in its state."""


class RemoteProtocolError(Exception):
    """The server sent what no server may send there; the session is closed."""
