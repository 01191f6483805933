"""Code blocks of the documents and examples of functions run, and every function that the documents name is there."""

import re

import jax.numpy as jnp
import pytest
from test_readme import README, code_blocks, examples

from snnax import functional

DOCS = sorted((README.parent / "docs").glob("*.rst"))
BY_NAME = pytest.mark.parametrize("path", DOCS, ids=lambda path: path.stem)
FUNCTIONS = {name: f for name, f in vars(functional).items() if callable(f) and not name.startswith("_")}


@BY_NAME
def test_every_code_block_of_a_document_runs_in_order(path):
    names = {}
    for block in code_blocks(path):
        exec(compile(block, path.name, "exec"), names)


@BY_NAME
def test_every_function_that_a_document_names_is_there(path):
    assert set(re.findall(r"\bF\.(\w+)", path.read_text(encoding="utf-8"))) <= set(FUNCTIONS)


@pytest.mark.parametrize("name", [name for name, f in FUNCTIONS.items() if examples(f)])
def test_every_example_of_a_function_runs(name):
    names = {"jnp": jnp, "functional": functional}
    for block in examples(FUNCTIONS[name]):
        exec(compile(block, name, "exec"), names)
