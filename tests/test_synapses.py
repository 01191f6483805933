"""Synapses with a course of time: the double exponential and its peak, depression and facilitation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snnax.snn as snn

DECAYS = [
    (0.9, 0.8),
    (0.8, 0.9),
    (0.9, 0.9),
    (0.9, 0.9000001),
    (0.95, 0.9499),
    (0.5, 0.5),
    (0.99, 0.97),
    (0.3, 0.2),
    (0.9, 0.0),
    (0.0, 0.9),
    (0.0, 0.0),
]


def response(beta, rho, steps, gain=1.0, alpha=0.0):
    """The current and the potential after an input of 1."""
    layer = snn.DoubleExpLIF([alpha, beta, rho], gain=[1.0, gain], threshold=1e6)
    state = layer.init_state(())
    rows = []
    for x in [1.0] + [0.0] * (steps - 1):
        state, _ = layer(state, jnp.asarray(x))
        rows.append((state.i, state.v))
    return np.asarray(rows, np.float64).T


@pytest.mark.parametrize(("beta", "rho"), DECAYS)
def test_the_current_peaks_at_its_gain_for_equal_decays_too(beta, rho):
    i, v = response(beta, rho, 80, gain=0.7)
    assert i.max() == pytest.approx(0.7, rel=2e-6)
    np.testing.assert_array_equal(i, v)
    n = np.arange(1, 81)
    shape = n * beta ** (n - 1) if abs(beta - rho) < 1e-6 else (beta**n - rho**n) / (beta - rho)
    np.testing.assert_allclose(i, 0.7 * shape / shape.max(), rtol=2e-5, atol=1e-7)


def test_slow_currents_peak_at_their_gain():
    """Thousands of steps after their input."""
    for beta, rho in ((0.999, 0.998), (0.9995, 0.9), (0.999, 0.999)):
        layer = snn.DoubleExpLIF([0.0, beta, rho], threshold=1e6)
        xs = jnp.zeros(5000).at[0].set(1.0)

        def step(state, x, layer=layer):
            state, _ = layer(state, x)
            return state, state.i

        _, i = jax.jit(lambda xs, step=step, layer=layer: jax.lax.scan(step, layer.init_state(()), xs))(xs)
        assert float(i.max()) == pytest.approx(1.0, rel=1e-4)


def test_a_current_without_decay_is_finite():
    for beta, rho in ((1.0, 1.0), (1.0, 0.9), (0.9, 1.0), (1.0, 0.0)):
        i, _ = response(beta, rho, 150)
        assert np.all(np.isfinite(i)) and np.all(i > 0)
        np.testing.assert_allclose(i[-1], 150 / 4095 if rho == beta else 1.0, rtol=1e-5)


@pytest.mark.parametrize(("beta", "rho"), [(0.9, 0.8), (0.85, 0.85), (0.87, 0.8700001), (0.8, 0.92), (0.3, 0.2)])
def test_the_gradient_in_both_decays_is_that_of_the_peak_normalised_sums(beta, rho):
    """Where they are equal, too: the sums are polynomials, and finite differences see their derivative."""

    def after(beta, rho, steps=3):
        n = np.arange(200)
        kernel = np.array([sum(beta ** (k - m) * rho**m for m in range(k + 1)) for k in n])
        return (kernel / kernel.max())[steps - 1]

    def of_layer(decays, steps=3):
        layer = snn.DoubleExpLIF([0.0, decays[0], decays[1]], threshold=1e6)
        state = layer.init_state(())
        for x in [1.0] + [0.0] * (steps - 1):
            state, _ = layer(state, jnp.asarray(x, decays.dtype))
        return state.v

    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(of_layer))(jnp.array([beta, rho]))
    step = 1e-6
    expected = [
        (after(beta + step, rho) - after(beta - step, rho)) / (2 * step),
        (after(beta, rho + step) - after(beta, rho - step)) / (2 * step),
    ]
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_with_unity_gain_the_current_of_an_input_sums_to_one():
    layer = snn.DoubleExpLIF([0.9, 0.8, 0.7], gain=[1.0, snn.UnityGain()], threshold=1e6)
    state = layer.init_state(())
    total = 0.0
    for x in [1.0] + [0.0] * 150:
        state, _ = layer(state, jnp.asarray(x))
        total += float(state.i)
    assert total == pytest.approx(1.0, rel=1e-5)


def test_the_read_out_without_spikes_is_the_integrator_with_both_decays():
    xs = jax.random.uniform(jax.random.key(0), (20, 3))
    lif = snn.DoubleExpLIF([0.0, 0.8, 0.6], threshold=1e6)
    li = snn.LI([0.8, 0.6])
    state, read = lif.init_state((3,)), li.init_state((3,))
    ratios = []
    for x in xs:
        state, _ = lif(state, x)
        read, out = li(read, x)
        ratios.append(state.v / out)
    np.testing.assert_allclose(ratios, ratios[0][0], rtol=1e-5)


# Short-term plasticity.


def test_short_term_plasticity_equals_its_equations_in_plain_numbers():
    delta, phi, share, gain = 0.9, 0.7, 0.3, 1.7
    train = [1, 0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 1, 0, 0, 1]
    with jax.enable_x64(True):
        layer = snn.ShortTermPlasticity([delta, phi], utilisation=share, gain=gain)
        state = layer.init_state((1,))
        r, u = 1.0, 0.0
        for x in train:
            state, out = layer(state, jnp.full((1,), x, jnp.float64))
            r, u = 1 - delta * (1 - r), phi * u
            released = 0.0
            if x:
                u = u + share * (1 - u)
                released = u * r
                r = r - released
            np.testing.assert_allclose((out[0], state.r[0], state.u[0]), (gain * released, r, u), rtol=1e-12)


@pytest.mark.parametrize("every", [1, 3, 10])
@pytest.mark.parametrize(("delta", "phi", "share"), [(0.98, 0.0, 0.5), (0.9, 0.97, 0.1), (0.99, 0.9, 0.3)])
def test_a_regular_train_settles_at_the_closed_form(delta, phi, share, every):
    layer = snn.ShortTermPlasticity([delta, phi], utilisation=share)
    xs = (jnp.arange(2000) % every == 0).astype(jnp.float32)
    _, outs = jax.jit(layer.over_time)(layer.init_state(()), xs)
    u = share / (1 - (1 - share) * phi**every)
    recovered = (1 - delta**every) / (1 - delta**every * (1 - u))
    last = np.asarray(outs)[xs == 1][-1]
    assert last == pytest.approx(u * recovered, rel=1e-4)
    assert float(outs[0]) == pytest.approx(share, rel=1e-6)


def test_a_synapse_tires_or_warms_up():
    xs = jnp.ones(4)
    for decays, share, falls in (([0.95, 0.0], 0.5, True), ([0.0, 0.95], 0.1, False)):
        layer = snn.ShortTermPlasticity(decays, utilisation=share)
        _, outs = layer.over_time(layer.init_state(()), xs)
        assert np.all(np.diff(outs) < 0) == falls and np.all(np.diff(outs) > 0) != falls


def test_no_spike_in_is_nothing_out_and_resources_stay_a_share():
    layer = snn.ShortTermPlasticity([0.95, 0.9], utilisation=0.4)
    xs = jax.random.bernoulli(jax.random.key(0), 0.6, (200, 4)).astype(jnp.float32)
    state = layer.init_state((4,))
    for x in xs:
        state, out = layer(state, x)
        assert np.all(out[x == 0] == 0) and np.all(out[x == 1] > 0)
        assert np.all((state.r >= 0) & (state.r <= 1) & (state.u >= 0) & (state.u <= 1))
