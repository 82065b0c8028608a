"""The layers: a file imports only from what stands above it in this list."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import esmtp_async

PACKAGE: Final = "esmtp_async"
ROOT: Final = Path(esmtp_async.__file__).parent

#: Each file once, the lowest layer first; a package is its door, `__init__.py`.
LAYERS: Final = """
    protocol._replies
    protocol._outcomes
    protocol._exceptions
    protocol._grammar
    protocol._addresses
    protocol._reader
    protocol._extensions
    protocol._content
    protocol._commands
    protocol._states
    protocol._session
    protocol._sasl
    protocol._exchange
    protocol._envelope
    protocol._transaction
    protocol

    _headers
    _mime
    _messages
    _endpoint
    _timeouts
    _events
    _transport
    _receipts
    _connection
    _pool
    _settings
    _dialer
    _delivery
    _client
    esmtp_async

    testing._answers
    testing._pipes
    testing._rules
    testing._script
    testing._store
    testing._tls
    testing._wire
    testing._sasl
    testing._settings
    testing._arguments
    testing._inspection
    testing._dialogue
    testing._authentication
    testing._transactions
    testing._session
    testing._hosting
    testing._scripted
    testing._server
    testing

    _conversation
    _demo
    _cli
    __main__
""".split()  # noqa: SIM905  # the gaps are part of the list

#: What the protocol must do without: it reads, writes and waits for nothing.
INPUT_AND_OUTPUT: Final = {
    "anyio",
    "asyncio",
    "select",
    "selectors",
    "socket",
    "ssl",
    "threading",
    "time",
    "trio",
}

#: All that the model server shares with the client that is tested against it: how
#: replies, addresses and errors are written, never what the protocol says.
SHARED: Final = {
    "protocol._replies",
    "protocol._exceptions",
    "protocol._grammar",
    "protocol._addresses",
}


def layer(path: Path) -> str:
    """Give a file's name in the list."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts) or PACKAGE


FILES: Final = {layer(path): path for path in ROOT.rglob("*.py")}


def imports(source: str) -> Iterator[str]:
    """Give what a source imports: other layers by their names in the list."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}".removeprefix(f"{PACKAGE}.")
                names.append(inner if inner in FILES else f"{node.module}")
        for name in names:
            yield name.removeprefix(f"{PACKAGE}.")


def test_the_list_names_every_file_once() -> None:
    assert sorted(LAYERS) == sorted(FILES)


@pytest.mark.parametrize("name", LAYERS)
def test_a_file_imports_only_from_the_layers_below_it(name: str) -> None:
    source = FILES[name].read_text(encoding="utf-8")
    below = LAYERS[: LAYERS.index(name)]
    own = [n for n in imports(source) if n in LAYERS or n.split(".")[0] in LAYERS]
    assert [imported for imported in own if imported not in below] == []


@pytest.mark.parametrize("name", [n for n in LAYERS if n.startswith("protocol")])
def test_the_protocol_does_no_input_or_output(name: str) -> None:
    source = FILES[name].read_text(encoding="utf-8")
    outer = {imported.split(".")[0] for imported in imports(source)}
    assert outer & INPUT_AND_OUTPUT == set()


@pytest.mark.parametrize("name", [n for n in LAYERS if n.startswith("testing")])
def test_the_model_server_reads_the_rfcs_for_itself(name: str) -> None:
    source = FILES[name].read_text(encoding="utf-8")
    protocol = {n for n in imports(source) if n.split(".")[0] == "protocol"}
    assert protocol <= SHARED


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import ssl, socket as s", ["ssl", "socket"]),
        ("from anyio.abc import ByteStream", ["anyio.abc"]),
        ("from esmtp_async.protocol._states import ROWS", ["protocol._states"]),
        (
            "from esmtp_async.protocol import _states, State",
            ["protocol._states", "protocol"],
        ),
        ("from esmtp_async import _client", ["_client"]),
        ("from esmtp_async import SMTPClient", ["esmtp_async"]),
        ("import esmtp_async.testing", ["testing"]),
        ("def f():\n    import time", ["time"]),
        ("if TYPE_CHECKING:\n    import trio", ["trio"]),
    ],
)
def test_imports_are_found_however_they_are_written(
    source: str, found: list[str]
) -> None:
    assert list(imports(source)) == found


def test_a_relative_import_is_refused() -> None:
    with pytest.raises(AssertionError, match="relative"):
        list(imports("from . import _states"))
