"""The table of a network: what it says of layers, against numbers by hand."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import LAYERS, linear

import snnax.snn as snn


def conv(n_in, n_out, **kwargs):
    return eqx.nn.Conv2d(n_in, n_out, 3, key=jr.key(0), **kwargs)


def network():
    return snn.Sequential(
        conv(2, 8, stride=2),
        snn.BatchNorm(8),
        snn.LIF([0.9, jnp.array(0.8)], refractory=1),
        snn.Residual(
            snn.Sequential(
                conv(8, 8, padding=1, groups=2),
                snn.Recurrent(snn.SimpleLIF(0.9), conv(8, 8, padding=1, use_bias=False)),
            )
        ),
        eqx.nn.ConvTranspose2d(8, 4, 2, stride=2, key=jr.key(0)),
        snn.Flatten(),
        snn.Graph(
            {"fc": linear(4 * 14 * 14, 3), "li": snn.SimpleLI(snn.Fixed(jnp.full((3,), 0.9)))},
            [("input", "fc"), ("fc", "li"), snn.Edge("li", "li", delay=2)],
            outputs=("li",),
        ),
    )


def test_every_layer_has_its_line():
    found = snn.summary(network(), (2, 16, 16))
    maps = (8, 7, 7)
    lines = [
        # name, kind, trained, fixed, state, output, operations
        ("", "snn.Sequential", 0, 0, 1, None, 0),
        ("0", "Conv2d", 8 * 2 * 9 + 8, 0, 0, maps, 8 * 2 * 9 * 49),
        ("1", "snn.BatchNorm", 16, 16, 0, maps, 0),
        ("2", "snn.LIF", 1, 0, 3 * 8 * 49, maps, 0),
        ("3", "snn.Residual", 0, 0, 0, maps, 0),
        ("3.0", "snn.Sequential", 0, 0, 1, maps, 0),
        ("3.0.0", "Conv2d", 8 * 4 * 9 + 8, 0, 0, maps, 8 * 4 * 9 * 49),
        ("3.0.1", "snn.Recurrent", 0, 0, 8 * 49, maps, 0),
        ("3.0.1.neuron", "snn.SimpleLIF", 0, 0, 8 * 49, maps, 0),
        ("3.0.1.synapse", "Conv2d", 8 * 8 * 9, 0, 0, maps, 8 * 8 * 9 * 49),
        ("3.1", "Identity", 0, 0, 0, maps, 0),
        ("4", "ConvTranspose2d", 8 * 4 * 4 + 4, 0, 0, (4, 14, 14), 8 * 4 * 4 * 49),
        ("5", "snn.Flatten", 0, 0, 0, (784,), 0),
        ("6", "snn.Graph", 0, 0, 1 + 2 * 3, (3,), 0),
        ("6.fc", "Linear", 784 * 3 + 3, 0, 0, (3,), 784 * 3),
        ("6.li", "snn.SimpleLI", 0, 3, 3, (3,), 0),
    ]
    assert [dataclasses.astuple(line) for line in found.layers] == lines
    assert found.trained == sum(line[2] for line in lines)
    assert found.fixed == 19 and found.operations == sum(line[6] for line in lines)


def test_totals_are_those_of_the_network():
    model = network()
    found = snn.summary(model, (2, 16, 16))
    states = model.init_state((2, 16, 16))
    assert found.state == sum(leaf.size for leaf in jax.tree.leaves(states))
    trained = eqx.filter(model, snn.trainable(model))
    assert found.trained == sum(leaf.size for leaf in jax.tree.leaves(trained))
    assert found.trained + found.fixed == sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_array)))


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_of_the_battery_is_summed_up(name):
    case = LAYERS[name]
    model = snn.Sequential(case.make())
    found = snn.summary(model, case.in_shape)
    states = jax.eval_shape(lambda key: model.init_state(case.in_shape, key), jr.key(0))
    assert found.state == sum(leaf.size for leaf in jax.tree.leaves(states))
    assert all(line.state >= 0 and line.trained >= 0 and line.fixed >= 0 for line in found.layers)
    _, outs = jax.eval_shape(lambda s, x, key: model(s, x, key), states, jnp.ones((6, *case.in_shape)), jr.key(0))
    assert found.layers[1].out_shape == jax.tree.leaves(outs)[-1].shape[1:]


def test_operations_are_those_of_matrix_products_and_where_they_are_not_known_that_is_said():
    class Mixing(eqx.Module):
        weight: jax.Array

        def __call__(self, x):
            return self.weight @ jnp.tanh(self.weight @ x)

    model = snn.Sequential(
        eqx.nn.WeightNorm(linear(4, 6)),
        snn.WeightStandardised(linear(6, 6)),
        eqx.nn.MLP(6, 5, 7, 1, key=jr.key(0)),
        eqx.nn.LayerNorm(5),
        eqx.nn.Lambda(lambda x: jnp.concatenate([x, x, x])),
        Mixing(jnp.ones((15, 15))),
        snn.Delay(np.arange(15)),
    )
    found = snn.summary(model, (4,))
    assert [line.operations for line in found.layers[1:]] == [24, 36, 6 * 7 + 7 * 5, 0, 0, None, 0]
    assert found.operations == 24 + 36 + 77 and "not known" in str(found)
    assert found.layers[1].trained == 24 + 6 + 6 and found.layers[7].fixed == 15


def test_neurons_that_are_made_of_layers_have_one_line():
    cells = (
        (snn.SpikingLSTM(3, 5, key=jr.key(0)), (3,), 4 * 5 * (3 + 5)),
        (snn.SpikingGRU(3, 5, key=jr.key(0)), (3,), 3 * 5 * (3 + 5)),
        (snn.SpikingConvLSTM2d(2, 3, 3, key=jr.key(0)), (2, 4, 6), 4 * 3 * (2 + 3) * 9 * 24),
    )
    for cell, in_shape, operations in cells:
        found = snn.summary(snn.Sequential(cell), in_shape)
        assert len(found.layers) == 2 and found.operations == operations


def test_a_network_that_begins_with_an_embedding_has_the_right_totals():
    inner = snn.Graph(
        {"words": eqx.nn.Embedding(10, 4, key=jr.key(0)), "lif": snn.LIF([0.9, 0.9])},
        [("input", "words"), ("words", "lif")],
        outputs=("lif",),
    )
    both = snn.Graph(
        {"a": inner, "b": snn.Sequential(inner, snn.SimpleLI(0.9))},
        [("input", "a"), ("input", "b")],
        outputs=("a", "b"),
    )
    for model in (inner, snn.Sequential(inner, snn.SimpleLI(0.9)), both):
        found = snn.summary(model, ())
        words = [line for line in found.layers if line.kind == "Embedding"]
        assert words and all((line.trained, line.operations, line.out_shape) == (40, 0, (4,)) for line in words)
        states = model.init_state(())
        assert found.state == sum(leaf.size for leaf in jax.tree.leaves(states))
        assert all(line.state >= 0 for line in found.layers)


def test_several_inputs_have_a_shape_each():
    graph = snn.Graph(
        {"a": linear(3, 2), "b": linear(4, 2)},
        [("left", "a"), ("right", "b"), ("a", "b")],
        inputs=("left", "right"),
        outputs=("b",),
        merge={"b": snn.Concatenate()},
    )
    graph = eqx.tree_at(lambda g: g.nodes["b"], graph, linear(6, 2))
    found = snn.summary(graph, {"left": (3,), "right": (4,)})
    assert [(line.name, line.operations) for line in found.layers[1:]] == [("a", 6), ("b", 12)]


def test_it_prints_as_a_table():
    lines = str(snn.summary(network(), (2, 16, 16))).splitlines()
    assert len({len(line) for line in lines if line.startswith("-")}) == 1 and len(lines) == 2 + 16 + 2
    assert lines[0].split()[:3] == ["layer", "kind", "trained"]
    assert lines[2].startswith("(network)")
    assert lines[3].split() == ["0", "Conv2d", "152", "0", "0", "(8,", "7,", "7)", "7,056"]
    assert lines[-1].split()[0] == "total"
    ends = {len(line) for line in lines[2:] if not line.startswith("-")}
    assert len(ends) == 1


def test_what_is_no_network_is_refused(unchecked):
    with pytest.raises(TypeError, match="`snn.summary`: the model must be a `snn.Sequential` or a `snn.Graph`"):
        snn.summary(linear(3, 2), (3,))
    with pytest.raises(TypeError, match="takes the shape of one input"):
        snn.summary(snn.Sequential(linear(3, 2)), 3)
