"""The three doors show what they say, and the second one does no I/O."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from dataclasses import is_dataclass
from importlib import import_module
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import get_type_hints

import pytest

import esmtp_async
import esmtp_async.protocol
import esmtp_async.testing

DOORS = ["esmtp_async", "esmtp_async.protocol", "esmtp_async.testing"]


def imported_names(door: str) -> list[str]:
    """Read the names that a door imports under their own name (`X as X`)."""
    path = inspect.getsourcefile(import_module(door))
    assert path is not None
    return [
        alias.asname
        for node in ast.walk(ast.parse(Path(path).read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is not None
    ]


@pytest.mark.parametrize("door", DOORS)
def test_every_name_is_there(door: str) -> None:
    module = import_module(door)
    names = imported_names(door)
    assert len(names) > 5
    assert [name for name in names if not hasattr(module, name)] == []


def test_all_is_what_is_imported() -> None:
    assert sorted(esmtp_async.__all__) == sorted(imported_names("esmtp_async"))
    assert dir(esmtp_async) == sorted(esmtp_async.__all__)


def test_a_name_that_is_not_public_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Postman'"):
        attrgetter("Postman")(esmtp_async)


def test_the_version_is_that_of_the_installed_package() -> None:
    assert esmtp_async.__version__ == version("esmtp-async")


def test_classes_are_told_under_the_front_door() -> None:
    for name in esmtp_async.__all__:
        shown = getattr(esmtp_async, name)
        if isinstance(shown, type):
            assert shown.__module__ == "esmtp_async", name


@pytest.mark.parametrize("door", DOORS)
def test_the_types_of_what_a_value_has_are_there_at_runtime(door: str) -> None:
    """They are no text but where any module knows them: `__module__` names the door."""
    module = import_module(door)
    values = [
        shown
        for name in imported_names(door)
        if isinstance(shown := getattr(module, name), type)
        and (is_dataclass(shown) or issubclass(shown, tuple))
    ]
    assert len(values) > 4
    assert all(get_type_hints(value) for value in values)


def test_the_third_door_shows_what_is_imported_there() -> None:
    door = esmtp_async.testing
    assert sorted(door.__all__) == sorted(imported_names("esmtp_async.testing"))
    assert dir(door) == sorted(door.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Postman'"):
        attrgetter("Postman")(door)
    for name in door.__all__:
        shown = getattr(door, name)
        if isinstance(shown, type):
            assert shown.__module__ == "esmtp_async.testing", name


@pytest.mark.parametrize(
    "door", ["esmtp_async.protocol", "esmtp_async.protocol._transaction"]
)
def test_the_machine_loads_nothing_that_does_io(door: str) -> None:
    program = f"import sys, {door}; print(*sys.modules)"
    # A measurement of coverage would load what it needs itself.
    plain = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=plain,
    )
    loaded = set(run.stdout.split())
    assert door in loaded
    assert loaded.isdisjoint({"anyio", "asyncio", "trio", "socket", "ssl", "select"})


def test_the_client_is_made_as_the_contract_says() -> None:
    signature = inspect.signature(esmtp_async.SMTPClient)
    keywords = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    positional = [name for name in signature.parameters if name not in keywords]
    assert positional == ["server", "port"]
    assert keywords == {
        **dict.fromkeys(
            [
                *("security", "ssl_context", "server_hostname", "username"),
                *("password", "auth", "client_hostname", "local_address", "connect"),
                *("timeouts", "max_age", "rate_limit", "xclient", "sign", "on_event"),
                "proxy",
            ]
        ),
        "allow_plaintext_auth": False,
        "max_connections": 10,
        "max_messages_per_connection": 100,
        "max_idle": 45.0,
        "pipelining": "conformant",
    }


def test_send_takes_what_the_contract_says() -> None:
    method = inspect.signature(esmtp_async.SMTPClient.send).parameters
    assert list(method) == [
        *("self", "message", "sender", "recipients", "options", "all_or_nothing"),
        "timeout",
    ]
    function = inspect.signature(esmtp_async.send).parameters
    assert list(function)[:3] == ["message", "server", "port"]
    assert set(method) - {"self"} <= set(function)
