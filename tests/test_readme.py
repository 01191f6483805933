"""Every code block of the README runs, and so does every example in a docstring of a container or layer of layers."""

import inspect
import pathlib
import textwrap

import docutils.frontend
import docutils.nodes
import docutils.parsers.rst
import docutils.utils
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

import snnax.snn as snn

README = pathlib.Path(__file__).parent.parent / "README.rst"


def code_blocks(path=README):
    settings = docutils.frontend.get_default_settings(docutils.parsers.rst.Parser)
    settings.report_level = 2
    settings.halt_level = 2
    document = docutils.utils.new_document(str(path), settings)
    docutils.parsers.rst.Parser().parse(path.read_text(encoding="utf-8"), document)
    return [node.astext() for node in document.findall(docutils.nodes.literal_block) if "python" in node["classes"]]


def examples(documented):
    """The indented blocks of a docstring, before its arguments."""
    blocks, lines = [], []
    for line in [*inspect.getdoc(documented).partition("**Arguments")[0].splitlines(), "end"]:
        if line.startswith("    ") or (lines and not line):
            lines.append(line)
        elif lines:
            blocks.append(textwrap.dedent("\n".join(lines)))
            lines = []
    return blocks


def test_every_code_block_of_the_readme_runs_in_order():
    blocks = code_blocks()
    assert len(blocks) >= 3
    names = {}
    # optax adds Python numbers to whole numbers, which strict promotion refuses.
    with jax.numpy_dtype_promotion("standard"):
        for block in blocks:
            exec(compile(block, README.name, "exec"), names)
    assert names["loss"] > 0 and names["bursts"].shape == (10, 5)
    assert snn.project(names["Bursting"](jnp.array(1.5))).decay == 1.0


@pytest.mark.parametrize("path", ["logo/snnax.svg", "docs/images/dvs_gesture.png"])
def test_every_picture_of_the_readme_is_there(path):
    assert f".. image:: {path}" in README.read_text(encoding="utf-8")
    assert (README.parent / path).exists()


@pytest.mark.parametrize(
    "name", ["Graph", "Sequential", "Recurrent", "Parallel", "Residual", "SpikingLayer", "parameter"]
)
def test_every_example_of_a_docstring_runs(name):
    keys = dict(zip(("key", "k1", "k2", "k3"), jr.split(jr.key(0), 4), strict=True))
    names = {"eqx": eqx, "jax": jax, "jnp": jnp, "snn": snn, "spikes": jnp.ones((10, 700)), **keys}
    blocks = examples(getattr(snn, name))
    assert blocks
    for block in blocks:
        exec(compile(block, name, "exec"), names)
