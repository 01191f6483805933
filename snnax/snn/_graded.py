"""Spikes of another size than 1."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._parameter import acting, as_parameter, check_shapes, parameter
from ._filter import Parameter


class GradedSpikes(eqx.Module):
    r"""Gives spikes a size: $y_t = a\,s_t$.

    It has no state and follows a spiking layer, whose reset sees the spike without its size. snnTorch's `GradedSpikes`
    and the `graded_spikes_factor` of its neurons.

    Source: Y. Guo et al. 2024, arXiv:2312.06372, with one trained size for a layer.
    """

    size: Parameter = parameter()

    def __init__(
        self, size: Parameter | Callable, shape: Sequence[int] | None = None, *, key: PRNGKeyArray | None = None
    ):
        """**Arguments:**

        - `size`: $a$, the size of a spike. A number is a constant, an array (a scalar, or of a shape that broadcasts to
            the layer's) is trained, an initialiser `(key, shape, dtype)` draws one for each neuron.
        - `shape`, `key`: the shape of one example and a key, for an initialiser.
        """
        self.size = as_parameter("snn.GradedSpikes", "size", size, shape=shape, key=key)

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """**Arguments:** `x`: spikes, of any shape. `key` is ignored.

        **Returns:** the spikes in their size, of the shape of `x`, in its dtype where that is a floating one.
        """
        x = jnp.asarray(x)
        check_shapes("snn.GradedSpikes", self, x.shape)
        if not jnp.issubdtype(x.dtype, jnp.inexact):
            x = x.astype(jnp.zeros(()).dtype)
        return acting(self.size, x.dtype) * x
