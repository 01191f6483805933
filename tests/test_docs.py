"""Code blocks of the documents and examples of functions run, and every function that the documents name is there."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
import pytest
from test_readme import README, code_blocks, examples

import snnax.nir
from snnax import data, functional, plot, snn, train

FOLDER = README.parent / "docs"
DOCS = sorted([*FOLDER.glob("*.rst"), *FOLDER.glob("*.md")])
BY_NAME = pytest.mark.parametrize("path", DOCS, ids=lambda path: path.stem)
MODULES = {
    "snn": snn,
    "F": functional,
    "functional": functional,
    "surrogate": functional.surrogate,
    "data": data,
    "plot": plot,
    "train": train,
    "snnax.nir": snnax.nir,
    "eqx": eqx,
    "jax": jax,
    "jnp": jnp,
    "jr": jr,
    "optax": optax,
}
FUNCTIONS = {name: f for name, f in vars(functional).items() if callable(f) and not name.startswith("_")}


def blocks_of(path):
    """What is fenced as `python` in Markdown. What is fenced as `py` is code of other libraries, and not run."""
    if path.suffix == ".rst":
        return code_blocks(path)
    return re.findall(r"(?ms)^```python\n(.*?)^```$", path.read_text(encoding="utf-8"))


@BY_NAME
def test_every_code_block_of_a_document_runs_in_order(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for the files that it makes
    names = {}
    for block in blocks_of(path):
        exec(compile(block, path.name, "exec"), names)


@BY_NAME
def test_every_name_that_a_document_gives_is_there(path):
    """In the right columns of tables too, which say what the names of other libraries are here."""
    names = "|".join(map(re.escape, MODULES))
    pattern = rf"(?<![\w.])({names})\.(?!rst\b|md\b)([A-Za-z_][\w.]*)"  # and not the name of a page
    for module, name in re.findall(pattern, _with_hidden_other_libraries(path.read_text(encoding="utf-8"))):
        found = MODULES[module]
        for part in name.rstrip(".").split("."):
            assert hasattr(found, part), f"{path.name} names `{module}.{name}`, but there is no {part!r}"
            found = getattr(found, part)


def _with_hidden_other_libraries(text):
    """Without the first columns of tables, which name what other libraries have."""
    return re.sub(r"(?m)^   \* - .*(\n     \S.*)*?(?=\n     - )", "", text)


@pytest.mark.parametrize("name", [name for name, f in FUNCTIONS.items() if examples(f)])
def test_every_example_of_a_function_runs(name):
    names = {"jnp": jnp, "functional": functional}
    for block in examples(FUNCTIONS[name]):
        exec(compile(block, name, "exec"), names)
