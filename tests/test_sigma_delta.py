"""Sigma-delta neurons send what has changed, and no error adds up at the receiver."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import snnax.snn as snn


def run(layer, xs):
    """The outputs of a layer or a network, and its last state."""
    if isinstance(layer, snn.Sequential):
        state, outs = eqx.filter_jit(layer)(layer.init_state(xs.shape[1:]), xs)
        return outs[-1], state
    state, outs = layer.over_time(layer.init_state(xs.shape[1:]), xs)
    return outs, state


def walk(steps, size, scale=0.3):
    return jnp.cumsum(scale * jr.normal(jr.key(0), (steps, size)), axis=0)


@pytest.mark.parametrize("alpha", [0.0, 0.8, 1.0])
def test_a_neuron_equals_its_equations_in_plain_numbers(alpha):
    xs = np.array([0.3, 0.31, 0.9, -0.4, 0.0, 0.0, 1.3, 1.2, 0.05, -2.0, 0.1, 0.7, 0.72, 0.0], np.float32)
    gain, step = 0.9, 0.25
    v = r = 0.0
    expected = []
    for x in map(float, xs):
        v = alpha * v + gain * x
        quotient = (v - r) / step
        assert abs(quotient % 1 - 0.5) > 1e-4, "a table on an edge of the rounding says nothing"
        y = step * round(quotient)
        r += y
        expected.append((y, v, r))
    layer = snn.SigmaDelta(alpha, step=step, gain=gain)
    state, rows = layer.init_state(()), []
    for x in xs:
        state, out = layer(state, jnp.asarray(x))
        rows.append((out, state.v, state.sent))
    np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-6)
    sent = np.array(expected)[:, 0]
    assert np.any(sent == 0) and np.any(sent < 0) and np.any(sent > step)


@pytest.mark.parametrize("step", [0.1, 0.7])
def test_the_sum_of_what_was_sent_stays_within_half_a_step_of_the_input(step):
    xs = walk(500, 3)
    received, _ = run(snn.Sequential(snn.SigmaDelta(0.0, step=step), snn.SimpleLI(1.0)), xs)
    error = np.abs(received - xs)
    assert step / 4 < error.max() <= step / 2 + 1e-4


def test_a_constant_input_is_one_event_and_silence_is_none():
    constant = jnp.broadcast_to(jnp.array([0.0, 0.37, -5.4]), (20, 3))
    outs, _ = run(snn.SigmaDelta(0.0, step=0.1), constant)
    np.testing.assert_allclose(outs[0], [0.0, 0.4, -5.4], atol=1e-6)
    np.testing.assert_array_equal(outs[1:], np.zeros((19, 3)))
    assert jnp.count_nonzero(outs) == 2


def test_a_slow_change_is_sent_when_it_has_added_up():
    """Each change is a tenth of a step."""
    outs, _ = run(snn.SigmaDelta(0.0, step=1.0), 0.1 * jnp.arange(1.0, 101.0)[:, None])
    assert jnp.count_nonzero(outs) == 10 and jnp.sum(outs) == 10


def test_a_linear_layer_and_a_neuron_that_sums_take_events_in_place_of_the_signal():
    """The network of O'Connor and Welling: the errors of both neurons are bounded, and no other is made."""
    weights = eqx.nn.Linear(3, 4, use_bias=False, key=jr.key(1))
    first, second = 0.05, 0.2
    xs = walk(200, 3)
    model = snn.Sequential(
        snn.SigmaDelta(0.0, step=first), weights, snn.SigmaDelta(1.0, step=second), snn.SimpleLI(1.0)
    )
    received, _ = run(model, xs)
    bound = np.abs(weights.weight).sum(axis=1) * first / 2 + second / 2
    assert np.all(np.abs(received - jax.vmap(weights)(xs)) <= bound + 1e-4)
    relu = snn.Sequential(
        snn.SimpleLI(1.0), eqx.nn.Lambda(jax.nn.relu), snn.SigmaDelta(0.0, step=second), snn.SimpleLI(1.0)
    )
    events, _ = run(snn.SigmaDelta(0.0, step=first), xs)
    received, _ = run(relu, events)
    assert np.all(np.abs(received - jax.nn.relu(xs)) <= first / 2 + second / 2 + 1e-4)


def test_what_narrow_activations_round_is_sent_later():
    """A step of 0.1 is none of bfloat16. Without its error in the state, the sum of 500 would be off by several."""
    xs = walk(500, 4, 2.0)
    layer = snn.SigmaDelta(0.0, step=0.1)
    outs, state = run(layer, xs.astype(jnp.bfloat16))
    assert outs.dtype == jnp.bfloat16 and state.v.dtype == jnp.float32
    received = jnp.cumsum(outs.astype(jnp.float32), axis=0)
    # An event of size y is rounded by up to y / 256.
    rounding = jnp.abs(outs.astype(jnp.float32)) / 256
    signal = xs.astype(jnp.bfloat16).astype(jnp.float32)
    assert np.all(np.abs(received - signal) <= 0.05 + rounding + 1e-3)


def test_the_rounding_passes_the_gradient_of_the_change():
    layer = snn.SigmaDelta(jnp.array(0.8), step=0.25, gain=jnp.array(0.9))

    def rounded(layer, xs):
        return run(layer, xs)[0]

    def change(layer, xs):
        vs = run(snn.SimpleLI(layer.decay_constants, gain=layer.gain), xs)[0]
        return jnp.diff(vs, axis=0, prepend=0.0)

    def gradient(function):
        def loss(both):
            return jnp.sum(function(*both) * jnp.cos(jnp.arange(24.0)).reshape(12, 2))

        by_layer, by_xs = eqx.filter_grad(loss)((layer, walk(12, 2)))
        return by_layer.decay_constants, by_layer.gain, by_xs

    for a, b in zip(gradient(rounded), gradient(change), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert np.all(a != 0)


def test_the_gradient_of_the_step_is_what_the_rounding_adds():
    x, step = 0.37, 0.1

    def sent(step):
        layer = snn.SigmaDelta(0.0, step=step)
        return layer(layer.init_state(()), jnp.array(x))[1]

    assert jax.grad(sent)(jnp.array(step)) == pytest.approx(round(x / step) - x / step, rel=1e-5)


def test_wrong_arguments_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"`snn.SigmaDelta`: `step` must be in \(0, inf\), got 0.0"):
        snn.SigmaDelta(0.0, step=0.0)
    with pytest.raises(ValueError, match=r"`snn.SigmaDelta`: `decay_constants` must be in \[0, 1\], got 1.5"):
        snn.SigmaDelta(1.5)
    with pytest.raises(ValueError, match=r"`snn.SigmaDelta`: `step` has the shape \(2,\), but .* shape \(3,\)"):
        snn.SigmaDelta(0.0, step=jnp.array([0.1, 0.2])).init_state((3,))
    layer = snn.SigmaDelta(0.0)
    with pytest.raises(TypeError, match="real inputs, got complex64"):
        layer(layer.init_state((3,)), jnp.ones(3, jnp.complex64))


def test_an_initialiser_draws_one_step_for_each_neuron():
    layer = snn.SigmaDelta(
        0.0, (3,), step=lambda key, shape, dtype: jr.uniform(key, shape, dtype, 0.1, 0.9), key=jr.key(0)
    )
    assert layer.step.shape == (3,) and len(np.unique(layer.step)) == 3
