"""Spans of OpenTelemetry: of each message, and of each connection that is opened."""

from __future__ import annotations

from contextvars import Token
from time import monotonic_ns, time_ns
from typing import NamedTuple

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider

from esmtp_async import _otel_names as names
from esmtp_async._events import (
    ConnectionClosed,
    ConnectionFailed,
    ConnectionOpened,
    ConnectionReady,
    Event,
    MessageFinished,
    MessageStarted,
    TLSStarted,
    TransactionStarted,
)
from esmtp_async._otel_names import Value


class _Message(NamedTuple):
    """A message under way."""

    span: Span
    #: What takes the span out of the caller's context again, if it is in there.
    token: Token[Context] | None


class _Connection(NamedTuple):
    """A connection that stands."""

    server: names.Attributes
    #: What is known of the other end, and of TLS.
    peer: dict[str, Value]
    #: What happened while it was opened, and when: nanoseconds of the monotonic clock,
    #: for the other one may be set meanwhile.
    marks: list[tuple[str, int]]


class Spans:
    """Makes them of events, with the current span for a parent.

    While `send` runs, its message's span is the current one of its task: what is logged
    or asked for meanwhile belongs to it. Those of `send_many` go side by side.
    """

    def __init__(
        self, provider: TracerProvider | None, version: str, *, personal: bool
    ) -> None:
        self._tracer = trace.get_tracer(names.SCOPE, version, provider, names.SCHEMA)
        self._personal = personal
        self._messages: dict[int, _Message] = {}
        self._connections: dict[int, _Connection] = {}

    def __call__(self, event: Event) -> None:
        """Take an event."""
        match event:
            case MessageStarted():
                self._message_started(event)
            case TransactionStarted():
                self._transaction_started(event)
            case MessageFinished():
                self._message_finished(event)
            case ConnectionOpened():
                self._connection_opened(event)
            case TLSStarted():
                self._tls_started(event)
            case ConnectionReady():
                self._connection_ready(event)
            case ConnectionFailed():
                self._connection_failed(event)
            case ConnectionClosed():
                self._connections.pop(event.connection, None)

    def _message_started(self, event: MessageStarted) -> None:
        """Begin the span of a message."""
        span = self._tracer.start_span(
            f"{event.protocol} send",
            kind=SpanKind.CLIENT,
            attributes=names.sending(event.server, event.protocol),
        )
        if not span.get_span_context().is_valid:
            return  # nobody collects them
        span.set_attribute("smtp.recipients", event.recipients)
        token = None
        if event.batch_index is None:
            token = context.attach(trace.set_span_in_context(span))
        else:
            span.set_attribute("smtp.batch.index", event.batch_index)
        self._messages[event.message] = _Message(span, token)

    def _transaction_started(self, event: TransactionStarted) -> None:
        """Note by which connection the message goes."""
        message = self._messages.get(event.message)
        if message is None:
            return
        connection = self._connections.get(event.connection)
        if connection is not None:
            message.span.set_attributes(connection.peer)
        told = {
            "smtp.connection": event.connection,
            "smtp.recipients": event.recipients,
        }
        message.span.add_event("smtp.transaction", told)

    def _message_finished(self, event: MessageFinished) -> None:
        """End the span of a message with what became of it."""
        message = self._messages.pop(event.message, None)
        if message is None:
            return
        span, token = message
        if span.is_recording():
            reply = names.reply_to(event)
            span.set_attributes(names.told_by(reply))
            counts = names.recipients(event)
            for outcome, count in counts.items():
                span.set_attribute(f"smtp.recipients.{outcome}", count)
            span.set_attribute("smtp.outcome", names.outcome(counts))
            span.set_attribute("smtp.transactions", event.transactions)
            if event.size is not None:
                span.set_attribute("messaging.message.body.size", event.size)
            if event.connection is not None:
                span.set_attribute("smtp.connection", event.connection)
            if self._personal:
                _tell_all(span, event)
            if event.raised is not None:
                self._fail(span, event.raised)
        span.end()
        if token is not None:
            context.detach(token)

    def _connection_opened(self, event: ConnectionOpened) -> None:
        """Note a connection."""
        server = names.server(event.server, event.protocol)
        marks = [("smtp.connected", monotonic_ns())]
        connection = _Connection(server, names.peer(event), marks)
        self._connections[event.connection] = connection

    def _tls_started(self, event: TLSStarted) -> None:
        """Note that a connection is protected now."""
        connection = self._connections.get(event.connection)
        if connection is not None:
            connection.peer.update(names.tls(event.tls))
            connection.marks.append(("smtp.tls", monotonic_ns()))

    def _connection_ready(self, event: ConnectionReady) -> None:
        """Make the span of a connection's opening."""
        connection = self._connections.get(event.connection)
        if connection is None:
            return
        protocol = connection.server["network.protocol.name"]
        attributes = {
            **connection.server,
            **connection.peer,
            "smtp.connection": event.connection,
        }
        if event.mechanism is not None:
            attributes["smtp.auth.mechanism"] = event.mechanism
        ready, elapsed = time_ns(), monotonic_ns()
        begun = ready - int(event.duration * 1e9)
        span = self._opening(f"{protocol} connect", attributes, begun)
        for name, when in connection.marks:
            span.add_event(name, timestamp=ready - (elapsed - when))
        span.end(ready)

    def _connection_failed(self, event: ConnectionFailed) -> None:
        """Make the span of an opening that failed."""
        attributes = {
            **names.server(event.server, event.protocol),
            **names.told_by(names.reply_of(event.error)),
        }
        if event.connection is not None:
            attributes["smtp.connection"] = event.connection
        begun = time_ns() - int(event.duration * 1e9)
        span = self._opening(f"{event.protocol} connect", attributes, begun)
        self._fail(span, event.error)
        span.end()

    def _opening(self, name: str, attributes: names.Attributes, begun: int) -> Span:
        return self._tracer.start_span(
            name, kind=SpanKind.CLIENT, attributes=attributes, start_time=begun
        )

    def _fail(self, span: Span, error: BaseException) -> None:
        span.set_attribute("error.type", names.error_type(error))
        if self._personal:
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, str(error)))
        else:
            span.set_status(Status(StatusCode.ERROR))


def _tell_all(span: Span, event: MessageFinished) -> None:
    """Tell what names people, or says what they wrote."""
    addresses = [result.address for result in event.recipients]
    span.set_attribute("smtp.recipients.addresses", addresses)
    if event.message_id is not None:
        span.set_attribute("messaging.message.id", event.message_id)
    reply = names.reply_to(event)
    if reply is not None:
        span.set_attribute("smtp.reply.text", reply.text)
