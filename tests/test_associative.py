"""What an associative scan computes is what the steps compute, and layers without such a form are refused by name."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import allclose, between

import snnax.snn as snn
from snnax.functional import surrogate
from snnax.snn._linear_scan import associative, sequential

DECAYS = [0.0, 1e-3, 0.5, 0.9, 0.999, 1.0]
T = 500


def relative(a, b):
    """The largest difference of two pytrees, over the largest value."""
    return max(
        float(np.max(np.abs(np.asarray(x) - np.asarray(y))) / (np.max(np.abs(np.asarray(y))) or 1.0))
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def by_hand(decay, drive, first):
    """The recurrence in float64 (or complex128), as a loop."""
    v, out = np.asarray(first, np.result_type(first, np.float64)), []
    for t in range(len(drive)):
        v = decay[t if len(decay) > 1 else 0] * v + drive[t]
        out.append(v)
    return np.stack(out)


@pytest.mark.parametrize("recurrence", [sequential, associative])
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("per_step", [False, True])
def test_both_scans_equal_a_loop(recurrence, dtype, per_step, getkey):
    rng = np.random.default_rng(0)
    steps = 37

    def draw(*shape):
        drawn = rng.normal(size=(2, *shape)).astype(np.float32)
        return drawn[0] if dtype is np.float32 else drawn[0] + 1j * drawn[1]

    decay = draw(steps if per_step else 1, 1, 3)
    decay = (decay / np.maximum(1, np.abs(decay))).astype(dtype)
    decay[:, 0, 0] = 0
    decay[-1, 0, 1] = 1
    drive, first = draw(steps, 2, 3), draw(2, 3)
    v = jax.jit(recurrence)(decay, drive, first)
    assert v.dtype == dtype
    np.testing.assert_allclose(v, by_hand(decay, drive, first), rtol=1e-5, atol=1e-5)


def test_the_derivatives_of_the_associative_scan_are_those_of_the_loop_in_both_modes_and_orders(getkey):
    decay = jnp.array([0.0, 0.4, 1.0])[None]
    drive, first, weights = jr.normal(getkey(), (9, 3)), jr.normal(getkey(), (3,)), jr.normal(getkey(), (9, 3))

    def total(recurrence, decay, drive, first):
        return jnp.sum(jnp.sin(recurrence(decay, drive, first)) * weights)

    arguments = decay, drive, first
    for derivative in (jax.grad, jax.jacfwd, lambda f, **kw: jax.jacrev(jax.grad(f, argnums=0), **kw)):
        ours, wanted = (
            derivative(lambda *args, one=one: total(one, *args), argnums=(0, 1, 2))(*arguments)
            for one in (associative, sequential)
        )
        allclose(ours, wanted, rtol=1e-4, atol=1e-5)


# The surrogate is a flat one: a steep one magnifies what rounding does to a potential.
FLAT = {"reset": snn.NoReset(), "spike_fn": surrogate.SuperSpike(1.0)}
LINEAR = {
    "SimpleLI": lambda a, b: snn.SimpleLI(a, rest=jnp.array(0.2)),
    "LI": lambda a, b: snn.LI([a, b], gain=[snn.UnityGain(), jnp.array(1.3)], rest=-0.1),
    "SimpleLIF": lambda a, b: snn.SimpleLIF(a, threshold=jnp.array(0.8), **FLAT),
    "LIF": lambda a, b: snn.LIF([a, b], gain=[jnp.array(1.5), snn.UnityGain()], rest=0.1, **FLAT),
    "DoubleExpLIF": lambda a, b: snn.DoubleExpLIF([a, b, jnp.array(0.6)], rest=0.1, **FLAT),
    "SimpleIAF": lambda a, b: snn.SimpleIAF(gain=0.2, leak=jnp.array(0.01), **FLAT),
    "IAF": lambda a, b: snn.IAF(a, leak=0.01, gain=[jnp.array(0.05), 1.0], **FLAT),
    "ResonateAndFire": lambda a, b: snn.ResonateAndFire(a, 0.05 * b, gain=jnp.array(0.5), **FLAT),
}


def run(layer, xs, state=None):
    model = snn.Sequential(layer)
    states = model.init_state(xs.shape[1:]) if state is None else state
    return model(states, xs)


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("decay", DECAYS)
def test_values_states_and_gradients_equal_those_of_the_steps_over_500_steps(name, decay, getkey):
    """Spikes and surrogate gradients, too: neurons with a potential next to the threshold are left out of the loss."""
    layer = LINEAR[name](jnp.full((8,), decay), jnp.full((8,), 0.8))
    check_500_steps(layer, 2 * jr.normal(getkey(), (T, 8)) + 0.2)


def test_a_decay_for_each_neuron_on_feature_maps(getkey):
    decays = jnp.array(DECAYS).reshape(6, 1, 1)
    layer = snn.LIF([decays, decays[::-1]], gain=0.5, **FLAT)
    check_500_steps(layer, jr.normal(getkey(), (T, 6, 2, 1)))


@eqx.filter_jit
def everything(layer, xs, weights):
    def loss(layer, xs):
        final, (outs,) = run(layer, xs)
        return jnp.sum(outs * weights), (final, outs)

    (_, results), gradient = eqx.filter_value_and_grad(lambda both: loss(*both), has_aux=True)((layer, xs))
    return results, gradient


def check_500_steps(layer, xs):
    fires = hasattr(layer, "threshold")
    weights = 1 + 0.5 * jnp.cos(jnp.arange(xs.size, dtype=jnp.float32)).reshape(xs.shape)
    if fires:
        v = trace_of(layer, xs)
        clear = jnp.abs(v - layer.threshold) > 1e-5 * jnp.max(jnp.abs(v), axis=0)
        assert clear.mean() > 0.97
        weights = jnp.where(clear, weights, 0.0)

    (final, outs), (layer_gradient, xs_gradient) = everything(layer, xs, weights)
    (parallel_final, parallel_outs), (outer, parallel_xs_gradient) = everything(snn.Associative(layer), xs, weights)
    if fires:
        assert 0 < outs.mean() < 1
        np.testing.assert_array_equal(parallel_outs[clear], outs[clear])
    else:
        assert relative(parallel_outs, outs) < 1e-4
    assert relative(parallel_final.layers, final.layers) < 1e-4
    assert relative(parallel_xs_gradient, xs_gradient) < 1e-4
    assert jax.tree.leaves(outer.layer)
    assert relative(outer.layer, layer_gradient) < 1e-4


@eqx.filter_jit
def trace_of(layer, xs):
    model = snn.Sequential(layer)
    return model(model.init_state(xs.shape[1:]), xs, collect=snn.Traces())[1][0].v


def test_a_stream_goes_on_where_it_was_cut_and_single_steps_are_the_layers(getkey):
    xs = jr.normal(getkey(), (30, 4))
    layer = snn.LI([0.9, jnp.array([0.1, 0.5, 1.0, 0.0])], init_fn=jnp.array(0.3))
    model = snn.Sequential(snn.Associative(layer))
    states, (whole,) = model(model.init_state((4,)), xs)
    middle, (head,) = model(model.init_state((4,)), xs[:11])
    end, (tail,) = model(middle, xs[11:])
    allclose(jnp.concatenate([head, tail]), whole)
    allclose(end, states)
    stepped, (out,) = model.step(middle, xs[11])
    allclose(out, tail[0])
    allclose(run(layer, xs)[1][0], whole)


def test_random_spikes_are_drawn_as_by_the_steps(getkey):
    class Coin(surrogate.AbstractRandomSurrogate):
        def draw(self, x, key):
            return Drawn(jr.uniform(key, x.shape))

        derivative = antiderivative = None

    class Drawn(surrogate.AbstractSurrogate):
        uniform: jax.Array

        def __call__(self, x):
            return (self.uniform < jax.nn.sigmoid(x)).astype(x.dtype)

        derivative = antiderivative = None

    layer = snn.SimpleLIF(0.5, reset=snn.NoReset(), spike_fn=Coin())
    xs, key = jr.normal(getkey(), (40, 5)), getkey()
    trains = []
    for one in (layer, snn.Associative(layer)):
        model = snn.Sequential(one)
        trains.append(model(model.init_state((5,)), xs, key)[1][0])
    np.testing.assert_array_equal(*trains)
    assert 0.2 < trains[0].mean() < 0.8


def test_a_layer_of_ones_own_takes_part_by_a_method():
    class Doubling(snn.StatefulLayer):
        def init_state(self, in_shape, key=None):
            return jnp.zeros(in_shape)

        def __call__(self, state, x, *, key=None):
            total = state + x.astype(state.dtype)
            return total, 2 * total.astype(x.dtype)

        def in_parallel(self, state, xs, *, keys=None):
            total = state + jnp.cumsum(xs, axis=0)
            return total[-1], 2 * total

    snn.check_layer(snn.Associative(Doubling()), (3,))


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: snn.SimpleLIF(0.9), ValueError, "the potential of `snn.SimpleLIF` with `reset=ResetToValue.*NoReset"),
        (lambda: snn.LIF([0.9, 0.9], reset=snn.SubtractReset()), ValueError, "`snn.LIF` with `reset=SubtractReset"),
        (
            lambda: snn.IAF(0.9, reset=snn.NoReset(), refractory=2),
            ValueError,
            "`snn.IAF`.*`refractory=2` is not linear",
        ),
        (lambda: snn.AdaptiveLIF(0.9, reset=snn.NoReset()), TypeError, "`snn.AdaptiveLIF` does not say.*`in_parallel"),
        (lambda: snn.Delay(2), TypeError, "`snn.Delay` and containers need none"),
        (lambda: snn.Sequential(snn.SimpleLI(0.9)), TypeError, "`snn.Sequential` does not say.*around single layers"),
        (lambda: eqx.nn.Identity(), TypeError, "`Identity` does not say"),
    ],
)
def test_layers_without_a_linear_state_are_refused_by_name(make, error, message, unchecked):
    with pytest.raises(error, match="`snn.Associative`: .*" + message):
        snn.Associative(make())


def test_a_reset_that_was_put_in_later_is_refused_when_it_runs():
    layer = snn.Associative(snn.SimpleLIF(0.9, reset=snn.NoReset()))
    changed = eqx.tree_at(lambda m: m.layer.reset, layer, snn.SubtractReset())
    with pytest.raises(ValueError, match="`snn.SimpleLIF` with `reset=SubtractReset"):
        run(changed, jnp.ones((3, 2)))


def test_initialisers_and_bfloat16_go_through(getkey):
    layer = snn.Associative(snn.LI([between(0.5, 0.9), 0.9], shape=(3,), init_fn=between(0.0, 1.0), key=getkey()))
    state = layer.init_state((3,), getkey())
    assert state.v.min() > 0
    xs = jr.normal(getkey(), (5, 3)).astype(jnp.bfloat16)
    state, outs = layer.over_time(state, xs)
    assert outs.dtype == jnp.bfloat16 and state.v.dtype == jnp.float32
