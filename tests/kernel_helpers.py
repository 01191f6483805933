"""What the tests of kernels share."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnax import _kernels, snn

compiled = pytest.mark.skipif(_kernels.missing() is not None, reason=f"no kernels here: {_kernels.missing()}")


def a(*values):
    return jnp.array(values) if len(values) > 1 else jnp.array(values[0])


def close(got, expected, tolerance=2e-5):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * (1 + float(np.max(np.abs(b), initial=0))))


def everything(layer, state, x, kernels):
    """Values, final states, gradients of inputs, states and all parameters, and their derivatives."""
    params, static = eqx.partition(layer, snn.trainable(layer))
    moving, still = eqx.partition((params, x, state), eqx.is_inexact_array)
    weights = jnp.arange(1.0 * x.shape[1]).reshape(-1, *(1,) * (x.ndim - 2))

    def run(moving):
        params, xs, state = eqx.combine(moving, still)
        layer = eqx.combine(params, static)
        with _kernels.using(kernels):
            new, outs = jax.vmap(lambda x: layer.over_time(state, x))(xs)
        ends = sum(jnp.sum(jnp.cos(2 * leaf)) for leaf in jax.tree.leaves(new) if eqx.is_inexact_array(leaf))
        return jnp.sum(jnp.sin(3 * outs * weights)) + ends, (new, outs)

    def both(moving):
        grad = jax.grad(lambda moving: run(moving)[0])
        return run(moving)[1], jax.jvp(grad, (moving,), (jax.tree.map(jnp.ones_like, moving),))

    return jax.jit(both)(moving)
