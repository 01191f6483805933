"""Measures that the synthetic gestures are told apart by their motion, and not by where there are events.

    python examples/dvs_gesture.py && python examples/gesture_checks.py

1. A convolutional network without time that sees only the mean image of a recording.
2. The network of `dvs_gesture.py`, trained and tested on frames that are shuffled in time, and the one that was trained
   in order, tested on shuffled frames.
3. The network that was trained in order, on arm circles that are played backwards.
"""

import argparse
import pathlib

import dvs_gesture
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

OPPOSITE = {3: 4, 4: 3, 5: 6, 6: 5}  # arm circles: right clockwise and counter clockwise, then left


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="runs/dvs_gesture", help="the --out of dvs_gesture.py (default: %(default)s)")
    arguments = parser.parse_args()
    settings = dvs_gesture.parse_arguments(["--out", arguments.run])
    root = dvs_gesture.find_recordings(settings)
    train, test = (dvs_gesture.load_frames(root, part, settings) for part in (True, False))

    ordered = dvs_gesture.Trainer(settings, len(train[1]))
    ordered.load(pathlib.Path(arguments.run) / "checkpoint.eqx")
    if ordered.epoch < settings.epochs:
        raise SystemExit(f"The run in {arguments.run} is not finished: go on with `dvs_gesture.py --resume`.")
    confused = dvs_gesture.Trainer(settings, len(train[1]))
    while confused.epoch < settings.epochs:
        confused.train_epoch(shuffled(train[0], confused.epoch), train[1])

    in_disorder = shuffled(test[0], settings.epochs)
    circles = np.isin(test[1], list(OPPOSITE))
    backwards = ordered.predictions(test[0][circles, ::-1, ::-1])
    opposite = np.array([OPPOSITE[label] for label in test[1][circles]])
    print(f"in order:                                {percent(ordered.predictions(test[0]) == test[1])}")
    print(f"mean image:                              {percent(mean_image_classifier(train, test[0]) == test[1])}")
    print(f"trained and tested in shuffled order:    {percent(confused.predictions(in_disorder) == test[1])}")
    print(f"trained in order, tested shuffled:       {percent(ordered.predictions(in_disorder) == test[1])}")
    print(f"circles backwards taken for the opposite: {percent(backwards == opposite)}")
    print(f"circles backwards taken for themselves:   {percent(backwards == test[1][circles])}")


def percent(hits: np.ndarray) -> str:
    return f"{100 * np.mean(hits):5.1f} %"


def shuffled(frames: np.ndarray, seed: int) -> np.ndarray:
    """Every recording with its frames in another order."""
    order = np.argsort(np.random.default_rng(seed).random(frames.shape[:2]), axis=1)
    return np.take_along_axis(frames, order[:, :, None, None, None], axis=1)


def mean_image_classifier(train: tuple[np.ndarray, np.ndarray], test: np.ndarray, epochs: int = 60) -> np.ndarray:
    """The labels that a convolutional network gives to the test recordings from their mean images."""
    images, tests = (np.sqrt(frames.mean(axis=1, dtype=np.float32)) for frames in (train[0], test))
    scale = images.std()
    keys = jr.split(jr.key(0), 4)
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
    optimiser = optax.adamw(optax.cosine_decay_schedule(1e-3, epochs * (len(images) // 32)), weight_decay=1e-3)

    @eqx.filter_jit
    def step(model, opt_state, images, labels, key):
        def loss_fn(model):
            keys = jr.split(key, (2, len(images)))
            moved = jax.vmap(lambda image, key: dvs_gesture.shifted(image[None], key, 2)[0])(images, keys[0])
            logits = jax.vmap(lambda image, key: model(image, key=key))(moved, keys[1])
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        gradient = eqx.filter_grad(loss_fn)(model)
        updates, opt_state = optimiser.update(gradient, opt_state, eqx.filter(model, eqx.is_array))
        return eqx.apply_updates(model, updates), opt_state

    opt_state = optimiser.init(eqx.filter(model, eqx.is_array))
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(len(images))
        for i in range(len(images) // 32):
            rows = order[32 * i : 32 * i + 32]
            key = jr.fold_in(jr.key(1), epoch * len(images) + i)
            model, opt_state = step(model, opt_state, images[rows] / scale, train[1][rows], key)
    logits = jax.vmap(eqx.nn.inference_mode(model))(jnp.asarray(tests / scale))
    return np.asarray(logits.argmax(axis=1))


if __name__ == "__main__":
    main()
