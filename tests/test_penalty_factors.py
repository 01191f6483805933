"""The factors of penalties that the documentation gives act."""

from test_docs import DOCS
from test_readme import code_blocks


def test_the_penalties_of_the_first_example_pull_noticeably_and_less_than_the_loss():
    (path,) = (path for path in DOCS if path.stem == "losses")
    names = {}
    for block in code_blocks(path)[:2]:
        exec(compile(block, path.name, "exec"), names)
    assert 0.001 < names["part"] < 0.5
