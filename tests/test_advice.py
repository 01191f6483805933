"""What a diagnosis advises can help: no scaling where the scale is right, nor of a silent or broken network."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import pytest
from helpers import linear, spikes_like

import snnax.snn as snn

N = 20


def driven(currents, **firing):
    """Neurons that get a constant current each."""
    return snn.Sequential(eqx.nn.Lambda(lambda x: currents + 0 * x), snn.SimpleLIF(0.9, **firing))


def message(report, problem):
    (found,) = [finding for finding in report.findings if finding.problem == problem]
    return found.message


def test_neurons_of_which_few_fire_much_are_not_to_be_scaled():
    batch = jnp.ones((2, 20, N))
    few = driven(jnp.where(jnp.arange(N) < 4, 0.5, -1.0))
    report = snn.diagnose(few, batch)
    assert report.layers[1].dead == 0.8 and 0.05 < report.layers[1].rate
    text = message(report, "dead")
    assert "80% of the neurons never fire" in text and "snn.calibrate" not in text
    assert "fires at a rate of 0.06, so it is uneven" in text and "snn.BatchNorm" in text
    weak = snn.diagnose(driven(jnp.where(jnp.arange(N) < 4, 0.15, -1.0)), batch)
    assert 0 < weak.layers[1].rate < 0.05 and "snn.calibrate(model, batch, 0.1)" in message(weak, "dead")


def test_what_was_calibrated_is_not_advised_to_be():
    weight = jnp.where(jnp.arange(N)[:, None] < 5, 1.0, -1.0) * jnp.ones((N, N))
    model = snn.Sequential(linear(N, N), snn.SimpleLIF(0.9))
    model = eqx.tree_at(lambda m: (m[0].weight, m[0].bias), model, (weight, jnp.zeros(N)))
    batch = spikes_like(jr.key(0), (4, 40, N), 0.2)
    report = snn.diagnose(snn.calibrate(model, batch, 0.1), batch)
    assert report.layers[1].dead == 0.75 and report.layers[1].rate == pytest.approx(0.1, rel=0.06)
    assert "snn.calibrate" not in message(report, "dead")


def test_saturation_by_a_refractory_period_is_not_to_be_scaled():
    batch = jnp.ones((2, 40, N))
    resting = snn.diagnose(driven(jnp.full(N, 5.0), refractory=9), batch)
    text = message(resting, "saturated")
    assert "rate of 0.1 and no more" in text and "`refractory`" in text and "snn.calibrate" not in text
    assert "snn.calibrate" in message(snn.diagnose(driven(jnp.full(N, 5.0)), batch), "saturated")


def test_nothing_is_advised_beside_values_that_are_not_finite_or_a_silent_input():
    model = snn.Sequential(linear(N, N), snn.SimpleLIF(0.9, threshold=50.0))
    broken = eqx.tree_at(lambda m: m[0].weight, model, replace_fn=lambda w: w.at[0, 0].set(jnp.nan))
    batch = spikes_like(jr.key(0), (3, 10, N), 0.3)
    assert [f.problem for f in snn.diagnose(broken, batch).findings] == ["not finite"]
    assert [f.problem for f in snn.diagnose(model, 0 * batch).findings] == ["silent input"]
    assert [f.problem for f in snn.diagnose(model, batch).findings] == ["dead"]


@pytest.mark.parametrize("verb", [lambda m, b: snn.calibrate(m, b, 0.1), snn.lsuv], ids=["snn.calibrate", "snn.lsuv"])
def test_a_batch_of_zeros_is_refused_by_what_scales_weights(verb, request, unchecked):
    name = request.node.callspec.id
    model = snn.Sequential(linear(N, N), snn.SimpleLIF(0.9))
    with pytest.raises(ValueError, match=f"`{name}`: the batch is all zeros.*Give one of real inputs"):
        verb(model, jnp.zeros((3, 10, N)))
