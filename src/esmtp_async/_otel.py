"""OpenTelemetry: what a client does as spans and metrics, by its API package alone."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, ClassVar, Final

from esmtp_async._events import (
    ConnectionAcquired,
    ConnectionReleased,
    Event,
    TransactionStarted,
)
from esmtp_async.protocol._exceptions import InvalidInput

if TYPE_CHECKING:  # where it is missing, the rest works without it
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

_MISSING: Final = (
    "OpenTelemetry needs opentelemetry-api 1.30 or newer: "
    "pip install 'esmtp-async[otel]'"
)


class OpenTelemetry:
    """Makes spans and metrics of a client's events: `SMTPClient(on_event=...)`.

    It needs the API package alone, the extra `otel`. What the application sets up, by
    the SDK or otherwise, is found even if that is done later. One object may serve any
    number of clients, in any threads.

    A message has a span of kind CLIENT, `smtp send`, whose parent is the span in which
    `send` is called (or `send_many` entered); a connection that is opened has one too,
    `smtp connect`, below that of the message which it is opened for. The documentation
    names the attributes and the metrics, under "See what it does".

    Args:
        tracer_provider: Where spans go; the global provider unless given.
        meter_provider: Where measurements go; the global provider unless given.
        personal: Whether spans tell addresses, Message-IDs, the texts of replies and of
            errors. Metrics never do, and nothing tells what stands in a message.

    Raises:
        InvalidInput: where the API package is missing.
    """

    #: Commands and replies need not be told.
    wants_lines: ClassVar[bool] = False

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        personal: bool = False,
    ) -> None:
        try:
            from esmtp_async._otel_metrics import Metrics  # noqa: PLC0415
            from esmtp_async._otel_spans import Spans  # noqa: PLC0415
        except ImportError as error:
            raise InvalidInput(_MISSING) from error
        ours = version("esmtp-async")
        self._spans = Spans(tracer_provider, ours, personal=personal)
        self._metrics = Metrics(meter_provider, ours)

    def __call__(self, event: Event) -> None:
        """Take an event."""
        match event:
            case ConnectionAcquired() | ConnectionReleased():
                self._metrics(event)
            case TransactionStarted():
                self._spans(event)
            case _:
                self._metrics(event)
                self._spans(event)
