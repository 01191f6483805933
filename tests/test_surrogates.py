"""Surrogates: a step whose derivative is the documented formula, in every dtype and under every transformation."""

import inspect
import math
import pathlib
import re

import docutils.core
import docutils.nodes
import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import Counter, allclose

import snnax.snn as snn
from snnax.functional import surrogate


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normal(z):
    return np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def normal_below(z):
    return 0.5 * (1 + np.vectorize(math.erf)(z / np.sqrt(2)))


# The documented derivative and its integral, written again in NumPy: (h, H, h', kinks of h as multiples of 1/k).
FORMULAS = {
    surrogate.SuperSpike: (
        lambda x, k: 1 / (1 + k * np.abs(x)) ** 2,
        lambda x, k: 1 / k + x / (1 + k * np.abs(x)),
        lambda x, k: -2 * k * np.sign(x) / (1 + k * np.abs(x)) ** 3,
    ),
    surrogate.Sigmoid: (
        lambda x, k: k * np.exp(-k * x) / (1 + np.exp(-k * x)) ** 2,
        lambda x, k: sigmoid(k * x),
        lambda x, k: k**2 * sigmoid(k * x) * (1 - sigmoid(k * x)) * (1 - 2 * sigmoid(k * x)),
    ),
    surrogate.ArcTan: (
        lambda x, k: (k / 2) / (1 + (np.pi * k * x / 2) ** 2),
        lambda x, k: 0.5 + np.arctan(np.pi * k * x / 2) / np.pi,
        lambda x, k: -(k / 2) * 2 * x * (np.pi * k / 2) ** 2 / (1 + (np.pi * k * x / 2) ** 2) ** 2,
    ),
    surrogate.Triangular: (
        lambda x, k: np.maximum(0, 1 - k * np.abs(x)),
        lambda x, k: np.where(np.abs(x) < 1 / k, 1 / (2 * k) + x - k * x * np.abs(x) / 2, (x > 0) / k),
        lambda x, k: np.where(np.abs(x) < 1 / k, -k * np.sign(x), 0.0),
    ),
    surrogate.Boxcar: (
        lambda x, k: np.where(np.abs(x) < 1 / (2 * k), k, 0.0),
        lambda x, k: np.clip(k * x + 0.5, 0, 1),
        lambda x, k: np.zeros_like(x),
    ),
    surrogate.Tanh: (
        lambda x, k: k / 2 / np.cosh(k * x) ** 2,
        lambda x, k: (1 + np.tanh(k * x)) / 2,
        lambda x, k: -(k**2) * np.tanh(k * x) / np.cosh(k * x) ** 2,
    ),
    surrogate.Exponential: (
        lambda x, k: k / 2 * np.exp(-k * np.abs(x)),
        lambda x, k: np.where(x < 0, np.exp(-k * np.abs(x)) / 2, 1 - np.exp(-k * np.abs(x)) / 2),
        lambda x, k: -(k**2) / 2 * np.sign(x) * np.exp(-k * np.abs(x)),
    ),
    surrogate.Gaussian: (
        lambda x, k: k * normal(k * x),
        lambda x, k: normal_below(k * x),
        lambda x, k: -(k**3) * x * normal(k * x),
    ),
    surrogate.MultiGaussian: (
        lambda x, k: (
            k * (1.15 * normal(k * x) - 0.15 / 6 * normal((k * x - 1) / 6) - 0.15 / 6 * normal((k * x + 1) / 6))
        ),
        lambda x, k: (
            1.15 * normal_below(k * x) - 0.15 * normal_below((k * x - 1) / 6) - 0.15 * normal_below((k * x + 1) / 6)
        ),
        lambda x, k: (
            k**2
            * (
                -1.15 * k * x * normal(k * x)
                + 0.15 / 6**3 * (k * x - 1) * normal((k * x - 1) / 6)
                + 0.15 / 6**3 * (k * x + 1) * normal((k * x + 1) / 6)
            )
        ),
    ),
    surrogate.SparseFastSigmoid: (
        lambda x, k: (np.abs(x) < 1) / (1 + k * np.abs(x)) ** 2,
        lambda x, k: np.clip(x, -1, 1) / (1 + k * np.minimum(np.abs(x), 1)) + 1 / (1 + k),
        lambda x, k: (np.abs(x) < 1) * -2 * k * np.sign(x) / (1 + k * np.abs(x)) ** 3,
    ),
    surrogate.LogTailed: (
        lambda x, k: (x >= 0) / np.maximum(k * x, 1),
        lambda x, k: (np.clip(k * x, 0, 1) + np.log(np.maximum(k * x, 1))) / k,
        lambda x, k: np.where(k * x > 1, -1 / (k * np.maximum(x, 0.1) ** 2), 0.0),
    ),
}
SIGNED = {surrogate.MultiGaussian}
ONE_SIDED = {surrogate.LogTailed}
KINDS = pytest.mark.parametrize("kind", FORMULAS, ids=lambda kind: kind.__name__)
SLOPES = (0.7, 3.0)
# No point of the grid is a kink: 0, 1, 1/k or 1/(2k).
GRID = np.linspace(-2.5, 2.5, 40, dtype=np.float32)


def all_derivatives(spike, x):
    """Value, derivative (by vjp, by jvp, and under vmap) and second derivative, elementwise."""
    ones = jnp.ones_like(x)
    value, pullback = jax.vjp(spike, x)
    _, forward = jax.jvp(spike, (x,), (ones,))
    derivative = jax.vmap(jax.grad(spike))
    _, second = jax.jvp(derivative, (x,), (ones,))
    return value, pullback(ones)[0], forward, derivative(x), second


JITTED = eqx.filter_jit(all_derivatives)


@KINDS
def test_the_value_is_a_step_and_the_gradient_the_documented_formula(kind):
    h, H, h_slope = FORMULAS[kind]
    for slope in SLOPES:
        spike = kind(jnp.array(slope))
        value, backward, forward, mapped, second = JITTED(spike, jnp.asarray(GRID))
        np.testing.assert_array_equal(value, GRID >= 0)
        expected = h(GRID.astype(np.float64), slope)
        for gradient in (backward, forward, mapped, spike.derivative(jnp.asarray(GRID))):
            np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(second, h_slope(GRID.astype(np.float64), slope), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            spike.antiderivative(jnp.asarray(GRID)), H(GRID.astype(np.float64), slope), rtol=1e-5, atol=1e-6
        )
        assert np.any(expected > 0) and (kind in SIGNED or np.all(expected >= 0))


@KINDS
def test_the_gradient_is_the_documented_formula_in_bfloat16_too(kind):
    """To five units in the last place, or 0.002 where the formula cancels, at points that bfloat16 holds."""
    h, _, _ = FORMULAS[kind]
    x = jnp.asarray(GRID, jnp.bfloat16)
    for slope in SLOPES:
        _, backward, forward, mapped, _ = JITTED(kind(slope), x)
        expected = h(np.asarray(x, np.float64), slope)
        for gradient in (backward, forward, mapped):
            assert gradient.dtype == jnp.bfloat16
            np.testing.assert_allclose(np.asarray(gradient, np.float64), expected, rtol=5 / 128, atol=2e-3)


@KINDS
def test_the_formulas_of_this_file_agree_with_each_other(kind):
    h, H, h_slope = FORMULAS[kind]
    x, step = GRID.astype(np.float64), 1e-6
    for slope in SLOPES:
        np.testing.assert_allclose((H(x + step, slope) - H(x - step, slope)) / (2 * step), h(x, slope), atol=1e-8)
        np.testing.assert_allclose((h(x + step, slope) - h(x - step, slope)) / (2 * step), h_slope(x, slope), atol=1e-6)


@KINDS
def test_the_derivative_is_that_of_the_antiderivative(kind):
    with jax.enable_x64(True):
        x, step = jnp.asarray(GRID, jnp.float64), 1e-6
        for slope in SLOPES:
            spike = kind(slope)
            numeric = (spike.antiderivative(x + step) - spike.antiderivative(x - step)) / (2 * step)
            np.testing.assert_allclose(numeric, spike.derivative(x), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=lambda dtype: dtype.__name__)
@KINDS
def test_values_and_gradients_are_finite_and_keep_the_dtype(kind, dtype):
    x = jnp.array([-1000, -100, -1, -0.0, 0, 1e-3, 1, 100, 1000], dtype)
    results = JITTED(kind(), x)
    for result in results:
        assert result.dtype == dtype
        assert jnp.all(jnp.isfinite(result))
    value, gradient = results[:2]
    np.testing.assert_array_equal(np.asarray(value, np.float32), [0, 0, 0, 1, 1, 1, 1, 1, 1])
    assert kind in SIGNED or jnp.all(gradient >= 0)
    if kind not in ONE_SIDED:
        np.testing.assert_allclose(
            gradient[:3].astype(float), gradient[-3:][::-1].astype(float), rtol=4 * float(jnp.finfo(dtype).eps)
        )


@KINDS
def test_the_antiderivative_is_zero_far_below_the_threshold(kind):
    for slope in SLOPES:
        assert abs(float(kind(slope).antiderivative(jnp.array(-1e6)))) < 1e-5


AREAS = {
    kind: 1.0
    for kind in (
        surrogate.Sigmoid,
        surrogate.Tanh,
        surrogate.ArcTan,
        surrogate.Exponential,
        surrogate.Gaussian,
        surrogate.Boxcar,
    )
} | {surrogate.MultiGaussian: 0.85}


@pytest.mark.parametrize("kind", AREAS, ids=lambda kind: kind.__name__)
def test_the_slope_moves_the_width_and_keeps_the_area(kind):
    for slope in SLOPES:
        assert float(kind(slope).antiderivative(jnp.array(1e6))) == pytest.approx(AREAS[kind], rel=1e-4)
    narrow, wide = (kind(slope).derivative(jnp.zeros(())) for slope in (6.0, 2.0))
    assert float(narrow) == pytest.approx(3 * float(wide))


def test_the_slope_moves_the_width_and_keeps_the_peak():
    for slope in SLOPES:
        for spike, half in ((surrogate.SuperSpike(slope), (np.sqrt(2) - 1)), (surrogate.Triangular(slope), 0.5)):
            at_peak, at_half = spike.derivative(jnp.array([0.0, half / slope]))
            assert float(at_peak) == 1.0
            assert float(at_half) == pytest.approx(0.5, rel=1e-5)


@KINDS
def test_the_gradient_of_a_trained_slope_is_that_of_the_antiderivative(kind):
    _, H, _ = FORMULAS[kind]
    slope, step = 3.0, 1e-6
    weights = np.cos(np.arange(GRID.size))
    gradient = jax.grad(lambda spike: jnp.sum(spike(jnp.asarray(GRID)) * jnp.asarray(weights, jnp.float32)))(
        kind(jnp.array(slope))
    )
    x = GRID.astype(np.float64)
    numeric = np.sum(weights * (H(x, slope + step) - H(x, slope - step)) / (2 * step))
    assert float(gradient.slope) == pytest.approx(numeric, rel=1e-4, abs=1e-5)


@KINDS
def test_a_slope_may_be_held_in_a_range_by_a_logistic_function(kind):
    spike = kind(snn.Logistic(2.0, low=0.5, high=5.0))
    x = jnp.asarray(GRID)
    np.testing.assert_allclose(spike.derivative(x), kind(2.0).derivative(x), rtol=1e-4, atol=1e-6)
    raw, (by_slope, by_raw) = (
        spike.slope.raw,
        (eqx.filter_grad(lambda s: jnp.sum(s(x) * jnp.cos(x + 1)))(s).slope for s in (kind(jnp.array(2.0)), spike)),
    )
    share = float(jax.nn.sigmoid(raw))
    assert float(by_raw.raw) == pytest.approx(float(by_slope) * 4.5 * share * (1 - share), rel=1e-3, abs=1e-6)


@KINDS
def test_a_constant_slope_has_no_gradient_and_a_fixed_one_a_gradient_of_zero(kind):
    fixed = kind(snn.Fixed(jnp.array(2.0)))
    assert float(eqx.filter_grad(lambda spike: spike(jnp.array(0.3)))(fixed).slope.value) == 0.0
    assert jax.grad(fixed)(0.3) == jax.grad(kind(2.0))(0.3)
    assert jax.tree.leaves(eqx.filter(kind(2.0), eqx.is_array)) == []
    assert isinstance(kind(np.float32(2)).slope, float) and kind(2).slope == 2.0


def test_a_python_number_is_taken_too():
    for spike in (surrogate.SuperSpike(10.0), surrogate.Custom(lambda x: 1 / (1 + 10 * abs(x)) ** 2)):
        assert spike(0.3) == 1 and spike(-0.3) == 0
        assert jax.grad(spike)(0.1) == pytest.approx(1 / 4)


def test_equal_surrogates_are_equal_and_share_a_trace():
    assert surrogate.SuperSpike(5.0) == surrogate.SuperSpike(5)
    assert surrogate.SuperSpike() == surrogate.SuperSpike(10.0)
    assert surrogate.SuperSpike(5.0) != surrogate.SuperSpike(6.0)
    assert surrogate.SuperSpike(2.0) != surrogate.ArcTan(2.0)
    fire = Counter(lambda spike, x: spike(x))
    for _ in range(2):
        fire(surrogate.SuperSpike(5.0), jnp.ones(3))
    assert fire.traces == 1
    for slope in (5.0, 6.0):
        fire(surrogate.SuperSpike(jnp.array(slope)), jnp.ones(3))
    assert fire.traces == 2


def test_surrogates_of_one_name_elsewhere_are_the_same_here():
    x = jnp.asarray(GRID)
    np.testing.assert_allclose(surrogate.Tanh(1.5).derivative(x), surrogate.Sigmoid(3.0).derivative(x), rtol=1e-6)
    erf = jax.vmap(jax.grad(lambda x: (1 + jax.lax.erf(2.0 * x)) / 2))(x)
    np.testing.assert_allclose(surrogate.Gaussian(2.0 * math.sqrt(2)).derivative(x), erf, rtol=1e-5, atol=1e-7)
    clipped = jnp.where(jnp.abs(x) < 0.35, surrogate.StraightThrough().derivative(x), 0.0)
    np.testing.assert_allclose(0.7 * surrogate.Boxcar(1 / 0.7).derivative(x), clipped, rtol=1e-6)


LINEAR = {
    "StraightThrough": (surrogate.StraightThrough(), 1.0),
    "LeakyStep": (surrogate.LeakyStep(0.3), 0.3),
    "LeakyStep, without leak": (surrogate.LeakyStep(0.0), 0.0),
}


@pytest.mark.parametrize("name", LINEAR)
def test_a_gradient_of_two_values_is_one_above_the_threshold(name):
    spike, below = LINEAR[name]
    for dtype in (jnp.float32, jnp.bfloat16):
        x = jnp.array([-1000, -1, -0.25, 0, 0.25, 1, 1000], dtype)
        value, backward, forward, mapped, second = JITTED(spike, x)
        np.testing.assert_array_equal(np.asarray(value, np.float32), [0, 0, 0, 1, 1, 1, 1])
        expected = np.asarray(jnp.array([below] * 3 + [1.0] * 4, dtype), np.float32)
        for gradient in (backward, forward, mapped):
            assert gradient.dtype == dtype
            np.testing.assert_array_equal(np.asarray(gradient, np.float32), expected)
        assert not np.any(np.asarray(second, np.float32))
        np.testing.assert_array_equal(spike.antiderivative(x), jnp.asarray(expected, dtype) * x)


def test_the_gradient_of_a_trained_leak_is_the_distance_below_the_threshold():
    x, weights = jnp.array([-2.0, -0.5, 0.0, 3.0]), jnp.array([1.0, 3.0, 5.0, 7.0])
    gradient = jax.grad(lambda spike: jnp.sum(weights * spike(x)))(surrogate.LeakyStep(jnp.array(0.1)))
    assert float(gradient.leak) == pytest.approx(-2.0 - 1.5)


OTHER_PARAMETERS = {
    (surrogate.MultiGaussian, "height"): 0.15,
    (surrogate.MultiGaussian, "width"): 6.0,
    (surrogate.SparseFastSigmoid, "window"): 1.0,
}


@pytest.mark.parametrize("kind, name", OTHER_PARAMETERS)
def test_the_gradient_of_any_trained_parameter_is_that_of_the_antiderivative(kind, name):
    with jax.enable_x64(True):
        x, value, step = jnp.asarray(GRID, jnp.float64), OTHER_PARAMETERS[kind, name], 1e-6
        weights = jnp.cos(jnp.arange(x.size, dtype=x.dtype))

        def total(value, relaxed):
            spike = kind(3.0, **{name: value})
            return jnp.sum(weights * (spike.antiderivative(x) if relaxed else spike(x)))

        numeric = (total(value + step, True) - total(value - step, True)) / (2 * step)
        gradient = jax.grad(total)(jnp.array(value), False)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)
        assert gradient != 0


def test_a_window_and_side_lobes_other_than_by_default_follow_the_formula():
    x, exact = jnp.asarray(GRID), GRID.astype(np.float64)
    sparse = surrogate.SparseFastSigmoid(3.0, window=0.4)
    np.testing.assert_allclose(sparse.derivative(x), (np.abs(exact) < 0.4) / (1 + 3 * np.abs(exact)) ** 2, rtol=1e-5)
    u = np.clip(exact, -0.4, 0.4)
    np.testing.assert_allclose(sparse.antiderivative(x), u / (1 + 3 * np.abs(u)) + 0.4 / 2.2, rtol=1e-5, atol=1e-6)
    lobes = surrogate.MultiGaussian(3.0, height=0.4, width=2.0)
    u, a, b = 3 * exact, 0.4, 2.0
    sides = normal((u - 1) / b) + normal((u + 1) / b)
    np.testing.assert_allclose(lobes.derivative(x), 3 * ((1 + a) * normal(u) - a / b * sides), rtol=1e-4, atol=1e-6)
    sides = normal_below((u - 1) / b) + normal_below((u + 1) / b)
    np.testing.assert_allclose(lobes.antiderivative(x), (1 + a) * normal_below(u) - a * sides, rtol=1e-5, atol=1e-6)


def gaussian(x):
    return jnp.exp(-(x**2))


def test_a_custom_surrogate_is_a_step_with_the_given_derivative():
    value, backward, forward, mapped, second = JITTED(surrogate.Custom(gaussian), jnp.asarray(GRID))
    np.testing.assert_array_equal(value, GRID >= 0)
    for gradient in (backward, forward, mapped):
        np.testing.assert_allclose(gradient, np.exp(-(GRID**2)), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(second, -2 * GRID * np.exp(-(GRID**2)), rtol=1e-4, atol=1e-6)


def test_a_custom_surrogate_with_a_primal_has_its_value_and_the_given_derivative():
    spike = surrogate.ArcTan(2.0)
    twin = surrogate.Custom(spike.derivative, primal=spike.antiderivative)
    value, backward, *_ = all_derivatives(twin, jnp.asarray(GRID))
    allclose(value, spike.antiderivative(jnp.asarray(GRID)))
    allclose(backward, spike.derivative(jnp.asarray(GRID)))
    allclose(backward, jax.vmap(jax.grad(spike.antiderivative))(jnp.asarray(GRID)))


def test_equal_custom_surrogates_share_a_trace():
    assert surrogate.Custom(gaussian) == surrogate.Custom(gaussian)
    fire = Counter(lambda spike, x: spike(x))
    for _ in range(2):
        fire(surrogate.Custom(gaussian), jnp.ones(3))
    assert fire.traces == 1


def test_parameters_inside_a_custom_surrogate_are_refused_when_trained():
    class Bump(eqx.Module):
        width: jax.Array

        def __call__(self, x):
            return jnp.exp(-((x / self.width) ** 2))

    with pytest.raises(TypeError, match="`surrogate.Custom`.*cannot be trained.*AbstractSurrogate"):
        jax.grad(lambda spike: spike(jnp.array(0.5)))(surrogate.Custom(Bump(jnp.array(1.0))))


def test_a_surrogate_prints_its_name_and_slope():
    assert repr(surrogate.SuperSpike(25.0)) == "SuperSpike(slope=25.0)"
    assert repr(surrogate.Sigmoid(np.array(4.0))) == "Sigmoid(slope=f32[])"
    assert repr(surrogate.Custom(gaussian)).startswith("Custom(")
    assert "gaussian" in repr(surrogate.Custom(gaussian))


@KINDS
def test_a_bad_slope_is_refused_by_name(kind, unchecked):
    for slope, error, message in (
        (0.0, ValueError, r"must be in \(0, inf\), got 0\.0"),
        (-2.0, ValueError, r"must be in \(0, inf\), got -2\.0"),
        (float("nan"), ValueError, r"must be in \(0, inf\), got nan"),
        (np.array([1.0, -1.0]), ValueError, r"must be in \(0, inf\), got values from -1\.0 to 1\.0"),
        (np.array([1, 2]), TypeError, "must be a number .* or a floating array .*, got an array of dtype int64"),
        (True, TypeError, "must be a number .*, got True"),
        ("10", TypeError, "must be a number .*, got '10'"),
    ):
        with pytest.raises(error, match=rf"`surrogate\.{kind.__name__}`: `slope` {message}"):
            kind(slope)


def test_a_derivative_that_is_no_function_is_refused(unchecked):
    with pytest.raises(TypeError, match=r"`surrogate.Custom`: `derivative` must be a function of one array, got 3\."):
        surrogate.Custom(3)
    with pytest.raises(TypeError, match=r"`surrogate.Custom`: `primal` must be a function of one array, got 'step'"):
        surrogate.Custom(gaussian, primal="step")


# Relaxed.


@KINDS
def test_a_relaxed_surrogate_has_the_value_of_the_antiderivative_and_its_gradient(kind):
    h, H, h_slope = FORMULAS[kind]
    slope, step, x = 3.0, 1e-6, GRID.astype(np.float64)
    spike = surrogate.Relaxed(kind(jnp.array(slope)))
    value, backward, forward, mapped, second = JITTED(spike, jnp.asarray(GRID))
    np.testing.assert_allclose(value, H(x, slope), rtol=1e-5, atol=1e-6)
    for gradient in (backward, forward, mapped):
        np.testing.assert_allclose(gradient, h(x, slope), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(second, h_slope(x, slope), rtol=1e-4, atol=1e-5)
    weights = np.cos(np.arange(x.size))
    by_slope = jax.grad(lambda s: jnp.sum(s(jnp.asarray(GRID)) * jnp.asarray(weights, jnp.float32)))(spike)
    numeric = np.sum(weights * (H(x, slope + step) - H(x, slope - step)) / (2 * step))
    assert float(by_slope.surrogate.slope) == pytest.approx(numeric, rel=1e-4, abs=1e-5)


RELAXED = {
    "Sigmoid": lambda: surrogate.Relaxed(surrogate.Sigmoid(jnp.array(3.0))),
    "MultiGaussian": lambda: surrogate.Relaxed(surrogate.MultiGaussian(jnp.array([1.5, 3.0]), jnp.array(0.2))),
    "EscapeNoise": lambda: surrogate.Relaxed(surrogate.EscapeNoise(jnp.array(2.0))),
    "Ternary": lambda: surrogate.Ternary(surrogate.Relaxed(surrogate.Gaussian(jnp.array(2.0))), jnp.array(1.3)),
    "MultiLevel": lambda: surrogate.MultiLevel(
        3, surrogate.Relaxed(surrogate.Tanh(jnp.array(1.5))), step=jnp.array([0.7, 0.5])
    ),
}
RESETS = {
    "to a value": lambda: snn.ResetToValue(jnp.array(-0.2), stop_gradient=False),
    "by subtraction": lambda: snn.SubtractReset(stop_gradient=False),
}


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("name", RELAXED)
def test_the_gradient_of_a_relaxed_neuron_equals_finite_differences(name, reset):
    with jax.enable_x64(True):
        threshold = jnp.array([0.9, 0.7])
        layer = snn.SimpleLIF(
            jnp.array([0.8, 0.6]), threshold=threshold, reset=RESETS[reset](), spike_fn=RELAXED[name]()
        )
        params, static = eqx.partition(layer, snn.trainable(layer))
        xs = 0.9 * jnp.sin(jnp.arange(8.0)).reshape(4, 2) - 0.1
        flat, unravel = jax.flatten_util.ravel_pytree((params, xs))

        def loss(flat):
            params, xs = unravel(flat)
            layer = eqx.combine(params, static)
            state, outs = layer.over_time(layer.init_state((2,)), xs)
            return jnp.sum(outs * jnp.cos(jnp.arange(outs.size).reshape(outs.shape))) + jnp.sum(jnp.sin(state.v))

        @jax.jit
        def both(flat):
            steps = 1e-5 * jnp.eye(flat.size)
            return jax.grad(loss)(flat), (jax.vmap(loss)(flat + steps) - jax.vmap(loss)(flat - steps)) / 2e-5

        gradient, numeric = both(flat)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)
        assert np.all(np.asarray(gradient) != 0)


def test_a_relaxed_neuron_is_silent_in_silence():
    """The antiderivative is 0 far below the threshold, so that a reset leaves a potential at rest alone."""
    for kind in FORMULAS.keys() - SIGNED:
        value = surrogate.Relaxed(kind(20.0))(jnp.array(-1.0))
        assert 0 <= float(value) < 0.03, kind


def test_a_surrogate_that_cannot_be_relaxed_is_refused(unchecked):
    for graded in (surrogate.Ternary(), surrogate.MultiLevel(2)):
        with pytest.raises(
            ValueError,
            match=rf"`surrogate.Relaxed` takes the surrogate of one threshold, and `surrogate.{type(graded).__name__}` "
            r"has several\. Give it the one inside; `surrogate.Relaxed` goes inside too\.",
        ):
            surrogate.Relaxed(graded)
    with pytest.raises(TypeError, match=r"`surrogate.Relaxed`: `surrogate` must be .* got <class .*Custom\(deriv"):
        surrogate.Relaxed(surrogate.Sigmoid)
    with pytest.raises(TypeError, match="`surrogate.Custom` was made from a derivative alone.*cannot be relaxed"):
        surrogate.Relaxed(surrogate.Custom(gaussian))(jnp.array(0.5))


# Annealed slopes.


def network(first, second):
    k1, k2 = jax.random.split(jax.random.key(0))
    return snn.Sequential(
        eqx.nn.Linear(3, 4, key=k1),
        snn.LIF([jnp.array(0.9), 0.8], gain=2.0, spike_fn=first),
        eqx.nn.Linear(4, 2, key=k2),
        snn.SimpleLIF(0.9, gain=-5.0, spike_fn=second),
    )


def test_with_slope_sets_every_slope_and_nothing_else():
    before = {
        "network": network(surrogate.SuperSpike(jnp.array(3.0)), surrogate.Ternary(surrogate.ArcTan(5.0), gap=1.5)),
        "others": (surrogate.Relaxed(surrogate.Boxcar(snn.Fixed(jnp.array(7.0)))), [surrogate.EscapeNoise()], 2.5),
        "without": (surrogate.LeakyStep(0.2), surrogate.Custom(gaussian), surrogate.StochasticSpike()),
    }
    after = surrogate.with_slope(before, 4.0)
    found = [
        after["network"][1].spike_fn,
        after["network"][3].spike_fn.surrogate,
        after["others"][0].surrogate,
        after["others"][1][0],
    ]
    assert [type(spike) for spike in found] == [
        surrogate.SuperSpike,
        surrogate.ArcTan,
        surrogate.Boxcar,
        surrogate.EscapeNoise,
    ]
    for spike in found:
        assert isinstance(spike.slope, snn.Fixed) and spike.slope.value == 4.0
        assert spike.slope.value.dtype == jnp.float32 and not spike.slope.value.weak_type
    assert after["network"][3].spike_fn.gap == 1.5 and after["others"][2] == 2.5
    assert eqx.tree_equal(after["without"], before["without"])
    assert eqx.tree_equal(after["network"][0], before["network"][0])
    trained = eqx.filter(after["network"], snn.trainable(after["network"]))
    assert [leaf.shape for leaf in jax.tree.leaves(trained)] == [(4, 3), (4,), (), (2, 4), (2,)]


def test_with_slope_changes_the_gradient_as_a_number_does_and_not_the_spikes():
    xs = jnp.sin(jnp.arange(18.0)).reshape(6, 3) + 0.5

    def spikes_and_gradient(model):
        states = model.init_state((3,))

        def loss(model):
            outs = model(states, xs)[1]
            return jnp.sum(outs[-1] * jnp.cos(jnp.arange(12.0)).reshape(6, 2)), outs[-1]

        (_, spikes), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(model)
        return spikes, gradient[0].weight, gradient[3].spike_fn.slope

    model = network(surrogate.SuperSpike(3.0), surrogate.ArcTan(2.0))
    first, by_first, _ = spikes_and_gradient(model)
    expected, by_number, _ = spikes_and_gradient(network(surrogate.SuperSpike(1.5), surrogate.ArcTan(1.5)))
    second, by_second, of_slope = spikes_and_gradient(surrogate.with_slope(model, 1.5))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(expected, second)
    assert 0 < np.mean(first) < 1
    allclose(by_second, by_number)
    assert not np.allclose(by_second, by_first, rtol=1e-2)
    assert float(of_slope.value) == 0.0


def test_an_annealed_slope_is_compiled_once():
    model = network(surrogate.SuperSpike(), surrogate.Sigmoid())

    def gradient(model, x):
        return eqx.filter_grad(lambda model: jnp.sum(model(model.init_state((3,)), x)[1][-1]))(model)[0].weight

    step = Counter(gradient)
    results = [step(surrogate.with_slope(model, slope), jnp.ones((4, 3))) for slope in (1.0, jnp.array(2.0), 3)]
    assert step.traces == 1
    assert not np.allclose(results[0], results[2])
    inside = Counter(lambda slope: gradient(surrogate.with_slope(model, slope), jnp.ones((4, 3))))
    for slope, result in zip((1.0, 2.0, 3.0), results, strict=True):
        allclose(inside(jnp.array(slope)), result)
    assert inside.traces == 1


def test_with_slope_says_when_there_is_no_slope_and_when_it_is_bad(unchecked):
    with pytest.raises(ValueError, match=r"`surrogate.with_slope`: no surrogate in `model` has a slope\. Give the"):
        surrogate.with_slope(network(surrogate.LeakyStep(), surrogate.Custom(gaussian)), 2.0)
    for slope in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=r"`surrogate.with_slope`: `slope` must be in \(0, inf\), got"):
            surrogate.with_slope(surrogate.SuperSpike(), slope)


# The page about surrogates.

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "surrogates.rst"


def tables():
    """The rows of each table of the page: the literals of each cell."""
    settings = {"report_level": 2, "halt_level": 2}
    document = docutils.core.publish_doctree(PAGE.read_text(encoding="utf-8"), settings_overrides=settings)
    for table in document.findall(docutils.nodes.table):
        body = next(table.findall(docutils.nodes.tbody))
        yield [
            [[literal.astext() for literal in cell.findall(docutils.nodes.literal)] for cell in row.children]
            for row in body.children
        ]


def test_the_page_has_every_surrogate_with_its_defaults_and_what_others_call_it():
    ours, elsewhere = tables()
    listed = [cells[0][0] for cells in ours]
    public = {
        name
        for name, value in vars(surrogate).items()
        if inspect.isclass(value) and not inspect.isabstract(value) and issubclass(value, surrogate.AbstractSurrogate)
    }
    assert {text.partition("(")[0] for text in listed} == public
    complete = [text for text in listed if "surrogate" not in text and "Custom" not in text]
    assert len(complete) == 15
    for text in complete:
        assert eval(text, dict(vars(surrogate))) == getattr(surrogate, text.partition("(")[0])()
    for there, here, _ in elsewhere:
        assert there
        name = re.match(r"[\w.]+", here[0]).group()
        assert name in public or hasattr(snn, name.removeprefix("snn."))


def test_the_picture_of_the_page_is_there():
    assert ".. image:: images/surrogates.png" in PAGE.read_text(encoding="utf-8")
    assert (PAGE.parent / "images" / "surrogates.png").exists()
