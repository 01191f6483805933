"""Measures that the synthetic gestures are told apart by their motion, and not by where there are events.

    python examples/dvs_gesture.py && python examples/gesture_checks.py

1. A convolutional network without time that sees only the mean image of a recording.
2. The network of `dvs_gesture.py`, trained and tested on frames that are shuffled in time, and the one that was trained
   in order, tested on shuffled frames.
3. The network that was trained in order, on arm circles that are played backwards.
"""

import argparse
import functools

import dvs_gesture
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from tqdm import tqdm

import snnax.snn as snn
from snnax import data, functional as F, train

OPPOSITE = {3: 4, 4: 3, 5: 6, 6: 5}  # arm circles: right clockwise and counter clockwise, then left


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="runs/dvs_gesture", help="the --out of dvs_gesture.py (default: %(default)s)")
    settings = dvs_gesture.parse_arguments(["--out", parser.parse_args(arguments).run])
    root = dvs_gesture.find_recordings(settings)
    training, testing = (dvs_gesture.load_frames(root, part, settings) for part in ("train", "test"))
    frames, labels = testing.arrays["frames"], testing.arrays["label"]

    ordered = finished(settings, len(training))
    confused = train_in_disorder(settings, training)
    in_disorder = shuffled(frames, settings.epochs)
    circles = np.isin(labels, list(OPPOSITE))
    backwards = predictions(ordered, frames[circles, ::-1, ::-1])
    opposite = np.array([OPPOSITE[label] for label in labels[circles]])
    print(f"in order:                                {percent(predictions(ordered, frames) == labels)}")
    print(f"mean image:                              {percent(mean_image_classifier(training, frames) == labels)}")
    print(f"trained and tested in shuffled order:    {percent(predictions(confused, in_disorder) == labels)}")
    print(f"trained in order, tested shuffled:       {percent(predictions(ordered, in_disorder) == labels)}")
    print(f"circles backwards taken for the opposite: {percent(backwards == opposite)}")
    print(f"circles backwards taken for themselves:   {percent(backwards == labels[circles])}")


def finished(settings, recordings: int) -> snn.Sequential:
    """The network that `dvs_gesture.py` has trained."""
    state, _ = dvs_gesture.start(settings, recordings)
    try:
        found = dvs_gesture.checkpoints_of(settings).restore(state)
    except train.CheckpointError as error:
        raise SystemExit(f"--run: {error}") from error
    if found is None or int(found[1].epoch) < settings.epochs:
        raise SystemExit(f"--run: there is no finished run in {settings.out}. See `dvs_gesture.py` and its --resume.")
    return found[1].model


def train_in_disorder(settings, training: data.Arrays) -> snn.Sequential:
    """The same network, trained on recordings whose frames are in another order in each epoch."""
    state, step = dvs_gesture.start(settings, len(training))
    for epoch in range(settings.epochs):
        mixed = data.Arrays(**{**training.arrays, "frames": shuffled(training.arrays["frames"], epoch)})
        loader = data.Loader(mixed, settings.batch_size, seed=settings.seed)
        state, _ = train.fit(state, step, loader, epochs=epoch + 1, progress=tqdm)
    return state.model


def predictions(model: snn.Sequential, frames: np.ndarray) -> np.ndarray:
    scores = functools.partial(dvs_gesture.scores, model)
    found = eqx.filter_jit(lambda frames: jax.lax.map(scores, frames, batch_size=16))(frames)
    return np.asarray(found.argmax(axis=1))


def percent(hits: np.ndarray) -> str:
    return f"{100 * np.mean(hits):5.1f} %"


def shuffled(frames: np.ndarray, seed: int) -> np.ndarray:
    """Every recording with its frames in another order."""
    order = np.argsort(np.random.default_rng(seed).random(frames.shape[:2]), axis=1)
    return np.take_along_axis(frames, order[:, :, None, None, None], axis=1)


def mean_image_classifier(training: data.Arrays, tests: np.ndarray, epochs: int = 60) -> np.ndarray:
    """The labels that a convolutional network gives to the test recordings from their mean images."""
    images, tests = (np.sqrt(frames.mean(axis=1, dtype=np.float32)) for frames in (training.arrays["frames"], tests))
    scale = images.std()
    loader = data.Loader(data.Arrays(image=images / scale, label=training.arrays["label"]), 32)
    keys = jr.split(jr.key(0), 5)
    model = eqx.nn.Sequential(
        [
            eqx.nn.Conv2d(2, 16, 5, 2, 2, key=keys[0]),
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.Conv2d(16, 32, 3, 2, 1, key=keys[1]),
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.Lambda(jnp.ravel),
            eqx.nn.Linear(32 * 8 * 8, 128, key=keys[2]),
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.Dropout(0.5),
            eqx.nn.Linear(128, dvs_gesture.CLASSES, key=keys[3]),
        ]
    )

    def loss_fn(model, batch, key):
        keys = jr.split(key, (2, len(batch["label"])))
        moved = jax.vmap(lambda image, key: dvs_gesture.shifted(image[None], key)[0])(batch["image"], keys[0])
        scores = jax.vmap(lambda image, key: model(image, key=key))(moved, keys[1])
        return jax.vmap(F.cross_entropy)(scores, batch["label"]).mean()

    optimiser = optax.adamw(optax.cosine_decay_schedule(1e-3, epochs * len(loader)), weight_decay=1e-3)
    state = train.TrainState.start(model, optimiser, keys[4])
    state, _ = train.fit(state, train.make_step(loss_fn, optimiser), loader, epochs=epochs)
    return np.asarray(jax.vmap(eqx.nn.inference_mode(state.model))(tests / scale).argmax(axis=1))


if __name__ == "__main__":
    main()
