"""A training run that is small enough to be repeated often: noise, dropout and a trained decay in it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

import snnax.snn as snn
from snnax import data, functional, train

STEPS, CHANNELS, CLASSES = 10, 6, 3
OPTIMISER = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))


def network(key, dropout=0.2, spiking=True):
    """Without spikes, what is computed in another order differs by roundings alone."""
    k1, k2 = jr.split(key)
    decay = jnp.array(0.95)
    return snn.Sequential(
        eqx.nn.Linear(CHANNELS, 8, key=k1),
        snn.LIF([decay, 0.9]) if spiking else snn.LI([decay, 0.9]),
        eqx.nn.Dropout(dropout),
        eqx.nn.Linear(8, CLASSES, key=k2),
        snn.SimpleLI(0.9),
    )


def examples(n=24, seed=0):
    rng = np.random.default_rng(seed)
    label = np.arange(n, dtype=np.int32) % CLASSES
    rates = np.random.default_rng(99).random((CLASSES, CHANNELS)) * 0.6
    x = (rng.random((n, STEPS, CHANNELS)) < rates[label][:, None]).astype(np.uint8)
    return {"x": x, "label": label}


def loader(n=24, batch_size=4, **settings):
    return data.Loader(data.Arrays(**examples(n)), batch_size, **settings)


def scores(model, batch, key):
    keys = jr.split(key, batch["x"].shape[0])
    run = lambda x, key: model(model.init_state((CHANNELS,)), x, key, collect={-1: snn.Mean()})[1][-1]  # noqa: E731
    return jax.vmap(run)(batch["x"], keys)


def loss_fn(model, batch, key):
    found = scores(model, batch, key).astype(jnp.float32)
    accuracy = jax.vmap(functional.accuracy)(found, batch["label"])
    return jax.vmap(functional.cross_entropy)(found, batch["label"]).mean(), {"accuracy": accuracy.mean()}


def accuracies(model, batch):
    return {"accuracy": jax.vmap(functional.accuracy)(scores(model, batch, jr.key(0)), batch["label"])}


def start(optimiser=OPTIMISER, seed=0, spiking=True):
    return train.TrainState.start(network(jr.key(seed), spiking=spiking), optimiser, jr.key(seed + 1))


class Interrupt(Exception):
    """What comes in the middle of a run."""


class Interrupted:
    """A loader that fails before it gives the batch of one step of the run."""

    def __init__(self, loader, at):
        self.loader, self.at = loader, at

    def __len__(self):
        return len(self.loader)

    def epoch(self, epoch, *, start=0, place=lambda batch: batch):
        for number, batch in enumerate(self.loader.epoch(epoch, start=start, place=place), start):
            if epoch * len(self) + number == self.at:
                raise Interrupt
            yield batch
