"""The example that takes a network out to NIR and in again, for one epoch; and what it would say of a difference."""

import importlib.util
import pathlib

import jax.numpy as jnp
import pytest

pytest.importorskip("nir")
pytest.importorskip("matplotlib")
import snnax.nir  # noqa: E402

PATH = pathlib.Path(__file__).parent.parent / "examples" / "nir_roundtrip.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("nir_roundtrip", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(example, folder, capsys):
    same = example.main(["--epochs", "1", "--out", str(folder)])
    return same, capsys.readouterr().out


def test_the_network_of_the_example_comes_back_the_same(example, tmp_path, capsys):
    same, said = run(example, tmp_path, capsys)
    assert same
    assert "spikes: 768000 values, 0 differ" in said and "accuracy from NIR: " in said
    assert (tmp_path / "rasters.png").stat().st_size > 5000
    assert "hidden" in snnax.nir.read(tmp_path / "network.nir").nodes


def test_the_example_would_see_a_difference(example, tmp_path, capsys, monkeypatch):
    trains = example.trains

    def one_spike_less(model, batch):
        outs = trains(model, batch)
        spikes = outs["spikes"]
        first = jnp.unravel_index(jnp.argmax(spikes), spikes.shape)
        return {**outs, "spikes": spikes.at[first].set(0)} if "output_" in model.nodes else outs

    monkeypatch.setattr(example, "trains", one_spike_less)
    same, said = run(example, tmp_path, capsys)
    assert not same and "spikes: 768000 values, 1 differ" in said
