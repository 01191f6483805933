"""A layer on each of several inputs."""

from typing import Any

import equinox as eqx
import jax.random as jr
from jaxtyping import Array, PRNGKeyArray

from ._layer import StatefulLayer, name_of
from ._node import Composite, check_child, check_input, over_steps


class Each(eqx.Module):
    """A layer without state on each entry of the first axis of its input, with the same weights.

        snn.Each(eqx.nn.Linear(8, 4, key=key))      # (tokens, 8) to (tokens, 4)
        snn.Each(eqx.nn.LayerNorm(8))               # each token by itself

    Neurons need none: they take arrays of any shape.
    """

    layer: Any

    def __init__(self, layer: Any):
        """**Arguments:** `layer`: an Equinox module without state."""
        if isinstance(layer, (StatefulLayer, Composite)):
            raise TypeError(
                f"`snn.Each` takes a layer without state, got `{name_of(layer)}`. Neurons take arrays of any shape as "
                "they are; of a chain, put `snn.Each` around the single layers."
            )
        check_child("snn.Each", "the layer", layer)
        self.layer = layer

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """**Arguments:** `x`: `(n, *in_shape)`, with inputs of the layer; `key`: of which each entry gets another.

        **Returns:** the outputs of the layer, `(n, *out_shape)`.
        """
        check_input("snn.Each", "the layer", self.layer, x.shape[1:])
        return over_steps(self.layer, x, None if key is None else jr.split(key, x.shape[0]))
