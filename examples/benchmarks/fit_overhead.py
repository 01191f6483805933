"""What the loop of `snnax.train.fit` costs over the bare compiled step.

    python examples/benchmarks/fit_overhead.py

The same training step of about 10 ms runs in turn

1. bare: one compiled function, written without `snnax.train`, on batches that are on the device already, called one
   time after the other and waited for at the end;
2. by `fit`, on the same batches, of which every one has its metrics fetched, checked and averaged;
3. by `fit` with `data.Loader`, which shuffles and stacks examples and copies batches to the device;
4. the same with a progress bar, two logs and a checkpoint.

The order changes from turn to turn, and the times of each turn are compared. On a machine that others use too the
clock tells little. So the processor time of the thread that runs the loop is given beside: it holds no waiting, and is
the most that the loop can add to a step. The thread of the loader is measured alone.
"""

import argparse
import functools
import os
import platform
import random
import statistics
import tempfile
import time
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import tqdm

import snnax.snn as snn
from snnax import data, functional, train

CHANNELS, STEPS, CLASSES = 32, 1000, 20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=20, help="how often each is measured (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=100, help="training steps in a turn (default: %(default)s)")
    parser.add_argument("--hidden", type=int, default=192, help="hidden neurons (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=12)
    arguments = parser.parse_args()
    print(
        f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"jax {jax.__version__}; {arguments.turns} turns of {arguments.steps} steps of {arguments.batch} "
        f"examples; load average {os.getloadavg()[0]:.1f}"
    )
    rng = np.random.default_rng(0)
    examples = arguments.steps * arguments.batch
    spikes = rng.random((examples, STEPS, CHANNELS)) < 0.05
    labels = rng.integers(0, CLASSES, examples).astype(np.int32)
    loader = data.Loader(data.Arrays(spikes=spikes, label=labels), arguments.batch)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
    step = train.make_step(loss_fn, optimiser)
    model = network(arguments.hidden)
    bare_step = jax.jit(make_bare_step(model, optimiser), donate_argnums=0)
    on_device = jax.device_put(list(loader.epoch(0)))

    def bare():
        params = jax.tree.map(jnp.copy, eqx.filter(model, eqx.is_array))
        carried = jax.block_until_ready((params, optimiser.init(params)))
        begun = Times.now()
        for number, batch in enumerate(on_device):
            carried, loss = bare_step(carried, batch, number)
        jax.block_until_ready((carried, loss))
        return Times.now() - begun

    def fitted(loader, with_everything=False):
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
            begun = Times.now()
            state, _ = train.fit(state, step, loader, epochs=1, **settings)
            jax.block_until_ready(eqx.filter(state, eqx.is_array))
            return Times.now() - begun

    ways = {
        "bare": bare,
        "fit": lambda: fitted(OnDevice(on_device)),
        "fit, loader": lambda: fitted(loader),
        "fit, loader, bar, logs, checkpoint": lambda: fitted(loader, with_everything=True),
    }
    for way in ways.values():
        way()
    times = {name: [] for name in ways}
    for turn in range(arguments.turns):
        order = list(ways)
        random.Random(turn).shuffle(order)
        for name in order:
            times[name].append(ways[name]())

    for name, found in times.items():
        ratios = [one.wall / other.wall for one, other in zip(found, times["bare"], strict=True)]
        more = [1e3 * (one.thread - other.thread) for one, other in zip(found, times["bare"], strict=True)]
        least, median = (1e3 * which(one.wall for one in found) / arguments.steps for which in (min, statistics.median))
        print(
            f"{name:34} {median:7.3f} ms a step, least {least:7.3f}; over the bare step {quartiles(ratios, 100, 1)} %; "
            f"the loop's thread {quartiles(more, 1 / arguments.steps)} ms a step"
        )
    in_turn = data.Loader(loader.source, arguments.batch, prefetch=0)
    loaded = []
    for number in range(arguments.turns):
        begun = Times.now()
        jax.block_until_ready(list(in_turn.epoch(number, place=jax.device_put)))
        loaded.append(1e3 * (Times.now() - begun).thread)
    print(f"{'the loader, alone':34} {quartiles(loaded, 1 / arguments.steps)} ms a step")


class Times(NamedTuple):
    """By the clock, and of the processor for this thread, in seconds."""

    wall: float
    thread: float

    @classmethod
    def now(cls):
        return cls(time.perf_counter(), time.thread_time())

    def __sub__(self, other):
        return Times(self.wall - other.wall, self.thread - other.thread)


def quartiles(values, factor=1.0, base=0.0):
    low, middle, high = (factor * (value - base) for value in np.quantile(values, [0.25, 0.5, 0.75]))
    return f"{middle:+.3f} ({low:+.3f} to {high:+.3f})"


class OnDevice:
    """Batches that are on the device already, as `fit` takes them."""

    def __init__(self, batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def epoch(self, epoch, *, start=0, place=None):
        yield from self.batches[start:]


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
