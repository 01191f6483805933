"""What is wrong with a call, or with the joints of a graph, is said in the words of the one who called."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from snnax import snn

nir = pytest.importorskip("nir")
import snnax.nir  # noqa: E402

ONES = np.ones(2)


def lif(tau=0.01):
    return nir.LIF(tau * ONES, ONES, 0 * ONES, ONES)


def graph(edges, **nodes):
    shape = np.array([2])
    nodes = {"in": nir.Input(shape), "out": nir.Output(shape), "a": lif(), **nodes}
    return nir.NIRGraph(nodes, edges, type_check=False)


def test_one_reset_holds_for_all_neurons_of_a_file():
    subtract = snn.SubtractReset()
    model = snn.Sequential(snn.SimpleLIF(0.9, reset=subtract), snn.SimpleLIF(0.9))
    message = r"'simplelif_1'.*`reset=SubtractReset\(\)` is one for all neurons of the file, and it has `reset=ResetTo"
    with pytest.raises(snnax.nir.NIRExportError, match=message) as caught:
        snnax.nir.to_nir(model, (3,), dt=1e-3, reset=subtract)
    assert "leaves the reset" not in str(caught.value)


def test_a_value_that_all_neurons_reset_to_is_one_for_all_too():
    model = snn.Sequential(snn.SimpleLIF(0.9, reset=snn.ResetToValue(-0.25)))
    with pytest.raises(snnax.nir.NIRExportError, match=r"`reset=ResetToValue\(value=0.5.*it has `reset=.*-0.25"):
        snnax.nir.to_nir(model, (3,), dt=1e-3, reset=snn.ResetToValue(0.5))
    terms = {"dt": 1e-3, "reset": snn.ResetToValue(-0.25)}
    back = snnax.nir.from_nir(snnax.nir.to_nir(model, (3,), **terms), **terms)
    assert back.nodes["simplelif_0"].reset == snn.ResetToValue(-0.25)


def test_a_step_of_one_time_constant_has_a_decay_of_zero_and_of_more_none():
    chain = [("in", "a"), ("a", "out")]
    for dt in (0.02, 1e-4, 0.003, 1 / 3):
        for tau in (dt, np.float32(dt), dt * (1 - 9e-7)):
            net = snnax.nir.from_nir(graph(chain, a=lif(tau)), dt=dt)
            assert 0 <= net.nodes["a"].decay_constants < 1e-7
            assert net.nodes["a"].gain == pytest.approx(1, rel=1e-6)
    with pytest.raises(snnax.nir.NIRImportError, match="`dt=0.02` is longer than the time constant 0.01999996 of the"):
        snnax.nir.from_nir(graph(chain, a=lif(0.02 * (1 - 2e-6))), dt=0.02)
    with pytest.raises(snnax.nir.NIRImportError, match="`dt=0.0001` is longer than the time constant 9.5e-05 of the"):
        snnax.nir.from_nir(graph(chain, a=lif(np.float32(9.5e-5))), dt=float(np.float32(1e-4)))


@pytest.mark.parametrize(
    "shape, message",
    [
        ((4,), r"network does not take inputs of the shape \(4,\): .*'linear_0'.*given an input of shape \(4,\)"),
        ((), r"does not take inputs of the shape \(\): .*'linear_0'"),
        ({"input": (5,)}, r"does not take inputs of the shape \{'input': \(5,\)\}: .*'linear_0'"),
        ({"eye": (3,)}, r"a shape for each of the inputs \('input',\)"),
        (3, r"`in_shape` must be whole numbers above 0, such as \(2, 32, 32\), got 3\."),
        ((3.0,), r"`in_shape` must be whole numbers above 0, .*got \(3.0,\)"),
        ((-3,), r"`in_shape` must be whole numbers above 0, .*got \(-3,\)"),
        ((True,), r"`in_shape` must be whole numbers above 0, .*got \(True,\)"),
    ],
)
def test_a_shape_that_the_network_does_not_take_is_named(shape, message, unchecked):
    model = snn.Sequential(eqx.nn.Linear(3, 2, key=jr.key(0)), snn.SimpleLIF(0.9))
    with pytest.raises(ValueError, match=f"^`nir.to_nir`: .*{message}"):
        snnax.nir.to_nir(model, shape, dt=1e-3)
    assert snnax.nir.to_nir(model, np.array([3]), dt=1e-3).nodes["input"].input_type["input"] == 3


def test_the_error_of_an_operation_on_a_wrong_shape_is_named_too():
    model = snn.Sequential(eqx.nn.Lambda(lambda x: x @ jnp.ones((3, 2))))
    with pytest.raises(ValueError, match=r"`nir.to_nir`: the network does not take .*dot_general(?s:.*)'lam") as caught:
        snnax.nir.to_nir(model, (4,), dt=1e-3)
    assert "For simplicity" not in str(caught.value)


def test_a_place_that_cannot_be_written_to_is_named_as_it_was_given(tmp_path):
    model = snn.Sequential(snn.SimpleLIF(0.9))
    with pytest.raises(FileNotFoundError, match=r"`nir.write`: there is no folder '.*none' for '.*none/x.nir'. Make"):
        snnax.nir.write(tmp_path / "none/x.nir", model, (3,), dt=1e-3)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match=r"`nir.write`: '.*folder' is a folder. Give the path of a file in it"):
        snnax.nir.write(tmp_path / "folder", model, (3,), dt=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


IN_VAIN = {
    "output": ([("in", "a")], {}, r"no input reaches the nodes \['out'\]. Add edges to them, or leave them out"),
    "node": ([("in", "a"), ("a", "out")], {"dead": lif()}, r"no input reaches the nodes \['dead'\]"),
    "source": ([("in", "a"), ("a", "out"), ("dead", "a")], {"dead": lif()}, r"no input reaches the nodes \['dead'\]"),
    "all": ([("a", "out")], {}, r"no input reaches the nodes \['out', 'a'\]"),
    "input": (
        [("in", "a"), ("a", "out")],
        {"ear": nir.Input(np.array([2]))},
        r"the inputs \['ear'\] are connected to nothing. Add edges from them",
    ),
}


@pytest.mark.parametrize("name", IN_VAIN)
def test_a_node_that_nothing_reaches_is_refused_by_name(name):
    edges, nodes, message = IN_VAIN[name]
    with pytest.raises(snnax.nir.NIRImportError, match=f"`nir.from_nir`: the outermost graph: .*{message}"):
        snnax.nir.from_nir(graph(edges, **nodes), dt=1e-3)
    if name != "input":
        outer = graph([("in", "a"), ("a", "out")], a=graph(edges, **nodes))
        with pytest.raises(snnax.nir.NIRImportError, match=f"`nir.from_nir`: node 'a': .*{message}"):
            snnax.nir.from_nir(outer, dt=1e-3)


def test_values_that_no_reader_takes_are_not_written(tmp_path):
    diverged = eqx.tree_at(lambda one: one.weight, eqx.nn.Linear(3, 3, key=jr.key(0)), jnp.full((3, 3), jnp.nan))
    for layer, shape, message in (
        (snn.Sequential(diverged), (3,), r"node 'sequential_0/linear_0' \(Affine\): `weight` must be finite"),
        (snn.SimpleLIF(0.9, reset=snn.ResetToValue(1.0)), (3,), r"\(LIF\): `v_threshold` must be at or above `v_rese"),
        (snn.Flatten(), (), r"\(Flatten\): the axes 0 to -1 are none of"),
    ):
        with pytest.raises(snnax.nir.NIRExportError, match=f"^`nir.to_nir`: .*{message}"):
            snnax.nir.write(tmp_path / "x.nir", snn.Sequential(layer), shape, dt=1e-3)
    assert not [*tmp_path.iterdir()]


def test_a_long_delay_in_single_precision_is_a_whole_number_of_steps():
    def steps(delay, dt):
        return snnax.nir.from_nir(graph([("in", "a"), ("a", "out")], a=nir.Delay(delay * ONES)), dt=dt).nodes["a"].delay

    for n in (1, 3, 53_000, 777_777):
        assert steps(np.float32(n * 1e-4), 1e-4) == n
    with pytest.raises(snnax.nir.NIRImportError, match="delay of 5.30005 s is 53000.5 steps of `dt=0.0001`, which is"):
        steps(5.30005, 1e-4)
    with pytest.raises(snnax.nir.NIRImportError, match="delay of 0.0001002 s is 1.002 steps of `dt=0.0001`, which is"):
        steps(1.002e-4, 1e-4)
