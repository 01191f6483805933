"""The example on written digits: what it shows to a network, and that it learns."""

import importlib.util
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("sklearn")
PATH = pathlib.Path(__file__).parent.parent / "examples" / "digits.py"


@pytest.fixture(scope="module")
def digits():
    spec = importlib.util.spec_from_file_location("digits", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_network_of_single_spikes_learns_in_one_epoch(digits, capsys):
    accuracies = digits.main(["--epochs", "1", "--seeds", "1"])
    assert accuracies["spiking"][0] > 0.5 and accuracies["without spikes"][0] > 0.5
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1438 images to train on, 359 to test on"
    assert lines[1].startswith(f"spiking         {100 * accuracies['spiking'][0]:.1f} ± 0.0 % of test images, over 1")
    assert lines[3] == "chance          11.7 %, the most frequent digit"


def test_every_brightness_has_a_step_of_its_own(digits, monkeypatch):
    seen = {}

    class Network:
        def init_state(self, shape):
            assert shape == (digits.PIXELS,)

        def __call__(self, states, spikes, collect):
            seen["spikes"] = spikes
            return states, [spikes]

    digits.spiking_scores(Network(), jnp.tile(jnp.arange(17) / 16, 4)[: digits.PIXELS])
    np.testing.assert_array_equal(seen["spikes"][:, :17], np.arange(17) == 16 - np.arange(16)[:, None])


@pytest.mark.parametrize("option", ["--seeds", "--epochs"])
def test_arguments_that_make_no_sense_are_refused(digits, option, capsys):
    with pytest.raises(SystemExit):
        digits.parse_arguments([option, "0"])
    assert f"{option} must be 1 or more, got 0" in capsys.readouterr().err
