"""From a name to a connected socket, on the event loops of asyncio.

The addresses of a name are tried one after the other, each a moment after the one
before, and the first that answers is taken: "Happy Eyeballs" (RFC 8305).
"""

from __future__ import annotations

import asyncio
import os
import socket
from ipaddress import ip_address
from itertools import zip_longest
from typing import Final, NamedTuple

import anyio

#: Seconds before the next address is tried (RFC 8305 §5).
_DELAY: Final = 0.25


class _Address(NamedTuple):
    family: int
    address: tuple[str, int]


async def connect_tcp(
    host: str, port: int, local_address: str | None = None
) -> socket.socket:
    """Connect to a port of a host; raises `OSError`.

    The innermost cause of the error is what one attempt failed of, or a group of
    what several did.
    """
    local: _Address | None = None
    if local_address is not None:
        local = (await _resolve(local_address, 0))[0]
    found = await _resolve(host, port, local.family if local else socket.AF_UNSPEC)
    connected: list[socket.socket] = []
    failures: list[OSError] = []

    async def attempt(remote: _Address, failed: anyio.Event) -> None:
        try:
            connected.append(await _connect(remote, local))
        except OSError as error:
            failures.append(_placed(error, remote))
            failed.set()
        else:
            group.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as group:
            for remote in _interleaved(found):
                failed = anyio.Event()
                group.start_soon(attempt, remote, failed)
                with anyio.move_on_after(_DELAY):
                    await failed.wait()
    except BaseException:
        for each in connected:
            each.close()
        raise
    if not connected:
        reasons = failures[0] if len(failures) == 1 else ExceptionGroup("all", failures)
        raise OSError("all attempts to connect failed") from reasons
    taken, *others = connected
    for each in others:  # which answered in the same moment
        each.close()
    return taken


def _placed(error: OSError, remote: _Address) -> OSError:
    """Give an error the system's words and the address, which asyncio puts its own way.

    Of several attempts each tells by this where it was.
    """
    if error.errno:
        error.strerror = f"{os.strerror(error.errno)} ({remote.address[0]})"
    return error


async def _resolve(
    host: str, port: int, family: int = socket.AF_UNSPEC
) -> list[_Address]:
    try:
        version = ip_address(host).version
    except ValueError:
        found = await anyio.getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM
        )
        return [_Address(kind, address) for kind, _, _, _, address in found]
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    return [_Address(family, (host, port))]


def _interleaved(found: list[_Address]) -> list[_Address]:
    """Put an address of the other family behind each one (RFC 8305 §4)."""
    families = dict.fromkeys(each.family for each in found)
    kinds = ([each for each in found if each.family == family] for family in families)
    return [each for row in zip_longest(*kinds) for each in row if each is not None]


async def _connect(remote: _Address, local: _Address | None) -> socket.socket:
    connecting = socket.socket(remote.family, socket.SOCK_STREAM)
    try:
        connecting.settimeout(0)
        if local is not None:
            connecting.bind(local.address)
        await asyncio.get_running_loop().sock_connect(connecting, remote.address)
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connecting.close()
        raise
    return connecting
