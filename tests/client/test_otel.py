"""OpenTelemetry: the spans and the metrics of a client, as its SDK collects them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    InMemoryMetricReader,
    NumberDataPoint,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from esmtp_async import (
    AuthenticationFailed,
    ConnectFailed,
    InvalidInput,
    OpenTelemetry,
    OutcomeUnknown,
    RecipientsRefused,
    SMTPClient,
    XOAuth2,
)
from esmtp_async import _otel_names as names
from tests.backends import everywhere, in_virtual_time
from tests.client.canned import Canned
from tests.client.certificates import client_context, server_context
from tests.client.checks import ALICE, BOB, CAROL, MESSAGE, failure, send, simple
from tests.client.test_cost import calls_of
from tests.raw import EOF, HANG, NAME, Server, offering, script, serving

Values = Mapping[str, object]


class Telemetry:
    """Collects what is told of a client."""

    def __init__(self, *, personal: bool = False) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        meters = MeterProvider([self._reader])
        #: The listener.
        self.listen = OpenTelemetry(
            tracer_provider=self.provider, meter_provider=meters, personal=personal
        )
        #: An application's own.
        self.tracer = self.provider.get_tracer("application")

    def spans(self, name: str = "") -> list[ReadableSpan]:
        """Give the spans that have ended, in that order."""
        ended = self._exporter.get_finished_spans()
        return [span for span in ended if name in (span.name, "")]

    def metrics(self) -> dict[str, Sequence[NumberDataPoint | HistogramDataPoint]]:
        """Give what was measured until now, by the names of the metrics."""
        data = self._reader.get_metrics_data()
        assert data is not None
        (resource,) = data.resource_metrics
        (scope,) = resource.scope_metrics
        found: dict[str, Sequence[NumberDataPoint | HistogramDataPoint]] = {}
        for metric in scope.metrics:
            points = [
                point
                for point in metric.data.data_points
                if isinstance(point, NumberDataPoint | HistogramDataPoint)
            ]
            found[metric.name] = points
        return found

    def counts(self, name: str, by: str) -> dict[object, float]:
        """Give the values of a metric by one of its attributes."""
        counts: dict[object, float] = {}
        for point in self.metrics().get(name, ()):
            value = point.value if isinstance(point, NumberDataPoint) else point.count
            key = (point.attributes or {}).get(by)
            counts[key] = counts.get(key, 0) + value
        return counts

    def everything(self) -> str:
        """Give all that was told, as text."""
        data = self._reader.get_metrics_data()
        assert data is not None
        return data.to_json() + "".join(span.to_json() for span in self.spans())


def attributes(span: ReadableSpan) -> Values:
    return span.attributes or {}


def is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    return (
        span.parent is not None
        and parent.context is not None
        and span.parent.span_id == parent.context.span_id
    )


def where(server: Server) -> Values:
    return {
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "network.protocol.name": "smtp",
    }


def peer(server: Server) -> Values:
    return {
        "network.peer.address": "127.0.0.1",
        "network.peer.port": server.port,
        "network.transport": "tcp",
    }


SENDING: Final[Values] = {
    "messaging.system": "smtp",
    "messaging.operation.name": "send",
    "messaging.operation.type": "send",
}


# Spans


@everywhere
async def test_a_message_and_its_connection() -> None:
    told = Telemetry()
    talk = script(
        EHLO=[offering("STARTTLS"), offering("PIPELINING", "AUTH PLAIN")],
        RCPT=[b"250 ok\r\n", b"550 5.1.1 no\r\n"],
        CONTENT=b"250 2.0.0 queued as 7\r\n",
    )
    async with serving(talk, tls=server_context()) as server:
        async with server.client(
            security="starttls",
            ssl_context=client_context(),
            username="u",
            password="p",
            on_event=told.listen,
        ) as client:
            with told.tracer.start_as_current_span("request"):
                await send(client, recipients=[BOB, CAROL])
    connect, message, request = told.spans()
    assert (connect.name, message.name) == ("smtp connect", "smtp send")
    assert connect.kind is message.kind is SpanKind.CLIENT
    assert is_child(message, request)
    assert is_child(connect, message)
    number = attributes(connect)["smtp.connection"]
    version = attributes(connect)["tls.protocol.version"]
    assert version in {"1.2", "1.3"}
    tls = {"tls.protocol.name": "tls", "tls.protocol.version": version}
    assert attributes(connect) == {
        **where(server),
        **peer(server),
        **tls,
        "smtp.connection": number,
        "smtp.auth.mechanism": "PLAIN",
    }
    assert attributes(message) == {
        **SENDING,
        **where(server),
        **peer(server),
        **tls,
        "smtp.connection": number,
        "smtp.recipients": 2,
        "smtp.recipients.accepted": 1,
        "smtp.recipients.refused": 1,
        "smtp.outcome": "partial",
        "smtp.transactions": 1,
        "smtp.reply.code": 250,
        "smtp.reply.enhanced_status": "2.0.0",
        "messaging.message.body.size": len(MESSAGE),
    }
    assert [event.name for event in connect.events] == ["smtp.connected", "smtp.tls"]
    (begun,) = message.events
    assert begun.name == "smtp.transaction"
    assert begun.attributes == {"smtp.connection": number, "smtp.recipients": 2}
    for span in (connect, message):
        assert span.status.status_code is StatusCode.UNSET
        scope = span.instrumentation_scope
        assert scope is not None
        assert (scope.name, scope.schema_url) == (names.SCOPE, names.SCHEMA)
    times = [connect.start_time, connect.end_time, begun.timestamp, message.end_time]
    known = [time for time in times if time is not None]
    assert known == sorted(known)
    assert len(known) == 4
    marks = [event.timestamp for event in connect.events]
    assert known[0] <= marks[0] <= marks[1] <= known[1]


@everywhere
async def test_each_of_many_callers_has_its_own() -> None:
    told = Telemetry()

    async def request(number: int, client: SMTPClient) -> None:
        with told.tracer.start_as_current_span(f"request {number}") as span:
            await send(client, recipients=[BOB] if number % 2 else [BOB, CAROL])
            assert trace.get_current_span() is span
            await send(client)
            assert trace.get_current_span() is span

    async with serving(script(CONTENT=(0.01, b"250 ok\r\n"))) as server:
        async with server.client(max_connections=3, on_event=told.listen) as client:
            async with anyio.create_task_group() as group:
                for number in range(12):
                    group.start_soon(request, number, client)
    messages = told.spans("smtp send")
    connects = told.spans("smtp connect")
    assert (len(messages), len(connects)) == (24, 3)
    for number in range(12):
        (request_span,) = told.spans(f"request {number}")
        mine = [span for span in messages if is_child(span, request_span)]
        first, second = (attributes(span)["smtp.recipients"] for span in mine)
        assert (first, second) == (1 if number % 2 else 2, 1)
    for connect in connects:
        assert sum(is_child(connect, message) for message in messages) == 1


@everywhere
async def test_what_is_done_meanwhile_belongs_to_the_message() -> None:
    told = Telemetry()

    async def token() -> str:
        with told.tracer.start_as_current_span("token"):
            return "t"

    async def blocks() -> AsyncIterator[bytes]:
        with told.tracer.start_as_current_span("block"):
            await anyio.lowlevel.checkpoint()
        yield MESSAGE

    talk = script(EHLO=offering("PIPELINING", "AUTH XOAUTH2"))
    async with serving(talk) as server:
        async with server.client(
            auth=XOAuth2("u", token), allow_plaintext_auth=True, on_event=told.listen
        ) as client:
            before = trace.get_current_span()
            await send(client, blocks())
            assert trace.get_current_span() is before
    (message,), (block,) = told.spans("smtp send"), told.spans("block")
    (fetched,) = told.spans("token")
    assert is_child(block, message)
    assert is_child(fetched, message)


@everywhere
async def test_a_batch_belongs_to_whoever_began_it() -> None:
    told = Telemetry()
    async with serving(script()) as server:
        async with server.client(on_event=told.listen) as client:
            with told.tracer.start_as_current_span("batch") as span:
                many = [(MESSAGE, ALICE, BOB)] * 5
                async with client.send_many(many, connections=2) as results:
                    async for result in results:
                        result.unwrap()
                        assert trace.get_current_span() is span
    (batch,) = told.spans("batch")
    messages = told.spans("smtp send")
    assert sorted(str(attributes(m)["smtp.batch.index"]) for m in messages) == [
        *"01234"
    ]
    for each in (*messages, *told.spans("smtp connect")):
        assert is_child(each, batch)


@everywhere
async def test_a_refusal() -> None:
    told = Telemetry()
    async with serving(script(RCPT=b"550 5.1.1 no such user\r\n")) as server:
        async with server.client(on_event=told.listen) as client:
            await failure(client, RecipientsRefused)
    (message,) = told.spans("smtp send")
    assert message.status.status_code is StatusCode.ERROR
    assert message.status.description is None
    shown = attributes(message)
    assert shown["error.type"] == "RecipientsRefused"
    assert shown["smtp.outcome"] == "refused"
    assert (shown["smtp.reply.code"], shown["smtp.reply.enhanced_status"]) == (
        550,
        "5.1.1",
    )
    assert told.counts("messaging.client.sent.messages", "error.type") == {
        "RecipientsRefused": 1
    }


@everywhere
async def test_what_nobody_knows() -> None:
    told = Telemetry()
    async with serving(script(CONTENT=EOF)) as server:
        async with server.client(on_event=told.listen) as client:
            await failure(client, OutcomeUnknown)
    (message,) = told.spans("smtp send")
    assert message.status.status_code is StatusCode.ERROR
    shown = attributes(message)
    assert (shown["error.type"], shown["smtp.outcome"]) == ("OutcomeUnknown", "unknown")
    assert "smtp.reply.code" not in shown


@everywhere
async def test_a_server_that_is_not_there() -> None:
    told = Telemetry()
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with SMTPClient("127.0.0.1", port, on_event=told.listen) as client:
        await failure(client, ConnectFailed)
    connect, message = told.spans()
    assert is_child(connect, message)
    failed = {"error.type": "ConnectFailed"}
    there = {
        "server.address": "127.0.0.1",
        "server.port": port,
        "network.protocol.name": "smtp",
    }
    assert attributes(connect) == {**there, **failed}
    assert attributes(message) == {
        **SENDING,
        **there,
        **failed,
        "smtp.recipients": 1,
        "smtp.recipients.not_sent": 1,
        "smtp.outcome": "not_sent",
        "smtp.transactions": 0,
    }
    assert connect.status.status_code is StatusCode.ERROR
    assert told.counts("smtp.client.connection.create_time", "error.type") == {
        "ConnectFailed": 1
    }
    assert "smtp.client.connection.count" not in told.metrics()


@everywhere
async def test_credentials_that_are_refused() -> None:
    told = Telemetry()
    talk = script(EHLO=offering("AUTH PLAIN"), AUTH=b"535 5.7.8 no\r\n")
    async with serving(talk) as server:
        async with server.client(
            username="u", password="p", allow_plaintext_auth=True, on_event=told.listen
        ) as client:
            await failure(client, AuthenticationFailed)
    connect, message = told.spans()
    for span in (connect, message):
        shown = attributes(span)
        assert shown["error.type"] == "AuthenticationFailed"
        assert shown["smtp.reply.enhanced_status"] == "5.7.8"
    assert isinstance(attributes(connect)["smtp.connection"], int)
    assert set(told.counts("smtp.client.connection.count", "x").values()) == {0}


@in_virtual_time
async def test_a_cancelled_one() -> None:
    told = Telemetry()
    async with serving(script(MAIL=HANG)) as server:
        async with server.client(on_event=told.listen) as client:
            with told.tracer.start_as_current_span("request") as span:
                with anyio.move_on_after(0.1):
                    await send(client)
                assert trace.get_current_span() is span
    (message,) = told.spans("smtp send")
    assert message.status.status_code is StatusCode.ERROR
    assert attributes(message)["error.type"] == "cancelled"
    assert attributes(message)["smtp.outcome"] == "not_sent"


@everywhere
async def test_a_retry_is_a_second_transaction() -> None:
    told = Telemetry()
    dying = script(MAIL=[b"250 ok\r\n", EOF])
    async with serving(dying, script()) as server:
        async with server.client(on_event=told.listen) as client:
            await send(client)
            assert (await send(client)).attempts == 2
    first, second = told.spans("smtp send")
    assert [len(span.events) for span in (first, second)] == [1, 2]
    numbers = [(e.attributes or {})["smtp.connection"] for e in second.events]
    assert numbers[0] == attributes(first)["smtp.connection"]
    assert numbers[1] == attributes(second)["smtp.connection"] != numbers[0]


@everywhere
async def test_lmtp_over_a_stream_that_tells_nothing() -> None:
    told = Telemetry()
    async with serving(script()) as server:
        async with server.client(
            scheme="lmtp", connect=server.connect_in_memory, on_event=told.listen
        ) as client:
            await send(client)
    connect, message = told.spans()
    assert (connect.name, message.name) == ("lmtp connect", "lmtp send")
    for span in (connect, message):
        assert attributes(span)["network.protocol.name"] == "lmtp"
        assert "network.peer.address" not in attributes(span)


@everywhere
async def test_a_unix_socket(tmp_path: Path) -> None:
    told = Telemetry()
    path = tmp_path / "s"
    async with serving(script(), path=path):
        url = f"lmtp+unix://{path}"
        async with SMTPClient(
            url, client_hostname=NAME, on_event=told.listen
        ) as client:
            await send(client)
    for span in told.spans():
        shown = attributes(span)
        assert shown["server.address"] == shown["network.peer.address"] == str(path)
        assert shown["network.transport"] == "unix"
        assert "server.port" not in shown
        assert "network.peer.port" not in shown


# What is told of people


@everywhere
@pytest.mark.parametrize("personal", [False, True])
async def test_people_are_named_only_if_asked_for(personal: bool) -> None:  # noqa: FBT001  # pytest's
    told = Telemetry(personal=personal)
    talk = script(
        MAIL=[b"250 ok\r\n", b"550 5.1.8 alice is unknown here\r\n"],
        CONTENT=b"250 2.0.0 bob shall have it\r\n",
    )
    async with serving(talk) as server:
        async with server.client(on_event=told.listen) as client:
            receipt = await send(client, simple(Subject="the-subject"))
            with pytest.raises(Exception, match="alice is unknown"):
                await send(client)
    everything = told.everything()
    assert receipt.message_id is not None
    id_part = receipt.message_id.strip("<>")
    for text in (BOB, "bob shall", id_part, "alice is unknown"):
        assert (text in everything) is personal, text
    for text in ("the-subject", "Hello"):
        assert text not in everything
    first, second = told.spans("smtp send")
    if personal:
        assert attributes(first)["smtp.recipients.addresses"] == (BOB,)
        assert attributes(first)["messaging.message.id"] == receipt.message_id
        assert attributes(first)["smtp.reply.text"] == "2.0.0 bob shall have it"
        assert [e.name for e in second.events] == ["smtp.transaction", "exception"]
        assert "alice is unknown" in (second.status.description or "")


# Metrics


@everywhere
async def test_messages_recipients_and_octets_are_counted() -> None:
    told = Telemetry()
    taken = b"250 ok\r\n"
    talk = script(RCPT=[taken, taken, taken, b"550 no\r\n"])
    async with serving(talk) as server:
        async with server.client(on_event=told.listen) as client:
            await send(client)
            await send(client, recipients=[BOB, CAROL, ALICE])
            await failure(client, RecipientsRefused)
    by = "smtp.outcome"
    assert told.counts("messaging.client.sent.messages", by) == {
        "accepted": 1,
        "partial": 1,
        "refused": 1,
    }
    assert told.counts("messaging.client.operation.duration", by) == {
        "accepted": 1,
        "partial": 1,
        "refused": 1,
    }
    assert told.counts("smtp.client.recipients", by) == {"accepted": 3, "refused": 2}
    metrics = told.metrics()
    sums = {
        (point.attributes or {})["smtp.outcome"]: point.sum
        for point in metrics["smtp.client.message.size"]
        if isinstance(point, HistogramDataPoint)
    }
    assert sums == dict.fromkeys(("accepted", "partial", "refused"), len(MESSAGE))
    for point in metrics["messaging.client.operation.duration"]:
        assert isinstance(point, HistogramDataPoint)
        assert point.explicit_bounds[:2] == (0.005, 0.01)
        assert 0 < point.sum < 60
        shown = {**(point.attributes or {})}
        shown.pop("error.type", None)
        shown.pop("smtp.outcome")
        assert shown == {**SENDING, **where(server)}


@everywhere
async def test_connections_are_used_or_idle_or_gone() -> None:
    told = Telemetry()
    seen: list[dict[object, float]] = []

    def look() -> None:
        state = "smtp.client.connection.state"
        seen.append(told.counts("smtp.client.connection.count", state))

    talk = script(CONTENT=(look, b"250 ok\r\n"))
    async with serving(talk) as server:
        async with server.client(on_event=told.listen) as client:
            await send(client)
            look()
            await send(client)
            await client.noop()
            look()
        look()
    assert seen == [
        {"used": 1},
        {"used": 0, "idle": 1},
        {"used": 1, "idle": 0},
        {"used": 0, "idle": 1},
        {"used": 0, "idle": 0},
    ]
    assert told.counts("smtp.client.connection.create_time", "error.type") == {None: 1}
    assert told.counts("smtp.client.connection.wait_time", "error.type") == {None: 3}


@in_virtual_time
async def test_a_connection_that_leaves_is_never_idle() -> None:
    told = Telemetry()
    async with serving(script(QUIT=HANG)) as server:
        async with server.client(
            max_messages_per_connection=1, on_event=told.listen
        ) as client:
            await send(client)
            state = "smtp.client.connection.state"
            seen = told.counts("smtp.client.connection.count", state)
    assert seen == {"used": 1}


# Where nobody collects it


@everywhere
async def test_what_is_not_sampled_is_still_in_the_context() -> None:
    told = Telemetry()
    provider = TracerProvider(sampler=ALWAYS_OFF)
    listener = OpenTelemetry(tracer_provider=provider)
    inner: list[trace.SpanContext] = []

    async def blocks() -> AsyncIterator[bytes]:
        inner.append(trace.get_current_span().get_span_context())
        yield MESSAGE

    async with serving(script()) as server:
        async with server.client(on_event=[told.listen, listener]) as client:
            before = trace.get_current_span()
            await send(client, blocks())
            assert trace.get_current_span() is before
    (context,) = inner
    assert context.is_valid
    # And two listeners leave nothing in the context of each other.
    assert len(told.spans("smtp send")) == 1


async def _send(client: SMTPClient, count: int) -> None:
    for _ in range(count):
        await client.send(MESSAGE, sender=ALICE, recipients=BOB)


def calls(listener: OpenTelemetry | None) -> float:
    """Give the calls of functions that a message comes to."""
    server = Canned()
    client = SMTPClient(
        security="plaintext",
        client_hostname=NAME,
        connect=server.connect,
        max_messages_per_connection=None,
        on_event=listener,
    )
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        loop.run_until_complete(_send(client, 20))
        few = calls_of(lambda: loop.run_until_complete(_send(client, 100)))
        many = calls_of(lambda: loop.run_until_complete(_send(client, 200)))
        runner.run(client.aclose())
    return (many - few) / 100


def kept(listener: OpenTelemetry) -> int:
    """Count what is remembered of messages and connections."""
    spans, metrics = listener._spans, listener._metrics
    return (
        len(spans._messages)
        + len(spans._connections)
        + len(metrics._sending)
        + len(metrics._servers)
        + len(metrics._states)
    )


def test_without_the_sdk_it_costs_little_and_keeps_nothing() -> None:
    listener = OpenTelemetry()
    assert calls(listener) - calls(None) < 100
    assert kept(listener) == 0


def test_with_the_sdk_nothing_is_kept_either() -> None:
    told = Telemetry()
    calls(told.listen)
    assert len(told.spans("smtp send")) == 20 + 100 + 200
    assert kept(told.listen) == 0


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("esmtp_async._otel_metrics", "esmtp_async._otel_spans"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(InvalidInput, match=r"pip install 'esmtp-async\[otel\]'"):
        OpenTelemetry()


# Names


@pytest.mark.parametrize(
    ("server", "address", "port"),
    [
        ("mail.example.test:587", "mail.example.test", 587),
        ("[2001:db8::1]:25", "2001:db8::1", 25),
        ("/run/dovecot/lmtp", "/run/dovecot/lmtp", None),
        ("/run/a:25", "/run/a:25", None),
    ],
)
def test_servers(server: str, address: str, port: int | None) -> None:
    shown = names.server(server, "lmtp")
    assert (shown["server.address"], shown.get("server.port")) == (address, port)
