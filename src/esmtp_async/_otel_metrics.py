"""Metrics of OpenTelemetry: messages, recipients, octets, connections, and times."""

from __future__ import annotations

from typing import Final

from opentelemetry import metrics
from opentelemetry.metrics import MeterProvider

from esmtp_async import _otel_names as names
from esmtp_async._events import (
    ConnectionAcquired,
    ConnectionClosed,
    ConnectionFailed,
    ConnectionOpened,
    ConnectionReady,
    ConnectionReleased,
    Event,
    MessageFinished,
    MessageStarted,
)
from esmtp_async._otel_names import Attributes, Value

# Those that the semantic conventions have for messages, in seconds.
_SECONDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25),
    *(0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
# Octets: from a line to the largest that servers take.
_OCTETS: Final = tuple(1024 * 4**power for power in range(9))

_STATE: Final = "smtp.client.connection.state"


class Metrics:
    """Counts and measures by events."""

    def __init__(self, provider: MeterProvider | None, version: str) -> None:
        meter = metrics.get_meter(names.SCOPE, version, provider, names.SCHEMA)
        self._duration = meter.create_histogram(
            "messaging.client.operation.duration",
            unit="s",
            description="Duration of sending a message.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._messages = meter.create_counter(
            "messaging.client.sent.messages",
            unit="{message}",
            description="Messages that were to be sent.",
        )
        self._recipients = meter.create_counter(
            "smtp.client.recipients",
            unit="{recipient}",
            description="Recipients, by what became of the message for them.",
        )
        self._size = meter.create_histogram(
            "smtp.client.message.size",
            unit="By",
            description="Octets of the mail data of messages.",
            explicit_bucket_boundaries_advisory=_OCTETS,
        )
        self._connections = meter.create_up_down_counter(
            "smtp.client.connection.count",
            unit="{connection}",
            description="Connections that are used, or lie idle.",
        )
        self._create_time = meter.create_histogram(
            "smtp.client.connection.create_time",
            unit="s",
            description="Time to make a connection ready for mail, or to fail.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._wait_time = meter.create_histogram(
            "smtp.client.connection.wait_time",
            unit="s",
            description="Time to get a connection of the pool.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._sending: dict[int, Attributes] = {}
        # Where each connection goes to, and whether it is used or idle.
        self._servers: dict[int, Attributes] = {}
        self._states: dict[int, str] = {}

    def __call__(self, event: Event) -> None:
        """Take an event."""
        match event:
            case MessageStarted(number, server=server, protocol=protocol):
                self._sending[number] = names.sending(server, protocol)
            case MessageFinished():
                self._message_finished(event)
            case ConnectionAcquired():
                self._connection_acquired(event)
            case ConnectionReleased(number, kept):
                if kept:
                    self._change(number, "idle")
            case ConnectionOpened():
                self._connection_opened(event)
            case ConnectionReady():
                self._connection_ready(event)
            case ConnectionFailed():
                self._connection_failed(event)
            case ConnectionClosed(number):
                self._change(number, None)
                self._servers.pop(number, None)

    def _message_finished(self, event: MessageFinished) -> None:
        """Count a message and its recipients; measure how long it took."""
        sending = self._sending.pop(event.message)
        counts = names.recipients(event)
        told: dict[str, Value] = {**sending, "smtp.outcome": names.outcome(counts)}
        if event.raised is not None:
            told["error.type"] = names.error_type(event.raised)
        self._duration.record(event.duration, told)
        self._messages.add(1, told)
        if event.size is not None:
            self._size.record(event.size, told)
        for outcome, count in counts.items():
            self._recipients.add(count, {**told, "smtp.outcome": outcome})

    def _connection_opened(self, event: ConnectionOpened) -> None:
        """Count a connection, which somebody uses."""
        server = names.server(event.server, event.protocol)
        self._servers[event.connection] = server
        self._change(event.connection, "used")

    def _connection_ready(self, event: ConnectionReady) -> None:
        """Measure how long it took to open."""
        server = self._servers[event.connection]
        self._create_time.record(event.duration, server)

    def _connection_failed(self, event: ConnectionFailed) -> None:
        """Measure how long it took to fail."""
        server = names.server(event.server, event.protocol)
        told = {**server, "error.type": names.error_type(event.error)}
        self._create_time.record(event.duration, told)

    def _connection_acquired(self, event: ConnectionAcquired) -> None:
        """Measure how long it was waited for."""
        self._wait_time.record(event.waited, self._servers[event.connection])
        self._change(event.connection, "used")

    def _change(self, connection: int, state: str | None) -> None:
        server = self._servers.get(connection)
        before = self._states.pop(connection, None)
        if server is None:
            return
        if state is not None:
            self._states[connection] = state
        for change, which in ((-1, before), (1, state)):
            if which is not None:
                self._connections.add(change, {**server, _STATE: which})
