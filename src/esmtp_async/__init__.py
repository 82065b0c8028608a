"""An SMTP client for asyncio and trio.

::

    async with SMTPClient("smtp.example.org", username="a", password="b") as client:
        receipt = await client.send(message)

This is the front door. `esmtp_async.protocol` is the state machine without any
I/O, `esmtp_async.testing` a model server to test against.
"""

from __future__ import annotations

from esmtp_async._client import ServerInfo as ServerInfo
from esmtp_async._client import SMTPClient as SMTPClient
from esmtp_async._client import send as send
from esmtp_async._endpoint import Security as Security
from esmtp_async._events import CommandSent as CommandSent
from esmtp_async._events import ConnectionClosed as ConnectionClosed
from esmtp_async._events import ConnectionOpened as ConnectionOpened
from esmtp_async._events import Event as Event
from esmtp_async._events import MessageFinished as MessageFinished
from esmtp_async._events import ReplyReceived as ReplyReceived
from esmtp_async._events import TLSStarted as TLSStarted
from esmtp_async._messages import Recipients as Recipients
from esmtp_async._messages import Sendable as Sendable
from esmtp_async._messages import SendOptions as SendOptions
from esmtp_async._receipts import Receipt as Receipt
from esmtp_async._settings import ClientOptions as ClientOptions
from esmtp_async._settings import Pipelining as Pipelining
from esmtp_async._timeouts import Timeouts as Timeouts
from esmtp_async._transport import TLSInfo as TLSInfo
from esmtp_async.protocol._envelope import Recipient as Recipient
from esmtp_async.protocol._exceptions import (
    AuthenticationFailed as AuthenticationFailed,
)
from esmtp_async.protocol._exceptions import ConnectFailed as ConnectFailed
from esmtp_async.protocol._exceptions import ConnectionLost as ConnectionLost
from esmtp_async.protocol._exceptions import ContentRefused as ContentRefused
from esmtp_async.protocol._exceptions import GreetingRefused as GreetingRefused
from esmtp_async.protocol._exceptions import HelloRefused as HelloRefused
from esmtp_async.protocol._exceptions import InvalidInput as InvalidInput
from esmtp_async.protocol._exceptions import NotDelivered as NotDelivered
from esmtp_async.protocol._exceptions import NotSupported as NotSupported
from esmtp_async.protocol._exceptions import OutcomeUnknown as OutcomeUnknown
from esmtp_async.protocol._exceptions import ProtocolViolation as ProtocolViolation
from esmtp_async.protocol._exceptions import RecipientsRefused as RecipientsRefused
from esmtp_async.protocol._exceptions import Refused as Refused
from esmtp_async.protocol._exceptions import SenderRefused as SenderRefused
from esmtp_async.protocol._exceptions import SMTPError as SMTPError
from esmtp_async.protocol._exceptions import StageTimeout as StageTimeout
from esmtp_async.protocol._exceptions import TLSFailed as TLSFailed
from esmtp_async.protocol._extensions import Extensions as Extensions
from esmtp_async.protocol._outcomes import Outcome as Outcome
from esmtp_async.protocol._outcomes import RecipientResult as RecipientResult
from esmtp_async.protocol._outcomes import Stage as Stage
from esmtp_async.protocol._replies import EnhancedStatus as EnhancedStatus
from esmtp_async.protocol._replies import Reply as Reply
from esmtp_async.protocol._replies import Severity as Severity
from esmtp_async.protocol._sasl import Login as Login
from esmtp_async.protocol._sasl import Mechanism as Mechanism
from esmtp_async.protocol._sasl import Plain as Plain
from esmtp_async.protocol._sasl import Secret as Secret

__all__ = [
    "AuthenticationFailed",
    "ClientOptions",
    "CommandSent",
    "ConnectFailed",
    "ConnectionClosed",
    "ConnectionLost",
    "ConnectionOpened",
    "ContentRefused",
    "EnhancedStatus",
    "Event",
    "Extensions",
    "GreetingRefused",
    "HelloRefused",
    "InvalidInput",
    "Login",
    "Mechanism",
    "MessageFinished",
    "NotDelivered",
    "NotSupported",
    "Outcome",
    "OutcomeUnknown",
    "Pipelining",
    "Plain",
    "ProtocolViolation",
    "Receipt",
    "Recipient",
    "RecipientResult",
    "Recipients",
    "RecipientsRefused",
    "Refused",
    "Reply",
    "ReplyReceived",
    "SMTPClient",
    "SMTPError",
    "Secret",
    "Security",
    "SendOptions",
    "Sendable",
    "SenderRefused",
    "ServerInfo",
    "Severity",
    "Stage",
    "StageTimeout",
    "TLSFailed",
    "TLSInfo",
    "TLSStarted",
    "Timeouts",
    "send",
]

# Names are shown, pickled and documented under the door they are reached by.
for _object in [globals()[_name] for _name in __all__]:
    if getattr(_object, "__module__", "").startswith(f"{__name__}."):
        _object.__module__ = __name__
