"""What pictures show: every mark is where the numbers are."""

import csv
import pathlib
import re
import shutil
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import linear
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

import snnax.snn as snn
from snnax import plot, train
from snnax.functional import surrogate

ROOT = pathlib.Path(__file__).parent.parent
BLUE, VERMILION = (np.array(to_rgb(colour)) for colour in plot.COLOURS[:2])


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture(autouse=True)
def no_figures_are_left():
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    plt.close("all")


def strokes(lines):
    """The middles of vertical strokes."""
    return np.array([segment.mean(axis=0) for segment in lines.get_segments()]).reshape(-1, 2)


def ticks(axis):
    return [
        (position, label.get_text()) for position, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
    ]


@pytest.mark.parametrize("make", [np.asarray, jnp.asarray])
def test_a_raster_has_a_stroke_for_every_spike(ax, make):
    spikes = np.random.default_rng(0).random((12, 2, 3)) < 0.3
    plot.raster(make(spikes), dt=0.002, ax=ax)
    when, which = np.nonzero(spikes.reshape(12, 6))
    np.testing.assert_allclose(strokes(ax.collections[0]), np.stack([2.0 * when, which], 1), atol=1e-6)
    assert ax.get_xlabel() == "time (ms)" and ax.get_xlim() == (-1.0, 23.0) and ax.get_ylim() == (-0.5, 5.5)


def test_every_spike_leaves_ink_when_there_are_more_neurons_than_dots():
    ax = Figure(figsize=(9, 2)).subplots()
    spikes = np.eye(600)[::7]
    plot.raster(spikes, ax=ax)
    ax.set_axis_off()
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].min(axis=-1)
    columns = ax.transData.transform([(t, 0) for t in range(len(spikes))])[:, 0].round().astype(int)
    darkest = [pixels[:, x - 1 : x + 2].min() for x in columns]
    assert max(darkest) < 130


def test_spikes_below_zero_are_marked_in_another_way(ax):
    plot.raster(np.array([[1, 0], [0, -1], [0, 0]]), ax=ax)
    up, down = ax.collections
    np.testing.assert_allclose(strokes(up), [[0, 0]])
    np.testing.assert_allclose(strokes(down), [[1, 1]])
    assert np.ptp(down.get_segments()[0][:, 1]) < np.ptp(up.get_segments()[0][:, 1])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["above 0", "below 0"]


def test_time_is_in_steps_milliseconds_or_seconds(ax):
    spikes = np.ones((20, 1))
    labels = [plot.raster(spikes, dt=dt, ax=ax).get_xlabel() for dt in (None, 0.01, 0.1)]
    assert labels == ["time step", "time (ms)", "time (s)"]
    assert strokes(ax.collections[-1])[-1, 0] == pytest.approx(1.9)


def test_counts_are_bars_with_names_and_one_is_marked(ax):
    spikes = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 1]])
    plot.spike_counts(jnp.asarray(spikes), names=["a", "b", "c"], highlight=2, ax=ax)
    assert [bar.get_height() for bar in ax.patches] == [3, 0, 2]
    assert [label for _, label in ticks(ax.xaxis)] == ["a", "b", "c"]
    assert [bar.get_hatch() for bar in ax.patches] == [None, None, "///"]
    many = Figure().subplots()
    plot.spike_counts(np.ones((4, 100)), ax=many)
    assert len(many.patches) == 100 and many.get_xlabel() == "neuron"
    plot.spike_counts(np.array([5.0, 7.0])[None], ax=many)  # as snn.Sum() gives
    assert [bar.get_height() for bar in many.patches[100:]] == [5, 7]


def test_rates_have_a_row_for_every_layer_that_spikes_and_count_its_neurons(ax):
    inner = snn.Sequential(linear(5, 8, 1), snn.SimpleLIF(0.9))
    model = snn.Sequential(linear(3, 5), snn.SimpleLIF(0.9), inner, snn.SimpleLI(0.9))
    _, outs = model(model.init_state((3,)), 4 * jr.normal(jr.key(0), (25, 3)))
    plot.rates(outs, dt=0.01, bins=10, ax=ax)
    assert ticks(ax.yaxis) == [(1, "1"), (0, "2.1")]
    for row, train_ in ((1, outs[1]), (0, outs[2][1])):
        rate = np.asarray(train_).mean(axis=0) / 0.01
        bars = next(patch for patch in ax.patches if np.all(patch.get_data().baseline == row))
        edges = bars.get_data().edges
        counts = np.histogram(rate, edges)[0]
        np.testing.assert_allclose((bars.get_data().values - row) / 0.78 * counts.max(), counts, atol=1e-6)
        mean = next(line for line in ax.lines if line.get_ydata()[0] == row)
        assert mean.get_xdata()[0] == pytest.approx(rate.mean())
        text = f"mean {rate.mean():.3g}\n{100 * np.mean(rate == 0):.0f} % silent"
        assert text in [one.get_text() for one in ax.texts]
    assert ax.get_xlabel() == "rate (Hz)"


def test_rates_of_a_mapping_and_of_one_silent_train(ax):
    plot.rates({"hidden": np.zeros((5, 3)), "current": 0.5 * np.ones((5, 3)), "out": np.ones((5, 2))}, ax=ax)
    assert ticks(ax.yaxis) == [(1, "hidden"), (0, "out")] and ax.get_xlabel() == "spikes per step"
    assert "mean 0\n100 % silent" in [one.get_text() for one in ax.texts]
    one = Figure().subplots()
    assert ticks(plot.rates(np.zeros((5, 3)), ax=one).yaxis) == [(0, "spikes")]


def test_traces_show_potentials_threshold_and_spikes(ax):
    model = snn.Sequential(snn.SimpleLIF(0.9, threshold=0.8))
    xs = jr.uniform(jr.key(0), (30, 2))
    _, outs = model(model.init_state((2,)), xs, collect={0: (snn.Trains(), snn.Traces())})
    spikes, state = outs[0]
    assert np.sum(spikes) > 3
    plot.traces(state.v, spikes=spikes, threshold=0.8, dt=0.1, names=["a", "b"], ax=ax)
    first, second, level = ax.lines
    np.testing.assert_allclose(first.get_ydata(), state.v[:, 0])
    np.testing.assert_allclose(second.get_xdata(), 0.1 * np.arange(30))
    assert first.get_linestyle() != second.get_linestyle() and first.get_color() != second.get_color()
    np.testing.assert_allclose(level.get_ydata(), [0.8, 0.8])
    for i, line in enumerate(ax.collections):
        np.testing.assert_allclose(strokes(line)[:, 0], 0.1 * np.flatnonzero(spikes[:, i]))
        assert np.all(strokes(line)[:, 1] > 0.8)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "threshold"]


def test_a_threshold_may_differ_between_neurons_or_move(ax):
    v = np.zeros((6, 2))
    plot.traces(v, threshold=jnp.array([1.0, 2.0]), ax=ax)
    assert [set(line.get_ydata()) for line in ax.lines[2:]] == [{1.0}, {2.0}]
    moving = Figure().subplots()
    plot.traces(v[:, 0], threshold=np.arange(6.0), ax=moving)
    np.testing.assert_allclose(moving.lines[1].get_ydata(), np.arange(6))
    plot.traces(v[:, 0], threshold=jnp.array(3.0), ax=moving)
    np.testing.assert_allclose(moving.lines[3].get_ydata(), 3.0)


def test_one_trace_is_drawn_before_many(ax):
    plot.traces(np.zeros((4, 11)), highlight=7, ax=ax)
    widths = [line.get_linewidth() for line in ax.lines]
    orders = [line.get_zorder() for line in ax.lines]
    assert len(widths) == 11 and np.argmax(widths) == np.argmax(orders) == 7 and widths.count(max(widths)) == 1


def test_weights_are_an_image_in_which_zero_is_white(ax):
    weight = np.array([[0.5, -2.0, 0.0], [1.0, 0.0, 2.0]])
    plot.weights(jnp.asarray(weight, jnp.bfloat16), ax=ax)
    (image,) = ax.images
    np.testing.assert_allclose(image.get_array(), weight)
    np.testing.assert_allclose(
        image.cmap(image.norm(weight))[[0, 0, 1], [1, 2, 2], :3], [VERMILION, [1, 1, 1], BLUE], atol=0.01
    )
    assert len(ax.figure.axes) == 2 and ax.figure.axes[1].get_ylabel() == "weight"


def test_receptive_fields_are_an_image_for_each_output_and_channel(ax):
    weight = np.random.default_rng(0).normal(size=(3, 2, 4, 5))
    plot.receptive_fields(weight, ax=ax)
    for i, image in enumerate(ax.images):
        np.testing.assert_allclose(image.get_array(), weight[i // 2, i % 2])
        left, right, bottom, top = image.get_extent()
        assert (left, top, right - left, bottom - top) == ((i % 2) * 6, (i // 2) * 5, 5, 4)
        assert image.norm.vmax == -image.norm.vmin == np.abs(weight).max()
    assert len(ax.images) == 6
    assert [label for _, label in ticks(ax.xaxis)] == ["0", "1"]
    assert [label for _, label in ticks(ax.yaxis)] == ["0", "1", "2"]
    flat = Figure().subplots()
    plot.receptive_fields(weight.reshape(3, 40), shape=(2, 4, 5), columns=3, ax=flat)
    np.testing.assert_allclose(flat.images[3].get_array(), weight[1, 1])
    assert flat.images[3].get_extent()[0] == 0 and flat.images[3].get_extent()[3] == 5


def test_a_surrogate_is_drawn_with_its_derivative_and_antiderivative(ax):
    spike = surrogate.Triangular(2.0)
    plot.surrogate(spike, low=-1, high=3, ax=ax)
    value, antiderivative, derivative = ax.lines[2:]
    x = np.linspace(-1, 3, 601)
    np.testing.assert_allclose(value.get_ydata(), x >= 0)
    np.testing.assert_allclose(derivative.get_ydata(), spike.derivative(jnp.asarray(x, jnp.float32)), atol=1e-5)
    slope = np.gradient(np.asarray(antiderivative.get_ydata()), x)
    np.testing.assert_allclose(slope, derivative.get_ydata(), atol=0.02)
    custom = Figure().subplots()
    plot.surrogate(surrogate.Custom(lambda x: jnp.exp(-jnp.abs(x))), ax=custom)
    assert len(custom.lines) == 4
    drawn = Figure().subplots()
    plot.surrogate(surrogate.EscapeNoise(4.0), key=jr.key(0), ax=drawn)
    assert set(np.asarray(drawn.lines[2].get_ydata())) == {0.0, 1.0} and drawn.lines[2].get_linestyle() == "None"


def test_learning_curves_of_a_history_and_of_its_table_are_the_same(ax, tmp_path):
    history = [{"epoch": i, "train_loss": 1 / (1 + i)} for i in range(4)]
    history[2]["accuracy"], history[3]["accuracy"] = 0.5, float("nan")
    plot.learning_curves(history, "train_loss", "accuracy", ax=ax)
    train.CSVLog(tmp_path / "log.csv")(history)
    with open(tmp_path / "log.csv", newline="") as file:
        table = Figure().subplots()
        plot.learning_curves(list(csv.DictReader(file)), "train_loss", "accuracy", ax=table)
    for one in (ax, table):
        loss, accuracy = one.lines
        np.testing.assert_allclose(loss.get_xydata(), [(1, 1), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4)])
        np.testing.assert_allclose(accuracy.get_xydata(), [(3, 0.5), (4, np.nan)])
        assert loss.get_linestyle() != accuracy.get_linestyle() and loss.get_marker() != accuracy.get_marker()
        assert [text.get_text() for text in one.get_legend().get_texts()] == ["train_loss", "accuracy"]
    without = Figure().subplots()
    plot.learning_curves([{"loss": 3.0}, {"loss": 2.0}], "loss", ax=without)
    np.testing.assert_allclose(without.lines[0].get_xydata(), [(1, 3), (2, 2)])
    assert without.get_ylabel() == "loss"


def test_frames_show_off_and_on_in_their_colours_at_their_times(ax):
    frames = np.zeros((10, 2, 3, 4), np.uint8)
    frames[0, 0, 0, 0] = frames[9, 1, 2, 3] = 2
    frames[9, 1, 0, 0] = 1
    plot.frames(frames, steps=[0, 9], dt=0.2, ax=ax)
    first, last = (image.get_array() for image in ax.images)
    np.testing.assert_allclose(first[0, 0], VERMILION, atol=1e-6)
    np.testing.assert_allclose(last[2, 3], BLUE, atol=1e-6)
    np.testing.assert_allclose(last[0, 0], (1 + BLUE) / 2, atol=1e-6)
    assert np.all(first[1:] == 1) and np.all(first[:, 1:] == 1)
    assert [label for _, label in ticks(ax.xaxis)] == ["0", "1.8"] and ax.get_xlabel() == "time (s)"
    assert [label for _, label in ticks(plot.frames(frames, steps=4, ax=Figure().subplots()).xaxis)] == [
        "0",
        "3",
        "6",
        "9",
    ]


def test_signed_frames_and_one_polarity_are_drawn_alike():
    signed = np.random.default_rng(0).normal(size=(3, 4, 5))
    split = np.stack([np.maximum(-signed, 0), np.maximum(signed, 0)], axis=1)
    images = []
    for frames in (signed, signed[:, None], split):
        ax = plot.frames(frames, most=1.0, ax=Figure().subplots())
        images.append([image.get_array() for image in ax.images])
    np.testing.assert_allclose(images[0], images[1])
    np.testing.assert_allclose(images[0], images[2])


def test_an_animation_has_a_picture_for_every_step_with_the_spikes_until_then(tmp_path):
    frames = np.zeros((5, 2, 8, 8))
    frames[np.arange(5), 1, np.arange(5), np.arange(5)] = 1
    outs = (np.eye(5, 6), 0.3 * np.ones((5, 2)), np.eye(5, 3))
    path = plot.animate(tmp_path / "film.gif", frames, outs, fps=4, dt=0.5)
    assert plt.get_fignums() == []
    ink = []
    with Image.open(path) as film:
        assert film.n_frames == 5 and film.info["duration"] == 250
        for step in range(5):
            film.seek(step)
            pixels = np.asarray(film.convert("RGB")).astype(int)
            right = pixels[5:-60, pixels.shape[1] // 2 :]
            ink.append(int(np.sum(right.max(axis=-1) < 90)))
    assert ink == sorted(ink) and ink[4] > ink[0]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="writes by ffmpeg")
def test_an_animation_is_written_as_mp4(tmp_path):
    path = plot.animate(tmp_path / "film.mp4", np.zeros((3, 8, 8)), np.eye(3))
    assert b"ftyp" in path.read_bytes()[:16]


def test_without_ffmpeg_an_mp4_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("matplotlib.animation.FFMpegWriter.isAvailable", lambda: False)
    with pytest.raises(RuntimeError, match=r"ffmpeg, which is not here. Install it, or write a .gif"):
        plot.animate(tmp_path / "film.mp4", np.zeros((3, 8, 8)), np.eye(3))
    assert not list(tmp_path.iterdir())


def a_graph():
    return snn.Graph(
        {
            "a": linear(3, 4),
            "b": snn.SimpleLIF(0.9),
            "back": linear(4, 4, 1),
            "join": linear(8, 2, 2),
            "out": snn.SimpleLI(0.9),
        },
        [
            *[("input", "a"), ("a", "b"), snn.Edge("b", "back", delay=3), ("back", "b")],
            *[("b", "join"), snn.Edge("a", "join", delay=1), ("join", "out")],
        ],
        outputs=("out",),
        merge={"join": snn.Concatenate()},
    )


def gids(ax, kind):
    found = (patch.get_gid() or "" for patch in ax.patches)
    return sorted(gid.removeprefix(kind + " ") for gid in found if gid.startswith(kind + " "))


def boxes(ax):
    return {patch.get_gid()[5:]: patch for patch in ax.patches if (patch.get_gid() or "").startswith("node ")}


def test_a_graph_is_drawn_with_its_nodes_edges_delays_and_cycles(ax):
    model = a_graph()
    plot.network(model, ax=ax)
    assert gids(ax, "node") == sorted(model.nodes)
    assert gids(ax, "edge") == sorted(edge.label for edge in model.topology.edges)
    assert sorted(" ".join(gids(ax, "scanned")).split()) == ["b", "back"]
    assert gids(ax, "output") == ["of out"]
    texts = [text.get_text() for text in ax.texts]
    assert {"3 steps", "1 step", "input", "output", "b\nSimpleLIF", "join\nLinear\nconcatenated"} <= set(texts)
    dashed = [
        patch.get_gid()
        for patch in ax.patches
        if (patch.get_gid() or "").startswith("edge ") and patch.get_linestyle() != "-"
    ]
    assert len([gid for gid in dashed if "delay" in gid]) == 2 == len(dashed)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["neurons that spike", "state, no spikes", "no state", "a cycle, scanned", "delayed"]


def test_the_layout_runs_downwards_and_no_box_lies_on_another(ax):
    plot.network(a_graph(), ax=ax)
    places = {name: np.array([box.get_x(), box.get_y()]) for name, box in boxes(ax).items()}
    width, height = boxes(ax)["a"].get_width(), boxes(ax)["a"].get_height()
    for source, target in (("a", "b"), ("b", "back"), ("b", "join"), ("a", "join"), ("join", "out")):
        assert places[source][1] > places[target][1] + height
    names = list(places)
    for i, one in enumerate(names):
        for other in names[:i]:
            apart = np.abs(places[one] - places[other])
            assert apart[0] > width or apart[1] > height
    (low, high), (left, right) = ax.get_ylim(), ax.get_xlim()
    for patch in ax.patches:
        if (patch.get_gid() or "").startswith("edge "):
            points = patch._path_original.vertices
            assert np.all((points >= (left, low)) & (points <= (right, high))), patch.get_gid()


def test_arrows_start_and_end_at_their_boxes(ax):
    plot.network(a_graph(), ax=ax)
    places = boxes(ax)
    for patch in ax.patches:
        found = re.match(r"edge (\w+) -> (\w+)", patch.get_gid() or "")
        if found and found[1] != "input":
            path = patch._path_original
            for (x, y), box, edge in (
                (path.vertices[0], places[found[1]], 0),
                (path.vertices[-1], places[found[2]], 1),
            ):
                assert box.get_x() <= x <= box.get_x() + box.get_width()
                assert y == pytest.approx(box.get_y() + edge * box.get_height())


def test_what_closes_a_cycle_goes_up_beside_the_boxes_and_is_the_delayed_edge_where_there_is_a_choice(ax):
    layers = {"b": eqx.nn.Identity(), "a": snn.SimpleLIF(0.9), "end": eqx.nn.Identity()}
    edges = [("input", "b"), ("input", "a"), ("a", "b"), snn.Edge("b", "a", delay=1), ("b", "end")]
    plot.network(snn.Graph(layers, edges, outputs=("end",)), ax=ax)
    places = boxes(ax)
    assert places["a"].get_y() > places["b"].get_y() > places["end"].get_y()
    lane = next(patch for patch in ax.patches if patch.get_gid() == "edge b -> a (delay 1)")._path_original.vertices
    assert lane[-1, 1] > lane[0, 1]
    assert lane[:, 0].max() > max(box.get_x() + box.get_width() for box in places.values())


def test_a_chain_is_drawn_with_its_recurrent_layers_as_cycles(ax):
    inner = snn.Sequential(linear(4, 4), snn.SimpleLIF(0.9))
    model = snn.Sequential(linear(3, 4), snn.Recurrent(snn.SimpleLIF(0.9), linear(4, 4, 1)), inner)
    plot.network(model, ax=ax)
    assert gids(ax, "node") == ["0", "1", "2"]
    assert gids(ax, "edge") == ["0 -> 1", "1 -> 1 (delay 1)", "1 -> 2", "input -> 0"]
    assert gids(ax, "scanned") == ["1"]
    assert "2\nSequential of 2" in [text.get_text() for text in ax.texts]


def test_a_node_beside_a_cycle_is_not_on_its_ground(ax):
    model = snn.Graph(
        {"a": snn.SimpleLIF(0.9), "b": eqx.nn.Identity(), "c": eqx.nn.Identity(), "end": eqx.nn.Identity()},
        [("input", "a"), snn.Edge("a", "b", delay=1), ("b", "a"), ("a", "c"), ("c", "end")],
        outputs=("end",),
    )
    plot.network(model, ax=ax)
    grounds = [patch for patch in ax.patches if (patch.get_gid() or "").startswith("scanned")]
    box = boxes(ax)["c"]
    for ground in grounds:
        across = ground.get_x() < box.get_x() + box.get_width() and box.get_x() < ground.get_x() + ground.get_width()
        along = ground.get_y() < box.get_y() + box.get_height() and box.get_y() < ground.get_y() + ground.get_height()
        assert not (across and along)


DRAWN = {
    "raster": lambda **ax: plot.raster(np.eye(3), **ax),
    "spike_counts": lambda **ax: plot.spike_counts(np.eye(3), **ax),
    "rates": lambda **ax: plot.rates(np.eye(3), **ax),
    "traces": lambda **ax: plot.traces(np.eye(3), **ax),
    "weights": lambda **ax: plot.weights(np.eye(3), **ax),
    "receptive_fields": lambda **ax: plot.receptive_fields(np.ones((2, 3, 3)), **ax),
    "surrogate": lambda **ax: plot.surrogate(surrogate.SuperSpike(), **ax),
    "learning_curves": lambda **ax: plot.learning_curves([{"loss": 1.0}], "loss", **ax),
    "frames": lambda **ax: plot.frames(np.ones((2, 3, 3)), **ax),
    "network": lambda **ax: plot.network(snn.Sequential(snn.SimpleLIF(0.9)), **ax),
}


@pytest.mark.parametrize("name", DRAWN)
def test_axes_go_in_and_come_out_and_pyplot_has_a_figure_only_without_them(name, ax, unchecked):
    assert DRAWN[name](ax=ax) is ax
    assert plt.get_fignums() == []
    made = DRAWN[name]()
    assert plt.get_fignums() == [made.figure.number]
    made.figure.canvas.draw()
    with pytest.raises(TypeError, match=rf"`plot.{name}`: `ax` must be the axes to draw into, one of those that `plt"):
        DRAWN[name](ax=Figure())


def test_every_function_is_tested_so_and_has_an_image_that_the_page_shows():
    functions = {name for name in vars(plot) if callable(getattr(plot, name)) and name[0] != "_"}
    assert functions == {*DRAWN, "animate"}
    page = (ROOT / "docs" / "plots.rst").read_text(encoding="utf-8")
    images = set(re.findall(r"image:: (images/plots/\S+)", page))
    assert images == {f"images/plots/{file.name}" for file in (ROOT / "docs" / "images" / "plots").iterdir()}
    for name in functions:
        assert f"plot.{name}(" in page


E3 = np.eye(3)
REFUSED = [
    (lambda: plot.raster(np.array(1.0)), ValueError, "`plot.raster`: `spikes` must have the shape (time, ...)"),
    (lambda: plot.raster(np.zeros((0, 3))), ValueError, "with no axis of length 0, got (0, 3)"),
    (
        lambda: plot.raster([[1]]),
        TypeError,
        "`spikes` must be an array of real numbers, (time, ...), got <class 'list'>",
    ),
    (lambda: plot.raster(E3 * 1j), TypeError, "got an array of dtype complex128"),
    (
        lambda: plot.raster(E3, dt=0.0),
        ValueError,
        "`dt` must be the length of a time step in seconds, above 0, got 0.0",
    ),
    (lambda: plot.spike_counts(E3, names=["a"]), ValueError, "one name for each of the 3 neurons, got ['a']"),
    (lambda: plot.spike_counts(E3, highlight=3), ValueError, "`highlight` must be a neuron from 0 to 2, got 3"),
    (lambda: plot.rates({"a": 0.5 * E3}), ValueError, "none of the 1 entries of `outs` is a train of spikes"),
    (
        lambda: plot.rates({"a": E3, "b": np.ones(2)}),
        ValueError,
        "number of time steps, got {'a': 3, 'b': 2}. Collect whole",
    ),
    (lambda: plot.rates({"a": "b"}), TypeError, "`outs[a]` must be an array of real numbers"),
    (lambda: plot.rates(E3, bins=0), ValueError, "`bins` must be a number of bins, 1 or more, got 0"),
    (lambda: plot.rates(E3, dt=-1.0), ValueError, "`plot.rates`: `dt` must be"),
    (lambda: plot.traces(np.ones((2, 8))), ValueError, "8 neurons are too many to be told apart. Choose 7 at most"),
    (
        lambda: plot.traces(np.ones((2, 2, 2))),
        ValueError,
        "(time,) or (time, neurons), with no axis of length 0, got (2, 2, 2)",
    ),
    (
        lambda: plot.traces(E3, spikes=E3[:, :2]),
        ValueError,
        "`spikes` must have the shape of `potentials`, (3, 3), got (3, 2)",
    ),
    (
        lambda: plot.traces(E3, threshold=np.ones(2)),
        ValueError,
        "`threshold` must be one number, or have the shape (3,)",
    ),
    (
        lambda: plot.traces(E3, highlight=-1),
        ValueError,
        "`plot.traces`: `highlight` must be a neuron from 0 to 2, got -1",
    ),
    (lambda: plot.weights(np.ones((2, 1, 3, 3))), ValueError, "drawn by `plot.receptive_fields(weight)`"),
    (lambda: plot.receptive_fields(E3), ValueError, "`weight` of shape (3, 3) needs the `shape` of one input"),
    (
        lambda: plot.receptive_fields(E3, shape=(2, 2)),
        ValueError,
        "with the product 3, the number of inputs, got (2, 2)",
    ),
    (
        lambda: plot.receptive_fields(np.ones((2, 3, 3)), columns=3),
        ValueError,
        "`columns` must be from 1 to the 2 images",
    ),
    (lambda: plot.surrogate(jnp.tanh), TypeError, "goes in as `surrogate.Custom(derivative)`"),
    (
        lambda: plot.surrogate(surrogate.EscapeNoise(1.0)),
        ValueError,
        "`surrogate.EscapeNoise` draws random numbers: give",
    ),
    (lambda: plot.surrogate(surrogate.SuperSpike(), low=2.0, high=1.0), ValueError, "`low` must be below `high`"),
    (
        lambda: plot.learning_curves([{"loss": 1}]),
        ValueError,
        "1 to 7 names in the history, which has ['loss'], got []",
    ),
    (lambda: plot.learning_curves([{"loss": 1}], "los"), ValueError, "which has ['loss'], got ['los']"),
    (
        lambda: plot.learning_curves([{"loss": "x"}], "loss"),
        ValueError,
        "'loss' must be a number in every row, got 'x'",
    ),
    (lambda: plot.frames(np.ones((2, 3, 4, 4))), ValueError, "must have 1 or 2 polarities, got 3 in (2, 3, 4, 4)"),
    (lambda: plot.frames(-np.ones((2, 2, 4, 4))), ValueError, "`frames` of two polarities must be 0 or more, got -1"),
    (
        lambda: plot.frames(np.ones((2, 4, 4)), steps=[2]),
        ValueError,
        "numbers of frames from 0 to 1, or how many, got [2]",
    ),
    (lambda: plot.frames(np.ones((2, 4, 4)), steps=0), ValueError, "`steps` must be 1 or more"),
    (lambda: plot.frames(np.ones((2, 4, 4)), most=0.0), ValueError, "`plot.frames`: `most` must be above 0, got 0.0"),
    (
        lambda: plot.animate("a.avi", np.ones((3, 4, 4)), E3),
        ValueError,
        "`path` must end with .gif or .mp4, got 'a.avi'",
    ),
    (
        lambda: plot.animate("a.gif", np.ones((2, 4, 4)), E3),
        ValueError,
        "there are 2 frames, but the spikes have 3 time steps",
    ),
    (lambda: plot.animate("a.gif", np.ones((3, 4, 4)), E3, fps=0.0), ValueError, "`fps` must be above 0, got 0.0"),
    (lambda: plot.network(eqx.nn.Identity()), TypeError, "`model` must be a `snn.Graph` or a `snn.Sequential`, got"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_cannot_be_drawn_is_refused_by_name_and_opens_no_figure(number, unchecked):
    call, kind, message = REFUSED[number]
    with pytest.raises(kind, match=re.escape(message)):
        call()
    assert plt.get_fignums() == []


def test_traced_arrays_are_refused():
    with pytest.raises(TypeError, match="`spikes` has no values yet, as it is traced. Draw outside of `jax.jit`"):
        jax.jit(lambda x: plot.raster(x))(jnp.eye(3))


def test_without_matplotlib_the_module_is_there_and_a_call_says_what_to_install():
    program = """
import sys
import numpy as np
from snnax import plot
assert "matplotlib" not in sys.modules
sys.modules["matplotlib"] = None
try:
    plot.raster(np.eye(3))
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    message = '`plot.raster` needs matplotlib, and matplotlib is not here: pip install "snnax[plot]"'
    assert done.stdout.strip() == message
