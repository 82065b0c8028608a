"""What a conversation asks of whoever drives it, beside sending commands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final, NamedTuple

from esmtp_async.protocol._outcomes import Stage


class Ask(Enum):
    """What needs nothing but doing."""

    #: Go on once every command on its way is answered.
    WAIT = "wait"
    #: Do the TLS handshake, then call `Session.secured`; the answer is the server's
    #: certificate, DER.
    UPGRADE = "upgrade"
    #: There is nothing to say at present: ask again when a reply has come.
    PAUSE = "pause"


#: Go on once every command on its way is answered.
WAIT: Final = Ask.WAIT
#: Do the TLS handshake.
UPGRADE: Final = Ask.UPGRADE
#: There is nothing to say at present.
PAUSE: Final = Ask.PAUSE


class Fetch(NamedTuple):
    """Await this; the answer is its result."""

    #: Whose time limit bounds it.
    stage: Stage
    #: What to call and await; its result is the answer.
    call: Callable[[], Awaitable[bytes]]


class Compute(NamedTuple):
    """Call this where it holds nobody up, for it takes long; answer its result."""

    #: Whose time limit bounds it.
    stage: Stage
    #: What to call; its result is the answer.
    call: Callable[[], bytes]
