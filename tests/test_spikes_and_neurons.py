"""Spikes that have no meaning in a neuron, or for what collects them, are refused by name."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import snnax.snn as snn
from snnax.functional import surrogate

TERNARY = {
    "SimpleLIF": lambda gap: snn.SimpleLIF(0.9, threshold=0.8, spike_fn=surrogate.Ternary(gap=gap)),
    "LIF": lambda gap: snn.LIF([0.9, 0.8], threshold=1.0, rest=0.2, spike_fn=surrogate.Ternary(gap=gap)),
    "SimpleIAF": lambda gap: snn.SimpleIAF(threshold=0.8, spike_fn=surrogate.Ternary(gap=gap)),
    "SlidingPSN": lambda gap: snn.SlidingPSN(2, threshold=0.8, spike_fn=surrogate.Ternary(gap=gap)),
    "SpikingMaxPool1d": lambda gap: snn.SpikingMaxPool1d(2, threshold=0.8, spike_fn=surrogate.Ternary(gap=gap)),
}


@pytest.mark.parametrize("name", TERNARY)
def test_a_gap_by_which_a_neuron_fires_at_rest_is_refused_and_no_larger_one(name, unchecked):
    for gap in (0.3, 0.8):
        message = (
            rf"`snn.{name}`: with a threshold that lies 0.8 above the rest, `surrogate.Ternary\(gap={gap}\)` fires -1 "
            r"at rest.*`surrogate.Ternary\(gap=1.6\)`, makes"
        )
        with pytest.raises(ValueError, match=message):
            TERNARY[name](gap)
    model = snn.Sequential(TERNARY[name](0.81))
    _, (out,) = model(model.init_state((1, 4)), jnp.zeros((5, 1, 4)))
    np.testing.assert_array_equal(out, 0.0)


def test_a_trained_gap_threshold_or_rest_is_not_judged():
    snn.SimpleLIF(0.9, spike_fn=surrogate.Ternary(gap=jnp.array(0.5)))
    snn.SimpleLIF(0.9, threshold=jnp.array(1.0), spike_fn=surrogate.Ternary(gap=0.5))
    snn.SimpleLIF(0.9, rest=jnp.array(0.0), spike_fn=surrogate.Ternary(gap=0.5))
    jax.jit(lambda: snn.Izhikevich(spike_fn=surrogate.Ternary(gap=5.0)))()


@pytest.mark.parametrize("inside", [lambda s: s, surrogate.Ternary, lambda s: surrogate.MultiLevel(2, s)])
def test_a_rest_after_spikes_that_are_no_steps_is_refused(inside, unchecked):
    twin = inside(surrogate.Relaxed(surrogate.Sigmoid()))
    message = r"`snn.SimpleLIF`: `refractory=2` has no meaning with `surrogate.Relaxed`.*Leave it out, or take the sur"
    with pytest.raises(ValueError, match=message):
        snn.SimpleLIF(0.9, refractory=2, spike_fn=twin)
    snn.SimpleLIF(0.9, spike_fn=twin)
    snn.SimpleLIF(0.9, refractory=2, spike_fn=inside(surrogate.Sigmoid()))
