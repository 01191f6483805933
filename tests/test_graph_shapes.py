"""What the shapes of a graph follow from, and the messages of graphs whose parts do not fit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import PLANS

import snnax.snn as snn


def integrators(*names):
    return {name: snn.SimpleLI(0.9) for name in names}


def two_inputs():
    return snn.Graph(integrators("a"), [("x", "a"), ("y", "a")], inputs=("x", "y"), outputs=("a",))


def two_outputs():
    return snn.Graph(integrators("x", "y"), [("input", "x"), ("x", "y")], outputs=("x", "y"))


@pytest.mark.parametrize("plan", PLANS, ids=str)
@pytest.mark.parametrize("rank", [1, 3])
def test_a_concatenation_that_closes_a_cycle_takes_its_size_from_the_layer_behind_it(rank, plan, getkey):
    shape = (2, 4, 4)[:rank]
    layer = eqx.nn.Linear(2 + 5, 5, key=getkey())
    if rank == 3:
        layer = eqx.nn.Conv2d(2 + 5, 5, 3, padding=1, key=getkey())
    net = snn.Graph(
        {"mix": layer, "lif": snn.SimpleLIF(0.8)},
        [("input", "mix"), ("mix", "lif"), snn.Edge("lif", "mix", delay=1)],
        outputs=("lif",),
        merge={"mix": snn.Concatenate()},
    )
    xs = 3 * jr.normal(getkey(), (10, *shape))
    _, outs = net(net.init_state(shape), xs, plan=plan)
    v = spikes = jnp.zeros((5, *shape[1:]))
    expected = []
    for x in xs:
        v = 0.8 * v + layer(jnp.concatenate([x, spikes]))
        spikes = (v >= 1).astype(float)
        v = v * (1 - spikes)
        expected.append(spikes)
    assert 0.02 < jnp.mean(jnp.stack(expected)) < 0.98
    np.testing.assert_array_equal(outs["lif"], jnp.stack(expected))


def test_a_concatenation_of_another_size_than_the_layer_takes_is_refused(getkey):
    net = snn.Graph(
        {"mix": eqx.nn.Linear(8, 5, key=getkey()), "lif": snn.SimpleLIF(0.8)},
        [("input", "mix"), ("mix", "lif"), snn.Edge("lif", "mix", delay=1)],
        outputs=("lif",),
        merge={"mix": snn.Concatenate()},
    )
    with pytest.raises(ValueError, match=r"node 'mix', `Linear`, takes an input of shape \(8,\), but .* makes \(7,\)"):
        net.init_state((2,))


def test_a_concatenation_that_closes_a_cycle_of_neurons_alone_is_refused():
    net = snn.Graph(
        integrators("a", "b"),
        [("input", "a"), ("a", "b"), snn.Edge("b", "a", delay=1)],
        outputs=("b",),
        merge={"a": snn.Concatenate()},
    )
    with pytest.raises(ValueError, match=r"inputs of \['a', 'b'\] cannot be told.*merge by `snn.Add\(\)`, or into"):
        net.init_state((3,))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: snn.Sequential(two_inputs()), r"layer 0, `Graph`, has the inputs \['x', 'y'\]. Inside of another"),
        (lambda: snn.Sequential(two_outputs(), snn.Flatten()), r"layer 0, `Graph`, has the outputs \['x', 'y'\]"),
        (lambda: snn.Parallel(two_inputs()), "branch 0, `Graph`, has the inputs"),
        (lambda: snn.Residual(two_outputs()), "branch 0, `Graph`, has the outputs"),
        (lambda: snn.Recurrent(two_outputs(), 1.0), "the neuron, `Graph`, has the outputs"),
        (lambda: snn.Graph({"n": two_outputs()}, [("input", "n")], outputs=("n",)), "node 'n', `Graph`, has the outp"),
        (lambda: snn.Graph({"n": two_inputs()}, [("input", "n")], outputs=("n",)), "node 'n', `Graph`, has the inputs"),
    ],
)
def test_an_inner_graph_with_several_inputs_or_outputs_is_refused(make, message):
    with pytest.raises(TypeError, match=message):
        make().init_state((3,))


@pytest.mark.parametrize(
    "edges, options, message",
    [
        (["ab"], {}, r"an edge is a pair of names, `\(source, target\)`, or .* got 'ab'"),
        ([("input", "a", "b")], {}, "an edge is a pair of names"),
        ([("input", 1)], {}, "`snn.Edge` connects nodes by name, got 1"),
        ([("input", "a")], {"outputs": ("c",)}, r"the output 'c' is none of the nodes \['a', 'b'\]"),
        ([("input", "a")], {"outputs": "b"}, r"`outputs` must be a tuple of names such as \(\"output\",\), got 'b'"),
        ([("input", "a")], {"inputs": ()}, r"`inputs` must be a tuple of names such as \(\"input\",\), got \(\)"),
        ([("input", "a")], {"merge": {"c": snn.Add()}}, r"`merge` names \['c'\], but the nodes are \['a', 'b'\]"),
        ([("input", "a")], {"merge": {"a": "sum"}}, r"`merge` of 'a' must be `snn.Add\(\)` or .*got 'sum'"),
    ],
)
def test_arguments_of_a_graph_that_make_no_sense_are_refused(edges, options, message, unchecked):
    with pytest.raises((TypeError, ValueError), match=message):
        snn.Graph(integrators("a", "b"), edges, **{"outputs": ("b",), **options})


def test_a_signal_of_another_dtype_than_waits_on_a_delayed_edge_is_refused():
    net = snn.Graph(
        {"a": eqx.nn.Linear(3, 3, key=jr.key(0))}, [("input", "a"), snn.Edge("a", "a", delay=1)], outputs=("a",)
    )
    with jax.numpy_dtype_promotion("standard"), pytest.raises(TypeError, match="'a -> a .delay 1.' holds float16"):
        net(net.init_state((3,)), jnp.ones((4, 3), jnp.float16))
