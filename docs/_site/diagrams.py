"""Diagrams, which are drawn where they are read, by a script that the site brings."""

from __future__ import annotations

from typing import Final

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata

#: What draws them, and what has it draw.
SCRIPTS: Final = ("mermaid.min.js", "diagrams.js")

_log = logging.getLogger(__name__)


class Mermaid(Directive):
    """A diagram."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Give it as it is."""
        text = "\n".join(self.content)
        diagram = nodes.container(classes=["diagram"])
        shown = nodes.literal_block(text, text, classes=["mermaid"], language="none")
        diagram += shown
        return [diagram]


def bring(
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
    for script in SCRIPTS:
        if not (app.srcdir / "_static" / script).exists():
            _log.warning("nothing draws the diagrams: nox -s site", location=page)
        app.add_js_file(script)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Take part in the build."""
    app.add_directive("mermaid", Mermaid)
    app.connect("html-page-context", bring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
