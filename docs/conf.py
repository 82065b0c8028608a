"""The documentation as a site: `nox -s site` builds it, with warnings as errors.

The pages are plain Markdown, to be read in a repository as well. What Sphinx needs
beside is made here, while it reads them: the table of contents, the changelog, the
entries of the reference.
"""

import builtins
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.metadata import version as version_of
from pathlib import Path
from types import FunctionType, UnionType
from typing import Final

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.parsers.rst.states import Inliner
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.python import PythonDomain
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata

DOCS: Final = Path(__file__).parent

project = "esmtp_async"
author = "The esmtp_async authors"
version = release = version_of("esmtp-async")
language = "en"
root_doc = "index"
exclude_patterns: Sequence[str] = ["_static"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]

# Markdown as repositories show it.
myst_heading_anchors = 4
myst_enable_extensions = ["strikethrough"]
myst_fence_as_directive = ["mermaid"]

# Docstrings.
nitpicky = True
default_role = "name"
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 60
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autoclass_content = "both"
autodoc_type_aliases = {"Source": "Source"}  # told in words, for it is long
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "esmtp_async"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"
copybutton_exclude = ".linenos, .gp, .go"

#: What stands in the margin, in this order; what matches a pattern joins by itself.
CONTENTS: Final[dict[str, Sequence[str]]] = {
    "Begin": ["tutorial"],
    "How to": [
        *("howto/errors", "howto/compose", "howto/bulk", "howto/options"),
        "howto/*",
    ],
    "In your framework": ["frameworks/index", "frameworks/*"],
    "Coming from": ["migration/*", "comparison"],
    "Reference": [
        *("reference/client", "reference/results", "reference/errors"),
        *("reference/authentication", "reference/messages", "reference/protocol"),
        "reference/*",
    ],
    "Explanation": [
        *("explanation/outcomes", "explanation/pipelining"),
        *("explanation/state-machine", "explanation/conversation"),
        "explanation/*",
    ],
    "How it stands": ["performance", "reliability", "interop", "conformance"],
    "The project": ["changelog", "contributing", "releasing"],
}

DOORS: Final = ("esmtp_async", "esmtp_async.protocol", "esmtp_async.testing")

#: Modules that are imported by their own names, and define what they show.
GLUE: Final = ("esmtp_async.contrib.django", "esmtp_async.contrib.logging")

#: What looks like a class of ours in docstrings, and is anyio's, Python's, or a word.
FOREIGN: Final = {
    *("BrokenResourceError", "ClosedResourceError", "EndOfStream"),
    *("EmailMessage", "ImproperlyConfigured", "Message", "Path", "Postmaster"),
}

#: Words that are names at several doors, or other things as well.
SHARED: Final = {"Action", "CLOSED", "Content", "Data", "Help"}

#: Types of others, and names of ours that stand in signatures and are not public.
nitpick_ignore_regex = [
    (r"py:.*", r"(anyio|collections|contextlib|datetime|django|email|enum)\..*"),
    (
        r"py:.*",
        r"(cryptography|logging|pathlib|pytest|re|ssl|threading|typing|types)\..*",
    ),
    (r"py:.*", r"datetime|timedelta|\w+PrivateKey|_M|(Meter|Tracer)Provider"),
    (r"py:.*", r"(.*\.)?(Circumstances|Fields|Known|Never|Owner|Parameters|Peer)"),
    (r"py:.*", r"(.*\.)?(Listening|Redaction|Results|Source|_Channel)"),
]

_log = logging.getLogger(__name__)
_ENTRY: Final = re.compile(
    r"^\* `(?P<name>esmtp_async[\w.]*)`(?::.*(?:\n  .*)*)?$", re.MULTILINE
)
_CLASS: Final = re.compile(r"[A-Z]\w*[a-z]\w*")
_COLON: Final = "\ue000"
_DOTTED: Final = re.compile(r"[A-Za-z_][\w.]*(\(\))?")


# The pages, as they are read


def contents() -> str:
    """Give the tables of contents, which are hidden: the theme shows them."""
    pages = {
        path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")
    }
    tables = []
    for caption, patterns in CONTENTS.items():
        found = [each for each in patterns if any(Path(p).match(each) for p in pages)]
        if found:
            lines = "\n".join(found)
            tables.append(
                f"```{{toctree}}\n:hidden:\n:glob:\n:caption: {caption}\n\n{lines}\n```"
            )
    return "\n\n".join(tables)


def entry(match: re.Match[str]) -> str:
    """Make an entry of a name of the reference, of its docstring and signature."""
    name = match["name"]
    door, _, member = name.rpartition(".")
    value: object = getattr(import_module(door), member)
    options = []
    if isinstance(value, type):
        kind = "exception" if issubclass(value, BaseException) else "class"
        options = [":members:", ":undoc-members:"]
        if any(map(is_public, set(value.__bases__) - {object})):
            options.append(":show-inheritance:")
        if not all(map(is_public, value.__bases__)):
            options.append(":inherited-members: object")
    elif isinstance(value, FunctionType):
        kind = "function"
    else:
        return data(name, value)
    lines = "\n".join(f"   {option}" for option in options)
    return f"```{{eval-rst}}\n.. auto{kind}:: {name}\n{lines}\n```\n"


def is_public(kind: type) -> bool:
    """Tell whether a class is somebody else's, or stands in the reference."""
    ours = kind.__module__.startswith(DOORS[0])
    return not ours or any(hasattr(import_module(d), kind.__name__) for d in DOORS)


def data(name: str, value: object) -> str:
    """Make an entry of a constant or a type, of what stands above it in the source."""
    door, _, name = name.rpartition(".")
    key = ("", name)
    analyzers = (
        ModuleAnalyzer.for_module(module)
        for module in sorted(sys.modules)
        if module.startswith("esmtp_async.")
    )
    found = (each.find_attr_docs().get(key) for each in analyzers)
    lines = next(filter(None, found), [])
    shown = repr(value).replace("pathlib._local.", "pathlib.")
    told = f"   :value: {shown}\n" if isinstance(value, UnionType | tuple) else ""
    text = "\n".join(f"   {line}" for line in lines)
    head = f".. py:data:: {name}\n   :module: {door}\n{told}"
    return f"```{{eval-rst}}\n{head}\n{text}\n```\n"


def read(_app: Sphinx, page: str, source: list[str]) -> None:
    """Add to a page what only the site has."""
    text = source[0]
    if page == root_doc:
        text = f"{text}\n\n{contents()}\n"
    elif page == "changelog":
        text = (DOCS.parent / "CHANGELOG.md").read_text("utf-8")
        text = text.replace("](docs/", "](")
    elif page.startswith("reference/"):
        text = _ENTRY.sub(entry, text)
    source[0] = text


# Names in docstrings and pages lead to their entries


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
    public = {name for door in DOORS for name in dir(import_module(door))} - SHARED
    public.update(name for glue in GLUE for name in import_module(glue).__all__)
    for code in list(document.findall(nodes.literal)):
        text = code.astext()
        inside = isinstance(code.parent, nodes.title | nodes.reference)
        name, _, _member = text.partition(".")
        known = name in public and name[0].isupper() and _DOTTED.fullmatch(text)
        if known and not inside and not isinstance(code.parent, addnodes.pending_xref):
            code.replace_self(reference(text, code.deepcopy(), app.env))


def homes(target: str) -> Iterator[str]:
    """Give the public names that something may have that is told by another one."""
    parts = [part for part in target.split(".") if not part.startswith("_")]
    if parts[:1] == [DOORS[0]]:
        yield ".".join(parts)
        parts = [part for part in parts if part not in {"esmtp_async", "protocol"}]
    for module in DOORS + GLUE:
        yield ".".join((module, *parts))


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


# Docstrings, as they are read


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
        for module in sorted(sys.modules):
            if module.startswith(f"{door}.") and module not in DOORS:
                home = ModuleAnalyzer.for_module(module)
                home.analyze()
                known.attr_docs = home.attr_docs | known.attr_docs
                known.annotations = home.annotations | known.annotations
                known.tagorder = home.tagorder | known.tagorder


def public_bases(
    _app: Sphinx, _name: str, _obj: object, _options: object, bases: list[type]
) -> None:
    """Name no base class that has no entry."""
    bases[:] = [base for base in bases if is_public(base)]


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


# Diagrams


class Mermaid(Directive):
    """A diagram, drawn where it is read, by a script that the site brings along."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Give it as it is."""
        text = "\n".join(self.content)
        diagram = nodes.container(classes=["diagram"])
        shown = nodes.literal_block(text, text, classes=["mermaid"], language="none")
        diagram += shown
        return [diagram]


def bring_diagrams(
    app: Sphinx,
    page: str,
    _template: str,
    _context: dict[str, object],
    document: nodes.document | None,
) -> None:
    """Let a page with a diagram load what draws it."""
    if document is None or not any(
        "mermaid" in block["classes"] for block in document.findall(nodes.literal_block)
    ):
        return
    if not (DOCS / "_static" / "mermaid.min.js").exists():
        _log.warning("nothing draws the diagrams: nox -s site", location=page)
    app.add_js_file("mermaid.min.js")
    app.add_js_file("diagrams.js")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Take part in the build."""
    app.add_role("name", name_role)
    app.add_directive("mermaid", Mermaid)
    app.connect("builder-inited", know_homes)
    app.connect("source-read", read)
    app.connect("doctree-read", link_names)
    app.connect("doctree-read", own_names)
    app.connect("autodoc-process-bases", public_bases)
    app.connect("autodoc-process-docstring", keep_colons, priority=400)
    app.connect("autodoc-process-docstring", give_colons, priority=600)
    app.connect("missing-reference", resolve)
    app.connect("html-page-context", bring_diagrams)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
