"""Trains a spiking network, takes it out to NIR and in again, and looks whether it is the same.

    python examples/nir_roundtrip.py --out runs/nir

The task is one of random manifolds, in which only the times of the spikes tell the classes apart; the network is
recurrent. Written are the network, `network.nir`, and the spikes of both, `rasters.png`.
"""

import argparse
import pathlib
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib
import numpy as np
import optax

import snnax.nir
import snnax.snn as snn
from snnax import data, functional, train

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

UNITS, HIDDEN, CLASSES, STEPS, EXAMPLES = 40, 64, 4, 60, 800
DT = 1e-3  # seconds


def main(arguments=None) -> bool:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/nir"), help="default: %(default)s")
    settings = parser.parse_args(arguments)
    settings.out.mkdir(parents=True, exist_ok=True)

    k1, k2 = jr.split(jr.key(settings.seed))
    spikes, label = data.randman(k1, EXAMPLES, classes=CLASSES, units=UNITS, steps=STEPS)
    source = data.Arrays(spikes=np.asarray(spikes, np.uint8), label=np.asarray(label))
    training, testing = data.split(source, 0.25, seed=settings.seed)
    model = trained(k2, training, settings)

    path = settings.out / "network.nir"
    snnax.nir.write(path, model, (UNITS,), dt=DT)
    back = snnax.nir.from_nir(path, dt=DT)

    batch = next(data.Loader(testing, len(testing), shuffle=False).epoch(0))
    here, there = trains(model, batch), trains(back, batch)
    for name in here:
        different = int(jnp.sum(here[name] != there[name]))
        print(f"{name}: {here[name].size} values, {different} differ")
    scores = {"here": here["output"].sum(1), "from NIR": there["output"].sum(1)}
    for name, score in scores.items():
        print(f"accuracy {name}: {float(jax.vmap(functional.accuracy)(score, batch['label']).mean()):.3f}")
    draw(settings.out / "rasters.png", batch["spikes"][0], here["spikes"][0], there["spikes"][0])
    print(f"written: {path}, {settings.out / 'rasters.png'}")
    return all(bool(jnp.array_equal(here[name], there[name])) for name in here)


def make_model(key) -> snn.Graph:
    k1, k2, k3 = jr.split(key, 3)
    feedback = eqx.nn.Linear(HIDDEN, HIDDEN, use_bias=False, key=k2)
    nodes = {
        "weights": eqx.nn.Linear(UNITS, HIDDEN, key=k1),
        "hidden": snn.Recurrent(snn.LIF([snn.Logistic(0.9), snn.Logistic(0.5)]), feedback),
        "readout": eqx.nn.Linear(HIDDEN, CLASSES, key=k3),
        "output": snn.SimpleLI(0.95),
    }
    edges = [("input", "weights"), ("weights", "hidden"), ("hidden", "readout"), ("readout", "output")]
    return snn.Graph(nodes, edges, outputs=("output",))


def trained(key, training, settings) -> snn.Graph:
    def loss_fn(model, batch, key):
        run = lambda spikes: model(model.init_state((UNITS,)), spikes, collect={"output": snn.Mean()})[1]["output"]  # noqa: E731
        scores = jax.vmap(run)(batch["spikes"].astype(jnp.float32))
        accuracy = jax.vmap(functional.accuracy)(scores, batch["label"]).mean()
        return jax.vmap(functional.cross_entropy)(scores, batch["label"]).mean(), {"accuracy": accuracy}

    k1, k2 = jr.split(key)
    optimiser = optax.adam(5e-3)
    state, history = train.fit(
        train.TrainState.start(make_model(k1), optimiser, k2),
        train.make_step(loss_fn, optimiser),
        data.Loader(training, 50, seed=settings.seed),
        epochs=settings.epochs,
    )
    print(f"trained for {settings.epochs} epochs: loss {history[-1]['train_loss']:.3f}")
    return state.model


@eqx.filter_jit
def trains(model: snn.Graph, batch) -> dict[str, jax.Array]:
    """What the hidden neurons fire and what comes out, for each example."""
    run = lambda spikes: model(model.init_state((UNITS,)), spikes)[1]  # noqa: E731
    outs = jax.vmap(run)(batch["spikes"].astype(jnp.float32))
    hidden = outs["hidden"]
    return {"spikes": hidden["lif"] if isinstance(hidden, dict) else hidden, "output": outs["output"]}


def draw(path, given, here, there) -> None:
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharex=True, layout="constrained")
    titles = ("input", "hidden neurons", "hidden neurons, from NIR")
    for axis, title, raster in zip(axes, titles, (given, here, there), strict=True):
        step, unit = np.nonzero(np.asarray(raster))
        axis.scatter(1e3 * DT * step, unit, s=4, c="black", marker="|", linewidths=1)
        axis.set(title=title, xlabel="time (ms)", xlim=(-1, 1e3 * DT * STEPS), ylim=(-1, raster.shape[1]))
    axes[0].set_ylabel("unit")
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
