"""What the loop of `snnax.train.fit` costs over the bare compiled step.

    python examples/benchmarks/fit_overhead.py

The same training step of about 10 ms runs in turn

1. bare: one compiled function, written without `snnax.train`, on batches that are on the device already, called one
   time after the other and waited for at the end;
2. by `fit`, which shuffles, stacks and places the batches, fetches the metrics of every step and averages them;
3. by `fit` with a progress bar, two logs and a checkpoint after the epoch.

The order changes from turn to turn; what is compared are the times of each turn.
"""

import argparse
import functools
import os
import platform
import random
import statistics
import tempfile
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import tqdm

import snnax.snn as snn
from snnax import data, functional, train

CHANNELS, STEPS, CLASSES = 140, 50, 20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15, help="how often each is measured (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=100, help="training steps in a turn (default: %(default)s)")
    parser.add_argument(
        "--hidden", type=int, default=128, help="hidden neurons: they make the step last as long as it does"
    )
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    examples = arguments.steps * arguments.batch
    spikes = rng.random((examples, STEPS, CHANNELS)) < 0.05
    labels = rng.integers(0, CLASSES, examples).astype(np.int32)
    loader = data.Loader(data.Arrays(spikes=spikes, label=labels), arguments.batch)

    optimiser = optax.adam(1e-3)
    step = train.make_step(loss_fn, optimiser)
    model = network(arguments.hidden)
    on_device = jax.device_put(list(loader.epoch(0)))

    bare_step = jax.jit(make_bare_step(model, optimiser), donate_argnums=0)

    def bare():
        params = eqx.filter(
            jax.tree.map(lambda leaf: jnp.copy(leaf) if eqx.is_array(leaf) else leaf, model), eqx.is_array
        )
        carried = params, optimiser.init(params)
        jax.block_until_ready(carried)
        begun = time.perf_counter()
        for number, batch in enumerate(on_device):
            carried, loss = bare_step(carried, batch, number)
        jax.block_until_ready((carried, loss))
        return time.perf_counter() - begun

    def fitted(with_everything=False):
        state = train.TrainState.start(model, optimiser, jr.key(0))
        jax.block_until_ready(eqx.filter(state, eqx.is_array))
        with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
            settings = {}
            if with_everything:
                settings = {
                    "checkpoints": train.Checkpoints(folder),
                    "logs": [train.CSVLog(f"{folder}/log.csv"), train.JSONLog(f"{folder}/log.jsonl")],
                    "progress": functools.partial(tqdm.tqdm, file=nowhere),
                }
            begun = time.perf_counter()
            state, _ = train.fit(state, step, loader, epochs=1, **settings)
            jax.block_until_ready(eqx.filter(state, eqx.is_array))
            return time.perf_counter() - begun

    ways = {"bare step": bare, "fit": fitted, "fit, bar, logs, checkpoint": functools.partial(fitted, True)}
    for way in ways.values():
        way()
    times = {name: [] for name in ways}
    for turn in range(arguments.turns):
        order = list(ways)
        random.Random(turn).shuffle(order)
        for name in order:
            times[name].append(ways[name]())

    print(
        f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"jax {jax.__version__}"
    )
    print(f"{arguments.turns} turns of {arguments.steps} steps; load average {os.getloadavg()[0]:.1f}")
    for name, seconds in times.items():
        ratios = sorted(a / b for a, b in zip(seconds, times["bare step"], strict=True))
        low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        print(
            f"{name:28} {1e3 * statistics.median(seconds) / arguments.steps:7.3f} ms a step (least "
            f"{1e3 * min(seconds) / arguments.steps:.3f}), "
            f"{100 * (statistics.median(ratios) - 1):+6.2f} % "
            f"(quartiles {100 * (low - 1):+.2f} to {100 * (high - 1):+.2f} %)"
        )


def network(hidden):
    k1, k2 = jr.split(jr.key(0))
    return snn.Sequential(
        eqx.nn.Linear(CHANNELS, hidden, key=k1),
        snn.LIF([0.95, 0.9]),
        eqx.nn.Linear(hidden, CLASSES, key=k2),
        snn.SimpleLI(0.95),
    )


def loss_fn(model, batch, key):
    states = model.init_state((CHANNELS,))
    run = lambda spikes: model(states, spikes, collect={-1: snn.Mean()})[1][-1]  # noqa: E731
    return jax.vmap(functional.cross_entropy)(jax.vmap(run)(batch["spikes"]), batch["label"]).mean()


def make_bare_step(model, optimiser):
    """A step as one would write it, without any of `snnax.train`."""
    constant = eqx.filter(model, eqx.is_array, inverse=True)

    def bare_step(carried, batch, number):
        params, opt_state = carried
        key = jr.fold_in(jr.key(0), number)
        loss, gradient = jax.value_and_grad(lambda params: loss_fn(eqx.combine(params, constant), batch, key))(params)
        updates, opt_state = optimiser.update(gradient, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), loss

    return bare_step


if __name__ == "__main__":
    main()
