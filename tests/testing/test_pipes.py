"""In-memory pipes: octets, backpressure, ends and errors, as over TCP."""

from __future__ import annotations

import anyio
import pytest
from anyio import BrokenResourceError, BusyResourceError, ClosedResourceError
from anyio.streams.tls import TLSStream

from esmtp_async.testing import Authority, MemoryStream, memory_pipe
from tests.backends import everywhere

AUTHORITY = Authority("pipe.example.test")


@everywhere
async def test_octets_arrive_in_order_and_in_pieces_of_at_most_max_bytes() -> None:
    left, right = memory_pipe()
    await left.send(b"abc")
    await left.send(b"defg")
    await right.send(b"back")
    assert await right.receive(2) == b"ab"
    assert await right.receive(4) == b"cdef"
    assert await right.receive(1) == b"g"
    assert await left.receive() == b"back"


@everywhere
async def test_send_waits_while_the_pipe_is_full() -> None:
    left, right = memory_pipe(4)
    received = []
    sent = False

    async def send() -> None:
        nonlocal sent
        await left.send(b"0123456789")
        sent = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        for _ in range(2):
            assert not sent
            received.append(await right.receive())
            await anyio.wait_all_tasks_blocked()
    assert sent
    received.append(await right.receive())
    assert received == [b"0123", b"4567", b"89"]


@everywhere
async def test_receive_waits_for_octets() -> None:
    left, right = memory_pipe()
    with anyio.move_on_after(0.01) as scope:
        await right.receive()
    assert scope.cancelled_caught
    await left.send(b"late")
    assert await right.receive() == b"late"


@everywhere
async def test_what_was_sent_before_the_end_can_still_be_read() -> None:
    left, right = memory_pipe()
    await left.send(b"last words")
    await left.aclose()
    assert await right.receive(4) == b"last"
    assert await right.receive() == b" words"
    with pytest.raises(anyio.EndOfStream):
        await right.receive()


@everywhere
async def test_nothing_can_be_sent_to_a_closed_end() -> None:
    left, right = memory_pipe()
    assert not left.abandoned
    await right.aclose()
    assert left.abandoned
    with pytest.raises(BrokenResourceError):
        await left.send(b"x")


@everywhere
async def test_a_closed_end_can_be_closed_again_but_not_used() -> None:
    left, _right = memory_pipe()
    await left.aclose()
    await left.aclose()
    with pytest.raises(ClosedResourceError):
        await left.send(b"x")
    with pytest.raises(ClosedResourceError):
        await left.receive()


@everywhere
async def test_send_eof_closes_one_direction_only() -> None:
    left, right = memory_pipe()
    await left.send(b"question")
    await left.send_eof()
    with pytest.raises(ClosedResourceError):
        await left.send(b"more")
    assert await right.receive() == b"question"
    with pytest.raises(anyio.EndOfStream):
        await right.receive()
    await right.send(b"answer")
    assert await left.receive() == b"answer"


@everywhere
async def test_reset_loses_what_is_on_its_way() -> None:
    left, right = memory_pipe()
    await left.send(b"lost")
    await right.send(b"lost too")
    left.reset()
    assert right.abandoned
    for attempt in (right.receive(), right.send(b"x")):
        with pytest.raises(BrokenResourceError):
            await attempt
    with pytest.raises(ClosedResourceError):
        await left.receive()


@everywhere
@pytest.mark.parametrize("operation", ["receive", "send", "send_eof", "aclose"])
async def test_every_operation_can_be_cancelled(operation: str) -> None:
    left, right = memory_pipe()
    await right.send(b"there")
    arguments = (b"x",) if operation == "send" else ()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await getattr(left, operation)(*arguments)
    assert scope.cancelled_caught
    if operation == "send":
        await left.send(b"y")
        assert await right.receive() == b"y"
    if operation == "receive":
        assert await left.receive() == b"there"


async def send_eof(stream: MemoryStream) -> None:
    await stream.send_eof()


async def close(stream: MemoryStream) -> None:
    await stream.aclose()


async def reset(stream: MemoryStream) -> None:
    stream.reset()


@everywhere
@pytest.mark.parametrize(
    ("end", "whose", "error"),
    [
        (close, "peer", anyio.EndOfStream),
        (send_eof, "peer", anyio.EndOfStream),
        (close, "own", ClosedResourceError),
        (reset, "peer", BrokenResourceError),
        (reset, "own", ClosedResourceError),
    ],
)
async def test_a_waiting_receive_notices_the_end(
    end: type, whose: str, error: type[Exception]
) -> None:
    left, right = memory_pipe()

    async def receive() -> None:
        with pytest.raises(error):
            await left.receive()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        await end(right if whose == "peer" else left)


@everywhere
@pytest.mark.parametrize("end", [close, reset])
async def test_a_waiting_send_notices_the_end(end: type) -> None:
    left, right = memory_pipe(1)

    async def send() -> None:
        with pytest.raises(BrokenResourceError):
            await left.send(b"too much")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        await end(right)


@everywhere
async def test_two_tasks_cannot_use_one_direction() -> None:
    left, _right = memory_pipe(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(left.receive)
        tasks.start_soon(left.send, b"xx")
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError):
            await left.receive()
        with pytest.raises(BusyResourceError):
            await left.send(b"x")
        tasks.cancel_scope.cancel()


@everywhere
async def test_sizes_must_be_positive() -> None:
    with pytest.raises(ValueError, match="room"):
        memory_pipe(0)
    with pytest.raises(ValueError, match="positive"):
        await memory_pipe()[0].receive(0)


@everywhere
@pytest.mark.parametrize("capacity", [4096, 65536])
async def test_tls_runs_over_a_pipe(capacity: int) -> None:
    left, right = memory_pipe(capacity)

    async def serve() -> None:
        stream = await TLSStream.wrap(
            right,
            server_side=True,
            ssl_context=AUTHORITY.server_context,
            standard_compatible=False,
        )
        await stream.send((await stream.receive())[::-1])
        await stream.aclose()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        stream = await TLSStream.wrap(
            left,
            hostname="pipe.example.test",
            ssl_context=AUTHORITY.client_context,
            standard_compatible=False,
        )
        await stream.send(b"abc")
        assert await stream.receive() == b"cba"
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
