"""Every code block of the README runs, and so does every example in a docstring of a container or layer of layers."""

import inspect
import pathlib
import re
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
    names = {}
    for block in code_blocks():
        exec(compile(block, README.name, "exec"), names)
    assert names["metrics"]["loss"] > 0 and [out.shape[0] for out in names["outs"]] == [20] * 5


def test_every_file_that_the_readme_links_is_there():
    links = re.findall(r"<([^<>\s]+)>`_", README.read_text(encoding="utf-8"))
    links = [link for link in links if "://" not in link]
    assert len(links) > 30
    assert not [link for link in links if not (README.parent / link).exists()]


def test_every_page_of_the_documentation_is_linked_from_the_readme():
    pages = {f"docs/{path.name}" for path in (README.parent / "docs").iterdir() if path.suffix in (".md", ".rst")}
    text = README.read_text(encoding="utf-8")
    assert {page for page in pages if f"<{page}>" not in text} == {"docs/index.md"}


def test_the_start_page_of_the_documentation_says_what_the_readme_says():
    page = (README.parent / "docs" / "index.md").read_text(encoding="utf-8")
    readme = README.read_text(encoding="utf-8")
    assert re.search(r"(?ms)^```python\n(.*?)\n```$", page)[1] == code_blocks()[0]
    claims = re.findall(r"(?m)^   \* - \*\*(.+)\*\*$", readme)
    assert re.findall(r"(?m)^- \*\*(.+?)\.?\*\*", page) == claims and len(claims) > 5


def test_the_times_of_the_readme_are_those_of_the_benchmarks():
    page = (README.parent / "docs" / "benchmarks.rst").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^``(\w+)``.*?  +([\d.].*)$", README.read_text(encoding="utf-8"))
    assert [task for task, _ in rows] == ["mlp", "rnn", "conv", "feedback"]
    for task, times in rows:
        table = page[page.index(f"    {task}: ") :].partition("\n\n")[0]
        for library, time in zip(["spyx", "spikingjelly", "snntorch", "norse", "jaxpike"], times.split(), strict=False):
            assert re.search(rf"(?m)^    {library} .* {re.escape(time)} \(", table), (task, library)


def test_every_other_figure_of_the_readme_is_on_a_page_of_the_documentation():
    _, _, measured = README.read_text(encoding="utf-8").partition("\nMeasured\n---")
    pages = [README.parent / "docs" / name for name in ("benchmarks.rst", "data.rst")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    figures = set(re.findall(r"\b\d+\.\d+\b", measured))
    assert len(figures) > 20 and not {figure for figure in figures if not re.search(rf"\b{figure}\b", text)}


@pytest.mark.parametrize("path", ["logo/snnax.svg", "docs/images/dvs_gesture.png"])
def test_every_picture_of_the_readme_is_there(path):
    assert f".. image:: {path}" in README.read_text(encoding="utf-8")
    assert (README.parent / path).exists()


@pytest.mark.parametrize(
    "name",
    [
        *("Graph", "Sequential", "Recurrent", "Parallel", "Residual", "SpikingLayer", "parameter", "PoissonSource"),
        *("Associative", "LRU", "S5", "Each", "spiking_self_attention", "spiking_transformer_block"),
    ],
)
def test_every_example_of_a_docstring_runs(name):
    keys = dict(zip(("key", "k1", "k2", "k3"), jr.split(jr.key(0), 4), strict=True))
    names = {"eqx": eqx, "jax": jax, "jnp": jnp, "snn": snn, "spikes": jnp.ones((10, 700)), **keys}
    blocks = examples(getattr(snn, name))
    assert blocks
    for block in blocks:
        exec(compile(block, name, "exec"), names)
