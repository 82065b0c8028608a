"""The page on contributing names every gate."""

from __future__ import annotations

import ast
import re

from .pages import DOCS


def sessions() -> set[str]:
    """Give the sessions of nox, by the names that one types."""
    tree = ast.parse((DOCS.parent / "noxfile.py").read_text("utf-8"))
    named = {
        each.name: [ast.unparse(decorator) for decorator in each.decorator_list]
        for each in tree.body
        if isinstance(each, ast.FunctionDef)
    }
    return {
        name.replace("_", "-")
        for name, decorators in named.items()
        if any(decorator.startswith("nox.session") for decorator in decorators)
    }


def test_every_session_stands_on_the_page() -> None:
    page = (DOCS / "contributing.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.+?`) \|", page, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(.+?)`", row)} == sessions()
