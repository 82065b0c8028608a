"""Round trips of a first message: greeting, EHLO, TLS, AUTH and all.

``python -m benchmarks.cold ROUNDS`` prints them, for each way to send a message when
nothing is open yet. The model server and the clients share a process: what they take
besides waiting for the line is the same on both lines, and cancels out.
"""

from __future__ import annotations

import importlib.util
import json
import smtplib
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final, NamedTuple

import anyio
from anyio import to_thread

from benchmarks.jobs import HOST, NAME, SENDER, Job
from benchmarks.processes import output
from benchmarks.sinks import far_away
from benchmarks.trips import FAR, NEAR, trips
from esmtp_async import SMTPClient
from esmtp_async.testing import SMTPServer

_PASSWORD: Final = "secret"  # noqa: S105  # nobody's
_LETTER: Final = Job(0, 1)
_TO: Final = _LETTER.forward_paths


class Door(NamedTuple):
    """A server behind a line."""

    server: SMTPServer
    port: int
    #: Whom to trust; None where there is neither TLS nor AUTH.
    context: ssl.SSLContext | None

    def client(self) -> SMTPClient:
        """Make a client for it."""
        return self.server.client(
            connect=lambda: anyio.connect_tcp(HOST, self.port), client_hostname=NAME
        )


async def ours(door: Door) -> float:
    """Send by a new client, which says QUIT later, when it is closed."""
    async with door.client() as client:
        begun = time.perf_counter()
        await client.send(_LETTER.message, sender=SENDER, recipients=_TO)
        return time.perf_counter() - begun


async def ours_closed(door: Door) -> float:
    """Send by a client that is made and closed for it, as `esmtp_async.send` does."""
    begun = time.perf_counter()
    async with door.client() as client:
        await client.send(_LETTER.message, sender=SENDER, recipients=_TO)
    return time.perf_counter() - begun


async def aiosmtplib_send(door: Door) -> float:
    """Call `aiosmtplib.send`."""
    from aiosmtplib import send  # noqa: PLC0415  # it may be missing

    begun = time.perf_counter()
    await send(
        _LETTER.message,
        sender=SENDER,
        recipients=_TO,
        hostname=HOST,
        port=door.port,
        local_hostname=NAME,
        start_tls=door.context is not None,
        tls_context=door.context,
        username=None if door.context is None else "alice",
        password=None if door.context is None else _PASSWORD,
    )
    return time.perf_counter() - begun


async def smtplib_sendmail(door: Door) -> float:
    """Do with smtplib what its documentation does, in a thread."""

    def send() -> float:
        begun = time.perf_counter()
        with smtplib.SMTP(HOST, door.port, local_hostname=NAME) as client:
            if door.context is not None:
                client.starttls(context=door.context)
                client.login("alice", _PASSWORD)
            client.sendmail(SENDER, _TO, _LETTER.message)
        return time.perf_counter() - begun

    return await to_thread.run_sync(send)


WAYS: Final[dict[str, Callable[[Door], Awaitable[float]]]] = {
    "**esmtp_async** `SMTPClient.send`": ours,
    "**esmtp_async** `send`, closed behind": ours_closed,
    "aiosmtplib `send`": aiosmtplib_send,
    "smtplib": smtplib_sendmail,
}
#: What is asked of a client, to whether the server wants it.
DOORS: Final = {"in the clear": False, "STARTTLS and AUTH": True}


async def count(rounds: int) -> dict[str, list[float]]:
    """Count the round trips of each way, through each of the doors."""
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    if not importlib.util.find_spec("aiosmtplib"):
        del found["aiosmtplib `send`"]
    for protected in DOORS.values():
        server = SMTPServer(
            hostname=HOST,
            starttls=protected,
            users={"alice": _PASSWORD} if protected else {},
        )
        async with server.listen(), AsyncExitStack() as stack:
            near, far = (
                Door(
                    server,
                    stack.enter_context(far_away(server.port or 0, length)),
                    server.client_context if protected else None,
                )
                for length in (NEAR, FAR)
            )
            for name, taken in found.items():
                pairs = [
                    (await WAYS[name](near), await WAYS[name](far))
                    for _ in range(rounds)
                ]
                least_near, least_far = map(min, zip(*pairs, strict=True))
                taken.append(trips(least_near, least_far))
    return found


def round_trips(rounds: int) -> dict[str, list[float]]:
    """Count in a process of its own: a list a way, in the order of the doors."""
    found: dict[str, list[float]] = json.loads(output("cold", rounds))
    return found


def main() -> None:
    """Do what the command line says."""
    print(json.dumps(anyio.run(count, int(sys.argv[1]))))


if __name__ == "__main__":
    main()
