"""Layers without state in another precision, beside neurons that keep theirs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

import snnax.snn as snn
from snnax.functional import surrogate


def mixed():
    k1, k2, k3 = jr.split(jr.key(0), 3)
    return snn.Sequential(
        eqx.nn.Linear(6, 8, key=k1),
        snn.Recurrent(snn.LIF([snn.Logistic(0.999), snn.Fixed(jnp.array(0.9))]), eqx.nn.Linear(8, 8, key=k2)),
        eqx.nn.LayerNorm(8),
        snn.LIF(
            [0.9, 0.9], spike_fn=surrogate.SuperSpike(slope=jnp.array(10.0)), reset=snn.ResetToValue(jnp.array(0.1))
        ),
        snn.PhasorLinear(8, 2, key=k3),
    )


def test_only_the_weights_of_layers_without_state_change_their_precision():
    half = snn.in_precision(mixed(), jnp.bfloat16)
    named = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(half)[0]}
    found = {name for name, leaf in named.items() if eqx.is_array(leaf) and leaf.dtype == jnp.bfloat16}
    assert found == {
        *(f".layers[0].{name}" for name in ("weight", "bias")),
        *(f".layers[1].synapse.{name}" for name in ("weight", "bias")),
        *(f".layers[2].{name}" for name in ("weight", "bias")),
        *(f".layers[4].{name}" for name in ("real", "imaginary")),
    }
    assert sum(eqx.is_array(leaf) for leaf in named.values()) == len(found) + 4
    assert jax.tree.structure(half) == jax.tree.structure(mixed())


def test_complex_weights_keep_their_dtype():
    class Turn(eqx.Module):
        weight: jax.Array

    assert snn.in_precision(Turn(jnp.ones(2, jnp.complex64)), jnp.bfloat16).weight.dtype == jnp.complex64


def test_it_is_computed_in_that_precision_and_gradients_come_back_in_the_old_one():
    model = snn.Sequential(*mixed().layers[:4])
    x = jr.bernoulli(jr.key(1), 0.5, (12, 6)).astype(jnp.bfloat16)

    def loss(params):
        half = snn.in_precision(eqx.combine(params, static), jnp.bfloat16)
        states, outs = half(half.init_state((6,)), x)
        return sum(jnp.sum(out.astype(jnp.float32)) for out in outs), (states, outs)

    params, static = eqx.partition(model, snn.trainable(model))
    gradient, (states, outs) = jax.grad(loss, has_aux=True)(params)
    assert {out.dtype for out in outs} == {jnp.dtype(jnp.bfloat16)}
    inexact = jax.tree.leaves(eqx.filter(states, eqx.is_inexact_array))
    assert {leaf.dtype for leaf in inexact if leaf.dtype != jnp.bfloat16} == {jnp.dtype(jnp.float32)}
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype(jnp.float32)}
    assert jnp.any(gradient.layers[0].weight != 0) and jnp.any(gradient.layers[1].synapse.weight != 0)


@pytest.mark.parametrize("tree", [{}, jnp.ones(2), [jnp.tanh, 1.0], {"a": jnp.ones(2)}])
def test_what_is_no_layer_stays(tree):
    assert eqx.tree_equal(snn.in_precision(tree, jnp.bfloat16), tree)


def test_layers_in_any_pytree_and_in_modules_of_ones_own_are_found():
    class Two(eqx.Module):
        first: eqx.nn.Linear
        rest: list

    linear = eqx.nn.Linear(2, 2, key=jr.key(0))
    half = snn.in_precision({"a": Two(linear, [snn.SimpleLIF(jnp.array(0.9)), linear])}, jnp.bfloat16)["a"]
    assert half.first.weight.dtype == half.rest[1].weight.dtype == jnp.bfloat16
    assert half.rest[0].decay_constants.dtype == jnp.float32
