"""The third door: servers to test a client against, without a network.

`SMTPServer` is a model server that keeps every message and every breach of the RFCs;
`ThreadedServer` is one that serves tests of any kind, and pytest's fixture
`smtp_server`. `assert_sent` tells what a server took instead of what it should have.
`ScriptedServer` plays a dialogue written down as text, `Recorder` writes one down.
`memory_pipe` makes two connected byte streams. `check_mechanism` holds a SASL mechanism
against its contract.

What stands behind the door is loaded at the first use of a name: pytest opens it in
every run, for the plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esmtp_async.testing._assertions import Expected as Expected
    from esmtp_async.testing._assertions import Inbox as Inbox
    from esmtp_async.testing._assertions import (
        assert_nothing_sent as assert_nothing_sent,
    )
    from esmtp_async.testing._assertions import assert_sent as assert_sent
    from esmtp_async.testing._contract import check_mechanism as check_mechanism
    from esmtp_async.testing._pipes import MemoryStream as MemoryStream
    from esmtp_async.testing._pipes import memory_pipe as memory_pipe
    from esmtp_async.testing._recording import Recorder as Recorder
    from esmtp_async.testing._rules import Rule as Rule
    from esmtp_async.testing._script import Action as Action
    from esmtp_async.testing._script import Script as Script
    from esmtp_async.testing._script import Step as Step
    from esmtp_async.testing._scripted import ScriptedServer as ScriptedServer
    from esmtp_async.testing._server import SMTPServer as SMTPServer
    from esmtp_async.testing._settings import DEFAULT_EXTENSIONS as DEFAULT_EXTENSIONS
    from esmtp_async.testing._settings import ServerOptions as ServerOptions
    from esmtp_async.testing._store import Attachment as Attachment
    from esmtp_async.testing._store import Record as Record
    from esmtp_async.testing._store import Said as Said
    from esmtp_async.testing._store import StoredMessage as StoredMessage
    from esmtp_async.testing._store import StoredRecipient as StoredRecipient
    from esmtp_async.testing._store import Tape as Tape
    from esmtp_async.testing._threaded import ThreadedServer as ThreadedServer
    from esmtp_async.testing._tls import Authority as Authority

# The modules that the names are taken from.
_HOMES = {
    "DEFAULT_EXTENSIONS": "_settings",
    "Action": "_script",
    "Attachment": "_store",
    "Authority": "_tls",
    "Expected": "_assertions",
    "Inbox": "_assertions",
    "MemoryStream": "_pipes",
    "Record": "_store",
    "Recorder": "_recording",
    "Rule": "_rules",
    "SMTPServer": "_server",
    "Said": "_store",
    "Script": "_script",
    "ScriptedServer": "_scripted",
    "ServerOptions": "_settings",
    "Step": "_script",
    "StoredMessage": "_store",
    "StoredRecipient": "_store",
    "Tape": "_store",
    "ThreadedServer": "_threaded",
    "assert_nothing_sent": "_assertions",
    "assert_sent": "_assertions",
    "check_mechanism": "_contract",
    "memory_pipe": "_pipes",
}

__all__ = [
    "DEFAULT_EXTENSIONS",
    "Action",
    "Attachment",
    "Authority",
    "Expected",
    "Inbox",
    "MemoryStream",
    "Record",
    "Recorder",
    "Rule",
    "SMTPServer",
    "Said",
    "Script",
    "ScriptedServer",
    "ServerOptions",
    "Step",
    "StoredMessage",
    "StoredRecipient",
    "Tape",
    "ThreadedServer",
    "assert_nothing_sent",
    "assert_sent",
    "check_mechanism",
    "memory_pipe",
]

if not TYPE_CHECKING:  # where types are checked, only what is imported exists

    def __getattr__(name: str) -> object:
        """Load what stands behind the door; it is told under the door it comes by."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        shown = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        if str(getattr(shown, "__module__", "")).startswith(f"{__name__}."):
            shown.__module__ = __name__
        globals()[name] = shown
        return shown


def __dir__() -> list[str]:
    """Name what is public."""
    return __all__
