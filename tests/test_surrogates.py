"""Surrogates: a step whose derivative is the documented formula, in every dtype and under every transformation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import Counter, allclose

import snnax.snn as snn
from snnax.functional import surrogate


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# The documented derivative and its integral, written again in NumPy: (h, H, h', kinks of h as multiples of 1/k).
FORMULAS = {
    surrogate.SuperSpike: (
        lambda x, k: 1 / (1 + k * np.abs(x)) ** 2,
        lambda x, k: x / (1 + k * np.abs(x)),
        lambda x, k: -2 * k * np.sign(x) / (1 + k * np.abs(x)) ** 3,
    ),
    surrogate.Sigmoid: (
        lambda x, k: k * np.exp(-k * x) / (1 + np.exp(-k * x)) ** 2,
        lambda x, k: sigmoid(k * x),
        lambda x, k: k**2 * sigmoid(k * x) * (1 - sigmoid(k * x)) * (1 - 2 * sigmoid(k * x)),
    ),
    surrogate.ArcTan: (
        lambda x, k: (k / 2) / (1 + (np.pi * k * x / 2) ** 2),
        lambda x, k: np.arctan(np.pi * k * x / 2) / np.pi,
        lambda x, k: -(k / 2) * 2 * x * (np.pi * k / 2) ** 2 / (1 + (np.pi * k * x / 2) ** 2) ** 2,
    ),
    surrogate.Triangular: (
        lambda x, k: np.maximum(0, 1 - k * np.abs(x)),
        lambda x, k: np.where(np.abs(x) < 1 / k, x - k * x * np.abs(x) / 2, np.sign(x) / (2 * k)),
        lambda x, k: np.where(np.abs(x) < 1 / k, -k * np.sign(x), 0.0),
    ),
    surrogate.Boxcar: (
        lambda x, k: np.where(np.abs(x) < 1 / (2 * k), k, 0.0),
        lambda x, k: np.clip(k * x, -0.5, 0.5),
        lambda x, k: np.zeros_like(x),
    ),
}
KINDS = pytest.mark.parametrize("kind", FORMULAS, ids=lambda kind: kind.__name__)
SLOPES = (0.7, 3.0)
# No point of the grid is a kink: 0, 1/k or 1/(2k).
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
        assert np.all(expected >= 0) and np.any(expected > 0)


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
    assert jnp.all(gradient >= 0)
    np.testing.assert_array_equal(gradient[:3], gradient[-3:][::-1])


@pytest.mark.parametrize(
    "kind", [surrogate.Sigmoid, surrogate.ArcTan, surrogate.Boxcar], ids=lambda kind: kind.__name__
)
def test_the_slope_moves_the_width_and_keeps_the_area(kind):
    far = jnp.array([-1e6, 1e6])
    for slope in SLOPES:
        low, high = kind(slope).antiderivative(far)
        assert float(high - low) == pytest.approx(1.0, rel=1e-4)
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
