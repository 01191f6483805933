"""Kills a training run again and again, and looks whether it ends as the one that was left alone.

    python examples/kill_and_resume.py --kills 50

A small spiking network with dropout trains in a process of its own, with a checkpoint every other step. The process is
killed by SIGKILL at random moments, often in the middle of a write, and started again, as a batch system would do it.
In the end, its state, its history and its logs are compared with those of a run without interruption, bit for bit.
"""

import argparse
import csv
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

import snnax.snn as snn
from snnax import data, functional, train

CHANNELS, STEPS, CLASSES, EXAMPLES, BATCH = 30, 20, 4, 160, 16
BATCHES = EXAMPLES // BATCH
OPTIMISER = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))


def main(arguments=None) -> bool:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="how often it is killed (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=200, help=f"of {BATCHES} steps each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    parser.add_argument("--out", help="folder of the runs (default: a temporary one)")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    settings = parser.parse_args(arguments)
    if settings.run:
        return run(pathlib.Path(settings.run), settings.epochs)
    if settings.out:
        return kill_and_compare(pathlib.Path(settings.out), settings)
    with tempfile.TemporaryDirectory() as folder:
        return kill_and_compare(pathlib.Path(folder), settings)


# The run, which knows nothing of what is done to it.


def run(folder: pathlib.Path, epochs: int) -> bool:
    """Trains, or goes on training, and saves the last state."""
    folder.mkdir(parents=True, exist_ok=True)
    state, history = train.fit(
        start(),
        train.make_step(loss_fn, OPTIMISER),
        Told(data.Loader(examples(seed=0), BATCH)),
        epochs=epochs,
        evaluate=train.make_evaluation(accuracies, data.Loader(examples(seed=1), 64, shuffle=False, drop_last=False)),
        checkpoints=train.Checkpoints(folder / "checkpoints", metric="accuracy"),
        every=2,
        resume=True,
        logs=[train.CSVLog(folder / "log.csv")],
    )
    train.save(folder / "last", state, config={"history": history})
    return True


def start() -> train.TrainState:
    k1, k2, k3 = jr.split(jr.key(0), 3)
    model = snn.Sequential(
        eqx.nn.Linear(CHANNELS, 32, key=k1),
        snn.LIF([jnp.array(0.95), 0.9]),
        eqx.nn.Dropout(0.2),
        eqx.nn.Linear(32, CLASSES, key=k2),
        snn.SimpleLI(0.95),
    )
    return train.TrainState.start(model, OPTIMISER, k3)


def examples(seed: int) -> data.Arrays:
    """Spikes at rates that tell the class."""
    rates = np.random.default_rng(99).random((CLASSES, CHANNELS)) * 0.3
    label = np.arange(EXAMPLES, dtype=np.int32) % CLASSES
    spikes = np.random.default_rng(seed).random((EXAMPLES, STEPS, CHANNELS)) < rates[label][:, None]
    return data.Arrays(spikes=spikes.astype(np.uint8), label=label)


def scores(model, batch, key):
    states, keys = model.init_state((CHANNELS,)), jr.split(key, len(batch["label"]))
    run = lambda spikes, key: model(states, spikes, key, collect={-1: snn.Mean()})[1][-1]  # noqa: E731
    return jax.vmap(run)(batch["spikes"], keys)


def loss_fn(model, batch, key):
    return jax.vmap(functional.cross_entropy)(scores(model, batch, key), batch["label"]).mean()


def accuracies(model, batch):
    return {"accuracy": jax.vmap(functional.accuracy)(scores(model, batch, jr.key(0)), batch["label"])}


class Told:
    """A loader that tells the step at which it begins, as soon as the first step of the process has been taken."""

    def __init__(self, loader: data.Loader):
        self.loader, self.given = loader, 0

    def __len__(self):
        return len(self.loader)

    def epoch(self, epoch, *, start=0, place=lambda batch: batch):
        for number, batch in enumerate(self.loader.epoch(epoch, start=start, place=place), start):
            if self.given == 1:
                print(epoch * len(self) + number, flush=True)
            self.given += 1
            yield batch


# What is done to it.


def kill_and_compare(folder: pathlib.Path, settings) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    # Without it, most of a life is spent on compiling.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "compiled"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    whole = begin(folder / "whole", settings.epochs)
    whole.stdout.readline()
    begun = time.monotonic()
    finish(whole)
    seconds_of_a_step = (time.monotonic() - begun) / (settings.epochs * BATCHES)
    print(f"without interruption: {settings.epochs * BATCHES} steps of {1e3 * seconds_of_a_step:.1f} ms")

    moments = random.Random(settings.seed)
    killed, half_written, begun_at = 0, 0, []
    while killed < settings.kills:
        life = begin(folder / "killed", settings.epochs)
        line = life.stdout.readline()
        if not line:  # the run was over before it was killed often enough
            finish(life)
            break
        begun_at.append(int(line))
        left = (settings.epochs * BATCHES - begun_at[-1]) * seconds_of_a_step
        time.sleep(moments.uniform(0, 1.6) * left / (settings.kills - killed + 1))
        os.kill(life.pid, signal.SIGKILL)
        life.communicate()
        if life.returncode != -signal.SIGKILL:
            break
        killed += 1
        half_written += len(list((folder / "killed" / "checkpoints").glob(".*.tmp")))
    finish(begin(folder / "killed", settings.epochs))

    same = compare(folder / "killed", folder / "whole")
    print(
        f"killed {killed} times, {half_written} times in the middle of a write; the lives began at the steps {begun_at}"
    )
    for what, equal in same.items():
        print(f"{what}: {'the same' if equal else 'NOT THE SAME'}")
    return killed == settings.kills and all(same.values())


def begin(folder: pathlib.Path, epochs: int) -> subprocess.Popen:
    command = [sys.executable, __file__, "--run", str(folder), "--epochs", str(epochs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(life: subprocess.Popen) -> None:
    life.communicate()
    if life.returncode:
        raise SystemExit(f"The run ended with {life.returncode}.")


def compare(folder: pathlib.Path, other: pathlib.Path) -> dict[str, bool]:
    """What of two finished runs is the same, bit for bit; times aside."""
    states = [train.load(one / "last", start()) for one in (folder, other)]
    histories = [train.read_config(one / "last")["history"] for one in (folder, other)]
    tables = []
    for one in (folder, other):
        with open(one / "log.csv", newline="") as file:
            tables.append(list(csv.DictReader(file)))
    best = [train.Checkpoints(one / "checkpoints", metric="accuracy").best() for one in (folder, other)]
    return {
        "all parameters and the state of the optimiser": bool(eqx.tree_equal(*states)),
        "the history": without_times(histories[0]) == without_times(histories[1]),
        "the table of the log": without_times(tables[0]) == without_times(tables[1]),
        "the step of the best checkpoint": best[0] == best[1],
    }


def without_times(rows: list[dict]) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
