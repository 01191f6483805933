"""The page about encoders: its claims hold, and it names what there is and nothing else."""

import pathlib
import re

import docutils.frontend
import docutils.nodes
import docutils.parsers.rst
import docutils.utils
import pytest

from snnax import data, functional

DOCS = pathlib.Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def page():
    settings = docutils.frontend.get_default_settings(docutils.parsers.rst.Parser)
    settings.report_level = settings.halt_level = 2
    document = docutils.utils.new_document("encoders.rst", settings)
    docutils.parsers.rst.Parser().parse((DOCS / "encoders.rst").read_text(encoding="utf-8"), document)
    return document


def test_every_array_has_the_shape_that_its_line_claims(page):
    names, claims = {}, 0
    for block in page.findall(docutils.nodes.literal_block):
        for line in block.astext().splitlines():
            exec(line, names)
            if claim := re.match(r"(\w+) = .*# (\(\d[\d, ]+\))", line):
                assert str(names[claim[1]].shape) == claim[2], line
                claims += 1
    assert claims == 5 and len(names["train"][0]) == 200


def test_every_encoder_and_task_is_in_a_table(page):
    first, _, tasks = page.findall(docutils.nodes.tbody)

    def named(table):
        rows = table.findall(docutils.nodes.row)
        return {
            literal.astext().removeprefix("F.") for row in rows for literal in row[0].findall(docutils.nodes.literal)
        }

    files = {
        "_audio",
        "_ben_spiker",
        "_change_coding",
        "_phase",
        "_rate_coding",
        "_receptive_fields",
        "_targets",
        "_temporal_coding",
    }
    public = {name: getattr(value, "__module__", "") for name, value in vars(functional).items() if name[0] != "_"}
    assert named(first) == {name for name, module in public.items() if module.rpartition(".")[2] in files}
    assert named(tasks) == {"randman", "poisson_patterns", "delayed_recall", "temporal_xor"}
    assert all(callable(getattr(data, name)) for name in named(tasks))


def test_the_picture_and_its_script_are_there(page):
    (image,) = page.findall(docutils.nodes.image)
    assert (DOCS / image["uri"]).exists()
    assert (DOCS / "figures" / "encoders.py").exists() and "docs/figures/encoders.py" in image["alt"]
