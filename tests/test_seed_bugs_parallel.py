"""Bugs of snnTorch's parallel neurons that must not come back, by their numbers in the project's list."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import snnax.snn as snn
from snnax.functional import surrogate

T = 500


def outputs(layer, xs):
    model = snn.Sequential(layer)
    return np.asarray(model(model.init_state(xs.shape[1:]), xs)[1][0])


@pytest.mark.parametrize("decay", [0.0, 1e-3, 0.5, 0.9, 0.999, 1.0])
def test_bug_13_a_parallel_form_equals_the_steps_over_500_steps(decay):
    """snnTorch: a division by products of decays, which fall to nothing, made a state decay to 0 within 60 steps."""
    xs = jr.normal(jr.key(0), (T, 4))
    for make in (snn.SimpleLI, lambda decay: snn.LI([decay, 0.9])):
        stepped = outputs(make(decay), xs)
        v, expected = np.zeros(4), []
        i = np.zeros(4)
        for x in np.asarray(xs, float):
            i = (0.9 * i if make is not snn.SimpleLI else 0.0) + x
            v = decay * v + i
            expected.append(v)
        scale = np.max(np.abs(expected))
        for one in (stepped, outputs(snn.Associative(make(decay)), xs)):
            assert np.max(np.abs(one - expected)) < 1e-4 * scale


def test_bug_13_what_is_written_once_stays_where_nothing_decays():
    xs = jnp.zeros((T, 3)).at[0].set(0.81)
    np.testing.assert_allclose(outputs(snn.Associative(snn.SimpleLI(1.0)), xs), np.full((T, 3), 0.81), rtol=1e-6)


def test_bug_14_the_size_of_a_graded_spike_counts_once_in_the_parallel_form():
    """snnTorch: a factor of 3 gave spikes of 9."""

    def graded(x):
        return 3 * surrogate.SuperSpike()(x)

    xs = jr.normal(jr.key(1), (T, 4))
    layer = snn.SimpleLIF(0.9, reset=snn.NoReset(), spike_fn=graded)
    spikes = outputs(snn.Associative(layer), xs)
    np.testing.assert_array_equal(np.unique(spikes), [0, 3])
    np.testing.assert_array_equal(spikes, outputs(layer, xs))


def test_bug_14_the_parallel_form_decays_by_the_decay_that_it_was_given():
    """snnTorch: a decay of 0.9 acted as 0.9048 in one parallel neuron, and as a random one in another."""
    impulse = jnp.zeros((20, 3)).at[0].set(1.0)
    decays = jnp.array([0.9, 0.5, 0.1])
    out = outputs(snn.Associative(snn.SimpleLI(decays)), impulse)
    np.testing.assert_allclose(out, np.asarray(decays, float) ** np.arange(20)[:, None], rtol=1e-5)
