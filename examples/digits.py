"""Trains a small spiking network to tell handwritten digits apart by the times of single spikes.

    python examples/digits.py

The 1797 images of 8 × 8 pixels are those of scikit-learn. A pixel fires once or never: the brighter, the earlier. A
network without spikes of the same widths, which sees the pixels themselves, is trained beside.
"""

import argparse
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import sklearn.datasets

import snnax.snn as snn
from snnax import data, functional as F, train

PIXELS, UNITS, CLASSES = 64, 100, 10
STEPS = 16  # of time: one for each brightness but 0, which is silent
BATCH = 32


def main(arguments=None) -> dict[str, list[float]]:
    settings = parse_arguments(arguments)
    digits = sklearn.datasets.load_digits()
    images = data.Arrays(
        pixels=(digits.data / digits.data.max()).astype(np.float32), label=digits.target.astype(np.int32)
    )
    training, testing = data.split(images, 0.2, seed=0)
    often = np.bincount(digits.target[testing.indices]).max() / len(testing)
    print(f"{len(training)} images to train on, {len(testing)} to test on")
    accuracies = {}
    for name, make, scores in (("spiking", make_network, spiking_scores), ("without spikes", make_mlp, mlp_scores)):
        accuracies[name] = []
        for seed in range(settings.seeds):
            row = run(make(jr.key(seed)), scores, training, testing, settings.epochs, seed)
            accuracies[name].append(row["accuracy"])
        spread = train.spread(100 * jnp.array(accuracies[name]))
        print(f"{name:<15} {spread['mean']:.1f} ± {spread['std']:.1f} % of test images, over {settings.seeds} seeds")
    print(f"{'chance':<15} {100 * often:.1f} %, the most frequent digit")
    return accuracies


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many networks of each kind (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="of training (default: %(default)s)")
    settings = parser.parse_args(arguments)
    for name in ("seeds", "epochs"):
        if getattr(settings, name) < 1:
            parser.error(f"--{name} must be 1 or more, got {getattr(settings, name)}")
    return settings


def make_network(key) -> snn.Sequential:
    k1, k2 = jr.split(key)
    return snn.Sequential(
        eqx.nn.Linear(PIXELS, UNITS, key=k1),
        snn.LIF([jnp.full((UNITS,), 0.9), jnp.full((UNITS,), 0.8)]),  # decays that are trained
        eqx.nn.Linear(UNITS, CLASSES, key=k2),
        snn.SimpleLI(0.9),
    )


def spiking_scores(network, pixels):
    """The mean potentials of the read-out."""
    spikes = F.latency_code(pixels, STEPS, threshold=1 / STEPS)
    _, outs = network(network.init_state((PIXELS,)), spikes, collect={-1: snn.Mean()})
    return outs[-1]


def make_mlp(key) -> eqx.nn.MLP:
    return eqx.nn.MLP(PIXELS, CLASSES, UNITS, depth=1, key=key)


def mlp_scores(network, pixels):
    return network(pixels)


def run(
    network, scores: Callable, training: data.Source, testing: data.Source, epochs: int, seed: int
) -> dict[str, float | int]:
    """The metrics of a network after its last epoch."""

    def metric_fn(network, batch):
        found = jax.vmap(scores, in_axes=(None, 0))(network, batch["pixels"])
        losses = jax.vmap(F.cross_entropy)(found, batch["label"])
        return {"loss": losses, "accuracy": jax.vmap(F.accuracy)(found, batch["label"])}

    def loss_fn(network, batch, key):
        return metric_fn(network, batch)["loss"].mean()

    optimiser = optax.adam(3e-3)
    _, history = train.fit(
        train.TrainState.start(network, optimiser, jr.key(seed)),
        train.make_step(loss_fn, optimiser),
        data.Loader(training, BATCH, seed=seed),
        epochs=epochs,
        evaluate=train.make_evaluation(metric_fn, data.Loader(testing, BATCH, shuffle=False, drop_last=False)),
    )
    return history[-1]


if __name__ == "__main__":
    main()
