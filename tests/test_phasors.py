"""Phasors as complex numbers and as spikes are the same, to half a step of the period."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

import snnax.snn as snn
from snnax.functional import phase_to_spikes, spikes_to_phase, surrogate


def phases_like(key, shape):
    return jr.uniform(key, shape, minval=-np.pi, maxval=np.pi)


def distance(a, b):
    """The distance of two phases on the circle."""
    return np.abs(np.angle(np.exp(1j * (np.asarray(a, np.float64) - np.asarray(b, np.float64)))))


# Phases as spikes.


@pytest.mark.parametrize("steps", [2, 3, 16, 101])
def test_phases_come_back_from_spikes_to_half_a_step(steps):
    phases = 3 * phases_like(jr.key(0), (200, 2))
    train = phase_to_spikes(phases, steps)
    assert train.shape == (steps, 200, 2) and train.dtype == phases.dtype
    np.testing.assert_array_equal(train.sum(axis=0), np.ones((200, 2)))
    back = spikes_to_phase(train)
    error = distance(back, phases)
    assert np.pi / steps / 2 < error.max() <= np.pi / steps + 1e-5
    assert np.all(np.abs(back) <= np.pi + 1e-6)


def test_the_spike_of_a_phase_is_at_its_share_of_the_period():
    phases = jnp.array([0.0, np.pi / 2, np.pi, -np.pi / 2, 2 * np.pi, -0.01, 0.8])
    np.testing.assert_array_equal(np.argmax(phase_to_spikes(phases, 8), axis=0), [0, 2, 4, 6, 0, 0, 1])


def test_several_spikes_have_their_mean_on_the_circle_and_silence_has_no_phase():
    train = jnp.zeros((8, 3)).at[[7, 1], 0].set(1.0).at[[2, 3], 1].set(1.0)
    phases = spikes_to_phase(train)
    np.testing.assert_allclose(phases[:2], [0.0, 2.5 / 8 * 2 * np.pi], atol=1e-6)
    assert np.isnan(phases[2])
    gradient = jax.grad(lambda train: jnp.sum(spikes_to_phase(train)))(train)
    assert np.all(np.isfinite(gradient)) and np.any(gradient[:, 1] != 0) and not np.any(gradient[:, 2])


def test_silence_goes_through_phases_and_back():
    train = jnp.zeros((8, 3)).at[5, 1].set(1.0)
    np.testing.assert_array_equal(jax.jit(lambda train: phase_to_spikes(spikes_to_phase(train), 8))(train), train)
    assert not np.any(phase_to_spikes(jnp.array([np.nan, np.inf, -np.inf]), 8))
    np.testing.assert_array_equal(spikes_to_phase(train != 0), spikes_to_phase(train))


def test_phases_in_bfloat16_are_computed_in_float32():
    """256 steps are more than bfloat16 tells apart within a turn of 2 pi."""
    phases = jnp.linspace(-3.0, 3.0, 50).astype(jnp.bfloat16)
    train = phase_to_spikes(phases, 256)
    assert train.dtype == jnp.bfloat16
    np.testing.assert_array_equal(train.astype(jnp.float32), phase_to_spikes(phases.astype(jnp.float32), 256))
    assert spikes_to_phase(train).dtype == jnp.bfloat16


def test_a_long_train_is_read_period_by_period():
    phases = phases_like(jr.key(1), (4, 3))
    train = jnp.concatenate([phase_to_spikes(one, 32) for one in phases])
    assert distance(jax.vmap(spikes_to_phase)(train.reshape(-1, 32, 3)), phases).max() < np.pi / 32 + 1e-5


# Complex numbers.


def test_a_phasor_is_the_direction_of_what_reaches_the_threshold():
    x = jnp.array([3 + 4j, 0.6 + 0.8j, 0.5j, 0, -2.0, 1e-30j])
    np.testing.assert_allclose(snn.Phasor(0.99)(x), [0.6 + 0.8j, 0.6 + 0.8j, 0, 0, -1, 0], atol=1e-6)
    np.testing.assert_allclose(snn.Phasor(2.0)(x), [0.6 + 0.8j, 0, 0, 0, -1, 0], atol=1e-6)


def test_phases_have_their_own_gradient_and_magnitudes_that_of_the_surrogate():
    spike = surrogate.SuperSpike(3.0)
    layer = snn.Phasor(jnp.array(0.8), spike_fn=spike)
    turn = np.exp(0.3j)

    def real_part(parts, layer=layer):
        return jnp.real(layer(jax.lax.complex(parts[0], parts[1])) * jnp.complex64(turn))

    for magnitude, phase in ((1.1, 0.7), (0.5, -2.0)):
        x = magnitude * np.exp(1j * phase)
        gradient = jax.grad(real_part)(jnp.array([x.real, x.imag]))
        h = float(spike.derivative(jnp.array(magnitude - 0.8)))
        gate = magnitude >= 0.8
        outwards, sideways = np.exp(1j * phase), 1j * np.exp(1j * phase)
        expected = outwards * h * np.real(outwards * turn) + sideways * gate / magnitude * np.real(sideways * turn)
        np.testing.assert_allclose(gradient, [expected.real, expected.imag], rtol=1e-4, atol=1e-6)
        by_layer = eqx.filter_grad(lambda layer, x=x: real_part(jnp.array([x.real, x.imag]), layer))(layer)
        assert float(by_layer.threshold) == pytest.approx(-h * np.real(outwards * turn), rel=1e-4)


def test_the_gradient_of_a_phasor_is_finite_everywhere():
    layer = snn.Phasor(0.5)
    parts = jnp.array([[0.0, 0.0], [1e-30, 0.0], [1e-12, -1e-12], [1e-40, 1e-40], [1e4, 1e4], [0.3, 0.4]])

    def total(parts):
        out = layer(jax.lax.complex(parts[:, 0], parts[:, 1]))
        return jnp.sum(jnp.real(out) + 2 * jnp.imag(out))

    assert np.all(np.isfinite(jax.grad(total)(parts)))


def test_a_linear_layer_is_a_complex_product():
    layer = snn.PhasorLinear(5, 3, key=jr.key(2))
    w = np.asarray(layer.real, np.float64) + 1j * np.asarray(layer.imaginary, np.float64)
    assert w.shape == (3, 5)
    np.testing.assert_allclose(layer.weight, w)
    x = np.exp(1j * np.asarray(phases_like(jr.key(3), (5,)), np.float64))
    np.testing.assert_allclose(layer(jnp.asarray(x, jnp.complex64)), w @ x, rtol=1e-5, atol=1e-6)
    spikes = jnp.array([1.0, 0.0, 1.0, 0.0, 0.0])
    np.testing.assert_allclose(layer(spikes), w[:, 0] + w[:, 2], rtol=1e-5, atol=1e-6)
    narrow = eqx.tree_at(lambda m: (m.real, m.imaginary), layer, replace_fn=lambda a: a.astype(jnp.bfloat16))
    assert narrow(spikes.astype(jnp.bfloat16)).dtype == jnp.complex64


def test_random_phasors_give_an_output_of_mean_square_one():
    layer = snn.PhasorLinear(64, 500, key=jr.key(4))
    out = layer(jnp.exp(1j * phases_like(jr.key(5), (64,)).astype(jnp.complex64)))
    assert np.mean(np.abs(out) ** 2) == pytest.approx(1.0, abs=0.15)
    assert np.mean(snn.Phasor()(out) != 0) == pytest.approx(np.exp(-1), abs=0.08)


def test_any_optimiser_trains_a_network_of_phasors():
    """Descent by the conjugate, as with complex arrays, would raise the loss."""
    model = snn.Sequential(snn.PhasorLinear(4, 8, key=jr.key(6)), snn.Phasor(jnp.array(0.3)))
    model = snn.Sequential(*model, snn.PhasorLinear(8, 2, key=jr.key(7)))
    params, static = eqx.partition(model, snn.trainable(model))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert len(jax.tree.leaves(params)) == 5
    x = jnp.exp(1j * phases_like(jr.key(8), (1, 4)).astype(jnp.complex64))
    target = jnp.array([1j, -1.0])

    @jax.jit
    def loss(params):
        model = eqx.combine(params, static)
        return jnp.sum(jnp.abs(model(model.init_state((4,)), x)[1][-1][0] - target) ** 2)

    optimiser = optax.adam(0.02)
    state, losses = optimiser.init(params), [float(loss(params))]
    for _ in range(60):
        gradient = jax.grad(loss)(params)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimiser.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        losses.append(float(loss(params)))
    assert losses[-1] < 0.01 * losses[0]


# Spikes.


def run(layer, xs):
    state, outs = eqx.filter_jit(lambda layer, xs: layer.over_time(layer.init_state(xs.shape[1:]), xs))(layer, xs)
    return outs


def by_hand(xs, period, threshold):
    """The spikes of one neuron, in NumPy's complex128: `xs` is its complex input."""
    gathered = answered = 0j
    spikes = []
    for step, x in enumerate(xs):
        t = step % period
        due = round(period * np.angle(answered) / (2 * np.pi)) % period
        spikes.append(float(abs(answered) >= threshold and t == due))
        gathered += x * np.exp(2j * np.pi * t / period)
        if t == period - 1:
            gathered, answered = 0j, gathered
    return spikes


@pytest.mark.parametrize("period", [3, 8])
def test_spikes_equal_the_sums_over_periods_in_plain_numbers(period):
    xs = np.array(jr.normal(jr.key(9), (2, 5 * period + 1, 4)))
    xs = xs[0] + 1j * xs[1]
    outs = run(snn.SpikingPhasor(period, threshold=1.2 * period**0.5), jnp.asarray(xs))
    np.testing.assert_array_equal(outs, np.transpose([by_hand(x, period, 1.2 * period**0.5) for x in xs.T]))
    assert outs.dtype == jnp.float32 and not np.any(outs[:period])
    assert 0 < outs.sum() < 16
    outs = run(snn.SpikingPhasor(period, threshold=1.2 * period**0.5), jnp.asarray(xs.real))
    np.testing.assert_array_equal(outs, np.transpose([by_hand(x, period, 1.2 * period**0.5) for x in xs.real.T]))


@pytest.mark.parametrize("period", [16, 64])
def test_a_layer_of_spikes_has_the_phases_of_the_complex_layer(period):
    """Of what goes in, phases are whole steps; what comes out is rounded to the nearest."""
    linear, threshold = snn.PhasorLinear(12, 40, key=jr.key(10)), 0.8
    train = phase_to_spikes(phases_like(jr.key(11), (12,)), period)
    expected = snn.Phasor(threshold)(linear(jnp.exp(1j * spikes_to_phase(train).astype(jnp.complex64))))
    model = snn.Sequential(linear, snn.SpikingPhasor(period, threshold=threshold))
    states = model.init_state((12,))
    _, outs = model(states, jnp.concatenate([train, jnp.zeros_like(train)]))
    answer = outs[-1][period:]
    active = expected != 0
    np.testing.assert_array_equal(answer.sum(axis=0), active)
    assert 5 < active.sum() < 35
    error = distance(spikes_to_phase(answer), jnp.angle(expected))[active]
    assert np.pi / period / 2 < error.max() <= np.pi / period + 1e-5


def test_a_stream_of_patterns_runs_through_two_layers_with_one_period_for_each():
    period, patterns = 128, 5
    layers = snn.PhasorLinear(6, 30, key=jr.key(12)), snn.PhasorLinear(30, 8, key=jr.key(13))
    phases = phases_like(jr.key(14), (patterns, 6))
    train = jnp.concatenate([phase_to_spikes(one, period) for one in phases])
    train = jnp.concatenate([train, jnp.zeros((2 * period, 6))])
    model = snn.Sequential(
        layers[0], snn.SpikingPhasor(period, threshold=0.2), layers[1], snn.SpikingPhasor(period, threshold=0.2)
    )
    _, outs = model(model.init_state((6,)), train)
    hidden, answers = (jax.vmap(spikes_to_phase)(out.reshape(-1, period, out.shape[1])) for out in (outs[1], outs[3]))
    assert np.all(np.isnan(answers[:2])) and np.all(np.isnan(hidden[0]))
    for n in range(patterns):
        # The complex network, with phases that are whole steps wherever there are spikes.
        x = jnp.exp(1j * spikes_to_phase(phase_to_spikes(phases[n], period)).astype(jnp.complex64))
        first = snn.Phasor(0.2)(layers[0](x))
        assert distance(hidden[n + 1], jnp.angle(first))[first != 0].max() <= np.pi / period + 1e-4
        rounded = jnp.where(first != 0, jnp.exp(1j * jnp.nan_to_num(hidden[n + 1]).astype(jnp.complex64)), 0)
        second = snn.Phasor(0.2)(layers[1](rounded))
        assert distance(answers[n + 2], jnp.angle(second))[second != 0].max() <= np.pi / period + 1e-4
        exact = snn.Phasor(0.2)(layers[1](first))
        assert np.nanmedian(distance(answers[n + 2], jnp.angle(exact))) < 3 * np.pi / period


def test_a_delay_turns_the_phase():
    period = 32
    phases = phases_like(jr.key(15), (5,))
    train = jnp.tile(phase_to_spikes(phases, period), (4, 1))
    model = snn.Sequential(snn.Delay(3), snn.SpikingPhasor(period, threshold=0.5))
    _, outs = model(model.init_state((5,)), train)
    turned = spikes_to_phase(outs[-1][3 * period :])
    assert distance(turned, spikes_to_phase(train[:period]) + 2 * np.pi * 3 / period).max() < 1e-4


def test_a_network_of_spikes_has_the_gradient_of_the_complex_one():
    """Where phases are whole steps, the two are the same function, and have the same gradient."""
    period = 16
    linear = snn.PhasorLinear(6, 4, key=jr.key(16))
    spike, target = surrogate.SuperSpike(2.0), jnp.exp(1j * jnp.arange(4.0).astype(jnp.complex64))
    train = phase_to_spikes(phases_like(jr.key(17), (6,)), period)
    angles = 2 * np.pi * np.arange(period) / period
    waves = jnp.asarray(np.exp(1j * angles), jnp.complex64)

    def error(answer):
        return jnp.sum(jnp.real(jnp.conj(target) * answer))

    def of_spikes(both):
        linear, threshold = both
        model = snn.Sequential(linear, snn.SpikingPhasor(period, threshold=threshold, spike_fn=spike))
        xs = jnp.concatenate([train, jnp.zeros_like(train)])
        _, outs = model(model.init_state((6,)), xs)
        return error(waves @ outs[-1][period:].astype(jnp.complex64))

    def of_phasors(both):
        linear, threshold = both
        x = waves @ train.astype(jnp.complex64)
        return error(snn.Phasor(threshold, spike_fn=spike)(linear(x)))

    both = (linear, jnp.array(0.9))
    (a, by_spikes), (b, by_phasors) = (eqx.filter_value_and_grad(f)(both) for f in (of_spikes, of_phasors))
    assert abs(a - b) < 4 * np.pi / period
    for one, other in zip(jax.tree.leaves(by_spikes), jax.tree.leaves(by_phasors), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
        assert np.all(one != 0)


def test_spikes_of_phasors_pass_the_gradient_on_from_layer_to_layer():
    period = 8
    model = snn.Sequential(
        snn.PhasorLinear(3, 6, key=jr.key(18)),
        snn.SpikingPhasor(period, threshold=0.4),
        snn.PhasorLinear(6, 2, key=jr.key(19)),
        snn.SpikingPhasor(period, threshold=0.4),
    )
    train = jnp.tile(phase_to_spikes(phases_like(jr.key(20), (3,)), period), (3, 1))

    def loss(model, train):
        _, outs = model(model.init_state((3,)), train)
        phases = spikes_to_phase(outs[-1][2 * period :])
        return jnp.sum(jnp.cos(jnp.where(jnp.isnan(phases), 0.0, phases) - 1.0))

    gradient = eqx.filter_grad(loss)(model, train)
    for leaf in jax.tree.leaves((gradient[0], gradient[2])):
        assert np.all(np.isfinite(leaf)) and np.any(leaf != 0)


def test_wrong_arguments_are_refused_with_the_remedy(unchecked):
    with pytest.raises(ValueError, match=r"`snn.PhasorLinear`: it takes inputs of shape \(3,\), got \(3, 1\)"):
        snn.PhasorLinear(3, 2, key=jr.key(0))(jnp.ones((3, 1)))
    with pytest.raises(TypeError, match=r"`snn.Phasor`: it takes complex numbers, got float32. Of phases in radians"):
        snn.Phasor()(jnp.ones(3))
    with pytest.raises(ValueError, match=r"`snn.Phasor`: `threshold` must be in \(0, inf\), got 0.0"):
        snn.Phasor(0.0)
    with pytest.raises(ValueError, match=r"`snn.Phasor`: `threshold` has the shape \(2,\)"):
        snn.Phasor(jnp.ones(2))(jnp.ones(3, jnp.complex64))
    with pytest.raises(TypeError, match="`snn.Phasor`: `spike_fn` must be a surrogate"):
        snn.Phasor(spike_fn=surrogate.SuperSpike)
    for period in (2, True):
        with pytest.raises(ValueError, match=f"`period` must be a number of time steps, 3 or more, got {period}"):
            snn.SpikingPhasor(period)
    with pytest.raises(ValueError, match=r"`snn.SpikingPhasor`: `threshold` must be in \(0, inf\), got -1.0"):
        snn.SpikingPhasor(8, threshold=-1.0)
    with pytest.raises(ValueError, match=r"`snn.SpikingPhasor`: `threshold` has the shape \(2,\)"):
        snn.SpikingPhasor(8, threshold=jnp.ones(2)).init_state((3,))
    for steps in (1, True, 2.5):
        with pytest.raises(ValueError, match=f"`steps` must be a whole number of 2 or more, got {steps}"):
            phase_to_spikes(jnp.ones(3), steps)
    with pytest.raises(TypeError, match="`phases` must be a floating array, of radians, got dtype int32"):
        phase_to_spikes(jnp.ones(3, jnp.int32), 8)
    with pytest.raises(TypeError, match="`phases` must be an array of real numbers or booleans, got .*complex64"):
        phase_to_spikes(jnp.ones(3, jnp.complex64), 8)
    with pytest.raises(ValueError, match=r"`train` must have the shape \(time, ...\), with one step at least"):
        spikes_to_phase(jnp.ones((0, 2)))


@pytest.mark.parametrize(
    "layer",
    [snn.SimpleLIF(0.9), snn.LIF([0.9, 0.8]), snn.SimpleLI(0.9), snn.SigmaDelta(0.5), snn.ResonateAndFire(0.9, 0.3)],
    ids=lambda layer: type(layer).__name__,
)
def test_neurons_with_a_real_potential_refuse_what_a_phasor_layer_gives(layer):
    model = snn.Sequential(snn.PhasorLinear(3, 4, key=jr.key(0)), layer)
    with pytest.raises(TypeError, match="take real inputs, got complex64. Give its real part or its absolute value"):
        model.init_state((3,))


@pytest.mark.peers
def test_a_layer_of_phasors_equals_that_of_spyx():
    nnx, phasor = pytest.importorskip("flax.nnx"), pytest.importorskip("spyx.phasor")
    with jax.numpy_dtype_promotion("standard"):
        theirs = phasor.PhasorLinear(5, 3, use_bias=False, rngs=nnx.Rngs(0))
        x = phasor.real_to_phasor(phases_like(jr.key(0), (5,)) / np.pi)
        expected = phasor.PhasorActivation()(theirs(x[None]))[0]
    ours = eqx.tree_at(
        lambda m: (m.real, m.imaginary),
        snn.PhasorLinear(5, 3, key=jr.key(0)),
        (theirs.kernel_re[...].reshape(5, 3).T, theirs.kernel_im[...].reshape(5, 3).T),
    )
    np.testing.assert_allclose(snn.Phasor(1e-6)(ours(x)), expected, rtol=1e-5, atol=1e-6)
