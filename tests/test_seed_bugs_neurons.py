"""Bug 11 of the project's list, of snnTorch, for every neuron."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import LAYERS, NEURONS, Counter, allclose

import snnax.snn as snn


def inputs(case, steps=20):
    return jr.uniform(jr.key(0), (steps, *case.in_shape))


@pytest.mark.parametrize("name", NEURONS)
def test_bug_11_the_second_backward_pass_and_the_second_jitted_call_are_the_first(name):
    """snnTorch's Lapicque: with a learned decay, the second backward pass raised an error."""
    case = LAYERS[name]

    def loss(both, xs):
        layer, state = both
        state, outs = layer.over_time(state, xs)
        return jnp.sum(outs * jnp.cos(jnp.arange(outs.size)).reshape(outs.shape)), state

    layer = case.make()
    state = layer.init_state(case.in_shape, jr.key(1))
    counter = Counter(eqx.filter_grad(loss, has_aux=True))
    first = counter((layer, state), inputs(case))
    second = counter((layer, state), inputs(case))
    third = counter((layer, first[1]), inputs(case))
    allclose(first, second, rtol=0, atol=0)
    assert counter.traces == 1
    assert jax.tree.structure(third) == jax.tree.structure(first)
    for gradients, _ in (first, third):
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradients) if eqx.is_inexact_array(leaf))
        assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(gradients) if eqx.is_inexact_array(leaf))


def learned(name):
    """The paths of the trained parameters of a layer."""
    layer = LAYERS[name].make()
    leaves, _ = jax.tree_util.tree_flatten_with_path(eqx.filter(layer, snn.trainable(layer)))
    return [path for path, _ in leaves]


@pytest.mark.parametrize("name", [name for name in NEURONS if learned(name)])
def test_bug_11_every_learned_parameter_changes_the_dynamics(name):
    """snnTorch's Lapicque: a decay that was learned changed nothing, the capacitance stayed."""
    case = LAYERS[name]
    layer = case.make()
    xs = 1.5 * inputs(case, 30)

    @eqx.filter_jit
    def run(layer):
        model = snn.Sequential(layer)
        collect = [(snn.Trains(), snn.Traces())]
        return model(model.init_state(case.in_shape, jr.key(1)), xs, collect=collect)[1]

    def leaf_at(tree, path):
        return dict(jax.tree_util.tree_flatten_with_path(tree)[0])[path]

    before = run(layer)
    for path in learned(name):
        if ".spike_fn" in jax.tree_util.keystr(path):
            continue  # acts on gradients alone
        value = leaf_at(layer, path)
        moved = eqx.tree_at(lambda tree, path=path: leaf_at(tree, path), layer, 0.8 * value)
        after = run(moved)
        same = [np.array_equal(a, b) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)]
        assert not all(same), jax.tree_util.keystr(path)


def test_bug_11_lapicque_decays_exactly_and_learns_its_resistance_and_capacitance():
    dt, resistance, capacitance = 1e-3, 5.0, 2e-3
    constant = snn.SimpleLIF.from_rc(resistance, capacitance, dt)
    assert constant.decay_constants == np.exp(-dt / (resistance * capacitance))
    assert constant.gain == resistance * (1 - constant.decay_constants)
    assert not jax.tree.leaves(eqx.filter(constant, snn.trainable(constant)))

    def potential(resistance, capacitance, steps=7):
        """After so many steps of a current of 0.1, below the threshold."""
        layer = snn.SimpleLIF.from_rc(resistance, capacitance, dt, rest=0.2)
        state, _ = layer.over_time(layer.init_state(()), jnp.full((steps,), 0.1))
        return state.v

    def charged(resistance, capacitance, steps=7):
        """What the circuit does in continuous time."""
        return 0.2 + 0.1 * resistance * (1 - np.exp(-steps * dt / (resistance * capacitance)))

    assert float(potential(resistance, capacitance)) == pytest.approx(charged(resistance, capacitance), rel=1e-6)
    gradient = jax.jit(jax.grad(potential, argnums=(0, 1)))
    step = 1e-6
    expected = (
        (charged(resistance + step, capacitance) - charged(resistance - step, capacitance)) / (2 * step),
        (charged(resistance, capacitance + step) - charged(resistance, capacitance - step)) / (2 * step),
    )
    for _ in range(2):
        found = gradient(jnp.array(resistance), jnp.array(capacitance))
        np.testing.assert_allclose(found, expected, rtol=1e-3)
    layer = snn.SimpleLIF.from_rc(np.array([1.0, 2.0]), capacitance, dt, threshold=0.3, refractory=2)
    trained = eqx.filter(layer, snn.trainable(layer))
    assert trained.decay_constants.shape == trained.gain.shape == (2,)
    assert (layer.threshold, layer.refractory) == (0.3, 2)


def test_a_circuit_that_cannot_be_is_refused():
    for wrong, name in (((0.0, 1e-3), "resistance"), ((1.0, -1e-3), "capacitance")):
        with pytest.raises(ValueError, match=rf"`snn\.SimpleLIF\.from_rc`: `{name}` must be in \(0, inf\), got"):
            snn.SimpleLIF.from_rc(*wrong, 1e-3)
    with pytest.raises(ValueError, match="`dt` must be greater than 0"):
        snn.SimpleLIF.from_rc(1.0, 1e-3, 0.0)
