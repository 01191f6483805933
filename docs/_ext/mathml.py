"""Equations as MathML, which browsers show by themselves: no script, no font and no network."""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def to_mathml(latex, block=False):
    # Without a side, docutils does not know the sizes. A delimiter of a size is a left one for it either way.
    return tex2mathml(re.sub(r"\\([bB]igg?)(?![a-zA-Z])", r"\\\1l", latex), as_block=block)


def _written(translator, node, block):
    try:
        return to_mathml(node.astext(), block)
    except Exception as error:  # docutils raises several kinds, of which `MathError` is the polite one
        logger.warning("cannot be written as MathML: %s (%s)", node.astext(), error, location=node)
        return f"<code>{translator.encode(node.astext())}</code>"


def visit_math(translator, node):
    translator.body.append(_written(translator, node, block=False))
    raise nodes.SkipNode


def visit_math_block(translator, node):
    translator.body.append(f'<div class="equation">{_written(translator, node, block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(visit_math, None), block_renderers=(visit_math_block, None))
    return {"parallel_read_safe": True}
