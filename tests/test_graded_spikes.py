"""Spikes of another size than 1."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import PLANS, allclose, between

import snnax.snn as snn


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: type(plan).__name__)
def test_bug_14_a_size_is_applied_once(plan, getkey):
    """snnTorch: a factor applied in the neuron and again behind it. The reset does not see it."""
    plain = snn.Sequential(snn.SimpleLIF(0.9, reset=snn.SubtractReset()))
    sizes = jnp.array([2.0, 0.5, -3.0])
    graded = snn.Sequential(snn.SimpleLIF(0.9, reset=snn.SubtractReset()), snn.GradedSpikes(sizes))
    xs = jr.uniform(getkey(), (12, 3))
    states, (spikes,) = plain(plain.init_state((3,)), xs, plan=plan)
    new, (same, out) = graded(graded.init_state((3,)), xs, plan=plan)
    np.testing.assert_array_equal(spikes, same)
    assert np.sum(spikes) > 5
    np.testing.assert_array_equal(out, spikes * sizes)
    allclose(new.layers[0], states.layers[0])


def test_the_gradient_of_a_size_is_the_sum_over_its_spikes(getkey):
    spikes = jr.bernoulli(getkey(), 0.4, (10, 3)).astype(jnp.float32)
    weights = jr.normal(getkey(), (10, 3))
    for size, expected in (
        (jnp.array(1.5), jnp.sum(spikes * weights)),
        (jnp.array([1.5, 0.2, -1.0]), jnp.sum(spikes * weights, axis=0)),
    ):
        layer = snn.GradedSpikes(size)
        gradient = jax.grad(lambda layer: jnp.sum(weights * jax.vmap(layer)(spikes)))(layer)
        np.testing.assert_allclose(gradient.size, expected, rtol=1e-5)
        by_input = jax.vjp(jax.vmap(layer), spikes)[1](weights)[0]
        np.testing.assert_allclose(by_input, weights * size, rtol=1e-6)


def test_a_size_is_a_constant_an_array_or_drawn_and_keeps_the_dtype(getkey):
    assert jax.tree.leaves(eqx.filter(snn.GradedSpikes(2), eqx.is_array)) == []
    drawn = snn.GradedSpikes(between(0.5, 1.5), (4,), key=getkey())
    assert drawn.size.shape == (4,) and len(np.unique(drawn.size)) == 4
    for dtype in (jnp.float32, jnp.bfloat16):
        out = snn.GradedSpikes(jnp.array([0.5, 2.0]))(jnp.array([1, -1], dtype))
        assert out.dtype == dtype and out.tolist() == [0.5, -2.0]
    assert snn.GradedSpikes(0.5)(jnp.array([True, False])).tolist() == [0.5, 0.0]
    with pytest.raises(
        ValueError, match=r"`snn.GradedSpikes`: `size` has the shape \(4, 1\), but the layer is given in"
    ):
        snn.GradedSpikes(jnp.ones((4, 1)))(jnp.ones(3))
    with pytest.raises(ValueError, match=r"`snn.GradedSpikes`: `size` is an initialiser.*Give the layer `shape="):
        snn.GradedSpikes(between(0.5, 1.5))
