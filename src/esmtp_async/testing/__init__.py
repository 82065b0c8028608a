"""The third door: servers to test a client against, without a network.

`SMTPServer` is a model server that keeps every message and every breach of the RFCs.
`ScriptedServer` plays a dialogue written down as text. `memory_pipe` makes two
connected byte streams. `check_mechanism` holds a SASL mechanism against its contract.
"""

from __future__ import annotations

from esmtp_async.testing._contract import check_mechanism as check_mechanism
from esmtp_async.testing._pipes import MemoryStream as MemoryStream
from esmtp_async.testing._pipes import memory_pipe as memory_pipe
from esmtp_async.testing._rules import Rule as Rule
from esmtp_async.testing._script import Action as Action
from esmtp_async.testing._script import Script as Script
from esmtp_async.testing._script import Step as Step
from esmtp_async.testing._scripted import ScriptedServer as ScriptedServer
from esmtp_async.testing._server import SMTPServer as SMTPServer
from esmtp_async.testing._settings import DEFAULT_EXTENSIONS as DEFAULT_EXTENSIONS
from esmtp_async.testing._store import Record as Record
from esmtp_async.testing._store import Said as Said
from esmtp_async.testing._store import StoredMessage as StoredMessage
from esmtp_async.testing._store import StoredRecipient as StoredRecipient
from esmtp_async.testing._store import Tape as Tape
from esmtp_async.testing._tls import Authority as Authority

__all__ = [
    "DEFAULT_EXTENSIONS",
    "Action",
    "Authority",
    "MemoryStream",
    "Record",
    "Rule",
    "SMTPServer",
    "Said",
    "Script",
    "ScriptedServer",
    "Step",
    "StoredMessage",
    "StoredRecipient",
    "Tape",
    "check_mechanism",
    "memory_pipe",
]

# Names are shown and documented under the door they are reached by.
for _object in [globals()[_name] for _name in __all__]:
    if getattr(_object, "__module__", "").startswith(f"{__name__}."):
        _object.__module__ = __name__
