"""Every server in every way of talking to it, as parameters of tests.

``nox -s matrix`` runs them all, and wherever the other tests here run, a few of each
server: every pipelining and every security has its turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, product
from typing import Final, NamedTuple

import pytest

from ._dovecot_lmtp import DovecotLmtpServer, DovecotLmtpSocketServer
from ._private import PrivateServer
from .conftest import SERVERS

EVERY: Final = (*SERVERS, DovecotLmtpServer, DovecotLmtpSocketServer)
PIPELINING: Final = ("off", "conformant", "eager")


class Row(NamedTuple):
    """One way of talking to a server."""

    kind: type[PrivateServer]
    pipelining: str
    security: str


def _all(kind: type[PrivateServer]) -> Iterator[Row]:
    for pipelining, security in product(PIPELINING, kind.SECURITIES):
        yield Row(kind, pipelining, security)


def _some(kind: type[PrivateServer]) -> Iterator[Row]:
    for pipelining, security in zip(PIPELINING, cycle(kind.SECURITIES), strict=False):
        yield Row(kind, pipelining, security)


def parametrized(
    rows: Iterable[Row], quick: Sequence[Row] = ()
) -> pytest.MarkDecorator:
    """Parametrise a test; what is not `quick` is run by ``nox -s matrix`` alone."""
    return pytest.mark.parametrize(
        ("server", "pipelining", "security"),
        [
            pytest.param(
                *row,
                id="-".join((row.kind.NAME, *row[1:])),
                marks=() if row in quick else pytest.mark.matrix,
            )
            for row in rows
        ],
        indirect=["server"],
    )


SOME: Final = [row for kind in EVERY for row in _some(kind)]
ALL: Final = [row for kind in EVERY for row in _all(kind)]
#: One of each server.
ONE_EACH: Final = [row for row in SOME if row.pipelining == "conformant"]
