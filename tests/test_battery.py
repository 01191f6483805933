"""Every layer of the table keeps the contract; and every layer is in the table."""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import LAYERS, NEURONS, SPIKING, allclose

import snnax.snn as snn


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_keeps_the_contract(name):
    layer, in_shape, _ = LAYERS[name]
    snn.check_layer(layer(), in_shape, steps=6)


def without_bias(path, leaf):
    """A bias is an input."""
    return jnp.zeros_like(leaf) if jax.tree_util.keystr(path).endswith("bias") else leaf


@pytest.mark.parametrize("name", NEURONS)
def test_silence_in_is_silence_out(name, getkey):
    """One step without input from rest gives no output and leaves the state as it is, and so do all that follow."""
    case = LAYERS[name]
    layer = jax.tree_util.tree_map_with_path(without_bias, case.make())
    if layer.init_fn is not None:
        layer = eqx.tree_at(lambda m: m.init_fn, layer, None)
    if getattr(layer, "leak", 0.0) != 0.0:
        layer = eqx.tree_at(lambda m: m.leak, layer, 0.0)
    state = layer.init_state(case.in_shape)
    new, out = layer(state, jnp.zeros(case.in_shape))
    rest = jnp.asarray(getattr(layer, "rest", 0.0))
    potential = state.v if hasattr(state, "v") else state.h
    allclose(new, state)
    allclose(potential, jnp.broadcast_to(rest, potential.shape))
    allclose(out, jnp.zeros(potential.shape) if case.spikes else potential)


@pytest.mark.parametrize("name", SPIKING)
def test_a_spiking_layer_fires_spikes_of_zero_and_one(name, getkey):
    case = LAYERS[name]
    layer = case.make()
    state = layer.init_state(case.in_shape, getkey())
    trains = []
    for x in (0.0, 2.0, 2.0, 2.0, 2.0):
        state, out = layer(state, jnp.full(case.in_shape, x))
        trains.append(np.asarray(out))
    assert set(np.unique(trains)) == {0.0, 1.0}
    assert out.shape == jax.tree.leaves(state)[0].shape


def test_every_layer_is_in_the_table():
    tested = set()
    for case in LAYERS.values():

        def visit(node):
            tested.add(type(node))
            return False

        jax.tree.leaves(case.make(), is_leaf=visit)
    public = {
        value
        for value in vars(snn).values()
        if inspect.isclass(value) and issubclass(value, eqx.Module) and not inspect.isabstract(value)
        if any("__call__" in vars(base) for base in value.__mro__) and not issubclass(value, snn.AbstractMerge)
    }
    assert {snn.SimpleLIF, snn.LI, snn.Flatten, snn.SumPool1d, snn.Sequential} <= public
    assert not public - tested


def test_the_table_goes_through_every_reset():
    kinds = {
        (type(layer.reset), layer.reset.stop_gradient)
        for layer in (LAYERS[name].make() for name in SPIKING)
        if not isinstance(layer.reset, snn.NoReset)
    }
    resets = [
        value
        for value in vars(snn).values()
        if inspect.isclass(value) and issubclass(value, snn.AbstractReset) and not inspect.isabstract(value)
    ]
    assert snn.NoReset in {type(LAYERS[name].make().reset) for name in SPIKING}
    assert kinds == {(reset, stop) for reset in resets for stop in (True, False) if reset is not snn.NoReset}
