"""Spikes without a state: where the input reaches a threshold."""

from collections.abc import Callable

import equinox as eqx
from jaxtyping import Array, PRNGKeyArray

from .._parameter import acting, as_parameter, check_shapes, parameter
from ..functional.surrogate import SuperSpike, emit
from ._filter import Parameter
from ._spiking import check_spike_fn


class Threshold(eqx.Module):
    r"""A spike where the input reaches a threshold: $y = [x \ge \theta]$. It has no state.

    `nir.Threshold`, which fires above the threshold and not at it.
    """

    spike_fn: Callable[[Array], Array]
    threshold: Parameter = parameter()

    def __init__(self, threshold: Parameter = 1.0, *, spike_fn: Callable[[Array], Array] | None = None):
        r"""**Arguments:**

        - `threshold`: $\theta$: a number (a constant) or an array that broadcasts to the input (trained). Default 1.
        - `spike_fn`: the surrogate, called on $x - \theta$. Default `surrogate.SuperSpike()`.
        """
        self.threshold = as_parameter("snn.Threshold", "threshold", threshold)
        self.spike_fn = SuperSpike() if spike_fn is None else spike_fn
        check_spike_fn("snn.Threshold", self.spike_fn, self.threshold)

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """**Arguments:** `x`: an array of any shape; `key`: for a `spike_fn` that draws.

        **Returns:** the spikes, in its shape and dtype.
        """
        check_shapes("snn.Threshold", self, x.shape)
        spike, _ = emit(self.spike_fn, x - acting(self.threshold, x.dtype), key)
        return spike
