"""How a connection ends that does not end well: the errors, by the stage reached."""

from __future__ import annotations

from esmtp_async.protocol._exceptions import (
    ConnectionLost,
    NotDelivered,
    ProtocolViolation,
    RemoteProtocolError,
    StageTimeout,
    TLSFailed,
)
from esmtp_async.protocol._outcomes import Stage


def loss(stage: Stage) -> NotDelivered:
    """Give the error for a server that is gone; at STARTTLS there is no TLS then."""
    msg = f"the server closed the connection (stage: {stage.value})"
    if stage is Stage.STARTTLS:
        return TLSFailed(msg, stage=stage, temporary=True)
    return ConnectionLost(msg, stage=stage, temporary=True)


def timeout(stage: Stage, seconds: float) -> NotDelivered:
    """Give the error for a stage whose time is up."""
    msg = f"no progress within {seconds:g} s (stage: {stage.value})"
    return StageTimeout(msg, stage=stage, temporary=True)


def too_late(
    stage: Stage, seconds: float | None, server: object, advice: str
) -> StageTimeout:
    """Give the error for a message whose time is up."""
    msg = f"{server}: not sent within {seconds:g} s (stage: {stage.value}){advice}"
    return StageTimeout(msg, stage=stage, temporary=True)


def violation(stage: Stage, error: RemoteProtocolError) -> NotDelivered:
    """Give the error for what no server may say."""
    msg = f"the server broke the protocol (stage: {stage.value}): {error}"
    if stage is Stage.STARTTLS:
        return TLSFailed(msg, stage=stage)
    return ProtocolViolation(msg, stage=stage, temporary=True)
