"""With a smooth spike and a reset that passes gradients, the gradient of every neuron is that of finite differences."""

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import snnax.snn as snn
from snnax.functional import surrogate


def firing(reset, threshold=(0.9, 0.7)):
    spike = surrogate.Sigmoid(2.0)
    return {
        "threshold": jnp.array(threshold),
        "reset": reset,
        "spike_fn": surrogate.Custom(spike.derivative, primal=spike.antiderivative),
    }


def subtraction():
    return snn.SubtractReset(stop_gradient=False)


def to_a_value():
    return snn.ResetToValue(jnp.array(-0.2), stop_gradient=False)


TWINS = {
    "ResonateAndFire": (
        lambda: snn.ResonateAndFire(
            jnp.array([0.8, 0.6]), jnp.array([0.5, 1.1]), gain=jnp.array(0.7), **firing(to_a_value())
        ),
        (2,),
    ),
    "BalancedResonateAndFire": (
        lambda: snn.BalancedResonateAndFire(
            jnp.array(0.1),
            jnp.array([0.4, 0.7]),
            refractory_decay=jnp.array(0.8),
            refractory_damping=jnp.array(0.1),
            gain=jnp.array(0.7),
            **firing(subtraction()),
        ),
        (2,),
    ),
    "SpikingLSTM": (lambda: snn.SpikingLSTM(3, 2, key=jr.key(0), **firing(subtraction(), (0.1, 0.2))), (3,)),
    "SpikingGRU": (lambda: snn.SpikingGRU(3, 2, key=jr.key(0), **firing(to_a_value(), (0.1, 0.2))), (3,)),
    "SpikingConvLSTM2d": (
        lambda: snn.SpikingConvLSTM2d(1, 1, 2, 2, key=jr.key(0), **firing(subtraction(), (0.1,))),
        (1, 3, 3),
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_the_gradient_of_the_smooth_twin_equals_finite_differences(name):
    with jax.enable_x64(True):
        make, in_shape = TWINS[name]
        layer = make()
        params, static = eqx.partition(layer, snn.trainable(layer))
        xs = jr.normal(jr.key(1), (5, *in_shape))
        flat, unravel = jax.flatten_util.ravel_pytree((params, xs))
        assert flat.dtype == jnp.float64

        def loss(flat):
            params, xs = unravel(flat)
            layer = eqx.combine(params, static)
            state, outs = layer.over_time(layer.init_state(in_shape), xs)
            weights = jnp.cos(jnp.arange(1.0, outs.size + 1)).reshape(outs.shape)
            return jnp.sum(outs * weights) + sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(state))

        @jax.jit
        def both(flat):
            steps = 1e-5 * jnp.eye(flat.size)
            ahead, behind = jax.vmap(loss)(flat + steps), jax.vmap(loss)(flat - steps)
            return jax.grad(loss)(flat), (ahead - behind) / 2e-5

        gradient, numeric = both(flat)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)
        assert np.mean(np.asarray(gradient) != 0) > 0.9
