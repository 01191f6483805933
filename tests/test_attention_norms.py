"""Batch normalisation of tokens, as the documentation of the attention gives it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from helpers import spikes_like

import snnax.snn as snn


def batch_norm(features):
    transpose = eqx.nn.Lambda(jnp.transpose)
    return snn.Sequential(transpose, snn.BatchNorm(features), transpose)


def test_features_are_normalised_over_batch_and_tokens_in_each_step_and_by_estimates_over_all():
    attention = snn.spiking_self_attention(8, 2, snn.SimpleLIF(0.9), norm=batch_norm, key=jr.key(3))
    xs = spikes_like(jr.key(1), (4, 12, 5, 8), 0.4)
    states = attention.init_state((5, 8))
    _, outs = jax.vmap(attention, in_axes=(None, 0), axis_name="batch")(states, xs)
    assert outs["out"][-1].shape == (4, 12, 5, 8)
    (each, _, neuron) = attention.nodes["query"].layers
    x = np.asarray(xs, float) @ np.asarray(each.layer.weight, float).T + np.asarray(each.layer.bias, float)
    np.testing.assert_allclose(outs["query"][1][-1], normalised(x, (0, 2)), atol=1e-5)
    np.testing.assert_array_equal(outs["query"][-1], jax.vmap(lambda x: run(neuron, x))(outs["query"][1][-1]))
    assert 0.02 < outs["query"][-1].mean() < 0.5
    estimated = eqx.nn.inference_mode(snn.estimate_norms(attention, [xs]))
    _, alone = estimated(states, xs[2])
    np.testing.assert_allclose(alone["query"][1][-1], normalised(x, (0, 1, 2))[2], atol=1e-5)


def normalised(x, axes):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)


def run(neuron, xs):
    return neuron.over_time(neuron.init_state(xs.shape[1:]), xs)[1]
