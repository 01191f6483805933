"""Every value of every node of a NIR graph is checked, which the package `nir` does not do."""

import numpy as np
import pytest

nir = pytest.importorskip("nir")
from snnax.nir import NIRImportError, check_nodes, read  # noqa: E402

ONES = np.ones(3, np.float32)
KERNEL = np.ones((4, 1, 3, 5), np.float32)


def graph(node, after=None):
    nodes = {"in": nir.Input(np.array([3])), "a": node, "out": nir.Output(after)}
    return nir.NIRGraph(nodes, [("in", "a"), ("a", "out")], type_check=False)


def lif(**changes):
    return nir.LIF(**{"tau": ONES, "r": ONES, "v_leak": 0 * ONES, "v_threshold": ONES, **changes})


def conv(**changes):
    given = {"input_shape": (10, 12), "weight": KERNEL, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    return nir.Conv2d(**{**given, "bias": np.ones(4, np.float32), **changes})


def with_fields(node, **fields):
    """A node whose fields are set afterwards, which no constructor sees."""
    for name, value in fields.items():
        setattr(node, name, value)
    return node


# What nir 1.0.8 accepts.
NO_MEANING = {
    "tau of -1": (lambda: lif(tau=-ONES), "`tau` must be a positive time constant, in seconds, got -1.0 at .0."),
    "tau of 0": (lambda: lif(tau=0 * ONES), "`tau` must be a positive time constant"),
    "r nan": (lambda: lif(r=np.nan * ONES), "`r` must be finite, also in float32, got nan"),
    "threshold of -3": (lambda: lif(v_threshold=-3 * ONES), "`v_threshold` must be at or above `v_reset`"),
    "reset above the threshold": (lambda: lif(v_reset=2 * ONES), "`v_threshold` must be at or above `v_reset`"),
    "if threshold": (lambda: nir.IF(ONES, -ONES), "`v_threshold` must be at or above `v_reset`"),
    "w_in of more axes": (lambda: nir.CubaLI(ONES, ONES, ONES, ONES, np.ones((2, 1))), r"`w_in` \(2, 3\)"),
    "bias of another size": (lambda: nir.Affine(np.ones((3, 2)), np.ones(2)), r"`bias` must have the shape \(3,\)"),
    "complex weight": (lambda: nir.Linear(1j * np.ones((3, 2))), "`weight` must be an array of numbers"),
    "objects": (lambda: nir.Scale(np.array([None] * 3)), "`scale` must be an array of numbers"),
    "delay of -1": (lambda: nir.Delay(-ONES), "`delay` must be a delay of 0 or more"),
    "same with a stride": (lambda: conv(padding="same", stride=2), "'same' has no agreed meaning with a stride"),
    "kernel too large": (
        lambda: conv(input_shape=(10, 4)),
        r"kernel covers \[3, 5\], more than `input_shape` \(10, 4\)",
    ),
    "groups": (lambda: conv(groups=3), "`groups` must divide the 4 channels that come out, got 3"),
    "kernel of 3 axes": (lambda: conv(input_shape=None, weight=KERNEL[0]), "`weight` must have 4 axes"),
    "conv without bias": (lambda: conv(bias=None), "Conv2d needs `bias`"),
    "window": (lambda: nir.SumPool2d((0, 2), (1, 1), (0, 0)), "`kernel_size` must be from 1 to 65536, got 0"),
    "window in words": (lambda: nir.AvgPool2d("two", 1, 0), "`kernel_size` must be a whole number or 2 of them"),
    "flatten": (lambda: nir.Flatten(None, start_dim="first"), "`start_dim` must be the number of an axis"),
    "list set afterwards": (lambda: with_fields(lif(), tau=[[1.0], [1.0, 2.0]]), "ValueError"),
    "metadata": (lambda: with_fields(lif(), metadata=3), "`metadata` must be a dictionary, got 3"),
}


@pytest.mark.parametrize("name", NO_MEANING)
def test_a_node_without_a_meaning_is_refused_by_name_at_any_depth(name):
    make, message = NO_MEANING[name]
    with pytest.raises(NIRImportError, match=f"^`nir.check_nodes`: node 'a'.*{message}"):
        check_nodes(graph(make()))
    with pytest.raises(NIRImportError, match=f"^`nir.check_nodes`: node 'a/a/a'.*{message}"):
        check_nodes(graph(graph(graph(make()))))


def test_one_number_stands_for_all_neurons():
    """nir's constructors take no Python numbers, and arrays without axes only for all parameters."""
    with pytest.raises(AttributeError):
        nir.LI(0.01, 1.0, 0.0)
    with pytest.raises(AssertionError):
        nir.LI(ONES, np.array(1.0), 0 * ONES)
    node = with_fields(lif(), tau=0.02, v_leak=np.array(0.5), r=1)
    found = check_nodes(graph(node)).nodes["a"]
    np.testing.assert_array_equal(found.tau, [0.02] * 3)
    np.testing.assert_array_equal(found.v_leak, [0.5] * 3)
    np.testing.assert_array_equal(found.input_type["input"], [3])
    assert node.tau == 0.02  # the graph that was given stays as it is
    alone = check_nodes(graph(nir.I(np.array(2.0)))).nodes["a"]
    assert alone.r.shape == () and alone.r == 2
    bias = with_fields(nir.Affine(np.ones((2, 3, 4)), ONES), bias=0.5)
    np.testing.assert_array_equal(check_nodes(graph(bias)).nodes["a"].bias, np.full((2, 3), 0.5))


def test_a_file_may_mix_numbers_and_arrays(tmp_path):
    import h5py

    nir.write(tmp_path / "a.nir", graph(lif(), np.array([3])))
    with h5py.File(tmp_path / "a.nir", "r+") as file:
        del file["node/nodes/a/r"]
        file["node/nodes/a/r"] = 2.0
    np.testing.assert_array_equal(read(tmp_path / "a.nir").nodes["a"].r, [2.0] * 3)
    with pytest.raises(AssertionError):
        nir.read(tmp_path / "a.nir", type_check=False)


def test_integers_pairs_and_tuples_are_of_one_kind():
    for stride, padding in [(2, 1), ((2, 2), (1, 1)), (np.array([2, 2]), np.array([1, 1])), (np.int64(2), [1, 1])]:
        found = check_nodes(graph(conv(stride=stride, padding=padding, groups=np.int64(2)))).nodes["a"]
        assert (found.stride, found.padding, found.dilation, found.groups) == ((2, 2), (1, 1), (1, 1), 2)
        assert found.input_shape == (10, 12) and type(found.groups) is int
    found = check_nodes(graph(nir.Conv1d(np.int64(9), KERNEL[0], np.int64(2), "valid", 1, 1, np.ones(1)))).nodes["a"]
    assert (found.input_shape, found.stride, found.padding) == (9, 2, "valid")
    found = check_nodes(graph(nir.AvgPool2d(np.array(2), 2, np.array([0, 1])))).nodes["a"]
    assert (found.kernel_size, found.stride, found.padding) == ((2, 2), (2, 2), (0, 1))
    found = check_nodes(graph(nir.Flatten({"input": np.array([1, 2, 3])}, np.int64(0)))).nodes["a"]
    assert (found.start_dim, found.end_dim) == (0, -1) and list(found.output_type["output"]) == [6]


def test_shapes_that_nir_gets_wrong_are_no_reason_to_refuse(tmp_path):
    """nir 1.0.8 takes the height of a kernel for its width and forgets groups, and so refuses the true shapes."""
    nodes = {"in": nir.Input(np.array([2, 10, 12])), "a": conv(groups=2), "out": nir.Output(np.array([4, 8, 8]))}
    edges = [("in", "a"), ("a", "out")]
    with pytest.raises(ValueError, match="type mismatch"):
        nir.NIRGraph(dict(nodes), list(edges))
    inner = nir.NIRGraph(dict(nodes), list(edges), type_check=False)
    outer = {"in": nir.Input(np.array([2, 10, 12])), "sub": inner, "out": nir.Output(np.array([4, 8, 8]))}
    nir.write(tmp_path / "a.nir", nir.NIRGraph(outer, [("in", "sub"), ("sub", "out")], type_check=False))
    with pytest.raises(ValueError):
        nir.read(tmp_path / "a.nir", type_check=False)  # the flag does not reach the graph inside
    for found in (read(tmp_path / "a.nir"), check_nodes(graph(inner))):
        found = found.nodes.get("sub") or found.nodes["a"]
        assert sorted(found.nodes) == ["a", "in", "out"]
        assert found.nodes["a"].weight.shape == (4, 1, 3, 5) and found.edges == edges


def test_no_node_is_added():
    """nir's inference of types puts an Input before a node without one, in place."""
    nodes = {"in": nir.Input(np.array([3])), "a": lif(), "alone": lif(), "out": nir.Output(np.array([3]))}
    given = nir.NIRGraph(nodes, [("in", "a"), ("a", "out")], type_check=False)
    assert list(check_nodes(given).nodes) == ["in", "a", "alone", "out"] and len(given.nodes) == 4


def test_fields_that_older_files_lack_have_defaults(tmp_path):
    import h5py

    nir.write(tmp_path / "a.nir", graph(conv(), np.array([4, 8, 8])))
    with h5py.File(tmp_path / "a.nir", "r+") as file:
        del file["node/nodes/a/input_shape"]
        file["node/nodes/a/input_type/input"] = [1, 10, 12]  # some versions write it
    assert read(tmp_path / "a.nir").nodes["a"].input_shape is None
    with pytest.raises(TypeError):
        nir.read(tmp_path / "a.nir", type_check=False)
    nir.write(tmp_path / "b.nir", graph(nir.CubaLIF(*(ONES,) * 5), np.array([3])))
    with h5py.File(tmp_path / "b.nir", "r+") as file:
        del file["node/nodes/a/v_reset"], file["node/nodes/a/w_in"]
    found = read(tmp_path / "b.nir").nodes["a"]
    np.testing.assert_array_equal([found.v_reset, found.w_in], [[0] * 3, [1] * 3])


def edited(nodes=None, edges=None):
    given = graph(lif())
    given.nodes = given.nodes | (nodes or {})
    given.edges = given.edges + (edges or [])
    return given


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lif(), "the graph must be a `nir.NIRGraph`, got LIF"),
        (
            lambda: edited(edges=[("a", "b")]),
            "the outermost graph .NIRGraph.: the edge 'a' -> 'b' names 'b', which is no",
        ),
        (lambda: edited(edges=[("in", "a")]), "'in' -> 'a' is there twice"),
        (lambda: edited(edges=[("a", "in")]), "'a' -> 'in' leads out of an Output or into an Input"),
        (lambda: edited(edges=[("out", "a")]), "'out' -> 'a' leads out of an Output"),
        (lambda: edited(edges=["ab"]), "an edge must be a pair of names, got 'ab'"),
        (lambda: edited(edges=[("a", 1)]), "an edge must be a pair of names, got .'a', 1."),
        (lambda: edited({3: lif()}), "name of a node must be a string that can be printed, got 3"),
        (lambda: edited({"": lif()}), "name of a node must be a string that can be printed, got ''"),
        (lambda: edited({"b": 3}), "node 'b': nodes of the type 'builtins.int' are unknown. Known are Input, Output"),
        (lambda: edited({"b": nir.Input(None)}), "node 'b' .Input.: `shape` must be a shape, .* numbers, got None"),
        (lambda: nir.NIRGraph({}, [], type_check=False), "`nodes` must be a dictionary with one node or more"),
        (lambda: nir.NIRGraph({"a": lif()}, [], type_check=False), "it has no Input node. Add one"),
        (lambda: nir.NIRGraph({"a": nir.Input(ONES[:1].astype(int))}, [], type_check=False), "it has no Output node"),
        (lambda: graph(nir.NIRGraph({"b": lif()}, [], type_check=False)), "node 'a' .NIRGraph.: it has no Input node"),
    ],
)
def test_a_graph_that_does_not_hold_together_is_refused(make, message):
    with pytest.raises(NIRImportError, match=message):
        check_nodes(make())


def test_graphs_in_graphs_end():
    given = graph(lif())
    given.nodes["a"] = given
    with pytest.raises(NIRImportError, match="nested more than 16 deep, or one of them contains itself"):
        check_nodes(given)
    given = graph(lif())
    for _ in range(8):
        given = graph(given)
    assert isinstance(check_nodes(given), nir.NIRGraph)
    for _ in range(10):
        given = graph(given)
    with pytest.raises(NIRImportError, match="nested more than 16 deep"):
        check_nodes(given)


def test_nodes_of_other_types_pass_where_they_are_known():
    class Quadratic(nir.LIF):
        pass

    node = Quadratic(ONES, ONES, ONES, ONES)
    with pytest.raises(NIRImportError, match="node 'a': nodes of the type '.*Quadratic' are unknown"):
        check_nodes(graph(node))
    assert check_nodes(graph(graph(node)), known=(Quadratic,)).nodes["a"].nodes["a"] is node
    with pytest.raises(NIRImportError, match="nodes of the type 'nir.ir.graph.Identity' are unknown|type 'Identity'"):
        check_nodes(graph(nir.ir.graph.Identity({"input": np.array([3])})))


def test_what_is_missing_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(ImportError, match=r'`nir.read` needs nir, and nir is not here: pip install "snnax\[nir\]"'):
        read("a.nir")
