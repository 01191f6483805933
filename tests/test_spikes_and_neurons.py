"""Spikes that have no meaning in a neuron, or for what collects them, are refused by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import linear

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
            r"at rest.*`surrogate.Ternary\(gap=1.6\)` makes"
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


GRADED = {"Ternary": surrogate.Ternary(), "MultiLevel": surrogate.MultiLevel(2)}


@pytest.mark.parametrize("collector", [snn.FirstSpike(), snn.Window(snn.FirstSpike(), start=1)])
@pytest.mark.parametrize("wrap", [lambda n: n, lambda n: snn.Recurrent(n, linear(3, 3))], ids=["alone", "Recurrent"])
@pytest.mark.parametrize("name", GRADED)
def test_the_first_of_spikes_other_than_0_and_1_is_refused_by_the_name_of_the_layer(name, wrap, collector, unchecked):
    neuron = wrap(snn.SimpleLIF(0.9, spike_fn=GRADED[name]))
    model = snn.Sequential(neuron, snn.SimpleLIF(0.9))
    states, xs = model.init_state((3,)), jnp.ones((5, 3))
    message = (
        rf"`snn.Sequential`: `snn.FirstSpike` takes.*layer 0, `{snn_name(neuron)}`, .*by `surrogate.{name}`\. Leave"
    )
    with pytest.raises(ValueError, match=message):
        model(states, xs, collect=collector)
    _, outs = model(states, xs, collect={1: collector})
    assert outs[0] is None and outs[1].shape == (3,)


def test_the_first_spikes_behind_a_graded_feedback_are_collected():
    back = snn.Sequential(linear(3, 3), snn.SimpleLIF(0.9, spike_fn=surrogate.Ternary()))
    model = snn.Sequential(snn.Recurrent(snn.SimpleLIF(0.9), back))
    _, (first,) = model(model.init_state((3,)), jnp.ones((5, 3)), collect=snn.FirstSpike())
    np.testing.assert_array_equal(first, 0.0)


def test_the_remedy_gives_the_first_spikes_of_either_sign():
    model = snn.Sequential(snn.SimpleLIF(0.9, spike_fn=surrogate.Ternary()))
    xs = jnp.zeros((6, 3)).at[2, 0].set(-3.0).at[4, 0].set(3.0).at[1, 1].set(3.0).at[5, 2].set(-3.0)
    _, (train,) = model(model.init_state((3,)), xs)
    np.testing.assert_array_equal(jnp.argmax(train != 0, axis=0), [2, 1, 5])


def snn_name(layer):
    return f"snn.{type(layer).__name__}"
