r"""What a spike does to the potential of its neuron.

Below, $v_t$ is the potential that the neuron has integrated in this step, before any reset, $v_{t-1}$ the potential
that it kept from the last, $\theta$ the threshold and $s_t$ the spike.
"""

import abc

import equinox as eqx
import jax
from jaxtyping import Array

from .._parameter import acting, as_parameter, parameter
from ._filter import Parameter


class AbstractReset(eqx.Module):
    """What a reset is: `before` may change the potential that is compared with the threshold, `after` what is kept.

    With `stop_gradient=True` the reset uses the spike without its gradient; with `False` all flows.
    """

    stop_gradient: eqx.AbstractVar[bool]

    def seen(self, spike: Array) -> Array:
        """The spike as the reset sees it."""
        return jax.lax.stop_gradient(spike) if self.stop_gradient else spike

    def before(self, v: Array, previous: Array, threshold: Array) -> Array:
        """The potential that is compared with the threshold, from the integrated and the previous potential."""
        del previous, threshold
        return v

    @abc.abstractmethod
    def after(self, v: Array, spike: Array, threshold: Array, fired: Array) -> Array:
        """The potential that is kept, from the integrated potential and the spike.

        **Arguments:** `fired`: 1 for the neurons that fired; for spikes of 0 and 1 the spike itself.
        """


class ResetToValue(AbstractReset):
    r"""The potential of a neuron that fires goes to a value: $v \leftarrow (1 - s_t)\, v_t + s_t\, c$.

    The reset of `nir.LIF` (`v_reset`) and, with $c = 0$, of snnTorch's `"zero"`.
    """

    value: Parameter = parameter()
    stop_gradient: bool = eqx.field(static=True)

    def __init__(self, value: Parameter = 0.0, *, stop_gradient: bool = True):
        """**Arguments:**

        - `value`: $c$, in units of the potential; an array is trained. Default 0.
        - `stop_gradient`: whether the reset uses the spike without its gradient. Default `True`.
        """
        self.value = as_parameter("snn.ResetToValue", "value", value)
        self.stop_gradient = stop_gradient

    def after(self, v: Array, spike: Array, threshold: Array, fired: Array) -> Array:
        fired = self.seen(fired)
        return v * (1 - fired) + fired * acting(self.value, v.dtype)


class SubtractReset(AbstractReset):
    r"""The threshold is subtracted from the potential of a neuron that fires: $v \leftarrow v_t - s_t\,\theta$.

    What the potential had above the threshold is kept. Spyx's only reset, and the `"subtract"` of others.
    """

    stop_gradient: bool = eqx.field(static=True, default=True)

    def after(self, v: Array, spike: Array, threshold: Array, fired: Array) -> Array:
        return v - self.seen(spike) * threshold


class NoReset(AbstractReset):
    r"""The potential goes on as if nothing had happened: $v \leftarrow v_t$. It fires in every step above threshold."""

    stop_gradient: bool = eqx.field(static=True, default=True)

    def after(self, v: Array, spike: Array, threshold: Array, fired: Array) -> Array:
        return v


class DelayedSubtractReset(AbstractReset):
    r"""Subtraction in which a neuron that is still above threshold after its reset must climb another one to fire.

    $$r_t = [v_{t-1} \ge \theta], \qquad s_t = [v_t - r_t \theta \ge \theta], \qquad v \leftarrow v_t - s_t\,\theta$$

    A potential that an earlier step has left at or above the threshold lowers what is compared with it by $\theta$, and
    the threshold is never subtracted twice. This is the `"subtract"` of snnTorch with `reset_delay=False` (its
    "avoid double reset"), in which the spikes that snnTorch published for the recurrent Braille network of the NIR
    paper (Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9) come out without a mismatch.
    """

    stop_gradient: bool = eqx.field(static=True, default=True)

    def before(self, v: Array, previous: Array, threshold: Array) -> Array:
        return v - jax.lax.stop_gradient(previous >= threshold).astype(v.dtype) * threshold

    def after(self, v: Array, spike: Array, threshold: Array, fired: Array) -> Array:
        return v - self.seen(spike) * threshold
