"""The docstrings are the reference: every public name has one, with its arguments, shapes, equations and sources, and
stands on one page of docs/api."""

import ast
import importlib
import inspect
import re
from collections import Counter

import equinox as eqx
import pytest
from test_readme import README

import snnax.snn as snn
from snnax import functional
from snnax.functional import surrogate

PACKAGES = [
    *("snnax", "snnax.snn", "snnax.functional", "snnax.functional.surrogate"),
    *("snnax.data", "snnax.train", "snnax.nir", "snnax.plot"),
]
PUBLIC = {
    f"{package}.{name}": value
    for package in PACKAGES
    for name, value in vars(importlib.import_module(package)).items()
    if name[0] != "_" and not inspect.ismodule(value)
}
CLASSES = {name: value for name, value in PUBLIC.items() if inspect.isclass(value)}
LAYERS = {
    name: value
    for name, value in CLASSES.items()
    if issubclass(value, snn.StatefulLayer) and not inspect.isabstract(value)
}
SURROGATES = {
    name: value
    for name, value in CLASSES.items()
    if issubclass(value, surrogate.AbstractSurrogate) and not inspect.isabstract(value)
}
SOURCE = re.compile(r"doi:|arXiv:|\b(19|20)\d\d\b")
SHAPE = re.compile(r"\bshape\b|`\([a-z_*]+,")


def written(value):
    """All that is said of a class or function: the docstrings of the class and of what it inherits."""
    if not inspect.isclass(value):
        return value.__doc__ or ""
    parts = [part for base in value.__mro__ if base.__module__.startswith("snnax") for part in _own(base)]
    return "\n".join(part for part in parts if part)


def _own(base):
    init = vars(base).get("__init__")
    return base.__doc__ if "__doc__" in vars(base) else None, init.__doc__ if init else None


def described(value, argument):
    return re.search(rf"`[^`]*\b{argument}\b[^`]*`", written(value)) is not None


def arguments(value):
    found = inspect.signature(value.__init__ if inspect.isclass(value) else value).parameters.values()
    return [p.name for p in found if p.name != "self" and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_docstring_of_its_own(name):
    value = PUBLIC[name]
    if not callable(value):  # a constant, whose docstring is in the source alone
        source = (README.parent / (value_file(name))).read_text(encoding="utf-8")
        assert re.search(rf'(?ms)^{name.rpartition(".")[2]}\b.*?\n"""', source), f"{name}: no docstring below it"
        return
    assert vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__, f"{name} has no docstring"


def value_file(name):
    """The file that a package has a constant from."""
    package, _, constant = name.rpartition(".")
    folder = package.replace(".", "/")
    tree = ast.parse((README.parent / folder / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    (module,) = [node.module for node in imports if constant in [alias.name for alias in node.names]]
    return f"{folder}/{module}.py"


@pytest.mark.parametrize("name", [name for name, value in PUBLIC.items() if callable(value)])
def test_every_argument_of_a_public_name_is_described(name):
    value = PUBLIC[name]
    if inspect.isclass(value) and (inspect.isabstract(value) or issubclass(value, Exception)):
        return
    missing = [argument for argument in arguments(value) if not described(value, argument)]
    assert not missing, f"{name}: the docstring says nothing of {missing}"


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_says_what_shapes_it_takes(name):
    assert SHAPE.search(LAYERS[name].__call__.__doc__ or ""), f"{name}.__call__ says nothing of shapes"


@pytest.mark.parametrize("name", [f"snnax.functional.{name}" for name in vars(functional)])
def test_every_function_of_arrays_says_what_shapes_it_takes(name):
    if inspect.isfunction(PUBLIC.get(name)):
        assert re.search(r"\bshape\b|`\(|array|number|each|axis", written(PUBLIC[name])), name


# What is no model of a paper's: a way to join layers, or a surrogate of which the user says what it is.
OWN = {"Parallel", "Recurrent", "SpikeSource", "Custom", "Relaxed", "Tanh"}


@pytest.mark.parametrize("name", [*LAYERS, *SURROGATES])
def test_every_layer_and_surrogate_has_its_equations_and_source(name):
    if name.rpartition(".")[2] in OWN:
        return
    text = written(PUBLIC[name])
    assert "$" in text, f"{name}: no equation"
    assert SOURCE.search(text), f"{name}: no source"


def test_the_reference_lists_every_public_name_once():
    listed = []
    for page in sorted((README.parent / "docs" / "api").rglob("*.rst")):
        text = page.read_text(encoding="utf-8")
        for module in re.findall(r"(?m)^\.\. currentmodule:: (\S+)$", text):  # one for a page
            listed += [f"{module}.{name}" for name in re.findall(r"(?m)^\.\. auto(?!module)\w+:: (\w+)$", text)]
    assert not set(PUBLIC) - set(listed), "not in docs/api"
    assert not set(listed) - set(PUBLIC), "in docs/api, but not public"
    assert not [name for name, count in Counter(listed).items() if count > 1]


def test_a_layer_is_an_equinox_module():
    assert all(issubclass(value, eqx.Module) for value in LAYERS.values()) and len(LAYERS) > 40 and len(SURROGATES) > 15
