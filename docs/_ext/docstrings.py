"""Docstrings in Markdown, as Equinox's are: `$…$` and `$$…$$`, lists, and code in backticks or indented."""

import inspect
import itertools

from docutils import nodes
from docutils.utils import new_document
from myst_parser.mdit_to_docutils.sphinx_ import SphinxRenderer
from myst_parser.parsers.mdit import create_md_parser
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inspect import stringify_signature


class Markdown(SphinxDirective):
    """Its content, read as the Markdown pages are."""

    has_content = True

    def run(self):
        document = new_document(self.get_location(), self.state.document.settings)
        document.reporter = self.state.document.reporter
        parser = create_md_parser(self.env.myst_config, SphinxRenderer)
        parser.options["document"] = document
        parser.render("\n".join(self.content))
        for block in document.findall(nodes.literal_block):
            block.setdefault("language", "python")  # what is indented
        return document.children


def as_markdown(app, what, name, obj, options, lines):
    if any(lines):
        lines[:] = [".. markdown::", "", *("    " + line for line in lines)]


def signature(app, what, name, obj, options, arguments, returned):
    """That of `__init__`: Sphinx shows the one of Equinox's metaclass, `(*args, **kwargs)`."""
    if what != "class" or issubclass(obj, Exception):
        return None
    found = inspect.signature(obj.__init__)
    if inspect.isabstract(obj) or obj.__init__ is object.__init__:
        return "", None
    own = list(itertools.islice(found.parameters.values(), 1, None))
    return stringify_signature(found.replace(parameters=own), show_annotation=False, show_return_annotation=False), None


def setup(app):
    app.add_directive("markdown", Markdown)
    app.connect("autodoc-process-docstring", as_markdown)
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True}
