"""The public names, and what stands in the source about each of them."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Final

from .pages import DOCS

DOORS: Final = ("esmtp_async", "esmtp_async.protocol", "esmtp_async.testing")
#: Modules that are imported by their own names, and define what they show.
GLUE: Final = ("esmtp_async.contrib.django", "esmtp_async.contrib.logging")
SHOWN: Final = DOORS + GLUE
PAGES: Final = DOCS / "reference"

_ENTRY: Final = re.compile(r"^\* `(esmtp_async[\w.]*)`", re.MULTILINE)


def public(door: str) -> dict[str, object]:
    """Give what a door shows, by name."""
    module = import_module(door)
    names = getattr(module, "__all__", None) or imported(door)
    return {name: getattr(module, name) for name in names}


def imported(door: str) -> list[str]:
    """Name what a door imports under its own name (`X as X`)."""
    return [
        alias.name
        for node in ast.walk(tree(door))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    ]


def home(door: str, name: str) -> str:
    """Name the module that a door has a name from, which may be itself."""
    found = (
        node.module
        for node in ast.walk(tree(door))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if alias.asname == name
    )
    return next(found, door)


@cache
def source(module: str) -> str:
    """Give the source of a module."""
    return inspect.getsource(import_module(module))


@cache
def tree(module: str) -> ast.Module:
    """Give the same, parsed."""
    return ast.parse(source(module))


def entries() -> list[str]:
    """Give all entries of the reference."""
    return [
        name
        for page in sorted(PAGES.glob("*.md"))
        for name in _ENTRY.findall(page.read_text("utf-8"))
    ]


def told_above(module: str, node: ast.stmt) -> bool:
    """Tell whether comments that are documentation stand above a line, or behind it."""
    lines = source(module).splitlines()
    above = lines[node.lineno - 2].strip()
    return above.startswith("#:") or "#:" in lines[node.lineno - 1]


def assigned(node: ast.stmt) -> str:
    """Name what a statement of a class or module assigns, if it is public."""
    if isinstance(node, ast.AnnAssign):
        target: ast.expr = node.target
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
    else:
        return ""
    name = target.id if isinstance(target, ast.Name) else ""
    return "" if name.startswith("_") else name


def assigned_to_self(node: ast.stmt) -> str:
    """Name the attribute that a statement of `__init__` gives, if it is public."""
    target: ast.expr | None = node.target if isinstance(node, ast.AnnAssign) else None
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
    if not (isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self"):
        return ""
    return "" if target.attr.startswith("_") else target.attr


def class_node(kind: type) -> tuple[str, ast.ClassDef] | None:
    """Find a class of ours in its source."""
    for module in (kind.__module__, *modules()):
        if not module.startswith(DOORS[0]):
            continue
        for node in tree(module).body:
            if isinstance(node, ast.ClassDef) and node.name == kind.__name__:
                defined = vars(import_module(module)).get(node.name)
                if defined is kind:
                    return module, node
    return None


@cache
def modules() -> tuple[str, ...]:
    """Name the modules that the doors have their names from."""
    return tuple(
        dict.fromkeys(home(door, name) for door in DOORS for name in imported(door))
    )


def members(kind: type) -> Iterator[tuple[str, bool]]:
    """Give the public members that a class defines, and whether anything is said."""
    found = class_node(kind)
    if found is None:
        return
    module, node = found
    for statement in node.body:
        if name := assigned(statement):
            yield name, told_above(module, statement)
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            if statement.name == "__init__":
                for inner in statement.body:
                    if name := assigned_to_self(inner):
                        yield name, told_above(module, inner)
            elif not statement.name.startswith("_"):
                yield statement.name, ast.get_docstring(statement) is not None


def untyped_attributes(kind: type) -> set[str]:
    """Name what `__init__` gives an object of a class of ours, and tells no type of."""
    found = [class_node(base) for base in kind.__mro__]
    inits = [
        statement
        for _, node in filter(None, found)
        for statement in node.body
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__"
    ]
    plain = (
        line for init in inits for line in init.body if isinstance(line, ast.Assign)
    )
    names = {assigned_to_self(line) for line in plain} - {""}
    return {name for name in names if not hasattr(kind, name)}


def silent_members(kind: type) -> set[str]:
    """Name the public members of a class of which neither it nor a base says a word."""
    found = [member for base in kind.__mro__ for member in members(base)]
    return {name for name, _ in found} - {name for name, told in found if told}
