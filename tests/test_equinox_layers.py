"""Every layer of `equinox.nn` that has no state works inside a network, and which ones have been tried is checked."""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import allclose

import snnax.snn as snn

# `Chunked` runs blocks layer by layer: where blocks do not matter, these say all.
PLANS = [snn.StepByStep(), snn.LayerByLayer()]


def chains():
    """Layers, and the shape of their input."""

    def key(i):
        return jr.fold_in(jr.key(5), i)

    vector = [
        eqx.nn.Linear(4, 6, key=key(0)),
        eqx.nn.LayerNorm(6),
        eqx.nn.RMSNorm(6),
        eqx.nn.Identity(),
        eqx.nn.Lambda(jax.nn.softplus),
        eqx.nn.PReLU(0.2),
        eqx.nn.MLP(6, 5, 7, 1, key=key(1)),
        eqx.nn.Sequential([eqx.nn.Linear(5, 5, key=key(2)), eqx.nn.Lambda(jax.nn.tanh)]),
        eqx.nn.WeightNorm(eqx.nn.Linear(5, 4, key=key(3))),
        eqx.nn.Dropout(0.5, inference=True),
        eqx.nn.Lambda(lambda x: x[None]),
        eqx.nn.RotaryPositionalEmbedding(4),
        snn.Flatten(),
    ]
    line = [
        eqx.nn.Conv1d(2, 4, 3, padding=1, key=key(4)),
        eqx.nn.GroupNorm(2, 4),
        eqx.nn.MaxPool1d(2),
        eqx.nn.AvgPool1d(2),
        eqx.nn.ConvTranspose1d(4, 2, 3, key=key(5)),
        eqx.nn.AdaptiveMaxPool1d(5),
        eqx.nn.Conv(1, 2, 3, 2, key=key(6)),
        eqx.nn.ConvTranspose(1, 3, 2, 2, key=key(7)),
        eqx.nn.Pool(0.0, jax.lax.add, 1, 2),
        eqx.nn.AdaptivePool(3, 1, jnp.max),
        eqx.nn.AdaptiveAvgPool1d(2),
    ]
    image = [
        eqx.nn.WeightNorm(eqx.nn.Conv2d(2, 3, 2, key=key(8))),
        eqx.nn.Conv2d(3, 3, 1, key=key(9)),
        eqx.nn.MaxPool2d(2),
        eqx.nn.AvgPool2d(2),
        eqx.nn.ConvTranspose2d(3, 2, 2, key=key(10)),
        eqx.nn.AdaptiveMaxPool2d(2),
        eqx.nn.AdaptiveAvgPool2d(1),
    ]
    volume = [
        eqx.nn.Conv3d(1, 2, 2, key=key(11)),
        eqx.nn.MaxPool3d(2),
        eqx.nn.ConvTranspose3d(2, 1, 2, key=key(12)),
        eqx.nn.AvgPool3d(2),
        eqx.nn.AdaptiveMaxPool3d(2),
        eqx.nn.AdaptiveAvgPool3d(1),
    ]
    return {
        "vector": (vector, (4,)),
        "line": (line, (2, 7)),
        "image": (image, (2, 5, 5)),
        "volume": (volume, (1, 4, 4, 4)),
    }


def by_loop(layers, xs):
    """What a chain of layers without state gives, one layer and one step at a time."""
    outs = []
    for layer in layers:
        xs = jnp.stack([layer(x) for x in xs])
        outs.append(xs)
    return tuple(outs)


@pytest.mark.parametrize("name", chains())
def test_every_stateless_layer_of_equinox_works_inside(name, getkey):
    layers, in_shape = chains()[name]
    model = snn.Sequential(*layers, snn.SimpleLI(0.5))
    xs = jr.normal(getkey(), (2, *in_shape))
    states = model.init_state(in_shape)

    @eqx.filter_jit
    def everything(model, xs):
        return [model(states, xs, plan=plan)[1] for plan in PLANS], by_loop(model.layers[:-1], xs)

    results, expected = everything(model, xs)
    for outs in results:
        allclose(outs[:-1], expected)
        allclose(outs[-1][1], 0.5 * expected[-1][0] + expected[-1][1])
    assert all(np.any(out != 0) for out in expected)


# In test_sequential.py, as it takes whole numbers. So is dropout in training.
ELSEWHERE = {eqx.nn.Embedding}
# They take several arrays, not one at each step: call them in a module of your own.
SEVERAL_INPUTS = (eqx.nn.GRUCell, eqx.nn.LSTMCell, eqx.nn.MultiheadAttention)
NO_LAYERS = {eqx.nn.StatefulLayer, eqx.nn.StateIndex, eqx.nn.Shared}
# Refused by name: test_bad_input.py.
STATEFUL = {eqx.nn.BatchNorm, eqx.nn.SpectralNorm}


def test_no_layer_of_equinox_is_left_out():
    modules = {kind for kind in vars(eqx.nn).values() if inspect.isclass(kind) and issubclass(kind, eqx.Module)}
    tried = {type(layer) for layers, _ in chains().values() for layer in layers}
    assert modules - tried == ELSEWHERE | set(SEVERAL_INPUTS) | NO_LAYERS | STATEFUL


@pytest.mark.parametrize("kind", SEVERAL_INPUTS, ids=lambda kind: kind.__name__)
def test_a_layer_of_several_inputs_is_refused_by_name(kind):
    layer = kind(2, 4, key=jr.key(0))
    with pytest.raises(TypeError, match=f"(?s)missing .* required positional.*in layer 0, `{kind.__name__}`"):
        snn.Sequential(layer).init_state((3, 4) if kind is eqx.nn.MultiheadAttention else (2,))


def test_a_spectral_normalisation_is_refused_by_name(unchecked):
    norm = eqx.nn.SpectralNorm(eqx.nn.Linear(3, 4, key=jr.key(0)), "weight", key=jr.key(1))
    with pytest.raises(TypeError, match="layer 0, `SpectralNorm`, keeps its state in an `eqx.nn.State`"):
        snn.Sequential(norm)
