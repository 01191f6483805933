"""What turns the docstrings and pages into the documentation: Markdown, links and equations."""

import importlib
import inspect
import os
import pathlib
import re
import subprocess
import sys

import pytest
from test_readme import README

pytest.importorskip("sphinx", reason="needs the extra `docs`")
pytest.importorskip("myst_parser", reason="needs the extra `docs`")

DOCS = README.parent / "docs"


@pytest.fixture(scope="module")
def extension():
    sys.path.insert(0, str(DOCS / "_ext"))
    yield importlib.import_module
    sys.path.remove(str(DOCS / "_ext"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A documentation of one page, built by the extensions, with what Sphinx warned of."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(DOCS / '_ext')!r})\n"
        "extensions = ['sphinx.ext.autodoc', 'myst_parser', 'docstrings', 'links', 'mathml']\n"
        "html_math_renderer = 'mathml'\nautoclass_content = 'both'\nmyst_enable_extensions = ['dollarmath']\n"
        "autodoc_typehints = 'none'\nhtml_theme = 'basic'\n",
        encoding="utf-8",
    )
    (folder / "index.rst").write_text(
        "Title\n=====\n\n``snn.SimpleLIF(0.9)`` and ``snn.nothing``, `there <other.rst>`_ "
        "(doi:10.1109/MSP.2019.2931595).\n\n"
        ".. currentmodule:: snnax.snn\n\n.. autoclass:: SimpleLIF\n   :members: __call__, from_rc\n"
        ".. autoclass:: Graph\n.. autofunction:: decay\n",
        encoding="utf-8",
    )
    (folder / "other.rst").write_text(":orphan:\n\nOther\n=====\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(folder), str(folder / "out")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(README.parent)},
    )
    assert done.returncode == 0, done.stderr
    return (folder / "out" / "index.html").read_text(encoding="utf-8")


def test_a_docstring_is_read_as_markdown(built):
    assert "**Arguments" not in built and "$" not in re.sub(r"(?s)<script.*?</script>", "", built)
    assert "<strong>Arguments:</strong>" in built
    arguments = built[built.index("<strong>Arguments:</strong>") :]
    assert arguments.index("<ul") < arguments.index("decay_constants") < arguments.index("</ul>")
    assert '<div class="highlight-' in built[built.index('id="snnax.snn.Graph"') :]  # the indented examples


def test_equations_are_mathml(built):
    definition = built[built.index('id="snnax.snn.SimpleLIF"') :]
    equation = definition[definition.index('<div class="equation">') : definition.index("</div>")]
    assert 'display="block"' in equation and "<mi>α</mi>" in equation and "<mo>≥</mo>" in equation


def test_the_signature_is_that_of_the_constructor(built):
    text = re.sub(r"<[^>]+>", "", built)
    assert "SimpleLIF(decay_constants, shape=None, *, gain=1.0, rest=0.0, key=None, **firing)" in text


def test_code_is_a_link_where_it_names_something_public(built):
    assert re.search(r'<a [^>]*href="#snnax.snn.SimpleLIF"[^>]*><code[^>]*><span[^>]*>snn.SimpleLIF', built)
    assert re.search(r'<a [^>]*href="#snnax.snn.decay"[^>]*><code[^>]*><span[^>]*>snn.decay\(tau,', built)
    assert not re.search(r"<a [^>]*><code[^>]*><span[^>]*>(snn.nothing|gain|x)<", built)


def test_sources_are_links(built):
    assert re.search(r'<a [^>]*href="https://arxiv.org/abs/2007.05785"[^>]*>arXiv:2007.05785</a>\)', built)
    assert re.search(r'<a [^>]*href="https://doi.org/10.1109/MSP.2019.2931595"[^>]*>[^<]*</a>\)\.', built)


def test_pages_link_to_pages_by_their_file(built):
    assert re.search(r'<a [^>]*href="other.html"', built)


@pytest.mark.parametrize(
    "code, name",
    [
        ("snn.LIF", "snnax.snn.LIF"),
        ("snn.LIF([0.95, 0.9])", "snnax.snn.LIF"),
        ("reset=snn.SubtractReset()", "snnax.snn.SubtractReset"),
        ("F.rate_code", "snnax.functional.rate_code"),
        ("surrogate.SuperSpike", "snnax.functional.surrogate.SuperSpike"),
        ("train.Checkpoints.restore", "snnax.train.Checkpoints.restore"),
        ("snnax.nir.read", "snnax.nir.read"),
        ("snnax.train", "snnax.train"),
        ("snnax.kernels()", "snnax.kernels"),
        ("eqx.nn.Linear", "equinox.nn.Linear"),
        ("jnp.argmax", "jax.numpy.argmax"),
        ("nir.LIF", None),  # of the package nir
        ("snn.Leaky", None),
        ("LIF", None),
        ("x", None),
        ("a + b", None),
    ],
)
def test_what_a_piece_of_code_names(extension, code, name):
    assert extension("links").target(code) == name


def test_on_the_page_of_a_package_names_need_no_prefix(extension):
    links = extension("links")
    assert links.target("LIF", links.PACKAGES["snn"]) == "snnax.snn.LIF"
    assert links.target("reset", links.PACKAGES["snn"]) is None


@pytest.mark.parametrize("path", sorted((DOCS / "inventories").glob("*.inv")), ids=lambda path: path.stem)
def test_what_other_libraries_are_said_to_have_is_there(path):
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    assert head == "# Sphinx inventory version 1"
    for line in lines[2:]:
        name, kind, page = line.split()
        found, *parts = name.split(".")
        found = importlib.import_module(found)
        for part in parts:
            found = getattr(found, part)
        assert (kind == "class") == inspect.isclass(found), name
        assert not pathlib.PurePosixPath(page).is_absolute()


def test_equations_of_sizes_and_cases_are_written(extension):
    write = extension("mathml").to_mathml
    assert write(r"\Big(\frac{a}{b}\Big) \big/ c").count("<mo") >= 3
    assert "<mtable" in write(r"h = \begin{cases} 1 & x \ge 0 \\ 0 & x < 0 \end{cases}", block=True)


def test_a_fraction_of_two_digits_is_that_of_tex(extension):
    write = extension("mathml").to_mathml
    assert write(r"\tfrac12 (1 + x)") == write(r"\tfrac{1}{2} (1 + x)")
    assert write(r"\frac{12}{n}").count("<mn>12</mn>") == 1


def test_equations_are_divided_where_nothing_is_open(extension):
    parts = extension("mathml").parts
    assert parts(r"a = 1, \qquad b = \{2\}") == ["a = 1, ", r" b = \{2\}"]
    whole = r"h = \begin{cases} 1 \qquad & x \\ 0 & y \end{cases}"
    assert parts(whole) == [whole] and parts(rf"\text{{a \qquad b}}, \qquad {whole}")[1] == f" {whole}"
