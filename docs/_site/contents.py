"""The margin, and pages that are made of others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

DOCS: Final = Path(__file__).parents[1]

#: What stands in the margin, in this order; what matches a pattern joins by itself.
CONTENTS: Final[dict[str, Sequence[str]]] = {
    "Begin": ["tutorial"],
    "How to": [
        *("howto/errors", "howto/compose", "howto/bulk", "howto/testing"),
        *("howto/serve", "howto/command-line", "howto/observability"),
        *("howto/oauth", "howto/dkim", "howto/smime", "howto/proxy"),
        *("howto/options", "howto/reports"),
        "howto/*",
    ],
    "Frameworks, scripts, jobs": [
        *("frameworks/index", "frameworks/fastapi", "frameworks/litestar"),
        *("frameworks/aiohttp", "frameworks/quart", "frameworks/django"),
        *("frameworks/scripts", "frameworks/jobs"),
        "frameworks/*",
    ],
    "Coming from": ["migration/*", "comparison"],
    "Reference": [
        *("reference/client", "reference/results", "reference/errors"),
        *("reference/authentication", "reference/messages", "reference/testing"),
        "reference/*",
    ],
    "Explanation": [
        *("explanation/outcomes", "explanation/pipelining"),
        *("explanation/state-machine", "explanation/conversation"),
        *("explanation/tls", "explanation/security"),
        "explanation/*",
    ],
    "How it stands": ["performance", "reliability", "interop", "conformance"],
    "The project": ["changelog", "contributing", "releasing"],
}


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


def read(app: Sphinx, page: str, source: list[str]) -> None:
    """Add to a page what only the site has."""
    if page == app.config.root_doc:
        source[0] += f"\n\n{contents()}\n"
    elif page == "changelog":
        text = (DOCS.parent / "CHANGELOG.md").read_text("utf-8")
        source[0] = text.replace("](docs/", "](")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Take part in the build."""
    app.connect("source-read", read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
