"""What goes out to NIR and comes back computes the same."""

from pathlib import Path

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from snnax import snn

nir = pytest.importorskip("nir")
import snnax.nir  # noqa: E402

T = 24


def draw(low, high):
    return lambda key, shape, dtype: jr.uniform(key, shape, dtype, low, high)


DECAY, GAIN, REST, THRESHOLD = draw(0.3, 0.97), draw(0.5, 1.5), draw(-0.2, 0.2), draw(0.4, 1.2)


def firing(shape):
    k1, k2 = jr.split(jr.key(3))
    reset = snn.ResetToValue(jr.uniform(k1, shape, minval=-0.3, maxval=0.1))
    return {"shape": shape, "key": k2, "threshold": THRESHOLD, "reset": reset}


def linear(n, m, key=0, **options):
    return eqx.nn.Linear(n, m, key=jr.key(key), **options)


def conv(*args, key=0, **options):
    return eqx.nn.Conv2d(*args, key=jr.key(key), **options)


# What is inside of a network, and the shape of its input.
LAYERS = {
    "SimpleLIF": lambda: (snn.SimpleLIF(DECAY, gain=GAIN, rest=REST, **firing((5,))), (5,)),
    "SimpleLIF, numbers": lambda: (snn.SimpleLIF(0.9, gain=0.7, threshold=0.8), (5,)),
    "SimpleLIF, unity": lambda: (snn.SimpleLIF(0.8, gain=snn.UnityGain(), threshold=0.3), (2, 3)),
    "SimpleLIF, no decay": lambda: (snn.SimpleLIF(1.0, gain=0.3), (5,)),
    "SimpleLIF, decay 0": lambda: (snn.SimpleLIF(0.0), (5,)),
    "LIF": lambda: (snn.LIF([DECAY, DECAY], gain=[GAIN, GAIN], rest=REST, **firing((5,))), (5,)),
    "LIF, no decay": lambda: (snn.LIF([1.0, 0.8], gain=0.3), (5,)),
    "SimpleIAF": lambda: (snn.SimpleIAF(gain=GAIN, **firing((5,))), (5,)),
    "IAF": lambda: (snn.IAF(DECAY, gain=[GAIN, GAIN], **firing((5,))), (5,)),
    "DoubleExpLIF": lambda: (snn.DoubleExpLIF([0.9, 0.8, 0.5], threshold=0.6), (5,)),
    "SimpleLI": lambda: (snn.SimpleLI(DECAY, (5,), gain=GAIN, rest=REST, key=jr.key(0)), (5,)),
    "SimpleLI, no decay": lambda: (snn.SimpleLI(1.0, gain=0.5), (5,)),
    "LI": lambda: (snn.LI([DECAY, DECAY], (5,), gain=GAIN, rest=REST, key=jr.key(0)), (5,)),
    "LI, no decay": lambda: (snn.LI([0.5, 1.0], gain=0.5), (5,)),
    "Affine": lambda: (linear(5, 3), (5,)),
    "Linear": lambda: (linear(5, 3, use_bias=False), (5,)),
    "Conv1d": lambda: (eqx.nn.Conv1d(2, 4, 3, 2, 1, 2, 2, key=jr.key(0)), (2, 11)),
    "Conv2d": lambda: (conv(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2), (4, 7, 9)),
    "Conv2d, same": lambda: (conv(1, 2, (3, 4), padding="SAME"), (1, 6, 7)),
    "Conv2d, no bias": lambda: (conv(1, 2, 3, use_bias=False), (1, 5, 5)),
    "SumPool2d": lambda: (snn.SumPool2d((2, 3), (1, 2), (1, 0)), (2, 6, 7)),
    "AvgPool2d": lambda: (eqx.nn.AvgPool2d((2, 3), (2, 2), ((1, 1), (0, 0))), (2, 6, 7)),
    "Flatten": lambda: (snn.Flatten(), (2, 3, 4)),
    "Flatten, two axes": lambda: (snn.Flatten(1, 2), (2, 3, 4)),
    "Delay": lambda: (snn.Delay(3), (5,)),
    "Delay, each": lambda: (snn.Delay([0, 1, 2, 5, 3]), (5,)),
    "Scale": lambda: (snn.Scale(jnp.array([0.5, -1.0, 2.0])), (3,)),
    "Threshold": lambda: (snn.Threshold(jnp.array([0.0, 0.5, -0.5])), (3,)),
    "Identity": lambda: (eqx.nn.Identity(), (3,)),
    "Dropout": lambda: (eqx.nn.Dropout(0.5, inference=True), (3,)),
    "BatchNorm": lambda: (trained_norm(snn.BatchNorm(3)), (3, 2, 2)),
    "BatchNorm of a line": lambda: (trained_norm(snn.BatchNorm(3)), (3, 4)),
    "ThresholdDependentBatchNorm": lambda: (
        trained_norm(snn.ThresholdDependentBatchNorm(3, threshold=0.5, alpha=0.7)),
        (3,),
    ),
    "Recurrent": lambda: (snn.Recurrent(snn.LIF([0.9, 0.8], gain=0.5), linear(5, 5)), (5,)),
    "Recurrent, one to one": lambda: (snn.Recurrent(snn.SimpleLIF(0.9), jnp.linspace(-1.0, 1.0, 5)), (5,)),
    "Recurrent, deep": lambda: (
        snn.Recurrent(snn.Sequential(linear(5, 4), snn.SimpleLIF(0.9, threshold=0.3)), linear(4, 5, 1)),
        (5,),
    ),
    "Residual": lambda: (snn.Residual(snn.Sequential(linear(5, 5), snn.SimpleLIF(0.9, threshold=0.3))), (5,)),
    "Residual, shortcut": lambda: (snn.Residual(linear(5, 3), linear(5, 3, 1)), (5,)),
    "Parallel": lambda: (snn.Parallel(snn.Delay(2), linear(4, 4), snn.SimpleLIF(0.9)), (4,)),
}


def trained_norm(norm):
    fixed = [jnp.array(values) for values in ([0.5, 1.0, 2.0], [0.1, 0.0, -0.2], [0.3, -0.2, 0.0], [1.0, 0.5, 2.0])]
    where = lambda m: (m.weight, m.bias, m.mean.value, m.variance.value, m.estimated)  # noqa: E731
    return eqx.nn.inference_mode(eqx.tree_at(where, norm, (*fixed, True)))


def run(model, shape, xs):
    """The output of a container."""
    outs = eqx.filter_jit(model)(model.init_state(shape), xs)[1]
    while isinstance(outs, (dict, tuple)):
        key, model = (-1, model[-1]) if isinstance(outs, tuple) else ((k := model.topology.outputs[0]), model.nodes[k])
        outs = outs[key]
    return np.asarray(outs)


def inputs(shape, key=0):
    return 1.5 * jr.normal(jr.key(key), (T, *shape)) + 0.4


def there_and_back(model, shape, path, **terms):
    snnax.nir.write(path, model, shape, **terms)
    return snnax.nir.from_nir(path, **terms)


def assert_equal(model, back, shape, key=0):
    xs = inputs(shape, key)
    expected, got = (run(one, shape, xs) for one in (model, back))
    assert np.any(expected != 0)
    if set(np.unique(expected)) <= {0.0, 1.0}:
        np.testing.assert_array_equal(got, expected)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_that_nir_can_express_comes_back_the_same(name, tmp_path):
    layer, shape = LAYERS[name]()
    model = snn.Sequential(layer)
    back = there_and_back(model, shape, tmp_path / "x.nir", dt=1e-3)
    assert_equal(model, back, shape)
    again = snnax.nir.from_nir(snnax.nir.to_nir(back, shape, dt=2.5e-4), dt=2.5e-4)
    assert_equal(model, again, shape)
    assert set(again.nodes) == set(back.nodes)


@pytest.mark.parametrize("kind", [snnax.nir.ForwardEuler, snnax.nir.ExponentialEuler, snnax.nir.ImpulseInvariant])
@pytest.mark.parametrize("reset", [None, snn.SubtractReset(), snn.DelayedSubtractReset(), snn.NoReset()])
def test_whatever_the_terms_are_the_same_ones_bring_the_network_back(kind, reset, tmp_path):
    options = {"threshold": 0.7} if reset is None else {"reset": reset, "threshold": 0.7}
    model = snn.Sequential(
        linear(4, 5), snn.LIF([0.9, 0.8], gain=0.4, **options), snn.SimpleIAF(gain=0.6, **options), snn.SimpleLI(0.7)
    )
    terms = {"dt": 1e-3, "discretisation": kind(), "reset": reset, "if_dt": 1.0}
    assert_equal(model, there_and_back(model, (4,), tmp_path / "x.nir", **terms), (4,))


def test_a_network_of_convolutions_comes_back_the_same(tmp_path):
    model = snn.Sequential(
        conv(2, 4, 3, padding=1),
        snn.LIF([0.9, 0.8], gain=0.5),
        snn.SumPool2d(2, 2),
        snn.Residual(snn.Sequential(conv(4, 4, 3, padding=1, key=1), snn.SimpleLIF(0.9, threshold=0.5))),
        snn.Flatten(),
        snn.Recurrent(snn.SimpleLIF(0.8, threshold=0.5), linear(64, 64)),
        linear(64, 3),
        snn.SimpleLI(0.9),
    )
    assert_equal(model, there_and_back(model, (2, 8, 8), tmp_path / "x.nir", dt=1e-3), (2, 8, 8))


NEURONS = [
    lambda key: snn.SimpleLIF(DECAY, (3,), gain=GAIN, threshold=THRESHOLD, key=key),
    lambda key: snn.LIF([DECAY, DECAY], (3,), gain=GAIN, threshold=THRESHOLD, key=key),
    lambda key: snn.SimpleIAF((3,), gain=GAIN, threshold=THRESHOLD, key=key),
    lambda key: snn.SimpleLI(DECAY, (3,), key=key),
    lambda key: eqx.nn.Linear(3, 3, key=key),
    lambda key: snn.Delay(1),
    lambda key: snn.Delay([0, 2, 1]),
    lambda key: snn.Sequential(eqx.nn.Linear(3, 3, key=key), snn.SimpleLIF(0.8, threshold=0.5)),
    lambda key: snn.Recurrent(snn.SimpleLIF(0.8, threshold=0.5), eqx.nn.Linear(3, 3, key=key)),
]


@st.composite
def plans(draw):
    """The kinds of some nodes, and edges with their delays, of which those that lead back are one step or more."""
    n = draw(st.integers(2, 6))
    names = [f"n{i}" for i in draw(st.permutations(range(n)))]
    kinds = {name: draw(st.integers(0, len(NEURONS) - 1)) for name in names}
    delays = {("input", names[0]): draw(st.integers(0, 1))}
    for i in range(1, n):
        source = draw(st.sampled_from(["input", *names[:i]]))
        delays[source, names[i]] = draw(st.sampled_from([0, 0, 0, 1, 2]))
    for _ in range(draw(st.integers(0, 4))):
        source, target = draw(st.integers(0, n - 1)), draw(st.integers(0, n - 1))
        low = 1 if source >= target else 0
        delays.setdefault((names[source], names[target]), draw(st.sampled_from([low, low, 1, 3])))
    return kinds, draw(st.permutations(sorted(delays.items())))


@hypothesis.given(plans())
@hypothesis.settings(max_examples=12, deadline=None)
def test_any_graph_comes_back_with_all_its_delays(plan):
    kinds, delays = plan
    nodes = {name: NEURONS[kind](jr.key(i)) for i, (name, kind) in enumerate(kinds.items())}
    graph = snn.Graph(nodes, [snn.Edge(a, b, delay=d) for (a, b), d in delays], outputs=tuple(nodes))
    terms = {"dt": 1e-3}
    there = snnax.nir.to_nir(graph, (3,), **terms)
    back = snnax.nir.from_nir(there, **terms)
    with jax.disable_jit():  # each graph would be compiled anew
        (_, expected), (_, got) = (one(one.init_state((3,)), inputs((3,))[:9]) for one in (graph, back))
    for name, node in graph.nodes.items():
        if not isinstance(node, (snn.Sequential, snn.Recurrent)):
            np.testing.assert_allclose(got[name], expected[name], rtol=1e-6, atol=1e-6, err_msg=name)
    again = snnax.nir.to_nir(back, (3,), **terms)
    assert set(again.nodes) == set(there.nodes) and set(again.edges) == set(there.edges)


def test_inputs_outputs_and_names_are_kept(tmp_path):
    net = snn.Graph(
        {"a.b": snn.SimpleLIF(0.9), "mixed": linear(3, 2), "spikes": snn.SimpleLIF(0.8, threshold=0.3)},
        [("eye", "a.b"), ("ear", "mixed"), ("a.b", "mixed"), ("mixed", "spikes")],
        inputs=("eye", "ear"),
        outputs=("spikes", "a.b"),
    )
    shapes = {"eye": (3,), "ear": (3,)}
    back = there_and_back(net, shapes, tmp_path / "x.nir", dt=1e-3)
    assert set(back.topology.inputs) == set(shapes)
    assert set(back.topology.outputs) == {"output_spikes", "output_a.b"}
    xs = {name: inputs((3,), i) for i, name in enumerate(shapes)}
    (_, expected), (_, got) = (one(one.init_state(shapes), xs) for one in (net, back))
    for name in net.nodes:
        np.testing.assert_array_equal(got[name], expected[name])


def test_parameters_of_neurons_come_in_as_constants_and_weights_as_arrays_that_are_trained():
    model = snn.Sequential(linear(4, 5), snn.SimpleLIF(DECAY, (5,), key=jr.key(0)), snn.SimpleLIF(jnp.full(5, 0.5)))
    back = snnax.nir.from_nir(snnax.nir.to_nir(model, (4,), dt=1e-3), dt=1e-3)
    trained = [leaf for leaf in jax.tree.leaves(eqx.filter(back, snn.trainable(back)))]
    assert sorted(leaf.shape for leaf in trained) == [(5,), (5, 4)]
    assert isinstance(back.nodes["simplelif_1"].decay_constants, snn.Fixed)
    assert back.nodes["simplelif_2"].decay_constants == 0.5


def test_gradients_flow_through_what_came_in():
    model = snn.Sequential(linear(4, 5), snn.SimpleLIF(0.9, threshold=0.3), linear(5, 2), snn.SimpleLI(0.9))
    back = snnax.nir.from_nir(snnax.nir.to_nir(model, (4,), dt=1e-3), dt=1e-3)

    def loss(net):
        return jnp.sum(net(net.init_state((4,)), inputs((4,)))[1]["output"] ** 2)

    grad = eqx.filter_grad(loss)(back)
    assert np.any(grad.nodes["linear_0"].weight != 0)


def test_nir_itself_reads_what_goes_out_and_gives_it_back_the_same(tmp_path):
    model = snn.Sequential(conv(1, 2, 3), snn.LIF([0.9, 0.8]), snn.Flatten(), linear(18, 3), snn.SimpleLI(0.9))
    snnax.nir.write(tmp_path / "x.nir", model, (1, 5, 5), dt=1e-3)
    theirs = nir.read(tmp_path / "x.nir")
    assert_equal(model, snnax.nir.from_nir(theirs, dt=1e-3), (1, 5, 5))


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    model = snn.Sequential(snn.SimpleLIF(0.9))
    snnax.nir.write(tmp_path / "x.nir", model, (3,), dt=1e-3)
    before = (tmp_path / "x.nir").read_bytes()

    def broken(path, graph):
        Path(path).write_bytes(b"half")
        raise OSError("no space")

    monkeypatch.setattr(nir, "write", broken)
    with pytest.raises(OSError, match="no space"):
        snnax.nir.write(tmp_path / "x.nir", model, (3,), dt=1e-3)
    assert (tmp_path / "x.nir").read_bytes() == before and len(list(tmp_path.iterdir())) == 1
