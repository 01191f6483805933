"""The leaky filter that all potentials and currents are made of, and its arguments."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array
from typing_extensions import TypeAliasType

from .._parameter import DECAY, REAL, Fixed, Logistic, acting, as_parameter
from ._linear_scan import associative, constant


class UnityGain(eqx.Module):
    r"""A gain of 1 − decay, which gives the filter a gain of 1 for constant input: $v \leftarrow \alpha v + (1 -
    \alpha) x$.

    The form of the original SNNAX, and of NIR with $r = 1$. It follows the decay when that is trained.
    """


# With names, so that `help` prints those.
Parameter = TypeAliasType("Parameter", int | float | np.generic | np.ndarray | Array | Fixed | Logistic)
Gain = TypeAliasType("Gain", Parameter | UnityGain)


def decay(
    tau: int | float | np.generic | np.ndarray | Array, dt: int | float | np.generic | np.ndarray | Array
) -> float | Array:
    r"""The decay per time step of a filter with a time constant: $e^{-dt/\tau}$.

    **Arguments:** `tau`: the time constant, and `dt`: the time step, both in the same unit (seconds by convention) and
    greater than 0. Python numbers give a Python number (a constant of the network), arrays an array (trained).

    **Returns:** the decay, in (0, 1).
    """
    for name, value in (("tau", tau), ("dt", dt)):
        if not isinstance(value, Tracer) and not bool(np.all(np.asarray(value) > 0)):
            raise ValueError(f"`snn.decay`: `{name}` must be greater than 0 (both in seconds), got {value}.")
    if isinstance(tau, (np.ndarray, jax.Array)) or isinstance(dt, (np.ndarray, jax.Array)):
        return jnp.exp(-jnp.asarray(dt) / jnp.asarray(tau))
    return math.exp(-float(dt) / float(tau))


def leaky(v: Array, x: Array, decay: Parameter, gain: Gain, rest: Parameter = 0.0) -> Array:
    r"""One step of the filter: $v \leftarrow v_0 + \alpha (v - v_0) + g x$, in the dtype of `v`."""
    alpha, g, v0 = acting_leaky(decay, gain, rest, v.dtype)
    return v0 + alpha * (v - v0) + g * x


def leaky_over_time(v: Array, xs: Array, decay: Parameter, gain: Gain, rest: Parameter = 0.0) -> Array:
    """What `leaky` gives after every step, `(time, ...)`, by an associative scan."""
    alpha, g, v0 = acting_leaky(decay, gain, rest, v.dtype)
    drive = g * xs
    return v0 + associative(constant(alpha, drive), drive, v - v0)


def acting_leaky(decay: Parameter, gain: Gain, rest: Parameter, dtype) -> tuple[Array, Array, Array]:
    """The decay, the gain and the rest that act."""
    alpha = acting(decay, dtype, DECAY)
    return alpha, acting_gain(gain, alpha), acting(rest, dtype)


def acting_gain(gain: Gain, alpha: Array) -> Array:
    """The gain that acts, of a filter with the decay `alpha`."""
    return 1 - alpha if isinstance(gain, UnityGain) else acting(gain, alpha.dtype)


def is_sequence(value) -> bool:
    return isinstance(value, (list, tuple))


def as_decays(owner: str, value, names: Sequence[str], *, shape, key) -> tuple[Parameter, ...]:
    """The decays as they are stored, one for each filter that `names` names."""
    values = tuple(value) if is_sequence(value) else (value,)
    is_a_shape = is_sequence(value) and is_shape(value) and any(n > 1 for n in value)
    if len(values) != len(names) or not is_shape(shape) or is_a_shape:
        one_each = " and ".join(f"one for the {name}" for name in names)
        example = ", ".join(["0.95", "0.9", "0.8"][: len(names)])
        right = f"{owner}({f'[{example}]' if len(names) > 1 else example}, shape=(8, 8), key=key)"
        raise ValueError(
            f"`{owner}`: `decay_constants` must hold {len(names)} ({one_each}), and `shape` the sizes of one example; "
            f"got `decay_constants={value}` and `shape={shape}`. The decays come first: `{right}`."
        )
    return tuple(
        as_parameter(owner, "decay_constants", one, DECAY, of=f" for the {name}", shape=shape, key=subkey)
        for name, one, subkey in zip(names, values, split(key, len(names)), strict=True)
    )


def as_gains(owner: str, value, names: Sequence[str], *, shape, key) -> tuple[Gain, ...]:
    """The gains as they are stored, one for each filter; a single one holds for all."""
    values = tuple(value) if is_sequence(value) else (value,) * len(names)
    if len(values) != len(names):
        raise ValueError(
            f"`{owner}`: `gain` must be one for all filters or one for each ({', '.join(names)}), got {len(values)} "
            "values."
        )
    return tuple(
        one
        if isinstance(one, UnityGain)
        else as_parameter(owner, "gain", one, REAL, of=f" for the {name}", shape=shape, key=subkey)
        for name, one, subkey in zip(names, values, split(key, len(names)), strict=True)
    )


def is_shape(shape) -> bool:
    return shape is None or (
        is_sequence(shape)
        and all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 0 for n in shape)
    )


def split(key, n: int) -> Sequence:
    return [None] * n if key is None else list(jax.random.split(key, n))
