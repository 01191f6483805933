"""Derivatives of derivatives keep the surrogates, also inside of loops, where JAX drops a `custom_jvp`."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from snnax import snn
from snnax._moving import moving
from snnax.functional import surrogate

N, STEPS = 3, 5
ORDERS = {
    "forward over forward": lambda f, x: jax.jacfwd(jax.jacfwd(f))(x),
    "reverse over forward": lambda f, x: jax.jacrev(jax.jacfwd(f))(x),
    "forward over reverse": lambda f, x: jax.jacfwd(jax.jacrev(f))(x),
    "reverse over reverse": lambda f, x: jax.jacrev(jax.jacrev(f))(x),
}
PLANS = [snn.StepByStep(), snn.LayerByLayer(), snn.LayerByLayer(kernels=False), snn.Chunked(2)]


def by_hand(x, inner, outer, slope):
    """The Hessian of the sum of a recurrent network's spikes in its input, by the chain rule in NumPy.

    `dv[i]` and `ddv[i, j]` are derivatives of the potentials; a spike has `h dv` and `h ddv + h' dv dv`.
    """
    size = STEPS * N
    v, s, dv, ds = np.zeros(N), np.zeros(N), np.zeros((N, size)), np.zeros((N, size))
    ddv, dds, total = np.zeros((N, size, size)), np.zeros((N, size, size)), np.zeros((size, size))
    for t in range(STEPS):
        v = 0.9 * v + inner @ x[t] + outer @ s
        to_x = np.zeros((N, size))
        to_x[:, t * N : (t + 1) * N] = inner
        dv, ddv = 0.9 * dv + to_x + outer @ ds, 0.9 * ddv + np.einsum("ab,bij->aij", outer, dds)
        above = v - 0.5
        s = (above >= 0).astype(float)
        h = 1 / (1 + slope * np.abs(above)) ** 2
        dh = -2 * slope * np.sign(above) / (1 + slope * np.abs(above)) ** 3
        ds = h[:, None] * dv
        dds = h[:, None, None] * ddv + dh[:, None, None] * np.einsum("ai,aj->aij", dv, dv)
        total += dds.sum(0)
    return total.reshape(STEPS, N, STEPS, N)


@pytest.mark.parametrize("plan", PLANS, ids=str)
@pytest.mark.parametrize("order", ORDERS)
def test_the_second_derivatives_of_a_recurrent_network_are_those_by_hand(order, plan):
    w1, w2 = eqx.nn.Linear(N, N, use_bias=False, key=jr.key(0)), eqx.nn.Linear(N, N, use_bias=False, key=jr.key(1))
    neuron = snn.SimpleLIF(0.9, threshold=0.5, reset=snn.NoReset(), spike_fn=surrogate.SuperSpike(2.0))
    model = snn.Sequential(w1, snn.Recurrent(neuron, w2))
    x = jr.normal(jr.key(2), (STEPS, N)) + 0.3
    states = model.init_state((N,))

    def total(x):
        return jnp.sum(model(states, x, plan=plan)[1][-1])

    got = jax.jit(lambda x: ORDERS[order](total, x))(x)
    expected = by_hand(np.asarray(x, np.float64), np.asarray(w1.weight), np.asarray(w2.weight), 2.0)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_a_slope_is_trained_through_an_update_of_the_weights():
    """The gradient of a slope after a gradient step of the input, as when it is learnt how to learn."""

    def after(slope, step=None, in_scan=True):
        spike = surrogate.SuperSpike(slope)

        def loss(x):
            if in_scan:
                return jax.lax.scan(lambda v, _: (0.5 * v + spike(v - 0.4), None), x, None, length=3)[0]
            for _ in range(3):
                x = 0.5 * x + spike(x - 0.4)
            return x

        x = jnp.array(0.7)
        return loss(x - 0.01 * jax.grad(loss)(x))

    in_scan, in_line = (jax.grad(lambda k, where=where: after(k, in_scan=where))(jnp.array(3.0)) for where in (1, 0))
    assert in_scan == pytest.approx(float(in_line), rel=1e-5)
    assert abs(float(in_line)) > 1e-4


def of_a_cube(values, arguments, tangents):
    x, _ = arguments
    dx, _ = tangents
    return (None if dx is None else 3 * x**2 * dx,)


def test_a_value_moves_by_its_rule_at_any_order_and_under_vmap():
    def cube_like(x):  # of value 7 and the derivatives of x^3
        return moving((jnp.full_like(x, 7.0),), (x, "constant"), of_a_cube)[0]

    x = jnp.array([1.0, 2.0])
    for mapped in (jax.vmap(jax.grad(cube_like)), lambda x: jax.jvp(cube_like, (x,), (jnp.ones_like(x),))[1]):
        np.testing.assert_allclose(mapped(x), 3 * x**2)
    np.testing.assert_allclose(jax.vmap(jax.grad(jax.grad(cube_like)))(x), 6 * x)
    np.testing.assert_allclose(jax.vmap(jax.grad(jax.grad(jax.grad(cube_like))))(x), 6 * jnp.ones(2))
    over_maps = jax.grad(lambda x: jnp.sum(jax.vmap(lambda _: jax.vmap(cube_like)(x))(jnp.ones(3))))
    np.testing.assert_allclose(jax.jit(over_maps)(x), 3 * 3 * x**2)
    np.testing.assert_array_equal(jax.jit(jax.vmap(cube_like))(x), 7.0)
    value, moved = jax.jvp(lambda y: cube_like(jnp.ones(())) + y, (1.0,), (2.0,))
    assert (value, moved) == (8.0, 2.0)


def test_a_clipped_parameter_has_its_gradient_in_the_gradient_of_a_loop():
    """A decay beyond 1 acts as 1, and its second derivative is that of an unclipped one."""

    def last(decay):
        layer = snn.SimpleLI(0.5)
        layer = eqx.tree_at(lambda layer: layer.decay_constants, layer, decay)
        state = layer.init_state(())
        return jax.lax.scan(lambda s, x: layer(s, x), state, jnp.ones(4))[1][-1]

    second = jax.grad(jax.grad(last))(jnp.array(1.2))
    assert float(second) == pytest.approx(2 + 6)  # of 1 + a + a^2 + a^3 at a = 1


def test_a_model_of_numpy_arrays_fires_as_one_of_jax():
    layer = snn.SimpleLIF(jnp.array(0.9), spike_fn=surrogate.SuperSpike(jnp.array(3.0)))
    x = jr.normal(jr.key(0), (7, N))
    runs = [
        jax.jit(lambda x, layer=layer: layer.over_time(layer.init_state((N,)), x)[1])
        for layer in (layer, jax.tree.map(np.asarray, layer))
    ]
    np.testing.assert_array_equal(runs[0](x), runs[1](x))
