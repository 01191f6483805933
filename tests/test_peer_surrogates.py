"""Surrogate gradients equal those of Spyx and snnTorch, up to the factors that the documentation states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnax.functional import surrogate

pytestmark = pytest.mark.peers

GRID = np.linspace(-2.51, 2.51, 40, dtype=np.float32)


def scaled(factor, spike):
    return lambda x: factor * spike.derivative(x)


SPYX = {
    "superspike": (lambda axn: axn.superspike(7.0), scaled(1, surrogate.SuperSpike(7.0))),
    "arctan": (lambda axn: axn.arctan(1.5), scaled(1 / (1.5 * np.pi), surrogate.ArcTan(3.0))),
    "tanh": (lambda axn: axn.tanh(3.0), scaled(2 / 3.0, surrogate.Tanh(3.0))),
    "triangular": (lambda axn: axn.triangular(0.7), scaled(1, surrogate.Triangular(0.7))),
    "boxcar": (lambda axn: axn.boxcar(2.0, 0.5), scaled(2.0 * 0.5, surrogate.Boxcar(1 / 2.0))),
}
SNNTORCH = {
    "atan": (lambda s: s.atan(alpha=3.0), scaled(1, surrogate.ArcTan(3.0))),
    "fast_sigmoid": (lambda s: s.fast_sigmoid(slope=7.0), scaled(1, surrogate.SuperSpike(7.0))),
    "sigmoid": (lambda s: s.sigmoid(slope=4.0), scaled(1, surrogate.Sigmoid(4.0))),
    "straight_through_estimator": (
        lambda s: s.straight_through_estimator(),
        scaled(1, surrogate.StraightThrough()),
    ),
    "heaviside": (lambda s: s.heaviside(), scaled(1, surrogate.LeakyStep(0.0))),
    # Its peak lies at 1 above the threshold.
    "spike_rate_escape": (
        lambda s: s.spike_rate_escape(beta=2.0, slope=25.0),
        lambda x: 25.0 * surrogate.Exponential(2.0).derivative(x - 1),
    ),
}


@pytest.mark.parametrize("name", SPYX)
def test_a_gradient_equals_that_of_spyx(name):
    axn = pytest.importorskip("spyx.axn")
    make, derivative = SPYX[name]
    with jax.numpy_dtype_promotion("standard"):
        theirs = jax.vmap(jax.grad(make(axn)))(jnp.asarray(GRID))
    np.testing.assert_allclose(theirs, derivative(jnp.asarray(GRID)), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", SNNTORCH)
def test_a_gradient_equals_that_of_snntorch(name):
    torch, theirs = pytest.importorskip("torch"), pytest.importorskip("snntorch.surrogate")
    make, derivative = SNNTORCH[name]
    x = torch.tensor(GRID, requires_grad=True)
    make(theirs)(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), derivative(jnp.asarray(GRID)), rtol=1e-5, atol=1e-7)


def test_a_stochastic_spike_has_the_mean_and_variance_of_the_noise_of_snntorch():
    torch, theirs = pytest.importorskip("torch"), pytest.importorskip("snntorch.surrogate")
    torch.manual_seed(0)
    x = torch.full((20000,), -0.5, requires_grad=True)
    theirs.SSO()(x).sum().backward()
    noise, spike = x.grad.numpy().astype(np.float64), surrogate.StochasticSpike()
    assert np.mean(noise) == pytest.approx(spike.mean, abs=4 * np.sqrt(spike.variance / noise.size))
    assert np.var(noise) == pytest.approx(spike.variance, rel=0.04)
