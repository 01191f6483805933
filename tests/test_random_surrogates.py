"""Surrogates that draw random numbers have the documented laws, and need a key."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import allclose

import snnax.snn as snn
from snnax.functional import surrogate

NUMBER = 20000
RANDOM = {
    "EscapeNoise": surrogate.EscapeNoise(3.0),
    "StochasticSpike": surrogate.StochasticSpike(mean=0.3, variance=0.5),
}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=lambda dtype: dtype.__name__)
def test_escape_noise_fires_with_its_probability(dtype, getkey):
    for slope, x in ((0.7, -1.5), (3.0, -1.0), (3.0, -0.25), (3.0, 0.0), (3.0, 0.5), (8.0, -0.5)):
        spikes = surrogate.EscapeNoise(slope)(jnp.full(NUMBER, x, dtype), key=getkey())
        assert spikes.dtype == dtype and set(np.unique(np.asarray(spikes, np.float32))) == {0.0, 1.0}
        p = sigmoid(slope * x)
        assert abs(np.mean(np.asarray(spikes, np.float64)) - p) < 4 * np.sqrt(p * (1 - p) / NUMBER)


def test_escape_noise_far_from_the_threshold_is_a_step(getkey):
    for dtype in (jnp.float32, jnp.bfloat16):
        x = jnp.array([-1000, -50, 50, 1000], dtype)
        np.testing.assert_array_equal(np.asarray(surrogate.EscapeNoise()(x, key=getkey()), np.float32), [0, 0, 1, 1])
    x = jnp.linspace(-1, 1, 400)
    np.testing.assert_array_equal(surrogate.EscapeNoise(1e6)(x, key=getkey()), np.asarray(x) >= 0)


def test_a_neuron_at_a_constant_potential_fires_at_the_rate_of_its_noise(getkey):
    layer = snn.SimpleLIF(0.0, threshold=0.8, reset=snn.NoReset(), spike_fn=surrogate.EscapeNoise(2.0))
    model = snn.Sequential(layer)
    _, (spikes,) = model(model.init_state((50,)), jnp.full((200, 50), 0.5), getkey())
    p = sigmoid(2.0 * (0.5 - 0.8))
    assert abs(np.mean(spikes) - p) < 4 * np.sqrt(p * (1 - p) / spikes.size)
    assert len(np.unique(spikes, axis=0)) == 200 and len(np.unique(spikes, axis=1).T) == 50


def test_the_gradient_of_escape_noise_is_that_of_its_probability(getkey):
    x, key, k = jnp.linspace(-2, 2, 41), getkey(), 3.0

    def fire(x, slope):
        return surrogate.EscapeNoise(slope)(x, key=key)

    expected = k * sigmoid(k * np.asarray(x)) * sigmoid(-k * np.asarray(x))
    _, forward = jax.jvp(lambda x: fire(x, k), (x,), (jnp.ones_like(x),))
    spikes, pullback = jax.vjp(fire, x, jnp.array(k))
    weights = 1 + jnp.sin(x)
    by_x, by_slope = pullback(weights)
    assert 0 < np.mean(spikes) < 1
    np.testing.assert_allclose(forward, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(by_x, expected * weights, rtol=1e-5, atol=1e-6)
    of_probability = float(np.sum(weights * x * expected / k))
    assert float(by_slope) == pytest.approx(of_probability, rel=1e-4)
    second = jax.vmap(jax.grad(jax.grad(lambda x: surrogate.EscapeNoise(k)(x, key=key))))(x)
    np.testing.assert_allclose(second, expected * k * (1 - 2 * sigmoid(k * np.asarray(x))), rtol=1e-4, atol=1e-5)


def test_a_layer_with_escape_noise_equals_a_loop_by_hand(getkey):
    keys, xs = jr.split(getkey(), 20), np.asarray(jr.normal(getkey(), (20, 4)), np.float64) + 0.3
    layer = snn.SimpleLIF(0.8, reset=snn.SubtractReset(), spike_fn=surrogate.EscapeNoise(2.0))
    state, v = layer.init_state((4,)), np.zeros(4)
    total = 0
    for x, key in zip(xs, keys, strict=True):
        state, spike = layer(state, jnp.asarray(x, jnp.float32), key=key)
        v = 0.8 * v + x
        by_hand = np.asarray(jr.uniform(key, (4,))) < sigmoid(2.0 * (v - 1))
        np.testing.assert_array_equal(spike, by_hand)
        v = v - by_hand
        np.testing.assert_allclose(state.v, v, rtol=1e-5, atol=1e-6)
        total += by_hand.sum()
    assert 10 < total < 70


def test_a_stochastic_spike_is_a_step_with_noise_in_its_gradient_below(getkey):
    spike = surrogate.StochasticSpike(mean=0.3, variance=0.5)
    for dtype in (jnp.float32, jnp.bfloat16):
        x = jnp.repeat(jnp.array([-1000, -0.5, 0, 1000], dtype), NUMBER)
        key = getkey()
        value, pullback = jax.vjp(lambda x, key=key: spike(x, key=key), x)
        (gradient,) = pullback(jnp.ones_like(value))
        assert value.dtype == gradient.dtype == dtype
        np.testing.assert_array_equal(np.asarray(value, np.float32), np.repeat([0, 0, 1, 1], NUMBER))
        gradient = np.asarray(gradient, np.float64)
        below, above = gradient[: 2 * NUMBER], gradient[2 * NUMBER :]
        assert np.all(above == 1) and np.all(np.isfinite(below))
        assert abs(np.mean(below) - 0.3) < 4 * np.sqrt(0.5 / below.size)
        # The variance of the variance of normal numbers is 2 sigma^4 / n; bfloat16 rounds by 1 / 512.
        assert abs(np.var(below) - 0.5) < 4 * 0.5 * np.sqrt(2 / below.size) + 0.004 * (dtype == jnp.bfloat16)


def test_the_gradient_of_a_trained_mean_and_variance_is_that_of_the_antiderivative(getkey):
    key, x = getkey(), jnp.array([-2.0, -0.5, 0.0, 3.0])
    noise = np.asarray(jr.normal(key, (4,)))
    spike = surrogate.StochasticSpike(jnp.array(0.3), jnp.array(0.5))
    gradient = jax.grad(lambda spike: jnp.sum(spike(x, key=key)))(spike)
    assert float(gradient.mean) == pytest.approx(-2.5)
    expected = (-2.0 * noise[0] - 0.5 * noise[1]) / (2 * np.sqrt(0.5))
    assert float(gradient.variance) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", RANDOM)
def test_a_key_decides_what_is_drawn(name, getkey):
    spike, x = RANDOM[name], jnp.full(64, -0.2)

    @jax.jit
    def both(key):
        value, pullback = jax.vjp(lambda x: spike(x, key=key), x)
        return value, pullback(jnp.ones_like(x))[0]

    one, other = getkey(), getkey()
    allclose(both(one), both(one), rtol=0, atol=0)
    which = 0 if name == "EscapeNoise" else 1
    assert np.any(both(one)[which] != both(other)[which])
    mapped = jax.vmap(both)(jr.split(one, 5))
    assert len(np.unique(mapped[which], axis=0)) == 5
    with jax.disable_jit():
        eager = both(one)
    allclose(eager, both(one))


@pytest.mark.parametrize("name", RANDOM)
def test_the_mean_of_the_derivative_is_the_derivative(name):
    spike = RANDOM[name]
    x, step = jnp.array([-1.3, -0.4, 0.2, 1.1]), 1e-2
    key = jr.key(3)
    gradients = jax.vmap(jax.vmap(jax.grad(lambda x, key: spike(x, key=key)), (0, None)), (None, 0))(
        x, jr.split(key, 4000)
    )
    np.testing.assert_allclose(np.mean(gradients, axis=0), spike.derivative(x), atol=4 * np.sqrt(0.5 / 4000))
    numeric = (spike.antiderivative(x + step) - spike.antiderivative(x - step)) / (2 * step)
    np.testing.assert_allclose(numeric, spike.derivative(x), rtol=1e-3)


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("plan", [snn.StepByStep(), snn.LayerByLayer()], ids=["StepByStep", "LayerByLayer"])
def test_a_network_without_a_key_is_told_that_it_needs_one(name, plan):
    message = rf"`surrogate.{name}` draws random numbers and needs a key: `model\(states, xs, key\)`\."
    for layer in (
        snn.SimpleLIF(0.9, spike_fn=RANDOM[name]),
        snn.LIF([0.9, 0.9], spike_fn=RANDOM[name]),
        snn.SimpleIAF(spike_fn=RANDOM[name]),
        snn.IAF(0.9, spike_fn=RANDOM[name]),
        snn.AdaptiveLIF(0.9, spike_fn=RANDOM[name]),
        snn.SpikingMaxPool1d(1, spike_fn=RANDOM[name]),
    ):
        model = snn.Sequential(layer)
        states = model.init_state((2, 3))
        with pytest.raises(ValueError, match=message):
            model(states, jnp.ones((4, 2, 3)), plan=plan)
        model(states, jnp.ones((4, 2, 3)), jr.key(0), plan=plan)


def test_a_spiking_maximum_may_fire_at_random(getkey):
    pool = snn.SpikingMaxPool1d(2, 2, threshold=0.7, spike_fn=surrogate.EscapeNoise(2.0))
    spikes = pool(jnp.tile(jnp.array([[0.1, 0.5, 0.2, -3.0]]), (1, 2000)), key=getkey())
    for column, largest in enumerate((0.5, 0.2)):
        p = sigmoid(2.0 * (largest - 0.7))
        assert abs(np.mean(spikes[0, column::2]) - p) < 4 * np.sqrt(p * (1 - p) / 2000)


def test_a_bad_parameter_is_refused_by_name(unchecked):
    for make, message in (
        (lambda: surrogate.EscapeNoise(-1.0), r"`surrogate.EscapeNoise`: `slope` must be in \(0, inf\), got -1\.0"),
        (
            lambda: surrogate.StochasticSpike(variance=0.0),
            r"`surrogate.StochasticSpike`: `variance` must be in \(0, inf\), got 0\.0",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_random_surrogates_of_one_kind_share_a_trace():
    assert surrogate.EscapeNoise(4.0) == surrogate.EscapeNoise() != surrogate.EscapeNoise(3.0)
    assert jax.tree.leaves(eqx.filter(surrogate.StochasticSpike(), eqx.is_array)) == []
