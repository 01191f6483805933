"""Every code block of the README runs."""

import pathlib

import docutils.frontend
import docutils.nodes
import docutils.parsers.rst
import docutils.utils
import jax
import pytest

README = pathlib.Path(__file__).parent.parent / "README.rst"


def code_blocks():
    settings = docutils.frontend.get_default_settings(docutils.parsers.rst.Parser)
    settings.report_level = 2
    settings.halt_level = 2
    document = docutils.utils.new_document(str(README), settings)
    docutils.parsers.rst.Parser().parse(README.read_text(encoding="utf-8"), document)
    return [node.astext() for node in document.findall(docutils.nodes.literal_block) if "python" in node["classes"]]


def test_every_code_block_of_the_readme_runs_in_order():
    blocks = code_blocks()
    assert len(blocks) >= 3
    names = {}
    # optax adds Python numbers to whole numbers, which strict promotion refuses.
    with jax.numpy_dtype_promotion("standard"):
        for block in blocks:
            exec(compile(block, README.name, "exec"), names)
    assert names["loss"] > 0 and names["bursts"].shape == (10, 5)


@pytest.mark.parametrize("path", ["logo/snnax.svg", "docs/images/dvs_gesture.png"])
def test_every_picture_of_the_readme_is_there(path):
    assert f".. image:: {path}" in README.read_text(encoding="utf-8")
    assert (README.parent / path).exists()
