"""What it costs to be observed: ``python -m benchmarks.observing``.

A server that is never waited for takes messages of 2 kB, so that all the time is the
client's; what is compared takes turns. Beside microseconds of the processor there are
calls of functions, which are the same on every machine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from statistics import median
from time import process_time
from typing import ClassVar, Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from esmtp_async import Event, Listener, OpenTelemetry, SMTPClient
from tests.client.canned import Canned
from tests.client.test_cost import calls_of, send
from tests.raw import NAME

_ROUNDS: Final = 15
_MESSAGES: Final = 1000


class Quiet:
    """Listens, but for commands and replies."""

    wants_lines: ClassVar[bool] = False

    def __call__(self, event: Event) -> None:
        """Do nothing."""


def every(event: Event) -> None:
    """Listen to everything."""


def listeners() -> Mapping[str, Listener | None]:
    """Give who listens, each by a name."""
    with_sdk = OpenTelemetry(
        tracer_provider=TracerProvider(), meter_provider=MeterProvider()
    )
    return {
        "nobody": None,
        "a function that does nothing": every,
        "the same with `wants_lines = False`": Quiet(),
        "`OpenTelemetry()`, no SDK": OpenTelemetry(),
        "`OpenTelemetry()`, the SDK, nothing exported": with_sdk,
    }


def client_of(listener: Listener | None) -> SMTPClient:
    """Give a client of a server of its own."""
    return SMTPClient(
        security="plaintext",
        client_hostname=NAME,
        connect=Canned().connect,
        max_messages_per_connection=None,
        on_event=listener,
    )


def sent(loop: asyncio.AbstractEventLoop, client: SMTPClient, count: int) -> None:
    """Send so many messages."""
    loop.run_until_complete(send(client, count))


def main() -> None:
    """Measure, and print a table."""
    logging.disable()
    observed = listeners()
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        clients = {who: client_of(each) for who, each in observed.items()}
        times: dict[str, list[float]] = {who: [] for who in clients}
        for turn in range(_ROUNDS + 1):
            for who, client in clients.items():
                before = process_time()
                sent(loop, client, _MESSAGES)
                if turn:  # the first is to get warm
                    times[who].append((process_time() - before) / _MESSAGES * 1e6)
        print("| who listens | µs | calls |\n|---|---|---|")
        for who, client in clients.items():
            few = calls_of(partial(sent, loop, client, 100))
            many = calls_of(partial(sent, loop, client, 200))
            each = (many - few) / 100
            print(f"| {who} | {median(times[who]):.0f} | {each:.0f} |")
            runner.run(client.aclose())


if __name__ == "__main__":
    main()
