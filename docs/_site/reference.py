"""The reference: an entry for each name of its pages, made of the docstring."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from abc import ABC
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import FunctionType
from typing import Final, NamedTuple

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.typing import ExtensionMetadata

from .links import DOORS

#: Names of a list that are told at a glance before their entries.
MANY: Final = 3
#: Characters of a value that is shown.
SHOWN: Final = 400

_RUN: Final = re.compile(
    r"(?:^\* `esmtp_async[\w.]*`(?::.*(?:\n  .*)*)?\n)+", re.MULTILINE
)
_LINE: Final = re.compile(
    r"^\* `(?P<name>esmtp_async[\w.]*)`(?:: (?P<told>.*(?:\n  .*)*))?$", re.MULTILINE
)
_NUMBER: Final = re.compile(r"= ([A-Z_]+)\b")
_ALIAS: Final = re.compile(r"TypeAliasForwardRef\('(\w+)'\)")
_CAPITAL: Final = re.compile(r"\A[A-Z](?=[a-z]* )")
_COLON: Final = "\ue000"


def read(_app: Sphinx, page: str, source: list[str]) -> None:
    """Make entries of the names that a page lists."""
    if page.startswith("reference/"):
        source[0] = _RUN.sub(entries, source[0])


def entries(run: re.Match[str]) -> str:
    """Make entries of names, and a table before them if they are many."""
    found = list(_LINE.finditer(run[0]))
    parts = [entry(each["name"]) for each in found]
    if len(found) >= MANY:
        rows = [
            f"| {{py:obj}}`~{each['name']}` | {cell(each['told'], each['name'])} |"
            for each in found
        ]
        parts.insert(0, "\n".join(["| name | what it is |", "|---|---|", *rows, ""]))
    return "\n".join(parts)


def cell(told: str | None, name: str) -> str:
    """Give a few words for a name: the page's, or the first line of the source."""
    text = re.sub(r"\s+", " ", told or summary(name)).removesuffix(".")
    return _CAPITAL.sub(lambda match: match[0].lower(), text).replace("|", "\\|")


def summary(name: str) -> str:
    """Give the first line of what stands in the source about a name."""
    value = named(name)
    about = inspect.isclass(value) or inspect.isfunction(value)
    text = inspect.getdoc(value) if about else " ".join(written(name).comment)
    return re.split(r"(?<=\.)\s|\n", text or "")[0]


def entry(name: str) -> str:
    """Make an entry of a name, of its docstring and signature."""
    value = named(name)
    options = []
    if isinstance(value, type):
        kind = "exception" if issubclass(value, BaseException) else "class"
        bases = [base for base in value.__mro__[1:-1] if is_public(base)]
        options = [":members:", ":undoc-members:"]
        if bases:
            options.append(":show-inheritance:")
        if not all(map(is_public, value.__bases__)):
            told = bases[0].__name__ if bases else "object"
            options.append(f":inherited-members: {told}")
    elif isinstance(value, FunctionType):
        kind = "function"
    else:
        return data(name)
    lines = "\n".join(f"   {option}" for option in options)
    return f"```{{eval-rst}}\n.. auto{kind}:: {name}\n{lines}\n```\n"


def named(name: str) -> object:
    """Give what has a name, with its door."""
    door, _, member = name.rpartition(".")
    value: object = getattr(import_module(door), member)
    return value


def is_public(kind: type) -> bool:
    """Tell whether a class is somebody else's, or stands in the reference."""
    if kind is ABC:
        return False  # says nothing to who uses a class
    ours = kind.__module__.startswith(DOORS[0])
    return not ours or any(hasattr(import_module(d), kind.__name__) for d in DOORS)


class Written(NamedTuple):
    """What stands in the source about a constant or a type."""

    comment: list[str]
    value: ast.expr


def written(name: str) -> Written:
    """Find the lines of the source that give a name."""
    _, _, name = name.rpartition(".")
    for module in homes():
        analyzer = ModuleAnalyzer.for_module(module)
        comment = analyzer.find_attr_docs().get(("", name))
        if comment:
            return Written(comment, assigned(analyzer.code, name))
    raise LookupError(name)


def homes() -> list[str]:
    """Name the modules that the doors have their names from."""
    loaded = {each for each in sys.modules if each.startswith(f"{DOORS[0]}.")}
    return sorted(loaded - set(DOORS))


def assigned(code: str, name: str) -> ast.expr:
    """Give what a module assigns to a name."""
    return next(
        line.value
        for line in ast.parse(code).body
        if isinstance(line, ast.Assign | ast.AnnAssign) and line.value is not None
        for target in (line.targets if isinstance(line, ast.Assign) else [line.target])
        if isinstance(target, ast.Name) and target.id == name
    )


def data(name: str) -> str:
    """Make an entry of a constant or a type, of what stands above it in the source."""
    door, _, member = name.rpartition(".")
    comment, value = written(name)
    shown = ast.unparse(value)
    is_type = isinstance(value, ast.BinOp | ast.Subscript)
    is_told = is_type or (not isinstance(value, ast.Call) and len(shown) <= SHOWN)
    head = f".. py:{'type' if is_type else 'data'}:: {member}\n   :module: {door}\n"
    if is_told:
        head += f"   :{'canonical' if is_type else 'value'}: {shown}\n"
    text = "\n".join(f"   {line}" for line in comment)
    return f"```{{eval-rst}}\n{head}\n{text}\n```\n"


# Docstrings and signatures, as they are read


def know_homes(_app: Sphinx) -> None:
    """Let autodoc find the comments of what is told under another module's name.

    A door says of its names that they are its own; what stands above a member is in the
    module that it comes from.
    """
    for door in DOORS:
        for name in dir(import_module(door)):
            getattr(import_module(door), name)  # which loads what it comes from
        known = ModuleAnalyzer.for_module(door)
        known.analyze()
        for module in homes():
            if module.startswith(f"{door}."):
                home = ModuleAnalyzer.for_module(module)
                home.analyze()
                known.attr_docs = home.attr_docs | known.attr_docs
                known.annotations = home.annotations | known.annotations
                known.tagorder = home.tagorder | known.tagorder


def public_bases(
    _app: Sphinx, _name: str, _obj: object, _options: object, bases: list[object]
) -> None:
    """Name no base class that has no entry, but what that is made of."""
    found = (base for each in bases for base in first_public(each))
    bases[:] = list(dict.fromkeys(found))


def first_public(kind: object) -> Iterator[object]:
    """Give a class, or the nearest above it that has an entry; others as they are."""
    above = kind.__mro__[:-1] if isinstance(kind, type) else (kind,)
    yield from [
        each for each in above if not isinstance(each, type) or is_public(each)
    ][:1]


def plain_signature(
    _app: Sphinx,
    _what: str,
    _name: str,
    obj: object,
    _options: object,
    signature: str | None,
    returned: str | None,
) -> tuple[str | None, str | None] | None:
    """Show numbers as such, and nothing that only Python's machinery would say."""
    if signature is None:
        return None
    if getattr(obj, "_is_protocol", False):
        return "", returned
    called = getattr(obj, "__init__", obj) if isinstance(obj, type) else obj
    known = getattr(called, "__globals__", {})
    shown = _NUMBER.sub(lambda match: number(match, known), signature)
    return _ALIAS.sub(r"\1", shown).replace("<factory>", "..."), returned


def number(match: re.Match[str], known: Mapping[str, object]) -> str:
    """Give a default as a number, if it is the name of one."""
    value = known.get(match[1])
    return f"= {value}" if isinstance(value, int | float) else match[0]


def keep_colons(
    _app: Sphinx, what: str, _name: str, _obj: object, _opts: object, lines: list[str]
) -> None:
    """Hide colons from napoleon, for which what stands before one would be a type.

    What Python says by itself of a NamedTuple says nothing.
    """
    lines[:] = [line for line in lines if not line.startswith("Create new instance of")]
    if what in {"attribute", "data", "property"}:
        lines[:] = [line.replace(":", _COLON) for line in lines]


def give_colons(
    _app: Sphinx, _what: str, _name: str, _obj: object, _opts: object, lines: list[str]
) -> None:
    """Show them again."""
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Take part in the build."""
    app.connect("builder-inited", know_homes)
    app.connect("source-read", read)
    app.connect("autodoc-process-bases", public_bases)
    app.connect("autodoc-process-signature", plain_signature)
    app.connect("autodoc-process-docstring", keep_colons, priority=400)
    app.connect("autodoc-process-docstring", give_colons, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
