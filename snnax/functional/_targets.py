"""What the neurons of a read-out should do, from the number of a class."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Shaped

from .._parameter import Interval
from ._arguments import check_range
from ._encoding import UNIT, as_count, as_number


def rate_targets(
    label: Shaped[ArrayLike, ""],
    classes: int,
    steps: int,
    *,
    correct_rate: int | float = 1.0,
    incorrect_rate: int | float = 0.0,
) -> Float[Array, "time classes"]:
    r"""Spike trains of regular intervals, at one rate for the class of the example and at another for the rest.

    $$s_t = \lceil r\,(t + 1) \rceil - \lceil r t \rceil$$

    A train starts with a spike (unless $r = 0$) and has $\lceil r T \rceil$ of them. The target of a count is its
    `.sum(0)`.

    **Arguments:**

    - `label`: the class, 0 to `classes` - 1, of an integer dtype. Others are refused; where it is traced and cannot be
        seen, no class is the correct one.
    - `classes`: the number of classes.
    - `steps`: the number of time steps.
    - `correct_rate`, `incorrect_rate`: $r$ in spikes per step, numbers in [0, 1].

    **Returns:** spikes of 0 and 1, `(steps, classes)`.
    """
    owner = "functional.rate_targets"
    correct = _is_class(owner, label, classes)
    steps = as_count(owner, "steps", steps)
    trains = []
    for name, rate in (("correct_rate", correct_rate), ("incorrect_rate", incorrect_rate)):
        rate = as_number(owner, name, rate, UNIT)
        # Less a trifle, so that 100 steps at 0.07, which is 7.000000000000001, have 7 spikes.
        trains.append(np.diff(np.ceil(rate * np.arange(steps + 1) - 1e-9))[:, None])
    return jnp.where(correct, *jnp.asarray(np.stack(trains), jnp.zeros(()).dtype))


def latency_targets(
    label: Shaped[ArrayLike, ""],
    classes: int,
    steps: int,
    *,
    correct_step: int = 0,
    incorrect_step: int | None = None,
) -> Float[Array, " classes"]:
    """The step of the first spike of each class, counted as `snn.FirstSpike` does: `steps` for a silent neuron.

    What `first_spike_mse` takes. As spike trains: `jax.nn.one_hot(times.astype(int), steps, axis=0)`.

    **Arguments:**

    - `label`: the class, 0 to `classes` - 1, of an integer dtype. Others are refused; where it is traced and cannot be
        seen, no class is the correct one.
    - `classes`: the number of classes.
    - `steps`: the number of time steps.
    - `correct_step`, `incorrect_step`: when the neuron of the example's class fires first, and when the others do, 0 to
        `steps`. `None` (default): never.

    **Returns:** `(classes,)`.
    """
    owner = "functional.latency_targets"
    correct = _is_class(owner, label, classes)
    steps = as_count(owner, "steps", steps)
    incorrect_step = steps if incorrect_step is None else incorrect_step
    for name, step in (("correct_step", correct_step), ("incorrect_step", incorrect_step)):
        if as_count(owner, name, step, 0) > steps:
            raise ValueError(f"`{owner}`: `{name}` must be in 0..{steps}, where {steps} is silence, got {step}.")
    return jnp.where(correct, *jnp.asarray([correct_step, incorrect_step], jnp.zeros(()).dtype))


def _is_class(owner: str, label: Shaped[ArrayLike, "..."], classes: int) -> Bool[Array, " classes"]:
    classes = as_count(owner, "classes", classes)
    number = jnp.asarray(label)
    if number.ndim or not jnp.issubdtype(number.dtype, jnp.integer):
        raise TypeError(
            f"`{owner}`: `label` must be one whole number, got dtype {number.dtype} and shape {number.shape}. Many go "
            "in by `jax.vmap`; from a one-hot row `row.argmax()`."
        )
    check_range(owner, "label", label, Interval(0.0, classes - 1.0, f"There are {classes} classes, numbered from 0."))
    return jax.nn.one_hot(number, classes, dtype=bool)
