"""The compiled loop of neurons that hear each other computes what its twin and the scan do."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest
from kernel_helpers import a, close, compiled, everything

from snnax import _kernels, snn
from snnax.functional import surrogate

pytestmark = compiled

N = 6


RESETS = [snn.ResetToValue(), snn.ResetToValue(a(-0.1)), snn.SubtractReset(), snn.NoReset()]
NEURONS = {
    "SimpleLIF": lambda reset: snn.SimpleLIF(
        jnp.linspace(0.1, 0.9, N),
        gain=a(0.8),
        rest=a(0.1),
        threshold=jnp.linspace(0.3, 0.6, N),
        reset=reset,
        spike_fn=surrogate.SuperSpike(a(5.0)),
    ),
    "SimpleLIF, numbers": lambda reset: snn.SimpleLIF(0.9, threshold=0.5, reset=reset, spike_fn=surrogate.ArcTan(3.0)),
    "LIF": lambda reset: snn.LIF([a(0.9), a(0.8)], gain=[snn.UnityGain(), a(0.7)], threshold=0.3, reset=reset),
}


@pytest.mark.parametrize("reset", RESETS, ids=str)
@pytest.mark.parametrize("name", NEURONS)
def test_the_loop_equals_its_scan(name, reset):
    layer = snn.Recurrent(NEURONS[name](reset), eqx.nn.Linear(N, N, key=jr.key(5)))
    x, state = jr.normal(jr.key(0), (3, 20, N)) + 0.3, layer.init_state((N,))
    state = eqx.tree_at(lambda s: s.out, state, a(0.0, 1.0, 1.0, 0.0, 0.0, 1.0))
    with_kernels, without = everything(layer, state, x, True), everything(layer, state, x, False)
    assert 0 < jnp.mean(with_kernels[0][1]) < 1
    close(with_kernels, without, 2e-4)


@pytest.mark.parametrize("neuron", [snn.SimpleLIF(0.9), snn.LIF([0.9, 0.8], gain=0.4)], ids=["SimpleLIF", "LIF"])
def test_pieces_of_a_sequence_make_the_whole(neuron):
    layer = snn.Recurrent(neuron, eqx.nn.Linear(N, N, use_bias=False, key=jr.key(5)))
    x, state = jr.normal(jr.key(0), (20, N)), layer.init_state((N,))
    whole = layer.over_time(state, x)
    state, first = layer.over_time(state, x[:7])
    close(whole, (lambda last, outs: (last, jnp.concatenate([first, outs])))(*layer.over_time(state, x[7:])))


def test_slopes_of_their_own_under_vmap_have_loops_of_their_own():
    x, linear = jr.normal(jr.key(0), (20, N)), eqx.nn.Linear(N, N, key=jr.key(1))

    def slope_gradient(slope):
        def total(slope):
            layer = snn.Recurrent(snn.SimpleLIF(0.9, spike_fn=surrogate.SuperSpike(slope)), linear)
            return jnp.sum(layer.over_time(layer.init_state((N,)), x)[1])

        return jax.value_and_grad(total)(slope)

    slopes = a(2.0, 5.0)
    each = [slope_gradient(slope) for slope in slopes]
    close(jax.vmap(slope_gradient)(slopes), jax.tree.map(lambda *both: jnp.stack(both), *each))


def test_networks_of_their_own_under_vmap_have_loops_of_their_own():
    x = jr.normal(jr.key(0), (20, N))

    def run(key):
        layer = snn.Recurrent(snn.SimpleLIF(0.9), eqx.nn.Linear(N, N, key=key))
        return layer.over_time(layer.init_state((N,)), x)[1]

    keys = jr.split(jr.key(1), 3)
    close(jax.vmap(run)(keys), jnp.stack([run(key) for key in keys]))


def loops(layer, in_shape=(N,)):
    x = jnp.zeros((4, *in_shape))
    return "snnax_recurrent_loop" in str(jax.make_jaxpr(layer.over_time)(layer.init_state(in_shape), x))


def test_only_what_the_loop_knows_goes_through_it():
    linear, simple = eqx.nn.Linear(N, N, key=jr.key(0)), snn.SimpleLIF(0.9)

    class Own(snn.SimpleLIF):
        def __call__(self, state, x, *, key=None):
            return super().__call__(state, 2 * x)

    assert loops(snn.Recurrent(simple, linear))
    assert not loops(snn.Recurrent(Own(0.9), linear))
    assert not loops(snn.Recurrent(simple, a(0.5)))
    assert not loops(snn.Recurrent(simple, eqx.nn.Conv1d(2, 2, 1, key=jr.key(0))), (2, 3))
    assert not loops(snn.Recurrent(simple, eqx.nn.Sequential([linear])))
    assert not loops(snn.Recurrent(snn.SimpleLIF(0.9, refractory=1), linear))
    assert not loops(snn.Recurrent(snn.SimpleLIF(0.9, spike_fn=surrogate.MultiLevel(2)), linear))
    with _kernels.using(False):
        assert not loops(snn.Recurrent(simple, linear))


def test_the_gradient_of_the_weights_of_a_batch_is_one_product_and_little_is_kept():
    layer = snn.Recurrent(snn.SimpleLIF(0.9), eqx.nn.Linear(32, 32, use_bias=False, key=jr.key(0)))
    state, xs = layer.init_state((32,)), jnp.zeros((5, 10, 32))

    def loss(layer):
        return jnp.sum(jax.vmap(lambda x: layer.over_time(state, x)[1])(xs) ** 2)

    assert "f32[32,32] = spike_transposed_product" in str(jax.make_jaxpr(eqx.filter_grad(loss))(layer))
    _, pull = jax.vjp(lambda x: jax.vmap(lambda x: layer.over_time(state, x)[1])(x), xs)
    kept = [leaf.shape for leaf in jax.tree.leaves(pull) if eqx.is_array(leaf) and leaf.size >= xs.size]
    assert len(kept) <= 2  # the potentials, and what the loss takes
