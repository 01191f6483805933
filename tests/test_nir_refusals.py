"""What has no meaning in NIR, or in a NIR graph, is refused by name, with what to do."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from snnax import snn
from snnax.functional import surrogate

nir = pytest.importorskip("nir")
import snnax.nir  # noqa: E402


class Own(snn.StatefulLayer):
    def init_state(self, in_shape, key=None):
        return None

    def __call__(self, state, x, *, key=None):
        return state, x


UNSAYABLE = {
    "no node": (lambda: Own(), "'own_0', a `Own`: NIR has no node for it"),
    "ALIF": (lambda: snn.ALIF(0.9), "a `ALIF`: NIR has no node for it"),
    "function": (lambda: eqx.nn.Lambda(jnp.tanh), "a `Lambda`: NIR has no node for it"),
    "subtraction": (lambda: snn.SimpleLIF(0.9, reset=snn.SubtractReset()), "`to_nir\\(..., reset=SubtractReset"),
    "refractory": (lambda: snn.SimpleLIF(0.9, refractory=2), "no refractory time, and it has `refractory=2`"),
    "initial": (lambda: snn.SimpleLIF(0.9, init_fn=jnp.zeros(3)), "no initial potentials, and it has an `init_fn`"),
    "noise": (
        lambda: snn.SimpleLIF(0.9, spike_fn=surrogate.EscapeNoise(5.0)),
        "`EscapeNoise`, gives something else than 1",
    ),
    "levels": (lambda: snn.SimpleLIF(0.9, spike_fn=surrogate.MultiLevel(3)), "`MultiLevel`, gives"),
    "relaxed": (
        lambda: snn.Threshold(spike_fn=surrogate.Relaxed(surrogate.Sigmoid())),
        "`Relaxed`, gives something else",
    ),
    "leak": (lambda: snn.SimpleIAF(leak=0.1), "no linear leak"),
    "mixed": (lambda: snn.SimpleLIF(jnp.array([0.5, 1.0, 0.5])), "cannot share a node: make two layers of them"),
    "integrator that rests": (lambda: snn.SimpleLI(1.0, rest=0.5), "no time constant for a decay of 1"),
    "fraction": (lambda: snn.Delay(jnp.array(1.5)), "no whole numbers of steps"),
    "dropout": (lambda: eqx.nn.Dropout(0.5), "Export `eqx.nn.inference_mode"),
    "norm": (lambda: snn.BatchNorm(3, None), "Estimate its statistics, `snn.estimate_norms"),
    "concatenation": (
        lambda: snn.Parallel(snn.Delay(1), snn.Delay(2), merge=snn.Concatenate()),
        "adds the signals into a node",
    ),
}


@pytest.mark.parametrize("name", UNSAYABLE)
def test_what_nir_cannot_say_is_refused_by_name(name):
    make, message = UNSAYABLE[name]
    with pytest.raises(snnax.nir.NIRExportError, match=message):
        snnax.nir.to_nir(snn.Sequential(make()), (3, 2) if name == "norm" else (3,), dt=1e-3)


def test_layers_of_a_single_number_are_refused():
    model = snn.Sequential(eqx.nn.Linear(3, "scalar", key=jr.key(0)), snn.SimpleLIF(0.9))
    with pytest.raises(snnax.nir.NIRExportError, match='features are "scalar"'):
        snnax.nir.to_nir(model, (3,), dt=1e-3)


def test_pooling_and_convolution_that_pad_unevenly_are_refused():
    for layer in (
        eqx.nn.Conv2d(1, 1, 3, padding=((1, 0), (0, 0)), key=jr.key(0)),
        eqx.nn.Conv2d(1, 1, 3, padding=1, padding_mode="REFLECT", key=jr.key(0)),
        snn.SumPool2d(2, 2, ((0, 1), (0, 0))),
        eqx.nn.AvgPool2d(2, 2, use_ceil=True),
    ):
        with pytest.raises(snnax.nir.NIRExportError, match="pad"):
            snnax.nir.to_nir(snn.Sequential(layer), (1, 6, 6), dt=1e-3)


def test_a_refusal_names_the_place_inside_of_inner_graphs():
    model = snn.Sequential(eqx.nn.Identity(), snn.Residual(snn.Sequential(Own())))
    with pytest.raises(snnax.nir.NIRExportError, match="node 'residual_1/branch_0/own_0'"):
        snnax.nir.to_nir(model, (3,), dt=1e-3)


def test_an_exponential_decay_of_zero_has_no_time_constant():
    model = snn.Sequential(snn.SimpleLIF(0.0))
    with pytest.raises(snnax.nir.NIRExportError, match="`discretisation=snnax.nir.ForwardEuler\\(\\)` has one"):
        snnax.nir.to_nir(model, (3,), dt=1e-3, discretisation=snnax.nir.ExponentialEuler())


def test_names_that_a_file_cannot_hold_are_refused():
    net = snn.Graph({"a/b": snn.SimpleLIF(0.9)}, [("input", "a/b")], outputs=("a/b",))
    with pytest.raises(snnax.nir.NIRExportError, match="'a/b'.*no `/`"):
        snnax.nir.to_nir(net, (3,), dt=1e-3)


def test_values_that_are_traced_and_wrong_terms_are_refused():
    model = snn.Sequential(snn.SimpleLIF(jnp.full(3, 0.9)))
    with pytest.raises(TypeError, match="are traced. Call it outside"):
        jax.jit(lambda m: jnp.zeros(len(snnax.nir.to_nir(m, (3,), dt=1e-3).nodes)))(model)
    for dt in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="`dt` must be a time step in seconds"):
            snnax.nir.to_nir(model, (3,), dt=dt)
    with pytest.raises(ValueError, match="`if_dt` must be"):
        snnax.nir.to_nir(model, (3,), dt=1e-3, if_dt=0.0)
    with pytest.raises(ValueError, match="a shape for each of the inputs"):
        snnax.nir.to_nir(model, {"eye": (3,)}, dt=1e-3)


def chain(*nodes, shape=(2,), names="abcdef"):
    """A NIR graph of nodes in a row."""
    inner = dict(zip(names, nodes, strict=False))
    everything = {"input": nir.Input(np.array(shape)), **inner, "output": nir.Output(np.array([1]))}
    order = list(everything)
    return nir.NIRGraph(everything, list(zip(order, order[1:], strict=False)), type_check=False)


def lif(n=2, **values):
    fields = {"tau": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0, **values}
    return nir.LIF(**{name: np.full(n, value) for name, value in fields.items()})


def conv2d(**changes):
    fields = {"input_shape": None, "weight": np.ones((1, 1, 2, 2)), "stride": 1, "padding": 0, "dilation": 1}
    return nir.Conv2d(**{**fields, "groups": 1, "bias": np.zeros(1), **changes})


MEANINGLESS = {
    "long step": (lambda: chain(lif(tau=1e-4)), "'a' \\(LIF\\).*longer than the time constant 0.0001 of the membrane"),
    "threshold": (
        lambda: chain(lif(v_threshold=-1.0, v_reset=-2.0)),
        "'a'.*`v_threshold` must be above 0.*Shift all potentials",
    ),
    "delay": (lambda: chain(nir.Delay(np.array([0.0015]))), "1.5 steps of `dt=0.001`.*a `dt` that divides it"),
    "long delay": (lambda: chain(nir.Delay(np.array([1e9, 1e9]))), "'a'.*more than 268435456 in all"),
    "stack": (lambda: chain(nir.Linear(np.ones((3, 2, 2)))), "'a'.*must be a matrix"),
    "rows": (
        lambda: chain(nir.Linear(np.ones((3, 2))), lif(4)),
        "'b'.*values have the shape \\(4,\\), but its input \\(3,\\)",
    ),
    "columns": (lambda: chain(nir.Linear(np.ones((3, 5)))), "do not fit each other.*'a'"),
    "rows that differ": (lambda: chain(nir.Scale(np.array([1.0, 2.0, 3.0]))), "do not fit each other.*'a'|'a'.*shape"),
    "axes": (lambda: chain(nir.Flatten(None, 3, 4)), "do not fit each other.*'a'"),
    "window": (lambda: chain(conv2d(weight=np.ones((1, 1, 9, 9))), shape=(1, 4, 4)), "'a'"),
    "padding": (
        lambda: chain(conv2d(weight=np.ones((99, 1, 2, 2)), bias=np.zeros(99), padding=(9000, 9000)), shape=(1, 4, 4)),
        "'a'.*gives an array of shape \\(99,",
    ),
}


@pytest.mark.parametrize("name", MEANINGLESS)
def test_a_graph_without_a_meaning_is_refused_by_name(name):
    make, message = MEANINGLESS[name]
    with pytest.raises(snnax.nir.NIRImportError, match=message):
        snnax.nir.from_nir(make(), dt=1e-3)


def test_a_cycle_without_a_neuron_is_refused_and_one_with_a_delay_is_not():
    for delay in (0.0, 0.002):
        nodes = {
            "input": nir.Input(np.array([2])),
            "w": nir.Scale(np.array([0.5, 0.5])),
            "d": nir.Delay(np.full(2, delay)),
            "output": nir.Output(np.array([2])),
        }
        edges = [("input", "w"), ("w", "d"), ("d", "w"), ("w", "output")]
        graph = nir.NIRGraph(nodes, edges, type_check=False)
        if delay:
            net = snnax.nir.from_nir(graph, dt=1e-3)
            _, outs = net(net.init_state((2,)), jnp.zeros((5, 2)).at[0].set(1.0))
            np.testing.assert_allclose(outs["w"][:, 0], [0.5, 0, 0.25, 0, 0.125])
        else:
            with pytest.raises(snnax.nir.NIRImportError, match="'d' -> 'w' -> 'd'|'w' -> 'd' -> 'w'.*Put a Delay"):
                snnax.nir.from_nir(graph, dt=1e-3)


def test_a_graph_inside_of_a_graph_has_one_input():
    inner = nir.NIRGraph(
        {"x": nir.Input(np.array([2])), "y": nir.Input(np.array([2])), "z": nir.Output(np.array([2]))},
        [("x", "z"), ("y", "z")],
        type_check=False,
    )
    with pytest.raises(snnax.nir.NIRImportError, match="'a'.*one Input and one Output here, got \\['x', 'y'\\]"):
        snnax.nir.from_nir(chain(inner), dt=1e-3)


def test_several_inputs_and_outputs_are_kept():
    nodes = {
        "x": nir.Input(np.array([2])),
        "y": nir.Input(np.array([2])),
        "sum": lif(),
        "direct": nir.Output(np.array([2])),
        "z": nir.Output(np.array([2])),
    }
    graph = nir.NIRGraph(nodes, [("x", "sum"), ("y", "sum"), ("sum", "z"), ("y", "direct")], type_check=False)
    net = snnax.nir.from_nir(graph, dt=1e-3, if_dt=1.0)
    shapes = {"x": (2,), "y": (2,)}
    xs = {"x": jnp.full((9, 2), 4.0), "y": jnp.full((9, 2), 7.0)}
    _, outs = net(net.init_state(shapes), xs)
    np.testing.assert_array_equal(outs["direct"], xs["y"])
    alone = snn.Sequential(snn.SimpleLIF(0.9, gain=0.1, threshold=np.nextafter(np.float32(1), 2)))
    np.testing.assert_array_equal(outs["z"], alone(alone.init_state((2,)), xs["x"] + xs["y"])[1][0])


def test_neurons_fire_above_the_threshold_of_nir_and_not_at_it():
    for node in (nir.IF(np.ones(1), np.full(1, 0.75)), nir.Threshold(np.full(1, 0.75)), nir.Threshold(np.zeros(1))):
        limit = float(np.ravel(getattr(node, "v_threshold", getattr(node, "threshold", None)))[0])
        above = np.nextafter(np.float32(limit), np.float32(1)) if limit else np.finfo(np.float32).tiny
        for x, spike in ((limit, 0.0), (above, 1.0)):
            net = snnax.nir.from_nir(chain(node, shape=(1,)), dt=1e-3, if_dt=1.0)
            _, outs = net(net.init_state((1,)), jnp.full((1, 1), x, jnp.float32))
            assert outs["a"][0, 0] == spike


def test_if_has_no_time_constant_and_takes_the_step_that_it_is_told():
    graph = chain(nir.IF(np.full(1, 2.0), np.full(1, 100.0)), nir.I(np.full(1, 3.0)), shape=(1,))
    net = snnax.nir.from_nir(graph, dt=1e-3)
    assert (net.nodes["a"].gain, net.nodes["b"].gain) == pytest.approx((2e-3, 3e-3))
    net = snnax.nir.from_nir(graph, dt=1e-3, if_dt=1.0)
    assert (net.nodes["a"].gain, net.nodes["b"].gain) == (2.0, 3.0)


def test_a_pair_of_ones_own_goes_before_the_librarys():
    class Doubled(snn.StatefulLayer):
        def init_state(self, in_shape, key=None):
            return None

        def __call__(self, state, x, *, key=None):
            return state, 2 * x

    pair = snnax.nir.Pair(
        Doubled,
        nir.Scale,
        lambda layer, shape, terms: nir.Scale(np.full(shape, 2.0)),
        lambda node, terms: Doubled() if np.all(node.scale == 2) else refuse(),
    )

    def refuse():
        raise snnax.nir.NotExpressible("not this one")

    model = snn.Sequential(Doubled(), snn.Scale(3.0))
    graph = snnax.nir.to_nir(model, (2,), dt=1e-3, pairs=[pair])
    back = snnax.nir.from_nir(graph, dt=1e-3, pairs=[pair])
    assert [type(node) for node in back.nodes.values()][:2] == [Doubled, snn.Scale]
    assert isinstance(snnax.nir.from_nir(graph, dt=1e-3).nodes["doubled_0"], snn.Scale)
    with pytest.raises(snnax.nir.NIRExportError, match="'doubled_0', a `Doubled`: NIR has no node for it"):
        snnax.nir.to_nir(model, (2,), dt=1e-3)
