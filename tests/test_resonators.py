"""Resonate-and-fire neurons oscillate as their equations say, and fire in resonance."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import snnax.snn as snn

INPUTS = np.array(
    [
        [0.45, 0.35, 0.0, -0.6, -0.65, 0.1, 0.9, 0.75, -0.35, -0.8, 0.0, 0.4, 0.8, 0.1],
        [0.3] * 14,
        [1.2, -0.7, 0.0, 0.05, 0.15, 1.3, 0.05, 0.4, -0.75, 1.1, 0.45, 0.0, -0.9, 0.7],
    ],
    np.float32,
).T


def trace(layer, xs, fields):
    state, rows = layer.init_state(xs.shape[1:]), []
    for x in xs:
        state, out = layer(state, jnp.asarray(x))
        rows.append([out, *(getattr(state, name) for name in fields)])
    return [np.asarray(column) for column in zip(*rows, strict=True)]


RESETS = {
    "to a value": (snn.ResetToValue(-0.12), lambda v, s, theta: -0.12 if s else v),
    "by subtraction": (snn.SubtractReset(), lambda v, s, theta: v - theta * s),
    "not at all": (snn.NoReset(), lambda v, s, theta: v),
}


def by_hand(step, after, theta, refractory, xs):
    """One neuron in Python's complex numbers; `step(z, q, x)` gives the new z and how much q adds to the threshold."""
    z, q, resting, rows = 0j, 0.0, 0, []
    for x in map(float, xs):
        integrated, raised, gamma = step(z, q, x)
        margin = integrated.real - theta - raised
        assert abs(margin) > 1e-5, "a table on the threshold says nothing"
        if resting:
            spike, real = 0, z.real
            resting -= 1
        else:
            spike = int(margin >= 0)
            real = after(integrated.real, spike, theta)
            resting = refractory * spike
        z, q = complex(real, integrated.imag), gamma * q + spike
        rows.append((spike, z.real, z.imag, q))
    return np.array(rows)


@pytest.mark.parametrize("refractory", [0, 2])
@pytest.mark.parametrize("reset", RESETS)
def test_resonate_and_fire_equals_its_equations_in_complex_numbers(reset, refractory):
    alpha, omega, gain, theta = 0.92, 0.7, 0.83, 0.61
    kind, after = RESETS[reset]
    layer = snn.ResonateAndFire(alpha, omega, gain=gain, threshold=theta, reset=kind, refractory=refractory)

    def step(z, q, x):
        return alpha * np.exp(1j * omega) * z + gain * x, 0.0, 0.0

    columns = trace(layer, INPUTS, ("v", "u"))
    for j in range(INPUTS.shape[1]):
        rows = by_hand(step, after, theta, refractory, INPUTS[:, j])
        for column, expected in zip(columns, rows.T, strict=False):
            np.testing.assert_allclose(column[:, j], expected, rtol=1e-6, atol=1e-6)
    assert 0 < columns[0].sum() < columns[0].size


@pytest.mark.parametrize("refractory", [0, 2])
@pytest.mark.parametrize("reset", RESETS)
def test_balanced_resonate_and_fire_equals_the_equations_of_its_paper(reset, refractory):
    """In the paper's units: seconds, radians per second, and a step of 0.05 s."""
    dt, b_offset, omega, gamma, theta = 0.05, 0.6, 9.0, 0.85, 0.043
    kind, after = RESETS[reset]
    layer = snn.BalancedResonateAndFire(
        b_offset * dt,
        omega * dt,
        refractory_decay=gamma,
        refractory_damping=dt,
        gain=dt,
        threshold=theta,
        reset=kind,
        refractory=refractory,
    )

    def step(z, q, x):
        p = (-1 + np.sqrt(1 - (dt * omega) ** 2)) / dt
        b = p - b_offset - q
        return z + dt * (z * (b + 1j * omega) + x), q, gamma

    columns = trace(layer, 3 * INPUTS, ("v", "u", "q"))
    for j in range(INPUTS.shape[1]):
        rows = by_hand(step, after, theta, refractory, 3 * INPUTS[:, j])
        for column, expected in zip(columns, rows.T, strict=True):
            np.testing.assert_allclose(column[:, j], expected, rtol=1e-6, atol=1e-6)
    assert 0 < columns[0].sum() < columns[0].size


def test_an_impulse_makes_a_damped_oscillation():
    steps = np.arange(60)
    xs = np.zeros((60, 1), np.float32)
    xs[0] = 0.5
    for alpha, omega in ((0.95, 0.3), (1.0, 1.1), (0.5, np.pi / 2)):
        _, v, u = trace(snn.ResonateAndFire(alpha, omega), xs, ("v", "u"))
        np.testing.assert_allclose(v[:, 0] + 1j * u[:, 0], 0.5 * (alpha * np.exp(1j * omega)) ** steps, atol=1e-5)
    for damping, omega in ((0.0, 0.3), (0.02, 0.8)):
        _, v, u = trace(snn.BalancedResonateAndFire(damping, omega), xs, ("v", "u"))
        factor = np.sqrt(1 - omega**2) - damping + 1j * omega
        np.testing.assert_allclose(v[:, 0] + 1j * u[:, 0], 0.5 * factor**steps, atol=1e-5)


def test_without_damping_the_balanced_neuron_neither_grows_nor_decays_at_any_frequency():
    omega = jnp.array([0.0, 0.01, 0.3, 0.7, 0.99])
    layer = snn.BalancedResonateAndFire(0.0, omega)
    xs = jnp.zeros((1000, 5)).at[0].set(0.9)
    state, outs = layer.over_time(layer.init_state((5,)), xs)
    np.testing.assert_allclose(jnp.hypot(state.v, state.u), 0.9, rtol=1e-3)
    assert not np.any(outs)


def test_a_neuron_fires_in_resonance_and_not_out_of_it():
    time = jnp.arange(200.0)
    drive = 0.15 * jnp.cos(jnp.array([0.1, 0.5, 1.2]) * time[:, None])
    for layer in (snn.ResonateAndFire(0.97, 0.5), snn.BalancedResonateAndFire(0.03, float(np.sin(0.5)))):
        _, outs = layer.over_time(layer.init_state((3,)), drive)
        counts = outs.sum(axis=0)
        assert counts[1] > 5 and counts[0] == counts[2] == 0


def test_a_spike_damps_the_balanced_neuron_and_raises_its_threshold():
    xs = jnp.zeros((40, 1)).at[0].set(3.0)
    free = snn.BalancedResonateAndFire(0.0, 0.05, refractory_decay=0.0, refractory_damping=0.0)
    held = snn.BalancedResonateAndFire(0.0, 0.05, refractory_damping=0.05)
    (free_state, free_outs), (held_state, held_outs) = (
        layer.over_time(layer.init_state((1,)), xs) for layer in (free, held)
    )
    assert 0 < held_outs.sum() < free_outs.sum()
    assert jnp.hypot(held_state.v, held_state.u)[0] < 2 < jnp.hypot(free_state.v, free_state.u)[0]


def test_every_part_of_the_state_matters():
    xs = jnp.zeros((6, 1))
    for layer, fields in ((snn.ResonateAndFire(0.95, 0.8), "vu"), (snn.BalancedResonateAndFire(0.01, 0.7), "vuq")):
        start = eqx.tree_at(lambda s: s.v, layer.init_state((1,)), jnp.array([2.0]))
        assert layer.over_time(start, xs)[1][0] == 1
        for name, other in zip(fields, (0.5, 2.0, 1.0), strict=False):
            changed = eqx.tree_at(lambda s, name=name: getattr(s, name), start, jnp.array([other]))
            assert layer.over_time(changed, xs)[1][0] == 0, name


@pytest.mark.parametrize("kind", ["ResonateAndFire", "BalancedResonateAndFire"])
def test_a_potential_that_reaches_the_threshold_fires_in_the_step_of_its_input(kind):
    layer = {"ResonateAndFire": snn.ResonateAndFire(0.9, 0.3)}.get(kind, snn.BalancedResonateAndFire(0.1, 0.3))
    spike, *_ = trace(layer, np.array([[np.nextafter(np.float32(1), np.float32(0)), 1.0]], np.float32), ())
    np.testing.assert_array_equal(spike, [[0, 1]])


def test_a_frequency_in_hertz_comes_back_after_its_period():
    """5 Hz at 1 ms: 200 steps."""
    xs = np.zeros((201, 1), np.float32)
    xs[0] = 0.5
    layer = snn.ResonateAndFire(snn.decay(10.0, 1e-3), 2 * np.pi * 5 * 1e-3)
    _, v = trace(layer, xs, ("v",))
    assert v[200, 0] == pytest.approx(0.5 * np.exp(-0.2 / 10), rel=1e-4)
    assert v[100, 0] == pytest.approx(-0.5 * np.exp(-0.1 / 10), rel=1e-4)


def test_states_are_float32_when_the_activations_are_bfloat16_and_may_have_any_rank():
    for layer in (snn.ResonateAndFire(0.999, 0.1, refractory=1), snn.BalancedResonateAndFire(0.001, 0.1)):
        for shape in ((), (3,), (2, 1, 3)):
            state, out = jax.eval_shape(layer, layer.init_state(shape), jax.ShapeDtypeStruct(shape, jnp.bfloat16))
            assert out.dtype == jnp.bfloat16 and state.v.dtype == state.u.dtype == jnp.float32
            assert {leaf.shape for leaf in jax.tree.leaves(state)} == {shape}


def test_a_trained_frequency_is_used_and_projected_within_its_range():
    layer = snn.BalancedResonateAndFire(jnp.array(0.01), jnp.array(0.98))
    moved = eqx.tree_at(lambda m: (m.frequency, m.damping), layer, (jnp.array(1.3), jnp.array(-0.2)))
    projected = snn.project(moved)
    assert float(projected.frequency) == pytest.approx(0.99) and float(projected.damping) == 0.0
    xs = jnp.asarray(INPUTS)
    loss = eqx.filter_value_and_grad(lambda m: jnp.sum(m.over_time(m.init_state((3,)), xs)[0].v))
    (a, gradient), (b, _) = loss(moved), loss(projected)
    assert a == b and np.isfinite(gradient.frequency) and gradient.frequency != 0 and gradient.damping != 0


def test_wrong_arguments_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"`frequency` must be in \[0, 0.99\], got 1.0. From a frequency in Hz: .*dt"):
        snn.BalancedResonateAndFire(0.1, 1.0)
    with pytest.raises(ValueError, match=r"`damping` must be in \[0, inf\), got -0.1"):
        snn.BalancedResonateAndFire(-0.1, 0.5)
    with pytest.raises(ValueError, match=r"`refractory_decay` must be in \[0, 1\], got 1.1"):
        snn.BalancedResonateAndFire(0.1, 0.5, refractory_decay=1.1)
    with pytest.raises(ValueError, match=r"`refractory_damping` must be in \[0, inf\), got -1.0"):
        snn.BalancedResonateAndFire(0.1, 0.5, refractory_damping=-1.0)
    with pytest.raises(ValueError, match=r"`snn.ResonateAndFire`: `decay_constants` must be in \[0, 1\], got 1.2"):
        snn.ResonateAndFire(1.2, 0.5)
    for layer in (snn.ResonateAndFire(0.9, 0.5), snn.BalancedResonateAndFire(0.1, 0.5)):
        with pytest.raises(TypeError, match="real inputs, got complex64"):
            layer(layer.init_state((3,)), jnp.ones(3, jnp.complex64))


def test_initialisers_draw_one_value_for_each_neuron():
    def draw(key, shape, dtype):
        return jr.uniform(key, shape, dtype, 0.1, 0.9)

    one = snn.ResonateAndFire(draw, draw, (4,), gain=draw, key=jr.key(0))
    other = snn.BalancedResonateAndFire(
        draw, draw, (4,), refractory_decay=draw, refractory_damping=draw, gain=draw, key=jr.key(0)
    )
    drawn = [one.decay_constants, one.frequency, one.gain]
    drawn += [other.damping, other.frequency, other.refractory_decay, other.refractory_damping, other.gain]
    assert len(np.unique(drawn[:3])) == 12 and len(np.unique(drawn[3:])) == 20


@pytest.mark.peers
def test_without_a_reset_it_equals_that_of_spyx():
    nnx, phasor = pytest.importorskip("flax.nnx"), pytest.importorskip("spyx.phasor")
    with jax.numpy_dtype_promotion("standard"):
        theirs = phasor.ResonateFire((3,), threshold=0.4, rngs=nnx.Rngs(0))
        factor, expected = theirs.a, theirs.parallel(jnp.asarray(INPUTS)[:, None])[:, 0]
    ours = snn.ResonateAndFire(jnp.abs(factor), jnp.angle(factor), threshold=0.4, reset=snn.NoReset())
    outs = ours.over_time(ours.init_state((3,)), jnp.asarray(INPUTS))[1]
    np.testing.assert_array_equal(outs, expected)
    assert 0 < outs.sum() < outs.size
