"""Trains a convolutional spiking network to tell gestures apart from event-camera recordings.

    python examples/dvs_gesture.py                      synthetic gestures, made on the spot
    python examples/dvs_gesture.py --data DIR           the real IBM recordings (DVS Gesture), if they are in DIR
    python examples/dvs_gesture.py --data DIR --download

Both are read by `data.DVSGesture` and go the same way. Results go to `runs/dvs_gesture/`.
"""

import argparse
import functools
import math
import pathlib
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from matplotlib.figure import Figure
from tqdm import tqdm

import snnax.snn as snn
from snnax import data, functional as F, plot, train
from snnax.functional import surrogate

SIZE = 32  # of a frame, in pixels
CLASSES = len(data.GESTURES)
MOST = 3  # events that count, of a pixel and polarity in a time step
REACH = 2  # pixels, by which recordings are moved in training
AIR_GUITAR = 9  # is played to one side, so a mirrored one is none
MIRRORED = [0, 2, 1, 6, 5, 4, 3, 7, 8, 9, 10]  # a right hand wave is a left one, and circles also turn the other way


def main(arguments=None) -> float:
    settings = parse_arguments(arguments)
    out = pathlib.Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    root = find_recordings(settings)
    training, testing = (load_frames(root, part, settings) for part in ("train", "test"))
    print(
        f"{len(training)} recordings of training subjects, {len(testing)} of test subjects "
        f"({time.monotonic() - started:.0f} s)"
    )
    state, step = start(settings, len(training))
    checkpoints = checkpoints_of(settings)
    if settings.resume and not checkpoints.steps():
        raise SystemExit(f"--resume: there is no checkpoint in {checkpoints.folder}. Start without --resume.")
    if not settings.resume:
        for old in checkpoints.steps():
            checkpoints.path(old).unlink()
    tests = data.Loader(testing, settings.batch_size, shuffle=False, drop_last=False)
    try:
        state, history = train.fit(
            state,
            step,
            data.Loader(training, settings.batch_size, seed=settings.seed),
            epochs=settings.epochs,
            evaluate=train.make_evaluation(metric_fn, tests),
            checkpoints=checkpoints,
            resume=settings.resume,
            logs=[train.CSVLog(out / "metrics.csv")],
            progress=tqdm,
        )
    except train.CheckpointError as error:
        problem = str(error).replace("\n", " ")
        raise SystemExit(f"--resume: {problem} Use the settings of that run, or start without --resume.") from error
    draw(state.model, history, testing, settings.step_ms / 1000, out / "dvs_gesture.png")
    print(f"saved {checkpoints.folder} and {out / 'dvs_gesture.png'} ({time.monotonic() - started:.0f} s)")
    print(f"test accuracy: {100 * history[-1]['test_accuracy']:.1f} %")
    return history[-1]["test_accuracy"]


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder that holds DVSGesture/ (default: synthetic gestures are made)")
    parser.add_argument("--download", action="store_true", help="fetch the real recordings into --data through tonic")
    parser.add_argument("--out", default="runs/dvs_gesture", help="where results go (default: %(default)s)")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in --out; a run without it removes them"
    )
    numbers = (
        ("--seed", int, 0, 0, "of the network and of training"),
        ("--epochs", int, 1, 75, "how often training goes through all recordings"),
        ("--batch-size", int, 1, 16, "recordings in a step of training"),
        ("--learning-rate", float, 0, 4e-3, "the highest; it falls to 0 along a cosine"),
        ("--steps", int, 1, 32, "time steps of a recording; what comes later is left out"),
        ("--step-ms", float, 1, 40.0, "length of a time step in milliseconds, rounded to microseconds"),
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
    """The folder that `data.DVSGesture` reads, after making or fetching what is missing."""
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
    if settings.download:
        try:
            import tonic

            for part in (True, False):
                tonic.datasets.DVSGesture(save_to=str(root), train=part)
        except Exception as error:
            problem = f"--download: the recordings could not be downloaded: {error}"
            raise SystemExit("\n".join([problem, *missing(root)])) from error
    elif problems := missing(root):
        raise SystemExit("\n".join(["--data: to download the recordings through tonic add --download.", *problems]))
    return root


def missing(root: pathlib.Path) -> list[str]:
    """What to fetch by hand, and where to put it."""
    problems = []
    for part in ("train", "test"):
        try:
            data.DVSGesture(root, part)
        except FileNotFoundError as error:
            problems.append(str(error))
    return problems


def load_frames(root: pathlib.Path, part: str, settings) -> data.Arrays:
    """Counts of events, `frames`, `(recordings, steps, 2, SIZE, SIZE)` in uint8, and each recording's `label`."""
    recordings = data.DVSGesture(root, part)
    frames = np.zeros((len(recordings), settings.steps, 2, SIZE, SIZE), np.uint8)
    for row, example in enumerate(tqdm(recordings, desc=f"reading {part}", unit="file")):
        array = example["events"][np.argsort(example["events"]["t"], kind="stable")]
        # Capacities are powers of 2, so that `to_frames` is compiled for a few of them only.
        events = data.Events.from_structured(array, recordings.sensor_size, capacity=1 << len(array).bit_length())
        frames[row] = to_frames(events, settings.steps, round(1000 * settings.step_ms))
    return data.Arrays(frames=frames, label=recordings.labels.astype(np.int32))


@functools.partial(jax.jit, static_argnums=(1, 2))
def to_frames(events: data.Events, steps: int, dt: int):
    """Event counts of the first steps of a recording, from its first event on; what comes later is left out."""
    small = data.downsample(events, events.sensor_size[0] // SIZE)
    frames, _ = data.bin_events(small, steps, dt, start=events.t[0], mode=data.Clipped(MOST))
    return frames


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


def scores(model, frames):
    """The read-out's potentials, averaged over time, for the frames of one recording."""
    _, outs = model(model.init_state(frames.shape[1:]), frames, collect={-1: snn.Mean()})
    return outs[-1]


def augmented(frames, label, key):
    """A recording moved by up to `REACH` pixels, with ON and OFF exchanged or not, mirrored or not."""
    keys = jr.split(key, 3)
    frames = shifted(frames, keys[0])
    frames = jnp.where(jr.bernoulli(keys[1]), frames[:, ::-1], frames)
    mirror = jr.bernoulli(keys[2]) & (label != AIR_GUITAR)
    return jnp.where(mirror, frames[..., ::-1], frames), jnp.where(mirror, jnp.asarray(MIRRORED)[label], label)


def shifted(frames, key):
    padded = jnp.pad(frames, ((0, 0), (0, 0), (REACH, REACH), (REACH, REACH)))
    y, x = jr.randint(key, (2,), 0, 2 * REACH + 1)
    return jax.lax.dynamic_slice(padded, (0, 0, y, x), frames.shape)


def loss_fn(model, batch, key):
    keys = jr.split(key, len(batch["label"]))
    frames, labels = jax.vmap(augmented)(batch["frames"], batch["label"], keys)
    found = jax.vmap(scores, in_axes=(None, 0))(model, frames)
    accuracy = jax.vmap(F.accuracy)(found, labels).mean()
    return jax.vmap(F.cross_entropy)(found, labels).mean(), {"accuracy": accuracy}


def metric_fn(model, batch):
    found = jax.vmap(scores, in_axes=(None, 0))(model, batch["frames"])
    return {"test_accuracy": jax.vmap(F.accuracy)(found, batch["label"])}


def start(settings, recordings: int) -> tuple[train.TrainState, train.Step]:
    """The state before training on so many recordings, and a step of it."""
    if recordings < settings.batch_size:
        raise SystemExit(f"--batch-size must be {recordings} (all recordings) or less, got {settings.batch_size}.")
    steps = settings.epochs * (recordings // settings.batch_size)
    schedule = optax.cosine_decay_schedule(settings.learning_rate, steps)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    model = make_model(jr.key(settings.seed))
    return train.TrainState.start(model, optimiser, jr.key(settings.seed + 1)), train.make_step(loss_fn, optimiser)


def checkpoints_of(settings) -> train.Checkpoints:
    """Those in `--out`, which must be of a run with the same settings."""
    names = ("data", "seed", "epochs", "batch_size", "learning_rate", "steps", "step_ms")
    config = {name: getattr(settings, name) for name in names}
    return train.Checkpoints(pathlib.Path(settings.out) / "checkpoints", config=config)


def draw(model, history, testing: data.Arrays, dt: float, path: pathlib.Path):
    """One test recording as frames, the spikes that it causes in every layer, and the learning curves."""
    run = eqx.filter_jit(lambda frames: model(model.init_state(frames.shape[1:]), frames)[1])
    for example in testing:
        frames, label, outs = example["frames"], int(example["label"]), run(example["frames"])
        if outs[-1].mean(0).argmax() == label:  # told right; the last one is drawn where none is
            break
    spiking = [i for i, layer in enumerate(model) if isinstance(layer, snn.SpikingLayer)]
    name = data.GESTURES[label]

    figure = Figure(figsize=(11, 7.5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.9, 1])
    strip, body = left.subfigures(2, 1, height_ratios=[1.4, 5])
    strip.suptitle(f"events of a test recording: {name}", fontsize=10)
    plot.frames(frames, most=2, dt=dt, ax=strip.subplots())
    panels = body.subplots(len(spiking) + 1, 1, sharex=True)
    for axes, i in zip(panels[:-1], spiking, strict=True):
        spikes = np.asarray(outs[i]).reshape(len(frames), -1)
        some = np.linspace(0, spikes.shape[1] - 1, min(spikes.shape[1], 256)).astype(int)
        plot.raster(spikes[:, some], dt=dt, ax=axes)
        axes.set_xlabel("")
        axes.set_ylabel(f"layer {i}", fontsize=8)
        firing = f"{spikes.shape[1]} neurons, {100 * spikes.mean():.1f} % firing per step"
        axes.set_title(firing, fontsize=8, loc="right")
    plot.traces(outs[-1], highlight=label, dt=dt, ax=panels[-1])
    panels[-1].set_ylabel("read-out", fontsize=8)
    panels[-1].set_title(f"bold: {name}", fontsize=8, loc="right")
    above, below = right.subplots(2, 1, sharex=True)
    plot.learning_curves(history, "train_loss", ax=above)
    above.set(xlabel="", ylabel="cross entropy (training)")
    plot.learning_curves(history, "train_accuracy", "test_accuracy", ax=below)
    below.axhline(1 / CLASSES, color="0.6", linestyle=":", label="chance")
    below.set(ylabel="accuracy", ylim=(0, 1))
    below.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
