"""The steepness of a surrogate, as a constant, trained or annealed."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree
from typing_extensions import TypeAliasType

from ..._parameter import POSITIVE, Fixed, Interval, Logistic, acting, as_parameter, map_modules
from ._surrogate import AbstractSurrogate

Parameter = TypeAliasType("Parameter", float | Array | Fixed | Logistic)


def parameter_of(owner: str, name: str, default: float, interval: Interval = POSITIVE):
    """A field that holds a parameter of the surrogate `owner`."""

    def convert(value):
        return as_parameter(f"surrogate.{owner}", name, value, interval)

    return eqx.field(default=default, converter=convert, metadata={"interval": interval})


def slope_of(owner: str, default: float):
    return parameter_of(owner, "slope", default)


class Sloped(AbstractSurrogate):
    """A surrogate with a `slope` $k > 0$: larger is narrower."""

    slope: eqx.AbstractVar[Parameter]

    def _k(self, x: Array) -> Array:
        return acting(self.slope, x.dtype, POSITIVE)


def with_slope(model: PyTree, slope: int | float | np.generic | np.ndarray | Array) -> PyTree:
    """Sets the slope of every surrogate in `model` that has one, as an array that is not trained.

        schedule = optax.linear_schedule(2.0, 25.0, transition_steps=1000)
        for i, batch in enumerate(batches):
            model = step(surrogate.with_slope(model, schedule(i)), batch)

    anneals the slopes: wide while little fires, steep at the end. The slope is a leaf of the model, so a jitted `step`
    is compiled once. It changes the structure of a model whose slopes were numbers: begin with it before the
    optimiser's `init`. Gradients change, and spikes do not, but for those of `EscapeNoise`, whose noise fades, and of
    `Relaxed`.

    **Arguments:** `model`: any pytree; `slope`: a number or an array, greater than 0; may be traced.

    **Returns:** the same pytree with each such `slope` an `snn.Fixed`.

    **Raises:** `ValueError` where nothing in `model` has a slope.
    """
    fixed = Fixed(jnp.asarray(as_parameter("surrogate.with_slope", "slope", slope, POSITIVE)))
    found = False

    def set_slope(module):
        nonlocal found
        names = [field.name for field in dataclasses.fields(module)]
        if not isinstance(module, AbstractSurrogate) or "slope" not in names:
            return module
        found = True
        return eqx.tree_at(lambda s: s.slope, module, fixed)

    model = map_modules(set_slope, model)
    if not found:
        raise ValueError(
            "`surrogate.with_slope`: no surrogate in `model` has a slope. Give the neurons one that has, such as "
            "`spike_fn=surrogate.SuperSpike()`."
        )
    return model
