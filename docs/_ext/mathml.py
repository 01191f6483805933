"""Equations as MathML, which browsers show by themselves: no script, no font and no network."""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def to_mathml(latex, block=False):
    # What docutils does not read as TeX does: a size of a delimiter without a side, and `\tfrac12`.
    latex = re.sub(r"\\([bB]igg?)(?![a-zA-Z])", r"\\\1l", latex)
    latex = re.sub(r"\\([td]?frac)\s*(\d)\s*(\w)", r"\\\1{\2}{\3}", latex)
    # A bar between a factor and a variable is for browsers a relation.
    return re.sub(r"<mo([^>]*)>\|</mo>", r'<mo\1 lspace="0" rspace="0">|</mo>', tex2mathml(latex, as_block=block))


def parts(latex):
    r"""The equations of a line, which `\qquad` divides: a narrow page has them below each other."""
    found, depth = [""], 0
    for token in re.findall(r"\\[a-zA-Z]+|\\.|.", latex, re.DOTALL):
        depth += (token in ("{", r"\begin", r"\left")) - (token in ("}", r"\end", r"\right"))
        if token == r"\qquad" and depth == 0:
            found.append("")
        else:
            found[-1] += token
    return found


def _written(translator, node, block):
    try:
        return "".join(to_mathml(part, block) for part in (parts(node.astext()) if block else [node.astext()]))
    except Exception as error:  # docutils raises several kinds, of which `MathError` is the polite one
        logger.warning("cannot be written as MathML: %s (%s)", node.astext(), error, location=node)
        return f"<code>{translator.encode(node.astext())}</code>"


def visit_math(translator, node):
    translator.body.append(_written(translator, node, block=False))
    following = node.next_node(siblings=True, descend=False)
    if following is not None and following.astext()[:1] in set(".,;:)"):
        translator.body.append("&#8288;")  # no line begins with it
    raise nodes.SkipNode


def visit_math_block(translator, node):
    translator.body.append(f'<div class="equation">{_written(translator, node, block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(visit_math, None), block_renderers=(visit_math_block, None))
    return {"parallel_read_safe": True}
