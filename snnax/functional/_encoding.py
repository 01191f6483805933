"""What encoders, targets and synthetic tasks ask of their arguments."""

import numbers
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Shaped

from .._elsewhere import P, R, answering
from .._parameter import POSITIVE, REAL, Interval, acting, as_parameter
from ._arguments import as_array, as_trains, check_range, wide

_ELSEWHERE = {
    "T": "`steps`",
    "num_steps": "`steps`",
    "n_steps": "`steps`",
    "time_steps": "`steps`",
    "time": "`steps`",
    "data": "`x`, of one example,",
    "datum": "`x`, of one example,",
    "obs": "`x`, of one example,",
    "num_neurons": "`neurons`",
    "neuron_count": "`neurons`",
    "min_val": "`low`",
    "max_val": "`high`",
    "time_var_input": "a call without `steps`, with a sequence as `x`,",
    "gain": "`jnp.clip(gain * x + offset, 0, 1)` in the place of `x`",
    "offset": "`jnp.clip(gain * x + offset, 0, 1)` in the place of `x`",
    "max_r": "`max_r * x` in the place of `x`",
    "first_spike_time": "`jnp.pad(spikes, ((first, 0), (0, 0)))`",
    "linear": "`functional.latency_code`, and its absence `functional.log_latency_code`,",
    "normalize": "what `functional.latency_code` and `functional.log_latency_code` always do",
    "clip": "what `functional.latency_code` and `functional.log_latency_code` always do",
    "padding": "what `functional.delta_code` always does",
    "off_spike": "what `functional.delta_code` always does",
    "on_target": "`jnp.where(spikes > 0, on, off)`",
    "off_target": "`jnp.where(spikes > 0, on, off)`",
    "seed": "`key`, such as `jax.random.key(seed)`,",
    "rng": "`key`",
}
"""What other libraries call the arguments of encoders, and what they are here."""


def encoder(function: Callable[P, R]) -> Callable[P, R]:
    """Makes an encoder answer what other libraries call its arguments."""
    return answering(f"functional.{function.__name__}", _ELSEWHERE)(function)


UNIT = Interval(0.0, 1.0)
INTENSITY = Interval(
    0.0, 1.0, "Scale it, for example bytes by `x / 255.0`; clip it if that is meant: `jnp.clip(x, 0, 1)`."
)


def as_signal(owner: str, x: Shaped[ArrayLike, "..."], interval: Interval = REAL, *, time: bool = False) -> Array:
    """`x` as a floating array, checked against `interval` unless it is traced; with `time`, it must have an axis 0."""
    array = as_trains(owner, "x", x) if time else as_array(owner, "x", x)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        remedy = interval.remedy or "Convert it, for example with `jnp.asarray(x, jnp.float32)`."
        raise TypeError(f"`{owner}`: `x` must be a floating array, got dtype {array.dtype}. {remedy}")
    check_range(owner, "x", x, interval)
    return array


def as_count(owner: str, name: str, value, least: int = 1) -> int:
    """`value` as a Python integer of at least `least`."""
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        traced = " A traced one must be made static: `static_argnames`." if isinstance(value, Tracer) else ""
        raise ValueError(f"`{owner}`: `{name}` must be a whole number of {least} or more, got {value}.{traced}")
    return number


def as_number(owner: str, name: str, value, interval: Interval) -> float:
    """`value` as a Python number in `interval`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not interval.holds(value):
        raise ValueError(f"`{owner}`: `{name}` must be a number in {interval}, got {value}. {interval.remedy}".rstrip())
    return float(value)


def as_threshold(owner: str, value, x: Array) -> Array:
    """A positive threshold in the dtype of `x`, of a shape that broadcasts to one time step of it."""
    return for_one_step(owner, "threshold", acting(as_parameter(owner, "threshold", value, POSITIVE), x.dtype), x)


def for_one_step(owner: str, name: str, value, x: Array) -> Array:
    """`value` in the dtype of the sequence `x`, if it broadcasts to one time step of it."""
    value = jnp.asarray(value, x.dtype)
    try:
        fits = jnp.broadcast_shapes(value.shape, x.shape[1:]) == x.shape[1:]
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"`{owner}`: `{name}` has the shape {value.shape}, but one time step of the sequence has {x.shape[1:]}. "
            "Give a number, or an array that broadcasts to one time step."
        )
    return value


def widened(x: Array) -> Array:
    """`x` in float32 at least: narrower types hold neither the number of a step nor a small probability."""
    return wide(x)[0]


def spike_at(step: Array, steps: int, dtype) -> Array:
    """`(steps, ...)`: one spike at the whole number `step`, none where that is outside of 0 to `steps` - 1."""
    return jax.nn.one_hot(step.astype(jnp.int32), steps, axis=0, dtype=dtype)
