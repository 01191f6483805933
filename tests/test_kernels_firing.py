"""The compiled loops of neurons that fire compute what their twins do, with the derivative of every surrogate."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from kernel_helpers import a, close, compiled

import snnax._kernels._firing_loop as firing_loop
import snnax._kernels._loop as loop
from snnax import _kernels, snn
from snnax.functional import surrogate
from snnax.snn import _leaky_loop

pytestmark = compiled

SURROGATES = [
    surrogate.StraightThrough(),
    surrogate.LeakyStep(0.2),
    surrogate.LogTailed(2.0),
    surrogate.Triangular(1.5),
    surrogate.Boxcar(0.7),
    surrogate.SuperSpike(5.0),
    surrogate.ArcTan(2.5),
    surrogate.Sigmoid(3.0),
    surrogate.Tanh(2.0),
    surrogate.Exponential(1.5),
    surrogate.Gaussian(1.3),
    surrogate.MultiGaussian(),
]


@pytest.fixture(autouse=True)
def for_small_arrays_too(monkeypatch):
    monkeypatch.setattr(loop, "SMALL", 0)


@hypothesis.given(
    examples=st.integers(1, 11),
    steps=st.integers(1, 6),
    n=st.sampled_from([1, 5, 64, 70, 1025]),
    kind=st.sampled_from(list(_kernels.Kind)[:3]),
    threshold=st.sampled_from([-10.0, 0.4, 10.0]),
    spike_fn=st.sampled_from(SURROGATES),
    returns=st.booleans(),
    everywhere=st.booleans(),
    seed=st.integers(0, 9),
)
@hypothesis.settings(max_examples=40, deadline=None)
def test_the_loops_equal_their_twins_and_errors_are_the_transpose_of_what_moves(
    examples, steps, n, kind, threshold, spike_fn, returns, everywhere, seed
):
    n = min(n, 70) if returns else n
    keys = jr.split(jr.key(seed), 9)
    x, u, g, e = (jr.normal(key, (examples, steps, n)) for key in keys[:4])
    alpha, gain, gamma, beta = (jr.uniform(key, (1, n)) for key in keys[4:8])
    theta, back = jnp.full((1, n), threshold), ()
    if returns:
        back = gamma, beta, jr.normal(keys[8], (n, n)) / n**0.5
    args = x, 0.1 * x[:, 0], alpha, gain, jnp.full((1, n), 0.05), theta, -theta, *back
    primitive = firing_loop._recurrent if returns else firing_loop._firing
    v, s = jax.jit(lambda *args: primitive.bind(*args, reset=int(kind)))(*args)
    close((v, s), tuple(firing_loop.plain_firing(*args, reset=int(kind))))
    np.testing.assert_array_equal(s, v >= threshold)

    slope, k = _leaky_loop._slope_of(spike_fn, x.dtype)
    h, back = spike_fn.derivative(v - threshold), (gain, *back) if returns else ()
    given = h, v, theta, jnp.full((1, n), k), alpha, *back
    options = {"gated": kind == _kernels.Kind.TO_VALUE, "slope": int(slope)}
    of_potentials = g if everywhere else g[:1, :1]  # the same in all steps of all examples
    errors = firing_loop._returning_errors if returns else firing_loop._errors
    out = jax.jit(lambda *args: errors.bind(*args, **options))(e, of_potentials, *given)
    close(out, firing_loop.plain_errors(e, of_potentials, *given, **options))
    dv, ds = firing_loop.plain_moving(u, *given, **options)
    size = float(jnp.linalg.norm(dv) * jnp.linalg.norm(g) + jnp.linalg.norm(ds) * jnp.linalg.norm(e))
    assert jnp.sum(out * u) == pytest.approx(float(jnp.sum(dv * of_potentials) + jnp.sum(ds * e)), abs=1e-5 * size)


def test_every_surrogate_of_one_parameter_is_in_the_table():
    known = {type(spike_fn) for spike_fn in SURROGATES if type(spike_fn) in _leaky_loop.SLOPES}
    assert known == set(_leaky_loop.SLOPES)
    assert set(_leaky_loop.SLOPES.values()) == set(_kernels.Slope) - {_kernels.Slope.GIVEN}


@pytest.mark.parametrize("spike_fn", SURROGATES, ids=lambda spike_fn: type(spike_fn).__name__)
def test_what_is_backwards_reads_no_derivatives_where_it_finds_them(spike_fn):
    layer, x = snn.SimpleLIF(0.9, spike_fn=spike_fn), jnp.zeros((20, 6))

    def total(x):
        return jnp.sum(layer.over_time(layer.init_state((6,)), x)[1] ** 2)

    text = jax.jit(jax.grad(total)).lower(x).compile().as_text()
    call = next(line for line in text.splitlines() if "snnax_spike_errors" in line)
    taken = call[call.index("operand_layout_constraints") :].split("api_version")[0]
    derivatives = type(spike_fn) not in _leaky_loop.SLOPES
    assert taken.count("f32[1,20,6]") == 2 + derivatives  # the errors of spikes, the potentials
    assert taken.count("f32[1,1,6]") == 2 - derivatives  # those of potentials


class Steeper(surrogate.SuperSpike):
    def derivative(self, x):
        return 2 * super().derivative(x)


def test_a_surrogate_of_ones_own_keeps_its_derivative():
    x = jr.normal(jr.key(0), (20, 6))

    def gradient(spike_fn):
        layer = snn.SimpleLIF(0.9, reset=snn.NoReset(), spike_fn=spike_fn)
        return jax.grad(lambda x: jnp.sum(layer.over_time(layer.init_state((6,)), x)[1]))(x)

    close(gradient(Steeper(3.0)), 2 * gradient(surrogate.SuperSpike(3.0)))


def test_slopes_of_each_neuron_and_of_each_example_act():
    x, slopes = jr.normal(jr.key(0), (3, 20, 6)), 1.0 + jr.uniform(jr.key(1), (3, 6))

    def gradient(slope, x):
        layer = snn.SimpleLIF(0.9, spike_fn=surrogate.Sigmoid(slope))
        return jax.grad(lambda x: jnp.sum(layer.over_time(layer.init_state((6,)), x)[1]))(x)

    with _kernels.using(False):
        expected = jnp.stack([gradient(slope, x) for slope, x in zip(slopes, x, strict=True)])
    close(jax.vmap(gradient)(slopes, x), expected)
    close(gradient(a(2.0), x[0]), gradient(2.0, x[0]))
