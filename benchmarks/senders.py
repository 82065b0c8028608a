"""The Python libraries, each as a way to send a number of messages on end."""

from __future__ import annotations

import itertools
import smtplib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from typing import Final

import anyio

from benchmarks.jobs import HOST, NAME, SENDER, Job
from esmtp_async import Pipelining, SMTPClient
from esmtp_async._endpoint import Endpoint
from esmtp_async._transport import dial

#: Sends so many messages, over the connections that stand.
Batch = Callable[[int], Awaitable[None]]
#: Opens what messages go over, and gives the way to send them.
Sender = Callable[[Job], AbstractAsyncContextManager[Batch]]


def _client(job: Job, pipelining: Pipelining) -> SMTPClient:
    return SMTPClient(
        HOST,
        job.port,
        security="plaintext",
        client_hostname=NAME,
        pipelining=pipelining,
        max_messages_per_connection=None,
    )


@asynccontextmanager
async def esmtp_send(job: Job, pipelining: Pipelining) -> AsyncIterator[Batch]:
    """Call `send` for each message, from as many tasks as the job wants."""
    message, recipients = job.message, job.forward_paths
    async with _client(job, pipelining) as client:

        async def send_each(numbers: Iterable[int]) -> None:
            for _ in numbers:
                await client.send(message, sender=SENDER, recipients=recipients)

        async def batch(count: int) -> None:
            numbers = iter(range(count))
            if job.tasks == 1:
                await send_each(numbers)
                return
            async with anyio.create_task_group() as group:
                for _ in range(job.tasks):
                    group.start_soon(send_each, numbers)

        yield batch


@asynccontextmanager
async def esmtp_send_many(job: Job, pipelining: Pipelining) -> AsyncIterator[Batch]:
    """Call `send_many` once, for one connection."""
    letter = (job.message, SENDER, job.forward_paths)
    async with _client(job, pipelining) as client:

        async def batch(count: int) -> None:
            async with client.send_many(
                itertools.repeat(letter, count), window=job.window, connections=1
            ) as results:
                async for result in results:
                    result.unwrap()

        yield batch


@asynccontextmanager
async def aiosmtplib_sendmail(job: Job) -> AsyncIterator[Batch]:
    """Call `sendmail` of aiosmtplib for each message."""
    from aiosmtplib import SMTP  # noqa: PLC0415  # it may be missing

    message, recipients = job.message, job.forward_paths
    async with SMTP(
        hostname=HOST, port=job.port, local_hostname=NAME, start_tls=False
    ) as client:

        async def batch(count: int) -> None:
            for _ in range(count):
                await client.sendmail(SENDER, recipients, message)

        yield batch


@asynccontextmanager
async def smtplib_sendmail(job: Job) -> AsyncIterator[Batch]:
    """Call `sendmail` of the standard library for each message; the loop waits."""
    message, recipients = job.message, job.forward_paths
    with smtplib.SMTP(HOST, job.port, local_hostname=NAME) as client:

        async def batch(count: int) -> None:
            for _ in range(count):
                client.sendmail(SENDER, recipients, message)

        yield batch


@asynccontextmanager
async def smtpproto_send_message(job: Job) -> AsyncIterator[Batch]:
    """Call `send_message` of smtpproto, which takes no octets, for each message."""
    from smtpproto.client import AsyncSMTPClient  # noqa: PLC0415  # it may be missing

    message = message_from_bytes(job.message, EmailMessage, policy=policy.SMTP)
    recipients = job.forward_paths
    client = AsyncSMTPClient(HOST, job.port, domain=NAME)
    async with client.connect() as session:

        async def batch(count: int) -> None:
            for _ in range(count):
                await session.send_message(
                    message, sender=SENDER, recipients=recipients
                )

        yield batch


@asynccontextmanager
async def by_hand(job: Job) -> AsyncIterator[Batch]:
    """Write what a stream writes, over the same transport, and count the replies.

    Nothing is checked, decided or told: it is what the transport alone costs.
    """
    envelope = "".join(
        (
            f"MAIL FROM:<{SENDER}> SIZE={job.size}\r\n",
            *(f"RCPT TO:<{path}>\r\n" for path in job.forward_paths),
            "DATA\r\n",
        )
    ).encode()
    content = job.message + b".\r\n"
    async with await dial(Endpoint(HOST, job.port)) as stream:

        async def say(octets: bytes, replies: int) -> None:
            await stream.send(octets)
            while replies > 0:
                replies -= (await stream.receive()).count(b"\n")

        greeting = await stream.receive()
        await stream.send(f"EHLO {NAME}\r\n".encode())
        while b"\n250 " not in greeting:
            greeting += await stream.receive()

        async def batch(count: int) -> None:
            await say(envelope, job.recipients + 2)
            for _ in range(count - 1):
                await say(content + envelope, job.recipients + 3)
            await say(content, 1)

        yield batch


SENDERS: Final[dict[str, Sender]] = {
    "send": partial(esmtp_send, pipelining=Pipelining.CONFORMANT),
    "send, eager": partial(esmtp_send, pipelining=Pipelining.EAGER),
    "send_many": partial(esmtp_send_many, pipelining=Pipelining.CONFORMANT),
    "send_many, eager": partial(esmtp_send_many, pipelining=Pipelining.EAGER),
    "aiosmtplib": aiosmtplib_sendmail,
    "smtplib": smtplib_sendmail,
    "smtpproto": smtpproto_send_message,
    "by hand": by_hand,
}
