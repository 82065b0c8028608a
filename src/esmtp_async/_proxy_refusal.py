"""Why a proxy is no help."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Reason(Enum):
    """Why a proxy is no help: in words, and whether it may be one later."""

    LOGIN = ("does not let us in", False)
    RULES = ("refuses to connect to {server}", False)
    FAILURE = ("cannot connect to {server}", True)
    LANGUAGE = ("does not answer as such a proxy does", False)
    END = ("hung up before it was through to {server}", True)


class Refusal(NamedTuple):
    """Why this one is none, and what it says of it, as it came."""

    reason: Reason
    words: str
