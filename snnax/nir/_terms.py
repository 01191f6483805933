"""What it means that a layer and a NIR node stand for each other."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import snn
from ._discretisation import AbstractDiscretisation, ForwardEuler


class NotExpressible(Exception):
    """Raised by the functions of a `Pair`: why this layer, or this node, has no counterpart. The caller names it."""


@dataclasses.dataclass(frozen=True)
class Terms:
    """On what layers and nodes are equal: what `from_nir` and `to_nir` were given.

    - `dt`: the time step, and `if_dt`: that of the nodes without a time constant, `IF` and `I`, both in seconds.
    - `discretisation`: how time constants become decays.
    - `reset`: what stands for NIR's reset to `v_reset`, or `None`.
    """

    dt: float
    if_dt: float
    discretisation: AbstractDiscretisation
    reset: snn.AbstractReset | None


def as_terms(owner: str, dt: Any, if_dt: Any, discretisation: Any, reset: Any) -> Terms:
    for name, value in (("dt", dt), ("if_dt", dt if if_dt is None else if_dt)):
        if not isinstance(value, (int, float, np.number)) or isinstance(value, bool) or not 0 < value < math.inf:
            raise ValueError(f"`{owner}`: `{name}` must be a time step in seconds, greater than 0, got {value!r}.")
    discretisation = ForwardEuler() if discretisation is None else discretisation
    if not isinstance(discretisation, AbstractDiscretisation):
        raise TypeError(
            f"`{owner}`: `discretisation` must be one such as `snnax.nir.ForwardEuler()`, got {discretisation!r}."
        )
    if reset is not None and not isinstance(reset, snn.AbstractReset):
        raise TypeError(f"`{owner}`: `reset` must be a reset such as `snn.SubtractReset()`, got {reset!r}.")
    return Terms(float(dt), float(dt if if_dt is None else if_dt), discretisation, reset)


@dataclasses.dataclass(frozen=True)
class Pair:
    """A layer and the NIR node that stands for it.

    - `layer`: a class of layers, and `node`: a class of `nir`.
    - `to_node(layer, shape, terms)`: the node for a layer that is given inputs of `shape` in each step. Where this pair
        does not hold for it, it raises `snnax.nir.NotExpressible(reason)`, and the next pair of the class is asked.
    - `to_layer(node, terms)`: the layer for a node, likewise.
    """

    layer: type
    node: type
    to_node: Callable[[Any, tuple[int, ...], Terms], Any]
    to_layer: Callable[[Any, Terms], Any]
