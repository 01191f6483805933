"""Draws a picture with every function of `snnax.plot`: docs/images/plots/.

python docs/figures/plots.py
"""

import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib
import numpy as np
import optax

import snnax.functional as functional
import snnax.snn as snn
from snnax import data, plot, train
from snnax.functional import surrogate

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

IMAGES = pathlib.Path(__file__).parents[1] / "images" / "plots"
DT = 0.005


def save(ax, name):
    ax.figure.savefig(IMAGES / f"{name}.png", dpi=90)
    plt.close(ax.figure)


def make_gesture():
    """Frames of a synthetic gesture, `(16, 2, 32, 32)`, and what a small network makes of them."""
    array = data.record(0, 7, 1, 3)
    events = data.Events.from_structured(array, (128, 128, 2), microseconds=1000)
    events = data.crop(data.crop_time(events, 0, 16 * 50_000), (64, 64), (22, 28))
    frames = data.bin_events(data.downsample(events, 2), 16, 50_000, mode=data.Clipped(2))[0]
    k1, k2 = jr.split(jr.key(0))
    model = snn.Sequential(
        eqx.nn.Conv2d(2, 8, kernel_size=5, stride=4, key=k1),
        snn.LIF([0.9, 0.8]),
        snn.Flatten(),
        eqx.nn.Linear(8 * 7 * 7, 40, key=k2),
        snn.LIF([0.9, 0.8]),
    )
    outs = model(model.init_state(frames.shape[1:]), frames)[1]
    return frames, outs


def make_training():
    """A network that has learned to tell apart what `data.randman` makes, its history, an example and its label."""
    k1, k2, k3 = jr.split(jr.key(0), 3)
    spikes, label = data.randman(k1, 400, classes=5, units=20, steps=50)
    source = data.Arrays(spikes=np.asarray(spikes, np.uint8), label=label)
    training, validation = data.split(source, 0.25, seed=0)
    k4, k5 = jr.split(k2)
    model = snn.Sequential(
        eqx.nn.Linear(20, 64, key=k4), snn.LIF([0.95, 0.9]), eqx.nn.Linear(64, 5, key=k5), snn.LIF([0.95, 0.9])
    )

    def scores(model, batch):
        run = lambda spikes: model(model.init_state((20,)), spikes, collect={-1: snn.Mean()})[1][-1]  # noqa: E731
        return 10 * jax.vmap(run)(batch["spikes"])

    def metric_fn(model, batch):
        found = scores(model, batch)
        return {
            "loss": jax.vmap(functional.cross_entropy)(found, batch["label"]),
            "accuracy": jax.vmap(functional.accuracy)(found, batch["label"]),
        }

    def loss_fn(model, batch, key):
        means = jax.tree.map(jnp.mean, metric_fn(model, batch))
        return means["loss"], {"accuracy": means["accuracy"]}

    optimiser = optax.adam(3e-3)
    state, history = train.fit(
        train.TrainState.start(model, optimiser, k3),
        train.make_step(loss_fn, optimiser),
        data.Loader(training, 30, seed=0),
        epochs=20,
        evaluate=train.make_evaluation(metric_fn, data.Loader(validation, 50, shuffle=False)),
    )
    return state.model, history, jnp.asarray(spikes[0], jnp.float32), int(label[0])


def of_training():
    model, history, spikes, label = make_training()
    _, outs = model(model.init_state((20,)), spikes)
    save(plot.raster(outs[1], dt=DT), "raster")
    save(plot.rates(outs, dt=DT), "rates")
    save(plot.spike_counts(outs[-1], names=[f"class {i}" for i in range(5)], highlight=label), "spike_counts")
    save(plot.weights(model[0].weight), "weights")
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    plot.learning_curves(history, "train_loss", "loss", ax=left)
    plot.learning_curves(history, "train_accuracy", "accuracy", ax=right)
    save(right, "learning_curves")


def of_states():
    model = snn.Sequential(snn.SimpleLIF(0.9))
    xs = jr.uniform(jr.key(0), (40, 3)) * jnp.array([0.7, 0.4, 0.25])
    _, outs = model(model.init_state((3,)), xs, collect={0: (snn.Trains(), snn.Traces())})
    spikes, state = outs[0]
    save(plot.traces(state.v, spikes=spikes, threshold=1.0, dt=DT), "traces")


def of_recordings():
    frames, outs = make_gesture()
    save(plot.frames(frames, dt=0.05), "frames")
    figure = Figure(figsize=(5.0, 2.1), dpi=64, layout="constrained")
    plot.animate(
        IMAGES / "animation.gif", frames, {"convolution": outs[1], "linear": outs[4]}, dt=0.05, figure=figure, fps=8
    )


def of_filters():
    """Filters as a first layer might learn them: bars of all directions, in time differences of ON and OFF."""
    y, x = np.mgrid[-1:1:9j, -1:1:9j]
    angles = np.arange(8) * np.pi / 8
    bars = [np.cos(5 * (x * np.cos(a) + y * np.sin(a))) * np.exp(-2 * (x**2 + y**2)) for a in angles]
    save(plot.receptive_fields(np.stack(bars), columns=4), "receptive_fields")


def of_networks():
    keys = jr.split(jr.key(0), 6)
    graph = snn.Graph(
        {
            "conv": eqx.nn.Conv2d(2, 8, 5, stride=2, key=keys[0]),
            "lif1": snn.LIF([0.95, 0.9]),
            "flat": snn.Flatten(),
            "fc": eqx.nn.Linear(8 * 14 * 14, 64, key=keys[1]),
            "lif2": snn.LIF([0.95, 0.9]),
            "back": eqx.nn.Linear(64, 64, key=keys[2]),
            "skip": eqx.nn.Linear(8 * 14 * 14, 11, key=keys[3]),
            "read": eqx.nn.Linear(64, 11, key=keys[4]),
            "out": snn.SimpleLI(0.95),
        },
        [
            *[("input", "conv"), ("conv", "lif1"), ("lif1", "flat"), ("flat", "fc"), ("fc", "lif2")],
            *[("lif2", "read"), ("read", "out"), snn.Edge("flat", "skip", delay=2), ("skip", "out")],
            *[snn.Edge("lif2", "back", delay=1), ("back", "lif2")],
        ],
        outputs=("out",),
    )
    save(plot.network(graph), "network")
    chain = snn.Sequential(
        eqx.nn.Linear(20, 64, key=keys[0]),
        snn.Recurrent(snn.LIF([0.95, 0.9]), eqx.nn.Linear(64, 64, key=keys[1])),
        eqx.nn.Linear(64, 5, key=keys[2]),
        snn.SimpleLI(0.95),
    )
    save(plot.network(chain), "network_chain")


def of_surrogates():
    figure, panels = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
    plot.surrogate(surrogate.SuperSpike(10.0), ax=panels[0])
    plot.surrogate(surrogate.Triangular(1.0), ax=panels[1])
    plot.surrogate(surrogate.EscapeNoise(4.0), key=jr.key(0), ax=panels[2])
    for panel, title in zip(panels, ("SuperSpike(10.0)", "Triangular(1.0)", "EscapeNoise(4.0)"), strict=True):
        panel.set_title(title, fontsize=9)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    save(panels[0], "surrogate_shapes")


def main():
    IMAGES.mkdir(parents=True, exist_ok=True)
    of_training()
    of_states()
    of_recordings()
    of_filters()
    of_networks()
    of_surrogates()


if __name__ == "__main__":
    main()
