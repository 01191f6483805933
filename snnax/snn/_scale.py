"""Each input multiplied by a weight of its own."""

import equinox as eqx
from jaxtyping import Array, PRNGKeyArray

from .._parameter import acting, as_parameter, check_shapes, parameter
from ._filter import Parameter


class Scale(eqx.Module):
    r"""Each input multiplied by a weight: $y = w \odot x$. `nir.Scale`; in `snn.Recurrent`, the synapse of neurons that
    hear only themselves.
    """

    weight: Parameter = parameter()

    def __init__(self, weight: Parameter):
        """**Arguments:** `weight`: $w$: a number (a constant) or an array that broadcasts to the input (trained)."""
        self.weight = as_parameter("snn.Scale", "weight", weight)

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """**Arguments:** `x`: an array to whose shape the weight broadcasts. `key` is ignored.

        **Returns:** the product, in the dtype of `x`.
        """
        check_shapes("snn.Scale", self, x.shape)
        return x * acting(self.weight, x.dtype)
