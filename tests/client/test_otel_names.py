"""The names of spans and metrics are those of the newest conventions known."""

from __future__ import annotations

from opentelemetry.semconv._incubating.attributes import (
    messaging_attributes,
    tls_attributes,
)
from opentelemetry.semconv._incubating.metrics import messaging_metrics
from opentelemetry.semconv.attributes import (
    error_attributes,
    network_attributes,
    server_attributes,
)
from opentelemetry.semconv.schemas import Schemas

from esmtp_async import _otel_names as names


def test_the_names_are_those_of_the_conventions() -> None:
    conventions = {
        value
        for module in (
            *(messaging_attributes, tls_attributes, messaging_metrics),
            *(error_attributes, network_attributes, server_attributes),
        )
        for value in vars(module).values()
        if isinstance(value, str)
    }
    ours = {
        *names.sending("h:25", "smtp"),
        *names.tls("TLSv1.3"),
        *("network.peer.address", "network.peer.port", "network.transport"),
        *("error.type", "messaging.message.body.size", "messaging.message.id"),
        *("messaging.client.operation.duration", "messaging.client.sent.messages"),
    }
    assert ours <= conventions
    assert names.SCHEMA in {schema.value for schema in Schemas}
