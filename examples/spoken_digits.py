"""Trains a recurrent spiking network to tell spoken digits apart, on the recordings of the Free Spoken Digit Dataset.

    python examples/spoken_digits.py fsdd.npz                       the data set's own split: takes 0–4 are the test
    python examples/spoken_digits.py fsdd.npz --split speaker       each speaker tests networks that never heard him

`help(snnax.data.SpokenDigits)` says what the file holds. A recording becomes the energy in bands of frequency, and its
ups and downs become spikes. A GRU of as many weights, which sees the energies themselves, is trained beside. Results
go to `runs/spoken_digits/`.
"""

import argparse
import functools
import itertools
import json
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

import snnax.snn as snn
from snnax import data, functional as F, train
from snnax.functional import surrogate

CLASSES = 10
LONGEST = 0.8  # of a recording, in seconds; the rest is cut off
WINDOW, HOP = 0.025, 0.01  # of a frame, and between two, in seconds; a hop is a time step
BANDS, FLOOR = 32, 1e-4  # of frequency, and the energy of silence
CHANGE = 0.3  # of a logarithmic energy, for one spike
UNITS, GATED = 128, 76  # neurons, and units of a GRU, with about 26 000 weights in both networks
SHIFT = 2  # in bands, of the recordings in training: other speakers have higher or lower voices
BATCH = 64


def main(arguments=None) -> dict[str, Any]:
    settings = parse_arguments(arguments)
    out = pathlib.Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    recordings = data.SpokenDigits(settings.path)
    sources = encode(recordings)
    accuracies, chance = {kind: {} for kind in sources}, {}
    for name, training, testing in parts(recordings, settings.split):
        chance[name] = np.bincount(recordings.labels[testing]).max() / len(testing)
        print(f"{name}: {len(training)} recordings to train on, {len(testing)} to test on")
        evaluations = {}  # one for all seeds, so that it is compiled once
        for kind, source in sources.items():
            loader = data.Loader(data.Subset(source, testing), BATCH, shuffle=False, drop_last=False)
            evaluations[kind] = train.make_evaluation(metric_fn, loader)
        for kind, seed in itertools.product(sources, range(settings.seeds)):
            started = time.monotonic()
            log = train.CSVLog(out / f"{name.replace(' ', '_')}_{kind}_{seed}.csv")
            loader = data.Loader(data.Subset(sources[kind], training), BATCH, seed=seed)
            row = run(kind, seed, loader, evaluations[kind], settings.epochs, log)
            accuracies[kind].setdefault(name, []).append(row["accuracy"])
            firing = f", neurons fire in {100 * row['rate']:.0f} % of steps" if kind == "spiking" else ""
            seconds = time.monotonic() - started
            print(f"  {kind}, seed {seed}: {100 * row['accuracy']:.1f} %{firing} ({seconds:.0f} s)", flush=True)
    (out / f"{settings.split}.json").write_text(json.dumps({**accuracies, "chance": chance}, indent=1) + "\n")
    report(accuracies, chance)
    return accuracies


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="npz file of the recordings")
    parser.add_argument("--split", choices=("take", "speaker"), default="take", help="what is tested (default: take)")
    parser.add_argument("--seeds", type=int, default=3, help="how many networks of each kind (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=15, help="of training (default: %(default)s)")
    parser.add_argument("--out", default="runs/spoken_digits", help="where results go (default: %(default)s)")
    settings = parser.parse_args(arguments)
    for name in ("seeds", "epochs"):
        if getattr(settings, name) < 1:
            parser.error(f"--{name} must be 1 or more, got {getattr(settings, name)}")
    return settings


def parts(recordings: data.SpokenDigits, split: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """A name, and the numbers of the recordings to train on and to test on."""
    numbers = data.Arrays(number=np.arange(len(recordings)))
    if split == "take":
        return [("takes 0-4", np.flatnonzero(recordings.takes >= 5), np.flatnonzero(recordings.takes < 5))]
    divided = []
    for speaker in np.unique(recordings.speakers):
        training, testing = data.leave_out(numbers, speaker, by=recordings.speakers)
        divided.append((recordings.names[speaker], training.indices, testing.indices))
    return divided


def encode(recordings: data.SpokenDigits) -> dict[str, data.Arrays]:
    """What each kind of network sees, `x`, of recordings at one loudness; their `length` in steps, and their `label`.

    The GRU sees the energy in bands, `(time, 1, BANDS)`, from 0 for silence to about 1. The spiking network sees its
    ups and downs, `(time, 2, BANDS)`, as counts of spikes.
    """
    silence, most, hop = (round(seconds * recordings.sample_rate) for seconds in (WINDOW, LONGEST, HOP))
    sound = np.zeros((len(recordings), silence + most), np.float32)  # silence comes first, so that all ups are seen
    length = np.zeros(len(recordings), np.int32)
    cut = 0
    for row, example in enumerate(recordings):
        audio = example["audio"][:most].astype(np.float32)
        sound[row, silence : silence + len(audio)] = audio / max(1, np.abs(audio).max())
        length[row] = 1 + len(audio) // hop
        cut += len(example["audio"]) > most
    print(f"{len(recordings)} recordings, {cut} of them cut to {LONGEST} s")

    def encoded(sound):
        energy = F.mel_spectrogram(sound, recordings.sample_rate, BANDS, window=WINDOW, hop=HOP, floor=FLOOR)
        changes = F.send_on_delta(energy, CHANGE)
        spikes = jnp.stack([jnp.maximum(changes, 0), jnp.maximum(-changes, 0)], axis=1)
        return 1 - energy[:, None] / math.log(FLOOR), spikes.astype(jnp.uint8)

    energy, spikes = jax.jit(lambda sound: jax.lax.map(encoded, sound, batch_size=50))(sound)
    both = {"length": length, "label": recordings.labels.astype(np.int32)}
    return {"spiking": data.Arrays(x=spikes, **both), "GRU": data.Arrays(x=energy, **both)}


class GRU(snn.StatefulLayer):
    """The gated recurrent units of Equinox as a layer."""

    cell: eqx.nn.GRUCell

    def init_state(self, in_shape, key=None):
        return jnp.zeros((self.cell.hidden_size,))

    def __call__(self, state, x, *, key=None):
        hidden = self.cell(x, state)
        return hidden, hidden


def make_network(kind: str, key) -> snn.Sequential:
    """Recurrent units behind which a leaky read-out integrates; the spiking ones have trained decays, fast to slow."""
    k1, k2, k3, k4 = jr.split(key, 4)
    if kind == "GRU":
        width, units = GATED, [GRU(eqx.nn.GRUCell(BANDS, GATED, key=k1))]
    else:
        neurons = snn.LIF(
            [jr.permutation(k4, jnp.linspace(0.6, 0.98, UNITS)), jnp.linspace(0.0, 0.9, UNITS)],
            gain=[1.0, snn.UnityGain()],
            reset=snn.SubtractReset(),
            spike_fn=surrogate.SuperSpike(10.0),
        )
        synapse = eqx.nn.Linear(UNITS, UNITS, key=k2)
        width, units = UNITS, [eqx.nn.Linear(2 * BANDS, UNITS, key=k1), snn.Recurrent(neurons, synapse)]
    read_out = [eqx.nn.Dropout(0.2), eqx.nn.Linear(width, CLASSES, key=k3), snn.SimpleLI(0.9)]
    return snn.Sequential(snn.Flatten(), *units, *read_out)


def read(network, x, length, key):
    """The mean potentials of the read-out while the recording lasts, and the mean output of the units."""
    states = network.init_state(x.shape[2:])
    keys = jr.split(key, len(x))

    def one(x, length, key):
        _, means = network(states, x.astype(jnp.float32), key, collect=snn.Window(snn.Mean(), stop=length))
        return means[-1], means[-4].mean()

    return jax.vmap(one)(x, length, keys)


def shifted(x, key):
    """A recording `SHIFT` bands higher or lower at most; the outermost band is repeated."""
    wide = jnp.pad(x, ((0, 0), (0, 0), (SHIFT, SHIFT)), mode="edge")
    return jax.lax.dynamic_slice_in_dim(wide, jr.randint(key, (), 0, 2 * SHIFT + 1), BANDS, axis=2)


def loss_fn(network, batch, key):
    k1, k2 = jr.split(key)
    x = jax.vmap(shifted)(batch["x"], jr.split(k1, len(batch["x"])))
    scores, _ = read(network, x, batch["length"], k2)
    accuracy = jax.vmap(F.accuracy)(scores, batch["label"]).mean()
    return jax.vmap(F.cross_entropy)(scores, batch["label"]).mean(), {"accuracy": accuracy}


def metric_fn(network, batch):
    scores, rates = read(network, batch["x"], batch["length"], jr.key(0))
    return {"accuracy": jax.vmap(F.accuracy)(scores, batch["label"]), "rate": rates}


def run(kind: str, seed: int, loader: data.Loader, evaluate: Callable, epochs: int, log: Callable) -> dict[str, Any]:
    """The metrics of a network after its last epoch."""
    # One optimiser and one step for all runs of as many batches, so that they are compiled once.
    step = make_step(epochs * len(loader))
    k1, k2, k3 = jr.split(jr.key(seed), 3)
    network = make_network(kind, k1)
    if kind == "spiking":
        some = next(loader.epoch(0))["x"].astype(np.float32)
        network = snn.calibrate(network, some, 0.1, k2)
    _, history = train.fit(
        train.TrainState.start(network, step.optimiser, k3),
        step,
        loader,
        epochs=epochs,
        evaluate=evaluate,
        logs=[log],
    )
    return history[-1]


@functools.cache
def make_step(steps: int) -> train.Step:
    schedule = optax.cosine_onecycle_schedule(steps, 1e-2, pct_start=0.2)
    return train.make_step(loss_fn, optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule)))


def report(accuracies: dict[str, dict[str, list[float]]], chance: dict[str, float]):
    """A table in percent: means over the seeds and, behind ±, standard deviations."""
    print(f"\n{'test':<14}" + "".join(f"{kind:>16}" for kind in accuracies) + f"{'chance':>9}")
    rows = {name: {kind: jnp.array(found[name]) for kind, found in accuracies.items()} for name in chance}
    if len(rows) > 1:  # each seed's mean over all parts
        rows["all"] = {kind: sum(rows[name][kind] for name in chance) / len(chance) for kind in accuracies}
    for name, found in rows.items():
        of_seeds = (train.spread(100 * values) for values in found.values())
        cells = "".join(f"{spread['mean']:>9.1f} ± {spread['std']:<4.1f}" for spread in of_seeds)
        print(f"{name:<14}{cells}{100 * chance.get(name, np.mean(list(chance.values()))):>9.1f}")


if __name__ == "__main__":
    main()
