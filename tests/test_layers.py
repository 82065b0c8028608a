"""A file imports only from files below it, and the machine imports no I/O."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Final

import pytest

import esmtp_async

ROOT: Final = Path(esmtp_async.__file__ or "").parent

#: From the ground up; files of one line may not import each other.
LAYERS: Final = """
    protocol._replies protocol._redaction
    protocol._outcomes
    protocol._exceptions
    protocol._grammar protocol._asks protocol._verbs
    protocol._addresses
    protocol._reader protocol._extensions protocol._content
    protocol._commands
    protocol._gateways
    protocol._states
    protocol._events protocol._peer
    protocol._session
    protocol._sasl protocol._parameters
    protocol._envelope
    protocol._needs protocol._ways protocol._ledger
    protocol._scram protocol._authentication
    protocol._exchange
    protocol._transaction
    protocol._series
    protocol
    _loops _logs _forks _portal
    _certificates _timeouts _events _endpoint _attempts _deadline _endings _signing
    _proxy_refusal _wire_log
    _observer
    _chronicle _files _otel_names
    _sockets _otel_spans _otel_metrics
    _transport _otel
    _tls _proxy_dialogue
    _headers _binary _dkim_canonical _dkim_keys _references _report_parts
    _fields
    _mime _dkim_settings _reports
    _options _dkim _dkimpy _parts _smime
    _messages _connection _receipts _compose
    _roster _departures _progress _pace _oauth _gssapi _proxy
    _pool
    _inquiries
    _settings
    _delivery _dialer
    _desk _plan
    _carrier
    _batch
    _client
    _once
    _sync
    .
    contrib
    contrib._shared contrib._mailer
    contrib.django contrib.logging
    testing._pipes testing._answers testing._rules testing._store testing._tls
    testing._script
    testing._faults testing._recording
    testing._sasl testing._arguments testing._inspection testing._wire
    testing._settings
    testing._hosting testing._dialogue
    testing._authentication testing._transactions testing._contract
    testing._session testing._scripted
    testing._server
    testing._threaded testing._assertions
    testing
    _serve
    _serve._maildir _serve._reading
    _serve._page _serve._intake
    _serve._web
    testing.plugin
    _conversation
    _demo
    _cli._exits _cli._output _cli._mbox _cli._mechanisms _cli._passwords
    _cli._signals
    _cli._commands _cli._completion _cli._compose _cli._profiles
    _cli._findings _cli._server _cli._sources _cli._standing _cli._tally
    _cli._bar _cli._journal _cli._letters _cli._would
    _cli._progress _cli._rehearsal _cli._report _cli._trouble _cli._running
    _cli._mailing
    _cli._bulk _cli._demo _cli._probe _cli._send _cli._serve
    _cli
    __main__
"""
RANK: Final = {
    name: rank for rank, line in enumerate(LAYERS.split("\n")) for name in line.split()
}
#: What reads, writes, waits or knows a clock.
IO: Final = {"anyio", "asyncio", "trio", "socket", "ssl", "select", "time", "threading"}


def name_of(path: Path) -> str:
    """Give a file's name in the list: its module, without the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "."


FILES: Final = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports(path: Path) -> set[str]:
    """Give every module that a file imports anywhere, by its full name."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            assert node.module is not None
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            known = {m for m in inner if m.removeprefix("esmtp_async.") in FILES}
            modules |= known or {node.module}
    return modules


def test_the_list_names_every_file_and_no_other() -> None:
    assert sorted(RANK) == sorted(FILES)
    assert len(FILES) > 40


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_point_down(name: str) -> None:
    for module in imports(FILES[name]):
        if module.partition(".")[0] == "esmtp_async":
            below = module.removeprefix("esmtp_async").removeprefix(".") or "."
            assert RANK[below] < RANK[name], f"{name} imports {below}"


@pytest.mark.parametrize(
    "name", sorted(name for name in FILES if name.startswith("protocol"))
)
def test_the_machine_imports_nothing_but_itself_and_the_library(name: str) -> None:
    for module in imports(FILES[name]):
        top = module.partition(".")[0]
        assert top not in IO
        if top == "esmtp_async":
            assert module.startswith("esmtp_async.protocol")
        else:
            assert top in sys.stdlib_module_names | {"idna", "scramp", "asn1crypto"}
