"""Trains a convolutional spiking network to tell gestures apart from event-camera recordings.

    python examples/dvs_gesture.py                      synthetic gestures, made on the spot
    python examples/dvs_gesture.py --data DIR           the real IBM recordings (DVS Gesture), if they are in DIR
    python examples/dvs_gesture.py --data DIR --download

Both are read by the same `tonic.datasets.DVSGesture` and go the same way. Results go to `runs/dvs_gesture/`.
"""

import argparse
import json
import math
import os
import pathlib
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import tonic
from tqdm import tqdm

import snnax.data as data
import snnax.plot as plot
import snnax.snn as snn
from snnax.functional import surrogate

SENSOR = 128
SIZE = 32  # of a frame, in pixels
CLASSES = 11
MOST = 3  # events that count, of a pixel and polarity in a time step
AIR_GUITAR = 9  # is played to one side, so a mirrored one is none
MIRRORED = [
    0,
    2,
    1,
    6,
    5,
    4,
    3,
    7,
    8,
    9,
    10,
]  # right hand wave is left hand wave, right arm clockwise is left arm counter...
BY_HAND = """\
{problem}

To fetch them by hand, save these two archives under these names, then start again with --download, which unpacks them:

    {train_url}    as    {folder}/ibmGestureTrain.tar.gz
    {test_url}    as    {folder}/ibmGestureTest.tar.gz

They are IBM's recordings, cut into single gestures for tonic: {folder}/ibmGestureTrain/user01_led/0.npy and so on,
which must lie beside the archives. The .aedat files of IBM's own page are not read."""


def main():
    settings = parse_arguments()
    out = pathlib.Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    started = time.time()
    root = find_recordings(settings)
    train, test = (load_frames(root, part, settings) for part in (True, False))
    print(
        f"{len(train[1])} recordings of training subjects, {len(test[1])} of test subjects "
        f"({time.time() - started:.0f} s)"
    )
    trainer = Trainer(settings, len(train[1]))
    if settings.resume:
        trainer.load(out / "checkpoint.eqx")
    while trainer.epoch < settings.epochs:
        trainer.train_epoch(*train)
        trainer.history[-1]["test_accuracy"] = trainer.evaluate(*test)
        trainer.save(out / "checkpoint.eqx")
    draw(trainer, test[0], test[1], out / "dvs_gesture.png")
    print(f"saved {out / 'checkpoint.eqx'} and {out / 'dvs_gesture.png'} ({time.time() - started:.0f} s)")
    print(f"test accuracy: {100 * trainer.history[-1]['test_accuracy']:.1f} %")


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder that holds DVSGesture/ (default: synthetic gestures are made)")
    parser.add_argument("--download", action="store_true", help="fetch the real recordings into --data through tonic")
    parser.add_argument("--out", default="runs/dvs_gesture", help="where results go (default: %(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    numbers = (
        ("--seed", int, 0, 0, "of the network and of training"),
        ("--epochs", int, 1, 75, "how often training goes through all recordings"),
        ("--batch-size", int, 1, 16, "recordings in a step of training"),
        ("--learning-rate", float, 0, 4e-3, "the highest; it falls to 0 along a cosine"),
        ("--steps", int, 1, 32, "time steps of a recording; what comes later is left out"),
        ("--step-ms", float, 1, 40.0, "length of a time step in milliseconds"),
    )
    for name, kind, lowest, default, meaning in numbers:
        text = f"{meaning}; {lowest} or more (default: %(default)s)"
        parser.add_argument(name, type=kind, default=default, help=text)
    settings = parser.parse_args(arguments)
    for name, _, lowest, _, _ in numbers:
        value = getattr(settings, name.strip("-").replace("-", "_"))
        if not lowest <= value < math.inf:
            parser.error(f"{name} must be {lowest} or more, got {value}")
    if settings.download and not settings.data:
        parser.error("--download needs --data DIR, the folder to put the recordings in")
    return settings


def find_recordings(settings) -> pathlib.Path:
    """The folder that tonic reads, after making or fetching what is missing."""
    if settings.data is None:
        print("synthetic gestures (for the real recordings: --data DIR, see --help)")
        root = pathlib.Path(settings.out).parent / "synthetic_gestures"
        with tqdm(desc="making recordings", unit="file") as bar:

            def progress(done, total):
                bar.total = total
                bar.update(done - bar.n)

            data.write_gestures(root, progress=progress)
        return root
    root = pathlib.Path(settings.data).expanduser()
    gestures = tonic.datasets.DVSGesture
    folder = root / "DVSGesture"
    where = {"folder": folder, "train_url": gestures.train_url, "test_url": gestures.test_url}
    if settings.download:
        try:
            for part in (True, False):
                gestures(save_to=str(root), train=part)
        except Exception as error:
            problem = f"--download: the recordings could not be downloaded: {error}"
            raise SystemExit(BY_HAND.format(problem=problem, **where)) from error
    elif not all(is_there(folder / part) for part in ("ibmGestureTrain", "ibmGestureTest")):
        # tonic would start to download without being asked.
        problem = f"--data: the recordings are not in {folder}. To download them through tonic add --download."
        raise SystemExit(BY_HAND.format(problem=problem, **where))
    return root


def is_there(part: pathlib.Path) -> bool:
    """Whether tonic takes a part of the recordings as downloaded: its archive, and 100 recordings out of it."""
    return part.with_name(part.name + ".tar.gz").is_file() and len(list(part.rglob("*.npy"))) >= 100


def load_frames(root: pathlib.Path, train: bool, settings) -> tuple[np.ndarray, np.ndarray]:
    """Frames of event counts, `(recordings, steps, 2, 32, 32)` in uint8, and labels; sorted by file."""
    dataset = tonic.datasets.DVSGesture(save_to=str(root), train=train)
    order = sorted(range(len(dataset)), key=lambda i: str(dataset.data[i]))
    frames = np.zeros((len(order), settings.steps, 2, SIZE, SIZE), np.uint8)
    labels = np.zeros(len(order), np.int32)
    for row, i in enumerate(tqdm(order, desc="reading " + ("train" if train else "test"), unit="file")):
        events, labels[row] = dataset[i]
        frames[row] = bin_events(events, settings)
    return frames, labels


def bin_events(events: np.ndarray, settings) -> np.ndarray:
    """Event counts, `MOST` at most, of the first `steps` windows of a recording; what comes later is left out."""
    window = ((events["t"] - events["t"].min()) / (1000 * settings.step_ms)).astype(int)
    events, window = events[window < settings.steps], window[window < settings.steps]
    scale = SENSOR // SIZE
    shape = (settings.steps, 2, SIZE, SIZE)
    cell = np.ravel_multi_index((window, events["p"].astype(int), events["y"] // scale, events["x"] // scale), shape)
    return np.minimum(np.bincount(cell, minlength=np.prod(shape)), MOST).astype(np.uint8).reshape(shape)


def make_model(key) -> snn.Sequential:
    """A small convolutional network, whose neurons start with decays from fast to slow, which are trained.

    What a slow neuron still remembers meets what a fast one sees now; so the next layer tells where a thing came from.
    """
    k1, k2, k3, k4 = jr.split(key, 4)

    def lif(slowest, n, *space):
        membrane = jnp.tile(jnp.linspace(slowest - 0.5, slowest, 4), n // 4)
        synapse = jnp.linspace(0.0, 0.95, n)
        return snn.LIF(
            [membrane.reshape(n, *space), synapse.reshape(n, *space)],
            gain=[1.0, 2.0],
            spike_fn=surrogate.SuperSpike(2.0),
        )

    return snn.Sequential(
        eqx.nn.Conv2d(2, 24, kernel_size=4, stride=4, key=k1),
        lif(0.9, 24, 1, 1),
        eqx.nn.Conv2d(24, 48, kernel_size=3, stride=2, padding=1, key=k2),
        lif(0.9, 48, 1, 1),
        snn.Flatten(),
        eqx.nn.Linear(48 * 4 * 4, 128, key=k3),
        lif(0.95, 128),
        eqx.nn.Linear(128, CLASSES, key=k4),
        snn.SimpleLI(jnp.full((CLASSES,), 0.9)),
    )


def augmented(frames, label, key, reach: int = 2):
    """A recording moved by up to `reach` pixels, with ON and OFF exchanged or not, mirrored or not."""
    keys = jr.split(key, 3)
    frames = shifted(frames, keys[0], reach)
    frames = jnp.where(jr.bernoulli(keys[1]), frames[:, ::-1], frames)
    mirror = jr.bernoulli(keys[2]) & (label != AIR_GUITAR)
    return jnp.where(mirror, frames[..., ::-1], frames), jnp.where(mirror, jnp.asarray(MIRRORED)[label], label)


def shifted(frames, key, reach: int):
    padded = jnp.pad(frames, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    y, x = jr.randint(key, (2,), 0, 2 * reach + 1)
    return jax.lax.dynamic_slice(padded, (0, 0, y, x), frames.shape)


def read_out(model, frames):
    """The logits of a batch of recordings: the read-out's potentials, averaged over time."""
    states = model.init_state(frames.shape[2:])
    _, outs = jax.vmap(model, in_axes=(None, 0))(states, frames)
    return outs[-1].mean(axis=1)


@eqx.filter_jit(donate="all-except-first")
def make_step(batch, model, opt_state, optimiser):
    frames, labels, key = batch
    params, static = eqx.partition(model, snn.trainable(model))

    frames, labels = jax.vmap(augmented)(frames, labels, jr.split(key, len(frames)))

    def loss_fn(params):
        logits = read_out(eqx.combine(params, static), frames)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        return loss, (logits.argmax(axis=1) == labels).mean()

    (loss, accuracy), gradient = jax.value_and_grad(loss_fn, has_aux=True)(params)
    updates, opt_state = optimiser.update(gradient, opt_state, params)
    return snn.project(eqx.apply_updates(model, updates)), opt_state, loss, accuracy


@eqx.filter_jit
def predict(model, frames):
    return read_out(model, frames).argmax(axis=1)


class Trainer:
    """A network, its optimiser, and how far they have come."""

    def __init__(self, settings, recordings: int):
        self.settings = settings
        self.per_epoch = recordings // settings.batch_size
        if not self.per_epoch:
            raise SystemExit(f"--batch-size must be {recordings} (all recordings) or less, got {settings.batch_size}.")
        schedule = optax.cosine_decay_schedule(settings.learning_rate, settings.epochs * self.per_epoch)
        self.optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
        self.model = make_model(jr.key(settings.seed))
        self.opt_state = self.optimiser.init(eqx.filter(self.model, snn.trainable(self.model)))
        self.epoch = 0
        self.history = []

    def train_epoch(self, frames: np.ndarray, labels: np.ndarray):
        order = np.random.default_rng([self.settings.seed, self.epoch]).permutation(len(labels))
        key = jr.fold_in(jr.key(self.settings.seed + 1), self.epoch)
        losses, accuracies = [], []
        with tqdm(range(self.per_epoch), desc=f"epoch {self.epoch + 1}/{self.settings.epochs}") as bar:
            for i in bar:
                rows = order[i * self.settings.batch_size : (i + 1) * self.settings.batch_size]
                batch = jnp.asarray(frames[rows]), jnp.asarray(labels[rows]), jr.fold_in(key, i)
                self.model, self.opt_state, loss, accuracy = make_step(
                    batch, self.model, self.opt_state, self.optimiser
                )
                losses.append(float(loss))
                accuracies.append(float(accuracy))
                bar.set_postfix(loss=f"{np.mean(losses):.3f}", accuracy=f"{100 * np.mean(accuracies):.1f} %")
        self.history.append({"loss": float(np.mean(losses)), "train_accuracy": float(np.mean(accuracies))})
        self.epoch += 1

    def evaluate(self, frames: np.ndarray, labels: np.ndarray) -> float:
        return float(np.mean(self.predictions(frames) == labels))

    def predictions(self, frames: np.ndarray) -> np.ndarray:
        size = self.settings.batch_size
        parts = [predict(self.model, jnp.asarray(frames[i : i + size])) for i in range(0, len(frames), size)]
        return np.concatenate(parts)

    def header(self) -> dict:
        """What a checkpoint must agree in with the run that takes it up."""
        names = ("data", "seed", "epochs", "batch_size", "learning_rate", "steps", "step_ms")
        return {"format": "snnax dvs_gesture 1", **{name: getattr(self.settings, name) for name in names}}

    def save(self, path: pathlib.Path):
        """Writes next to `path` and then renames, so that an interruption leaves the old checkpoint whole."""
        unfinished = path.with_suffix(".unfinished")
        with open(unfinished, "wb") as file:
            file.write(json.dumps({**self.header(), "history": self.history}).encode() + b"\n")
            eqx.tree_serialise_leaves(file, (self.model, self.opt_state))
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)

    def load(self, path: pathlib.Path):
        if not path.exists():
            raise SystemExit(f"--resume: there is no checkpoint at {path}. Start without --resume.")
        try:
            with open(path, "rb") as file:
                found = json.loads(file.readline())
                history = found.pop("history")
                wrong = {name: found.get(name) for name, value in self.header().items() if found.get(name) != value}
                if not wrong:
                    self.model, self.opt_state = eqx.tree_deserialise_leaves(file, (self.model, self.opt_state))
        except Exception as error:
            raise SystemExit(
                f"--resume: {path} is damaged or no checkpoint of this script ({error}). Start without --resume."
            ) from error
        if wrong:
            raise SystemExit(
                f"--resume: the checkpoint {path} was made with other settings: {wrong}. Use the same ones."
            )
        self.history, self.epoch = history, len(history)
        print(f"resumed after epoch {self.epoch}")


def draw(trainer: Trainer, frames: np.ndarray, labels: np.ndarray, path: pathlib.Path):
    """One test recording as frames, the spikes that it causes in every layer, and the learning curves."""
    from matplotlib.figure import Figure

    names = tonic.datasets.DVSGesture.classes
    row = int(np.argmax(trainer.predictions(frames) == labels))
    model = trainer.model
    _, outs = jax.jit(lambda xs: model(model.init_state(xs.shape[1:]), xs))(jnp.asarray(frames[row]))
    spiking = [i for i, layer in enumerate(model) if isinstance(layer, snn.SpikingLayer)]
    steps, dt = trainer.settings.steps, trainer.settings.step_ms / 1000

    figure = Figure(figsize=(11, 7.5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.9, 1])
    strip, body = left.subfigures(2, 1, height_ratios=[1.4, 5])
    strip.suptitle(f"events of a test recording: {names[labels[row]].lower()}", fontsize=10)
    plot.frames(frames[row], most=2, dt=dt, ax=strip.subplots())
    panels = body.subplots(len(spiking) + 1, 1, sharex=True)
    for axes, i in zip(panels[:-1], spiking, strict=True):
        train = np.asarray(outs[i]).reshape(steps, -1)
        some = np.linspace(0, train.shape[1] - 1, min(train.shape[1], 256)).astype(int)
        plot.raster(train[:, some], dt=dt, ax=axes)
        axes.set_xlabel("")
        axes.set_ylabel(f"layer {i}", fontsize=8)
        axes.set_title(f"{train.shape[1]} neurons, {100 * train.mean():.1f} % firing per step", fontsize=8, loc="right")
    plot.traces(outs[-1], highlight=int(labels[row]), dt=dt, ax=panels[-1])
    panels[-1].set_ylabel("read-out", fontsize=8)
    panels[-1].set_title(f"bold: {names[labels[row]].lower()}", fontsize=8, loc="right")
    above, below = right.subplots(2, 1, sharex=True)
    plot.learning_curves(trainer.history, "loss", ax=above)
    above.set(xlabel="", ylabel="cross entropy (training)")
    plot.learning_curves(trainer.history, "train_accuracy", "test_accuracy", ax=below)
    below.axhline(1 / CLASSES, color="0.6", linestyle=":", label="chance")
    below.set(ylabel="accuracy", ylim=(0, 1))
    below.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
