"""Losses on what a read-out gives: counts, rates, potentials, times of first spikes; and means over masked steps.

The read-out is chosen by the collector of the last layer, not by the loss. Every loss is of one example and is not
averaged over a batch: `jax.vmap(functional.cross_entropy)(counts, labels).mean()`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array

from .._parameter import POSITIVE, REAL, Interval, acting, as_parameter
from ._arguments import (
    as_array,
    as_labels,
    as_scores,
    check_range,
    check_same_shape,
    check_steps,
    floating,
    wide,
)


def cross_entropy(
    scores: ArrayLike, labels: ArrayLike, *, label_smoothing: ArrayLike = 0.0, class_weights: ArrayLike | None = None
) -> Array:
    r"""The cross entropy of a softmax over the classes, of counts, rates or potentials.

    $$L = -\sum_c w_c q_c \log p_c, \qquad p = \mathrm{softmax}(x), \qquad q_c = (1 - \epsilon)[c = y] + \epsilon / C$$

        loss = functional.cross_entropy(jnp.array([3.0, 9.0, 4.0]), 1)      # spike counts of three classes

    **Arguments:**

    - `scores`: $x$, `(..., classes)`: counts (`collect=snn.Sum()`), maximal potentials (`snn.Max()`), or the trains
        themselves, `(time, classes)`. Whole numbers and booleans are taken as floats.
    - `labels`: $y$, the index of the class: one for all leading positions, or one for each, of shape `(...)`.
    - `label_smoothing`: $\epsilon$, in [0, 1]. Default 0.
    - `class_weights`: $w$, `(classes,)`, 0 or more. Default: 1. The loss is not divided by their sum.

    **Returns:** one loss for each leading position, `(...)`, in the dtype of `scores`, computed in float32 at least.
    Under `jit` and `vmap` a label that is no class gives NaN.
    """
    return _cross_entropy("functional.cross_entropy", "scores", scores, labels, label_smoothing, class_weights)


def _cross_entropy(owner, name, scores, labels, label_smoothing, class_weights) -> Array:
    scores = as_scores(owner, name, scores)
    labels, known = as_labels(owner, labels, name, scores)
    smoothing = as_parameter(owner, "label_smoothing", label_smoothing, Interval(0.0, 1.0))
    (logits,) = wide(scores)
    targets = jax.nn.one_hot(labels, scores.shape[-1], dtype=logits.dtype)
    targets = optax.smooth_labels(targets, acting(smoothing, logits.dtype))
    if class_weights is not None:
        weights = as_array(owner, "class_weights", class_weights)
        if weights.shape != scores.shape[-1:]:
            raise ValueError(
                f"`{owner}`: `class_weights` must have the shape {scores.shape[-1:]}, one for each class, got "
                f"{weights.shape}."
            )
        check_range(owner, "class_weights", class_weights, Interval(0.0))
        targets = targets * weights.astype(logits.dtype)
    loss = optax.safe_softmax_cross_entropy(logits, targets)
    return jnp.where(known, loss, jnp.nan).astype(floating(scores))


def class_mse(outputs: ArrayLike, labels: ArrayLike, *, correct: ArrayLike = 1.0, incorrect: ArrayLike = 0.0) -> Array:
    r"""The mean squared distance from one value for the neuron of the right class and another one for all others.

    $$L = \frac{1}{C} \sum_c \left(x_c - z_c\right)^2, \qquad z_c = \begin{cases} \text{correct} & c = y \\
    \text{incorrect} & \text{else} \end{cases}$$

    The targets have the unit of the outputs: rates, in spikes per step, for rates; and it is 0 where all are met.

        rates = jnp.array([2.0, 18.0, 1.0]) / 20                            # counts, by the number of steps
        loss = functional.class_mse(rates, 1, correct=0.9, incorrect=0.05)

    Source: for rates, S. B. Shrestha and G. Orchard 2018, arXiv:1810.08646.

    **Arguments:**

    - `outputs`: $x$, `(..., classes)`: rates, potentials, or times of first spikes.
    - `labels`: $y$, the index of the class: one for all leading positions, or one for each, of shape `(...)`.
    - `correct`, `incorrect`: the target of the neuron of the class and of all others. Default 1 and 0.

    **Returns:** one loss for each leading position, `(...)`, in the dtype of `outputs`, computed in float32 at least.
    Under `jit` and `vmap` a label that is no class gives NaN.
    """
    owner = "functional.class_mse"
    outputs = as_scores(owner, "outputs", outputs)
    labels, known = as_labels(owner, labels, "outputs", outputs)
    (x,) = wide(outputs)
    on, off = (
        acting(as_parameter(owner, name, value, REAL), x.dtype)
        for name, value in (("correct", correct), ("incorrect", incorrect))
    )
    targets = off + (on - off) * jax.nn.one_hot(labels, x.shape[-1], dtype=x.dtype)
    loss = optax.squared_error(x, targets).mean(-1)
    return jnp.where(known, loss, jnp.nan).astype(floating(outputs))


def first_spike_cross_entropy(
    times: ArrayLike,
    labels: ArrayLike,
    *,
    time_scale: ArrayLike,
    label_smoothing: ArrayLike = 0.0,
    class_weights: ArrayLike | None = None,
) -> Array:
    r"""The cross entropy of a softmax over how early each class fires first: $x_c = -t_c / \tau$.

    It is smallest where the right class fires at once and all others never do. The gradient is that of `cross_entropy`
    times $-1/\tau$, and goes on through the times: `snn.FirstSpike` says how. A class that never fires has the time of
    the end of the sequence, so a network without any spike has the loss of chance, $\log C$, and a gradient that makes
    the right class fire.

    Source: H. Mostafa 2018, doi:10.1109/TNNLS.2017.2726060; J. Göltz et al. 2021, doi:10.1038/s42256-021-00388-x.

    **Arguments:**

    - `times`: $t$, `(..., classes)`, in steps: `collect=snn.FirstSpike()`.
    - `time_scale`: $\tau$, in steps, greater than 0: how much earlier than the others is early enough.
    - `labels`, `label_smoothing`, `class_weights`: those of `functional.cross_entropy`.

    **Returns:** one loss for each leading position, `(...)`, in the dtype of `times`, computed in float32 at least.
    """
    owner = "functional.first_spike_cross_entropy"
    times = as_scores(owner, "times", times)
    (t,) = wide(times)
    scale = acting(as_parameter(owner, "time_scale", time_scale, POSITIVE), t.dtype)
    loss = _cross_entropy(owner, "times", -t / scale, labels, label_smoothing, class_weights)
    return loss.astype(floating(times))


def first_spike_mse(times: ArrayLike, targets: ArrayLike, *, steps: int, tolerance: ArrayLike = 0.0) -> Array:
    r"""The mean squared distance of first spikes from their target times, as parts of the sequence.

    $$L = \frac{1}{N} \sum_i \left(\frac{\max(0, |t_i - z_i| - \delta)}{T}\right)^2$$

    The target of a neuron that should stay silent is $T$, the end of the sequence. Later spikes of a neuron do not
    count. The gradient goes on through the times: `snn.FirstSpike` says how.

        times = jnp.array([12.0, 40.0, 31.0])                               # of 40 steps; the second one was silent
        targets = jnp.where(jnp.arange(3) == 0, 10, 40)                     # the first is to fire at step 10
        loss = functional.first_spike_mse(times, targets, steps=40, tolerance=1.0)

    **Arguments:**

    - `times`: $t$, `(..., neurons)`, in steps: `collect=snn.FirstSpike()`.
    - `targets`: $z$, in the shape of `times`, in steps from 0 to `steps`.
    - `steps`: $T$, the number of time steps.
    - `tolerance`: $\delta$, in steps, 0 or more: what is closer costs nothing. Default 0.

    **Returns:** one loss for each leading position, `(...)`, in the dtype of `times`, computed in float32 at least.
    """
    owner = "functional.first_spike_mse"
    t, z = as_scores(owner, "times", times), as_array(owner, "targets", targets)
    dtype = floating(t)
    check_same_shape(owner, ("times", "targets"), t, z)
    check_steps(owner, steps)
    sequence = Interval(0.0, float(steps), f"There are {steps} steps, and `steps` itself is the time of no spike.")
    check_range(owner, "times", times, sequence)
    check_range(owner, "targets", targets, sequence)
    t, z = wide(t, z)
    slack = acting(as_parameter(owner, "tolerance", tolerance, Interval(0.0)), t.dtype)
    excess = jnp.maximum(0, jnp.abs(t - z) - slack) / steps
    return (excess**2).mean(-1).astype(dtype)


def length_mask(length: ArrayLike, steps: int) -> Array:
    """Which steps belong to a sequence that ends before the others of its batch.

        mask = functional.length_mask(3, 5)                                 # True, True, True, False, False

    **Arguments:** `length`: its number of steps, from 0 to `steps`. `steps`: the number of steps with the padding.

    **Returns:** `(steps,)`, of booleans. For a batch: `jax.vmap(functional.length_mask, (0, None))(lengths, steps)`;
    there, and under `jit`, the range of the lengths is not checked.
    """
    owner = "functional.length_mask"
    check_steps(owner, steps)
    array = as_array(owner, "length", length)
    if array.shape != () or not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(
            f"`{owner}`: `length` must be one whole number, got the shape {array.shape} and the dtype "
            f"{array.dtype}. For a batch: `jax.vmap(functional.length_mask, (0, None))(lengths, steps)`."
        )
    check_range(owner, "length", length, Interval(0.0, float(steps)))
    return jnp.arange(steps, dtype=jnp.int32) < array.astype(jnp.int32)


def masked_mean(values: ArrayLike, mask: ArrayLike) -> Array:
    """The mean over the positions where the mask is True; what stands at the others has no effect, not even NaN.

        losses = functional.cross_entropy(jnp.ones((5, 3)), jnp.array([0, 2, 1, 0, 0]))     # one for each step
        loss = functional.masked_mean(losses, functional.length_mask(3, 5))

    **Arguments:** `values`: an array. `mask`: booleans, in the shape of the first axes of `values`, such as `(time,)`.

    **Returns:** the mean over the axes of the mask, in the shape of the others: of `(time, classes)` with a mask of
    steps `(classes,)`. In the dtype of `values`, computed in float32 at least. A mask without any True is refused;
    under `jit` and `vmap` it gives NaN.
    """
    owner = "functional.masked_mean"
    array, keep = as_array(owner, "values", values), as_array(owner, "mask", mask)
    if keep.dtype != np.bool_:
        raise TypeError(f"`{owner}`: `mask` must be booleans, got the dtype {keep.dtype}. For example: `mask > 0`.")
    if keep.shape != array.shape[: keep.ndim]:
        raise ValueError(
            f"`{owner}`: `mask` must have the shape of the first axes of `values`, which are {array.shape}, got "
            f"{keep.shape}."
        )
    if not isinstance(mask, Tracer) and not np.asarray(mask).any():
        raise ValueError(f"`{owner}`: `mask` is False everywhere, and there is no mean of nothing.")
    (x,) = wide(array)
    kept = jnp.where(keep.reshape(keep.shape + (1,) * (x.ndim - keep.ndim)), x, 0)
    mean = kept.sum(tuple(range(keep.ndim))) / keep.sum(dtype=x.dtype)
    return mean.astype(floating(array))
