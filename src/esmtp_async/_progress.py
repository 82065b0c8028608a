"""How far a call has come, for whoever has to tell where it ended."""

from __future__ import annotations

from esmtp_async._connection import Connection
from esmtp_async.protocol._outcomes import Stage


class Progress:
    """How far somebody has come who wants to use a connection."""

    def __init__(self) -> None:
        #: The connection, once it stands.
        self.connection: Connection | None = None
        self._stage = Stage.POOL

    def reach(self, stage: Stage) -> None:
        """Note a stage before there is a connection to ask."""
        self._stage = stage

    @property
    def stage(self) -> Stage:
        """Where it has come to."""
        return self._stage if self.connection is None else self.connection.stage
