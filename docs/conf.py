"""The documentation as a site: `nox -s site` builds it, with warnings as errors.

The pages are plain Markdown, to be read in a repository as well. What Sphinx needs
beside is made in `_site`, while it reads them.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "esmtp_async"
author = "The esmtp_async authors"
version = release = version_of("esmtp-async")
language = "en"
root_doc = "index"
exclude_patterns: Sequence[str] = ["_static", "_site"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "_site.contents",
    "_site.diagrams",
    "_site.links",
    "_site.reference",
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
autodoc_type_aliases = {  # which are told by their names, for they are long
    name: name for name in ("Event", "Listener", "Recipients", "Sendable", "Source")
}
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "esmtp_async"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("tables.js", {"defer": "defer"})]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"
copybutton_exclude = ".linenos, .gp, .go"

#: Types of others, and names of ours that stand in signatures and are not public.
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(anyio|collections|contextlib|datetime|django|email|enum)\..*",
    ),
    (
        r"py:.*",
        r"(cryptography|logging|pathlib|pytest|re|ssl|threading|typing|types)\..*",
    ),
    (
        r"py:.*",
        r"datetime|timedelta|\w+PrivateKey|_M|(Meter|Tracer)Provider|Message|Path",
    ),
    (r"py:.*", r"(.*\.)?(Circumstances|Fields|Known|Never|Owner|Parameters|Peer)"),
    (r"py:.*", r"(.*\.)?(Listening|Redaction|Results|Source|_Channel)"),
]
