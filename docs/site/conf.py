"""How Sphinx makes the site: `python -m sphinx -c docs/site . build/site`. The pages are the files of the repository, where they are,
so links between them hold in both; other files that they name are copied beside the pages.
"""

from __future__ import annotations

import re
import sys

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.python import PyXRefRole
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.util.typing import ExtensionMetadata

from docs.site.reference import OWN_PACKAGES, alias_names, names_for_types, public_bases, render_reference

project = "pybuild"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "docs/*.md",
    "docs/decisions/*.md",
    "bench/README.md",
    "buildpacks/*/README.md",
]
# Where nothing is looked for
exclude_patterns = [".*", "build", "demo-image", "fixtures", "lifecycle", "pybuild", "tests"]

myst_heading_anchors = 4  # named as they are where repositories are read
autodoc_member_order = "bysource"
autodoc_type_aliases = {name: f"pybuild.{name}" for name in alias_names()}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
add_module_names = False
toc_object_entries = False  # hundreds, in every page's navigation; each part begins with its names
default_role = "code-or-name"
nitpicky = True
# What is not pybuild's is described elsewhere, which would have to be asked over the network.
nitpick_ignore_regex = [("py:.*", r"(?!(pybuild|lifecycle|buildpacks)\.).*"), ("py:obj", ".*")]

html_theme = "furo"
html_title = "pybuild"
html_extra_path = ["index.html"]
html_copy_source = False
html_show_copyright = False


class CodeOrName(PyXRefRole):
    """What docstrings have in backticks: the name of something that is described, which becomes a link, or any other code."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The nodes of it."""
        if all(part.isidentifier() for part in self.text.split(".")):
            self.name = "py:obj"
            return super().run()
        return [nodes.literal(self.rawtext, self.text)], []


def add_reference(app: Sphinx, document: str, source: list[str]) -> None:
    """Sphinx's `source-read`: the page of the public names gets them, and modules what their annotations have."""
    if document == "docs/reference":
        source[0] += render_reference()
        for name, module in tuple(sys.modules.items()):
            if name.partition(".")[0] in OWN_PACKAGES:
                vars(module).update(names_for_types(name))


def read_sections(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """autodoc's `autodoc-process-docstring`: napoleon, which by itself would take what is before a colon for the type of a field."""
    lines[:] = GoogleDocstring(lines).lines()


def shorten_defaults(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """autodoc's `autodoc-process-signature`: what is no Python, such as the default `<factory>`, would keep it from being read."""
    return _readable(signature), _readable(returns)


def _readable(text: str | None) -> str | None:
    return text and re.sub(r"TypeAliasForwardRef\('([\w.]+)'\)", r"\1", re.sub(r"=\s*<[^>]*>", "=...", text))


def leave_out_private_bases(app: Sphinx, name: str, obj: object, options: object, bases: list[type]) -> None:
    """autodoc's `autodoc-process-bases`."""
    bases[:] = public_bases(bases)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Sphinx's own hook."""
    app.add_role("code-or-name", CodeOrName())
    app.connect("source-read", add_reference)
    app.connect("autodoc-process-docstring", read_sections)
    app.connect("autodoc-process-signature", shorten_defaults)
    app.connect("autodoc-process-bases", leave_out_private_bases)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
