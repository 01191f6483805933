"""Measures of what a network answers and of how its neurons fire. None is for training, and all are in float32."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, PyTree

from ._arguments import as_array, as_labels, as_scores, as_trains


def accuracy(scores: ArrayLike, labels: ArrayLike) -> Array:
    """1 where the right class has the largest score, 0 where it has not; where k classes share the largest, 1/k.

    So a network that stays silent is right as often as chance is, whatever the classes; `argmax` would give class 0.

        by_count = functional.accuracy(jnp.array([3, 9, 4]), 1)             # so by rate, potential, or sum of it
        by_time = functional.accuracy(-jnp.array([20.0, 4.0, 20.0]), 1)     # by first spike: the earliest wins
        by_vote = functional.accuracy(functional.votes(jnp.array([[1, 2, 0], [0, 3, 1], [5, 4, 0]])), 1)

    **Arguments:** `scores`: `(..., classes)`. `labels`: the index of the class: one for all leading positions, or one
    for each, of shape `(...)`.

    **Returns:** `(...)`, in float32. For a batch: `jax.vmap(functional.accuracy)(scores, labels).mean()`. Under `jit`
    and `vmap` a label that is no class counts 0.
    """
    owner = "functional.accuracy"
    scores = as_scores(owner, "scores", scores)
    labels, _ = as_labels(owner, labels, "scores", scores)
    hits = jax.nn.one_hot(labels, scores.shape[-1], dtype=jnp.float32)
    return (_shared_first_place(scores) * hits).sum(-1)


def votes(scores: ArrayLike) -> Array:
    """How many of several read-outs are for each class. A read-out whose largest score is shared shares its vote.

    **Arguments:** `scores`: `(readouts, ..., classes)`.

    **Returns:** `(..., classes)`, in float32; the class of the majority is `jnp.argmax(votes, -1)`.
    """
    owner = "functional.votes"
    scores = as_scores(owner, "scores", scores)
    if scores.ndim < 2:
        raise ValueError(f"`{owner}`: `scores` must have the shape (readouts, ..., classes), got {scores.shape}.")
    return _shared_first_place(scores).sum(0)


def _shared_first_place(scores: Array) -> Array:
    first = (scores == scores.max(-1, keepdims=True)).astype(jnp.float32)
    return first / jnp.maximum(first.sum(-1, keepdims=True), 1)


def firing_rate(rates: PyTree) -> Array:
    """The mean rate of all neurons of all layers; each neuron counts the same.

    **Arguments:** `rates`: a pytree of the rates of each layer, of any shape, or of counts, or of trains: the result is
    in their unit, for trains in spikes per step.

    **Returns:** a number, in float32.
    """
    return _mean_of_all("functional.firing_rate", "rates", rates, lambda x: x.astype(jnp.float32))


def sparsity(trains: PyTree) -> Array:
    """The part of all outputs that are zero, over all steps and all neurons of all layers: 1 in a silent network.

    For spikes of 0 and 1 it is 1 minus `functional.firing_rate`, which needs no trains.

    Source: the activation sparsity of J. Yik et al. 2025, doi:10.1038/s41467-025-56739-4.

    **Arguments:** `trains`: a pytree of the outputs of each layer, of any shape.

    **Returns:** a number in [0, 1], in float32.
    """
    return _mean_of_all("functional.sparsity", "trains", trains, lambda x: (~x.astype(bool)).astype(jnp.float32))


def _mean_of_all(owner: str, name: str, tree: PyTree, function) -> Array:
    leaves = [as_array(owner, name, leaf) for leaf in jax.tree.leaves(tree)]
    size = sum(leaf.size for leaf in leaves)
    if size == 0:
        raise ValueError(f"`{owner}`: `{name}` holds no numbers, got {tree!r}.")
    return jnp.stack([function(leaf).sum() for leaf in leaves]).sum() / size


def isi_cv(train: ArrayLike) -> Array:
    r"""The coefficient of variation of the intervals between the spikes of each neuron.

    $$\mathrm{CV} = \sqrt{\frac{1}{n} \sum_i (I_i - \bar I)^2} \Big/ \bar I$$

    0 for a regular train and $\sqrt{1 - p}$ for one that fires with probability $p$ in every step.

    **Arguments:** `train`: `(time, ...)`. All that is not 0 is a spike.

    **Returns:** `(...)`, in float32; NaN for a neuron with fewer than three spikes, which has not two intervals. Over
    neurons take `jnp.nanmean`.
    """
    spikes = as_trains("functional.isi_cv", "train", train).astype(bool)
    steps = jnp.arange(spikes.shape[0]).reshape(-1, *[1] * (spikes.ndim - 1))
    last = jax.lax.cummax(jnp.where(spikes, steps, -1), axis=0)
    previous = jnp.concatenate([jnp.full_like(last[:1], -1), last[:-1]])
    ends = spikes & (previous >= 0)
    intervals = jnp.where(ends, steps - previous, 0).astype(jnp.float32)
    number = ends.sum(0).astype(jnp.float32)
    mean = intervals.sum(0) / jnp.maximum(number, 1)
    variance = jnp.where(ends, (intervals - mean) ** 2, 0).sum(0) / jnp.maximum(number, 1)
    return jnp.where(number >= 2, jnp.sqrt(variance) / jnp.maximum(mean, 1), jnp.nan)


def synchrony(traces: ArrayLike) -> Array:
    r"""The synchrony of a population: how much its mean varies in time, compared with its neurons.

    $$\chi^2 = \mathrm{Var}_t\Big(\frac{1}{N} \sum_i v_i(t)\Big) \Big/ \frac{1}{N} \sum_i \mathrm{Var}_t(v_i(t))$$

    1 if all neurons do the same, and of the order of $1 / \sqrt N$ if they are independent.

    Source: D. Golomb 2007, doi:10.4249/scholarpedia.1347.

    **Arguments:** `traces`: `(time, ...)`: potentials (`collect=snn.Traces()`), or spikes counted in windows, as wide
    as spikes may be apart and count as synchronous: `trains.reshape(windows, width, -1).sum(1)`.

    **Returns:** $\chi$, a number in [0, 1], in float32; NaN if no neuron varies.
    """
    traces = as_trains("functional.synchrony", "traces", traces)
    x = traces.astype(jnp.float32).reshape(traces.shape[0], -1)
    x = x - x.mean(0)
    single = (x**2).mean()
    varies = single > 0
    return jnp.where(varies, jnp.sqrt((x.mean(1) ** 2).mean() / jnp.where(varies, single, 1)), jnp.nan)
