"""Losses, penalties and metrics that snnTorch and Spyx compute correctly give the same here."""

import warnings

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from helpers import allclose

import snnax.snn as snn
from snnax import functional as F

pytestmark = pytest.mark.peers

STEPS, BATCH, CLASSES = 15, 6, 4
# Sparse enough for silent neurons, and none fires in the last step, which snnTorch does not tell from silence.
TRAINS = jr.bernoulli(jr.key(0), 0.12, (BATCH, STEPS, CLASSES)).astype(jnp.float32).at[:, -1].set(0)
POTENTIALS = jr.normal(jr.key(1), (BATCH, STEPS, CLASSES))
LABELS = jr.randint(jr.key(2), (BATCH,), 0, CLASSES)
COUNTS = TRAINS.sum(1)


def first_spikes(train):
    _, outs = IDENTITY(IDENTITY.init_state((CLASSES,)), train, collect=snn.FirstSpike())
    return outs[0]


IDENTITY = snn.Sequential(snn.Flatten())
# The time of a silent neuron is the last step in snnTorch, and the end of the sequence here.
TIMES = jnp.minimum(jax.vmap(first_spikes)(TRAINS), STEPS - 1)


def over_batch(loss, *arrays):
    return jax.vmap(loss)(*arrays).mean()


# What is computed here, and the call of `snntorch.functional`, on trains or potentials of (time, batch, classes).
SNNTORCH = {
    "ce_count_loss": (lambda: over_batch(F.cross_entropy, COUNTS, LABELS), {}, TRAINS),
    "ce_rate_loss": (lambda: over_batch(lambda s, y: F.cross_entropy(s, y).mean(), TRAINS, LABELS), {}, TRAINS),
    "ce_max_membrane_loss": (lambda: over_batch(F.cross_entropy, POTENTIALS.max(1), LABELS), {}, POTENTIALS),
    "mse_count_loss": (
        lambda: STEPS * over_batch(lambda n, y: F.class_mse(n / STEPS, y, correct=0.8, incorrect=0.2), COUNTS, LABELS),
        {"correct_rate": 0.8, "incorrect_rate": 0.2},
        TRAINS,
    ),
    "mse_count_loss, populations": (
        lambda: (
            STEPS
            * 4
            * over_batch(
                lambda n, y: F.class_mse(F.population_mean(n / STEPS, 2), y, correct=0.8, incorrect=0.2),
                COUNTS,
                LABELS // 2,
            )
        ),
        {"correct_rate": 0.8, "incorrect_rate": 0.2, "population_code": True, "num_classes": 2},
        TRAINS,
    ),
    "ce_count_loss, populations": (
        lambda: over_batch(lambda n, y: F.cross_entropy(F.population_sum(n, 2), y), COUNTS, LABELS // 2),
        {"population_code": True, "num_classes": 2},
        TRAINS,
    ),
    "mse_membrane_loss": (
        lambda: over_batch(lambda v, y: F.class_mse(v, y, correct=1.2, incorrect=0.3).mean(), POTENTIALS, LABELS),
        {"on_target": 1.2, "off_target": 0.3},
        POTENTIALS,
    ),
    "mse_temporal_loss": (
        lambda: over_batch(
            lambda t, y: F.class_mse(t / STEPS, y, correct=3 / STEPS, incorrect=14 / STEPS), TIMES, LABELS
        ),
        {"on_target": 3, "off_target": 14},
        TRAINS,
    ),
    "ce_temporal_loss": (
        lambda: over_batch(lambda t, y: F.first_spike_cross_entropy(t, y, time_scale=1.0), TIMES, LABELS),
        {},
        TRAINS,
    ),
    "ce_temporal_loss, reciprocal": (
        lambda: over_batch(lambda t, y: F.cross_entropy(1 / (t + 1), y), TIMES, LABELS),
        {"inverse": "reciprocal"},
        TRAINS,
    ),
    "l1_rate_sparsity": (
        lambda: 1e-5 * BATCH * CLASSES * over_batch(F.l1_rate, COUNTS),
        {},
        TRAINS,
    ),
}


def snntorch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torch"), pytest.importorskip("snntorch.functional")


@pytest.mark.parametrize("name", SNNTORCH)
def test_snntorch(name):
    torch, peer = snntorch()
    ours, arguments, outputs = SNNTORCH[name]
    loss = getattr(peer, name.partition(",")[0])(**arguments)
    labels = torch.tensor(np.array(LABELS // arguments.get("num_classes", 1)))
    targets = () if name.startswith("l1") else (labels.long(),)
    allclose(ours(), loss(torch.tensor(np.array(outputs.swapaxes(0, 1))), *targets).item(), rtol=1e-4)


def test_snntorch_accuracies_where_no_classes_tie():
    torch, peer = snntorch()
    counts = jnp.array([[1, 3, 2, 0], [4, 0, 2, 1], [0, 1, 2, 3]])
    trains = (jnp.arange(STEPS)[:, None] < counts[:, None]).astype(jnp.float32)
    labels = jnp.array([1, 0, 2])
    as_torch = torch.tensor(np.array(trains.swapaxes(0, 1))), torch.tensor(np.array(labels))
    allclose(jax.vmap(F.accuracy)(counts, labels).mean(), peer.accuracy_rate(*as_torch))
    # Reversed in time, those with more spikes come first; none fires in the last step.
    early = jnp.roll(trains[:, ::-1], -1, 1)
    times = jax.vmap(first_spikes)(early)
    as_torch = torch.tensor(np.array(early.swapaxes(0, 1))), as_torch[1]
    allclose(jax.vmap(F.accuracy)(-times, labels).mean(), peer.accuracy_temporal(*as_torch))


SPYX = {
    "integral_crossentropy": (
        lambda: over_batch(lambda v, y: F.cross_entropy(v.sum(0), y, label_smoothing=0.3), POTENTIALS, LABELS),
        (POTENTIALS, LABELS),
        (),
    ),
    "integral_accuracy": (
        lambda: over_batch(lambda v, y: F.accuracy(v.sum(0), y), POTENTIALS, LABELS),
        (POTENTIALS, LABELS),
        (),
    ),
    # The mean over neurons here, the sum there.
    "silence_reg": (lambda: CLASSES * F.silence_penalty(COUNTS, 2.0), (COUNTS,), (2.0,)),
    # The examples of a batch are summed there.
    "sparsity_reg": (
        lambda: BATCH * over_batch(lambda n: F.sparsity_penalty((n, n + 1), 1.0), COUNTS),
        ((COUNTS, COUNTS + 1),),
        (1.0,),
    ),
    "sparsity_reg, squared": (
        lambda: BATCH * over_batch(lambda n: F.sparsity_penalty(n, 1.0, norm=optax.l2_loss), COUNTS),
        (COUNTS,),
        (1.0, optax.l2_loss),
    ),
}


@pytest.mark.parametrize("name", SPYX)
def test_spyx(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = pytest.importorskip("spyx.fn")
    ours, outputs, arguments = SPYX[name]
    with jax.numpy_dtype_promotion("standard"):
        theirs = getattr(peer, name.partition(",")[0])(*arguments)(*outputs)
    allclose(ours(), theirs[0] if isinstance(theirs, tuple) else theirs)
