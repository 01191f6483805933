"""The statistics of batch normalisations, estimated from data."""

from collections.abc import Iterable, Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._parameter import Fixed
from ._batch_norm import AbstractBatchNorm
from ._container import Container
from ._record import AbstractObserver, as_batch, find, layers_of, observe, pooled, replaced, written


class _Moments(AbstractObserver):
    """How many values of each channel a normalisation was given, their mean, and the sum of squares around it.

    Each of shape `(rows, size)`, with a row for each step where the layer has statistics for each.
    """

    def init(self, layer: AbstractBatchNorm, state: PyTree, out_shape: tuple[int, ...]) -> PyTree:
        shape = layer.mean.value.shape if layer.mean.value.ndim == 2 else (1, layer.size)
        return jnp.zeros((), jnp.int32), (jnp.zeros(shape), jnp.zeros(shape), jnp.zeros(shape))

    def update(
        self, values: PyTree, layer: AbstractBatchNorm, xs: Array, outs: Array, state: PyTree, keys: Array | None
    ) -> PyTree:
        step, before = values
        x = xs.astype(before[1].dtype)
        if layer.mean.value.ndim == 1:
            x = jnp.moveaxis(x, 1, 0)[None]
        # (rows, size, values)
        x = x.reshape(*x.shape[:2], -1)
        mean = jnp.mean(x, axis=-1)
        block = jnp.full_like(mean, x.shape[-1]), mean, jnp.sum(jnp.square(x - mean[..., None]), axis=-1)
        rows = slice(None) if layer.mean.value.ndim == 1 else step + jnp.arange(xs.shape[0], dtype=jnp.int32)
        after = pooled(tuple(a[rows] for a in before), block)
        return step + xs.shape[0], tuple(a.at[rows].set(b) for a, b in zip(before, after, strict=True))


def estimate_norms(model: Container, batches: Iterable[PyTree], key: PRNGKeyArray | None = None) -> Any:
    """Sets the statistics of all batch normalisations: the mean and the variance of what they are given.

        model = snn.estimate_norms(model, batches)
        _, outs = jax.vmap(eqx.nn.inference_mode(model), in_axes=(None, 0))(states, spikes)

    The network runs on every batch with the moments of the batch, as in training; everything else in it runs as it is
    in `model`: dropout draws unless it is in inference mode. The statistics are those of all values of a channel in all
    batches, whatever their sizes: over examples, space and steps, and for `snn.BatchNormThroughTime` for each step of
    its own. Estimates from a few hundred examples are exact enough; running averages, as elsewhere, lag behind.

    Source: Y. Wu and J. Johnson 2021, arXiv:2105.07576.

    **Arguments:**

    - `model`: a network with normalisations anywhere in it.
    - `batches`: arrays of shape `(batch, time, *in_shape)`, or mappings of them for a graph of several inputs. One or
        more, of two examples or more each.
    - `key`: where layers draw random numbers.

    **Returns:** the model with the statistics. Whether its layers are in inference mode has not changed. Not to be
    called inside `jit`.
    """
    owner = "snn.estimate_norms"
    if eqx.is_array_like(batches) or isinstance(batches, Mapping):
        raise TypeError(
            f"`{owner}`: `batches` must be a list of batches, or what else can be iterated over, got one "
            f"{'mapping' if isinstance(batches, Mapping) else 'array'}. Of a single batch give `[batch]`."
        )
    norms = {path: layer for path, layer in layers_of(model) if isinstance(layer, AbstractBatchNorm)}
    if not norms:
        raise ValueError(f"`{owner}`: there is no batch normalisation in this network, such as `snn.BatchNorm`.")
    training = replaced(
        model, {path: eqx.tree_at(lambda norm: norm.inference, norm, False) for path, norm in norms.items()}
    )
    observers = dict.fromkeys(norms, _Moments())
    parts: dict[Any, list] = {path: [] for path in norms}
    for number, batch in enumerate(batches):
        batch_key = None if key is None else jr.fold_in(key, number)
        records = observe(training, observers, as_batch(owner, training, batch), batch_key)
        for path, record in records.items():
            parts[path].append([np.asarray(a, np.float64) for a in record.values[1]])
    if not all(parts.values()):
        raise ValueError(f"`{owner}`: there were no batches.")
    return replaced(model, {path: _with_statistics(owner, model, path, part) for path, part in parts.items()})


def _with_statistics(owner: str, model: Container, path: Any, parts: list) -> AbstractBatchNorm:
    """The normalisation at `path` with the statistics of all examples; `parts` holds those of each batch."""
    counts, means, squares = (np.concatenate(of_batches) for of_batches in zip(*parts, strict=True))
    norm: AbstractBatchNorm = find(model, path)
    total = counts.sum(axis=0)
    if np.any(total == 0):
        raise ValueError(
            f"`{owner}`: the normalisation '{written(path)}' has statistics for {total.shape[0]} steps, but the "
            f"longest sequence had {np.count_nonzero(total[:, 0])}. Give it longer ones, or fewer `steps`."
        )
    mean = (counts * means).sum(axis=0) / total
    variance = (squares + counts * np.square(means - mean)).sum(axis=0) / total
    shape, dtype = norm.mean.value.shape, norm.mean.value.dtype
    new = [Fixed(jnp.asarray(a.reshape(shape), dtype)) for a in (mean, variance)]
    return eqx.tree_at(lambda norm: (norm.mean, norm.variance, norm.estimated), norm, (*new, True))
