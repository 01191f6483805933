"""What the functions of arrays make of their arguments: dtypes, and the checks of values that are known at the call."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array

from .._parameter import Interval


def as_array(owner: str, name: str, value: ArrayLike) -> Array:
    """`value` as an array of real numbers or booleans, in its own dtype."""
    if isinstance(value, (bool, int, float, np.ndarray, np.generic, jax.Array)):
        array = jnp.asarray(value)
        if jnp.issubdtype(array.dtype, jnp.bool_) or (
            jnp.issubdtype(array.dtype, jnp.number) and not jnp.issubdtype(array.dtype, jnp.complexfloating)
        ):
            return array
    got = f"an array of dtype {value.dtype}" if isinstance(value, (np.ndarray, jax.Array)) else type(value)
    raise TypeError(f"`{owner}`: `{name}` must be an array of real numbers or booleans, got {got}.")


def floating(*arrays: Array) -> np.dtype:
    """The dtype of what is computed from `arrays`: that of the floating ones among them, or else jax's default."""
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.result_type(*(array.dtype for array in arrays))
    return dtype if jnp.issubdtype(dtype, jnp.inexact) else jnp.zeros(()).dtype


def wide(*arrays: Array) -> tuple[Array, ...]:
    """The arrays in one dtype to compute in, float32 at least."""
    dtype = np.promote_types(floating(*arrays), np.float32)
    return tuple(array.astype(dtype) for array in arrays)


def check_range(owner: str, name: str, value: ArrayLike, interval: Interval) -> None:
    """Refuses values out of the interval, where they are known: not those that `jit` or `vmap` traces."""
    if not isinstance(value, Tracer) and not interval.holds(value):
        # By NumPy, which computes at once, inside of `jit` too.
        known = np.asarray(value)
        raise ValueError(
            f"`{owner}`: `{name}` must be in {interval}, got values from {known.min()} to {known.max()}. "
            f"{interval.remedy}".rstrip()
        )


def as_scores(owner: str, name: str, value: ArrayLike) -> Array:
    """An array whose last axis is that of the classes."""
    scores = as_array(owner, name, value)
    if scores.ndim == 0 or scores.shape[-1] == 0:
        raise ValueError(
            f"`{owner}`: `{name}` must have the shape (..., classes), with one class at least, got {scores.shape}."
        )
    return scores


def as_labels(owner: str, value: ArrayLike, name: str, scores: Array) -> tuple[Array, Array]:
    """Labels for `scores`, which is the argument `name`, one for each leading position; and whether each is a class.

    Only labels that are traced may be none: the others are refused.
    """
    labels = as_array(owner, "labels", value)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(
            f"`{owner}`: `labels` must be whole numbers, the index of the class, got the dtype {labels.dtype}. From "
            "one-hot targets: `jnp.argmax(targets, -1)`."
        )
    classes = scores.shape[-1]
    if labels.shape not in ((), scores.shape[:-1]):
        raise ValueError(
            f"`{owner}`: `labels` must be one label or have the shape {scores.shape[:-1]}, for `{name}` of shape "
            f"{scores.shape}, got {labels.shape}. For a batch use `jax.vmap`."
        )
    check_range(
        owner, "labels", value, Interval(0.0, float(classes - 1), f"There are {classes} classes, numbered from 0.")
    )
    labels = jnp.broadcast_to(labels.astype(jnp.int32), scores.shape[:-1])
    return labels, (labels >= 0) & (labels < classes)


def check_same_shape(owner: str, names: Sequence[str], a: Array, b: Array) -> None:
    if a.shape != b.shape:
        raise ValueError(f"`{owner}`: `{names[0]}` and `{names[1]}` must have one shape, got {a.shape} and {b.shape}.")


def as_trains(owner: str, name: str, value: ArrayLike) -> Array:
    """An array whose axis 0 is time."""
    train = as_array(owner, name, value)
    if train.ndim == 0 or train.shape[0] == 0:
        raise ValueError(
            f"`{owner}`: `{name}` must have the shape (time, ...), with one step at least, got {train.shape}."
        )
    return train


def check_steps(owner: str, steps: int) -> None:
    if not isinstance(steps, (int, np.integer)) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"`{owner}`: `steps` must be the number of time steps, 1 or more, got {steps!r}.")


def check_count(owner: str, name: str, value: int, least: int) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ValueError(f"`{owner}`: `{name}` must be a whole number, {least} or more, got {value!r}.")


def check_key(owner: str, key: Any, remedy: str, batch: str) -> None:
    """Refuses what is no key, saying `remedy`, and what is several, with `batch` on how to pass those."""
    dtype, shape = getattr(key, "dtype", None), jnp.shape(key) if hasattr(key, "shape") else None
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    raw = not typed and dtype == np.uint32 and bool(shape) and shape[-1] in (2, 4)
    if not typed and not raw:
        got = repr(key) if shape is None else f"an array of shape {shape} and dtype {dtype}"
        raise TypeError(f"`{owner}`: `key` must be a key such as `jax.random.key(0)`, got {got}. {remedy}".rstrip())
    if len(shape or ()) != (0 if typed else 1):
        raise ValueError(
            f"`{owner}`: `key` must be one key, got {'keys' if typed else 'an array'} of shape {shape}. For a batch: "
            f"`{batch}`."
        )
