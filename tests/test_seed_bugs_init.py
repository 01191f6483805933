"""The bug of the other libraries' initialisation that cannot come back, by its number."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import snnax.snn as snn


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_bug_20_recurrent_weights_at_initialisation_act_with_the_magnitude_that_is_documented(rate):
    """Spyx: recurrent weights of standard deviation 0.009, which is next to none."""
    n = 400
    firing = (jnp.arange(float(n)) < rate * n).astype(jnp.float32)
    fed_back = jax.vmap(lambda key: eqx.nn.Linear(n, n, key=key)(firing))(jr.split(jr.key(0), 20))
    expected = np.sqrt((rate + 1 / n) / 3)
    # 8000 values: a relative standard error of 0.8 %.
    assert np.std(fed_back) == pytest.approx(expected, rel=0.04)
    assert abs(np.mean(fed_back)) < 4 * expected / np.sqrt(fed_back.size)


def test_bug_20_recurrent_weights_at_initialisation_change_the_output():
    """Potentials of the step after the neurons have fired differ by what is fed back, and then spikes do."""
    n, rate = 400, 0.3
    synapse = eqx.nn.Linear(n, n, key=jr.key(1))
    firing = (jnp.arange(float(n)) < rate * n).astype(jnp.float32)
    xs = jnp.stack([2 * firing, *jr.uniform(jr.key(2), (20, n), maxval=0.5)])

    def run(neuron):
        model = snn.Sequential(neuron)
        states, _ = model(model.init_state((n,)), xs[:2])
        return states.layers[0], model(model.init_state((n,)), xs)[1][0]

    state, outs = run(snn.Recurrent(snn.SimpleLIF(0.9, reset=snn.NoReset()), synapse))
    alone, outs_alone = run(snn.SimpleLIF(0.9, reset=snn.NoReset()))
    # The bias comes in the first step too.
    fed_back = np.asarray(state.neuron.v - alone.v - 0.9 * synapse.bias)
    np.testing.assert_allclose(fed_back, synapse(firing), rtol=1e-4, atol=1e-5)
    assert np.std(fed_back) == pytest.approx(np.sqrt(rate / 3), rel=0.15)
    assert np.mean(outs[2:] != outs_alone[2:]) > 0.1
