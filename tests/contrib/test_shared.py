"""Clients that a process shares: which of them there are, and for how long."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from esmtp_async import SyncSMTPClient
from esmtp_async.contrib._shared import SharedClients


class Kept(SyncSMTPClient):
    """A client that tells whether it is open."""

    closed = False

    def close(self) -> None:
        self.closed = True
        super().close()


def use(clients: SharedClients, key: object, make: Callable[[], Kept] = Kept) -> Kept:
    with clients.lease(key, make) as client:
        assert isinstance(client, Kept)
        assert not client.closed
        return client


def test_one_key_has_one_client() -> None:
    clients = SharedClients()
    assert use(clients, "a") is use(clients, "a")
    assert use(clients, "a") is not use(clients, "b")


def test_of_many_that_lie_idle_the_one_used_least_lately_goes() -> None:
    clients = SharedClients(most=2)
    a, b = use(clients, "a"), use(clients, "b")
    assert use(clients, "a") is a
    c = use(clients, "c")
    assert [each.closed for each in (a, b, c)] == [False, True, False]
    assert use(clients, "b") is not b


def test_one_that_is_used_stays_open() -> None:
    clients = SharedClients(most=1)
    with clients.lease("a", Kept) as a, clients.lease("a", Kept) as again:
        assert a is again
        b, c = use(clients, "b"), use(clients, "c")
        assert isinstance(a, Kept)
        assert [each.closed for each in (a, b, c)] == [False, True, False]
    assert [each.closed for each in (a, c)] == [True, False]


def test_a_forked_process_counts_none_of_its_parents() -> None:
    clients = SharedClients(most=1)
    of_the_parent = clients.lease("a", Kept)
    a = of_the_parent.__enter__()
    clients.begin_anew()
    use(clients, "b")
    assert isinstance(a, Kept)
    assert a.closed


def test_a_client_that_cannot_be_made_leaves_nothing_behind() -> None:
    clients = SharedClients()

    def fail() -> Kept:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        use(clients, "a", fail)
    assert not use(clients, "a").closed


def test_all_are_closed_together_and_made_anew() -> None:
    clients = SharedClients()
    a, b = use(clients, "a"), use(clients, "b")
    clients.close()
    assert a.closed
    assert b.closed
    assert use(clients, "a") is not a
