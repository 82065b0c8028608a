"""An SMTP client for asyncio and trio.

::

    async with SMTPClient("smtp.example.org", username="a", password="b") as client:
        receipt = await client.send(message)

This is the front door. `esmtp_async.protocol` is the state machine without any
I/O, `esmtp_async.testing` a model server to test against.

What stands behind the door is loaded at the first use of a name, so that the
state machine can be imported without anything that does I/O.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esmtp_async._certificates import Certificate as Certificate
    from esmtp_async._client import SMTPClient as SMTPClient
    from esmtp_async._compose import compose as compose
    from esmtp_async._dkim import DkimSigner as DkimSigner
    from esmtp_async._dkimpy import ArcSealer as ArcSealer
    from esmtp_async._dkimpy import DkimpySigner as DkimpySigner
    from esmtp_async._endpoint import Security as Security
    from esmtp_async._events import CommandSent as CommandSent
    from esmtp_async._events import ConnectionAcquired as ConnectionAcquired
    from esmtp_async._events import ConnectionClosed as ConnectionClosed
    from esmtp_async._events import ConnectionFailed as ConnectionFailed
    from esmtp_async._events import ConnectionOpened as ConnectionOpened
    from esmtp_async._events import ConnectionReady as ConnectionReady
    from esmtp_async._events import ConnectionReleased as ConnectionReleased
    from esmtp_async._events import Event as Event
    from esmtp_async._events import Listener as Listener
    from esmtp_async._events import MessageFinished as MessageFinished
    from esmtp_async._events import MessageStarted as MessageStarted
    from esmtp_async._events import ReplyReceived as ReplyReceived
    from esmtp_async._events import TLSStarted as TLSStarted
    from esmtp_async._events import TransactionStarted as TransactionStarted
    from esmtp_async._events import WayGivenUp as WayGivenUp
    from esmtp_async._gssapi import Gssapi as Gssapi
    from esmtp_async._gssapi import Ntlm as Ntlm
    from esmtp_async._inquiries import ServerInfo as ServerInfo
    from esmtp_async._messages import Recipients as Recipients
    from esmtp_async._messages import Sendable as Sendable
    from esmtp_async._mime import Body as Body
    from esmtp_async._oauth import OAuthBearer as OAuthBearer
    from esmtp_async._oauth import XOAuth2 as XOAuth2
    from esmtp_async._once import send as send
    from esmtp_async._options import SendOptions as SendOptions
    from esmtp_async._otel import OpenTelemetry as OpenTelemetry
    from esmtp_async._pace import RateLimit as RateLimit
    from esmtp_async._plan import Plan as Plan
    from esmtp_async._plan import Problem as Problem
    from esmtp_async._proxy import through_proxy as through_proxy
    from esmtp_async._receipts import Receipt as Receipt
    from esmtp_async._receipts import SendResult as SendResult
    from esmtp_async._reports import Action as Action
    from esmtp_async._reports import DeliveryReport as DeliveryReport
    from esmtp_async._reports import Diagnostic as Diagnostic
    from esmtp_async._reports import ReportedRecipient as ReportedRecipient
    from esmtp_async._settings import ClientOptions as ClientOptions
    from esmtp_async._settings import Pipelining as Pipelining
    from esmtp_async._signing import Signer as Signer
    from esmtp_async._smime import smime_encrypt as smime_encrypt
    from esmtp_async._smime import smime_sign as smime_sign
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
    from esmtp_async.protocol._parameters import DeliverBy as DeliverBy
    from esmtp_async.protocol._redaction import Sealed as Sealed
    from esmtp_async.protocol._replies import EnhancedStatus as EnhancedStatus
    from esmtp_async.protocol._replies import Reply as Reply
    from esmtp_async.protocol._replies import Severity as Severity
    from esmtp_async.protocol._sasl import Anonymous as Anonymous
    from esmtp_async.protocol._sasl import CramMD5 as CramMD5
    from esmtp_async.protocol._sasl import External as External
    from esmtp_async.protocol._sasl import Login as Login
    from esmtp_async.protocol._sasl import Mechanism as Mechanism
    from esmtp_async.protocol._sasl import Plain as Plain
    from esmtp_async.protocol._sasl import Renewable as Renewable
    from esmtp_async.protocol._sasl import Secret as Secret
    from esmtp_async.protocol._scram import Scram as Scram
    from esmtp_async.protocol._scram import ScramSHA1 as ScramSHA1
    from esmtp_async.protocol._scram import ScramSHA256 as ScramSHA256
    from esmtp_async.protocol._scram import ScramSHA512 as ScramSHA512

    #: The version that is installed, for example `0.1.0`.
    __version__: str

__all__ = [
    "Action",
    "Anonymous",
    "ArcSealer",
    "AuthenticationFailed",
    "Body",
    "Certificate",
    "ClientOptions",
    "CommandSent",
    "ConnectFailed",
    "ConnectionAcquired",
    "ConnectionClosed",
    "ConnectionFailed",
    "ConnectionLost",
    "ConnectionOpened",
    "ConnectionReady",
    "ConnectionReleased",
    "ContentRefused",
    "CramMD5",
    "DeliverBy",
    "DeliveryReport",
    "Diagnostic",
    "DkimSigner",
    "DkimpySigner",
    "EnhancedStatus",
    "Event",
    "Extensions",
    "External",
    "GreetingRefused",
    "Gssapi",
    "HelloRefused",
    "InvalidInput",
    "Listener",
    "Login",
    "Mechanism",
    "MessageFinished",
    "MessageStarted",
    "NotDelivered",
    "NotSupported",
    "Ntlm",
    "OAuthBearer",
    "OpenTelemetry",
    "Outcome",
    "OutcomeUnknown",
    "Pipelining",
    "Plain",
    "Plan",
    "Problem",
    "ProtocolViolation",
    "RateLimit",
    "Receipt",
    "Recipient",
    "RecipientResult",
    "Recipients",
    "RecipientsRefused",
    "Refused",
    "Renewable",
    "Reply",
    "ReplyReceived",
    "ReportedRecipient",
    "SMTPClient",
    "SMTPError",
    "Scram",
    "ScramSHA1",
    "ScramSHA256",
    "ScramSHA512",
    "Sealed",
    "Secret",
    "Security",
    "SendOptions",
    "SendResult",
    "Sendable",
    "SenderRefused",
    "ServerInfo",
    "Severity",
    "Signer",
    "Stage",
    "StageTimeout",
    "TLSFailed",
    "TLSInfo",
    "TLSStarted",
    "Timeouts",
    "TransactionStarted",
    "WayGivenUp",
    "XOAuth2",
    "compose",
    "send",
    "smime_encrypt",
    "smime_sign",
    "through_proxy",
]

# The modules that the names are taken from.
_HOMES = (
    "_certificates",
    "_client",
    "_endpoint",
    "_events",
    "_gssapi",
    "_inquiries",
    "_messages",
    "_mime",
    "_oauth",
    "_once",
    "_options",
    "_pace",
    "_plan",
    "_receipts",
    "_settings",
    "_signing",
    "_timeouts",
    "_transport",
    "protocol._envelope",
    "protocol._exceptions",
    "protocol._extensions",
    "protocol._outcomes",
    "protocol._parameters",
    "protocol._redaction",
    "protocol._replies",
    "protocol._sasl",
    "protocol._scram",
)
# And those of names that sending does without.
_APART = {
    "Action": "_reports",
    "ArcSealer": "_dkimpy",
    "DeliveryReport": "_reports",
    "Diagnostic": "_reports",
    "DkimSigner": "_dkim",
    "DkimpySigner": "_dkimpy",
    "OpenTelemetry": "_otel",
    "ReportedRecipient": "_reports",
    "compose": "_compose",
    "smime_encrypt": "_smime",
    "smime_sign": "_smime",
    "through_proxy": "_proxy",
}

if not TYPE_CHECKING:  # where types are checked, only what is imported exists

    def __getattr__(name: str) -> object:
        """Load what stands behind the door: all that sending needs, or another."""
        if name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415

            return version("esmtp-async")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        for home in (_APART[name],) if name in _APART else _HOMES:
            _show(vars(import_module(f"{__name__}.{home}")))
        return globals()[name]


def _show(module: dict[str, object]) -> None:
    """Take a module's public names; they are told under the door they come by."""
    for name in __all__:
        if name in module:
            shown = globals()[name] = module[name]
            if str(getattr(shown, "__module__", "")).startswith(f"{__name__}."):
                shown.__module__ = __name__


def __dir__() -> list[str]:
    """Name what is public."""
    return __all__
