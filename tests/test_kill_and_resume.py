"""The example that kills a training run, for a few times; and what it would say of a run that does not go on."""

import importlib.util
import pathlib
import shutil

import pytest

from snnax import train

PATH = pathlib.Path(__file__).parent.parent / "examples" / "kill_and_resume.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("kill_and_resume", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def runs(example, tmp_path_factory):
    """The folder of a run that was killed three times and of one that was not, and whether they ended the same."""
    folder = tmp_path_factory.mktemp("runs")
    return folder, example.main(["--kills", "3", "--epochs", "20", "--out", str(folder)])


def test_a_run_that_is_killed_ends_as_the_one_that_is_not(runs):
    folder, same = runs
    assert same
    assert train.Checkpoints(folder / "killed" / "checkpoints").steps()[-3:] == [196, 198, 200]


def test_the_example_would_see_a_difference(example, runs, tmp_path):
    folder, _ = runs
    other = tmp_path / "other"
    shutil.copytree(folder / "whole", other)
    assert all(example.compare(other, folder / "whole").values())
    table = (other / "log.csv").read_text().splitlines()
    (other / "log.csv").write_text("\n".join([*table, table[-1]]) + "\n")
    state = train.load(other / "last", example.start())
    history = train.read_config(other / "last")["history"]
    train.save(other / "last", example.start(), config={"history": history[:-1]})
    shutil.rmtree(other / "checkpoints")
    assert not any(example.compare(other, folder / "whole").values())
    assert int(state.step) == 200
