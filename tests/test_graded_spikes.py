"""Spikes other than 0 and 1: of both signs, of several levels, of any size."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import PLANS, allclose, between

import snnax.snn as snn
from snnax.functional import surrogate

# No point of the grid is a threshold: 0, -2, -0.6, or a multiple of 1 or 0.7.
GRID = np.linspace(-4.13, 4.37, 57, dtype=np.float32)
K = 2.0


def h(x):
    return 1 / (1 + K * np.abs(x)) ** 2


def H(x):
    return 1 / K + x / (1 + K * np.abs(x))


# Each surrogate, and its value, derivative and antiderivative and what fired with its derivative, in NumPy.
GRADED = {
    "Ternary": (
        lambda: surrogate.Ternary(surrogate.SuperSpike(K)),
        lambda x: np.where(x >= 0, 1, np.where(x <= -2, -1, 0)),
        lambda x: h(x) + h(x + 2),
        lambda x: H(x) - H(-2 - x),
        lambda x: h(x) - h(x + 2),
    ),
    "Ternary, of a narrow gap": (
        lambda: surrogate.Ternary(surrogate.SuperSpike(K), gap=0.6),
        lambda x: np.where(x >= 0, 1, np.where(x <= -0.6, -1, 0)),
        lambda x: h(x) + h(x + 0.6),
        lambda x: H(x) - H(-0.6 - x),
        lambda x: h(x) - h(x + 0.6),
    ),
    "MultiLevel": (
        lambda: surrogate.MultiLevel(3, surrogate.SuperSpike(K)),
        lambda x: np.clip(np.floor(x) + 1, 0, 3),
        lambda x: h(x) + h(x - 1) + h(x - 2),
        lambda x: H(x) + H(x - 1) + H(x - 2),
        h,
    ),
    "MultiLevel, of small steps": (
        lambda: surrogate.MultiLevel(5, surrogate.SuperSpike(K), step=0.7),
        lambda x: np.clip(np.floor(x / 0.7) + 1, 0, 5),
        lambda x: sum(h(x - 0.7 * j) for j in range(5)),
        lambda x: sum(H(x - 0.7 * j) for j in range(5)),
        h,
    ),
    "MultiLevel, of one level": (
        lambda: surrogate.MultiLevel(1, surrogate.SuperSpike(K)),
        lambda x: (x >= 0) * 1,
        h,
        H,
        h,
    ),
}
EVERY = pytest.mark.parametrize("name", GRADED)


@EVERY
def test_the_spikes_and_their_gradient_are_the_documented_formulas(name):
    make, value, derivative, antiderivative, _ = GRADED[name]
    spike, x, exact = make(), jnp.asarray(GRID), GRID.astype(np.float64)

    @jax.jit
    def everything(x):
        out, pullback = jax.vjp(spike, x)
        (backward,) = pullback(jnp.ones_like(x))
        return out, backward, jax.jvp(spike, (x,), (jnp.ones_like(x),))[1], jax.vmap(jax.grad(spike))(x)

    out, *gradients = everything(x)
    np.testing.assert_array_equal(out, value(exact))
    assert len(np.unique(out)) == len(np.unique(value(exact))) > 1
    for gradient in (*gradients, spike.derivative(x)):
        np.testing.assert_allclose(gradient, derivative(exact), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(spike.antiderivative(x), antiderivative(exact), rtol=1e-5, atol=1e-6)
    step = 1e-4
    numeric = (derivative(exact + step) - derivative(exact - step)) / (2 * step)
    np.testing.assert_allclose(jax.vmap(jax.grad(spike.derivative))(x), numeric, rtol=1e-3, atol=1e-4)
    second = jax.vmap(jax.grad(jax.grad(spike)))(x)
    np.testing.assert_allclose(second, numeric, rtol=1e-3, atol=1e-4)


@EVERY
def test_what_fired_is_zero_or_one_with_the_gradient_of_its_thresholds(name):
    make, value, _, _, derivative = GRADED[name]
    x = jnp.asarray(GRID)

    def fired(x):
        return surrogate.emit(make(), x)[1]

    np.testing.assert_array_equal(fired(x), value(GRID.astype(np.float64)) != 0)
    gradient = jax.vmap(jax.grad(fired))(x)
    np.testing.assert_allclose(gradient, derivative(GRID.astype(np.float64)), rtol=1e-5, atol=1e-6)


@EVERY
def test_both_thresholds_fire_when_reached_and_nothing_overflows(name):
    spike = GRADED[name][0]()
    for dtype in (jnp.float32, jnp.bfloat16):
        value, pullback = jax.vjp(spike, jnp.array([-1000, -100, 0, 100, 1000], dtype))
        (gradient,) = pullback(jnp.ones_like(value))
        assert value.dtype == gradient.dtype == dtype
        assert np.all(np.isfinite(np.asarray(gradient, np.float32))) and np.all(np.asarray(gradient, np.float32) >= 0)
        lowest, highest = (-1, 1) if "Ternary" in name else (0, spike.levels)
        np.testing.assert_array_equal(np.asarray(value, np.float32), [lowest, lowest, 1, highest, highest])
    assert surrogate.Ternary()(-2.0) == -1 and surrogate.Ternary()(float(np.nextafter(np.float32(-2), 0))) == 0
    assert surrogate.MultiLevel(4)(2.0) == 3 and surrogate.MultiLevel(4)(float(np.nextafter(np.float32(2), 0))) == 2


TRAINED = {
    "slope of Ternary": lambda p: surrogate.Ternary(surrogate.Sigmoid(p), 1.3),
    "gap of Ternary": lambda p: surrogate.Ternary(surrogate.Sigmoid(2.0), p),
    "slope of MultiLevel": lambda p: surrogate.MultiLevel(3, surrogate.Sigmoid(p), 0.7),
    "step of MultiLevel": lambda p: surrogate.MultiLevel(3, surrogate.Sigmoid(2.0), p),
}


@pytest.mark.parametrize("name", TRAINED)
def test_the_gradient_of_a_trained_parameter_is_that_of_the_antiderivative(name):
    with jax.enable_x64(True):
        x, step = jnp.asarray(GRID, jnp.float64), 1e-6
        weights = jnp.cos(jnp.arange(x.size, dtype=x.dtype))

        def total(p, relaxed):
            spike = TRAINED[name](p)
            return jnp.sum(weights * (spike.antiderivative(x) if relaxed else spike(x)))

        numeric = (total(0.9 + step, True) - total(0.9 - step, True)) / (2 * step)
        gradient = jax.grad(total)(jnp.array(0.9), False)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)
        assert gradient != 0


def test_a_slope_for_each_neuron_reaches_every_level():
    slopes = jnp.array([1.0, 2.0, 4.0])
    x = jnp.array([[0.3, -0.4, 1.2], [2.5, 0.1, -1.0]])
    for make in (
        lambda k: surrogate.MultiLevel(4, surrogate.Sigmoid(k)),
        lambda k: surrogate.Ternary(surrogate.Sigmoid(k)),
    ):
        whole = make(slopes).derivative(x)
        each = jnp.stack([make(k).derivative(x[:, n]) for n, k in enumerate(slopes)], axis=1)
        np.testing.assert_allclose(whole, each, rtol=1e-6)


INPUTS = np.array([0.7, 0.9, -0.3, -1.6, -0.9, 0.2, 2.9, 0.0, 3.8, -2.7, -0.4, 1.1, 0.35, 5.0, -0.2, -1.7], np.float32)
SPIKE = {
    "Ternary": (surrogate.Ternary(gap=1.6), lambda v: (v >= 0.8) * 1 - (v <= -0.8) * 1),
    "MultiLevel": (surrogate.MultiLevel(3, step=0.8), lambda v: min(max(np.floor((v - 0.8) / 0.8) + 1, 0), 3)),
}
RESETS = {
    "to a value": (snn.ResetToValue(0.1), lambda v, s: 0.1 if s else v),
    "by subtraction": (snn.SubtractReset(), lambda v, s: v - 0.8 * s),
    "not at all": (snn.NoReset(), lambda v, s: v),
}


@pytest.mark.parametrize("refractory", [0, 2])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("name", SPIKE)
def test_a_neuron_with_graded_spikes_equals_a_loop_by_hand(name, reset, refractory):
    spike_fn, fire = SPIKE[name]
    how, after = RESETS[reset]
    layer = snn.SimpleLIF(0.9, threshold=0.8, reset=how, refractory=refractory, spike_fn=spike_fn)
    state, v, resting, trains = layer.init_state(()), 0.0, 0, []
    for x in INPUTS:
        state, out = layer(state, jnp.asarray(x))
        if resting:
            spike, resting = 0, resting - 1
        else:
            v = 0.9 * v + float(x)
            spike = fire(v)
            v = after(v, spike)
            resting = refractory if spike else 0
        trains.append(spike)
        assert float(out) == spike
        assert float(state.v) == pytest.approx(v, abs=1e-6)
    expected = {-1, 0, 1} if name == "Ternary" else {0, 1, 2, 3}
    assert set(trains) <= expected and len(set(trains)) >= 3 - (refractory > 0)


def test_subtraction_by_levels_leaves_what_is_below_the_threshold():
    layer = snn.SimpleIAF(reset=snn.SubtractReset(), spike_fn=surrogate.MultiLevel(8))
    xs = jnp.asarray(np.abs(INPUTS))[:, None]
    state, spikes = layer.over_time(layer.init_state((1,)), xs)
    assert 0 <= float(state.v[0]) < 1
    assert float(jnp.sum(spikes)) == np.floor(np.abs(INPUTS).sum()) and np.max(spikes) == 5


def test_a_ternary_neuron_is_odd_in_its_input():
    layer = snn.LIF([0.9, 0.5], threshold=0.5, reset=snn.SubtractReset(), spike_fn=surrogate.Ternary(gap=1.0))
    xs = jnp.asarray(INPUTS)[:, None]
    (up, spikes), (down, mirrored) = (layer.over_time(layer.init_state((1,)), sign * xs) for sign in (1, -1))
    assert {-1.0, 1.0} <= set(np.unique(spikes))
    allclose(jax.tree.map(jnp.negative, up), down)
    np.testing.assert_array_equal(spikes, -mirrored)


def test_what_cannot_be_made_of_thresholds_is_refused(unchecked):
    for levels in (0, -1, 2.0, True):
        with pytest.raises(
            ValueError, match=r"`surrogate.MultiLevel`: `levels` must be a whole number, 1 or more, got"
        ):
            surrogate.MultiLevel(levels)
    for kind, name in ((surrogate.Ternary, "Ternary"), (lambda s: surrogate.MultiLevel(2, s), "MultiLevel")):
        with pytest.raises(ValueError, match=rf"`surrogate.{name}`: `surrogate.EscapeNoise` draws .*that draws none\."):
            kind(surrogate.EscapeNoise())
        with pytest.raises(
            ValueError, match=rf"`surrogate.{name}` takes the surrogate of one .*`surrogate.Ternary` has"
        ):
            kind(surrogate.Ternary())
        with pytest.raises(TypeError, match=rf"`surrogate.{name}`: `surrogate` must be a surrogate .*got <built-in"):
            kind(abs)
    for make, message in (
        (lambda: surrogate.Ternary(gap=0.0), r"`surrogate.Ternary`: `gap` must be in \(0, inf\), got 0\.0"),
        (
            lambda: surrogate.MultiLevel(2, step=-1.0),
            r"`surrogate.MultiLevel`: `step` must be in \(0, inf\), got -1\.0",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            make()


# The size of a spike.


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
