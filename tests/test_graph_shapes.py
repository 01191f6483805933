"""What the shapes of a graph follow from, and the messages of graphs whose parts do not fit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

import snnax.snn as snn


def integrators(*names):
    return {name: snn.SimpleLI(0.9) for name in names}


def two_inputs():
    return snn.Graph(integrators("a"), [("x", "a"), ("y", "a")], inputs=("x", "y"), outputs=("a",))


def two_outputs():
    return snn.Graph(integrators("x", "y"), [("input", "x"), ("x", "y")], outputs=("x", "y"))


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
