"""What other readers need of a file that is written here, and what is in it for them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from snnax import snn

nir = pytest.importorskip("nir")
import snnax.nir  # noqa: E402


def outputs(model, xs):
    return np.asarray(model(model.init_state(xs.shape[1:]), xs)[1][-1])


def there_and_back(model, xs, path):
    """The outputs here, and those of what the file gives; and its graph, as the package reads it."""
    snnax.nir.write(path, model, xs.shape[1:], dt=1e-3)
    net = snnax.nir.from_nir(path, dt=1e-3)
    got = net(net.init_state(xs.shape[1:]), xs)[1]["output"]
    return outputs(model, xs), np.asarray(got), nir.read(path)


def linear(key=0):
    return eqx.nn.Linear(4, 4, key=jr.key(key))


BRANCHES = {
    "shortcut": (lambda: snn.Residual(snn.Sequential(linear(), snn.SimpleLIF(0.9, threshold=0.2))), 0),
    "shortcut of its own": (lambda: snn.Residual(linear(), linear(1)), 0),
    "two": (lambda: snn.Parallel(eqx.nn.Identity(), linear(), eqx.nn.Identity()), 1),
    "alone": (lambda: snn.Parallel(eqx.nn.Identity()), 0),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_a_shortcut_is_an_edge_and_no_node(name, tmp_path):
    make, scales = BRANCHES[name]
    model = snn.Sequential(make())
    xs = jr.normal(jr.key(2), (12, 4))
    expected, got, graph = there_and_back(model, xs, tmp_path / "x.nir")
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    (inner,) = (node for node in graph.nodes.values() if isinstance(node, nir.NIRGraph))
    assert sum(isinstance(node, nir.Scale) for node in inner.nodes.values()) == scales
    assert (("input", "output") in inner.edges) == (name != "shortcut of its own")
    assert inner.edges.count(("input", "output")) <= 1


@pytest.mark.parametrize(
    "layer, shape, axes",
    [
        (snn.Flatten(), (2, 3, 4), (-3, -1)),
        (snn.Flatten(1), (2, 3, 4), (-2, -1)),
        (snn.Flatten(0, 1), (2, 3, 4), (-3, -2)),
        (snn.Flatten(-2, -1), (2, 3, 4), (-2, -1)),
        (snn.Flatten(1, 2), (2, 3, 4, 5), (-3, -2)),
    ],
)
def test_flattened_axes_are_the_same_ones_where_a_batch_is_before_them(layer, shape, axes, tmp_path):
    xs = jr.normal(jr.key(2), (3, *shape))
    expected, got, graph = there_and_back(snn.Sequential(layer), xs, tmp_path / "x.nir")
    np.testing.assert_array_equal(got, expected)
    node = graph.nodes["flatten_0"]
    assert (node.start_dim, node.end_dim) == axes
    assert tuple(node.output_type["output"]) == expected.shape[1:]
    batched = snn.Flatten(int(node.start_dim), int(node.end_dim))(jnp.stack([xs[0], xs[1]]))
    np.testing.assert_array_equal(batched, expected[:2])


@pytest.mark.parametrize("threshold", [1.0, 0.3, -0.2, 0.0])
def test_a_neuron_that_fires_above_the_written_threshold_fires_at_the_one_here(threshold):
    written = snnax.nir.threshold_to_nir(threshold, (2, 3))
    assert written.shape == (2, 3) and written.dtype == np.float64
    values = np.float32(threshold) + np.float32(1e-7) * np.arange(-3, 4, dtype=np.float32)
    fires_there = values > np.float32(written[0, 0])
    np.testing.assert_array_equal(fires_there, np.asarray(jnp.asarray(values) >= jnp.float32(threshold)))
    assert written[0, 0] == np.nextafter(np.float32(threshold), np.float32(-np.inf))
    assert snnax.nir.threshold_from_nir(written) == np.float32(threshold)


def test_thresholds_that_differ_come_back_as_constants_of_their_shape():
    thresholds = jnp.array([0.5, 1.0, 2.0])
    for given in (thresholds, snn.Fixed(thresholds), np.asarray(thresholds)):
        back = snnax.nir.threshold_from_nir(snnax.nir.threshold_to_nir(given, (3,)))
        assert isinstance(back, snn.Fixed)
        np.testing.assert_array_equal(back.value, thresholds)
    assert snnax.nir.threshold_from_nir(1.0) == np.nextafter(np.float32(1), np.float32(2))
    least = float(np.finfo(np.float32).tiny)  # what is below, hardware may take for 0
    assert snnax.nir.threshold_from_nir(0.0) == least and snnax.nir.threshold_to_nir(least, ()) == 0
    with jax.enable_x64(True):
        assert snnax.nir.threshold_from_nir(1.0) == np.nextafter(1.0, 2.0)
        assert snnax.nir.threshold_to_nir(1.0, ())[()] == np.nextafter(1.0, 0.0)


def test_an_output_whose_name_is_taken_gets_another():
    net = snn.Graph({"output": snn.SimpleLIF(0.9)}, [("input", "output")], outputs=("output",))
    graph = snnax.nir.to_nir(net, (3,), dt=1e-3)
    assert isinstance(graph.nodes["output"], nir.LIF) and isinstance(graph.nodes["output_"], nir.Output)
    assert snnax.nir.from_nir(graph, dt=1e-3).topology.outputs == ("output_",)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_weights_of_any_precision_are_written_as_numbers_that_all_read(dtype, tmp_path):
    conv = eqx.nn.Conv1d(2, 3, 2, key=jr.key(0), dtype=dtype)
    linear = eqx.nn.Linear(9, 2, key=jr.key(1), dtype=dtype)
    model = snn.Sequential(conv, snn.Flatten(), linear, eqx.nn.Linear(2, 2, use_bias=False, key=jr.key(2), dtype=dtype))
    snnax.nir.write(tmp_path / "x.nir", model, (2, 4), dt=1e-3)
    net, theirs = snnax.nir.from_nir(tmp_path / "x.nir", dt=1e-3), nir.read(tmp_path / "x.nir")
    for name, layer in (("conv1d_0", conv), ("linear_2", linear), ("linear_3", model[3])):
        assert theirs.nodes[name].weight.dtype == np.float32
        np.testing.assert_array_equal(net.nodes[name].weight, layer.weight.astype(jnp.float32))
        if layer.bias is not None:
            np.testing.assert_array_equal(net.nodes[name].bias, layer.bias.astype(jnp.float32))


def test_a_path_from_home_is_one_in_both_directions(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    snnax.nir.write("~/x.nir", snn.Sequential(snn.SimpleLIF(0.9)), (3,), dt=1e-3)
    assert (tmp_path / "x.nir").is_file()
    assert "simplelif_0" in snnax.nir.from_nir("~/x.nir", dt=1e-3).nodes
