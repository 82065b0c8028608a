"""The reference has an entry for every public name, and something to say of it."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from .reference import (
    DOORS,
    PAGES,
    SHOWN,
    assigned,
    class_node,
    entries,
    home,
    members,
    public,
    silent_members,
    told_above,
    tree,
    untyped_attributes,
)

FRONT, *OTHERS = SHOWN


def test_every_public_name_has_one_entry() -> None:
    front = public(FRONT)
    wanted = [f"{FRONT}.{name}" for name in front]
    for door in OTHERS:
        wanted += [
            f"{door}.{name}"
            for name, shown in public(door).items()
            if front.get(name) is not shown
        ]
    found = Counter(entries())
    assert found == Counter(wanted), "write an entry into a page of docs/reference/"


def test_what_both_doors_have_is_told_on_the_page_of_the_second() -> None:
    front, second = public(FRONT), public("esmtp_async.protocol")
    common = {name for name, shown in second.items() if front.get(name) is shown}
    page = (PAGES / "protocol.md").read_text("utf-8")
    told, _, _ = page.partition("\n## ")
    named = {code for code in re.findall(r"`(\w+)`", told) if code not in DOORS}
    assert named == common


@pytest.mark.parametrize("door", SHOWN)
def test_of_every_public_name_something_is_said(door: str) -> None:
    silent = []
    for name, shown in public(door).items():
        if isinstance(shown, type) or inspect.isfunction(shown):
            if not inspect.getdoc(shown):
                silent.append(name)
            continue
        module = home(door, name)
        silent += [
            name
            for node in tree(module).body
            if assigned(node) == name and not told_above(module, node)
        ]
    assert silent == []


def test_of_every_public_member_something_is_said() -> None:
    kinds = [kind for kind in everything().values() if isinstance(kind, type)]
    assert sum(len(list(members(kind))) for kind in kinds) > 300
    silent = {
        f"{kind.__name__}.{name}" for kind in kinds for name in silent_members(kind)
    }
    assert silent == set(), "write a comment `#:` above it, or a docstring"


def test_of_every_public_attribute_the_type_is_told() -> None:
    kinds = [kind for kind in everything().values() if isinstance(kind, type)]
    untyped = {
        f"{kind.__name__}.{name}" for kind in kinds for name in untyped_attributes(kind)
    }
    assert untyped == set(), "write `self.name: type = ...`"


def test_whatever_raises_says_so() -> None:
    looked_at = 0
    silent = []
    for name, shown in everything().items():
        for callable_, told in raising(shown):
            looked_at += 1
            if "aise" not in told:
                silent.append(f"{name}: {callable_}")
    assert looked_at > 30
    assert silent == [], "name the errors, for example: Raises `InvalidInput`."


def everything() -> dict[str, object]:
    """Give all that is public, by its whole name."""
    return {
        f"{door}.{name}": shown
        for door in SHOWN
        for name, shown in public(door).items()
    }


def raising(shown: object) -> Iterator[tuple[str, str]]:
    """Give what raises errors by itself, and what is said of it."""
    if inspect.isfunction(shown) and "raise " in inspect.getsource(shown):
        yield shown.__name__, inspect.getdoc(shown) or ""
    if not isinstance(shown, type) or issubclass(shown, BaseException):
        return
    found = class_node(shown)
    for node in found[1].body if found else ():
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
            continue
        told = ast.get_docstring(node) or ""
        if node.name in {"__init__", "__post_init__"}:
            yield node.name, f"{shown.__doc__}{told}"
        elif not node.name.startswith("_"):
            yield node.name, told
