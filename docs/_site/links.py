"""Names in pages and docstrings lead to their entries, sections of RFCs to the RFC."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from inspect import isfunction
from typing import Final

from docutils import nodes
from docutils.parsers.rst.states import Inliner
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.python import PythonDomain
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata

DOORS: Final = ("esmtp_async", "esmtp_async.protocol", "esmtp_async.testing")

#: Modules that are imported by their own names, and define what they show.
GLUE: Final = ("esmtp_async.contrib.django", "esmtp_async.contrib.logging")

#: All that has public names.
PUBLIC: Final = DOORS + GLUE

#: What looks like a class of ours in docstrings, and is anyio's, Python's, or a word.
FOREIGN: Final = {
    *("BrokenResourceError", "ClosedResourceError", "EndOfStream"),
    *("EmailMessage", "ImproperlyConfigured", "Message", "Path", "Postmaster"),
}

#: Words that are names at several doors, or other things as well.
SHARED: Final = {"Action", "CLOSED", "Content", "Data", "Help", "send"}

#: Characters of code that is not broken where it has a hyphen.
SHORT: Final = 24

_log = logging.getLogger(__name__)
_Xref = addnodes.pending_xref
_CLASS: Final = re.compile(r"[A-Z]\w*[a-z]\w*")
_DOTTED: Final = re.compile(r"[A-Za-z_][\w.]*(\(\))?")
_RFC: Final = re.compile(r"RFC\s(?P<number>\d+)(\s§(?P<section>\d+(\.\d+)*))?")


def name_role(
    _role: str,
    raw: str,
    _text: str,
    _line: int,
    inliner: Inliner,
    _options: object = None,
    _content: object = None,
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """Show what stands in single backticks as code, and as a link if it is a name."""
    env: BuildEnvironment = inliner.document.settings.env
    text = raw.removeprefix("`").removesuffix("`")  # with its backslashes
    code = nodes.literal(text, text)
    return [reference(text, code, env) if _DOTTED.fullmatch(text) else code], []


def reference(text: str, code: nodes.literal, env: BuildEnvironment) -> nodes.Node:
    """Make a reference of a name, which need not lead anywhere."""
    context = env.ref_context
    link = addnodes.pending_xref(
        "",
        refdomain="py",
        reftype="obj",
        reftarget=text.removesuffix("()"),
        refdoc=env.docname,
    )
    link["py:module"] = context.get("py:module")
    link["py:class"] = context.get("py:class")
    link += code
    return link


def link_names(app: Sphinx, document: nodes.document) -> None:
    """Let public names that pages show as code lead to the reference."""
    for code in list(document.findall(nodes.literal)):
        text = code.astext()
        inside = isinstance(code.parent, nodes.title | nodes.reference | _Xref)
        if is_public_name(text) and not inside:
            code.replace_self(reference(text, code.deepcopy(), app.env))


def is_public_name(text: str) -> bool:
    """Tell whether a text is a name behind a door, with the door or without."""
    if not _DOTTED.fullmatch(text):
        return False
    path = text.removesuffix("()")
    name = path.partition(".")[0]
    return any(
        path.removeprefix(f"{door}.").partition(".")[0] in named(door)
        if path.startswith(f"{door}.")
        else name in named(door) - SHARED
        for door in PUBLIC
    )


@cache
def named(door: str) -> frozenset[str]:
    """Give the names of a door, but those of modules and of what it is made with."""
    module = import_module(door)
    return frozenset(
        name
        for name in getattr(module, "__all__", dir(module))
        if name[0].isupper() or isfunction(getattr(module, name))
    )


def keep_whole(_app: Sphinx, document: nodes.document) -> None:
    """Let no short word of code end a line within itself."""
    for code in document.findall(nodes.literal):
        text = code.astext()
        if len(text) <= SHORT and " " not in text:
            code["classes"].append("word")


def link_rfcs(_app: Sphinx, document: nodes.document) -> None:
    """Let what is said of an RFC lead to it, or to the section."""
    for text in list(document.findall(nodes.Text)):
        parts = list(cited(str(text)))
        if len(parts) > 1 and not is_apart(text):
            text.parent.replace(text, parts)


def is_apart(node: nodes.Node) -> bool:
    """Tell whether a text is code, a title or a link already."""
    apart = nodes.FixedTextElement | nodes.literal | nodes.title | nodes.reference
    return node.parent is not None and (
        isinstance(node.parent, apart) or is_apart(node.parent)
    )


def cited(text: str) -> Iterator[nodes.Node]:
    """Give a text in parts, those that cite an RFC as links."""
    end = 0
    for match in _RFC.finditer(text):
        url = f"https://www.rfc-editor.org/rfc/rfc{match['number']}.html"
        if match["section"]:
            url += f"#section-{match['section']}"
        yield nodes.Text(text[end : match.start()])
        yield nodes.reference(match[0], match[0], refuri=url, classes=["rfc"])
        end = match.end()
    yield nodes.Text(text[end:])


def homes(target: str) -> Iterator[str]:
    """Give the public names that something may have that is told by another one."""
    parts = [part for part in target.split(".") if not part.startswith("_")]
    if parts[:1] == [DOORS[0]]:
        yield ".".join(parts)
        parts = [part for part in parts if part not in {"esmtp_async", "protocol"}]
    for door in PUBLIC:
        yield ".".join((door, *parts))


def resolve(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, code: nodes.Element
) -> nodes.Node | None:
    """Find what is told by the name of its module, or by no module at all."""
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    if not isinstance(domain, PythonDomain):
        return None
    for name in homes(node["reftarget"]):
        if name in domain.objects:
            page = node["refdoc"]
            return domain.resolve_xref(env, page, app.builder, "obj", name, node, code)
    if node["reftype"] != "obj":
        return None
    if _CLASS.fullmatch(node["reftarget"]) and not is_foreign(node["reftarget"]):
        _log.warning("there is no %s", node["reftarget"], location=node)
    return code


def is_foreign(name: str) -> bool:
    """Tell whether a name that looks like a class is Python's, or a word."""
    return hasattr(builtins, name) or name in FOREIGN


def own_names(app: Sphinx, document: nodes.document) -> None:
    """Let a name be the one of its own door, if two have it."""
    _, _, part = app.env.docname.partition("reference/")
    door = f"{DOORS[0]}.{part}"
    if door in DOORS:
        for link in document.findall(addnodes.pending_xref):
            target = link.get("reftarget")
            if target in dir(import_module(door)):
                link["reftarget"] = f"{door}.{target}"


def setup(app: Sphinx) -> ExtensionMetadata:
    """Take part in the build."""
    app.add_role("name", name_role)
    for change in (link_names, own_names, link_rfcs, keep_whole):
        app.connect("doctree-read", change)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
