"""Code in a text is a link where it names something public: ``snn.LIF`` in a page, `jax.vmap` in a docstring.

So the pages and the docstrings stay readable where they are: on a code host, in a terminal and in an editor. Links
between pages, ``name.rst``, work there and here.
"""

import inspect
import pathlib
import re

from docutils import nodes
from sphinx import addnodes

import snnax
import snnax.data
import snnax.functional.surrogate
import snnax.nir
import snnax.plot
import snnax.snn
import snnax.train

PACKAGES = {
    "snn": snnax.snn,
    "functional": snnax.functional,
    "F": snnax.functional,
    "functional.surrogate": snnax.functional.surrogate,
    "surrogate": snnax.functional.surrogate,
    "data": snnax.data,
    "train": snnax.train,
    "nir": snnax.nir,
    "plot": snnax.plot,
}
ABBREVIATIONS = {"eqx": "equinox", "jnp": "jax.numpy", "jr": "jax.random"}
OTHERS = ("jax", "equinox", "optax")


def public(package):
    """The names that a package exports."""
    return [name for name, value in vars(package).items() if name[0] != "_" and not inspect.ismodule(value)]


def target(code, package=None):
    """The full name of what `code` names, or None. The names of `package` need no prefix."""
    found = re.fullmatch(r"(?:\w+=)?([A-Za-z_][\w.]*)(\(.*\))?", code, re.DOTALL)
    if found is None:
        return None
    name = found[1].removeprefix("snnax.")
    for prefix, owner in sorted(PACKAGES.items(), key=lambda item: -len(item[0])):
        if name == prefix and prefix != "F" and code.startswith("snnax."):
            return owner.__name__
        if name.startswith(prefix + ".") and name[len(prefix) + 1 :].split(".")[0] in public(owner):
            return f"{owner.__name__}.{name[len(prefix) + 1 :]}"
    if found[1].startswith("snnax.") and name in public(snnax):
        return f"snnax.{name}"
    if package and name.split(".")[0] in public(package):
        return f"{package.__name__}.{name}"
    first, dot, rest = name.partition(".")
    first = ABBREVIATIONS.get(first, first)
    return first + dot + rest if dot and first.split(".")[0] in OTHERS else None


def link_code(app, doctree):
    page = app.env.current_document.docname
    found = re.match(r"api/(\w+)|(surrogate|plot)s$", page)
    package = PACKAGES.get(found[1] or found[2]) if found else None
    for node in list(doctree.findall(nodes.literal)):
        if isinstance(node.parent, (nodes.reference, addnodes.pending_xref, nodes.title)):
            continue
        # In a definition, a name without a prefix is an argument, or something of another library.
        name = target(node.astext(), None if _within(node, addnodes.desc) else package)
        if name is not None:
            link = addnodes.pending_xref(
                "", refdomain="py", reftype="obj", reftarget=name, refexplicit=True, refwarn=False
            )
            node.replace_self(link)
            link += node


def link_sources(app, doctree):
    """doi:10.… and arXiv:…, as the sources are given."""
    for node in list(doctree.findall(nodes.Text)):
        if _within(node, (nodes.reference, nodes.literal, nodes.literal_block, nodes.title, addnodes.pending_xref)):
            continue
        pieces = re.split(r"(doi:10\.[^\s,;]*[^\s,;.)]|arXiv:\d{4}\.\d{4,5})", node.astext())
        if len(pieces) > 1:
            parts = [_source(piece) if i % 2 else nodes.Text(piece) for i, piece in enumerate(pieces) if piece]
            node.parent.replace(node, parts)


def _source(text):
    kind, _, number = text.partition(":")
    site = "https://doi.org/" if kind == "doi" else "https://arxiv.org/abs/"
    return nodes.reference("", text, refuri=site + number, internal=False)


def link_pages(app, doctree):
    """`name.rst` of a page in reStructuredText; Sphinx does it for those in Markdown."""
    folder = pathlib.PurePosixPath(app.env.current_document.docname).parent
    for node in list(doctree.findall(nodes.reference)):
        uri = node.get("refuri", "")
        if re.fullmatch(r"[\w/.-]+\.(rst|md)", uri):
            link = addnodes.pending_xref(
                "",
                nodes.inline("", "", *node.children),
                refdomain="std",
                reftype="doc",
                reftarget=f"/{folder / uri.rpartition('.')[0]}",
                refexplicit=True,
                refwarn=True,
            )
            node.replace_self(link)


def _within(node, kind):
    while node is not None and not isinstance(node, kind):
        node = node.parent
    return node is not None


def setup(app):
    app.connect("doctree-read", link_code)
    app.connect("doctree-read", link_pages)
    app.connect("doctree-read", link_sources)
    return {"parallel_read_safe": True}
