"""What a parameter of a neuron may be, and what acts in its place: numbers are constants, arrays are trained."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PRNGKeyArray, PyTree

from ._moving import moving


class Fixed(eqx.Module):
    """Marks an array as not trained: `snn.LIF([snn.Fixed(jnp.full((128,), 0.95)), 0.9])`.

    The array keeps its place in the network (it is saved, printed and moved to devices with it), its gradient is zero
    and `snn.trainable` leaves it out.
    """

    value: Array

    def __init__(self, value):
        """**Arguments:** `value`: a floating array, a NumPy array (converted), or an initialiser
        `(key, shape, dtype) -> array` where the layer that gets it is given `shape=` and `key=`.
        """
        if isinstance(value, (int, float)):
            raise TypeError(
                f"`snn.Fixed`: `value` must be a floating array, got {value}. A number is a constant already."
            )
        self.value = value if _is_initialiser(value) else _as_array("snn.Fixed", "value", value)


class Logistic(eqx.Module):
    r"""A trained parameter that never leaves its range, with no clip: the parameter is
    $l + (h - l)\,\sigma(w)$, and $w$ is what is trained.

        snn.SimpleLIF(snn.Logistic(0.9))            # one trained decay, "parametric LIF"
        snn.SimpleLIF(snn.Logistic(jnp.array([0.9, 0.5, 0.7])))

    Near the ends of the range its gradient falls to zero, where that of a plain array does not; see `snn.project`.

    Source: W. Fang et al. 2021, arXiv:2007.05785.
    """

    raw: Any
    low: float = eqx.field(static=True)
    high: float = eqx.field(static=True)

    def __init__(self, value: int | float | np.generic | np.ndarray | Array | Callable, *, low=0.0, high=1.0):
        """**Arguments:**

        - `value`: the value that acts at first, in (`low`, `high`), or an initialiser `(key, shape, dtype)` of it.
        - `low`, `high`: the ends of the range. Default: (0, 1), that of decays.
        """
        if not low < high:
            raise ValueError(f"`snn.Logistic`: `low` must be less than `high`, got {low} and {high}.")
        self.low, self.high = float(low), float(high)
        self.raw = value if _is_initialiser(value) else self._to_raw(value)

    @property
    def value(self) -> Array:
        """The value that acts."""
        return self.low + (self.high - self.low) * jax.nn.sigmoid(self.raw)

    def _to_raw(self, value) -> Array:
        array = jnp.asarray(value, None if hasattr(value, "dtype") else float)
        if not jnp.issubdtype(array.dtype, jnp.floating) or (
            not isinstance(array, Tracer) and not bool(jnp.all((array > self.low) & (array < self.high)))
        ):
            raise ValueError(
                f"`snn.Logistic`: `value` must be a number or a floating array inside of ({self.low:g}, "
                f"{self.high:g}), ends excluded, got {value}."
            )
        share = (array - self.low) / (self.high - self.low)
        return jnp.log(share) - jnp.log1p(-share)


@dataclasses.dataclass(frozen=True)
class Interval:
    """The range of a parameter; `low` and `high` belong to it."""

    low: float = -math.inf
    high: float = math.inf
    remedy: str = ""

    def __str__(self) -> str:
        left = "(-inf" if math.isinf(self.low) else f"[{self.low:g}"
        right = "inf)" if math.isinf(self.high) else f"{self.high:g}]"
        return f"{left}, {right}"

    def holds(self, value) -> bool:
        return bool(np.all((np.asarray(value) >= self.low) & (np.asarray(value) <= self.high)))


@dataclasses.dataclass(frozen=True)
class Positive(Interval):
    """The open range above zero. A trained value is held at the smallest positive number of float32 or above."""

    low: float = float(np.finfo(np.float32).tiny)

    def __str__(self) -> str:
        return "(0, inf)"


DECAY = Interval(0.0, 1.0, "From a time constant: `snn.decay(tau, dt)`.")
REAL = Interval()
POSITIVE = Positive()


def parameter(interval: Interval | tuple[float, float] | Callable[[Any], Interval] = REAL):
    """A field of a module that holds a parameter (or a tuple of them).

        class Leaky(snn.StatefulLayer):
            decay: jax.Array = snn.parameter((0.0, 1.0))

    `snn.project` clips a trained array to the range. What a layer of one's own does with values outside of it before
    that is for the layer to say.

    **Arguments:** `interval`: its range: the lowest and the highest value, both allowed (default: any); or a function
        that tells the range from the module.
    """
    if isinstance(interval, tuple):
        low, high = interval
        if not low < high:
            raise ValueError(f"`snn.parameter`: the range must be (lowest, highest), got {interval}.")
        interval = Interval(float(low), float(high))
    return eqx.field(metadata={"interval": interval})


def _is_initialiser(value) -> bool:
    return callable(value) and not isinstance(value, (eqx.Module, type)) and not eqx.is_array(value)


def _as_array(owner: str, name: str, value) -> Array:
    if isinstance(value, (np.ndarray, jax.Array)) and jnp.issubdtype(value.dtype, jnp.inexact):
        # Strongly typed: a weak type would be lost with the first update, and all that was compiled with it.
        array = jnp.asarray(value)
        return array.astype(array.dtype)
    got = f"an array of dtype {value.dtype}" if isinstance(value, (np.ndarray, jax.Array)) else repr(value)
    raise TypeError(
        f"`{owner}`: `{name}` must be a number (a constant) or a floating array (trained), got {got}. "
        "Convert it, for example with `jnp.asarray(value, jnp.float32)`."
    )


def as_parameter(
    owner: str,
    name: str,
    value,
    interval: Interval = REAL,
    *,
    of: str = "",
    shape: Sequence[int] | None = None,
    key: PRNGKeyArray | None = None,
):
    """`value` as it is stored: a float, a floating array, a `Fixed` or a `Logistic`; checked against `interval`."""
    if isinstance(value, Fixed):
        return Fixed(as_parameter(owner, name, value.value, interval, of=of, shape=shape, key=key))
    draw = value.raw if isinstance(value, Logistic) else value
    if _is_initialiser(draw):
        if shape is None or key is None:
            raise ValueError(
                f"`{owner}`: `{name}` is an initialiser, which draws one value per neuron and needs to know how many. "
                "Give the layer `shape=` (of one example) and `key=`."
            )
        drawn = draw(key, tuple(shape), jnp.zeros(()).dtype)
        value = Logistic(drawn, low=value.low, high=value.high) if isinstance(value, Logistic) else drawn
    if isinstance(value, Logistic):
        if not (interval.holds(value.low) and interval.holds(value.high)):
            raise ValueError(
                f"`{owner}`: `{name}` must be in {interval}, but its `snn.Logistic` goes from {value.low:g} to "
                f"{value.high:g}{of}. Give it `low` and `high` within that range."
            )
        return value
    if isinstance(value, np.generic) and not isinstance(value, np.bool_):
        value = value.item()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = float(value)
    else:
        value = _as_array(owner, name, value)
    if not isinstance(value, Tracer) and not interval.holds(value):
        shown = value if isinstance(value, float) else f"values from {np.min(value)} to {np.max(value)}"
        raise ValueError(f"`{owner}`: `{name}` must be in {interval}, got {shown}{of}. {interval.remedy}".rstrip())
    return value


def acting(value, dtype, interval: Interval = REAL) -> Array:
    """The value that acts, in `dtype`: clipped to `interval`, with a gradient that passes the clip.

    A clip that stopped the gradient would leave a decay that has reached the edge of its range there for ever.
    """
    if isinstance(value, Fixed):
        return jax.lax.stop_gradient(acting(value.value, dtype, interval))
    if isinstance(value, Logistic):
        return value.value.astype(dtype)
    array = jnp.asarray(value, dtype)
    if isinstance(value, float) or interval == REAL:
        return array
    return moving((jnp.clip(array, interval.low, interval.high),), array, _as_unclipped)[0]


def _as_unclipped(values, array, tangent):
    return (tangent,)


def map_modules(function, tree: PyTree) -> PyTree:
    """Applies `function` to every module of `tree`, children first."""

    def rebuild(node):
        if not isinstance(node, eqx.Module):
            return node
        children, treedef = jax.tree.flatten(
            node, is_leaf=lambda child: child is not node and isinstance(child, eqx.Module)
        )
        return function(jax.tree.unflatten(treedef, [rebuild(child) for child in children]))

    return jax.tree.map(rebuild, tree, is_leaf=lambda node: isinstance(node, eqx.Module))


def _ranged_fields(module: eqx.Module) -> dict[str, Interval]:
    fields = dataclasses.fields(module)
    intervals = {field.name: field.metadata["interval"] for field in fields if "interval" in field.metadata}
    return {name: one if isinstance(one, Interval) else one(module) for name, one in intervals.items()}


def project(model: PyTree) -> PyTree:
    """Writes the values that act back into the parameters: each trained array is clipped to its range.

    A trained decay may leave [0, 1] by an update; the layer uses it through a clip. After `model = snn.project(model)`
    what is printed, saved and exported is what acts, and the next update starts from there.

    **Arguments:** `model`: any pytree with layers in it.

    **Returns:** the same pytree; only arrays out of their range have changed.
    """

    def clip(module):
        for name, interval in _ranged_fields(module).items():
            if interval != REAL:
                new = jax.tree.map(
                    lambda leaf, low=interval.low, high=interval.high: (
                        jnp.clip(leaf, low, high) if eqx.is_inexact_array(leaf) else leaf
                    ),
                    getattr(module, name),
                    is_leaf=lambda node: isinstance(node, Logistic),
                )
                module = eqx.tree_at(lambda m, name=name: getattr(m, name), module, new, is_leaf=lambda x: x is None)
        return module

    return map_modules(clip, model)


def trainable(model: PyTree) -> PyTree:
    """Which leaves of `model` are trained: the one filter for `eqx.partition`, `optax` and checkpoints.

        params, static = eqx.partition(model, snn.trainable(model))

    **Returns:** a pytree of booleans, `True` at every floating (or complex) array that is not inside a `snn.Fixed`.
    """

    def mark(node):
        if isinstance(node, Fixed):
            return jax.tree.map(lambda _: False, node)
        return eqx.is_inexact_array(node)

    return jax.tree.map(mark, model, is_leaf=lambda node: isinstance(node, Fixed))


def check_shapes(owner: str, module: eqx.Module, in_shape: tuple[int, ...]) -> None:
    """Refuses parameters of `module`, and of the modules in it, that do not broadcast to `in_shape`."""
    for name in _ranged_fields(module):
        for leaf in filter(eqx.is_array, jax.tree.leaves(getattr(module, name))):
            shape = jnp.shape(leaf)
            fits = len(shape) <= len(in_shape) and all(
                n in (1, m) for n, m in zip(reversed(shape), reversed(in_shape), strict=False)
            )
            if not fits:
                raise ValueError(
                    f"`{owner}`: `{name}` has the shape {shape}, but the layer is given inputs of shape {in_shape}. "
                    "Give a scalar (one value for all neurons), the shape of the inputs, or one that broadcasts to "
                    "it, such as (channels, 1, 1)."
                )
    for field in dataclasses.fields(module):
        if isinstance(getattr(module, field.name), eqx.Module):
            check_shapes(owner, getattr(module, field.name), in_shape)
