"""Sentences of the documentation on keys and on windows hold."""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import allclose

import snnax.snn as snn
from snnax.functional import surrogate


def test_escape_noise_needs_a_key_in_inference_and_is_one_for_a_shared_key():
    model = eqx.nn.inference_mode(snn.Sequential(snn.SimpleLIF(0.9, spike_fn=surrogate.EscapeNoise(2.0))))
    states, xs = model.init_state((6,)), 0.3 * jnp.ones((3, 12, 6))
    with pytest.raises(ValueError, match="`surrogate.EscapeNoise` draws random numbers and needs a key"):
        model(states, xs[0])
    batched = jax.vmap(model, in_axes=(None, 0, None))
    _, (shared,) = batched(states, xs, jr.key(0))
    np.testing.assert_array_equal(shared[0], shared[1])
    _, (own,) = jax.vmap(model, in_axes=(None, 0, 0))(states, xs, jr.split(jr.key(0), len(xs)))
    assert np.any(own[0] != own[1]) and 0.05 < own.mean() < 0.95


def test_the_states_after_a_window_have_run_through_the_padding():
    model = snn.Sequential(snn.SimpleLI(0.9))
    xs = jnp.concatenate([jnp.ones((5, 2)), jnp.zeros((7, 2))])
    start = model.init_state((2,))
    after, _ = model(start, xs, collect=snn.Window(snn.Sum(), stop=5))
    allclose(after, model(start, xs)[0])
    at_stop, _ = model(start, xs[:5])
    np.testing.assert_allclose(after.layers[0].v, 0.9**7 * at_stop.layers[0].v, rtol=1e-5)


def test_the_signature_of_a_neuron_names_what_a_parameter_may_be():
    shown = str(inspect.signature(snn.LIF))
    assert "Parameter" in shown and "Gain" in shown and "Logistic" not in shown and "ndarray" not in shown
